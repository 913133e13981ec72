# Shared by the shell tests: ok / not ok lines that tests/run.sh counts. Source it; call `finish` last.
build=${1:-build}
darknet=$PWD/$build/darknet
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
failures=0
ok() { printf 'ok %s\n' "$1"; }
not_ok() { printf 'not ok %s\n' "$1"; [ $# -lt 2 ] || printf '  %s\n' "$2"; failures=$((failures + 1)); }
# status WANT NAME COMMAND...: exit status must be WANT; output is left in $work/out and $work/err
status() {
    local want=$1 name=$2 got=0; shift 2
    "$@" >"$work/out" 2>"$work/err" </dev/null || got=$?
    if [ "$got" -eq "$want" ]; then ok "$name"; else not_ok "$name" "status $got, expected $want: $(tail -5 "$work/err")"; fi
}
# says FILE TEXT NAME: the text stands in $work/FILE
says() { if grep -qF -- "$2" "$work/$1"; then ok "$3"; else not_ok "$3" "no '$2' in: $(cat "$work/$1")"; fi; }
# holds NAME JQ-EXPRESSION: true of the JSON in $work/out
holds() { if jq -e "$2" "$work/out" >/dev/null; then ok "$1"; else not_ok "$1" "$(cat "$work/out")"; fi; }
idx_part() { { zcat "$1" | head -c 4; printf "\\x00\\x00\\x$(printf %02x $(($2 / 256)))\\x$(printf %02x $(($2 % 256)))"; zcat "$1" | tail -c +9 | head -c $(($3 - 8 + $2 * $4)); } 2>/dev/null; }
# few_of SET N: Fashion-MNIST's first N images and labels of train or t10k, in $work
few_of() {
    local from=/usr/share/datasets/fashion-mnist
    idx_part $from/$1-images-idx3-ubyte.gz "$2" 16 784 >"$work/$1-images-idx3-ubyte"
    idx_part $from/$1-labels-idx1-ubyte.gz "$2" 8 1 >"$work/$1-labels-idx1-ubyte"
}
# few_images N: makes $work/few.data, Fashion-MNIST measured on its first N test images only
few_images() {
    few_of t10k "$1"
    sed "s#^valid=.*#valid=$work/t10k-images-idx3-ubyte#; s#^names=#names=$PWD/#" cfg/fashion.data >"$work/few.data"
}
# few_sets TRAIN TEST: the same, trained on the first TRAIN training images only
few_sets() {
    few_of train "$1"
    few_images "$2"
    sed -i "s#^train=.*#train=$work/train-images-idx3-ubyte#" "$work/few.data"
}
# many N FEW: N, and FEW with DISTILL_QUICK, where sanitizers make everything slow
many() { if [ -z "${DISTILL_QUICK:-}" ]; then echo "$1"; else echo "$2"; fi; }
# not_quick WHAT: ends a script with DISTILL_QUICK, where it would only be slow
not_quick() { [ -z "${DISTILL_QUICK:-}" ] || { echo "skipped: $1, done without sanitizers"; exit 0; }; }
finish() { [ "$failures" -eq 0 ]; exit; }
