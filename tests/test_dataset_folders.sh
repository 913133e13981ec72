#!/bin/bash
# Training on a folder of folders: the same weights, to the bit, as on a list of the same images; its cache is refused once an
# image is added; folders that are no classes end it before it begins.
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
for class in $(printf '%s\n' "${names[@]}" | LC_ALL=C sort); do
    for file in "$w/train/$class"/*; do echo "$file $class"; done
done >"$w/train.list"
printf 'classes=10\nnames=names\ntrain=train.list\nvalid=train.list\n' >"$w/list.data"
train() { timeout 120 "$darknet" distill train "$w/$1.data" "$2" -epochs 2 -quiet -backup "$w/$1" "${@:3}"; }

status 0 "labels: on a list" train list cfg/fashion-student.cfg
status 0 "and on the folders" train folders cfg/fashion-student.cfg
if cmp -s "$w"/{list,folders}/fashion-student_final.weights; then ok "give the same weights"; else not_ok "give the same weights"; fi
status 0 "a distillation with a cache" train folders cfg/fashion-simkd.cfg -cache "$w/a.feat" -views 1
cp "$w/train/bag/"*.pgm "$w/train/boot/" 2>/dev/null
status 1 "with images added its cache" train folders cfg/fashion-simkd.cfg -cache "$w/a.feat" -views 1
says err "a.feat" "is refused and named"
mv "$w/train/bag" "$w/train/bags"
status 1 "a folder that is no class" train folders cfg/fashion-student.cfg
says err "$w/train: 1 of 10 folders have no class's name: bags" "is named"
says err "top, trouser, pullover" "beside those that are expected"
finish
