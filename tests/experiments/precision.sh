#!/bin/bash
# What bf16 costs in accuracy on CIFAR-100, ResNet-56 -> ResNet-20: writes cfgs to experiments/cfg and jobs to experiments/precision.jobs,
# for queue.sh, as classifiers.sh does and from the same files:
#
#   tests/experiments/precision.sh [GROUP...]
#   tests/experiments/table.sh 'precision-*'
#
# GROUP (default: epoch):
#   epoch   one epoch from labels and one of the recipe, seed 0, fp32 and bf16: anywhere, emulated below AVX-512
#   whole   15 epochs, seeds 0 to 2: for a processor that multiplies bfloat16 numbers itself
set -euo pipefail
cd "$(dirname "$0")/../.."
[ -f experiments/cifar100.data ] && [ -f experiments/resnet56.weights ] ||
    { echo "error: experiments/cifar100.data or experiments/resnet56.weights is missing, see the head of tests/experiments/classifiers.sh" >&2; exit 1; }
mkdir -p experiments/cfg
jobs=experiments/precision.jobs
[ $# -gt 0 ] || set -- epoch
tests/experiments/classifiers.sh compare >/dev/null   # experiments/cfg/labels.cfg and both.cfg
: >"$jobs"
# cfg NAME FROM EPOCHS: that cfg for so many epochs
cfg() {
    awk -v most="$(($3 * 50000 / 64))" '
        /^steps=/ { $0 = "steps=" int(most * .625) "," int(most * .75) "," int(most * .875) }
        /^max_batches=/ { $0 = "max_batches=" most }
        { print }' "experiments/cfg/$2.cfg" >"experiments/cfg/$1.cfg"
}
pairs() {   # EPOCHS SEED...
    local epochs=$1 seed what precision flags; shift
    for what in labels both; do cfg "precision-$what$epochs" "$what" "$epochs"; done
    for seed in "$@"; do
        for what in labels both; do
            flags=; [ $what = both ] || flags="-from-labels "
            for precision in fp32 bf16; do
                echo "precision-$what ./darknet distill train experiments/cifar100.data experiments/cfg/precision-$what$epochs.cfg" \
                    "$flags-precision $precision -epochs $epochs -seed $seed -view-seed 0 -threads 1 -quiet" >>"$jobs"
            done
        done
    done
}
epoch() { pairs 1 0; }
whole() { pairs 15 0 1 2; }
for group in "$@"; do
    case $group in
        epoch | whole) $group ;;
        *) echo "usage: $0 [epoch] [whole]" >&2; exit 2 ;;
    esac
done
echo "$(wc -l <"$jobs") jobs in $jobs"
