#!/bin/bash
# train -from-labels: the network that a distillation deploys, trained from its labels and without its teacher. It is the very
# network: its exported cfg, trained as a plain one, ends on the same weights.
. tests/tap.sh "$@"
not_quick "trainings from labels"
w=$work
export OMP_NUM_THREADS=1

# 120 training and 40 validation images of 12x12 with a grey level each, four classes
idx() { printf "\\x00\\x00\\x08\\x03\\x00\\x00$(printf '\\x%02x\\x%02x' $(($1 / 256)) $(($1 % 256)))\\x00\\x00\\x00\\x0c\\x00\\x00\\x00\\x0c"; }
images() { idx "$1"; for ((i = 0; i < $1; i++)); do head -c 144 /dev/zero | tr '\0' "\\$(printf %03o $((20 + i % 4 * 60)))"; done; }
labels() { printf "\\x00\\x00\\x08\\x01\\x00\\x00$(printf '\\x%02x\\x%02x' $(($1 / 256)) $(($1 % 256)))"; for ((i = 0; i < $1; i++)); do printf "\\x0$((i % 4))"; done; }
for s in train:120 t10k:40; do
    images ${s#*:} >"$w/${s%:*}-images-idx3-ubyte"
    labels ${s#*:} >"$w/${s%:*}-labels-idx1-ubyte"
done
printf 'a\nb\nc\nd\n' >"$w/names"
printf 'classes=4\nnames=names\ntrain=train-images-idx3-ubyte\nvalid=t10k-images-idx3-ubyte\nbackup=%s\n' "$w/b" >"$w/d.data"
net() { printf '[net]\nbatch=8\nsubdivisions=2\nheight=12\nwidth=12\nchannels=1\nlearning_rate=.02\nmomentum=0.9\ndecay=0.0005\nmax_batches=1000\n'; }
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=%d\npad=1\nactivation=relu\n' "$1" "$2"; }
head=$(printf '[avgpool]\n[dropout]\nprobability=.1\n[convolutional]\nfilters=4\nsize=1\nstride=1\npad=1\nactivation=linear\n[softmax]\n[cost]\n')
augment='[augment]
pad=2
flip=1'
{ net; echo "$augment"; conv 8 2; conv 12 2; echo "$head"; } >"$w/teacher.cfg"
student() { net; printf '[teacher]\ncfg=teacher.cfg\nweights=%s\n%s\n' "$w/t/teacher_final.weights" "$augment"; conv 6 2; conv 8 2
    printf '[projector]\n[feature_l2]\n[reused_classifier]\n'; }
student >"$w/s.cfg"
train() { "$darknet" distill train "$w/d.data" "$w/s.cfg" -threads 1 -quiet "$@"; }
same() { if cmp -s "$w/$1" "$w/$2"; then ok "$3"; else not_ok "$3"; fi; }

status 0 "from labels, no weights of the teacher on disk" train -from-labels -epochs 40
says out "$w/b/s-labels_final.weights, " "says where its weights are"
best=$(sed -n 's/^best top-1 .* after epoch \([0-9]*\);.*/\1/p' "$w/out")
[ "$best" = 40 ] && where=final || where=best
says out "after epoch $best; weights in $w/b/s-labels_$where.weights" "and the best ones"
[ "$(ls "$w/b" | grep '_.*\.[ws]')" = "$(printf 's-labels_%s\n' best.weights final.weights last.state last.weights)" ] && [ "$(ls "$w/b" | wc -l)" = 6 ] && ok "and these alone" || not_ok "and these alone" "$(ls "$w/b")"
status 0 "measured" "$darknet" distill valid "$w/d.data" "$w/s.cfg" "$w/b/s-labels_final.weights" -from-labels -json
holds "it has learnt" '.images == 40 and .student.top1 > 90 and (has("teacher") | not)'
status 1 "nothing to measure" "$darknet" distill valid "$w/d.data" "$w/s.cfg" -from-labels
says err "without WEIGHTS the teacher is measured, and -from-labels has none" "says so"
status 0 "exported" "$darknet" distill export "$w/s.cfg" "$w/b/s-labels_final.weights" "$w/deployed" -data "$w/d.data" -from-labels
printf 'P5\n12 12\n255\n%s' "$(head -c 144 /dev/zero | tr '\0' P)" >"$w/x.pgm"
status 0 "predicts" "$darknet" distill predict "$w/d.data" "$w/s.cfg" "$w/b/s-labels_final.weights" "$w/x.pgm" -from-labels -json
cp "$w/out" "$w/answer"
status 0 "as what was exported" "$darknet" distill predict "$w/d.data" "$w/deployed.cfg" "$w/deployed.weights" "$w/x.pgm" -json
same out answer "answers"

# The same network as a plain cfg
{ net; echo "$augment"; sed '1,/^$/d' "$w/deployed.cfg"; } >"$w/plain.cfg"
status 0 "the deployed cfg as a plain one" "$darknet" distill train "$w/d.data" "$w/plain.cfg" -threads 1 -quiet -epochs 40
same b/plain_final.weights b/s-labels_final.weights "ends on the same weights"
{ student; printf 'labels=1\n[kd]\nscale=auto\n'; } >"$w/more.cfg"
status 0 "losses behind the classifier" "$darknet" distill train "$w/d.data" "$w/more.cfg" -threads 1 -quiet -epochs 40 -from-labels
same b/more-labels_final.weights b/s-labels_final.weights "are left out"
status 0 "and its export's layers are found" "$darknet" distill export "$w/more.cfg" "$w/b/more-labels_final.weights" "$w/more-out" -data "$w/d.data" -from-labels

# A rate of its own
sed 's/^learning_rate=.*/learning_rate=.05/' "$w/s.cfg" >"$w/fast.cfg"
status 0 "at another rate by the cfg" "$darknet" distill train "$w/d.data" "$w/fast.cfg" -threads 1 -quiet -from-labels -epochs 3
status 0 "and by the flag" train -from-labels -epochs 3 -rate .05 -backup "$w/rate"
same b/fast-labels_final.weights rate/s-labels_final.weights "ends on the same weights"
status 1 "a rate of nothing" train -from-labels -epochs 3 -rate 0 -backup "$w/rate"
says err "'-rate 0': expected a number from 1e-06 to 10" "is refused"
status 0 "the beginning of a run" train -from-labels -epochs 2 -rate .05 -backup "$w/begun"
status 1 "does not go on at another rate" train -from-labels -epochs 3 -rate .1 -backup "$w/begun" -resume
says err "learning rate" "which is said"
status 0 "it goes on at its own" train -from-labels -epochs 3 -rate .05 -backup "$w/begun" -resume
same begun/s-labels_final.weights rate/s-labels_final.weights "to the same weights"

# With the teacher
status 0 "a teacher" "$darknet" distill train "$w/d.data" "$w/teacher.cfg" -epochs 40 -quiet -backup "$w/t"
status 0 "distilled beside it" train -epochs 3
status 1 "weights of the other kind" "$darknet" distill valid "$w/d.data" "$w/s.cfg" "$w/b/s-labels_final.weights"
says err "part of the reused classifier, is not the teacher's" "are refused"
says err "hint: it was trained from labels: -from-labels reads it" "with the flag that reads them"
status 0 "an encoder to start from" "$darknet" distill weights extract "$w/s.cfg" "$w/b/s_final.weights" "$w/encoder" -to 1
status 0 "which is learnt on" train "$w/encoder.weights" -from-labels -epochs 2 -backup "$w/e"
says out "start of 2 of " "loaded"

# Resumed, and not with the state of the other kind
status 0 "with momentum of a whole run" train -from-labels -epochs 6 -backup "$w/whole"
"$darknet" distill train "$w/d.data" "$w/s.cfg" -threads 1 -from-labels -epochs 6 -backup "$w/cut" -checkpoint 0 >"$w/out" 2>&1 &
pid=$!
until [ -s "$w/cut/s-labels_last.state" ] || ! kill -0 $pid 2>/dev/null; do sleep .01; done
{ kill -9 $pid; wait $pid; } 2>/dev/null
status 0 "killed and resumed" train -from-labels -epochs 6 -backup "$w/cut" -resume
says out "resumed after" "says so"
same whole/s-labels_final.weights cut/s-labels_final.weights "ends on the same weights"
for end in state weights; do cp "$w/b/s_last.$end" "$w/b/s-labels_last.$end"; done
status 1 "a distillation's state" train -from-labels -epochs 6 -resume
says err "now it is teacher =layers" "is refused"
says err "no weights: from labels" "and says why"

# Refused
status 1 "a plain cfg" "$darknet" distill train "$w/d.data" "$w/plain.cfg" -from-labels
says err "has no [teacher]: it is trained from labels anyway" "needs no flag"
status 1 "a cache" train -from-labels -cache "$w/features"
says err "'-from-labels' has no teacher whose features '-cache' could hold" "of no teacher"
student | sed 's/^\[reused_classifier\]/&\nlayers=2,4/' >"$w/open.cfg"
status 1 "a network without an output that learns" "$darknet" distill train "$w/d.data" "$w/open.cfg" -from-labels
says err "nothing in the deployed network learns from labels" "is refused"
# what the student was before: a plain network, whose layers start it, its answer left out
{ net; echo "$augment"; conv 6 2; conv 8 2; echo "$head"; } >"$w/plain.cfg"
status 0 "the student alone" "$darknet" distill train "$w/d.data" "$w/plain.cfg" -epochs 2 -threads 1 -quiet
"$darknet" distill weights extract "$w/plain.cfg" "$w/b/plain_final.weights" "$w/enc" -to 1 >/dev/null
for how in "" -from-labels; do
    status 0 "from its encoder $how" train "$w/enc.weights" $how -epochs 2 -backup "$w/enc$how"
    status 0 "from all of it $how" train "$w/b/plain_final.weights" -weights-of "$w/plain.cfg" $how -epochs 2 -backup "$w/of$how"
    says out "2 layers of $w/plain.cfg start the student, the rest is new" "which is said"
    same "enc$how/s${how:+-labels}_final.weights" "of$how/s${how:+-labels}_final.weights" "is the same, bit for bit"
done
status 1 "a plain network without its weights" train -weights-of "$w/plain.cfg"
says err "says what WEIGHTS are of, which is missing" "says what is missing"
status 1 "another network" train "$w/t/teacher_final.weights" -weights-of "$w/teacher.cfg"
says err "[convolutional] layer 0 is not [convolutional] layer 0 of $w/teacher.cfg" "is not the student"
status 1 "weights of another" train "$w/t/teacher_final.weights" -weights-of "$w/plain.cfg"
says err "bytes, expected" "are refused"
status 1 "a distillation" train "$w/b/plain_final.weights" -weights-of "$w/s.cfg"
says err "expected a plain network, this is a distillation" "is no plain network"
{ net; conv 6 2; conv 8 2; conv 9 1; echo "$head"; } >"$w/longer.cfg"
"$darknet" distill train "$w/d.data" "$w/longer.cfg" -epochs 1 -threads 1 -quiet >/dev/null 2>&1
status 1 "a network with a layer more" train "$w/b/longer_final.weights" -weights-of "$w/longer.cfg"
says err "[convolutional] layer 2 has none in $w/s.cfg to start" "says which"
finish
