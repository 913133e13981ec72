#!/bin/bash
# Training on a folder of folders: the same weights, to the bit, as on a list of the same images, classes mixed; its cache is
# refused once an image is added; folders that are no classes end it before it begins. On a folder of images without classes:
# the same as on a list without, for whoever needs no labels; the others say so.
. tests/tap.sh "$@"
w=$work
images=/usr/share/datasets/fashion-mnist
if [ ! -d $images ]; then echo "skipped: folders of folders, $images is not installed"; exit 0; fi

# The first 100 test images as PGM, in train/CLASS/NUMBER.pgm.
names=(top trouser pullover dress coat sandal shirt sneaker bag boot)
printf '%s\n' "${names[@]}" >"$w/names"
gzip -dc $images/t10k-images-idx3-ubyte.gz | tail -c +17 | head -c $((100 * 784)) >"$w/pixels"
i=0
for label in $(gzip -dc $images/t10k-labels-idx1-ubyte.gz | tail -c +9 | head -c 100 | od -An -v -tu1); do
    mkdir -p "$w/train/${names[$label]}"
    { printf 'P5\n28 28\n255\n'; tail -c +$((i * 784 + 1)) "$w/pixels" | head -c 784; } >"$w/train/${names[$label]}/$(printf %03d $i).pgm"
    i=$((i + 1))
done
printf 'classes=10\nnames=names\ntrain=train\nvalid=train\n' >"$w/folders.data"
# Image k of a class of n at (2 k + 1) / (2 n), as a whole number
for class in $(printf '%s\n' "${names[@]}" | LC_ALL=C sort); do
    files=("$w/train/$class"/*) n=${#files[@]} k=0
    for file in "${files[@]}"; do echo "$(((2 * k + 1) * 232792560 * 437437 / (2 * n))) $file $class"; k=$((k + 1)); done
done | LC_ALL=C sort -s -n -k1,1 | cut -d' ' -f2- >"$w/train.list"
printf 'classes=10\nnames=names\ntrain=train.list\nvalid=train.list\n' >"$w/list.data"
train() { timeout 120 "$darknet" distill train "$w/$1.data" "$2" -epochs 2 -quiet -backup "$w/b/$1" "${@:3}"; }

status 0 "labels: on a list" train list cfg/fashion-student.cfg
status 0 "and on the folders" train folders cfg/fashion-student.cfg
if cmp -s "$w"/b/{list,folders}/fashion-student_final.weights; then ok "give the same weights"; else not_ok "give the same weights"; fi
status 0 "a distillation with a cache" train folders cfg/fashion-simkd.cfg -cache "$w/a.feat" -views 1
cp "$w/train/bag/"*.pgm "$w/train/boot/" 2>/dev/null
status 1 "with images added its cache" train folders cfg/fashion-simkd.cfg -cache "$w/a.feat" -views 1
says err "a.feat" "is refused and named"
mv "$w/train/bag" "$w/train/bags"
status 1 "a folder that is no class" train folders cfg/fashion-student.cfg
says err "$w/train: 1 of 10 folders have no class's name: bags" "is named"
says err "top, trouser, pullover" "beside those that are expected"

# ---- without classes ----
mkdir "$w/flat"
for ((i = 0; i < 20; i++)); do { printf 'P5\n28 28\n255\n'; tail -c +$((i * 784 + 1)) "$w/pixels" | head -c 784; } >"$w/flat/$(printf %02d $i).pgm"; done
printf 'classes=10\nnames=names\ntrain=flat\nvalid=flat\n' >"$w/flat.data"
for file in "$w"/flat/*; do echo "$file"; done >"$w/flat.list"
printf 'classes=10\ntrain=flat.list\nvalid=flat.list\n' >"$w/unnamed.data"
status 0 "distilling on images in one folder" train flat cfg/fashion-simkd.cfg
status 0 "and on a list of them" train unnamed cfg/fashion-simkd.cfg
if cmp -s "$w"/b/{flat,unnamed}/fashion-simkd_final.weights; then ok "gives the same weights"; else not_ok "gives the same weights"; fi
status 0 "features" "$darknet" distill features "$w/flat.data" cfg/fashion-simkd.cfg -out "$w/f.feat" -views 1 -quiet
status 0 "predict" "$darknet" distill predict "$w/flat.data" cfg/fashion-simkd.cfg "$w/b/flat/fashion-simkd_final.weights" "$w/flat/00.pgm"
status 0 "valid compares student and teacher" "$darknet" distill valid "$w/flat.data" cfg/fashion-simkd.cfg "$w/b/flat/fashion-simkd_final.weights" -json
holds "and has no accuracy" '.images == 20 and .labelled == 0 and (.student | has("top1") | not) and .agreement >= 0'
status 1 "training from labels" train flat cfg/fashion-student.cfg
says err "$w/flat: there is no folder in it, expected one for each class: top, trouser, pullover" "says that there are none"
says err "hint: move each image into the folder of its class, or let train= name a list of images" "and where they would be"
status 1 "so does valid of what has no teacher" "$darknet" distill valid "$w/flat.data" cfg/fashion-student.cfg "$w/b/list/fashion-student_final.weights"
says err "none of the 20 images has a class" "in words"
sed "s#^\[augment\]#[teacher]\ncfg=$PWD/cfg/fashion-teacher.cfg\nweights=$PWD/cfg/fashion-teacher.weights\n\n[augment]#; s#^\[softmax\]#[kd]\n[softmax]\nnoloss=1#" cfg/fashion-student.cfg >"$w/kd.cfg"
status 0 "[kd] alone" train flat "$w/kd.cfg"
printf 'classes=10\nnames=names\ntrain=few.list\nvalid=flat\nunlabelled=flat\n' >"$w/more.data"
grep -v /bag/ "$w/train.list" >"$w/few.list"
status 0 "as unlabelled= beside a list" "$darknet" distill train "$w/more.data" "$w/kd.cfg" -force -epochs 1 -backup "$w/b/more"
says out "20 images of unlabelled= teach beside 88 of train=" "they teach"
says err "20 of 20 validation images are among the training images, too: $w/flat/" "and are seen where they are measured, too"
finish
