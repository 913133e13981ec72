#!/bin/bash
# The demo: distil a small student on Fashion-MNIST, deploy it, prove it, compare.
# SEED=0 EPOCHS=12 OUT=demo-out DATA=cfg/fashion.data
set -euo pipefail
SEED=${SEED:-0} EPOCHS=${EPOCHS:-12} OUT=${OUT:-demo-out}
data=${DATA:-cfg/fashion.data}
teacher=cfg/fashion-teacher
run() { printf '\n$ ./darknet %s\n' "$*"; ./darknet "$@"; }
get() { jq -r "$2" "$OUT/$1.json"; }
start=$(date +%s)
mkdir -p "$OUT"

echo "== 1. The teacher"
run distill valid $data $teacher.cfg $teacher.weights

echo; printf '== 2. Distil the student: no labels, one L2 loss on %s\n' \
    "the teacher's last feature map, computed once (two views) and read back"
rm -f "$OUT/features"
run distill train $data cfg/fashion-simkd.cfg -epochs "$EPOCHS" -seed "$SEED" -backup "$OUT" -cache "$OUT/features" \
    -views 2 -quiet

echo; echo "== 3. The yardsticks, for as many epochs: that very network, and the student alone, from labels"
run distill train $data cfg/fashion-simkd.cfg -from-labels -epochs "$EPOCHS" -seed "$SEED" -backup "$OUT" -quiet
run distill train $data cfg/fashion-student.cfg -epochs "$EPOCHS" -seed "$SEED" -backup "$OUT" -quiet

echo; echo "== 4. Deploy: plain cfg + weights, run by Darknet's library, OpenCV and the stock program"
run distill export cfg/fashion-simkd.cfg "$OUT/fashion-simkd_final.weights" "$OUT/deployed" -data $data -verify 256

echo; echo "== 5. What it bought"
./darknet distill valid $data cfg/fashion-simkd.cfg "$OUT/fashion-simkd_final.weights" -json >"$OUT/simkd.json"
./darknet distill valid $data cfg/fashion-simkd.cfg "$OUT/fashion-simkd-labels_final.weights" -from-labels -json \
    >"$OUT/labels.json"
./darknet distill valid $data cfg/fashion-student.cfg "$OUT/fashion-student_final.weights" -json >"$OUT/alone.json"
./darknet distill summary cfg/fashion-simkd.cfg -json >"$OUT/simkd-size.json"
./darknet distill summary cfg/fashion-student.cfg -json >"$OUT/alone-size.json"
./darknet distill summary $teacher.cfg -json >"$OUT/teacher-size.json"
row() {   # name, top-1, top-5, size file
    local p m b t
    p=$(get "$4" .parameters) m=$(get "$4" .multiply_adds) b=$(get "$4" .file_bytes) t=$(get teacher-size .parameters)
    awk -v n="$1" -v a="$2" -v c="$3" -v p="$p" -v m="$m" -v b="$b" -v t="$t" 'BEGIN {
        printf "%-14s %7.2f %7.2f %11d %13.3f %11d %10.2f\n", n, a, c, p, m / 1e6, b, 100 * (1 - p / t) }'
}
printf '%-14s %7s %7s %11s %13s %11s %10s\n' '' 'top-1 %' 'top-5 %' parameters 'M mult-adds' 'file bytes' 'pruned %'
row teacher "$(get simkd .teacher.top1)" "$(get simkd .teacher.top5)" teacher-size
row 'student alone' "$(get alone .student.top1)" "$(get alone .student.top5)" alone-size
row 'same network' "$(get labels .student.top1)" "$(get labels .student.top5)" simkd-size
row 'SimKD student' "$(get simkd .student.top1)" "$(get simkd .student.top5)" simkd-size
jq -r '[.projector_parameters, .parameters, .projector_share * 1000] | map(round) | join(" ")' "$OUT/simkd-size.json" |
    awk '{ printf "the projector is %d of the SimKD student'"'"'s %d parameters (%.1f %%)\n", $1, $2, $3 / 10 }'
echo "seed $SEED, $EPOCHS epochs each, $(($(date +%s) - start)) s in all"

# margin NAME FILE: the distilled student's over another
margin() {
    awk -v n="$1" -v a="$(get simkd .student.top1)" -v b="$(get "$2" .student.top1)" 'BEGIN {
        printf "SimKD student - %s: %+.2f points\n", n, a - b; exit !(a > b) }'
}
margin 'the same network from labels' labels || true
margin 'student alone' alone ||
    { echo "error: the distilled student did not beat the student alone" >&2; exit 1; }
