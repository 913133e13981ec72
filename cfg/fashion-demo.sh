#!/bin/bash
# The demo: distil a small student on Fashion-MNIST, deploy it, prove it, and say whether it was worth it.
# SEED=0 EPOCHS=12 LABELLED=2000 OUT=demo-out DATA=cfg/fashion.data
set -euo pipefail
SEED=${SEED:-0} EPOCHS=${EPOCHS:-12} LABELLED=${LABELLED:-2000} OUT=${OUT:-demo-out}
data=${DATA:-cfg/fashion.data}
teacher=cfg/fashion-teacher student=cfg/fashion-distilled
labels_rate=.05              # what all labels want; few want the student's own
all=$OUT/all none=$OUT/none few=$OUT/few     # images with a label
run() { printf '\n$ ./darknet %s\n' "$*"; ./darknet "$@"; }
# train CFG FOLDER EPOCHS FLAGS...
train() { run distill train $data "$1.cfg" -epochs "$3" -seed "$SEED" -backup "$2" -quiet "${@:4}"; }
start=$(date +%s)
mkdir -p "$OUT"
rm -f "$OUT/features"
cached=(-cache "$OUT/features" -views 2 -view-seed 0)

echo "== 1. The teacher"
run distill valid $data $teacher.cfg $teacher.weights

echo; echo "== 2. Distil the student: by the teacher's feature map, its answers, and labels"
train $student "$all" "$EPOCHS" "${cached[@]}"
echo; echo "   and without any label"
train $student "$none" "$EPOCHS" "${cached[@]}" -labelled 0

echo; echo "== 3. The yardsticks, for as many epochs: that very network, and the student alone, from labels"
train $student "$all" "$EPOCHS" -from-labels -rate $labels_rate
train cfg/fashion-student "$all" "$EPOCHS"

echo; echo "== 4. Where labels are rare: $LABELLED of them, for as many steps; a teacher needs none on the others"
train $student "$few" "$EPOCHS" "${cached[@]}" -labelled "$LABELLED"
train $student "$few" $((EPOCHS * 60000 / LABELLED)) -from-labels -limit "$LABELLED" |
    grep -v '^epoch .*/s$'

echo; echo "== 5. Deploy: plain cfg + weights, run by Darknet's library, OpenCV and the stock program"
run distill export $student.cfg "$all/fashion-distilled_final.weights" "$OUT/deployed" -data $data -verify 256

echo; echo "== 6. What it bought"
# top1 FOLDER CFG NAME FLAGS...: of the student
top1() { ./darknet distill valid $data "$2.cfg" "$1/$3_final.weights" "${@:4}" -json | jq .student.top1; }
labels_all=$(top1 "$all" $student fashion-distilled-labels -from-labels)
labels_few=$(top1 "$few" $student fashion-distilled-labels -from-labels)
alone=$(top1 "$all" cfg/fashion-student fashion-student)
distilled_all=$(top1 "$all" $student fashion-distilled)
distilled_few=$(top1 "$few" $student fashion-distilled)
distilled_none=$(top1 "$none" $student fashion-distilled)
teachers=$(./darknet distill valid $data $teacher.cfg $teacher.weights -json | jq .student.top1)
# row NAME CFG FLAGS... -- NUMBERS...
row() {
    local name=$1 cfg=$2
    shift 2
    ./darknet distill summary "$cfg.cfg" -json |
        jq -r '[.parameters, .multiply_adds, .file_bytes] | map(round) | join(" ")' |
        awk -v n="$name" -v a="$1" -v f="$2" -v z="$3" \
            '{ printf "%-30s %11s %11s %11s %11d %9.3f %9d\n", n, a, f, z, $1, $2 / 1e6, $3 }'
}
printf '%-30s %11s %11s %11s %11s %9s %9s\n' 'top-1 %' 'all labels' "$LABELLED" none parameters 'M madds' bytes
row 'teacher, by all labels' $teacher "$teachers" '' ''
row 'student alone, from labels' cfg/fashion-student "$alone" '' ''
row 'same network, from labels' $student "$labels_all" "$labels_few" ''
row 'distilled student' $student "$distilled_all" "$distilled_few" "$distilled_none"
./darknet distill summary $student.cfg -json |
    jq -r '[.projector_parameters, .parameters, .projector_share * 1000] | map(round) | join(" ")' |
    awk '{ printf "the projector is %d of the distilled student'"'"'s %d parameters (%.1f %%)\n", $1, $2, $3 / 10 }'
echo "seed $SEED, $EPOCHS epochs of 60000 images each; this teacher has seen all labels, and passes on what it learnt"
echo "$(($(date +%s) - start)) s in all"

# margin WHERE DISTILLED LABELS
margin() {
    awk -v n="$1" -v a="$2" -v b="$3" \
        'BEGIN { printf "distilled student - same network from labels, %s: %+.2f points\n", n, a - b; exit !(a > b) }'
}
lost=0
margin 'all labels' "$distilled_all" "$labels_all" || lost=1
margin "$LABELLED labels" "$distilled_few" "$labels_few" || lost=1
[ $lost = 0 ] || { echo "error: distillation did not pay" >&2; exit 1; }
