#!/bin/bash
# synthesize: images for a teacher without its data. The same command makes the same images, however often it was interrupted; what
# is in the way, or no teacher, is told. Formulae: test_synthesis_fixture.c.
. tests/tap.sh "$@"
not_quick "images for a teacher"
w=$work
cd "$w" || exit 1
few_of train 64
printf 'classes=10\ntrain=train-images-idx3-ubyte\nvalid=train-images-idx3-ubyte\n' >few.data
conv() { printf '[convolutional]\nbatch_normalize=%s\nfilters=%s\nsize=3\npad=1\nactivation=%s\n' "$1" "$2" "$3"; }
net() { printf '[net]\nbatch=8\nheight=9\nwidth=12\nchannels=1\nlearning_rate=.05\nmax_batches=16\n'; }
answer() { printf '[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n'; }
{ net; conv 1 8 leaky; printf '[maxpool]\nsize=2\nstride=2\n'; conv 1 8 relu; answer; echo '[softmax]'; } >t.cfg
{ net; printf '[teacher]\ncfg=t.cfg\nweights=t_final.weights\n'; conv 1 4 relu; answer; printf '[kd]\n[softmax]\n'; } >s.cfg
status 0 "a teacher" "$darknet" distill train few.data t.cfg -backup . -threads 1 -force
make() { "$darknet" distill synthesize "${@:2}" "$1" -batch 12 -steps 2 -threads 1; }
same() {   # ONE OTHER NAME: images and lists
    if diff -r "$1/images" "$2/images" >differ && cmp -s "$1/synthetic.list" "$2/synthetic.list"; then ok "$3"; else not_ok "$3" "$(head -3 differ)"; fi
}
count() { find "$1/images" -name '*.png' | wc -l; }

status 0 "30 images" make whole s.cfg -n 30
says out "30 images in whole, 30 of them made now" "are told of"
[ "$(count whole)" = 30 ] && [ -s whole/sheet.png ] && [ -s whole/synthetic.data ] && ok "are there, with a sheet" ||
    not_ok "are there, with a sheet" "$(ls whole)"
awk '$1 != sprintf("images/%06d.png", NR - 1) || $2 !~ /^[0-9]$/ { exit 1 } END { exit NR != 30 }' whole/synthetic.list &&
    ok "with a class each" || not_ok "with a class each" "$(head -3 whole/synthetic.list)"
head -c 24 whole/images/000029.png | tail -c 8 | od -An -tu1 | tr -s ' ' | grep -q '^ 0 0 0 12 0 0 0 9$' &&
    ok "of the teacher's size" || not_ok "of the teacher's size"
status 0 "by the teacher's own cfg" make plain t.cfg t_final.weights -n 30
same whole plain "are the same, bit for bit"
status 0 "12 of them" make parts s.cfg -n 12
status 0 "then 30" make parts s.cfg -n 30
says out "12 of 30 images are there already" "goes on"
same whole parts "are the same as in one go"
[ "$(find parts -name '*.weights')" = parts/generator-2.weights ] && ok "one generator is kept" || not_ok "one generator is kept" "$(ls parts)"
status 0 "30 once more" make parts s.cfg -n 30
says out "30 images in parts" "makes none"
status 0 "20 of them" make parts s.cfg -n 20
[ "$(count parts)" = 20 ] && [ "$(wc -l <parts/synthetic.list)" = 20 ] && ok "the others go" || not_ok "the others go" "$(count parts)"
make seed s.cfg -n 30 -seed 1 >/dev/null 2>&1
cmp -s whole/images/000003.png seed/images/000003.png && not_ok "another seed makes others" || ok "another seed makes others"

"$darknet" distill synthesize s.cfg killed -n 30000 -batch 12 -steps 2 -threads 1 >/dev/null 2>&1 &
for ((i = 0; i < 300; i++)); do [ -s killed/synthesis.txt ] && break; sleep .1; done
kill $!; wait $! 2>/dev/null
! find killed -name '*.tmp.*' | grep -q . && ok "a signal leaves no half file" || not_ok "a signal leaves no half file" "$(ls killed)"
status 0 "and the command goes on" make killed s.cfg -n 30
cmp -s whole/synthetic.list killed/synthetic.list && ok "to what it was to be" || not_ok "to what it was to be"
cmp -s whole/images/000029.png killed/images/000029.png && ok "bit for bit" || not_ok "bit for bit"

