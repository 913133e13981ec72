#!/bin/bash
# What goes through a detector's frozen head, by the command: [kd], labels=, weight=teacher, scale=auto and a head of the
# student's own. Live and cached, without labels, resumed, exported: a plain network with the teacher's head.
. tests/tap.sh "$@"
not_quick "a detector's frozen head by the command"
w=$work
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
cd "$w" && "$OLDPWD/$build/make_shapes" shapes 48 6 >/dev/null && cd "$OLDPWD" || exit 1
data=$w/shapes/shapes.data
# a name, keys of [feature_l2], of [reused_classifier] and what follows: a distillation of the shapes' detector
write() {
    sed "s/^scale=20/$2/; s/^batch=.*/batch=16/; s/^learning_rate=.*/learning_rate=.01/; s/^max_batches=.*/max_batches=6/; s/^burn_in=.*/burn_in=2/
         s/^\[reused_classifier\]/[reused_classifier]\n$3/" cfg/shapes/simkd.cfg >"$w/$1.cfg"
}
write plain "" ""
write kd "" "\n[kd]"
write all "scale=auto\nweight=teacher\nnormalise=channel" "labels=1\n\n[kd]\nfocal=1"
train() { "$darknet" distill train "$data" "$w/$1.cfg" -quiet -backup "$w/$2" "${@:3}"; }
status 0 "check" "$darknet" distill check "$w/all.cfg"
status 0 "live" train all live -views 1
says out "[feature_l2] scale=auto is" "a scale is found"
if grep -q "Avg IOU" "$w/out" "$w/err"; then not_ok "the host's chatter is not shown"; else ok "the host's chatter is not shown"; fi
status 0 "filling a cache" train all fill -views 1 -cache "$w/feat" -type f32
status 0 "and from it" train all read -views 1 -cache "$w/feat" -type f32
says out " 0 computed" "computing nothing"
for how in fill read; do same "$w/live/all_final.weights" "$w/$how/all_final.weights" "to the same weights, bit for bit ($how)"; done
status 0 "half of it" train all half -views 1 -epochs 1
status 0 "and the rest" train all half -views 1 -resume
same "$w/live/all_final.weights" "$w/half/all_final.weights" "end on the same weights"

# no label file anywhere: [kd] wants none, labels= does
mkdir "$w/bare" && cp "$w"/shapes/images/train*.png "$w/bare" && ls "$w"/bare/*.png >"$w/bare.list"
printf 'classes=3\ntrain=%s\nnames=%s\n' "$w/bare.list" "$w/shapes/shapes.names" >"$w/bare.data"
bare() { "$darknet" distill train "$w/bare.data" "$w/$1.cfg" -quiet -backup "$w/bare-$1"; }
status 0 "images without labels teach" bare kd
status 1 "but not where labels are asked for" bare all
says err "label" "which is said"

export_of() { "$darknet" distill export "$w/$1.cfg" "$w/live/$1_final.weights" "$w/$1-deployed" -data "$data" -verify 2; }
status 0 "exported" export_of all
status 0 "the plain distillation" train plain live
status 0 "exported, too" export_of plain
if diff <(sed 1,20d "$w/all-deployed.cfg") <(sed 1,20d "$w/plain-deployed.cfg") >&2; then ok "is the same network"; else not_ok "is the same network"; fi

# a head of the student's own, behind the layer that the first triple reads
own='[convolutional]\nfilters=16\nsize=1\nactivation=linear\n\n[yolo]\nmask=0,1\nanchors=8,8, 16,16\nclasses=3\nnum=2\ndeploy=0\n\n[route]\nlayers=5\n'
awk -v own="$own" '/^\[projector\]/ && !n++ { print own } { print }' "$w/kd.cfg" | sed 's/^layers=6$/layers=9/' >"$w/own.cfg"
status 0 "with a head of its own" train own live
says out "mAP@0.5" "is measured"
status 0 "which is not exported" export_of own
if diff <(sed 1,20d "$w/own-deployed.cfg") <(sed 1,20d "$w/plain-deployed.cfg") >&2; then ok "but is the same network"; else not_ok "but is the same network"; fi
finish
