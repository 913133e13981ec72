#!/bin/bash
# A published detector beside its peers, in one run: tests/bench/zoo.sh [ROUNDS] [SECONDS] [NAME] [KEY=VALUE...]
#
#   training step   batch 8 (or batch=), beside PyTorch's compiled one (PYTHON with PyTorch 2; PYTORCH_CFG, else
#                   ../shared/bench/pytorch_cfg.py). The sides take turns for ROUNDS rounds of SECONDS; a side's number in a round is
#                   its fastest step, the table's the median over rounds
#   inference       `distill bench`: batch 1 and 8, beside OpenCV
#
# NAME (yolov4-tiny) and KEYs are those of tests/zoo/make_cfg.py; or NAME is a cfg file, KEYs are what its [net] is to say:
#   tests/bench/zoo.sh 5 10 yolo-fastest.cfg batch=16 width=256 height=256
# THREADS=N: both sides' threads, in the training step.
set -euo pipefail
rounds=${1:-3} seconds=${2:-20} name=${3:-yolov4-tiny}; shift $(($# < 3 ? $# : 3))
bench=${BENCH:-build/bench} darknet=${DARKNET_DISTILL:-./darknet}
script=${PYTORCH_CFG:-../shared/bench/pytorch_cfg.py}
python=${PYTHON:-/usr/bin/python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
batch=8
for pair; do case $pair in batch=*) batch=${pair#*=} ;; esac; done
# The file with the pairs in its [net], all images of a batch at once.
changed() {
    awk -v pairs="subdivisions=1 batch=8 $*" 'BEGIN { n = split(pairs, p, " "); for (i = 1; i <= n; ++i) { split(p[i], kv, "="); want[kv[1]] = kv[2] } }
        /^\[/ { for (k in want) if (inside) print k "=" want[k]; inside = /^\[net/ } { split($0, kv, /[ =]/) } !inside || !(kv[1] in want)' "$name"
}
if [ -f "$name" ]; then changed "$@" >"$work/net.cfg"
else python3 tests/zoo/make_cfg.py "$name" batch=8 "$@" >"$work/net.cfg"; fi
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print "-" }'; }

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores; $name $*, medians of $rounds rounds"
torch=
if [ ! -r "$script" ]; then echo "skipped: PyTorch (no $script)"
elif ! torch=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null); then echo "skipped: PyTorch ($python has no torch)"; fi
for ((i = 0; i < rounds; ++i)); do
    "$bench" "$work/net.cfg" -threads "${THREADS:-0}" -seconds "$seconds" 2>/dev/null | sed -n 's/^student //p' >>"$work/ours"
    [ -z "$torch" ] || "$python" "$script" "$work/net.cfg" "$batch" compile "$seconds" ${THREADS:-} 2>/dev/null |
        sed -n 's/.*training step: \([0-9.]*\) .*/\1/p' >>"$work/torch"
done
ours=$(median <"$work/ours")
printf 'training step, batch %s: %s images/s' "$batch" "$ours"
[ ! -s "$work/torch" ] || awk -v a="$ours" -v b="$(median <"$work/torch")" -v t="$torch" 'BEGIN { printf "; PyTorch %s compiled %s, ratio %.2f", t, b, a / b }'
echo
"$darknet" distill bench "$work/net.cfg" -batch 8 -seconds "$seconds"
