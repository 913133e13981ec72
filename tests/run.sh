#!/bin/bash
# Runs every test program and script; prints one closing line and fails if anything failed.
#   tests/run.sh BUILD
set -u
build=${1:-build}
passed=0 failed=0 skipped=0 bad=
export DISTILL_BUILD=$build
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-100}   # threads that wait for each other leave the processor to other tests and programs
count() { sed -n "s/.*\[  $2  \] \([0-9]*\) test(s).*/\1/p" "$1" | head -1; }
for t in "$build"/tests/test_*; do
    [ -x "$t" ] && [ -f "$t" ] || continue
    case "$t" in *.o|*.d) continue ;; esac
    log=$(mktemp)
    printf '%s\n' "--- ${t##*/}"
    "$t" >"$log" 2>&1; rc=$?
    p=$(count "$log" PASSED); f=$(count "$log" FAILED); s=$(count "$log" SKIPPED)
    passed=$((passed + ${p:-0})); failed=$((failed + ${f:-0})); skipped=$((skipped + ${s:-0}))
    grep -i 'skipped:' "$log"
    if [ $rc -ne 0 ]; then
        [ "${f:-0}" -gt 0 ] || failed=$((failed + 1))
        bad="$bad ${t##*/}"
        cat "$log"
    fi
    rm -f "$log"
done
for t in tests/test_*.sh; do
    [ -x "$t" ] || continue
    printf '%s\n' "--- ${t##*/}"
    log=$(mktemp)
    "$t" "$build" >"$log" 2>&1; rc=$?
    n=$(grep -c '^ok ' "$log"); k=$(grep -c '^skipped:' "$log"); m=$(grep -c '^not ok ' "$log")
    passed=$((passed + n)); skipped=$((skipped + k)); failed=$((failed + m))
    grep '^skipped:' "$log"
    if [ $rc -ne 0 ] || [ "$m" -gt 0 ]; then
        [ "$m" -gt 0 ] || failed=$((failed + 1))
        bad="$bad ${t##*/}"
        cat "$log"
    fi
    rm -f "$log"
done
[ -z "$bad" ] || echo "failed in:$bad"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
