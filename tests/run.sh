#!/bin/bash
# Runs every test program and script, JOBS at a time, and prints how long each took; says what was skipped and why, what
# failed with all its output, the slowest, and one closing line. Fails if anything failed.
#   tests/run.sh BUILD [JOBS] [NAME...]     NAME: only these, e.g. test_conv test_export.sh
# Each test has a TMPDIR of its own, removed afterwards, so that two at a time cannot meet.
set -u
build=${1:-build} jobs=${2:-1}
shift $(($# < 2 ? $# : 2))
export DISTILL_BUILD=$build
export GOMP_SPINCOUNT=${GOMP_SPINCOUNT:-100}   # threads that wait for each other leave the processor to other tests and programs
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT

names() {
    local t
    for t in tests/test_*.sh "$build"/tests/test_*; do
        case "$t" in *.o|*.d) continue ;; esac
        [ -e "tests/${t##*/}" ] || [ -e "tests/${t##*/}.c" ] || continue     # its source is gone
        [ -x "$t" ] && [ -f "$t" ] && echo "$t"
    done
}
wanted() { [ $# -eq 1 ] || case " ${*:2} " in *" $1 "*) ;; *) return 1 ;; esac; }
# one PATH: runs a test; NAME.log is its output, NAME.rc its status, NAME.time its seconds by the clock and of processor
one() {
    local name=${1##*/} rc=0 said
    mkdir -p "$out/$name.tmp"
    TIMEFORMAT='%R %U %S'
    { time TMPDIR=$out/$name.tmp "$1" "$build" >"$out/$name.log" 2>&1 </dev/null; } 2>"$out/$name.times" || rc=$?
    rm -rf "$out/$name.tmp"
    awk '{ printf "%.1f s, %.1f s of processor\n", $1, $2 + $3 }' "$out/$name.times" >"$out/$name.time"
    echo $rc >"$out/$name.rc"
    said=$(grep -i 'skipped:' "$out/$name.log")
    [ $rc -eq 0 ] || said=$(cat "$out/$name.log")
    printf '%-28s %s\n%s' "--- $name" "$(cat "$out/$name.time")" "${said:+$said$'\n'}"
}
# cmocka's closing lines or ok / not ok lines -> "passed failed skipped"
counts() {
    awk 'match($0, /\[  (PASSED|FAILED|SKIPPED)  \] [0-9]+ test\(s\)/) { split(substr($0, RSTART), part, " "); n[part[2]] += part[4]; next }
         /^ok / { ++n["PASSED"] } /^not ok / { ++n["FAILED"] } /^skipped:/ { ++n["SKIPPED"] }
         END { print n["PASSED"] + 0, n["FAILED"] + 0, n["SKIPPED"] + 0 }' "$1"
}

running=0
for t in $(names); do
    wanted "${t##*/}" "$@" || continue
    [ $running -lt "$jobs" ] || { wait -n; running=$((running - 1)); }
    one "$t" &
    running=$((running + 1))
done
wait

passed=0 failed=0 skipped=0 bad=
for rc in "$out"/*.rc; do
    [ -f "$rc" ] || continue
    read -r p f s < <(counts "${rc%.rc}.log")
    if [ "$(cat "$rc")" -ne 0 ] || [ "$f" -gt 0 ]; then
        [ "$f" -gt 0 ] || f=1
        name=${rc##*/} bad="$bad ${name%.rc}"
    fi
    passed=$((passed + p)) failed=$((failed + f)) skipped=$((skipped + s))
done
(cd "$out" && grep -H . -- *.time | sed 's/\.time:/ /' | sort -k 2 -rn | head -8 | sed 's/^/slowest: /')
[ -z "$bad" ] || echo "failed in:$bad"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
