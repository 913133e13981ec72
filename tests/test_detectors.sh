#!/bin/bash
# Detectors end to end on drawn shapes: measured, distilled live and cached, without labels, at changing sizes, from labels.
. tests/tap.sh "$@"
not_quick "detectors end to end: test_detector_head.sh and test_fork_detectors.sh run theirs"
w=$work
same() { if cmp -s "$1" "$2"; then ok "$3"; else not_ok "$3"; fi; }
cd "$w" && "$OLDPWD/$build/make_shapes" shapes 112 12 >/dev/null && cd "$OLDPWD" || exit 1
data=$w/shapes/shapes.data
# a name, sed commands, ...: a copy of a shapes cfg
copy() { sed "${@:3}" "cfg/shapes/$2.cfg" >"$w/$1.cfg"; }
copy simkd simkd 's/^max_batches=.*/max_batches=200/'
copy student student 's/^max_batches=.*/max_batches=200/'

status 0 "valid measures the teacher" "$darknet" distill valid "$data" cfg/shapes/teacher.cfg cfg/shapes/teacher.weights -json
holds "which finds nearly all shapes" '.student.map50 > 90 and .student.map > 50 and .student.recall > 90'
holds "and says so by class" '[.student.classes[].name] == ["circle", "square", "triangle"]'
map50=$(jq .student.map50 "$w/out")
status 0 "valid without weights measures the teacher of a distillation" "$darknet" distill valid "$data" "$w/simkd.cfg" -json
holds "the same network, the same number" ".teacher.map50 == $map50 and (has(\"student\") | not)"
status 0 "valid as a table" "$darknet" distill valid "$data" "$w/simkd.cfg"
says out "mAP@[.5:.95]" "with both means"

train() { "$darknet" distill train "$data" "$w/$1.cfg" -epochs 2 -quiet -backup "$w/$2" "${@:3}"; }
status 0 "distilled live" train simkd live -views 2
says out "teacher cfg/shapes/teacher.cfg: mAP@0.5" "the teacher's mAP comes first"
says out "best mAP@0.5" "the student's is measured"
status 0 "filling a cache" train simkd fill -views 2 -cache "$w/feat" -type f32
status 0 "and from it" train simkd read -views 2 -cache "$w/feat" -type f32
says out " 0 computed" "computing nothing"
same "$w/live/simkd_final.weights" "$w/fill/simkd_final.weights" "to the same weights, bit for bit"
same "$w/live/simkd_final.weights" "$w/read/simkd_final.weights" "both times"

# Images of four and means of two: cached and live are the same; a cache of plain images is another.
copy mosaic simkd 's/^max_batches=.*/max_batches=200/; s/^\[augment\]/&\nmosaic=1\nmixup=1/'
status 0 "distilled on mosaics" train mosaic mosaic -views 2
status 0 "filling a cache" train mosaic mosaics -views 2 -cache "$w/mosaic.feat" -type f32
same "$w/mosaic/mosaic_final.weights" "$w/mosaics/mosaic_final.weights" "to the same weights, bit for bit"
if cmp -s "$w/mosaic/mosaic_final.weights" "$w/live/simkd_final.weights"; then not_ok "which are others"; else ok "which are others"; fi
status 1 "the cache of plain images is refused" train mosaic no -views 2 -cache "$w/feat" -type f32
says err "mosaic, mixup 1" "by what differs"

first=$(sed -n 1p "$w/shapes/valid.list")
predict() { "$darknet" distill predict "$data" "$w/simkd.cfg" "$w/live/simkd_final.weights" "$@"; }
status 0 "predict" "$darknet" distill predict "$data" cfg/shapes/teacher.cfg cfg/shapes/teacher.weights "$first" -out "$w/one.png"
says out "%  left " "prints boxes"
[ -s "$w/one.png" ] && ok "and draws them" || not_ok "and draws them"
status 0 "predict -json" "$darknet" distill predict "$data" cfg/shapes/teacher.cfg cfg/shapes/teacher.weights "$first" -out "$w/one.png" -json
holds "boxes within the picture" '.predictions[0] | .width == 96 and (.boxes | length > 0) and ([.boxes[] | .probability > .5 and .x > 0 and .x < 1] | all)'
status 0 "side by side" predict "$first" -side-by-side -out "$w/both.png" -json
holds "with the teacher's boxes" '.predictions[0].teacher_boxes | length > 0'
status 0 "several pictures" predict $(sed -n 2,4p "$w/shapes/valid.list") -out "$w/pictures"
[ "$(ls "$w/pictures" | wc -l)" -eq 3 ] && ok "go to a folder" || not_ok "go to a folder" "$(ls "$w/pictures")"
status 1 "predict without the picture" predict "$w/none.png" -out "$w/none.jpg"
says err "none.png" "names it"
status 1 "predict with one picture missing" predict "$w/none.png" "$first" -out "$w/rest" -json
holds "does the others" '.predictions | length == 1 and (.[0].boxes | length > 0)'
status 1 "side by side without a teacher" "$darknet" distill predict "$data" cfg/shapes/teacher.cfg cfg/shapes/teacher.weights "$first" -side-by-side
status 1 "-thresh is for detectors" "$darknet" distill predict cfg/fashion.data cfg/fashion-teacher.cfg cfg/fashion-teacher.weights "$first" -thresh .3

