#!/bin/bash
# The synthetic detector data: the same for the same seed, its first pictures whatever their number, labels in range.
. tests/tap.sh
make=$PWD/$build/make_shapes
same() { if diff -r "$1" "$2" >"$work/out"; then ok "$3"; else not_ok "$3" "$(head -3 "$work/out")"; fi; }
differ() { if diff -rq "$1" "$2" >/dev/null; then not_ok "$3"; else ok "$3"; fi; }
count() { if [ "$1" -eq "$2" ]; then ok "$3"; else not_ok "$3" "$1, expected $2"; fi; }
status 0 "60 and 20 pictures are made" "$make" "$work/a" 60 20
status 0 "and again" "$make" "$work/b" 60 20
status 0 "and with another seed" "$make" "$work/c" 60 20 2
status 0 "and fewer of them" "$make" "$work/d" 10 5
same "$work/a/images" "$work/b/images" "the same seed gives the same pictures"
same "$work/a/labels" "$work/b/labels" "and the same labels"
differ "$work/a/images" "$work/c/images" "another seed gives others"
for f in "$work"/d/images/*; do cmp -s "$f" "$work/a/images/${f##*/}" || echo "$f"; done >"$work/out"
count "$(wc -l <"$work/out")" 0 "fewer pictures are the first ones"
count "$(find "$work/b/images" -name '*.png' | wc -l)" 80 "a picture a line"
count "$(find "$work/b/labels" -name '*.txt' | wc -l)" 80 "and a label file each"
count "$(cat "$work/b/train.list" "$work/b/valid.list" | xargs ls | wc -l)" 80 "the lists name them"
count "$(awk '{print $1}' "$work"/b/labels/*.txt | sort -u | wc -l)" 3 "three classes"
count "$(awk '$2-$4/2 < 0 || $3-$5/2 < 0 || $2+$4/2 > 1 || $3+$5/2 > 1 || $4 < .1 || $5 < .1 || NF != 5' "$work"/b/labels/*.txt | wc -l)" 0 "boxes lie within"
[ "$(find "$work/b/labels" -empty | wc -l)" -gt 0 ] && ok "some pictures are empty" || not_ok "some pictures are empty"
status 1 "no folder is an error" "$make"
says err "usage: make_shapes OUT" "which says how it is used"
status 1 "a wrong number is an error" "$make" "$work/e" 10x
says err "'10x' is not a number from 0 to 99999" "which names it"
status 1 "a file in place of the folder is an error" "$make" "$work/b/shapes.data"
finish
