#!/bin/bash
# The demo's two rows for several seeds: tests/bench/seeds.sh [EPOCHS] [SEED...]. Ends with 1 where one is lost.
# All labels want a rate of their own, few the cfg's.
set -euo pipefail
epochs=${1:-12}; shift || true
[ $# -gt 0 ] || set -- 0 1 2
program=${PROGRAM:-./darknet} few=2000
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
distilled=fashion-distilled labels_rate=.05
# top1 FOLDER CFG [-from-labels]
top1() { "$program" distill valid cfg/fashion.data "cfg/$2.cfg" "$out/$1/$2${3:+-labels}_final.weights" ${3:+"$3"} -json | jq .student.top1; }
printf '%-6s | %12s %10s %8s %10s | %12s %10s %8s\n' seed 'from labels' distilled margin 'no labels' "$few labels" distilled margin
for seed in "$@"; do
    # train FOLDER CFG EPOCHS FLAGS...
    train() { "$program" distill train cfg/fashion.data "cfg/$2.cfg" -epochs "$3" -seed "$seed" -backup "$out/$1" -quiet "${@:4}" >>"$out/log"; }
    cached=(-cache "$out/features" -views 2 -view-seed 0)   # one cache for all
    train all $distilled "$epochs" -from-labels -rate $labels_rate
    train few $distilled $((epochs * 60000 / few)) -from-labels -limit $few
    train all $distilled "$epochs" "${cached[@]}"
    train few $distilled "$epochs" "${cached[@]}" -labelled $few
    train none $distilled "$epochs" "${cached[@]}" -labelled 0
    awk -v s="$seed" -v l="$(top1 all $distilled -from-labels)" -v a="$(top1 all $distilled)" -v n="$(top1 none $distilled)" \
        -v lf="$(top1 few $distilled -from-labels)" -v f="$(top1 few $distilled)" \
        'BEGIN { printf "%-6s | %12.2f %10.2f %+8.2f %10.2f | %12.2f %10.2f %+8.2f\n", s, l, a, a - l, n, lf, f, f - lf }'
done | tee "$out/table"
awk '{ all += $5; few += $10; n++; lost += $5 <= 0 || $10 <= 0 } END { printf "mean margins %+.2f and %+.2f points, %d of %d seeds lost\n", all / n, few / n, lost, n; exit lost > 0 }' "$out/table"
