#!/bin/bash
# The demo's students for several seeds, beside the distilled one's network from labels: tests/bench/seeds.sh [EPOCHS] [SEED...]
set -euo pipefail
epochs=${1:-12}; shift || true
[ $# -gt 0 ] || set -- 0 1 2
program=${PROGRAM:-./darknet}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
# top1 CFG [-from-labels]
top1() { "$program" distill valid cfg/fashion.data "cfg/$1.cfg" "$out/$1${2:+-labels}_final.weights" ${2:+"$2"} -json | jq .student.top1; }
printf '%-6s %14s %14s %14s %8s\n' seed 'student alone' 'same network' 'SimKD student' gain
for seed in "$@"; do
    train() { "$program" distill train cfg/fashion.data "cfg/$1.cfg" -epochs "$epochs" -seed "$seed" -backup "$out" -quiet "${@:2}" >>"$out/$1.log"; }
    train fashion-student
    train fashion-simkd -from-labels
    train fashion-simkd -cache "$out/features" -views 2 -view-seed 0   # one cache for all seeds
    awk -v s="$seed" -v a="$(top1 fashion-student)" -v l="$(top1 fashion-simkd -from-labels)" -v b="$(top1 fashion-simkd)" \
        'BEGIN { printf "%-6s %14.2f %14.2f %14.2f %+8.2f\n", s, a, l, b, b - l }'
done
