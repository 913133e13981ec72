#!/bin/bash
# Speed beside PyTorch and stock Darknet, in one run: tests/bench/bench.sh [ROUNDS] [SECONDS] [PAIR...]
#
# The sides take turns for ROUNDS rounds, SECONDS for each kind of work; a side's number in a round is its fastest step, as
# the PyTorch script has it, and the table shows medians over rounds; its last column, the fastest round of our modes over
# that of PyTorch's, is for a machine whose speed others halve for minutes. Peaks are those of a process that only distils.
# The plugin runs in fp32 and, in columns of its own, as -precision auto chooses on this processor, and in bf16.
# Two more rows: SimKD without Winograd (DIRECT, a bench of a build with WINOGRAD=0), and on one thread.
# PyTorch runs where the script (PYTORCH_SIMKD, else ../shared/bench/pytorch_simkd.py) is there, and PyTorch for PYTHON: Debian's
# python3-torch, eager only, or PyTorch 2 in a virtual environment (python3 -m venv v && v/bin/pip install torch numpy;
# PYTHON=v/bin/python), which runs in all its modes: eager, compiled, and both under autocast to bfloat16. The best of those in fp32
# stands in its column, the best of all in the next.
set -euo pipefail
rounds=${1:-3} seconds=${2:-5}; shift $(($# < 2 ? $# : 2))
[ $# -gt 0 ] || set -- resnet56-resnet20 resnet32x4-resnet8x4
bench=${BENCH:-build/bench}
script=${PYTORCH_SIMKD:-../shared/bench/pytorch_simkd.py}
python=${PYTHON:-/usr/bin/python3}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-10000}   # as the program itself sets it

torch=
if [ ! -r "$script" ]; then echo "skipped: PyTorch (no $script)"
elif ! "$python" -c 'import torch' 2>/dev/null; then echo "skipped: PyTorch (python3-torch is not installed)"
else torch=$("$python" -c 'import torch; print(torch.__version__)'); fi
modes=eager
case $torch in 1.* | '') ;; *) modes="eager compile bf16 compile-bf16" ;; esac

