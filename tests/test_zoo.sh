#!/bin/bash
# The published networks that tests/zoo writes: as large as published, and one of them distilled, cached and exported.
. tests/tap.sh "$@"
w=$work
make_cfg() { python3 tests/zoo/make_cfg.py "$@"; }

# What is known of each: of detectors the size of the authors' weights files (6.24 million values of YOLOv7-tiny), of
# torchvision's classifiers the parameters.
while read -r name what number; do
    make_cfg "$name" >"$w/$name.cfg"
    status 0 "$name: summary" "$darknet" distill summary "$w/$name.cfg" -json
    holds "has $number $what, as published" ".$what == $number"
done <<'X'
yolov4 file_bytes 257717640
yolov4-tiny file_bytes 24251276
yolov7-tiny file_bytes 24967560
efficientnet-b0 parameters 5288548
mobilenetv2 parameters 3504872
mobilenetv3-large parameters 5483032
X
for name in $(make_cfg); do
    make_cfg "$name" small=1 >"$w/small.cfg"
    cmp -s "$w/small.cfg" "tests/fixtures/zoo/$name.cfg" && ok "$name: the fixture is this cfg's" || not_ok "$name: the fixture is this cfg's"
done

# YOLOv4-tiny, a quarter as wide, to half of that.
(cd "$w" && "$OLDPWD/$build/make_shapes" shapes 48 8 >/dev/null) || exit 1
data=$w/shapes/shapes.data
make_cfg yolov4-tiny wide=.25 size=64 classes=3 batch=8 >"$w/teacher.cfg"
make_cfg yolov4-tiny wide=.125 size=64 classes=3 batch=8 ends=student teacher="$w/teacher.cfg" weights="$w/teacher_final.weights" >"$w/half.cfg"
train() { "$darknet" distill train "$data" "$@" -epochs 1 -force -quiet; }    # the teacher finds nothing yet
status 0 "a teacher with grouped routes, from labels" train "$w/teacher.cfg" -backup "$w"
status 0 "check of a student half as wide" "$darknet" distill check "$w/half.cfg"
status 0 "distilled live" train "$w/half.cfg" -backup "$w/live" -views 1
status 0 "filling a cache" train "$w/half.cfg" -backup "$w/fill" -views 1 -cache "$w/feat" -type f32
status 0 "and from it" train "$w/half.cfg" -backup "$w/read" -views 1 -cache "$w/feat" -type f32
says out " 0 computed" "computing nothing"
for how in fill read; do
    cmp -s "$w/live/half_final.weights" "$w/$how/half_final.weights" && ok "to the same weights, bit for bit ($how)" || not_ok "to the same weights, bit for bit ($how)"
done
status 0 "valid" "$darknet" distill valid "$data" "$w/half.cfg" "$w/live/half_final.weights" -json
status 0 "export" "$darknet" distill export "$w/half.cfg" "$w/live/half_final.weights" "$w/deployed" -data "$data" -verify 2 -onnx "$w/deployed.onnx"
grep -q '^groups=2' "$w/deployed.cfg" && ok "grouped routes stay" || not_ok "grouped routes stay"
finish
