#!/bin/bash
# A few hundred real images through everything: teacher, distillation, validation, export, stock program.
set -u
. tests/tap.sh
not_quick "real images through everything"
images=/usr/share/datasets/fashion-mnist
if [ ! -d $images ]; then echo "skipped: end to end, $images is not installed"; exit 0; fi
w=$work
cp cfg/fashion.names "$w/names"
cat >"$w/whole.data" <<X
classes=10
names=$w/names
train=$images/train-images-idx3-ubyte.gz
valid=$images/t10k-images-idx3-ubyte.gz
backup=$w/backup
top=3
X
few_images 1000
sed "s#^valid=.*#valid=$w/t10k-images-idx3-ubyte#" "$w/whole.data" >"$w/few.data"
net='[net]
batch=32
subdivisions=1
height=28
width=28
channels=1
learning_rate=0.1
momentum=0.9
decay=0.0005
max_batches=200
'
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=%d\npad=1\nactivation=relu\n\n' "$1" "$2"; }
{ echo "$net"; printf '[augment]\nflip=1\n\n'; conv 16 2; conv 24 2; printf '[avgpool]\n\n[convolutional]\nfilters=10\nsize=1\nstride=1\npad=1\nactivation=linear\n\n[softmax]\n'; } >"$w/teacher.cfg"
{ echo "$net"; printf '[teacher]\ncfg=%s/teacher.cfg\nweights=%s/backup/teacher_final.weights\n\n[augment]\nflip=1\n\n' "$w" "$w"; conv 8 2; conv 8 2
  printf '[projector]\n\n[feature_l2]\n\n[reused_classifier]\n'; } >"$w/simkd.cfg"

status 0 "train a plain classifier cfg on 600 images" "$darknet" distill train "$w/few.data" "$w/teacher.cfg" -limit 600 -epochs 12 -quiet
says out "top-1" "top-1 after every epoch"
for f in last best final; do [ -s "$w/backup/teacher_$f.weights" ] && ok "checkpoint _$f" || not_ok "checkpoint _$f"; done
ls "$w/backup" | grep -q tmp && not_ok "no temporary files left" || ok "no temporary files left"
status 0 "valid of a plain cfg" "$darknet" distill valid "$w/whole.data" "$w/teacher.cfg" "$w/backup/teacher_final.weights" -json
holds "it learned: well above chance" '.images == 10000 and .student.top1 > 30 and (has("teacher") | not)'

status 0 "distil on 600 images" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" -limit 600 -epochs 12
says out "teacher" "the teacher's accuracy is printed first"
says out "images/s" "progress says images/s"
status 0 "valid of the student" "$darknet" distill valid "$w/whole.data" "$w/simkd.cfg" "$w/backup/simkd_final.weights" -json
holds "both networks, agreement and feature error" '.student.top1 > 20 and .teacher.top1 > 30 and .agreement > 20 and .feature_mse > 0'
cp "$w/backup/simkd_final.weights" "$w/first.weights"
status 0 "the same seed again" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" -limit 600 -epochs 12 -quiet
cmp -s "$w/first.weights" "$w/backup/simkd_final.weights" && ok "the same seed gives the same weights" || not_ok "the same seed gives the same weights"
status 0 "another seed" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" -limit 600 -epochs 1 -seed 7 -quiet
cmp -s "$w/first.weights" "$w/backup/simkd_final.weights" && not_ok "another seed gives other weights" || ok "another seed gives other weights"

status 0 "export, verified on real images" "$darknet" distill export "$w/simkd.cfg" "$w/first.weights" "$w/plain" -data "$w/few.data" -verify 20 -json
holds "three readers agree with the training network" '.images == 20 and (.readers | length == 3 and all(.ran and .max_difference <= .bound and .top1_agreement == 100))'
grep -qE '^\[(teacher|projector|feature_l2|reused_classifier|augment)\]' "$w/plain.cfg" && not_ok "the exported cfg is plain" || ok "the exported cfg is plain"
cmp -s "$w/plain.weights" "$w/first.weights" && ok "training weights are the deployable weights" || not_ok "training weights are the deployable weights"
status 0 "the exported network validates" "$darknet" distill valid "$w/whole.data" "$w/plain.cfg" "$w/plain.weights" -limit 1000 -json
holds "as a plain network" '.images == 1000 and (has("teacher") | not)'

