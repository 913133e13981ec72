#!/bin/bash
# unlabelled= of a .data file: images that a teacher teaches on, behind those of train=, whatever stands beside them.
. tests/tap.sh "$@"
not_quick "trainings with unlabelled images"
w=$work
train() { "$darknet" distill train "$w/$1.data" "$w/$2.cfg" -threads 1 -epochs 2 -backup "$w/$3" "${@:4}"; }
same() { if cmp -s "$w/$1" "$w/$2"; then ok "$3"; else not_ok "$3"; fi; }
teacher="[teacher]\ncfg=$PWD/cfg/fashion-teacher.cfg\nweights=$PWD/cfg/fashion-teacher.weights\n\n"
sed "s#^\[augment\]#$teacher[augment]#; s#^\[softmax\]#[kd]\n[softmax]#; s/^batch=.*/batch=4/" cfg/fashion-student.cfg >"$w/kd.cfg"

# A classifier's list: the same as one list with -labelled.
mkdir "$w/png"
for ((i = 0; i < 12; i++)); do
    printf 'P5\n28 28\n255\n%s' "$(head -c 784 /dev/zero | tr '\0' "$(printf "\\$(printf %03o $((65 + i)))")")" >"$w/png/$i.pgm"
    echo "$w/png/$i.pgm $((i % 3))" >>"$w/all"
done
head -5 "$w/all" >"$w/first"; tail -7 "$w/all" >"$w/rest"
printf 'classes=10\ntrain=%s\n' "$w/all" >"$w/one.data"
printf 'classes=10\ntrain=%s\nunlabelled=%s\n' "$w/first" "$w/rest" >"$w/two.data"
printf 'classes=10\ntrain=%s\n' "$w/first" >"$w/few.data"
status 0 "one list, five labels" train one kd one -labelled 5 -force
status 0 "a list and unlabelled images" train two kd two -force
says out "7 images of unlabelled= teach beside 5 of train=" "are counted"
same one/kd_final.weights two/kd_final.weights "are the same, bit for bit"
status 1 "resumed without them" train few kd two -resume
says err "the run was started with training images=12, " "is another run"
status 0 "filling a cache" "$darknet" distill features "$w/two.data" "$w/kd.cfg" -out "$w/feat" -type f32 -views 1 -threads 1
says out "12 images, 1 views" "covers them"
status 0 "training from it" train two kd cached -force -cache "$w/feat" -type f32 -views 1
says out " 0 computed" "computes nothing"
status 1 "a cache without them" train few kd cached -force -cache "$w/feat" -type f32 -views 1
status 0 "from labels" train two kd labels -from-labels -force
says out "unlabelled= are left out: there is no teacher" "they are of no use"
train few kd labels2 -from-labels -force >/dev/null 2>&1
same labels/kd-labels_final.weights labels2/kd-labels_final.weights "and not used"
status 0 "with -limit" train two kd limit -limit 4 -force
says out "unlabelled= are left out: -limit" "they are not, either"
status 1 "-labelled counts those of train=" train two kd no -labelled 6
says err "'-labelled 6': there are 5 training images" "alone"

# In memory, and two kinds
few_of train 40
few_of t10k 24
printf 'classes=10\ntrain=%s\nunlabelled=%s\n' "$w/train-images-idx3-ubyte" "$w/t10k-images-idx3-ubyte" >"$w/idx.data"
status 0 "IDX files" train idx kd idx -force
says out "24 images of unlabelled= teach beside 40 of train=" "join"
status 0 "some held out" train idx kd held -force -holdout 16
says out "24 images of unlabelled= teach beside 24 of train=" "are of train="
printf 'classes=10\ntrain=%s\nunlabelled=%s\n' "$w/train-images-idx3-ubyte" "$w/rest" >"$w/mixed.data"
status 1 "a list beside IDX" train mixed kd no
says err "unlabelled= names a list of images, train= an IDX file: one set is of one kind" "is refused"
printf 'classes=10\ntrain=%s\nunlabelled=%s\n' "$w/first" "$w/none" >"$w/none.data"
status 1 "a list that is not there" train none kd no
says err "(unlabelled= in $w/none.data)" "is named"
status 0 "distill data" "$darknet" distill data "$w/two.data" -json
holds "tells of them" '.unlabelled | .images == 7 and .sizes.most.w == 28 and (has("per_class") | not)'
status 0 "as text" "$darknet" distill data "$w/two.data"
says out "unlabelled" "too"

# Detectors: label files beside these images are not looked at.
"$build/make_shapes" "$w/shapes" 12 2 >/dev/null
sed -n 1,8p "$w/shapes/train.list" >"$w/d.first"; sed -n '9,$p' "$w/shapes/train.list" >"$w/d.rest"
printf 'classes=3\ntrain=%s\n' "$w/shapes/train.list" >"$w/d-one.data"
printf 'classes=3\ntrain=%s\nunlabelled=%s\n' "$w/d.first" "$w/d.rest" >"$w/d-two.data"
sed "s#=cfg/#=$PWD/cfg/#; s/^batch=.*/batch=4/" cfg/shapes/simkd.cfg >"$w/simkd.cfg"
status 0 "a detector's list" train d-one simkd d-one
status 0 "a detector's unlabelled images" train d-two simkd d-two
same d-one/simkd_final.weights d-two/simkd_final.weights "teach as those of train= do"
sed "s/^\[reused_classifier\]/&\nlabels=1/" "$w/simkd.cfg" >"$w/labels.cfg"
status 0 "labels through the frozen head, all labelled" train d-one labels l-one
status 0 "four unlabelled" train d-two labels l-two
cmp -s "$w/l-one/labels_final.weights" "$w/l-two/labels_final.weights" && not_ok "teach something else" || ok "teach something else"
cmp -s "$w/d-two/simkd_final.weights" "$w/l-two/labels_final.weights" && not_ok "than no labels at all" || ok "than no labels at all"
while read -r image; do label=${image%.*}.txt; label=${label/images/labels}; : >"$label"; done <"$w/d.rest"
status 0 "what stands beside them changes" train d-two labels l-again
same l-two/labels_final.weights l-again/labels_final.weights "nothing"
status 0 "images without objects" train d-one labels l-empty
cmp -s "$w/l-two/labels_final.weights" "$w/l-empty/labels_final.weights" && not_ok "are something else than unlabelled ones" || ok "are something else than unlabelled ones"
status 0 "distill data of a detector" "$darknet" distill data "$w/d-two.data" -json
holds "counts them and no boxes" '.unlabelled | .images == 4 and .detector and (has("boxes") | not)'
finish
