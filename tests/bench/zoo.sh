#!/bin/bash
# A published detector beside its peers, in one run: tests/bench/zoo.sh [ROUNDS] [SECONDS] [NAME] [KEY=VALUE...]
#
#   training step   batch 8, beside PyTorch's compiled one (PYTHON with PyTorch 2; PYTORCH_CFG, else
#                   ../shared/bench/pytorch_cfg.py). The sides take turns for ROUNDS rounds of SECONDS; a side's number in a round is
#                   its fastest step, the table's the median over rounds
#   inference       `distill bench`: batch 1 and 8, beside OpenCV
#
# NAME (yolov4-tiny) and KEYs are those of tests/zoo/make_cfg.py.
set -euo pipefail
rounds=${1:-3} seconds=${2:-20} name=${3:-yolov4-tiny}; shift $(($# < 3 ? $# : 3))
bench=${BENCH:-build/bench} darknet=${DARKNET_DISTILL:-./darknet}
script=${PYTORCH_CFG:-../shared/bench/pytorch_cfg.py}
python=${PYTHON:-/usr/bin/python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 tests/zoo/make_cfg.py "$name" batch=8 "$@" >"$work/net.cfg"
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print "-" }'; }

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores; $name $*, medians of $rounds rounds"
torch=
if [ ! -r "$script" ]; then echo "skipped: PyTorch (no $script)"
elif ! torch=$("$python" -c 'import torch; print(torch.__version__)' 2>/dev/null); then echo "skipped: PyTorch ($python has no torch)"; fi
for ((i = 0; i < rounds; ++i)); do
    "$bench" "$work/net.cfg" -seconds "$seconds" 2>/dev/null | sed -n 's/^student //p' >>"$work/ours"
    [ -z "$torch" ] || "$python" "$script" "$work/net.cfg" 8 compile "$seconds" 2>/dev/null |
        sed -n 's/.*training step: \([0-9.]*\) .*/\1/p' >>"$work/torch"
done
ours=$(median <"$work/ours")
printf 'training step, batch 8: %s images/s' "$ours"
[ ! -s "$work/torch" ] || awk -v a="$ours" -v b="$(median <"$work/torch")" -v t="$torch" 'BEGIN { printf "; PyTorch %s compiled %s, ratio %.2f", t, b, a / b }'
echo
"$darknet" distill bench "$work/net.cfg" -batch 8 -seconds "$seconds"