# [kd]: the student answers through its own classifier
{ echo "$net"; printf '[teacher]\ncfg=%s/teacher.cfg\nweights=%s/backup/teacher_final.weights\n\n[augment]\nflip=1\n\n' "$w" "$w"; conv 8 2; conv 8 2
  printf '[avgpool]\n\n[convolutional]\nfilters=10\nsize=1\nstride=1\npad=1\nactivation=linear\n\n[kd]\n\n[softmax]\n'; } >"$w/kd.cfg"
status 0 "check knows [kd]" "$darknet" distill check "$w/kd.cfg"
says out "a distillation" "and that it is a distillation"
status 0 "distil by [kd] and labels" "$darknet" distill train "$w/few.data" "$w/kd.cfg" -limit 600 -epochs 12 -quiet
status 0 "valid of it" "$darknet" distill valid "$w/whole.data" "$w/kd.cfg" "$w/backup/kd_final.weights" -json
holds "both networks and agreement, no feature error" '.student.top1 > 30 and .teacher.top1 > 30 and .agreement > 30 and (has("feature_mse") | not)'
status 0 "valid in words" "$darknet" distill valid "$w/few.data" "$w/kd.cfg" "$w/backup/kd_final.weights"
says out "agreement" "says how often both agree"
grep -q features "$w/out" && not_ok "and nothing of features" || ok "and nothing of features"
status 0 "export of it, verified" "$darknet" distill export "$w/kd.cfg" "$w/backup/kd_final.weights" "$w/kd-plain" -data "$w/few.data" -verify 20 -json
holds "three readers agree with it" '.images == 20 and (.readers | length == 3 and all(.ran and .max_difference <= .bound and .top1_agreement == 100))'
grep -qE '^\[(teacher|kd|augment)\]' "$w/kd-plain.cfg" && not_ok "it is exported without [kd]" || ok "it is exported without [kd]"
cmp -s "$w/kd-plain.weights" "$w/backup/kd_final.weights" && ok "its weights are the deployable weights" || not_ok "its weights are the deployable weights"
status 0 "summary of it" "$darknet" distill summary "$w/kd.cfg" -json
holds "a student and nothing else" '(.layers | all(.role == "student")) and .projector_parameters == 0 and .pruning_ratio > 0'
status 0 "a cache of class scores" "$darknet" distill train "$w/few.data" "$w/kd.cfg" -limit 600 -epochs 2 -views 1 -quiet -cache "$w/kd.feat"
says out "features: 615 read from the cache, 601 computed" "is filled once and read"
sed 's/^\[softmax\]/[softmax]\nnoloss=1/' "$w/kd.cfg" >"$w/kd-alone.cfg"
cp "$w/t10k-images-idx3-ubyte" "$w/bare-images-idx3-ubyte"
sed "s#^train=.*#train=$w/bare-images-idx3-ubyte#" "$w/few.data" >"$w/bare.data"
status 1 "images without labels are refused" "$darknet" distill train "$w/bare.data" "$w/kd.cfg" -limit 600 -epochs 2 -quiet
status 0 "but [kd] alone learns from them" "$darknet" distill train "$w/bare.data" "$w/kd-alone.cfg" -limit 600 -epochs 2 -quiet

