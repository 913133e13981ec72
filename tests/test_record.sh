#!/bin/bash
# What a training tells while it runs: NAME.jsonl line by line, also of one that is interrupted; the chart beside it; the line on a
# terminal, which never wraps, and nothing of it elsewhere.
. tests/tap.sh "$@"
not_quick "what a training tells"
w=$work
export OMP_NUM_THREADS=1

# 200 training and 40 validation images of 12x12 with a grey level, two pixels apart no two alike, and a teacher for them
idx() { printf "\\x00\\x00\\x08\\x03\\x00\\x00\\x00\\x$(printf %02x "$1")\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x0c"; }
images() {
    idx "$1"
    for ((i = 0; i < $1; i++)); do
        printf "\\x$(printf %02x "$i")\\x$(printf %02x "$1")"
        head -c 142 /dev/zero | tr '\0' "\\$(printf %03o $((20 + i % 4 * 60)))"
    done
}
labels() { printf "\\x00\\x00\\x08\\x01\\x00\\x00\\x00\\x$(printf %02x "$1")"; for ((i = 0; i < $1; i++)); do printf "\\x0$((i % 4))"; done; }
for s in train:200 t10k:40; do
    images ${s#*:} >"$w/${s%:*}-images-idx3-ubyte"
    labels ${s#*:} >"$w/${s%:*}-labels-idx1-ubyte"
done
printf 'a\nb\nc\nd\n' >"$w/names"
printf 'classes=4\nnames=names\ntrain=train-images-idx3-ubyte\nvalid=t10k-images-idx3-ubyte\n' >"$w/d.data"
net() { printf '[net]\nbatch=8\nsubdivisions=2\nheight=12\nwidth=12\nchannels=1\nlearning_rate=.02\nmomentum=0.9\nmax_batches=1000\n'; }
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=2\npad=1\nactivation=relu\n' "$1"; }
{ net; echo '[augment]'; conv 8; conv 12; printf '[avgpool]\n[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[softmax]\n'; } >"$w/teacher.cfg"
{ net; printf '[teacher]\ncfg=teacher.cfg\nweights=%s/t/teacher_final.weights\n[augment]\nflip=1\n' "$w"; conv 6; conv 8
    printf '[projector]\n[feature_l2]\n[reused_classifier]\nlabels=1\n[kd]\n'; } >"$w/s.cfg"
status 0 "a teacher" "$darknet" distill train "$w/d.data" "$w/teacher.cfg" -epochs 8 -quiet -backup "$w/t" -threads 1
train() { "$darknet" distill train "$w/d.data" "$w/s.cfg" -epochs "$1" -backup "$w/$2" -threads 1 "${@:3}"; }

# ---- the record ----
status 0 "12 epochs of 25 steps" train 12 whole
grep -q $'\r' "$w/out" && not_ok "a pipe gets no carriage return" || ok "a pipe gets no carriage return"
[ "$(grep -cE '^epoch [0-9]+  loss [0-9.]+  rate ' "$w/out")" = 12 ] && ok "a line an epoch" || not_ok "a line an epoch" "$(cat "$w/out")"
# record FOLDER NAME JQ-EXPRESSION: true of the record's lines as a list
record() { if jq -se "$3" "$w/$1/s.jsonl" >/dev/null; then ok "$2"; else not_ok "$2" "$(head -c 2000 "$w/$1/s.jsonl")"; fi; }
[ "$(wc -l <"$w/whole/s.jsonl")" = "$(jq -c . "$w/whole/s.jsonl" | wc -l)" ] && ok "an object a line" || not_ok "an object a line"
record whole "start, steps and epochs, end" '.[0].kind == "start" and .[-1].kind == "end" and ([.[].kind] | map(select(. == "epoch")) | length) == 12'
record whole "every step to 200, then every other" '[.[] | select(.kind == "step").step] == [range(1; 201), range(202; 301; 2)]'
record whole "what is trained" '.[0] | .name == "s" and .from_labels == false and .seed == 0 and .batch == 8 and .images == 200 and .classes == 4 and .epochs == 12 and .steps == 300 and .detector == false'
record whole "the time" '.[0].time | fromdateiso8601 > 1700000000'
record whole "the teacher and its accuracy" '.[0].teachers | length == 1 and .[0].name == "teacher" and .[0].top1 >= 50 and .[0].top1 <= 100'
record whole "parts make the loss" '[.[] | select(.loss)] | length == 262 and all((.parts | keys == ["cross_entropy", "feature_l2", "kd"]) and ((.parts | add) / .loss - 1 | fabs) < 1e-5)'
record whole "an epoch is the mean of its steps" '([.[] | select(.kind == "step" and .epoch == 1).loss] | add / 25) as $mean | ([.[] | select(.kind == "epoch")][0].loss / $mean - 1 | fabs) < 1e-6'
record whole "epochs have accuracies, no top-5 of four classes" '[.[] | select(.kind == "epoch")] | all(.top1 >= 0 and .top5 == null and .rate > 0 and .images_per_s > 0)'
record whole "the best are the best" '[.[] | select(.kind == "epoch")] | . as $all | all(.best == (. as $me | [$all[] | select(.epoch < $me.epoch).top1] | all(. < $me.top1)))'
record whole "shares of time" '[.[] | select(.kind == "epoch").wait] | all((keys == ["data", "student", "teacher"]) and ((add - 1) | fabs) < 1e-6 and all(.[]; . >= 0))'
record whole "the end" '.[-1] | .step == 300 and .epoch == 12 and .stopped == false and .seconds > 0 and (.weights | endswith("s_final.weights"))'

# ---- the chart ----
# png FILE NAME: a PNG of 1000x700 that is no blank page
png() {
    local head; head=$(head -c 24 "$1" | od -An -v -tx1 | tr -d ' \n')
    [ "$head" = 89504e470d0a1a0a0000000d49484452000003e8000002bc ] && [ "$(wc -c <"$1")" -gt 8000 ] && ok "$2" || not_ok "$2" "$head"
}
png "$w/whole/chart_s.png" "a chart of 1000x700"
cp "$w/whole/chart_s.png" "$w/before.png"
status 0 "nothing left to do" train 12 whole -resume
cmp -s "$w/before.png" "$w/whole/chart_s.png" && ok "draws the same chart" || not_ok "draws the same chart"
status 0 "the same from labels" train 4 whole -from-labels -quiet
png "$w/whole/chart_s-labels.png" "has a chart of its own"
jq -se '.[0].from_labels and .[0].teachers == [] and ([.[] | select(.loss).parts | keys] | unique) == [["softmax"]]' "$w/whole/s-labels.jsonl" >/dev/null &&
    ok "and a record" || not_ok "and a record" "$(head -3 "$w/whole/s-labels.jsonl")"
status 0 "and the distillation" train 12 whole -resume
cmp -s "$w/before.png" "$w/whole/chart_s.png" && not_ok "draws it beside its own" || ok "draws it beside its own"

# ---- interrupted ----
# as_whole FOLDER NAME: the record is that of the whole run, but for times
as_whole() {
    local but='del(.time, .images_per_s, .wait, .seconds, .weights)'
    if diff <(jq -c "$but" "$w/whole/s.jsonl") <(jq -c "$but" "$w/$1/s.jsonl") >"$w/diff"; then ok "$2"; else not_ok "$2" "$(head -5 "$w/diff")"; fi
}
# interrupt FOLDER SIGNAL: in the middle, behind a step between two lines
interrupt() {
    env --default-signal=TERM "$darknet" distill train "$w/d.data" "$w/s.cfg" -epochs 12 -backup "$w/$1" -threads 1 -checkpoint 0 >"$w/out" 2>"$w/err" &
    pid=$!
    for ((i = 0; i < 1000; i++)); do grep -qs '"step":2[0-9][0-9],' "$w/$1/s.jsonl" && break; sleep .01; done
    kill -"$2" $pid
    wait $pid 2>/dev/null
}
interrupt term TERM
record term "a stopped run says so" '.[-1] | .kind == "end" and .stopped and .step < 300 and (.weights | endswith("s_last.weights"))'
status 0 "it goes on" train 12 term -resume
as_whole term "to the record of one that was never interrupted"
interrupt kill KILL
printf '{"kind":"step","step":29' >>"$w/kill/s.jsonl"
status 0 "after kill -9 and a torn line, too" train 12 kill -resume -checkpoint 0
as_whole kill "to the same record"
status 0 "and on to 13 epochs" train 13 kill -resume
record kill "whose start says 13" '.[0].epochs == 13 and .[0].steps == 325 and (.[0].teachers[0].top1 > 0) and .[-1].step == 325 and ([.[].kind] | map(select(. == "end")) | length) == 1'
rm "$w/kill/s.jsonl"
status 0 "a record that is gone" train 14 kill -resume
record kill "begins where the run goes on" '.[0].from_step == 325 and .[1].step == 326'
status 0 "without -resume" train 1 kill -quiet
record kill "the old record goes" '.[-1].step == 25 and length == 28'

# ---- files that are not ours, and disks that are full ----
mkdir "$w/mine"
echo "my notes" >"$w/mine/s.jsonl"
status 1 "somebody's file of that name" train 1 mine
says err "s.jsonl: is no record of a training" "is refused"
says err "-backup folder of its own" "with what to do"
[ "$(cat "$w/mine/s.jsonl")" = "my notes" ] && ok "and unchanged" || not_ok "and unchanged"
limited() { ( ulimit -f 20; train "$@" ); }
status 0 "where files end at 20 kB training goes on" limited 12 short -quiet
[ "$(grep -c 's.jsonl: warning: cannot write: File too large; training goes on' "$w/err")" = 1 ] && ok "and says once what is not written" || not_ok "and says once what is not written" "$(cat "$w/err")"
says err "chart_s.png: warning: cannot write: File too large" "of the chart, too"
cmp -s "$w/short/s_final.weights" "$w/whole/s_final.weights" && ok "its weights are whole" || not_ok "its weights are whole"
status 0 "with room again" train 12 short -resume
record short "every line is whole" '.[0].kind == "start" and .[-1].kind == "end"'

# ---- on a terminal ----
command -v script >/dev/null || { echo "skipped: no script(1) for a terminal"; finish; }
# terminal COLUMNS FLAGS...: what a terminal gets
terminal() { TERM=xterm script -qec "stty cols $1; '$darknet' distill train '$w/d.data' '$w/s.cfg' -epochs 4 -checkpoint 0 -backup '$w/live' -threads 1 ${*:2}" /dev/null >"$w/out" 2>"$w/err" </dev/null; }
# drawn: the line's texts; left: what stays on the screen
drawn() { tr '\r' '\n' <"$w/out" | sed -n 's/^\x1b\[K\(\[\|epoch [0-9]*\.\)/\1/p'; }
left() { sed 's/\r$//; s/.*\r\x1b\[K//' "$w/out"; }
for columns in 14 40 80 200; do
    terminal $columns
    longest=$(drawn | awk '{ if (length($0) > n) n = length($0) } END { print n + 0 }')
    [ "$longest" -gt 0 ] && [ "$longest" -lt $columns ] && ok "a terminal of $columns columns: no line wraps" || not_ok "a terminal of $columns columns" "$longest columns: $(drawn | tail -1)"
    left | grep -vE '^(replaces .*/s_final.weights of an earlier run|teacher .*: top-1|images are |epoch [0-9]+  loss |best top-1 |features: |$)' >"$w/rest"
    [ ! -s "$w/rest" ] && ok "and nothing of it stays" || not_ok "and nothing of it stays" "$(cat -v "$w/rest")"
done
[ "$(left | grep -c '^epoch')" = 4 ] && ok "a row an epoch stays" || not_ok "a row an epoch stays" "$(left)"
drawn | grep -qE '^\[#*\.*\] +[0-9]+ %  epoch [0-9.]+/4  loss [0-9.e-]+  \(feature_l2 [0-9.e-]+, kd [0-9.e-]+, cross_entropy [0-9.e-]+\)  rate 0.02  [0-9]+ images/s  left [0-9a-z]+  time: data [0-9]+ %, teacher [0-9]+ %, student [0-9]+ %$' &&
    ok "200 columns have room for all" || not_ok "200 columns have room for all" "$(drawn | tail -1)"
terminal 80 -quiet
grep -q $'\x1b' "$w/out" && not_ok "-quiet: nothing is drawn" "$(cat -v "$w/out")" || ok "-quiet: nothing is drawn"
[ "$(grep -c '^epoch' "$w/out")" = 4 ] && ok "but the rows" || not_ok "but the rows"
finish
