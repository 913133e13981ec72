#!/bin/bash
# What is said of data that is not as it should be: once, first how many, and what to do; results stay valid JSON whatever the names.
. tests/tap.sh "$@"
w=$work
export OMP_NUM_THREADS=1
times() { if [ "$(grep -cF -- "$1" "$w/err")" -eq "$2" ]; then ok "$3"; else not_ok "$3" "'$1' not $2 times in: $(cat "$w/err")"; fi; }
picture() { mkdir -p "$(dirname "$1")"; { printf 'P5\n12 12\n255\n'; head -c 144 /dev/zero | tr '\0' "\\$(printf %03o "$2")"; } >"$1"; }
base64 -d >"$w/whole.jpg" <<'X'
/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDACgcHiMeGSgjISMtKygwPGRBPDc3PHtYXUlkkYCZlo+AjIqgtObDoKrarYqMyP/L2u71////m8H////6/+b9//j/
2wBDASstLTw1PHZBQXb4pYyl+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj4+Pj/wAARCAAQABADASIAAhEBAxEB/8QA
HwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcICQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkK
FhcYGRolJicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ipqrKztLW2t7i5usLDxMXG
x8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAAAAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAEC
AxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLRChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOE
hYaHiImKkpOUlZaXmJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/9oADAMBAAIRAxEAPwBoK/Zwcc7f
/ZWp5AUcHqc/qp/rSPgyBWHU4I/76pGwxABxxn9FNG4Luf/Z
X
net() { printf '[net]\nbatch=8\nsubdivisions=1\nheight=12\nwidth=12\nchannels=1\nlearning_rate=.02\nmax_batches=4\n'
    printf '[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\nstride=2\npad=1\nactivation=relu\n'; }
{ net; printf '[avgpool]\n[convolutional]\nfilters=%d\nsize=1\nactivation=linear\n[softmax]\n' 2; } >"$w/c.cfg"
printf '[net]\nbatch=4\nheight=32\nwidth=32\nchannels=3\nlearning_rate=.001\nmax_batches=2\n[convolutional]\nfilters=21\nsize=3\nstride=8\npad=1\nactivation=linear\n[yolo]\nmask=0,1,2\nanchors=4,4,8,8,16,16\nnum=3\nclasses=2\n' >"$w/y.cfg"

# ---- detectors: a picture that is cut short ----
mkdir -p "$w/det/images" "$w/det/labels"
for ((i = 0; i < 40; i++)); do
    cp "$w/whole.jpg" "$w/det/images/$i.jpg"
    echo "$((i % 2)) .5 .5 .4 .$((i % 5 + 2))" >"$w/det/labels/$i.txt"
    echo "det/images/$i.jpg"
done >"$w/det.list"
printf 'cat\ndog\n' >"$w/names"
printf 'classes=2\nnames=names\ntrain=det.list\nvalid=det.list\n' >"$w/det.data"
det() { "$darknet" distill train "$w/det.data" "$w/y.cfg" -quiet -backup "$w/b"; }
status 0 "a detector's list" "$darknet" distill data "$w/det.data"
head -c 500 "$w/whole.jpg" >"$w/det/images/7.jpg"
status 1 "with a JPEG that is cut short" "$darknet" distill data "$w/det.data"
says err "1 of 40 images are not images that can be read: $w/det/images/7.jpg" "which is named"
times "det/images/7.jpg" 1 "once, since both splits are one list"
status 1 "training ends at it" det
says err "$w/det/images/7.jpg: cut short: the end of the image is missing" "and says why"
status 1 "so does a prediction" "$darknet" distill predict "$w/det.data" "$w/y.cfg" "$w/none" "$w/det/images/7.jpg"
cp "$w/whole.jpg" "$w/det/images/7.jpg"

# ---- detectors: label files ----
rm "$w/det/labels/"{1,2,3,4}.txt
status 0 "four label files that are missing" det
times "4 of 40 images have no label file and are left out" 1 "are said once"
rm "$w/det/labels/5.txt"
status 1 "five" det
times "5 of 40 images have no label file; up to 1 % are left out" 1 "are an error, said once"
for ((i = 0; i < 40; i++)); do echo "$((i % 2 + 1)) .5 .5 .4 .$((i % 5 + 2))" >"$w/det/labels/$i.txt"; done
status 1 "classes from 1 on" det
times "classes in the label files seem to begin at 1: of 40 boxes none is of class 0, and 20 are of class 2" 1 "are seen, and said once"
says err "hint: classes=2, so a class is 0 to 1: subtract 1" "with what to do"
for ((i = 0; i < 40; i++)); do echo "$((i % 2)) .$((i % 4 + 1)) .$((i % 5 + 1)) .$((i % 4 + 4)) .$((i % 5 + 4))" >"$w/det/labels/$i.txt"; done
status 1 "corners in place of centres" det
says err "boxes in the label files seem to be corners, x1 y1 x2 y2: read so, all 40 are right" "are seen"
for ((i = 0; i < 40; i++)); do printf '%d .5 .5 .4 .4\n9 .5 .5 .4 .4\n' $((i % 2)) >"$w/det/labels/$i.txt"; done
echo "0 .5 .5 0 0" >>"$w/det/labels/0.txt"
status 0 "boxes that are dropped" det
times "41 of 81 boxes were dropped (40: the class is out of range, 1: the box has no size); the first 10 follow" 1 "how many"
times "box dropped: " 10 "and the first ten"
[ "$(grep -n 'boxes were dropped' "$w/err" | cut -d: -f1)" -lt "$(grep -n 'box dropped' "$w/err" | head -1 | cut -d: -f1)" ] && ok "in this order" || not_ok "in this order" "$(cat "$w/err")"
mkdir "$w/lists"
printf 'classes=2\nnames=names\ntrain=det/images\n' >"$w/folder.data"
status 0 "a folder of pictures for a detector" "$darknet" distill train "$w/folder.data" "$w/y.cfg" -quiet -backup "$w/b"
status 0 "looked at" "$darknet" distill data "$w/folder.data"
says out "format      images, a detector's" "is a detector's, too"

