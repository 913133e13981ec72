#!/bin/bash
# `darknet distill data`: formats, counts, sizes from headers, boxes, and what is missing or cannot be read.
set -u
. tests/tap.sh
# pnm NAME WIDTH HEIGHT: an image file that is a header and nothing else: whoever wanted its pixels would fail
pnm() { mkdir -p "$(dirname "$work/$1")"; printf 'P6\n%d %d\n255\n' "$2" "$3" >"$work/$1"; }
words() { printf '%s\n' "$@"; }

status 1 "a .data file that is not there" "$darknet" distill data "$work/none.data"
says err "none.data" "names it"
words classes=2 >"$work/empty.data"
status 1 "a .data file without images" "$darknet" distill data "$work/empty.data"
says err "neither train= nor valid= is there" "says so"
words classes=2 "train=$work/none.list" >"$work/lost.data"
status 1 "a list that is not there" "$darknet" distill data "$work/lost.data"
says err "none.list" "is named"

# ---- a classifier's list ----
words cat dog catfish >"$work/names"
for i in 1 2 3; do pnm "pets/cat$i.ppm" 40 30; done
pnm pets/dog1.ppm 20 90
pnm pets/dog2.ppm 10 10
pnm pets/x.ppm 40 30
pnm pets/catfish.ppm 640 480
for i in "$work"/pets/*.ppm; do echo "$i"; done >"$work/pets.list"
words classes=3 "names=$work/names" "train=$work/pets.list" "valid=$work/pets.list" >"$work/pets.data"
status 0 "a classifier's list" "$darknet" distill data "$work/pets.data"
says out "pets.data: 3 classes" "how many classes"
says out "format      list" "its format"
says out "images      7" "how many images"
words classes=1 "names=$work/one" "train=$work/pets/cat1.ppm.list" >"$work/one.data"
echo cat >"$work/one"; pnm pets/cat0.ppm 4 5; printf '%s\n' "$work/pets/cat1.ppm" "$work/pets/cat0.ppm" >"$work/pets/cat1.ppm.list"
status 0 "one class, each image of a size of its own" "$darknet" distill data "$work/one.data"
grep -q 'one.data: 1 class$' "$work/out" && ok "in good English" || not_ok "in good English" "$(cat "$work/out")"
grep -q '4 x 5 to 40 x 30, 2 different$' "$work/out" && ok "no size is the most common" || not_ok "no size is the most common" "$(cat "$work/out")"
rm "$work/pets/cat0.ppm"
status 0 "the list again" "$darknet" distill data "$work/pets.data"
says out "sizes       10 x 10 to 640 x 480, 4 different; most common 40 x 30, 4 images" "sizes, from headers alone"
says out "a class     0 (catfish) to 3 (cat) images" "which classes have the fewest and the most"
says out "no class    1" "images without a class"
says out "several     1 have several classes" "images of several"
if [ "$(grep -c '^  images' "$work/out")" = 2 ]; then ok "both splits"; else not_ok "both splits" "$(cat "$work/out")"; fi
status 0 "the same as JSON" "$darknet" distill data "$work/pets.data" -json
holds "counts" '.classes == 3 and .train.images == 7 and .train.format == "list" and (.train.detector | not)'
holds "every class" '.valid.per_class == [{"name":"cat","images":3},{"name":"dog","images":2},{"name":"catfish","images":0}]'
holds "no class, and several" '.train.unlabelled == 1 and .train.ambiguous == 1 and .train.unreadable == 0'
holds "sizes" '.train.sizes | .least == {"w":10,"h":10,"images":1} and .most.w == 640 and .common.images == 4 and .different == 4'
printf 'no image' >"$work/pets/dog3.ppm"
echo "$work/pets/dog3.ppm" >>"$work/pets.list"
status 1 "a file that is no image" "$darknet" distill data "$work/pets.data"
says err "1 of 8 images are not images that can be read: $work/pets/dog3.ppm" "is named"
says out "unreadable  1" "and counted"
says out "images      8" "beside the others"


# ---- images of valid= that are in train=, too ----
mkdir "$work/twins"
for i in 1 2 3; do pnm "twins/cat$i.ppm" 40 "3$i"; done
cp "$work/twins/cat2.ppm" "$work/twins/dog1.ppm"
pnm twins/dog2.ppm 40 99
printf '%s\n' "$work"/twins/cat?.ppm >"$work/twins/train.list"
printf '%s\n' "$work"/twins/dog?.ppm >"$work/twins/valid.list"
words classes=3 "names=$work/names" train=twins/train.list valid=twins/valid.list >"$work/twins.data"
status 0 "an image of valid= that is in train=, too" "$darknet" distill data "$work/twins.data"
says err "1 of 2 images of valid= are in train=, too: $work/twins/dog1.ppm = $work/twins/cat2.ppm" "is named"
says out "in train=   1 of these images" "and counted"
status 0 "as JSON" "$darknet" distill data "$work/twins.data" -json
holds "too" '.valid.in_train == 1 and (.train | has("in_train") | not)'

# ---- a folder a class ----
mkdir "$work/tree"
words cat dog >"$work/two"
for i in 1 2 3; do pnm "tree/cat/$i.ppm" 30 40; done
pnm tree/dog/1.ppm 30 40
words classes=2 "names=$work/two" "train=$work/tree" >"$work/tree.data"
status 0 "folders" "$darknet" distill data "$work/tree.data" -json
holds "each a class" '.train | .format == "folders" and ([.per_class[].images] == [3, 1]) and .sizes.different == 1'

# ---- a detector's ----
mkdir -p "$work/road/labels"
for i in $(seq 200); do
    pnm "road/images/$i.ppm" 64 48
    echo "$work/road/images/$i.ppm"
    words "0 .5 .5 .2 .2" "2 .5 .5 .1 .1" >"$work/road/labels/$i.txt"
done >"$work/road.list"
: >"$work/road/labels/7.txt"
rm "$work/road/labels/9.txt" "$work/road/images/11.ppm"
words classes=3 "names=$work/names" "train=$work/road.list" >"$work/road.data"
status 0 "a detector's list" "$darknet" distill data "$work/road.data"
says out "format      list, a detector's" "is known by its label files"
says out "boxes       394" "how many boxes"
says out "a class     0 (dog) to 197 (cat) boxes" "boxes of a class"
says out "of each     $(sed -n 1p "$work/names") 197, $(sed -n 2p "$work/names") 0, $(sed -n 3p "$work/names") 197" "of each class, where they are few"
says out "an image    0 to 2 boxes, 1.99 on average" "boxes of an image"
says out "left out    1: no label file: $work/road/images/9.ppm" "missing label files"
says out "left out    1: not there or not readable: $work/road/images/11.ppm" "missing images"
status 0 "the same as JSON" "$darknet" distill data "$work/road.data" -json
holds "boxes" '.train | .detector and .boxes == 394 and .fewest_boxes == 0 and .most_boxes == 2'
holds "boxes of every class" '[.train.per_class[].boxes] == [197, 0, 197]'
holds "what is left out" '[.train.left_out[].images] == [1, 1] and (.train.left_out | map(.why) | index("no label file")) != null'
holds "no valid= is none" 'has("valid") | not'
rm "$work/road/labels/10.txt"
status 0 "two label files that are missing" "$darknet" distill data "$work/road.data"
rm "$work/road/labels/"{13,14,15}.txt
status 1 "more left out than training takes" "$darknet" distill data "$work/road.data"
says err "train: 6 of 200 images cannot be used; up to 1 % are left out" "says so"
says out "left out    5: no label file" "and how many of what"
words classes=1 "train=$work/road.list" >"$work/road.data"
words "5 .5 .5 .2 .2" >"$work/road/labels/12.txt"
status 1 "a class out of range" "$darknet" distill data "$work/road.data"
says err "12.txt:1: warning: box dropped: the class is out of range" "is named with its line"
if [ "$(grep -n 'boxes were dropped (' "$work/err" | cut -d: -f1)" -lt "$(grep -n 'box dropped:' "$work/err" | head -1 | cut -d: -f1)" ]; then ok "how many comes first"; else not_ok "how many comes first" "$(cat "$work/err")"; fi

# ---- a detector's, with COCO's and VOC's labels ----
mkdir -p "$work/sea/Annotations"
for i in 1 2 3 4; do pnm "sea/$i.ppm" 64 48; done
images= boxes=
for i in 1 2 3 4; do
    images="$images${images:+,}{\"id\":$i,\"file_name\":\"$i.ppm\",\"width\":64,\"height\":48}"
    boxes="$boxes${boxes:+,}{\"image_id\":$i,\"category_id\":9,\"bbox\":[1,2,$((i * 10)),20],\"iscrowd\":$((i == 3))}"
    words "<annotation><size><width>64</width><height>48</height></size><object><name>cat</name><bndbox><xmin>2</xmin><ymin>3</ymin><xmax>22</xmax><ymax>13</ymax></bndbox></object></annotation>" >"$work/sea/Annotations/$i.xml"
done
words "{\"images\":[$images],\"annotations\":[$boxes],\"categories\":[{\"id\":9,\"name\":\"cat\"}]}" >"$work/sea.json"
words classes=2 names=two train=sea train_labels=sea.json valid=sea valid_labels=sea/Annotations >"$work/sea.data"
status 0 "COCO's and VOC's labels" "$darknet" distill data "$work/sea.data"
says out "passed over 1 objects that are difficult, or crowds" "crowds are counted"
says err "1 of 2 classes in names= are no category of it: dog" "a class that COCO's file does not have is named"
status 0 "the same as JSON" "$darknet" distill data "$work/sea.data" -json
holds "boxes" '.train.boxes == 3 and .train.passed_over == 1 and .valid.boxes == 4 and .train.format == "images"'
words '{"images": [}' >"$work/sea.json"
status 1 "a broken file of labels" "$darknet" distill data "$work/sea.data"
says err "sea.json:1: not JSON, or cut short (byte 13)" "is named with its place"

# ---- anchors, and a picture ----
if [ -x "$build/make_shapes" ] && "$build/make_shapes" "$work/shapes" >/dev/null 2>&1; then
    data=$work/shapes/shapes.data
    status 0 "anchors of a cfg's number" "$darknet" distill data "$data" cfg/shapes/student.cfg -sheet "$work/sheet.png"
    says out "$work/sheet.png: images of train= as they are trained on" "and says what it has drawn"
    says out "5935 of train=, at 96 x 96, letterbox" "for its input"
    says out "; of those in cfg/shapes/student.cfg 0." "beside its own"
    grep '^  anchors=' "$work/out" | sed 's/^ *//' >"$work/anchors"
    sed "s/^anchors *=.*/$(cat "$work/anchors")/" cfg/shapes/student.cfg >"$work/anchored.cfg"
    status 0 "are a line of a cfg" "$darknet" distill check "$work/anchored.cfg"
    if [ "$(head -c 4 "$work/sheet.png" | tail -c 3)" = PNG ]; then ok "a picture of what it sees"; else not_ok "a picture of what it sees"; fi
    cp "$work/sheet.png" "$work/first.png"
    status 0 "once more" "$darknet" distill data "$data" cfg/shapes/student.cfg -sheet "$work/sheet.png"
    if cmp -s "$work/sheet.png" "$work/first.png"; then ok "is the same"; else not_ok "is the same"; fi
    status 0 "another -seed" "$darknet" distill data "$data" cfg/shapes/student.cfg -sheet "$work/sheet.png" -seed 1
    if cmp -s "$work/sheet.png" "$work/first.png"; then not_ok "another one"; else ok "another one"; fi
    status 0 "any number for any input, as JSON" "$darknet" distill data "$data" -anchors 3 -width 192 -height 96 -fit stretch -json
    holds "and their boxes' shapes" '.anchors | .w == 192 and .fit == "stretch" and (.anchors | length) == 6 and .anchors[0] > 1.5 * .anchors[1] and .mean_iou > .7 and .mean_iou < 1'
    status 0 "without a cfg" "$darknet" distill data "$data" -sheet "$work/plain.png" -width 96 -height 96
    status 1 "a picture over a label file" "$darknet" distill data "$data" -sheet "$data"
    status 1 "too many anchors" "$darknet" distill data "$work/sea.data" -anchors 500
    status 1 "anchors of what has no boxes" "$darknet" distill data "$work/tree.data" -anchors 2
    says err "anchors are made of boxes, and train= has none" "say so"
    status 0 "a picture of a folder's classes" "$darknet" distill data "$work/tree.data" -json
fi

# ---- files with their pixels in memory ----
{ printf '\003'; head -c 3072 /dev/zero; printf '\007'; head -c 3072 /dev/zero; } >"$work/batch.bin"
words classes=10 "valid=$work/batch.bin" >"$work/cifar.data"
status 0 "CIFAR" "$darknet" distill data "$work/cifar.data" -json
holds "its format, channels, size" '.valid | .format == "cifar10" and .channels == 3 and .sizes.most == {"w":32,"h":32,"images":2}'
holds "classes without names are numbers" '.valid.per_class[3] == {"name":"3","images":1} and .valid.per_class[0].images == 0'
if few_of train 50 2>/dev/null && [ -s "$work/train-images-idx3-ubyte" ]; then
    words classes=10 "train=$work/train-images-idx3-ubyte" >"$work/few.data"
    status 0 "IDX" "$darknet" distill data "$work/few.data"
    says out "format      idx, 1 channel" "its format and channel"
    says out "size        28 x 28" "its one size"
    says out "images      50" "its number"
else
    echo "skipped: IDX (no Fashion-MNIST)"
fi
finish
