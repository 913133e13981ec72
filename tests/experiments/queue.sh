#!/bin/bash
# Trainings one after another, in the background, through restarts: tests/experiments/queue.sh JOBS [-status]
#
# JOBS is a text, a job a line: NAME, then the shell command that trains, run in the repository's root; # begins a comment.
#
#   fashion-labels   ./darknet distill train cfg/fashion.data cfg/fashion-simkd.cfg -from-labels -epochs 12 -seed 0 -quiet
#   fashion-labels   ./darknet distill train cfg/fashion.data cfg/fashion-simkd.cfg -from-labels -epochs 12 -seed 1 -quiet
#
# Start it, and after a restart of the machine start it again; either way it goes on where it was:
#
#   setsid nice tests/experiments/queue.sh tests/experiments/first.jobs </dev/null >/dev/null 2>&1 &
#   tail experiments/queue.log; tests/experiments/queue.sh tests/experiments/first.jobs -status
#
# Each job has a folder, experiments/NAME-HASH, with its log, its weights (-backup, which the command may set otherwise; $out
# names the folder) and a copy of ./darknet from its first start, so that building anew disturbs no job that has begun. -resume is
# added: an interrupted job is the run it would have been. One that ends well appends a line to docs/results/NAME.txt, which says
# that it is done: jobs with a line there are left out. One that fails is tried again by the next start. A changed command
# is another job. Lines that are added to JOBS while the queue runs are found. kill PID (TERM) saves the job and ends the queue.
# A second queue of the same JOBS runs beside the first and takes what that one does not: two jobs of -threads 1 do more on two
# cores than one after another with -threads 2, and a busy neighbour slows one of them only.
set -euo pipefail
[ $# -ge 1 ] || { echo "usage: $0 JOBS [-status]" >&2; exit 2; }
jobs=$(realpath -e "$1")
cd "$(dirname "$0")/../.."
work=${EXPERIMENTS:-experiments} results=${RESULTS:-docs/results} program=${PROGRAM:-./darknet}
list() { sed -E 's/(^|[[:space:]])#.*//; s/[[:space:]]*$//; /^$/d' "$jobs"; }
folder() { printf '%s/%s-%s' "$work" "$1" "$(printf %s "$2" | sha256sum | cut -c1-6)"; }
finished() { [ -f "$results/$1.txt" ] && sed 's/^.* command=//' "$results/$1.txt" | grep -qxF -- "$2"; }
last_epoch() { grep -Es '^epoch [0-9]+  loss ' "$1/log" | tail -1 || true; }
say() { printf '%s %s\n' "$(date '+%F %T')" "$*" | tee -a "$work/queue.log"; }

if [ "${2:-}" = -status ]; then
    list | while read -r name command; do
        if finished "$name" "$command"; then state=finished; else state=$(last_epoch "$(folder "$name" "$command")"); fi
        printf '%-24s %s\n' "$name" "${state:-waiting}"
    done
    exit
fi

mkdir -p "$work/bin" "$results"
child=
stop() {
    trap '' TERM INT
    if [ -n "$child" ]; then kill -TERM -- "-$child" 2>/dev/null || true; wait "$child" || true; fi
    say "stopped"
    exit 143
}
trap stop TERM INT

# the job's own copy of the program, in $out
take_program() {
    local sum
    sum=$(sha256sum "$program" | cut -c1-12)
    [ -x "$work/bin/$sum" ] || { cp "$program" "$work/bin/$sum.new" && mv "$work/bin/$sum.new" "$work/bin/$sum"; }
    ln "$work/bin/$sum" "$out/darknet"
}

# "KEY=VALUE ..." of the job's log; a detector measured more than once has its mAP over epochs, too
result() {
    local line best seed curve
    line=$(last_epoch "$out")
    best=$(sed -n 's/^best [^ ]* \([0-9.]*\) %.*/\1/p' "$out/log" | tail -1)
    seed=$(sed -n 's/.* -seed \([0-9]*\).*/\1/p' <<<"$2 ")
    curve=$(sed -n 's/^epoch \([0-9]*\)  .* %  mAP \([0-9.]*\) %.*/\1:\2/p' "$out/log" | paste -sd,)
    [[ $curve == *,* ]] || curve=
    sed -n "s/^epoch \([0-9]*\)  .*  \([0-9]*\) images\/s\(  \(top-1\|mAP@0.5\) \([0-9.]*\) %\(  mAP \([0-9.]*\) %\)\?\)\?.*/seed=${seed:-0} epochs=\1 last=\5 best=$best map=\7 curve=$curve images\/s=\2/p" <<<"$line" |
        sed 's/ map= / /; s/ curve= / /; s/=\( \|$\)/=-\1/g'
}

# name, command: 0 where it came to its end
run_job() {
    local name=$1 command=$2 status=0 line
    [ -x "$out/darknet" ] || take_program
    [[ $command == *-resume* ]] || command=${command//distill train /distill train -resume }
    command=${command//distill train /distill train -backup \"\$out\" }
    say "$name: starts in $out"
    out=$out setsid bash -c "${command//.\/darknet/\"\$out\"/darknet}" </dev/null >>"$out/log" 2>&1 &
    child=$!
    wait "$child" || status=$?
    child=
    if [ $status -ne 0 ]; then say "$name: status $status, $out/log ends on: $(tail -1 "$out/log")"; return 1; fi
    line=$(result "$name" "$2")
    printf '%s command=%s\n' "${line:-seed=- epochs=- last=- best=- images/s=-}" "$2" >>"$results/$name.txt"
    say "$name: ${line:-finished}"
}

declare -A failed=()
taken() {   # locks $out; a job that outlives its queue holds it, too
    mkdir -p "$out"
    exec 9>>"$out/lock"
    ! flock -n 9
}
next() {   # the first that is not done, has not failed now and is nobody's: to $name, $command and $out
    local known
    known=$(list)
    while read -r name command; do
        [[ $name =~ ^[A-Za-z0-9._-]+$ && -n $command ]] || { say "not a job: $name $command"; exit 1; }
        if finished "$name" "$command" || [ -n "${failed[$name $command]:-}" ]; then continue; fi
        out=$(folder "$name" "$command")
        if ! taken && ! finished "$name" "$command"; then return 0; fi
        exec 9>&-
    done <<<"$known"
    return 1
}
while next; do
    run_job "$name" "$command" || failed[$name $command]=1
    exec 9>&-
done
say "all done, ${#failed[@]} failed"
[ ${#failed[@]} -eq 0 ]
