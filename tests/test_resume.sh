#!/bin/bash
# A training that is killed again and again, at random instants, ends on the very weights of one that was not; so does one that is
# stopped by a signal. What cannot go on exactly is refused.
. tests/tap.sh "$@"
not_quick "a training that is killed at random instants"
w=$work
kills=$(many 20 6)
export OMP_NUM_THREADS=1

# 200 training and 40 validation images of 12x12 with a grey level, and a teacher for them
idx() { printf "\\x00\\x00\\x08\\x03\\x00\\x00$(printf '\\x%02x\\x%02x' $(($1 / 256)) $(($1 % 256)))\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x0c"; }
images() { idx "$1"; for ((i = 0; i < $1; i++)); do head -c 144 /dev/zero | tr '\0' "\\$(printf %03o $((20 + i % 4 * 60)))"; done; }
labels() { printf "\\x00\\x00\\x08\\x01\\x00\\x00$(printf '\\x%02x\\x%02x' $(($1 / 256)) $(($1 % 256)))"; for ((i = 0; i < $1; i++)); do printf "\\x0$((i % 4))"; done; }
for s in train:200 t10k:40; do
    images ${s#*:} >"$w/${s%:*}-images-idx3-ubyte"
    labels ${s#*:} >"$w/${s%:*}-labels-idx1-ubyte"
done
printf 'a\nb\nc\nd\n' >"$w/names"
cat >"$w/d.data" <<X
classes=4
names=names
train=train-images-idx3-ubyte
valid=t10k-images-idx3-ubyte
X
net() { printf '[net]\nbatch=8\nsubdivisions=2\nheight=12\nwidth=12\nchannels=1\nlearning_rate=%s\nmomentum=0.9\ndecay=0.0005\nmax_batches=1000\n%s\n' "$1" "$2"; }
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=%d\npad=1\nactivation=relu\n' "$1" "$2"; }
{ net .02 "[augment]"; conv 8 2; conv 12 2; printf '[avgpool]\n[convolutional]\nfilters=4\nsize=1\nstride=1\npad=1\nactivation=linear\n[softmax]\n'; } >"$w/teacher.cfg"
student() { net "$1" "$2"; printf '[teacher]\ncfg=teacher.cfg\nweights=%s/t/teacher_final.weights\n[augment]\npad=2\nflip=1\n' "$w"; conv 6 2; printf '[dropout]\nprobability=.2\n'; conv 8 2
    printf '[projector]\n[feature_l2]\n[reused_classifier]\n'; }
student .02 "" >"$w/s.cfg"
student .002 "adam=1" >"$w/adam.cfg"
student .002 "adamw=1" >"$w/adamw.cfg"
student .002 "adam=1
adamw=1" >"$w/both.cfg"
status 0 "a teacher" "$darknet" distill train "$w/d.data" "$w/teacher.cfg" -epochs 30 -quiet -backup "$w/t"

# train CFG FOLDER FLAGS...
train() { "$darknet" distill train "$w/d.data" "$w/$1.cfg" -epochs 40 -backup "$w/$2" -threads 1 -quiet "${@:3}"; }
same() { if cmp -s "$w/$1/$3_final.weights" "$w/$2/$3_final.weights"; then ok "$4"; else not_ok "$4"; fi; }
for c in s adam adamw; do
    status 0 "$c: never interrupted" train $c whole
done
status 0 "saving at every step changes nothing" train s often -checkpoint 0
same whole often s "bit for bit"
status 0 "the same again" train s often -checkpoint 0
says out "replaces $w/often/s_final.weights of an earlier run; another -backup would keep it" "is told what it replaces"
status 0 "measured" "$darknet" distill valid "$w/d.data" "$w/s.cfg" "$w/whole/s_final.weights"
if grep -q top-1 "$work/out" && ! grep -q top-5 "$work/out"; then ok "no top-5 of four classes"; else not_ok "no top-5 of four classes"; fi

# One run after another, each killed again and again until all kills are spent: at a random instant after it has saved for the
# first time since it was started. Every one that comes to its end is compared.
killed=0 ended=0 equal=0 runs=0 went_on=0 RANDOM=${SEED:-$$}
while [ $killed -lt $kills ]; do
    touch "$w/began"
    "$darknet" distill train "$w/d.data" "$w/s.cfg" -epochs 40 -backup "$w/run$runs" -threads 1 -quiet -resume -checkpoint 0 >"$w/log" 2>&1 &
    pid=$!
    until [ "$w/run$runs/s_last.state" -nt "$w/began" ] || ! kill -0 $pid 2>/dev/null; do sleep .01; done
    sleep 0.$(printf %03d $((RANDOM % 150)))
    if kill -9 $pid 2>/dev/null; then killed=$((killed + 1)); fi
    wait $pid 2>/dev/null
    rc=$?
    [ $rc -eq 137 ] || [ $rc -eq 0 ] || { not_ok "killed run goes on" "status $rc: $(cat "$w/log")"; break; }
    grep -q 'resumed after' "$w/log" && went_on=$((went_on + 1))
    [ $rc -eq 0 ] || continue
    ended=$((ended + 1))
    cmp -s "$w/whole/s_final.weights" "$w/run$runs/s_final.weights" && equal=$((equal + 1))
    runs=$((runs + 1))
done
status 0 "the last of them to its end" train s run$runs -resume
ended=$((ended + 1))
cmp -s "$w/whole/s_final.weights" "$w/run$runs/s_final.weights" && equal=$((equal + 1))
[ $killed -eq $kills ] && [ $equal -eq $ended ] && ok "killed $killed times at random instants, $ended runs ended on the same weights" ||
    not_ok "killed at random instants" "$killed kills, $equal of $ended runs equal"
[ $went_on -ge $((kills / 2)) ] && ok "they were resumed $went_on times" || not_ok "they were resumed" "$went_on times"
[ "$(ls -A "$w/run$runs" | grep -vc '\.lock$')" -eq 6 ] && ok "and left best, final, last and its state, record and chart only" || not_ok "leftovers" "$(ls -A "$w/run$runs")"

# stopped CFG FOLDER SIGNAL STATUS NAME: by one signal, in the middle
stopped() {
    env --default-signal=INT "$darknet" distill train "$w/d.data" "$w/$1.cfg" -epochs 40 -backup "$w/$2" -threads 1 -checkpoint 0 >"$w/out" 2>"$w/err" &
    pid=$!
    for ((i = 0; i < 300; i++)); do [ -s "$w/$2/$1_last.state" ] && break; sleep .02; done
    kill -"$3" $pid
    wait $pid
    rc=$?
    [ $rc -eq "$4" ] && ok "$5" || not_ok "$5" "status $rc: $(cat "$w/err")"
}
stopped s int INT 130 "SIGINT ends the run after its step"
says out "SIGINT: stopped after step" "says so"
cp "$w/out" "$w/stopped"
says out "the same command with -resume goes on" "and how to go on"
[ ! -e "$w/int/s_final.weights" ] && ok "it was not at its end" || not_ok "it was not at its end"
cp -r "$w/int" "$w/forgot"
status 0 "a start without -resume" train s forgot
says out "after $(sed -n 's/.*after step \([0-9]*\) of.*/\1/p' "$w/stopped" | awk '{ print 8 * $1 }') of 8000 images: -resume would go on with it" "says what it overwrites"
same whole forgot s "and is the whole run"
status 0 "which it does" train s int -resume
says out "resumed after" "from where it was"
same whole int s "to the same weights"
for c in adam adamw; do
    stopped $c term TERM 143 "SIGTERM does the same, with $c=1"
    status 0 "it goes on" train $c term -resume
    same whole term $c "to the same weights"
done
cmp -s "$w/whole/adam_final.weights" "$w/whole/adamw_final.weights" && not_ok "adamw=1 is not adam=1" || ok "adamw=1 is not adam=1"
status 0 "check accepts it" "$darknet" distill check "$w/adamw.cfg"
status 0 "so does summary" "$darknet" distill summary "$w/adamw.cfg"
status 1 "both at once" train both both
says err "[net] adam=1 and adamw=1 contradict each other" "are refused"
status 0 "what comes of it is exported" "$darknet" distill export "$w/adamw.cfg" "$w/whole/adamw_final.weights" "$w/out" -data "$w/d.data"
grep -q '^adam' "$w/out.cfg" && not_ok "without its key" "$(cat "$w/out.cfg")" || ok "without its key"

status 0 "a run that is at its end has nothing left to do" train s whole -resume
same whole int s "and leaves what it had"
status 0 "nothing to resume is a start" train s new -resume
says out "nothing to resume" "that says so"
same whole new s "and the same run"

status 1 "another seed" train s int -resume -seed 5
says err "the run was started with seed=0, now it is seed=5" "is not the run that was interrupted"
status 1 "nor are fewer images" train s int -resume -limit 100
says err "training images=200" "which is named"
sed 's/momentum=0.9/momentum=0.8/' "$w/s.cfg" >"$w/other.cfg"
for f in last.state last.weights; do cp "$w/int/s_$f" "$w/int/other_$f"; done
status 1 "another cfg" train other int -resume
says err "started with cfg=" "neither"
status 0 "-force goes on all the same" train other int -resume -force
says err "the result will not be that of an uninterrupted run" "with a warning"
sed 's/^\[feature_l2\]/&\nscale=3/' "$w/s.cfg" >"$w/larger.cfg"
for f in last.state last.weights; do cp "$w/forgot/s_$f" "$w/int/again_$f"; cp "$w/forgot/s_$f" "$w/int/larger_$f"; done
cp "$w/s.cfg" "$w/again.cfg"
for c in again larger; do status 0 "-force with the $c cfg" "$darknet" distill train "$w/d.data" "$w/$c.cfg" -epochs 41 -backup "$w/int" -threads 1 -quiet -resume -force; done
cmp -s "$w/int/again_final.weights" "$w/int/larger_final.weights" && not_ok "a scale that was changed counts" || ok "a scale that was changed counts"
sed 's/^max_batches=.*/&\nburn_in=30/; s/^\[feature_l2\]/&\nfade=.01/' "$w/s.cfg" >"$w/odd.cfg"
status 0 "a rise that is longer than the run" "$darknet" distill train "$w/d.data" "$w/odd.cfg" -epochs 1 -backup "$w/odd" -threads 1 -quiet
says err "[net] burn_in=30, of 25 steps in all: the learning rate is small for most of them" "is warned of"
says err "[feature_l2] all losses have faded after step 10 of 25: nothing is learnt from then on" "so are losses that are gone before its end"
sed 's/^\[feature_l2\]/&\nscale=0/' "$w/s.cfg" >"$w/none.cfg"
{ sed '/^\[projector\]/,$d' "$w/s.cfg"; printf '[avgpool]\n[convolutional]\nfilters=4\nsize=1\nactivation=linear\n[kd]\nscale=0\n[softmax]\n'; } >"$w/labels.cfg"
status 0 "a distillation whose own output learns from labels" train labels labels
status 1 "no loss at all" train none none
says err "[feature_l2] scale=0, and nothing else has a loss: training would change nothing" "is refused"
status 1 "-resume and -clear" train s int -resume -clear
says err "contradict" "contradict each other"
head -c 100 "$w/int/s_last.state" >"$w/cut" && cp "$w/cut" "$w/int/s_last.state"
status 1 "a state that was cut" train s int -resume
says err "s_last.state: is damaged" "is refused"
rm "$w/int/s_last.state"
status 1 "weights without a state" train s int -resume
says err "has no state beside it" "are refused"

# what is not a number: a teacher whose features overflow when they are squared (scales of its second layer 1e25)
mkdir "$w/big"
cp "$w/t/teacher_final.weights" "$w/big/teacher_final.weights"
for ((i = 0; i < 12; i++)); do printf '\x51\x59\x04\x69'; done | dd of="$w/big/teacher_final.weights" bs=1 seek=$((20 + 4 * 116)) conv=notrunc status=none
sed "s#$w/t/#$w/big/#" "$w/s.cfg" >"$w/inf.cfg"
status 1 "an infinite loss ends the run" train inf inf -force
says err "[feature_l2] layer 6: its outputs are finite, their loss is not" "names the layer"
says err "the loss is inf" "and the loss"
says err "step 1 is not finite" "within the step"
[ "$(wc -l <"$w/inf/inf_nan.list")" -eq 8 ] && grep -q 'train-images-idx3-ubyte#' "$w/inf/inf_nan.list" && ok "its images are listed" || not_ok "its images are listed" "$(cat "$w/inf/inf_nan.list")"
[ ! -e "$w/inf/inf_last.weights" ] && ok "and nothing is saved" || not_ok "and nothing is saved"
status 1 "-skip-nan 3 goes on three times" train inf inf3 -skip-nan 3 -force
says out "step 3 left out, it was not finite (3 of 3)" "and says which steps are left out"
says err "step 4 is not finite" "and ends with the fourth"
sed 's/learning_rate=.*/learning_rate=1e30/' "$w/s.cfg" >"$w/rate.cfg"
status 1 "a rate that blows up the weights" train rate rate
says err "not finite" "ends the run"
says err "rate_nan.list: warning: lists the images of that step" "with its images"
[ ! -e "$w/rate/rate_last.weights" ] && ok "and nothing is saved here either" || not_ok "and nothing is saved here either"
finish
