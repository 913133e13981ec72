#!/bin/bash
# train -labelled N: a teacher teaches on all images, labels count of the first N.
. tests/tap.sh "$@"
not_quick "trainings on a few labels"
w=$work
few_sets 200 60
teacher="[teacher]\ncfg=$PWD/cfg/fashion-teacher.cfg\nweights=$PWD/cfg/fashion-teacher.weights\n\n"
sed "s#^\[augment\]#$teacher[augment]#; s#^\[softmax\]#[kd]\n[softmax]#; /^burn_in=/d" cfg/fashion-student.cfg >"$w/kd.cfg"
sed "s#^\[augment\]#$teacher[augment]#; s#^\[softmax\]#[kd]\n[softmax]\nnoloss=1#; /^burn_in=/d" cfg/fashion-student.cfg >"$w/pure.cfg"
same() { if cmp -s "$w/$1" "$w/$2"; then ok "$3"; else not_ok "$3"; fi; }
other() { if cmp -s "$w/$1" "$w/$2"; then not_ok "$3"; else ok "$3"; fi; }
train() { "$darknet" distill train "$w/few.data" "$w/$1.cfg" -threads 1 -quiet -epochs 2 -backup "$w/$2" "${@:3}"; }

status 0 "all labelled" train kd all
status 0 "which says nothing else" train kd counted -labelled 200
same all/kd_final.weights counted/kd_final.weights "than -labelled with all of them"
status 0 "ten labelled" train kd ten -labelled 10
[ -s "$w/err" ] && not_ok "without a word on the others" "$(cat "$w/err")" || ok "without a word on the others"
other all/kd_final.weights ten/kd_final.weights "learns something else"
status 0 "no loss on labels" train pure pure
status 0 "none labelled" train kd none -labelled 0
[ -s "$w/err" ] && not_ok "as was asked" "$(cat "$w/err")" || ok "as was asked"
same pure/pure_final.weights none/kd_final.weights "is as good as a network without that loss"
status 0 "with -labelled" train pure pure-ten -labelled 10
says err "'-labelled 10': nothing in $w/pure.cfg learns from labels" "is warned"
same pure/pure_final.weights pure-ten/pure_final.weights "and changes nothing"
status 1 "resumed with other labels" train kd ten -labelled 20 -resume
says err "now it is training images=200, " "is refused"

# A list of which only the first are labelled
mkdir "$w/png"
list() { for ((i = 0; i < 12; i++)); do printf 'P5\n28 28\n255\n%s' "$(head -c 784 /dev/zero | tr '\0' "$(printf "\\$(printf %03o $((65 + i)))")")" >"$w/png/$i.pgm"; echo "$w/png/$i.pgm$([ $i -lt 5 ] && echo " $((i % 3))")"; done; }
list >"$w/list"
printf 'classes=10\ntrain=%s\n' "$w/list" >"$w/list.data"
status 0 "the others need no label" "$darknet" distill train "$w/list.data" "$w/kd.cfg" -epochs 1 -quiet -backup "$w/list-out" -labelled 5 -force
status 1 "those that count do" "$darknet" distill train "$w/list.data" "$w/kd.cfg" -epochs 1 -quiet -backup "$w/list-out" -labelled 7 -force
says err "'-labelled 7': 2 of these images have no label" "and are counted"

sed 's/^noloss=1/noloss=1\n[cost]\ntype=sse/' "$w/pure.cfg" >"$w/cost.cfg"
status 1 "an output that cannot leave images out" train cost no -labelled 10
says err "hint: [softmax] leaves them out" "is refused"
status 1 "more than there are" train kd no -labelled 201
says err "'-labelled 201': there are 200 training images" "are refused"
status 1 "from labels" train kd no -labelled 10 -from-labels
says err "'-labelled 10': unlabelled images are of no use '-from-labels'" "unlabelled images are of no use"
says err "hint: -limit N trains on the first N images alone" "another flag is"
sed "s#x#x#" cfg/fashion-student.cfg >"$w/plain.cfg"
status 1 "nor without a teacher" train plain no -labelled 10
says err "without a teacher unlabelled images are of no use" "says so"
finish
