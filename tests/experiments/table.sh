#!/bin/bash
# What queue.sh has measured, a line a name: tests/experiments/table.sh 'fashion-*'  ->  name, seeds, mean of the last epochs, each
set -euo pipefail
cd "$(dirname "$0")/../.."
results=${RESULTS:-docs/results}
printf '%-24s %5s %8s   %s\n' name runs 'last %' each
for file in "$results"/${1:-*}.txt; do
    [ -f "$file" ] || continue
    awk -v name="$(basename "$file" .txt)" '
        { for (i = 1; i <= NF; ++i) if ($i ~ /^last=/) { v = substr($i, 6); if (v != "-") { sum += v; ++n; all = all " " v } } }
        END { if (n) printf "%-24s %5d %8.2f  %s\n", name, n, sum / n, all }' "$file"
done | sort -k3,3nr
