#!/bin/bash
# How images that are not square fill the input: the same words mean the same in train, valid, predict and export, each says what
# it did, an exported cfg remembers it, and -fit letterbox is what the stock program shows its classifiers.
set -u
. tests/tap.sh
not_quick "every verb with every fit"
w=$work

# Wide pictures: the class is in the middle for one network, at the borders for another.
picture() { { printf 'P6\n24 8\n255\n'; for _ in 1 2 3 4 5 6 7 8; do head -c 24 /dev/zero | tr '\0' "$1"; head -c 24 /dev/zero | tr '\0' "$2"; head -c 24 /dev/zero | tr '\0' "$3"; done; } >"$w/$4.ppm"; }
for i in 0 1 2 3 4 5 6 7; do
    picture '\20' "\\3$i"'0' '\100' "a$i"; picture '\220' "\\0$i"'0' '\360' "b$i"
    printf '%s 0\n%s 1\n' "$w/a$i.ppm" "$w/b$i.ppm" >>"$w/list"
done
printf 'classes=2\nnames=%s\ntrain=%s\nvalid=%s\nbackup=%s\ntop=2\n' "$w/names" "$w/list" "$w/list" "$w" >"$w/d.data"
printf 'one\ntwo\n' >"$w/names"
net() { printf '[net]\nbatch=4\nsubdivisions=1\nwidth=8\nheight=8\nchannels=3\nlearning_rate=.05\nmax_batches=8\n%s\n[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=leaky\n[maxpool]\nsize=2\nstride=2\n[connected]\noutput=2\nactivation=linear\n[softmax]\n' "$1"; }
net '[augment]
flip=1' >"$w/c.cfg"
net '[augment]
flip=1
fit=stretch' >"$w/s.cfg"
run() { "$darknet" distill "$@" -threads 1; }
on() { run "$1" "$w/d.data" "$w/c.cfg" "$w/c_final.weights" "${@:2}"; }

status 0 "train" run train "$w/d.data" "$w/c.cfg"
says out "images are cropped to the square in the middle" "says what it does"
status 0 "valid" on valid
says out "16 images, 16 labelled, cropped to the square in the middle" "says what it did"
status 0 "predict" on predict "$w/a1.ppm"
says out "images are cropped to the square in the middle (stock 'classifier predict': -fit letterbox)" "names what the stock program does"
for f in crop letterbox stretch; do
    status 0 "predict -fit $f" on predict "$w/a1.ppm" -fit $f -json
    holds "says so" ".fit == \"$f\""
    jq '.predictions[0].classes[] | select(.class == 0) .probability' "$w/out" >"$w/p.$f"
done
on predict "$w/a1.ppm" -json 2>/dev/null | jq '.predictions[0].classes[] | select(.class == 0) .probability' | cmp -s - "$w/p.crop" && ok "crop is the default" || not_ok "crop is the default"
[ "$(sort -u "$w"/p.* | wc -l)" -eq 3 ] && ok "three fits, three answers" || not_ok "three fits, three answers" "$(cat "$w"/p.*)"
"$darknet" classifier predict "$w/d.data" "$w/c.cfg" "$w/c_final.weights" "$w/a1.ppm" >"$w/out" 2>"$w/err"
stock=$(sed -n 's/^ *\([0-9.]*\)%: one/\1/p' "$w/out")
awk -v a="$stock" -v b="$(cat "$w/p.letterbox")" 'BEGIN { d = a / 100 - b; exit !(a != "" && d < .0002 && d > -.0002) }' && ok "-fit letterbox is the stock program's" || not_ok "-fit letterbox is the stock program's" "$stock $(cat "$w"/p.*)"
status 0 "predict -fit letterbox" on predict "$w/a1.ppm" -fit letterbox
says out "images are letterboxed, as stock 'classifier predict' does" "says so"
status 1 "-fit something" on valid -fit fill
says err "'-fit fill': expected crop, letterbox or stretch" "says what there is"

# The same from the cfg, and trained with it.
run valid "$w/d.data" "$w/c.cfg" "$w/c_final.weights" -fit stretch -json >"$w/flag" 2>/dev/null
run valid "$w/d.data" "$w/s.cfg" "$w/c_final.weights" -json >"$w/key" 2>/dev/null
cmp -s "$w/flag" "$w/key" && jq -e '.fit == "stretch"' "$w/key" >/dev/null && ok "[augment] fit= is -fit" || not_ok "[augment] fit= is -fit" "$(cat "$w/flag" "$w/key")"
run train "$w/d.data" "$w/c.cfg" -backup "$w/flagged" -fit stretch -quiet >/dev/null 2>&1
run train "$w/d.data" "$w/s.cfg" -backup "$w/keyed" -quiet >/dev/null 2>&1
cmp -s "$w/flagged/c_final.weights" "$w/keyed/s_final.weights" && ok "training, too" || not_ok "training, too"
cmp -s "$w/flagged/c_final.weights" "$w/c_final.weights" && not_ok "and not as crop" || ok "and not as crop"
status 1 "-resume with another -fit" run train "$w/d.data" "$w/c.cfg" -backup "$w/flagged" -resume
says err "the run was started with fit=stretch by -fit, now it is fit=crop" "is refused"
status 1 "-resume of a run without -fit" run train "$w/d.data" "$w/s.cfg" -backup "$w/keyed" -resume -fit crop
says err "the run was started with fit=stretch, now it is fit=crop by -fit" "with one is refused"

