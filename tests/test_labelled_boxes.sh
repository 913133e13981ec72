#!/bin/bash
# train -labelled N of a detector: a teacher teaches on all images, boxes count of the first N.
. tests/tap.sh "$@"
w=$work
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
cd "$w" && "$OLDPWD/$build/make_shapes" shapes 16 4 >/dev/null && cd "$OLDPWD" || exit 1
sed -e 's/^batch=.*/batch=8/; s/^max_batches=.*/max_batches=4/' \
    -e 's/^\[reused_classifier\]/&\nlabels=1/' cfg/shapes/simkd.cfg >"$w/boxes.cfg"
data=$w/shapes/shapes.data
train() { "$darknet" distill train "$data" "$w/boxes.cfg" -epochs 2 -quiet -threads 1 -backup "$w/$1" "${@:2}"; }
status 0 "all labelled" train all
status 0 "which says nothing else" train counted -labelled 16
same "$w/all/boxes_final.weights" "$w/counted/boxes_final.weights" "than -labelled with all of them"
status 0 "five labelled" train five -labelled 5
if cmp -s "$w/all/boxes_final.weights" "$w/five/boxes_final.weights"; then not_ok "are another training"; else ok "are another training"; fi
status 1 "resumed with other labels" train five -labelled 6 -resume
says err "the run was started with training images" "is refused"
status 1 "more than there are" train more -labelled 17
says err "'-labelled 17': there are 16 training images" "is refused"
for image in $(sed 1,5d "$w/shapes/train.list"); do
    label=$(sed 's#/images/#/labels/#; s/\.[a-z]*$/.txt/' <<<"$image")
    rm -f "$label" "${image%.*}.txt"
done
status 0 "the others need no label files" train bare -labelled 5
same "$w/five/boxes_final.weights" "$w/bare/boxes_final.weights" "and train the same"
status 1 "without -labelled" train none
says err "have no label file" "they are wanted"
status 0 "none labelled" train zero -labelled 0
finish
