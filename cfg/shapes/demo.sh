#!/bin/bash
# Detectors of shapes: a small one distilled from a big one beside the same trained from labels.
# SEED=1 OUT=demo-out/shapes; TEACHER=1 also trains the teacher anew, as cfg/shapes/teacher.weights was.
set -euo pipefail
SEED=${SEED:-1} OUT=${OUT:-demo-out/shapes} MAKE_SHAPES=${MAKE_SHAPES:-build/make_shapes}
run() { printf '\n$ ./darknet %s\n' "$*"; ./darknet "$@"; }
mkdir -p "$OUT"
[ -s "$OUT/data/shapes.data" ] || "$MAKE_SHAPES" "$OUT/data"
data=$OUT/data/shapes.data

if [ -n "${TEACHER:-}" ]; then
    echo "== The teacher, from nothing"
    run distill train "$data" cfg/shapes/teacher.cfg -seed 1 -backup "$OUT" -quiet
    cp "$OUT/teacher_final.weights" cfg/shapes/teacher.weights
fi

echo "== 1. Distil: no labels, one L2 loss on the map before each of the teacher's heads"
run distill train "$data" cfg/shapes/simkd.cfg -seed "$SEED" -backup "$OUT" -quiet

echo; echo "== 2. The same student from labels"
run distill train "$data" cfg/shapes/student.cfg -seed "$SEED" -backup "$OUT" -quiet

echo; echo "== 3. Deploy: boxes compared in Darknet's library, OpenCV and the stock program"
run distill export cfg/shapes/simkd.cfg "$OUT/simkd_final.weights" "$OUT/deployed" -data "$data"
run distill predict "$data" cfg/shapes/simkd.cfg "$OUT/simkd_final.weights" "$(sed -n 1p "$OUT/data/valid.list")" \
    -side-by-side -out "$OUT/side-by-side.png"

echo; echo "== 4. What it is worth, mAP@0.5 in percent"
./darknet distill valid "$data" cfg/shapes/simkd.cfg "$OUT/simkd_final.weights" -json >"$OUT/simkd.json"
./darknet distill valid "$data" cfg/shapes/student.cfg "$OUT/student_final.weights" -json >"$OUT/alone.json"
for c in teacher student simkd; do ./darknet distill summary cfg/shapes/$c.cfg -json >"$OUT/$c-size.json"; done
row() {
    printf '%-14s %7.2f %7.2f %11d %13.3f\n' "$1" "$2" "$3" "$(jq .parameters "$OUT/$4-size.json")" \
        "$(jq '.multiply_adds / 1e6' "$OUT/$4-size.json")"
}
printf '%-14s %7s %7s %11s %13s\n' '' 'mAP@.5' 'mAP' parameters 'M mult-adds'
row teacher "$(jq .teacher.map50 "$OUT/simkd.json")" "$(jq .teacher.map "$OUT/simkd.json")" teacher
row 'from labels' "$(jq .student.map50 "$OUT/alone.json")" "$(jq .student.map "$OUT/alone.json")" student
row 'SimKD student' "$(jq .student.map50 "$OUT/simkd.json")" "$(jq .student.map "$OUT/simkd.json")" simkd