# ours BACKEND PAIR SECONDS [FLAG...]: "WORK IMAGES/S" lines and the peak
ours() {
    local backend=$1 pair=$2 s=$3; shift 3
    "$bench" "cfg/cifar100/${pair%%-*}.cfg" "cfg/cifar100/${pair##*-}.cfg" "cfg/cifar100/$pair.cfg" -backend "$backend" -seconds "$s" "$@"
}
# PyTorch's, "WORK IMAGES/S" in fp32 and "WORK-any IMAGES/S" in the best of all modes, and the peak of the eager one
pytorch() {
    local pair=${1//resnet/r} mode; shift
    for mode in $modes; do
        env -u GOMP_SPINCOUNT "$bench" -peak "$python" "$script" --pair "$pair" --mode "$mode" "$@" 2>/dev/null |
            sed -n "s/.* plain: /student /; s/.* \(teacher\|simkd\|cached\): /\1 /; s/^\([a-z]* [0-9.]*\) images.*/\1 $mode/p; s/^peak.*/& $mode/p"
    done | awk '$1 == "peak" { if ($3 == "eager") print $1, $2; next }
        { if ($2 > any[$1]) any[$1] = $2; if ($3 !~ /bf16/ && $2 > fp32[$1]) fp32[$1] = $2 }
        END { for (work in any) { print work, fp32[work]; print work "-any", any[work] } }'
}
median() { sort -g | awk '{ v[NR] = $1 } END { if (NR) print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2; else print "-" }'; }
of() { awk -v w="$2" '$1 == w { print $2 }' "$work/$1" 2>/dev/null | median; }
# fastest FILE... WORK
fastest() { (cd "$work" && cat "${@:1:$#-1}") 2>/dev/null | awk -v w="${*: -1}" '$1 == w && $2 + 0 > v { v = $2 + 0 } END { print v ? v : "-" }'; }
ratio() { awk -v a="$1" -v b="$2" 'BEGIN { if (b + 0 > 0) printf "%.2f", a / b; else printf "-" }'; }

echo "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -1), $(nproc) cores; batch 64, 32x32; images/s, medians of $rounds rounds"
[ -z "$torch" ] || echo "PyTorch $torch, the fastest of: $modes; eager in the faster of its two memory formats"
for pair in "$@"; do
    rm -f "$work"/*
    for ((i = 0; i < rounds; ++i)); do
        ours dnnl "$pair" "$seconds" >>"$work/plugin"
        ours dnnl "$pair" "$seconds" -precision auto >>"$work/auto"
        ours dnnl "$pair" "$seconds" -precision bf16 >>"$work/bf16"
        [ -z "$torch" ] || pytorch "$pair" --seconds $((seconds * 2)) >>"$work/torch"
        [ -z "${DIRECT:-}" ] || bench=$DIRECT ours dnnl "$pair" "$seconds" >>"$work/direct"
        ours dnnl "$pair" "$seconds" -threads 1 >>"$work/one"
        [ $i -gt 0 ] || ours host "$pair" 1 -batch 4 >>"$work/stock"     # image after image: slow, whatever the batch
    done
    ours dnnl "$pair" 1 -only simkd | grep peak >"$work/alone"
    ours dnnl "$pair" 1 -only simkd -precision bf16 | grep peak >"$work/alone-bf16"
    sed -n 's/^auto: //p' "$work/auto" | sort | uniq -c
    printf '\n%-34s %8s %8s %8s %9s %9s %8s %9s %8s %12s %15s\n' "$pair" fp32 PyTorch stock 'x PyTorch' 'x stock' auto bf16 'best mode' \
        'auto x best' 'fastest rounds'
    for kind in teacher student simkd cached; do
        case $kind in
            teacher) label='teacher forward (inference)' ;;
            student) label='student alone, a training step' ;;
            simkd) label='SimKD step with a live teacher' ;;
            cached) label='SimKD step from the cache' ;;
        esac
        p=$(of plugin $kind) t=$(of torch $kind) s=$(of stock $kind)
        any=$(of torch $kind-any) auto=$(of auto $kind)
        printf '%-34s %8.1f %8s %8s %9s %9s %8.1f %9.1f %8s %12s %15s\n' "$label" "$p" "$t" "$s" "$(ratio "$p" "$t")" "$(ratio "$p" "$s")" "$auto" \
            "$(of bf16 $kind)" "$any" "$(ratio "$auto" "$any")" \
            "$(ratio "$(fastest auto bf16 $kind)" "$(fastest torch $kind-any)")"
    done
    for kind in teacher student simkd; do
        printf '%-38s %10.1f %34s %.2f' "$kind, -threads 1" "$(of one $kind)" 'all threads over one:' "$(ratio "$(of plugin $kind)" "$(of one $kind)")"
        [ -z "${DIRECT:-}" ] || printf '   without Winograd %.1f, with over without: %.2f' "$(of direct $kind)" "$(ratio "$(of plugin $kind)" "$(of direct $kind)")"
        echo
    done
    printf '%-38s %10.1f   of the teacher alone: %.2f\n' 'filling a feature cache' "$(of plugin fill)" "$(ratio "$(of plugin fill)" "$(of plugin teacher)")"
    printf '%-38s %10.1f   of a live teacher: %.2f; reading takes %s %% of a step\n' 'SimKD step from the cache' "$(of plugin cached)" \
        "$(ratio "$(of plugin cached)" "$(of plugin simkd)")" "$(of plugin reading)"
    printf '%-49s   of a live teacher: %.2f, if every product took as long in the teacher as in the student\n' '' "$(of plugin products)"
    printf '%-34s %8s %8s, in bf16 %s\n' 'peak memory, MB' "$(of alone peak)" "$(of torch peak)" "$(of alone-bf16 peak)"
done
