#!/bin/bash
# CIFAR-100, ResNet-56 -> ResNet-20: writes cfgs to experiments/cfg and jobs to experiments/classifiers.jobs, for queue.sh:
#
#   tests/experiments/classifiers.sh [GROUP...]
#   for lane in 1 2; do setsid tests/experiments/queue.sh experiments/classifiers.jobs </dev/null >/dev/null 2>&1 & done
#   tests/experiments/table.sh 'choice-*'
#
# GROUP, in the order in which they make sense (default: the first two):
#   choices     one change away from another each, on 5,000 training images held out, 10 epochs, seed 0
#   compare     all images and the test set, 20 epochs, seeds 0 to 2: the same network and the student alone from labels, SimKD as in
#               the paper, the recipe without labels and with them
#   stack       compare's rows of the recipe and of labels, with the projector that was best on held-out images
#   methods     those that the paper compares with, 20 epochs, seed 0
#   fractions   labels for 1, 10 and 100 % of the images, as many steps each; a distillation sees all images, by a teacher that has
#               seen all labels or (own) by one that has seen the same tenth only, which must have been trained before
#   projectors  what a projector costs, 10 epochs
#   long        240 epochs, seed 0
#
# Wanted before: experiments/cifar100.data (classes=100, train= and valid= the official binaries, in any order across classes), and
# experiments/resnet56.weights, the public teacher (72.63 %; docs/guide.md, importing a teacher). Rate steps are the paper's, in
# proportion. All rows see one set of views (-view-seed 0, as many as epochs), so that caches are shared and no row sees fresher
# pixels than another; held-out.feat and all.feat are filled by the first that needs them.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/experiments/recipe.sh
[ -f experiments/cifar100.data ] && [ -f experiments/resnet56.weights ] ||
    { echo "error: experiments/cifar100.data or experiments/resnet56.weights is missing, see the head of $0" >&2; exit 1; }
