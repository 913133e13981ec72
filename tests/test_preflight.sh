#!/bin/bash
# What training says before its first step, on the command line: teachers that are no better or worse than chance, warnings in
# time, long lists with holes in seconds.
. tests/tap.sh "$@"
w=$work
images=/usr/share/datasets/fashion-mnist
if [ ! -d $images ]; then echo "skipped: looking ahead, $images is not installed"; exit 0; fi

# 500 images of the test set, with their labels, with others' labels, and with each class called by the next one's number.
number() { printf "\\$(printf %o $(($1 / 256)))\\$(printf %o $(($1 % 256)))"; }
set_of() { { printf '\0\0\10\3\0\0'; number 500; printf '\0\0\0\34\0\0\0\34'; gzip -dc $images/t10k-images-idx3-ubyte.gz | tail -c +17 | head -c $((500 * 784)); } >"$w/$1-images-idx3-ubyte"
    { printf '\0\0\10\1\0\0'; number 500; cat; } >"$w/$1-labels-idx1-ubyte"; }
labels() { gzip -dc $images/t10k-labels-idx1-ubyte.gz | tail -c +$((9 + $1)) | head -c 500; }
labels 0 | set_of right
labels 500 | set_of guessed
labels 0 | tr '\0-\11' '\1-\11\0' | set_of next
for s in right guessed next; do printf 'classes=10\ntrain=%s\nvalid=%s\n' "$w/right-images-idx3-ubyte" "$w/$s-images-idx3-ubyte" >"$w/$s.data"; done
train() { "$darknet" distill train "$w/$1.data" "${cfg:-cfg/fashion-simkd.cfg}" -epochs 1 -limit 64 -quiet -backup "$w/backup" "${@:2}"; }
# FIRST stands above SECOND in $w/all.
before() { if awk -v a="$1" -v b="$2" 'index($0, a) && !f { f = NR } index($0, b) && !s { s = NR } END { exit !(f && s && f < s) }' "$w/all"; then ok "$3"; else not_ok "$3" "$(cat "$w/all")"; fi; }

status 0 "a teacher that knows" train right
says out "teacher cfg/fashion-teacher.cfg: top-1 9" "its accuracy is said"
status 1 "one that guesses is refused" train guessed
says err "cfg/fashion-teacher.weights: this teacher is not better than chance" "and named"
[ ! -e "$w/backup/fashion-simkd.lock" ] && ok "and no lock is left" || not_ok "and no lock is left"
status 1 "one whose classes are in another order" train next
says err "cfg/fashion-teacher.weights: this teacher is worse than chance: are its classes in the order of names=?" "is told from one that guesses"
train guessed -force >"$w/all" 2>&1 && ok "-force trains all the same" || not_ok "-force trains all the same" "$(cat "$w/all")"
before "warning: this teacher is not better than chance" "epoch 1" "with the warning before the first epoch"
[ "$(grep -c "warning: this teacher" "$w/all")" -eq 1 ] && ok "and only there" || not_ok "and only there"
printf 'classes=10\ntrain=%s\n' "$w/right-images-idx3-ubyte" >"$w/alone.data"
head -c 20 cfg/fashion-teacher.weights >"$w/blank.weights"
head -c $(($(stat -c %s cfg/fashion-teacher.weights) - 20)) /dev/zero >>"$w/blank.weights"
sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$w/blank.weights#" cfg/fashion-simkd.cfg >"$w/blank.cfg"
cfg=$w/blank.cfg status 1 "an empty teacher is found out without any label" train alone
says err "that is all zeros" "and named"

# Lists: every file is looked for, a few are decoded, labels that say nothing are named, all before the first step.
"$build/make_shapes" "$w/shapes" 4 4 >/dev/null
ls "$w"/shapes/images/*.png | head -4 >"$w/four"
for i in $(seq 5000); do cat "$w/four"; done | awk '{ print $0 " " NR % 10 }' >"$w/long"
printf 'classes=10\nnames=%s\ntrain=%s\nvalid=%s\n' "$PWD/cfg/fashion.names" "$w/long" "$w/valid" >"$w/list.data"
plain() { timeout 120 "$darknet" distill train "$w/list.data" cfg/fashion-student.cfg -epochs 1 -limit 64 -quiet -backup "$w/backup"; }
{ cat "$w/long"; for i in $(seq 12); do echo "$w/none$i.png 1"; done; } >"$w/valid"
status 1 "20,012 validation images, 12 of them missing" plain
says err "12 images are not there or not readable: " "are counted"
says err "none3.png 1, ..." "and named"
printf 'broken' >"$w/broken.png"
{ cat "$w/long"; echo "$w/broken.png 1"; } >"$w/valid"
status 1 "the last one is damaged" plain
says err "broken.png: cannot read this image" "it is named before training begins"
grep -q "epoch" "$w/out" && not_ok "not after" || ok "not after"
head -40 "$w/long" >"$w/valid"
cp "$(head -1 "$w/four")" "$w/coat-and-bag.png"; echo "$w/coat-and-bag.png" >>"$w/valid"
printf 'coat\nbag\na1\na2\na3\na4\na5\na6\na7\na8\n' >"$w/names"
sed -i "s#^names=.*#names=$w/names#" "$w/list.data"
sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" cfg/fashion-simkd.cfg >"$w/simkd.cfg"
timeout 120 "$darknet" distill train "$w/list.data" "$w/simkd.cfg" -epochs 1 -limit 64 -quiet -force -backup "$w/backup" >"$w/all" 2>&1 && ok "an ambiguous label" || not_ok "an ambiguous label" "$(cat "$w/all")"
before "1 of 41 validation images have several labels in their paths" "epoch 1" "is warned about before the first epoch"
finish