mkdir "$w/bare" && cp "$w"/shapes/images/train*.png "$w/bare" && ls "$w"/bare/*.png >"$w/bare.list"
printf 'classes=3\ntrain=%s\nnames=%s\n' "$w/bare.list" "$w/shapes/shapes.names" >"$w/bare.data"
status 0 "images without labels teach" "$darknet" distill train "$w/bare.data" "$w/simkd.cfg" -epochs 2 -views 2 -quiet -backup "$w/unlabelled"
same "$w/live/simkd_final.weights" "$w/unlabelled/simkd_final.weights" "as well as those with"
status 1 "but not without a teacher" "$darknet" distill train "$w/bare.data" "$w/student.cfg" -epochs 1 -quiet -backup "$w/no"
says err "label" "says what is missing"

status 0 "the distilled detector's network from labels" train simkd labels -from-labels
says out "mAP@0.5" "is measured"
status 0 "and exported" "$darknet" distill export "$w/simkd.cfg" "$w/labels/simkd-labels_final.weights" "$w/deployed" -data "$data" -verify 2 -from-labels
{ sed -n '/^\[net\]/,/^$/p' "$w/simkd.cfg"; sed -n '/^\[augment\]/,/^$/p' "$w/simkd.cfg"; sed '1,/^$/d' "$w/deployed.cfg"; } >"$w/plain.cfg"
status 0 "which is the same as a plain cfg" train plain labels
same "$w/labels/simkd-labels_final.weights" "$w/labels/plain_final.weights" "bit for bit"
status 1 "unlabelled images are refused" "$darknet" distill train "$w/bare.data" "$w/simkd.cfg" -epochs 1 -quiet -backup "$w/no" -from-labels

copy scales simkd 's/^max_batches=.*/max_batches=200/; s/^jitter=.*/jitter=0.2\nrandom=1/'
status 0 "multi-scale" train scales s1
status 0 "once more" train scales s2
same "$w/s1/scales_final.weights" "$w/s2/scales_final.weights" "gives the same weights"
if cmp -s "$w/s1/scales_final.weights" "$w/live/simkd_final.weights"; then not_ok "and others than one size"; else ok "and others than one size"; fi
status 1 "multi-scale with a cache is refused" train scales s3 -cache "$w/f2"
says err "random=1" "and says why"

status 0 "a detector trains from labels" train student labels
says out "mAP@0.5" "and is measured"
if grep -q "Avg IOU" "$w/out" "$w/err"; then not_ok "the host's chatter is not shown"; else ok "the host's chatter is not shown"; fi

copy ciou student 's/^max_batches=.*/max_batches=200/; s/^\[augment\]/&\nmosaic=1\nmixup=1/; s/^\[yolo\]/&\niou_loss=ciou\niou_thresh=0.213\niou_normalizer=0.07/'
status 0 "by CIoU, on mosaics" train ciou ciou -threads 1
if grep -q "mean nothing here" "$w/err"; then not_ok "all of which is done"; else ok "all of which is done"; fi
if cmp -s "$w/ciou/ciou_final.weights" "$w/labels/student_final.weights"; then not_ok "to other weights"; else ok "to other weights"; fi

printf 'broken' >"$w/shapes/images/train00003.png"
status 0 "a corrupt image" train simkd corrupt
says err "train00003.png" "is left out and named"
for i in 10 11 12 13; do rm "$w/shapes/images/train000$i.png"; done
status 1 "too many are an error" train simkd missing
says err "train00010.png" "that names them"

sed 's/^classes.*/classes=4/; /^names/d' "$data" >"$w/four.data"
status 1 "another number of classes" "$darknet" distill valid "$w/four.data" cfg/shapes/teacher.cfg cfg/shapes/teacher.weights
says err "3 classes" "is refused"
copy strides simkd '0,/^stride=2/s//stride=1/'
status 1 "other strides than the teacher's" "$darknet" distill check "$w/strides.cfg"
says err "its map is 6x6 (layer" "say both sizes"
copy heads simkd 's/^weights=.*/&\ntap=11/'
status 1 "another number of heads" "$darknet" distill check "$w/heads.cfg"
says err "1 taps for 2 triples" "is refused"
status 1 "-fit crop would cut boxes off" "$darknet" distill valid "$data" cfg/shapes/teacher.cfg cfg/shapes/teacher.weights -fit crop
finish
