#!/bin/bash
# `darknet distill init` as a user meets it: from a Darknet folder to a running distillation; what it refuses; hostile input.
. tests/tap.sh "$@"
w=$work
root=$PWD
init() { "$darknet" distill init "$@"; }
teacher=cfg/fashion-teacher.cfg weights=cfg/fashion-teacher.weights student=cfg/fashion-student.cfg
few_images 40
few_of train 200
sed -i "s#^train=.*#train=$w/train-images-idx3-ubyte#; s#^backup=.*#backup=$w/backup#" "$w/few.data"

# ---- from two cfgs ----
status 0 "a student and a teacher" init $student $teacher $weights -out "$w/new.cfg"
says out "next: darknet distill train FILE.data $w/new.cfg" "names the next command"
says out "ok," "checks it"
if grep -q '^# ' "$w/new.cfg" && grep -q '.=.*# ' "$w/new.cfg"; then ok "says why"; else not_ok "says why" "$(cat "$w/new.cfg")"; fi
status 0 "check of it" "$darknet" distill check "$w/new.cfg"
status 0 "which trains" "$darknet" distill train "$w/few.data" "$w/new.cfg" -epochs 1 -quiet
status 0 "and deploys" "$darknet" distill export "$w/new.cfg" "$w/backup/new_final.weights" "$w/deployed" -data "$w/few.data" -verify 2
status 0 "without weights" init $student $teacher -out "$w/later.cfg"
says out "name the teacher's weights in $w/later.cfg" "says what is missing"

# ---- of a teacher alone ----
status 0 "half as wide and deep" init -from $teacher $weights -width .5 -depth .5 -out "$w/half.cfg"
status 0 "which trains" "$darknet" distill train "$w/few.data" "$w/half.cfg" -epochs 1 -quiet
status 0 "the sizes there are" init -from $teacher $weights
if [ "$(grep -cE '^ *0\.[0-9]+ +[0-9.]+ +[0-9]+ +[0-9.]+ +[0-9.]+$' "$w/out")" = 4 ]; then ok "are four, with what they cost"
else not_ok "are four, with what they cost" "$(cat "$w/out")"; fi
status 0 "the largest of so many parameters" init -from $teacher $weights -target 70k -out "$w/target.cfg"
says out "<- the largest that fits" "is shown"
status 0 "or milliseconds" init -from $teacher $weights -target 100000ms -out "$w/slow.cfg"
status 1 "none is so small" init -from $teacher $weights -target 5 -out "$w/none.cfg"
status 1 "none is so fast" init -from $teacher $weights -target .00001ms -out "$w/none.cfg"
says err "no size answers in 1e-05 ms: the fastest takes" "says how fast they are"

# ---- nobody's work is lost ----
cp "$w/new.cfg" "$w/old.cfg"
status 1 "a file that is there" init $student $teacher -out "$w/new.cfg"
says err "new.cfg: is there already" "is left alone"
says err "hint: -force writes over it" "says how to write over it"
if cmp -s "$w/new.cfg" "$w/old.cfg"; then ok "to the byte"; else not_ok "to the byte"; fi
status 0 "-force" init $student $teacher -out "$w/new.cfg" -force
cp $student "$w/s.cfg"; cp $teacher "$w/t.cfg"; cp $weights "$w/t.weights"
for out in s.cfg t.cfg t.weights; do
    status 1 "-force over $out, which it reads" init "$w/s.cfg" "$w/t.cfg" "$w/t.weights" -out "$w/$out" -force
    says err "would be overwritten, and it is what is read" "says so ($out)"
done
status 1 "a folder" init $student $teacher -out "$w" -force
status 1 "a folder that is not there" init $student $teacher -out "$w/no/such/x.cfg"

# ---- what goes together ----
refused() { status ${want:-1} "$1" init "${@:3}"; says err "$2" "$1: says so"; }
want=2
refused "no arguments" "expected a student's cfg and a teacher's"
refused "a student alone" "expected a student's cfg and a teacher's" $student -out "$w/x.cfg"
refused "no -out" "-out is missing" $student $teacher
refused "-width without -from" "make a student of -from TEACHER.cfg" $student $teacher -width .5 -out "$w/x.cfg"
refused "-width and -target" "not both" -from $teacher -width .5 -target 5ms -out "$w/x.cfg"
refused "-from and no size" "how large?" -from $teacher -out "$w/x.cfg"
refused "-from and a student" "one argument at most" -from $teacher $student $weights -width .5 -out "$w/x.cfg"
want=1
for value in 0 -1 2 1e9 nan inf x ''; do refused "-width '$value'" "expected a number" -from $teacher -width "$value" -out "$w/x.cfg"; done
for value in 0 1e9 nan; do refused "-depth $value" "expected a number" -from $teacher -depth "$value" -out "$w/x.cfg"; done
for value in '' 5 ms -5ms nanms 1e9M 5parsecs; do
    refused "-target '$value'" "expected milliseconds an image or parameters" -from $teacher -target "$value" -out "$w/x.cfg"
