#!/bin/bash
# The demo's two students for several seeds: tests/bench/seeds.sh [EPOCHS] [SEED...]
set -euo pipefail
epochs=${1:-12}; shift || true
[ $# -gt 0 ] || set -- 0 1 2
program=${PROGRAM:-./darknet}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
top1() { "$program" distill valid cfg/fashion.data "cfg/$1.cfg" "$out/$1_final.weights" -json | jq .student.top1; }
printf '%-6s %14s %14s %8s\n' seed 'student alone' 'SimKD student' gain
for seed in "$@"; do
    train() { "$program" distill train cfg/fashion.data "cfg/$1.cfg" -epochs "$epochs" -seed "$seed" -backup "$out" -quiet "${@:2}" >"$out/$1.log"; }
    rm -f "$out/features"      # views depend on the seed
    train fashion-student
    train fashion-simkd -cache "$out/features" -views 2
    awk -v s="$seed" -v a="$(top1 fashion-student)" -v b="$(top1 fashion-simkd)" 'BEGIN { printf "%-6s %14.2f %14.2f %+8.2f\n", s, a, b, b - a }'
done
