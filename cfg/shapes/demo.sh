#!/bin/bash
# Detectors of shapes: a small one distilled from a big one, with labels and without, beside that network from labels.
# SEED=1 OUT=demo-out/shapes; TEACHER=1 also trains the teacher anew, as cfg/shapes/teacher.weights was.
set -euo pipefail
SEED=${SEED:-1} OUT=${OUT:-demo-out/shapes} MAKE_SHAPES=${MAKE_SHAPES:-build/make_shapes}
labels_rate=.02              # of five the best for labels on images held out, tests/experiments/detectors.sh
student=cfg/shapes/distilled none=$OUT/none
run() { printf '\n$ ./darknet %s\n' "$*"; ./darknet "$@"; }
mkdir -p "$OUT"
[ -s "$OUT/data/shapes.data" ] || "$MAKE_SHAPES" "$OUT/data"
data=$OUT/data/shapes.data
# train FOLDER FLAGS...: the student
train() { run distill train "$data" $student.cfg -seed "$SEED" -backup "$1" -measure 20 -quiet "${@:2}"; }

if [ -n "${TEACHER:-}" ]; then
    echo "== The teacher, from nothing"
    run distill train "$data" cfg/shapes/teacher.cfg -seed 1 -backup "$OUT" -quiet
    cp "$OUT/teacher_final.weights" cfg/shapes/teacher.weights
fi

echo "== 1. Distil: by the map before each of the teacher's heads, its answers, and labels"
train "$OUT"
echo; echo "   and without any label"
train "$none" -labelled 0

echo; echo "== 2. The yardstick: that very network from labels, as long"
train "$OUT" -from-labels -rate $labels_rate

echo; echo "== 3. Deploy: boxes compared in Darknet's library, OpenCV and the stock program"
run distill export $student.cfg "$OUT/distilled_final.weights" "$OUT/deployed" -data "$data"
run distill predict "$data" $student.cfg "$OUT/distilled_final.weights" "$(sed -n 1p "$OUT/data/valid.list")" \
    -side-by-side -out "$OUT/side-by-side.png"

echo; echo "== 4. What it is worth, percent"
for c in teacher distilled; do ./darknet distill summary cfg/shapes/$c.cfg -json >"$OUT/$c-size.json"; done
# row NAME CFG-OF-SIZE CFG WEIGHTS FLAGS...
row() {
    ./darknet distill valid "$data" "$3" "$4" "${@:5}" -json >"$OUT/row.json"
    printf '%-30s %7.2f %13.2f %11d %13.3f\n' "$1" \
        "$(jq .student.map50 "$OUT/row.json")" "$(jq .student.map "$OUT/row.json")" \
        "$(jq .parameters "$OUT/$2-size.json")" "$(jq '.multiply_adds / 1e6' "$OUT/$2-size.json")"
}
printf '%-30s %7s %13s %11s %13s\n' '' 'mAP@0.5' 'mAP@[.5:.95]' parameters 'M mult-adds'
row teacher teacher cfg/shapes/teacher.cfg cfg/shapes/teacher.weights
row 'same network, from labels' distilled $student.cfg "$OUT/distilled-labels_final.weights" -from-labels
row 'distilled, without labels' distilled $student.cfg "$none/distilled_final.weights"
row 'distilled, with labels' distilled $student.cfg "$OUT/distilled_final.weights"
