#!/bin/bash
# Folds compared, as detectors.sh has trained them: tests/experiments/detectors_table.sh SET...
#
#   fruit           mAP@0.5  mAP@[.5:.95]  each fold          over labels   steps to 90 % of the teacher's
#   teacher           87.70         48.40  48.10 48.60 48.50
#
# mAP in percent of the last epoch, means of the folds; steps from docs/results' curve= of mAP@[.5:.95], in a run of STEPS (1000): the
# mean of the folds that get there, and of how many folds that is where some do not.
set -euo pipefail
cd "$(dirname "$0")/../.."
[ $# -gt 0 ] || { echo "usage: $0 SET..." >&2; exit 2; }
results=${RESULTS:-docs/results} steps=${STEPS:-1000}
for set in "$@"; do
    printf '%-15s %7s %13s  %-18s  %11s   %s\n' "$set" mAP@0.5 'mAP@[.5:.95]' 'each fold' 'over labels' "steps to 90 % of the teacher's"
    for row in teacher labels alone simkd kd both; do
        [ $row = teacher ] && files=("$results/$set-"[0-9]-teacher.txt) || files=("$results/$set-$row.txt")
        for file in "${files[@]}"; do [ ! -f "$file" ] || sed "s/^/row=$row /" "$file"; done
    done | awk -v set="$set" -v steps="$steps" '
        {
            for (key in value) delete value[key]
            for (i = 1; i <= NF && $i !~ /^command=/; ++i) { n = index($i, "="); value[substr($i, 1, n - 1)] = substr($i, n + 1) }
            if (value["map"] == "" || !match($0, set "-[0-9]+\\.data")) next
            fold = substr($0, RSTART + length(set) + 1, RLENGTH - length(set) - 6); row = value["row"]
            if (!((row, fold) in map)) folds[row] = folds[row] " " fold
            if (!(row in runs)) rows[++n_rows] = row
            ++runs[row]; map[row, fold] = value["map"]; sum[row] += value["map"]; half[row] += value["last"]
            n = split(value["curve"], points, ",")
            for (i = 1; i <= n; ++i) {
                split(points[i], point, ":")
                if (point[2] >= .9 * map["teacher", fold] && ("teacher", fold) in map) {
                    ++there[row]; taken[row] += steps * point[1] / value["epochs"]; break
                }
            }
        }
        END {
            for (r = 1; r <= n_rows; ++r) {
                row = rows[r]; each = ""; lead = ""; pairs = 0; over = 0
                n = split(folds[row], f, " ")
                for (i = 1; i <= n; ++i) {
                    each = each sprintf(" %.2f", map[row, f[i]])
                    if (("labels", f[i]) in map) { ++pairs; over += map[row, f[i]] - map["labels", f[i]] }
                }
                if (pairs && row != "labels") lead = sprintf("%+.2f", over / pairs)
                soon = there[row] ? sprintf("%.0f", taken[row] / there[row]) : row == "teacher" ? "" : "-"
                if (there[row] && there[row] < n) soon = soon " (" there[row] " of " n " folds)"
                printf "%-15s %7.2f %13.2f %-19s  %11s   %s\n", row, half[row] / n, sum[row] / n, each, lead, soon
            }
        }'
done
