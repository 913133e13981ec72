#!/bin/bash
# Test programs under valgrind's memcheck: any invalid or uninitialised read and any lost block that is not in
# tests/sanitize/valgrind.supp fails. valgrind knows no AVX-512, hence a build of its own without it and without oneDNN.
#   tests/memcheck.sh [NAME...]     default: the quick list below
set -u
cd "$(dirname "$0")/.."
[ $# -gt 0 ] || set -- test_data_file test_cfg test_weights_cut test_weights_save test_feature_cache test_lower_errors
command -v valgrind >/dev/null || { echo "skipped: memcheck, valgrind is not installed"; exit 0; }
build=build-valgrind
make -j"$(nproc)" --no-print-directory DNNL=0 ONNX=0 BUILD=$build OPT="-O1 -g -march=x86-64-v3" \
    $(printf "$build/tests/%s " "$@") >"$build.log" 2>&1 || { tail -20 "$build.log"; exit 1; }
rm -f "$build.log"
log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=0
for t in "$@"; do
    SECONDS=0
    if valgrind -q --error-exitcode=99 --leak-check=full --show-leak-kinds=definite --errors-for-leak-kinds=definite \
        --suppressions=tests/sanitize/valgrind.supp "$build/tests/$t" >"$log" 2>&1; then
        echo "memcheck $t: clean, $SECONDS s"
    else
        echo "memcheck $t: failed"
        cat "$log"
        failed=1
    fi
done
exit $failed
