#!/bin/bash
# Runs the fuzz targets for SECONDS each, two at a time, and prints what came of it; fails if anything was found.
#   tests/fuzz/run.sh BUILD SECONDS [TARGET...]      FUZZ_JOBS=2: so many at a time
# What a target learns stays in BUILD/corpus/TARGET, and is where the next run begins.
set -u
build=$1 seconds=$2; shift 2
targets=${*:-$(cd tests/fuzz && ls fuzz_*.c | sed 's/fuzz_\(.*\)\.c/\1/')}
export build seconds
export ASAN_OPTIONS=detect_leaks=1:allocator_may_return_null=0:handle_abort=1 UBSAN_OPTIONS=print_stacktrace=1

# A reader asks for memory in proportion to its file; images are pixels, up to a limit of their own (image_io.cpp).
one() {
    local name=$1 limit=64 folder=$(mktemp -d /dev/shm/distill-fuzz-XXXXXX)
    [ "$name" != image ] || limit=450
    mkdir -p "$build/corpus/$name" "$build/found"
    FUZZ_FOLDER=$folder "$build/fuzz_$name" "$build/corpus/$name" "tests/fuzz/corpus/$name" -max_total_time="$seconds" -timeout=20 \
        -max_len=16384 -malloc_limit_mb=$limit -rss_limit_mb=2048 -print_final_stats=1 -close_fd_mask=3 \
        -artifact_prefix="$(realpath "$build/found")/$name-" >"$build/$name.log" 2>&1
    echo $? >"$build/$name.rc"
    rm -rf "$folder"
}
export -f one
rm -f "$build"/found/*
printf '%s\n' $targets | xargs -P "${FUZZ_JOBS:-2}" -I{} bash -c 'one {}'

found=0
printf '%-12s %12s %8s %8s  %s\n' target executions edges files findings
for t in $targets; do
    log=$build/$t.log
    n=$(sed -n 's/^stat::number_of_executed_units: *//p' "$log") edges=$(grep -o 'cov: [0-9]*' "$log" | tail -1 | cut -c6-)
    bad=none
    if [ "$(cat "$build/$t.rc")" != 0 ]; then
        bad="1, see $log"
        found=1
    fi
    printf '%-12s %12s %8s %8s  %s\n' "$t" "${n:--}" "${edges:--}" "$(ls "$build/corpus/$t" | wc -l)" "$bad"
    for f in "$build/found/$t"-*; do
        [ ! -e "$f" ] || printf '  again: %s %s\n' "$build/fuzz_$t" "$f"
    done
done
exit $found
