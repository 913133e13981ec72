#!/bin/bash
# A classifier's whole training beside its bare step, in one run: tests/bench/epoch.sh DATA SIMKD.cfg [ROUNDS] [IMAGES] [SECONDS]
#
#   step     training steps of SIMKD.cfg with its live teacher on images that lie in memory (build/bench): their mean over SECONDS
#   train    `distill train` over the first IMAGES of DATA's training images (one CIFAR binary), without measuring; its start, the
#            kernels made in its first step, and the checkpoints at its end are part of it
#
# The sides take turns for ROUNDS rounds, a step before and one after each training; a ratio is of the training to the mean of these
# two. Printed are all ratios and their median. PRECISION (default fp32) goes to both sides.
set -euo pipefail
[ $# -ge 2 ] || { echo "usage: $0 DATA SIMKD.cfg [ROUNDS] [IMAGES] [SECONDS]" >&2; exit 2; }
data=$1 cfg=$2 rounds=${3:-3} images=${4:-25600} seconds=${5:-10} precision=${PRECISION:-fp32}
bench=${BENCH:-build/bench} darknet=${DARKNET_DISTILL:-./darknet}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
from=$(sed -n 's/^train *= *//p' "$data")
head -c $((images * 3074)) "$from" >"$work/train.bin"
[ "$(stat -c %s "$work/train.bin")" -eq $((images * 3074)) ] || { echo "error: $from has fewer than $images images of CIFAR-100" >&2; exit 1; }
printf 'classes=100\ntrain=%s\n' "$work/train.bin" >"$work/part.data"
teacher=$(sed -n '/^\[teacher\]/,/^$/s/^cfg=//p' "$cfg")
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
step() {
    "$bench" "$teacher" "$cfg" "$cfg" -mean -only simkd -precision "$precision" -seconds "$seconds" 2>/dev/null |
        sed -n 's/^simkd //p'
}
whole() {
    "$darknet" distill train "$work/part.data" "$cfg" -epochs 1 -precision "$precision" -quiet -force -backup "$work/out" 2>/dev/null |
        sed -n 's/^epoch .* \([0-9.]*\) images\/s.*/\1/p'
}
echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores, load $(cut -d" " -f1 /proc/loadavg); $cfg, $precision"
before=$(step)
for ((i = 0; i < rounds; ++i)); do
    train=$(whole) after=$(step)
    echo "$before $train $after"
    before=$after
done | awk '{ printf "step %.1f  train %.1f  step %.1f images/s, %.3f of it\n", $1, $2, $3, 2 * $2 / ($1 + $3) }' | tee "$work/rows"
echo "median $(sed 's/.*, \([0-9.]*\) of it/\1/' "$work/rows" | median)"
