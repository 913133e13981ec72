#!/bin/bash
# Choices without the test set: -holdout measures on training images that are not trained on.
. tests/tap.sh "$@"
w=$work
few_sets 300 60
sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" cfg/fashion-simkd.cfg >"$w/s.cfg"
same() { if cmp -s "$w/$1" "$w/$2"; then ok "$3"; else not_ok "$3"; fi; }
train() { "$darknet" distill train "$w/few.data" "$w/s.cfg" -threads 1 -quiet -epochs 2 -backup "$w/$1" "${@:2}"; }

status 0 "40 held out" train held -holdout 40
says out "teacher $PWD/cfg/fashion-teacher.cfg: top-1" "the teacher is measured"
says out "of 40 images" "on these"
best=$(sed -n 's/^epoch 2 .*top-1 \([0-9.]*\) %.*/\1/p' "$w/out")
status 0 "valid on them" "$darknet" distill valid "$w/few.data" "$w/s.cfg" "$w/held/s_final.weights" -holdout 40 -json
holds "the same accuracy" ".images == 40 and (.student.top1 - $best | fabs) < .01"
status 0 "valid on the first of them" "$darknet" distill valid "$w/few.data" "$w/s.cfg" "$w/held/s_final.weights" -holdout 40 -limit 7 -json
holds "seven" '.images == 7'
status 0 "the others by -limit" train limit -limit 260
same held/s_final.weights limit/s_final.weights "train to the same weights"
sed '/^valid=/d' "$w/few.data" >"$w/no.data"
status 0 "needs no valid=" "$darknet" distill train "$w/no.data" "$w/s.cfg" -threads 1 -quiet -epochs 1 -backup "$w/no" -holdout 40 -limit 100
says out "top-1" "to measure"
status 1 "a state of the whole set" train held -resume
says err "started with training images=260, " "is refused"
says err "now it is training images=300, " "with both"

status 0 "features of the images that are trained on" "$darknet" distill features "$w/few.data" "$w/s.cfg" -views 1 -out "$w/f" -holdout 40
says out "260 images" "alone"
status 0 "training reads them" train cached -holdout 40 -cache "$w/f" -views 1
says out " 0 computed" "all"
status 1 "a cache of other images" train cached -cache "$w/f" -views 1
says err "was made with data set=" "is refused"
status 1 "all of them" train all -holdout 300
says err "300 images are to be held out of 300" "is too many"
[ "$(grep -c "to be held out" "$work/err")" = 1 ] && ok "said once" || not_ok "said once" "$(cat "$work/err")"

mkdir -p "$w/photos"
for grey in 1 2 3 x y z; do printf 'P5\n28 28\n255\n%s' "$(head -c 784 /dev/zero | tr '\0' $grey)" >"$w/photos/$grey.pgm"; done
printf '%s\n' {1,2,3}.pgm\ a {x,y,z}.pgm\ b | sed "s#^#$w/photos/#" >"$w/sorted.list"
printf 'classes=2\ntrain=%s\nnames=%s\nbackup=%s\n' "$w/sorted.list" "$w/ab" "$w/ab-backup" >"$w/sorted.data"
printf 'a\nb\n' >"$w/ab"
sed '/^filters=10/s/10/2/' cfg/fashion-student.cfg >"$w/two.cfg"
status 0 "images class by class" "$darknet" distill train "$w/sorted.data" "$w/two.cfg" -epochs 1 -quiet -holdout 3
says err "1 of 2 classes are among the 3 images held out and not among those trained on" "are warned of"
finish