begin() {   # one that never ends its first batch
    "$darknet" distill synthesize s.cfg early -n 12 -batch 12 -steps 1000000 -threads 1 >/dev/null 2>"$w/slow" & slow=$!
    for ((i = 0; i < 300; i++)); do [ -s early/synthesis.lock ] && [ -s early/synthesis.txt ] && break; sleep .1; done
}
begin
cp early/synthesis.txt before.txt
status 1 "a second command in the folder of one that runs, even by force" make early s.cfg -n 12 -force
says err "early/synthesis is in use by process " "says who has it"
cmp -s early/synthesis.txt before.txt && ok "and leaves it alone" || not_ok "and leaves it alone"
kill $slow; wait $slow 2>/dev/null
[ ! -e early/synthesis.lock ] && ok "the lock goes with the first" || not_ok "the lock goes with the first"
begin
[ -e early/synthesis.lock ] && ok "ended in its first batch, it begins again" || not_ok "ended in its first batch, it begins again" "$(cat slow)"
kill $slow; wait $slow 2>/dev/null

status 0 "by pixels" make pixels s.cfg -n 12 -method pixels
status 0 "again" make pixels2 t.cfg t_final.weights -n 12 -method pixels
same pixels pixels2 "are the same"
status 0 "training on them" "$darknet" distill train whole/synthetic.data s.cfg -backup b -threads 1 -epochs 1 -force -cache feat
says out "features: 0 read from the cache, " "through the cache"

# What is in the way
status 1 "another seed in a folder of images" make whole s.cfg -n 30 -seed 1
says err "whole: holds images that were made otherwise: now seed=1" "says what differs"
status 0 "unless forced" make seed s.cfg -n 30 -force
same whole seed "is what a new folder would hold"
mkdir full; echo mine >full/mine
status 1 "a folder of somebody's" make full s.cfg -n 12
says err "full: is not empty, and no folder of synthesize's" "is left alone"
status 1 "and by force" make full s.cfg -n 12 -force
[ "$(ls full)" = mine ] && ok "nothing was written there" || not_ok "nothing was written there" "$(ls full)"
status 1 "a file for a folder" make few.data s.cfg -n 12
says err "few.data" "is named"
sed -i 's/^whole=.*/whole=9/' parts/synthesis.txt
status 1 "a damaged state" make parts s.cfg -n 30
says err "parts/synthesis.txt: is damaged" "is told"
sed -i '2s/.*/images 3/' killed/synthetic.list
status 1 "a damaged list" make killed s.cfg -n 40
says err "killed/synthetic.list:2: expected the line of image 1 of 30" "is told"

# No teacher
status 1 "no images" make x s.cfg -n 0
says err "'-n 0': expected a whole number from 1" "is said"
status 1 "too many" make x s.cfg -n 99999999999
status 1 "a batch beyond all bounds" "$darknet" distill synthesize s.cfg x -batch 65536 -n 9 -threads 1 -backend host
says err "'-backend host'" "the host's gradients are refused"
status 2 "a device" make x s.cfg -gpus 0
says err "'-gpus' means nothing to 'synthesize'" "is said"
status 1 "another method" make x s.cfg -method generatr
says err "did you mean 'generator'?" "is guessed"
status 1 "weights of a distillation" make x s.cfg t_final.weights
says err "s.cfg: is a distillation: its [teacher] names the weights" "are too many"
status 1 "a plain cfg alone" make x t.cfg
says err "t.cfg: has no [teacher], so its weights must be named" "wants weights"
"$darknet" distill weights fold t.cfg t_final.weights folded >/dev/null 2>&1
status 1 "batch norm folded away" make x folded.cfg folded.weights
says err "has no batch norm: nothing tells what its images were like" "is told"
sed 's/^\[softmax\]//' t.cfg >scores.cfg
status 1 "no class scores" make x scores.cfg t_final.weights
says err "does not end on class scores" "is told"
status 1 "a detector" make x "$OLDPWD/cfg/shapes/teacher.cfg" "$OLDPWD/cfg/shapes/teacher.weights"
says err "is a detector: images are synthesised for classifiers only" "is told"
head -c 400 t_final.weights >short.weights
status 1 "weights cut short" make x t.cfg short.weights
[ ! -e x ] && ok "none of these made a folder" || not_ok "none of these made a folder"
finish
