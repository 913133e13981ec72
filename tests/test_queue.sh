#!/bin/bash
# The queue of experiments, with a program that only pretends: what was interrupted is resumed by the program it began with, what is
# finished is skipped, two queues share the jobs.
. tests/tap.sh "$@"
not_quick "the queue of experiments"
w=$work
export EXPERIMENTS=$w/e RESULTS=$w/r PROGRAM=$w/program FAKE=$w
queue() { tests/experiments/queue.sh "$w/jobs" "$@"; }
fake() { cat >"$w/program" <<X
#!/bin/bash
# version $1
X
    cat >>"$w/program" <<'X'
echo "$(sed -n 2p "$0") $*" >>"$FAKE/calls"
folder=$(sed 's/.*-backup \([^ ]*\) .*/\1/' <<<"$*")
case "$*" in *boxes*)
    echo 'teacher teacher.cfg: mAP@0.5 98.54 %, mAP@[.5:.95] 72.28 % of 500 images'
    for epoch in 1 2 3; do
        echo "epoch $epoch  loss 2.0  rate 0.1  25 images/s  mAP@0.5 5$epoch.00 %  mAP 2$epoch.50 %"
    done
    exit;;
esac
case "$*" in *broken*) echo "error: this one is broken"; [ -e "$FAKE/mended" ] || exit 1;; esac
if [ -e "$folder/state" ]; then echo "resumed after 60 images"
else
    echo 'epoch 1  loss 2.5  rate 0.1  400 images/s  top-1 40.00 %  top-5 80.00 %'
    touch "$folder/state"
    case "$*" in *slow*) touch "$FAKE/began"; trap 'echo saved; exit 143' TERM; for ((i = 0; i < 600; i++)); do sleep .05; done;; esac
fi
echo 'epoch 2.50/3  step 5/6  loss 2.2  rate 0.1  410 images/s  left 1s'
echo 'epoch 3  loss 2.0  rate 0  420 images/s  top-1 51.00 %  top-5 90.00 %'
echo 'best top-1 52.50 % after epoch 2; weights in there, 3s'
X
    chmod +x "$w/program"; }
fake 1
cat >"$w/jobs" <<'X'
# three jobs
one   ./darknet distill train my.data my.cfg -seed 7 -quiet
two   ./darknet distill train my.data slow.cfg -seed 1   # is interrupted
two   ./darknet distill train my.data my.cfg -seed 10
X
tests/experiments/queue.sh "$w/jobs" >"$w/log" 2>&1 &
pid=$!
for ((i = 0; i < 400; i++)); do [ -e "$w/began" ] && break; sleep .05; done
[ "$(cat "$w/r/one.txt")" = 'seed=7 epochs=3 last=51.00 best=52.50 images/s=420 command=./darknet distill train my.data my.cfg -seed 7 -quiet' ] &&
    ok "the first has its line" || not_ok "the first has its line" "$(cat "$w/r/one.txt")"
status 0 "a second queue" queue
grep -q 'seed=10' "$w/r/two.txt" && ok "does what the first has not begun" || not_ok "does what the first has not begun"
[ "$(grep -c slow.cfg "$w/calls")" -eq 1 ] && ok "and nothing else" || not_ok "and nothing else" "$(cat "$w/calls")"
echo 'three ./darknet distill train my.data my.cfg -seed 11' >>"$w/jobs"
status 0 "the state of things" queue -status
says out "one                      finished" "one is finished"
says out "two                      epoch 1  loss 2.5" "the next is at work"
says out "two                      finished" "so is the last"
says out "three                    waiting" "a new line waits"
kill -TERM $pid
wait $pid
[ $? -eq 143 ] && ok "SIGTERM ends it" || not_ok "SIGTERM ends it"
grep -q '^saved' "$w"/e/two-*/log && ok "after its job has saved" || not_ok "after its job has saved" "$(cat "$w"/e/two-*/log)"
! grep -q slow.cfg "$w/r/two.txt" && ok "which has no line" || not_ok "which has no line"

fake 2
status 0 "started again" queue
[ "$(grep -c 'my.data my.cfg -seed 7' "$w/calls")" -eq 1 ] && ok "what is finished is skipped" || not_ok "what is finished is skipped" "$(cat "$w/calls")"
[ "$(grep -c '# version 1 distill train .*slow.cfg' "$w/calls")" -eq 2 ] && ok "what was interrupted goes on, with the program it began with" ||
    not_ok "what was interrupted goes on" "$(cat "$w/calls")"
grep -q '# version 2 .*-resume my.data my.cfg -seed 11' "$w/calls" && ok "the next with the new one" || not_ok "the next with the new one" "$(cat "$w/calls")"
grep -q 'resumed after 60' "$w"/e/two-*/log && ok "resumed" || not_ok "resumed"
[ "$(cut -d' ' -f1,3 "$w/r/two.txt" | tr '\n' ' ')" = 'seed=10 last=51.00 seed=1 last=51.00 ' ] && ok "both have their lines" || not_ok "both have their lines" "$(cat "$w/r/two.txt")"
calls=$(wc -l <"$w/calls")
status 0 "once more" queue
[ "$(wc -l <"$w/calls")" -eq "$calls" ] && ok "nothing is left to do" || not_ok "nothing is left to do"

cat >>"$w/jobs" <<'X'
five  ./darknet distill train my.data broken.cfg
four  ./darknet distill train my.data my.cfg -seed 1 && echo 'behind it' && cp "$out/state" "$out/copy"
X
status 1 "a job that fails" queue
says out "five: status 1, " "is said"
says out "ends on: error: this one is broken" "with its last word"
grep -q "seed=1 .*behind it" "$w/r/four.txt" && cat "$w"/e/four-*/copy >/dev/null && ok "the others run" || not_ok "the others run"
touch "$w/mended"
status 0 "and is tried again by the next start" queue
grep -q 'seed=0 epochs=3' "$w/r/five.txt" && ok "to its end" || not_ok "to its end"
echo 'six ./darknet distill train my.data boxes.cfg' >>"$w/jobs"
status 0 "a detector" queue
[ "$(cut -d' ' -f1-6 "$w/r/six.txt")" = 'seed=0 epochs=3 last=53.00 best=- map=23.50 curve=1:21.50,2:22.50,3:23.50' ] &&
    ok "has its mAP over epochs" || not_ok "has its mAP over epochs" "$(cat "$w/r/six.txt")"
echo 'a/b ./darknet' >>"$w/jobs"
status 1 "a name that is none" queue
says out "not a job: a/b ./darknet" "is said"
finish