# ---- classifiers ----
for ((i = 0; i < 12; i++)); do picture "$w/pets/cat$i.pgm" 40; picture "$w/pets/dog$i.pgm" 200; echo "pets/cat$i.pgm"; echo "pets/dog$i.pgm"; done >"$w/pets.list"
printf 'classes=2\nnames=names\ntrain=pets.list\nvalid=pets.list\n' >"$w/pets.data"
status 0 "a classifier" "$darknet" distill train "$w/pets.data" "$w/c.cfg" -quiet -backup "$w/b"
for ((i = 0; i < 5; i++)); do picture "$w/pets/catdog$i.pgm" 90; echo "pets/catdog$i.pgm"; done >>"$w/pets.list"
valid() { "$darknet" distill valid "$w/pets.data" "$w/c.cfg" "$w/b/c_final.weights" "$@"; }
status 1 "labels that are part of others" valid
says err "5 images have several classes: the labels of both are in their paths: $w/pets.list:25 pets/catdog0.pgm, " "are an error"
says err "hint: write the class behind the path; -force leaves such images out" "with a way out"
status 0 "which leaves them out" valid -force
says out "29 images, 24 labelled" "of the accuracy"
says out "5 images left out of the accuracy" "and says how many"
status 0 "as JSON" valid -force -json
holds "too" '.ambiguous == 5 and .labelled == 24'
status 1 "training refuses them" "$darknet" distill train "$w/pets.data" "$w/c.cfg" -quiet -backup "$w/b"
times "5 images have several classes" 1 "once"
for ((i = 0; i < 50; i++)); do echo "gone$i.pgm cat"; done >>"$w/pets.list"
status 1 "fifty pictures that are not there" "$darknet" distill train "$w/pets.data" "$w/c.cfg" -quiet -backup "$w/b"
times "50 images are not there or not readable: $w/pets.list:30 gone0.pgm cat, $w/pets.list:31 gone1.pgm cat, $w/pets.list:32 gone2.pgm cat, ..." 1 "are one line"
printf '\xef\xbb\xbfclasses=2\r\nnames=bom\r\ntrain=one.list\r\n' >"$w/bom.data"
printf '\xef\xbb\xbfcat\r\ndog\r\n' >"$w/bom"
printf '\xef\xbb\xbfpets/cat1.pgm\r\n' >"$w/one.list"
status 0 "marks of byte order" "$darknet" distill data "$w/bom.data" -json
holds "are passed over" '.train.per_class == [{"name":"cat","images":1},{"name":"dog","images":0}]'
head -c 6146 /dev/zero >"$w/records"
printf 'classes=2\ntrain=records\n' >"$w/records.data"
status 1 "CIFAR's records with other classes" "$darknet" distill data "$w/records.data"
says err "hint: it is as long as 2 records of format=cifar10" "are recognised"
printf 'cat\ndog\nbird\n' >"$w/three"
printf 'classes=2\nnames=three\ntrain=one.list\n' >"$w/three.data"
status 1 "more names than classes" "$darknet" distill data "$w/three.data"
says err "three: 3 names, but classes=2" "are an error"

# ---- names that are not UTF-8 ----
printf 'k\xe4tzchen\n"\\\x01\n' >"$w/latin"
printf 'pets/cat1.pgm 0\n' >"$w/one.list"
printf 'classes=2\nnames=latin\ntrain=one.list\nvalid=one.list\n' >"$w/latin.data"
for verb in "data $w/latin.data" "valid $w/latin.data $w/c.cfg $w/b/c_final.weights" "predict $w/latin.data $w/c.cfg $w/b/c_final.weights $w/pets/cat1.pgm"; do
    # shellcheck disable=SC2086
    status 0 "${verb%% *} -json of such names" "$darknet" distill $verb -json
    if iconv -f UTF-8 -t UTF-8 "$w/out" >/dev/null && jq -e . "$w/out" >/dev/null; then ok "is JSON"; else not_ok "is JSON" "$(cat "$w/out")"; fi
done
cp "$w/pets/cat1.pgm" "$w/"$'cat\xff.pgm'
status 0 "predict -json of a picture of such a name" "$darknet" distill predict "$w/latin.data" "$w/c.cfg" "$w/b/c_final.weights" "$w/"$'cat\xff.pgm' -json
if iconv -f UTF-8 -t UTF-8 "$w/out" >/dev/null && jq -e . "$w/out" >/dev/null; then ok "is JSON"; else not_ok "is JSON" "$(cat "$w/out")"; fi
finish
