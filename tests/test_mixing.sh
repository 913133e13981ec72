#!/bin/bash
# mixup and cutout by the command: cached and live runs end on the same weights, so does one that was interrupted; caches and
# checkpoints of other keys are refused; targets of a classifier that learns from labels are mixed; detectors refuse the keys.
. tests/tap.sh "$@"
not_quick "trainings with mixup and cutout"
w=$work
n=$(many 300 100)
few_images 100
# cfg NAME FROM LINE...: a cfg of the demo with the lines in its [augment], or in one of its own
cfg() {
    local name=$1 from=$2; shift 2
    sed -e "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" "$from" |
        awk -v lines="$(printf '%s;' "$@")" '{ print } /^\[augment\]/ { gsub(";", "\n", lines); print lines }' >"$w/$name.cfg"
}
cfg off cfg/fashion-simkd.cfg
cfg mixed cfg/fashion-simkd.cfg mixup=0.4 cutout=8
cfg other cfg/fashion-simkd.cfg mixup=0.3 cutout=8
cfg cut cfg/fashion-simkd.cfg cutout=8
train() { "$darknet" distill train "$w/few.data" "$w/$1.cfg" -limit $n -epochs 3 -quiet -views 2 -backup "$w/$2" "${@:3}"; }
same() { if cmp -s "$w/$1/$3_final.weights" "$w/$2/$3_final.weights"; then ok "$4"; else not_ok "$4"; fi; }
differ() { if cmp -s "$1" "$2"; then not_ok "$3"; else ok "$3"; fi; }

status 0 "check takes mixup and cutout" "$darknet" distill check "$w/mixed.cfg"
status 0 "live" train mixed live
status 0 "cached, filling as it goes" train mixed fill -cache "$w/a.feat" -type f32
same live fill mixed "the same weights, bit for bit"
status 0 "features fills another, one image after the other" "$darknet" distill features "$w/few.data" "$w/mixed.cfg" -limit $n -views 2 -type f32 -out "$w/b.feat"
status 0 "training on it" train mixed read -cache "$w/b.feat" -type f32
says out " 0 computed" "computes nothing"
same live read mixed "and gives the same weights: its maps are of mixed images"
status 0 "without mixup and cutout" train off off -cache "$w/off.feat" -type f32
differ "$w/live/mixed_final.weights" "$w/off/off_final.weights" "other weights"
status 0 "cutout alone" train cut cut
differ "$w/cut/cut_final.weights" "$w/off/off_final.weights" "other weights again"

status 1 "the cache of another mixup is refused" train other no -cache "$w/a.feat" -type f32
says err "mixup 0.4, cutout 8" "and named"
says err "mixup 0.3, cutout 8" "beside its own"
status 1 "the cache of plain images is refused" train mixed no -cache "$w/off.feat" -type f32
if grep -aq 'mixup\|cutout' "$w/off.feat"; then not_ok "caches of plain images are made as before"; else ok "caches of plain images are made as before"; fi

# Stopped after the first epoch, then gone on with.
"$darknet" distill train "$w/few.data" "$w/mixed.cfg" -limit $n -epochs 3 -quiet -views 2 -backup "$w/half" -checkpoint 0 >"$w/log" 2>&1 &
pid=$!
until grep -q "^epoch 1" "$w/log" 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep .02; done
kill -TERM $pid 2>/dev/null
wait $pid 2>/dev/null
cp "$w/other.cfg" "$w/kept.cfg"
cp "$w/mixed.cfg" "$w/own.cfg"
cp "$w/kept.cfg" "$w/mixed.cfg"
status 1 "a run of another mixup is not gone on with" train mixed half -resume
says err "cfg=" "the cfg is another"
cp "$w/own.cfg" "$w/mixed.cfg"
status 0 "the same one is" train mixed half -resume
says out "resumed after" "from where it was"
same live half mixed "to the same weights"

# By labels: no cross-entropy is below the entropy of its targets. That is 0.5 for factors of Beta(1, 1) where the two classes
# differ, 1.18 for labels smoothed by 0.3; Darknet's own sum would be 2 and more for both.
cfg one cfg/fashion-student.cfg
cfg labels cfg/fashion-student.cfg mixup=1
cfg smooth cfg/fashion-student.cfg label_smoothing=0.3
sed -i 's/^burn_in=.*/burn_in=0/' "$w/one.cfg" "$w/labels.cfg" "$w/smooth.cfg"
by_labels() { "$darknet" distill train "$w/few.data" "$w/$1.cfg" -limit 64 -epochs 60 -quiet -backup "$w/$1" -seed 2 "${@:2}"; }
last_loss() { sed -n 's/^epoch 60  loss \([0-9.]*\).*/\1/p' "$w/out"; }
status 0 "by labels" by_labels one
plain=$(last_loss)
status 0 "by mixed labels" by_labels labels
mixed=$(last_loss)
status 0 "by smoothed labels" by_labels smooth
smooth=$(last_loss)
if awk -v p="$plain" -v m="$mixed" -v s="$smooth" 'BEGIN { exit !(p > 0 && p < .6 && m > .6 && m < 1.9 && s > 1.18 && s < 1.9) }'
then ok "losses are cross-entropies by those targets"; else not_ok "losses are cross-entropies by those targets" "$plain, $mixed, $smooth"; fi

cfg detector cfg/shapes/student.cfg cutout=4
status 1 "check refuses cutout in a detector" "$darknet" distill check "$w/detector.cfg"
says err "cutout=4 is for classifiers, this network has [yolo]" "and says why"
finish
