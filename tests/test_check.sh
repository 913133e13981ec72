#!/bin/bash
# What check says, and train and valid with it, of cfgs that would train something else than was meant.
set -u
. tests/tap.sh
w=$work
for i in 0 1 2 3; do { printf 'P6\n8 8\n255\n'; head -c 192 /dev/zero; } >"$w/p$i.ppm"; printf '%s %s\n' "$w/p$i.ppm" $((i % 2)) >>"$w/list"; done
printf 'one\ntwo\n' >"$w/names"
printf 'classes=2\nnames=%s\ntrain=%s\nvalid=%s\nbackup=%s\ntop=2\n' "$w/names" "$w/list" "$w/list" "$w" >"$w/d.data"
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%s\nsize=3\nstride=%s\npad=1\nactivation=leaky\n' "$1" "${2:-1}"; }
net() { printf '[net]\nbatch=%s\nsubdivisions=1\nwidth=8\nheight=8\nchannels=3\nmax_batches=2\nlearning_rate=1e-6\n' "${1:-4}"; }
tail_of() { printf '[avgpool]\n[connected]\noutput=2\nactivation=linear\n'; }
check() { "$darknet" distill check "$w/$1.cfg" "${@:2}"; }
train() { "$darknet" distill train "$w/d.data" "$w/$1.cfg" -threads 1 "${@:2}"; }

# No loss.
{ net; conv 4; tail_of; } >"$w/lossless.cfg"
status 0 "check of a net without a loss" check lossless
says err "warning: [connected] nothing in this network has a loss: training would change nothing" "warns"
status 1 "training it" train lossless
says err "[connected] nothing in this network has a loss: training would change nothing" "is an error"
ls "$w" | grep -q lossless_ && not_ok "nothing is written" || ok "nothing is written"
{ net; conv 4; tail_of; printf '[softmax]\nnoloss=1\n'; } >"$w/off.cfg"
status 1 "noloss=1" train off
says err "hint: leave out noloss=1" "is named"

# One image at a time.
{ net 1; conv 4; conv 4 8; tail_of; echo '[softmax]'; } >"$w/one.cfg"
status 0 "training one image at a time" train one
says err "batch=1 subdivisions=1 is one image at a time: batch norm makes its biases of the 1x1 map of [convolutional] (line 16)" "is warned of"
status 0 "check of a plain cfg" check one
[ -s "$w/err" ] && not_ok "says nothing: it may never be trained" "$(cat "$w/err")" || ok "says nothing: it may never be trained"

# A teacher; black pictures leave it variances of 0.
{ net; conv 4; conv 8 2; tail_of; echo '[softmax]'; } >"$w/teacher.cfg"
status 0 "a teacher" train teacher
student() { net "$1"; printf '[teacher]\ncfg=teacher.cfg\nweights=%s\n%s\n' "$2" "${3:-}"; conv 4; conv 4 2; printf '[projector]\nstack=1x1\n[feature_l2]\n[reused_classifier]\n'; }
student 4 teacher_final.weights >"$w/s.cfg"
status 0 "check reads its weights" check s
says err "12 of 12 variances are so small (least 0, layer 0)" "and notices variances at which epsilon matters"
says err "hint: if it was trained there, write eps=.00001 in [teacher]" "and says what to write"
student 4 teacher_final.weights eps=.00001 >"$w/e.cfg"
status 0 "check with eps=" check e
[ -s "$w/err" ] && not_ok "says nothing" "$(cat "$w/err")" || ok "says nothing"
status 0 "valid of the teacher" "$darknet" distill valid "$w/d.data" "$w/teacher.cfg" "$w/teacher_final.weights"
says err "weights fold CFG WEIGHTS OUT -eps .00001" "notices them and says what to do"
status 0 "weights fold -eps" "$darknet" distill weights fold "$w/teacher.cfg" "$w/teacher_final.weights" "$w/folded" -eps .00001
status 0 "valid of what it wrote" "$darknet" distill valid "$w/d.data" "$w/folded.cfg" "$w/folded.weights"
grep -q variances "$w/err" && not_ok "has nothing left to notice" || ok "has nothing left to notice"
student 1 teacher_final.weights eps=.00001 >"$w/one.cfg"
status 0 "check of a distillation of one image at a time" check one
says err "is one image at a time" "warns"

# Without the teacher's weights all else is checked.
student 4 none.weights eps=.00001 | sed 's/stack=1x1/stack=2x2/' >"$w/none.cfg"
status 1 "check without the teacher's weights" check none
says err "'stack' is '2x2'" "goes on"
student 4 none.weights >"$w/none.cfg"
status 0 "and where that is all" check none
says err "warning: [teacher] cannot read the teacher's weights none.weights: No such file or directory; all else is checked" "says so"
status 1 "training without them" train none

# Floods.
{ net; for _ in $(seq 40); do conv 4; echo xyz=1; done; tail_of; echo '[softmax]'; } >"$w/flood.cfg"
status 0 "forty unknown keys" check flood
[ "$(grep -c xyz "$w/err")" -eq 1 ] && ok "are one line" || not_ok "are one line" "$(cat "$w/err")"
says err "(40 times, lines 16, 24, 32, ...)" "with the first three places"
status 0 "as JSON" check flood -json
holds "all are there" '.warnings == 40 and (.messages | length == 40)'
finish
