#!/bin/bash
# How often train measures, what it prints then, and what valid says of each head's features.
. tests/tap.sh "$@"
not_quick "trainings of detectors"
w=$work
"$build/make_shapes" "$w/shapes" 12 8 >/dev/null
data=$w/shapes/shapes.data
sed 's/^batch=.*/batch=4/; s/^random=1/random=0/' cfg/shapes/simkd.cfg >"$w/simkd.cfg"
train() { "$darknet" distill train "$data" "$w/simkd.cfg" -threads 1 -epochs 4 -backup "$w/$1" "${@:2}"; }
# rows WANT NAME: the numbers of epochs whose line has an mAP
rows() { local got; got=$(sed -n 's/.*epoch \([0-9]*\)  loss.*mAP@0.5.*/\1/p' "$w/out" | tr '\n' ' '); [ "$got" = "$1 " ] && ok "$2" || not_ok "$2" "$got"; }
lines() { local got; got=$(grep -c 'epoch [0-9]*  loss' "$w/out"); [ "$got" = "$1" ] && ok "$2" || not_ok "$2" "$got"; }

status 0 "12 images to train on, 8 to measure" train default
says out "measured every 3 epochs and at the end (-measure N)" "four times 8 are 3 epochs"
rows "3 4" "the third and the last"
lines 4 "every epoch has its line"
says out "objects   AP@0.5" "average precisions come at the end"
for class in circle square triangle; do grep -qE "^$class +[0-9]+ +[0-9.]+ +[0-9.]+$" "$w/out" && ok "of $class" || not_ok "of $class" "$(cat "$w/out")"; done
[ "$(grep -c '^circle' "$w/out")" = 1 ] && ok "once" || not_ok "once"
[ -s "$w/default/simkd_best.weights" ] && ok "the best is kept" || not_ok "the best is kept"
status 0 "-measure 1" train one -measure 1 -quiet
rows "1 2 3 4" "measures every epoch"
status 0 "-measure 2" train two -measure 2 -quiet
rows "2 4" "every other"
status 0 "-measure 100" train end -measure 100 -quiet
rows "4" "the end alone"
lines 4 "with a line an epoch all the same"
cmp -s "$w/one/simkd_final.weights" "$w/end/simkd_final.weights" && ok "the weights are the same" || not_ok "the weights are the same"
status 1 "-measure 0" train no -measure 0
says err "'-measure 0'" "is refused"
status 0 "-measure with an interrupted run" train cut -measure 2 -quiet -epochs 3
status 0 "that goes on" train cut -measure 2 -quiet -resume -force
rows "4" "goes on counting epochs"

status 0 "valid" "$darknet" distill valid "$data" "$w/simkd.cfg" "$w/one/simkd_final.weights" -json
holds "features head by head" '(.head_feature_mse | length) == 2 and (.head_feature_mse[0] != .head_feature_mse[1]) and ((.head_feature_mse | add / 2) / .feature_mse - 1 | fabs) < 1e-9'
first=$(jq '.head_feature_mse[0]' "$w/out")
status 0 "valid as a table" "$darknet" distill valid "$data" "$w/simkd.cfg" "$w/one/simkd_final.weights"
says out "mean squared error; by head: $(printf %.6f "$first"), " "too"

# A start that has been distilled before
status 0 "a whole student, from step 0" "$darknet" distill train "$data" "$w/simkd.cfg" "$w/one/simkd_final.weights" -clear -epochs 1 -quiet -backup "$w/again"
says err "is a whole student of this cfg, trained on 48 images; to distil it once more from the start was not measured to help" "is warned of"
status 0 "going on with it" "$darknet" distill train "$data" "$w/simkd.cfg" "$w/one/simkd_final.weights" -epochs 5 -quiet -backup "$w/again2"
grep -q "not measured to help" "$w/err" && not_ok "is not" || ok "is not"
"$darknet" distill train -help | grep -q "learning_rate= that did best" && ok "train -help says which rates did best" || not_ok "train -help says which rates did best"
finish