dog=/usr/share/darknet/data/dog.jpg
status 0 "predict" "$darknet" distill predict "$w/few.data" "$w/simkd.cfg" "$w/first.weights" $dog -json
holds "three classes, likeliest first" '.predictions[0].classes | length == 3 and .[0].probability >= .[1].probability'
mine=$(jq -r '.predictions[0].classes[:2][].name' "$w/out")   # two: stock resizes the photo its own way, and these are close
status 0 "the stock program with a distillation cfg" "$darknet" classifier predict "$w/few.data" "$w/simkd.cfg" "$w/first.weights" $dog
stock=$(sed -n 's/^ *[0-9.]*%: //p' "$w/out" | head -1)
grep -qxF "$stock" <<<"$mine" && ok "stock's class is among our first two" || not_ok "stock's class is among our first two" "$mine / $stock"
status 0 "and the exported one" "$darknet" classifier predict "$w/few.data" "$w/plain.cfg" "$w/plain.weights" $dog
status 1 "the stock trainer refuses a distillation cfg" "$darknet" classifier train "$w/few.data" "$w/simkd.cfg" "$w/first.weights"
says err "darknet distill train" "and names the verb"
head -c 3000 "$w/first.weights" >"$w/short.weights"
status 1 "stock program: short weights are refused" "$darknet" classifier predict "$w/few.data" "$w/simkd.cfg" "$w/short.weights" $dog
status 1 "valid: short weights are refused" "$darknet" distill valid "$w/whole.data" "$w/simkd.cfg" "$w/short.weights"
says err "expected" "with both sizes"
{ cat "$w/first.weights"; echo more; } >"$w/long.weights"
status 1 "valid: long weights are refused" "$darknet" distill valid "$w/whole.data" "$w/simkd.cfg" "$w/long.weights"
: >"$w/empty.weights"
status 1 "valid: empty weights are refused" "$darknet" distill valid "$w/whole.data" "$w/simkd.cfg" "$w/empty.weights"
status 1 "valid: missing weights are refused" "$darknet" distill valid "$w/whole.data" "$w/simkd.cfg" "$w/none.weights"
status 1 "export of short weights leaves nothing behind" "$darknet" distill export "$w/simkd.cfg" "$w/short.weights" "$w/broken"
ls "$w" | grep -q broken && not_ok "nothing half-written" || ok "nothing half-written"

status 0 "reference backend trains" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" -limit 320 -epochs 1 -backend reference -backup "$w/ref" -quiet
status 0 "oneDNN backend, the same ten steps" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" -limit 320 -epochs 1 -backup "$w/fast" -quiet
a=$("$darknet" distill valid "$w/whole.data" "$w/simkd.cfg" "$w/ref/simkd_final.weights" -json 2>/dev/null | jq .feature_mse)
b=$("$darknet" distill valid "$w/whole.data" "$w/simkd.cfg" "$w/fast/simkd_final.weights" -json 2>/dev/null | jq .feature_mse)
awk -v a="$a" -v b="$b" 'BEGIN { exit !(a > 0 && (a - b) ^ 2 < (1e-3 * a) ^ 2) }' && ok "both reach the same feature error" || not_ok "both reach the same feature error" "$a $b"

head -c 436 "$w/first.weights" >"$w/encoder.weights"   # 20 bytes of header, 8 filters of 3x3 with batch norm: one layer
status 0 "an encoder is a start" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" "$w/encoder.weights" -limit 64 -epochs 1 -quiet -backup "$w/start"
says out "start of 1 of" "and it says how many layers it holds"
status 1 "a whole network that is already trained to the end" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" "$w/first.weights" -limit 600 -epochs 12
says err "already trained" "says so"
status 0 "a whole network goes on" "$darknet" distill train "$w/few.data" "$w/simkd.cfg" "$w/first.weights" -limit 600 -epochs 13 -quiet -backup "$w/on"
says out "whole network loaded" "and says where"

sed 's/weights=.*/weights=untrained.weights/' "$w/simkd.cfg" >"$w/untrained.cfg"
head -c 20 "$w/first.weights" >"$w/untrained.weights"
head -c $(($(stat -c %s "$w/backup/teacher_final.weights") - 20)) /dev/zero >>"$w/untrained.weights"
status 1 "a teacher that answers everything alike is refused" "$darknet" distill train "$w/few.data" "$w/untrained.cfg" -limit 64 -epochs 1
says err "a feature map (layer 1) that is all zeros" "and says why"
sed 's/^momentum=/policy=poly\nmomentum=/' "$w/teacher.cfg" >"$w/poly.cfg"
status 1 "-epochs beyond the end of policy=poly" "$darknet" distill train "$w/few.data" "$w/poly.cfg" -limit 64 -epochs 200
says err "max_batches=200" "and says where it ends"
finish
