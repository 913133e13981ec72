#!/bin/bash
# The published networks that tests/zoo writes: as large as published, and one of them distilled, cached and exported.
. tests/tap.sh "$@"
not_quick "published networks by the command"
w=$work
make_cfg() { python3 tests/zoo/make_cfg.py "$@"; }
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }

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
    same "$w/small.cfg" "tests/fixtures/zoo/$name.cfg" "$name: the fixture is this cfg's"
done

# YOLOv4-tiny, a quarter as wide, to half of that. Without a few steps its boxes are as large as exponentials of random
# numbers are.
(cd "$w" && "$OLDPWD/$build/make_shapes" shapes 48 8 >/dev/null) || exit 1
data=$w/shapes/shapes.data
tiny() { make_cfg yolov4-tiny size=64 classes=3 batch=4 "$@"; }
tiny wide=.25 >"$w/teacher.cfg"
tiny wide=.125 ends=student teacher="$w/teacher.cfg" weights="$w/teacher_final.weights" >"$w/half.cfg"
train() { "$darknet" distill train "$data" "$@" -force -quiet; }    # the teacher finds nothing yet
status 0 "a teacher with grouped routes, from labels" train "$w/teacher.cfg" -backup "$w" -epochs 3
status 0 "check of a student half as wide" "$darknet" distill check "$w/half.cfg"
half() { train "$w/half.cfg" -epochs 2 -views 1 -backup "$w/$1" "${@:2}"; }
status 0 "distilled live" half live
status 0 "filling a cache" half fill -cache "$w/feat" -type f32
status 0 "and from it" half read -cache "$w/feat" -type f32
says out " 0 computed" "computing nothing"
for how in fill read; do
    same "$w/live/half_final.weights" "$w/$how/half_final.weights" "to the same weights, bit for bit ($how)"
done
status 0 "an epoch of it" half stop -epochs 1
status 0 "resumed" half stop -resume
same "$w/live/half_final.weights" "$w/stop/half_final.weights" "to the same weights, bit for bit (stopped)"
status 0 "weights compare" "$darknet" distill weights compare "$w/half.cfg" "$w/live/half_final.weights" "$w/stop/half_final.weights"
says out "same" "knows its layers"
status 0 "valid" "$darknet" distill valid "$data" "$w/half.cfg" "$w/live/half_final.weights" -json
export_half() {
    "$darknet" distill export "$w/half.cfg" "$w/live/half_final.weights" "$w/$1" -data "$data" -verify 2 "${@:2}"
}
status 0 "export" export_half deployed
if grep -qs '^groups=2' "$w/deployed.cfg"; then ok "grouped routes stay"; else not_ok "grouped routes stay"; fi
status 0 "export as ONNX" export_half again -onnx "$w/again.onnx"
finish
