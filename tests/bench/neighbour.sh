#!/bin/bash
# What one busy program beside it costs a training that has all cores: tests/bench/neighbour.sh [ROUNDS] [SECONDS] [PAIR]
#
# Alternates a SimKD step with a live teacher alone and beside a loop that keeps one core busy; prints medians and their ratio. With C
# cores the neighbour takes half of one: work that flows to the free cores loses 1/(2C), work in fixed shares half.
set -euo pipefail
rounds=${1:-3} seconds=${2:-5} pair=${3:-resnet56-resnet20}
bench=${BENCH:-build/bench} cores=$(nproc) work=$(mktemp -d) busy=
trap '[ -z "$busy" ] || kill $busy; rm -rf "$work"' EXIT
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000}   # as the program itself sets it
step() {
    "$bench" "cfg/cifar100/${pair%%-*}.cfg" "cfg/cifar100/${pair##*-}.cfg" "cfg/cifar100/$pair.cfg" -seconds "$seconds" -mean -only simkd |
        awk '$1 == "simkd" { print $2 }'
}
median() { sort -g | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
for ((i = 0; i < rounds; ++i)); do
    step >>"$work/alone"
    taskset -c $((cores - 1)) sh -c 'while :; do :; done' & busy=$!
    step >>"$work/beside"
    kill $busy; wait $busy 2>/dev/null || true; busy=
done
alone=$(median <"$work/alone") beside=$(median <"$work/beside")
awk -v a="$alone" -v b="$beside" -v c="$cores" 'BEGIN {
    printf "alone %.1f images/s, beside a busy neighbour on one of %d cores %.1f: %.2f of it, %.2f where work flows\n", a, c, b, b / a, 1 - .5 / c }'
