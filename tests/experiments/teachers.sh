#!/bin/bash
# CIFAR-100, two teachers and one ResNet-20 encoder: writes cfgs to experiments/cfg and jobs to experiments/teachers.jobs, for queue.sh:
#
#   tests/experiments/teachers.sh [GROUP...]
#   for lane in 1 2; do setsid tests/experiments/queue.sh experiments/teachers.jobs </dev/null >/dev/null 2>&1 & done
#   tests/experiments/table.sh 'teachers-*'
#
# GROUP, in the order in which they make sense (default: both):
#   second      the second teacher, a ResNet-32 from labels, 30 epochs, seed 0. Wait until it is trained: the others need its weights
#   compare     10 epochs, seeds 0 to 2: two teachers, one answer ([teachers] combine=logits), the very network from labels, its stacked
#               classifier trained with the rest; and each teacher alone, whose network has one projector, beside the same from labels
#
# Wanted before: experiments/cifar100.data and experiments/resnet56.weights, as for classifiers.sh; EXPERIMENTS names another folder.
# Labels and [kd] are learnt behind each classifier; with two teachers each loss counts half, so that the encoder is drawn as much as by
# one. All rows see one set of views, so that a teacher's cache is shared. PRECISION=bf16 trains all of them in that: half the time on a
# processor with AMX.
set -euo pipefail
cd "$(dirname "$0")/../.."
work=${EXPERIMENTS:-experiments}
[ -f "$work/cifar100.data" ] && [ -f "$work/resnet56.weights" ] ||
    { echo "error: $work/cifar100.data or $work/resnet56.weights is missing, see the head of $0" >&2; exit 1; }
mkdir -p "$work/cfg"
jobs=$work/teachers.jobs
[ $# -gt 0 ] || set -- second compare
: >"$jobs"
epochs=10 rate=.05 labels_rate=.1 precision=${PRECISION:+-precision $PRECISION }

steps() { echo $(($1 * 50000 / 64)); }   # EPOCHS
# timed STEPS RATE: the paper's rate steps, in proportion
timed() {
    awk -v steps="$(($1 * 625 / 1000)),$(($1 * 75 / 100)),$(($1 * 875 / 1000))" -v most="$1" -v rate="$2" '
        /^steps=/ { $0 = "steps=" steps }
        /^max_batches=/ { $0 = "max_batches=" most }
        /^learning_rate=/ { $0 = "learning_rate=" rate }
        { print }'
}
# five_blocks <CFG: a ResNet-56 less the last four of each group's nine blocks
five_blocks() {
    awk 'BEGIN { RS = ""; ORS = "\n\n" }
        { block = block $0 ORS }
        /^\[shortcut\]/ { if (blocks++ % 9 < 5) printf "%s", block; block = "" }
        END { printf "%s", block }' <<<"$(sed 's/^# ResNet-56\(.*\)9 blocks/# ResNet-32\15 blocks/')"
}
part() { awk -v begin="$1" -v end="$2" '$0 == begin { on = 1 } $0 == end { on = 0 } on' cfg/cifar100/resnet56-resnet20.cfg; }   # BEGIN END
resnet56="[teacher]
name=resnet56
cfg=cfg/cifar100/resnet56.cfg
weights=$work/resnet56.weights
mean=.5070,.4865,.4409
std=.2673,.2564,.2761"
resnet32="[teacher]
name=resnet32
cfg=$work/cfg/resnet32.cfg
weights=$work/resnet32.weights"
triple() {   # TEACHER WEIGHT: of each loss
    printf '\n[projector]\nteacher=%s\nreduction=2\n\n[feature_l2]\nscale=%s\n\n[reused_classifier]\nlabels=%s\n\n[kd]\nscale=%s\n' "$1" "$2" "$2" "$2"
}
# student NAME RATE TEACHERS TRIPLES...
student() {
    { part '[net]' '[teacher]'; printf '%s\n\n' "$3"; part '[augment]' '[projector]'; printf '%s\n' "${@:4}"; } |
        timed "$(steps $epochs)" "$2" >"$work/cfg/$1.cfg"
}
job() {   # NAME SEED EPOCHS CFG FLAGS
    echo "$1 ./darknet distill train $work/cifar100.data $work/cfg/$4.cfg ${5:+$5 }-epochs $3 -seed $2 -view-seed 0 -threads 1 $precision-quiet" >>"$jobs"
}

second() {
    echo "teachers-second ./darknet distill train $work/cifar100.data $work/cfg/resnet32.cfg -epochs 30 -seed 0 -view-seed 0 -threads 1" \
        "$precision-quiet && cp \"\$out\"/resnet32_final.weights $work/resnet32.weights" >>"$jobs"
}
compare() {
    local seed name views="-views $epochs" last
    last=$(($(part '[augment]' '[projector]' | grep -c '^\[') - 2))   # the encoder's last layer, [augment] not counted
    local both=("$(triple resnet56 .5)" $'\n[route]\nlayers='"$last" "$(triple resnet32 .5)")
    local teachers="$resnet56"$'\n\n'"$resnet32"$'\n\n[teachers]\ncombine=logits'
    student two $rate "$teachers" "${both[@]}"
    student two-labels $labels_rate "$teachers" "${both[@]}"
    for name in resnet56 resnet32; do
        student "alone-$name" $rate "${!name}" "$(triple $name 1)"
        student "alone-$name-labels" $labels_rate "${!name}" "$(triple $name 1)"
    done
    for seed in 0 1 2; do
        job teachers-two "$seed" $epochs two "-cache $work/teachers.feat $views"
        job teachers-two-labels "$seed" $epochs two-labels -from-labels
        for name in resnet56 resnet32; do
            job "teachers-of-$name" "$seed" $epochs "alone-$name" "-cache $work/teachers.feat.$name $views"
            job "teachers-of-$name-labels" "$seed" $epochs "alone-$name-labels" -from-labels
        done
    done
}
five_blocks <cfg/cifar100/resnet56.cfg | timed "$(steps 30)" .1 >"$work/cfg/resnet32.cfg"
for group in "$@"; do
    case $group in second|compare) "$group" ;; *) echo "error: no group $group" >&2; exit 2 ;; esac
done
echo "$(wc -l <"$jobs") jobs in $jobs"
