#!/bin/bash
# The demo's recipe, Fashion-MNIST: writes cfgs to experiments/cfg and jobs to experiments/fashion.jobs, for queue.sh:
#
#   tests/experiments/fashion.sh [choices|few] && setsid tests/experiments/queue.sh experiments/fashion.jobs </dev/null >/dev/null 2>&1 &
#   tests/experiments/table.sh 'fashion-*'
#
# Choices only: trained on 55,000 images, measured on 5,000 held out of the training images, 12 epochs, seeds 0 to 2, as many
# trials for labels as a distillation has values of a kind. All rows see the same two views of each image. "few": 2,000 images with a
# label, for as many steps; seed 0.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/experiments/recipe.sh
mkdir -p experiments/cfg
jobs=experiments/fashion.jobs
: >"$jobs"

# cfg NAME KEYS...: as with_keys has them, for 12 epochs of 55,000
cfg() { sed 's/^max_batches=.*/max_batches=10313/' cfg/fashion-simkd.cfg | with_keys "${@:2}" >"experiments/cfg/fashion-$1.cfg"; }
job() {   # NAME FLAGS [EPOCHS SEEDS CFG]
    for seed in ${4:-0 1 2}; do
        echo "fashion-$1 ./darknet distill train cfg/fashion.data experiments/cfg/fashion-${5:-$1}.cfg $2 -holdout 5000" \
            "-epochs ${3:-12} -seed $seed -view-seed 0 -threads 1 -quiet"
    done >>"$jobs"
}
labels() { cfg "$1" "$2" "" "" - "" "" "${3:-}"; job "$1" -from-labels; }
choice() { cfg "$@"; job "$1" "-cache experiments/fashion-held-out.feat -views 2"; }
few() {   # RATE
    cfg "labels$1" "$1" "" "" -
    job "few-labels$1" "-from-labels -limit 2000" 330 0 "labels$1"
}
if [ "${1:-choices}" = few ]; then
    for rate in .05 .1 .02; do few $rate; done
    echo "$(wc -l <"$jobs") jobs in $jobs"
    exit
fi

labels labels.05 .05
choice kd.5 .05 scale=.5 "" ""
choice both.5 .05 scale=.5 labels=1 ""
choice both.5-r.1 .1 scale=.5 labels=1 ""
choice both.5-k3 .05 scale=.5 labels=1 scale=3
choice both.5-t8 .05 scale=.5 labels=1 temperature=8
choice both2 .05 scale=2 labels=1 ""
labels labels-smooth .05 label_smoothing=.1
choice both.1 .05 scale=.1 labels=1 ""
labels labels.1 .1
choice both.5-t2 .05 scale=.5 labels=1 temperature=2
choice both0 .05 scale=0 labels=1 ""
labels labels.02 .02
choice kd2 .05 scale=2 "" ""
choice kd.1 .05 scale=.1 "" ""
choice simkd .05 scale=10 "" -
echo "$(wc -l <"$jobs") jobs in $jobs"
