#!/bin/bash
# Detectors of AlexeyAB's Darknet: new_coords=1 is trained from labels, teaches, is measured, drawn and exported.
set -u
. tests/tap.sh
w=$work
"$build/make_shapes" "$w/shapes" 24 8 >/dev/null
d=$w/shapes/shapes.data

# The demo's teacher with heads of new_coords; its weights make boxes of no meaning, which is no matter here.
awk '/^activation=linear/ { print "activation=logistic"; next } /^\[yolo\]/ { print; print "new_coords=1\nscale_x_y=2.0\nnms_kind=diounms\nbeta_nms=0.6"; next }
     { print }' cfg/shapes/teacher.cfg >"$w/t.cfg"
sed "s#^cfg=.*#cfg=$w/t.cfg#; s#^batch=.*#batch=4#; s#^max_batches=.*#max_batches=4#; s#^burn_in=.*#burn_in=0#" cfg/shapes/simkd.cfg >"$w/s.cfg"

status 0 "check of the teacher" "$darknet" distill check "$w/t.cfg"
says err "is of AlexeyAB's Darknet: images are stretched to the input, as it does" "says whose it is"
sed 's/^batch=.*/batch=4/; s/^max_batches=.*/max_batches=60/; s/^burn_in=.*/burn_in=0/; s/^learning_rate=.*/learning_rate=.01/' "$w/t.cfg" >"$w/l.cfg"
status 0 "train from labels" "$darknet" distill train "$d" "$w/l.cfg" -backup "$w" -quiet -epochs 6
awk '/^epoch [0-9]+ +loss/ { l[++n] = $4 } END { exit !(n == 6 && l[6] < .6 * l[1]) }' "$w/out" && ok "its loss falls" || not_ok "its loss falls" "$(cat "$w/out")"
sed 's/^activation=logistic/activation=linear/' "$w/l.cfg" >"$w/unbounded.cfg"
status 1 "train without a logistic before it" "$darknet" distill train "$d" "$w/unbounded.cfg" -backup "$w" -quiet
says err "[yolo] new_coords=1 learns from labels where the layer before has activation=logistic" "is refused"
status 0 "valid of it" "$darknet" distill valid "$d" "$w/t.cfg" cfg/shapes/teacher.weights -json
holds "stretched" '.fit == "stretch"'
status 0 "a student's check" "$darknet" distill check "$w/s.cfg"
says err "which is of AlexeyAB's Darknet: its images were stretched" "says how the teacher saw its images"
status 0 "distilling needs no labels and no loss of its own" "$darknet" distill train "$d" "$w/s.cfg" -backup "$w" -quiet -force -fit stretch
status 0 "valid of the student" "$darknet" distill valid "$d" "$w/s.cfg" "$w/s_final.weights" -fit stretch
says out "images are stretched" "and measured"
status 0 "-from-labels" "$darknet" distill train "$d" "$w/s.cfg" -from-labels -backup "$w" -quiet
status 0 "predict" "$darknet" distill predict "$d" "$w/s.cfg" "$w/s_final.weights" "$(find "$w/shapes" -name '*.png' -o -name '*.jpg' -o -name '*.ppm' | head -1)" -json -thresh .01 -out "$w/boxes.jpg"
holds "boxes" '.predictions | length == 1'
status 0 "export" "$darknet" distill export "$w/s.cfg" "$w/s_final.weights" "$w/out" -data "$d" -verify 4 -json
holds "read by this program and by OpenCV, boxes too" '(.readers | map(select(.ran)) | map(.reader) | length == 2) and (.boxes[0].ran)'
holds "the others are named" '.not_read_alike | map(.construct) | index("[yolo] new_coords=1") != null'
grep -q new_coords=1 "$w/out.cfg" && grep -q "nms_kind=diounms" "$w/out.cfg" && ok "the exported cfg keeps the keys" || not_ok "the exported cfg keeps the keys" "$(tail -30 "$w/out.cfg")"
status 0 "valid of what was exported" "$darknet" distill valid "$d" "$w/out.cfg" "$w/out.weights"
finish