# What -fit was in training counts where nothing else is said.
status 0 "valid of what was trained with -fit stretch" run valid "$w/d.data" "$w/c.cfg" "$w/flagged/c_final.weights"
says out "c_final.weights were trained with -fit stretch, which counts here too" "says so"
says out "16 images, 16 labelled, stretched" "and stretches"
status 0 "predict of it" run predict "$w/d.data" "$w/c.cfg" "$w/flagged/c_best.weights" "$w/a1.ppm" -json
holds "stretches" '.fit == "stretch"'
cp "$w/flagged/c_final.weights" "$w/away.weights"
status 0 "export of it" run export "$w/c.cfg" "$w/flagged/c_final.weights" "$w/far" -data "$w/d.data" -json
holds "stretches" '.fit == "stretch" and .verified'
grep -qx letter_box=0 "$w/far.cfg" && ok "writes letter_box=0" || not_ok "writes letter_box=0" "$(cat "$w/far.cfg")"
holds "which OpenCV and the stock program read" '[.readers[] | select(.ran) .reader] | length >= 3'
status 0 "valid of the exported" run valid "$w/d.data" "$w/far.cfg" "$w/far.weights" -json
holds "stretches" '.fit == "stretch"'
status 0 "-fit crop" run valid "$w/d.data" "$w/c.cfg" "$w/flagged/c_final.weights" -fit crop -json
holds "has the last word" '.fit == "crop"'
status 0 "weights elsewhere" run valid "$w/d.data" "$w/c.cfg" "$w/away.weights" -json
holds "are measured as the cfg says" '.fit == "crop"'
status 0 "another cfg" run valid "$w/d.data" "$w/s.cfg" "$w/flagged/c_final.weights"
grep -q "counts here too" "$w/out" && not_ok "is not that run's" || ok "is not that run's"

# What an exported cfg remembers.
status 0 "export" run export "$w/c.cfg" "$w/c_final.weights" "$w/plain" -data "$w/d.data"
says out "cropped to the square in the middle" "says what it verified on"
grep -q letter_box "$w/plain.cfg" && not_ok "crop needs no key" || ok "crop needs no key"
status 0 "export -fit letterbox" run export "$w/c.cfg" "$w/c_final.weights" "$w/boxed" -data "$w/d.data" -fit letterbox -json
holds "says so" '.fit == "letterbox" and .verified'
grep -qx letter_box=1 "$w/boxed.cfg" && ok "and writes letter_box=1" || not_ok "and writes letter_box=1" "$(cat "$w/boxed.cfg")"
status 0 "predict of it" run predict "$w/d.data" "$w/boxed.cfg" "$w/boxed.weights" "$w/a1.ppm" -json
holds "letterboxes" '.fit == "letterbox"'
jq '.predictions[0].classes[] | select(.class == 0) .probability' "$w/out" | cmp -s - "$w/p.letterbox" && ok "with the same answer" || not_ok "with the same answer"

# Detectors.
"$build/make_shapes" "$w/shapes" 4 2 >/dev/null
d=$w/shapes/shapes.data
status 0 "a detector's export" run export cfg/shapes/teacher.cfg cfg/shapes/teacher.weights "$w/det" -verify 0
grep -qx letter_box=1 "$w/det.cfg" && ok "writes letter_box=1: AlexeyAB's would stretch" || not_ok "writes letter_box=1"
status 0 "export -fit stretch" run export cfg/shapes/teacher.cfg cfg/shapes/teacher.weights "$w/wide" -verify 2 -data "$d" -fit stretch
grep -qx letter_box=0 "$w/wide.cfg" && ok "writes letter_box=0" || not_ok "writes letter_box=0"
status 0 "valid of it" run valid "$d" "$w/wide.cfg" "$w/wide.weights" -json
holds "stretches" '.fit == "stretch"'
status 0 "valid -fit letterbox of it" run valid "$d" "$w/wide.cfg" "$w/wide.weights" -fit letterbox
says out "images are letterboxed" "letterboxes"
sed "s#^cfg=.*#cfg=$w/wide.cfg#; s#^weights=.*#weights=$w/wide.weights#" cfg/shapes/simkd.cfg >"$w/simkd.cfg"
status 0 "a student whose teacher saw its images stretched" "$darknet" distill check "$w/simkd.cfg"
says err "letter_box=0 in $w/wide.cfg: its images were stretched" "is told"
says err "hint: [augment] fit=stretch" "and what to write"
sed -i 's/^\[augment\]/&\nfit=stretch/' "$w/simkd.cfg"
"$darknet" distill check "$w/simkd.cfg" 2>&1 | grep -q letter_box && not_ok "with it nothing is said" || ok "with it nothing is said"
status 0 "a detector trains stretched" run train "$d" cfg/shapes/student.cfg -fit stretch -epochs 1 -limit 4 -backup "$w/det"
says out "images are stretched" "and says so"
finish
