#!/bin/bash
# Contents decide which images a cache and an interrupted run are of, for lists and folders too: other pictures of the same size,
# of the same time, under the same name are others; the same pictures elsewhere are the same. What is known to be the same is
# not read for that.
. tests/tap.sh "$@"
not_quick "what a cache knows its images by"
w=$work
export OMP_NUM_THREADS=1

# picture FILE GREY: 12x12, always of the same size on disk
picture() { { printf 'P5\n12 12\n255\n'; head -c 144 /dev/zero | tr '\0' "\\$(printf %03o "$2")"; } >"$1"; }
mkdir "$w/a"
for ((i = 0; i < 24; i++)); do
    picture "$w/a/$i.pgm" $((20 + i % 4 * 60 + i / 4))
    echo "a/$i.pgm $((i % 4))"
done >"$w/train.list"
head -8 "$w/train.list" >"$w/valid.list"
printf 'k\nl\nm\nn\n' >"$w/names"
printf 'classes=4\nnames=names\ntrain=train.list\nvalid=valid.list\n' >"$w/d.data"
touch -d '2 days ago' "$w"/a/*
net() { printf '[net]\nbatch=8\nsubdivisions=2\nheight=12\nwidth=12\nchannels=1\nlearning_rate=.02\nmomentum=0.9\nmax_batches=1000\n'; }
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=%d\npad=1\nactivation=relu\n' "$1" "$2"; }
{ net; conv 8 2; conv 12 2; printf '[avgpool]\n[convolutional]\nfilters=4\nsize=1\nstride=1\npad=1\nactivation=linear\n[softmax]\n'; } >"$w/teacher.cfg"
{ net; printf '[teacher]\ncfg=teacher.cfg\nweights=%s/t/teacher_final.weights\n' "$w"; conv 6 2; conv 8 2; printf '[projector]\n[feature_l2]\n[reused_classifier]\n'; } >"$w/s.cfg"
status 0 "a teacher" "$darknet" distill train "$w/d.data" "$w/teacher.cfg" -epochs 60 -quiet -backup "$w/t"

features() { "$darknet" distill features "$w/d.data" "$w/s.cfg" -out "$w/$1" -views 1 -quiet; }
train() { "$darknet" distill train "$w/d.data" "$w/s.cfg" -epochs 4 -threads 1 -quiet -backup "$w/$1" "${@:2}"; }
# reads FILE: how often the pictures were opened, as strace saw it
reads() { grep -c '/a/[0-9]*\.pgm' "$w/$1"; }

# ---- caches ----
status 0 "a cache" features f
says out "24 records, 24 computed now" "of all images"
status 0 "once more" features f
says out "0 computed now" "there is nothing to do"
if command -v strace >/dev/null; then
    strace -f -e trace=openat -o "$w/trace" "$darknet" distill features "$w/d.data" "$w/s.cfg" -out "$w/f" -views 1 -quiet >/dev/null 2>&1
    [ "$(reads trace)" -eq 0 ] && ok "no picture is read for it" || not_ok "no picture is read for it" "$(reads trace) are"
fi
status 0 "training reads it" train c0 -cache "$w/f" -views 1
says out "0 computed" "all of it"

cp -a "$w/a/5.pgm" "$w/kept"
picture "$w/new" 7
touch -r "$w/kept" "$w/new"
mv "$w/new" "$w/a/5.pgm"
[ "$(stat -c '%s %Y' "$w/a/5.pgm")" = "$(stat -c '%s %Y' "$w/kept")" ] && ok "another picture of the same name, size and time" || not_ok "same size and time"
status 1 "is not that of the cache" features f
says err "f: was made from other images: 1 of 24 images hold something else now: $w/a/5.pgm" "which is said"
says err "hint: name another file, or remove this one" "and what to do"
status 1 "training says so, too" train c1 -cache "$w/f" -views 1
says err "1 of 24 images hold something else now" "before it starts"
mv "$w/kept" "$w/a/5.pgm"
status 0 "the old one back is fine" features f
says out "0 computed now" "without a new record"

cp "$w/a/7.pgm" "$w/kept"
picture "$w/other" 8
cat "$w/other" >"$w/a/7.pgm"
touch -d '2 days ago' "$w/a/7.pgm"
status 1 "rewritten in place, with the same time" features f
says err "1 of 24 images hold something else now: $w/a/7.pgm" "is seen"
cat "$w/kept" >"$w/a/7.pgm"

cp "$w/train.list" "$w/list"
{ sed -n 2p "$w/list"; sed -n 1p "$w/list"; tail -n +3 "$w/list"; } >"$w/train.list"
status 1 "a list in another order" features f
says err "2 of 24 images hold something else now: $w/a/1.pgm, $w/a/0.pgm" "is another list"
cp "$w/list" "$w/train.list"

mkdir "$w/far"
cp "$w"/a/* "$w/far"
sed 's#^a/#far/#' "$w/list" >"$w/train.list"
status 0 "the same pictures elsewhere" features f
says out "0 computed now" "are the same"
if command -v strace >/dev/null; then
    sleep .05
    features f >/dev/null 2>&1
    strace -f -e trace=openat -o "$w/trace" "$darknet" distill features "$w/d.data" "$w/s.cfg" -out "$w/f" -views 1 -quiet >/dev/null 2>&1
    [ "$(grep -c '/far/[0-9]*\.pgm' "$w/trace")" -eq 0 ] && ok "and are not read every time" || not_ok "and are not read every time"
fi
cp "$w/list" "$w/train.list"

{ printf 'darknet-distill features 1\n'; tail -c +28 "$w/f"; } >"$w/old"
status 1 "a cache of an older version" features old
says err "older version of this program, which did not keep what the images held" "is refused, with the reason"

# ---- folders ----
for k in k l m n; do mkdir -p "$w/folders/$k"; done
i=0
while read -r path class; do cp "$w/$path" "$w/folders/$(sed -n $((class + 1))p "$w/names")/"; done <"$w/list"
printf 'classes=4\nnames=names\ntrain=folders\n' >"$w/folders.data"
status 0 "a cache of folders" "$darknet" distill features "$w/folders.data" "$w/s.cfg" -out "$w/g" -views 1 -quiet
picture "$w/folders/k/4.pgm" 3
status 1 "another picture in one" "$darknet" distill features "$w/folders.data" "$w/s.cfg" -out "$w/g" -views 1 -quiet
says err "1 of 24 images hold something else now: $w/folders/k/4.pgm" "is seen"

# ---- interrupted runs ----
# half FOLDER: a run that has come to its second epoch
half() { train "$1" -epochs 2 >/dev/null 2>&1; }
train_long() { "$darknet" distill train "$w/d.data" "$w/s.cfg" -epochs 4 -threads 1 -quiet -backup "$w/$1" -resume "${@:2}"; }
status 0 "never interrupted" train whole
half h
for f in h h1 h2 h3 h4; do [ $f = h ] || cp -r "$w/h" "$w/$f"; done
status 0 "the same pictures: it goes on" train_long h
cmp -s "$w/whole/s_final.weights" "$w/h/s_final.weights" && ok "bit for bit" || not_ok "bit for bit"
cp -a "$w/a/9.pgm" "$w/kept"
picture "$w/new" 4
touch -r "$w/kept" "$w/new"
mv "$w/new" "$w/a/9.pgm"
status 1 "another picture of the same size and time: it does not" train_long h1
says err "s_last.state: the run has seen other training images: 1 of 24 images hold something else now: $w/a/9.pgm" "and says which"
says err "hint: -force goes on all the same" "and how to go on"
status 0 "so it does" train_long h1 -force
says err "warning: the run has seen other training images" "with a warning"
mv "$w/kept" "$w/a/9.pgm"
cp "$w/a/2.pgm" "$w/kept"
picture "$w/a/2.pgm" 1
status 1 "a validation picture" train_long h2
says err "the run has seen other validation images: 1 of 8 images hold something else now: $w/a/2.pgm" "counts as well"
cp "$w/kept" "$w/a/2.pgm"
{ tail -1 "$w/list"; head -23 "$w/list"; } >"$w/train.list"
status 1 "a list in another order" train_long h2
cp "$w/list" "$w/train.list"
sed -i '3s/ 2$/ 1/' "$w/train.list"
status 1 "other labels" train_long h2
says err "training images=24" "are named"
cp "$w/list" "$w/train.list"
mv "$w/a" "$w/b"
sed -i 's#^a/#b/#' "$w/train.list" "$w/valid.list"
status 0 "the same pictures in another folder" train_long h2
cmp -s "$w/whole/s_final.weights" "$w/h2/s_final.weights" && ok "end on the same weights" || not_ok "end on the same weights"
{ printf 'distill state 1\n'; tail -c +17 "$w/h3/s_last.state"; } >"$w/old"
mv "$w/old" "$w/h3/s_last.state"
status 1 "a state of an older version" train_long h3
says err "older version of this program, which did not keep what the images held" "is refused, with the reason"
finish
