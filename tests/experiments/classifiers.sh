#!/bin/bash
# CIFAR-100, ResNet-56 -> ResNet-20: writes the cfgs to experiments/cfg and the jobs to experiments/classifiers.jobs, for queue.sh:
#
#   tests/experiments/classifiers.sh
#   for lane in 1 2; do setsid tests/experiments/queue.sh experiments/classifiers.jobs </dev/null >/dev/null 2>&1 & done
#
# Wanted before: experiments/cifar100.data (classes=100, train= and valid= the official binaries, in any order across classes), and
# experiments/resnet56.weights, the public teacher (72.63 %; docs/guide.md, importing a teacher).
#
# First the choices, each one change away from another, on 5,000 training images held out, 10 epochs; then what is compared, on all of
# them and the test set, 20 epochs, seeds 0 to 2. Rate steps as the paper's, in proportion. All rows see one set of views
# (-view-seed 0, as many as epochs), so that caches are shared and no row sees fresher pixels than another.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -f experiments/cifar100.data ] && [ -f experiments/resnet56.weights ] ||
    { echo "error: experiments/cifar100.data or experiments/resnet56.weights is missing, see the head of $0" >&2; exit 1; }
mkdir -p experiments/cfg
jobs=experiments/classifiers.jobs

# NAME EPOCHS IMAGES RATE L2-KEYS TAIL-KEYS KD-KEYS ("-": no [kd]); keys are separated by spaces
cfg() {
    local steps=$(($2 * $3 / 64))
    awk -v steps="$((steps * 625 / 1000)),$((steps * 75 / 100)),$((steps * 875 / 1000))" -v most="$steps" -v rate="$4" \
        -v l2="$5" -v tail="$6" -v kd="$7" '
        function keys(text,  n, i, key) { n = split(text, key, " "); for (i = 1; i <= n; ++i) print key[i] }
        /^steps=/ { $0 = "steps=" steps }
        /^max_batches=/ { $0 = "max_batches=" most }
        /^learning_rate=/ { $0 = "learning_rate=" rate }
        /^cfg=/ { print "cfg=cfg/cifar100/resnet56.cfg"; next }
        /^weights=/ { print "weights=experiments/resnet56.weights\nmean=.5070,.4865,.4409\nstd=.2673,.2564,.2761"; next }
        { print }
        /^\[feature_l2\]/ { keys(l2) }
        /^\[reused_classifier\]/ { keys(tail); if (kd != "-") { print "\n[kd]"; keys(kd) } }
    ' cfg/cifar100/resnet56-resnet20.cfg >"experiments/cfg/$1.cfg"
}
# NAME SEED EPOCHS REST...
job() {
    local name=$1 seed=$2 epochs=$3
    shift 3
    echo "$name ./darknet distill train experiments/cifar100.data $* -epochs $epochs -seed $seed -view-seed 0 -threads 1 -quiet" >>"$jobs"
}

: >"$jobs"
choice() {   # NAME RATE L2 TAIL KD
    cfg "h-$1" 10 45000 "$2" "$3" "$4" "$5"
    job "choice-$1" 0 10 "experiments/cfg/h-$1.cfg -holdout 5000 -cache experiments/held-out.feat -views 10"
}
labels() {   # RATE
    cfg "h-labels$1" 10 45000 "$1" "" "" -
    job "choice-labels$1" 0 10 "experiments/cfg/h-labels$1.cfg -from-labels -holdout 5000"
}
labels .05
labels .1
labels .02
choice kd .05 scale=1 "" ""
choice both .05 scale=1 labels=1 ""
choice both.3 .05 scale=.3 labels=1 ""
choice both.1 .1 scale=1 labels=1 ""
choice kd-alone .05 scale=0 "" ""
choice simkd .05 scale=1 "" -
choice both3 .05 scale=3 labels=1 ""
choice kd.3 .05 scale=.3 "" ""
choice kd3 .05 scale=3 "" ""
choice both-auto .05 scale=auto labels=1 scale=auto
choice channel .05 "normalise=channel" labels=1 ""
choice head .05 "metric=head" labels=1 ""
choice pooled .05 "pooled=1" labels=1 ""
choice standardised .05 scale=1 labels=1 "standardise=1 temperature=2 scale=9"
choice decoupled .05 scale=1 labels=1 "decouple=2"

for seed in 0 1 2; do
    run() {   # NAME RATE L2 TAIL KD
        cfg "$1" 20 50000 "$2" "$3" "$4" "$5"
        job "$1" "$seed" 20 "experiments/cfg/$1.cfg -cache experiments/all.feat -views 20"
    }
    cfg labels 20 50000 .05 "" "" -
    job labels "$seed" 20 "experiments/cfg/labels.cfg -from-labels"
    run simkd .05 scale=1 "" -
    run kd .05 scale=1 "" ""
    run both .05 scale=1 labels=1 ""
    job alone "$seed" 20 "experiments/cfg/alone.cfg"
done
sed -e 's/^steps=.*/steps=9765,11718,13671/' -e 's/^max_batches=.*/max_batches=15625/' cfg/cifar100/resnet20.cfg >experiments/cfg/alone.cfg
echo "$(wc -l <"$jobs") jobs in $jobs"
