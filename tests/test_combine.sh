#!/bin/bash
# [teachers] combine= from end to end: train, valid, summary, export, predict and the stock program on one answer of two teachers.
. tests/tap.sh "$@"
w=$work
n=128
few_images 200
net=$(sed -n '/^\[net\]/,/^\[teacher\]/p' cfg/fashion-simkd.cfg | grep -v teacher)
encoder=$(sed -n '/^\[convolutional\]/,/^\[projector\]/p' cfg/fashion-simkd.cfg | grep -v projector)
status 0 "a second teacher" "$darknet" distill train "$w/few.data" cfg/fashion-student.cfg -epochs 3 -limit $(many 1000 200) -quiet -backup "$w"
both() {   # TEACHERS-KEYS...: two teachers, one encoder
    printf '%s\n' "$net" "[teacher]" name=big "cfg=$PWD/cfg/fashion-teacher.cfg" "weights=$PWD/cfg/fashion-teacher.weights" \
        "[teacher]" name=small "cfg=$PWD/cfg/fashion-student.cfg" "weights=$w/fashion-student_final.weights" "[teachers]" "$@" "$encoder" \
        "[projector]" stack=1x1 teacher=big "[feature_l2]" "[reused_classifier]" labels=1 "[kd]" \
        "[route]" layers=2 "[projector]" stack=1x1 "[feature_l2]" "[reused_classifier]" labels=.5 "[kd]" scale=.5
}
both combine=logits weights=.7,.3 >"$w/both.cfg"
status 0 "check" "$darknet" distill check "$w/both.cfg"
status 0 "summary" "$darknet" distill summary "$w/both.cfg" -json
holds "has a share of parameters and multiply-adds for each projector" '[.projectors[].teacher] == ["big", "small"] and
    (.projectors | all(.parameters > 0 and .share > 0 and .multiply_adds > 0 and .multiply_adds_share > 0)) and
    ([.projectors[].parameters] | add) == .projector_parameters'
holds "and one classifier" '[.layers[] | select(.role == "classifier" and .type == "convolutional")] | length == 1'
status 0 "summary as a table" "$darknet" distill summary "$w/both.cfg"
says out "  2 small " "names them"
status 0 "train: [kd] and labels= behind each" "$darknet" distill train "$w/few.data" "$w/both.cfg" -limit $n -epochs 2 -views 1 -quiet -force -backup "$w/live"
status 0 "cached" "$darknet" distill train "$w/few.data" "$w/both.cfg" -limit $n -epochs 2 -views 1 -quiet -force -backup "$w/cached" -cache "$w/f" -type f32
cmp -s "$w/live/both_final.weights" "$w/cached/both_final.weights" && ok "the same weights" || not_ok "the same weights"
trained=$w/live/both_final.weights
status 0 "valid" "$darknet" distill valid "$w/few.data" "$w/both.cfg" "$trained" -json
holds "says that its answer is combined" '.combined and [.teachers[].name] == ["big", "small"]'
holds "and measures the teachers so, too" '.teacher.top1 > 80 and .agreement >= 0 and (.feature_mse | not)'
status 0 "valid as a table" "$darknet" distill valid "$w/few.data" "$w/both.cfg" "$trained"
says out "teachers combined" "has a line for both teachers"
says out "student combined" "and one for the student"
status 0 "export" "$darknet" distill export "$w/both.cfg" "$trained" "$w/out" -data "$w/few.data" -json
holds "is read alike" '.verified and ([.readers[] | select(.ran == true or .difference != null)] | length) >= 2'
cmp -s "$trained" "$w/out.weights" && ok "the training run's file is the deployed one" || not_ok "the training run's file is the deployed one"
status 1 "export -merge" "$darknet" distill export "$w/both.cfg" "$trained" "$w/merged" -merge
says err "cannot be merged with a classifier that reads several" "is refused"
status 0 "from labels" "$darknet" distill train "$w/few.data" "$w/both.cfg" -from-labels -limit $n -epochs 1 -quiet -backup "$w/labels"
status 0 "valid reads it" "$darknet" distill valid "$w/few.data" "$w/both.cfg" "$w/labels/both-labels_final.weights" -from-labels -json
cmp -s <(wc -c <"$trained") <(wc -c <"$w/labels/both-labels_final.weights") && ok "as many weights" || not_ok "as many weights"
both combine=logits weights=1,1 >"$w/equal.cfg"
status 0 "other weights after training" "$darknet" distill export "$w/equal.cfg" "$trained" "$w/other" -data "$w/few.data"
says err "was written with [teachers] weights=0.7,0.3: those of the cfg count" "are taken, with a warning"
both combine=big weights=confidence >"$w/one.cfg"
status 0 "one of them" "$darknet" distill train "$w/few.data" "$w/one.cfg" -limit $n -epochs 1 -views 1 -quiet -force -backup "$w/one"
status 0 "images weighed by confidence: cached" "$darknet" distill train "$w/few.data" "$w/one.cfg" -limit $n -epochs 1 -views 1 -quiet -force -backup "$w/two" -cache "$w/f" -type f32
cmp -s "$w/one/one_final.weights" "$w/two/one_final.weights" && ok "the same weights as live" || not_ok "the same weights as live"
status 0 "which is not the last" "$darknet" distill export "$w/one.cfg" "$w/one/one_final.weights" "$w/big" -data "$w/few.data"
status 0 "its answer" "$darknet" distill valid "$w/few.data" "$w/one.cfg" "$w/one/one_final.weights" -json
holds "is the network's" '.teacher == .teachers[0].teacher and .teacher != .teachers[1].teacher'
[ "$(grep -c '^\[softmax\]' "$w/big.cfg")" = 1 ] && ok "the other vanishes" || not_ok "the other vanishes" "$(cat "$w/big.cfg")"
sed 's/^\[kd\]$/[kd]\nteacher=small/' "$w/both.cfg" >"$w/bad.cfg"
status 1 "[kd] of another teacher than the classifier's" "$darknet" distill check "$w/bad.cfg"
says err "stands behind the classifier of teacher big, not of small" "is refused"

mkdir "$w/e"
echo classes=100 >"$w/e/cifar100.data"
: >"$w/e/resnet56.weights"
status 0 "the experiment's cfgs and jobs" env EXPERIMENTS="$w/e" tests/experiments/teachers.sh
says out "19 jobs" "are written"
rm "$w/e/resnet56.weights"   # then only that they are missing is said
for cfg in "$w"/e/cfg/*.cfg; do status 0 "check $(basename "$cfg")" "$darknet" distill check "$cfg"; done
finish