done

# ---- files ----
: >"$w/empty.cfg"; printf '[net]\nwidth=8\nheight=8\nchannels=1\n' >"$w/bare.cfg"; head -c 3000 /dev/urandom >"$w/noise.cfg"
head -c 100 $weights >"$w/short.weights"
refused "a student that is not there" "cannot read" "$w/no.cfg" $teacher -out "$w/x.cfg"
refused "a teacher that is not there" "cannot read" $student "$w/no.cfg" -out "$w/x.cfg"
refused "weights that are not there" "cannot read the teacher's weights" $student $teacher "$w/no.weights" -out "$w/x.cfg"
refused "short weights" "short.weights" $student $teacher "$w/short.weights" -out "$w/x.cfg"
refused "a folder as a cfg" "$w" "$w" $teacher -out "$w/x.cfg"
for bad in empty bare noise; do
    status 1 "$bad as a student" init "$w/$bad.cfg" $teacher -out "$w/x.cfg"
    status 1 "$bad as a teacher" init $student "$w/$bad.cfg" -out "$w/x.cfg"
    status 1 "$bad made smaller" init -from "$w/$bad.cfg" -width .5 -out "$w/x.cfg"
done
refused "a distillation as a teacher" "this is a distillation already" $student "$w/later.cfg" -out "$w/x.cfg"
refused "a distillation as a student" "this is a distillation already" "$w/later.cfg" $teacher -out "$w/x.cfg"
cp $teacher "$w/a #b.cfg"
refused "a name that no cfg can hold" "a cfg cannot name a file of this name" $student "$w/a #b.cfg" -out "$w/x.cfg"
mkdir "$w/my folder"; cp $teacher $weights "$w/my folder"
status 0 "a name with blanks" init $student "$w/my folder/fashion-teacher.cfg" "$w/my folder/fashion-teacher.weights" -out "$w/blank.cfg"
if [ -e "$w/x.cfg" ]; then not_ok "none of what was refused is there"; else ok "none of what was refused is there"; fi

# ---- detectors: three heads, two of them, the other way round ----
det() { cat <<'X'
[net]
batch=8
width=64
height=64
channels=3
learning_rate=.01
max_batches=10
X
    for f in 8 8 16 16 32; do conv $f 2; done; }
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=%d\npad=1\nactivation=leaky\n' "$1" "$2"; }
head() { printf '[convolutional]\nfilters=8\nsize=1\nstride=1\nactivation=linear\n[yolo]\nmask=%d\nanchors=8,8,16,16,32,32\nclasses=3\nnum=3\n' "$1"; }
route() { printf '[route]\nlayers=%d\n' "$1"; }
{ det; head 2; route 3; conv 16 1; head 1; route 2; conv 16 1; head 0; } >"$w/three.cfg"
{ det; route 3; conv 8 1; head 1; route 4; conv 8 1; head 2; } >"$w/two.cfg"
(cd "$w" && "$root/$build/make_shapes" shapes 24 8 >/dev/null) || exit 1
data=$w/shapes/shapes.data
status 0 "a teacher with three heads" "$darknet" distill train "$data" "$w/three.cfg" -epochs 1 -quiet -force -backup "$w"
status 0 "and a student with two of them" init "$w/two.cfg" "$w/three.cfg" "$w/three_final.weights" -out "$w/d.cfg"
if grep -q '^tap=8,4 ' "$w/d.cfg"; then ok "matched by stride"; else not_ok "matched by stride" "$(grep tap= "$w/d.cfg")"; fi
says err "teaches nothing: the student has no head of stride 8" "says which one is left over"
status 0 "which trains" "$darknet" distill train "$data" "$w/d.cfg" -epochs 1 -quiet -force -backup "$w"
finish