mkdir -p experiments/cfg
jobs=experiments/classifiers.jobs
[ $# -gt 0 ] || set -- choices compare
: >"$jobs"
labels_rate=.1     # of .02, .05 and .1 the best on held-out images
recipe=(.05 scale=10)   # RATE L2-KEYS, then TAIL-KEYS KD-KEYS; of 1, 3 and 10 the best on held-out images

# retimed NAME FROM STEPS: a cfg for that many steps, its files found from experiments/cfg
retimed() {
    awk -v steps="$(($3 * 625 / 1000)),$(($3 * 75 / 100)),$(($3 * 875 / 1000))" -v most="$3" '
        /^steps=/ { $0 = "steps=" steps }
        /^max_batches=/ { $0 = "max_batches=" most }
        /^cfg=/ { print "cfg=cfg/cifar100/resnet56.cfg"; next }
        /^weights=/ { print "weights=experiments/resnet56.weights\nmean=.5070,.4865,.4409\nstd=.2673,.2564,.2761"; next }
        { print }' "$2" >"experiments/cfg/$1.cfg"
}
# cfg NAME STEPS KEYS...: as with_keys has them
cfg() {
    retimed "$1" cfg/cifar100/resnet56-resnet20.cfg "$2"
    with_keys "${@:3}" <"experiments/cfg/$1.cfg" >"experiments/cfg/$1.new"
    mv "experiments/cfg/$1.new" "experiments/cfg/$1.cfg"
}
# job NAME SEED EPOCHS CFG FLAGS, on $data
data=experiments/cifar100.data
job() {
    echo "$1 ./darknet distill train $data experiments/cfg/$4.cfg ${5:+$5 }-epochs $3 -seed $2 -view-seed 0 -threads 1 -quiet" >>"$jobs"
}
steps() { echo $(($1 * $2 / 64)); }   # EPOCHS IMAGES

choice() {   # NAME RATE L2 TAIL KD PROJECTOR TEACHER
    cfg "h-$1" "$(steps 10 45000)" "${@:2}"
    job "choice-$1" 0 10 "h-$1" "-holdout 5000 -cache experiments/held-out${7:+-$7}.feat -views 10"
}
labels_choice() {   # RATE
    cfg "h-labels$1" "$(steps 10 45000)" "$1" "" "" -
    job "choice-labels$1" 0 10 "h-labels$1" "-from-labels -holdout 5000"
}
# the student's stem and nine blocks from the teacher's: of each group of nine the first three. Floats: 496 of the stem, a block's
# 4736, 18688 and 74240, 14720 and 58112 where a group begins with a stride
start_of_blocks() {
    local teacher=experiments/resnet56.weights
    { head -c 20 "$teacher"
      for part in 0:14704 43120:52096 207344:206592; do
          tail -c +$((21 + 4 * ${part%:*})) "$teacher" | head -c $((4 * ${part#*:})) || true   # tail's pipe ends early
      done; } >experiments/start.weights
}
choices() {
    labels_choice .05
    labels_choice .1
    labels_choice .02
    choice kd .05 scale=1 "" ""
    choice both .05 scale=1 labels=1 ""
    choice both.3 .05 scale=.3 labels=1 ""
    choice both.1 .1 scale=1 labels=1 ""
    choice both.02 .02 scale=1 labels=1 ""
    choice kd-alone .05 scale=0 "" ""
    choice simkd .05 scale=1 "" -
    choice simkd10 .05 scale=10 "" -
    choice both3 .05 scale=3 labels=1 ""
    choice both10 .05 scale=10 labels=1 ""
    choice both30 .05 scale=30 labels=1 ""
    choice kd.3 .05 scale=.3 "" ""
    choice kd3 .05 scale=3 "" ""
    choice kd10 .05 scale=10 "" ""
    choice both-auto .05 scale=auto labels=1 scale=auto
    choice channel .05 "normalise=channel" labels=1 ""
    choice head .05 "metric=head" labels=1 ""
    choice pooled .05 "pooled=1" labels=1 ""
    choice standardised .05 scale=1 labels=1 "standardise=1 temperature=2 scale=9"
    choice decoupled .05 scale=1 labels=1 "decouple=2"
    start_of_blocks
    cfg h-stack-1x1 "$(steps 10 45000)" .05 scale=10 labels=1 "" stack=1x1
    echo "choice-start ./darknet distill train $data experiments/cfg/h-stack-1x1.cfg experiments/start.weights -holdout 5000" \
        "-views 10 -epochs 10 -seed 0 -view-seed 0 -threads 1 -quiet" >>"$jobs"
    choice deeper .05 scale=1 labels=1 "" "" tap=84   # before the teacher's last block
}

all="-cache experiments/all.feat -views 20"
# rows SUFFIX PROJECTOR-KEYS: a network with that projector from labels, and by the recipe with labels and without
rows() {
    local n seed
    n=$(steps 20 50000)
    cfg "labels$1" "$n" $labels_rate "" "" - "$2"
    cfg "kd$1" "$n" "${recipe[@]}" "" "" "$2"
    cfg "both$1" "$n" "${recipe[@]}" labels=1 "" "$2"
    for seed in 0 1 2; do
        job "labels$1" "$seed" 20 "labels$1" -from-labels
        job "both$1" "$seed" 20 "both$1" "$all"
        job "kd$1" "$seed" 20 "kd$1" "$all"
    done
}
stack() { rows -1x1 stack=1x1; }
compare() {
    local n seed
    n=$(steps 20 50000)
    rows "" ""
    cfg simkd "$n" .05 scale=1 "" -
    retimed alone cfg/cifar100/resnet20.cfg "$n"
    for seed in 0 1 2; do
        job simkd "$seed" 20 simkd "$all"
        job alone "$seed" 20 alone ""
    done
}
methods() {
    local name
    for name in kd at fitnet sp vid srrl; do
        retimed "method-$name" "cfg/cifar100/methods/$name.cfg" "$(steps 20 50000)"
        job "method-$name" 0 20 "method-$name" ""
    done
}
# part NAME IMAGES TIMES: a training set of the first IMAGES, over and over: as many steps an epoch as all of them make
part() {
    local file=experiments/cifar100-$1 from i
    from=$(sed -n 's/^train=//p' experiments/cifar100.data)
    [ -f "$file.bin" ] || { for ((i = 0; i < $3; i++)); do head -c $(($2 * 3074)) "$from"; done >"$file.new" && mv "$file.new" "$file.bin"; }
    sed "s#^train=.*#train=$file.bin#" experiments/cifar100.data >"$file.data"
}
fractions() {
    cfg labels "$(steps 20 50000)" $labels_rate "" "" -
    cfg both "$(steps 20 50000)" "${recipe[@]}" labels=1 ""
    local percent
    for percent in 1 10; do
        part "$percent" $((percent * 500)) $((100 / percent))
        data=experiments/cifar100-$percent.data job "labels-$percent" 0 20 labels -from-labels
        job "both-$percent" 0 20 both "-labelled $((percent * 500)) $all"
    done
    own_teacher
}
# A teacher that has seen a tenth of the images, as many steps long, and what it is worth
own_teacher() {
    local train="./darknet distill train" flags="-epochs 20 -seed 0 -view-seed 0 -threads 1 -quiet"
    retimed teacher-10 cfg/cifar100/resnet56.cfg "$(steps 20 50000)"
    echo "teacher-10 $train experiments/cifar100-10.data experiments/cfg/teacher-10.cfg $flags &&" \
        "cp \"\$out\"/teacher-10_final.weights experiments/teacher-10.weights" >>"$jobs"
    sed -e '/^mean=/d; /^std=/d; s#^weights=.*#weights=experiments/teacher-10.weights#' experiments/cfg/both.cfg \
        >experiments/cfg/both-own.cfg
    job both-own-10 0 20 both-own "-labelled 5000"
}
projectors() {
    local r
    for r in 1 2 4 8 16; do choice "reduction$r" "${recipe[@]}" labels=1 "" "reduction=$r"; done
    choice stack-1x1 "${recipe[@]}" labels=1 "" stack=1x1
    choice stack-linear "${recipe[@]}" labels=1 "" stack=linear
}
long() {
    cfg both-long 187500 "${recipe[@]}" labels=1 ""
    cfg labels-long 187500 $labels_rate "" "" -
    job both-long 0 240 both-long ""
    job labels-long 0 240 labels-long -from-labels
}
for group in "$@"; do
    case $group in choices|compare|stack|methods|fractions|projectors|long) "$group" ;; *) echo "error: no group $group" >&2; exit 2 ;; esac
done
echo "$(wc -l <"$jobs") jobs in $jobs"
