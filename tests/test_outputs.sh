#!/bin/bash
# Nothing that a command reads, directly or through a cfg, a .data file or a list, is ever written by it, and no two outputs are one
# file: every verb that writes, every kind of input, by every name a file can have. All inputs are compared byte for byte afterwards.
. tests/tap.sh "$@"
not_quick "names of files that are outputs and inputs"
w=$work
cd "$w" || exit 1
mkdir in b
idx() {
    { printf '\0\0\10\3\0\0'; printf "\\$(printf %o $(($2 / 256)))\\$(printf %o $(($2 % 256)))"; printf '\0\0\0\34\0\0\0\34'; yes abcdefghij | head -c $(($2 * 784)); } >"in/$1-images-idx3-ubyte"
    { printf '\0\0\10\1\0\0'; printf "\\$(printf %o $(($2 / 256)))\\$(printf %o $(($2 % 256)))"; yes "$(printf '\1\n\2')" | head -c "$2" | tr '\n' '\3'; } >"in/$1-labels-idx1-ubyte"
}
idx train 50
idx valid 20
seq 10 | sed 's/^/class/' >in/t.names
printf 'classes=10\nnames=in/t.names\ntrain=in/train-images-idx3-ubyte\nvalid=in/valid-images-idx3-ubyte\nbackup=b\n' >in/t.data
conv() { printf '[convolutional]\nbatch_normalize=1\nfilters=%d\nsize=3\nstride=2\npad=1\nactivation=relu\n' "$1"; }
net='[net]\nbatch=10\nsubdivisions=1\nheight=28\nwidth=28\nchannels=1\nlearning_rate=0.01\nmax_batches=1000\n'
plain() { printf "$net"; conv 8; conv 16; printf '[avgpool]\n[convolutional]\nfilters=10\nsize=1\nactivation=linear\n[softmax]\n'; }
simkd() { printf "$net[teacher]\ncfg=%s\nweights=%s\n$3" "$1" "$2"; conv 8; conv 8; printf '[projector]\nstack=linear\n[feature_l2]\n[reused_classifier]\n'; }
plain >in/teacher.cfg
train() { "$darknet" distill train in/t.data "$@" -epochs 1 -quiet -force; }
status 0 "a teacher" train in/teacher.cfg
cp b/teacher_final.weights in/teacher.weights
simkd in/teacher.cfg in/teacher.weights >in/student.cfg
status 0 "a student" train in/student.cfg
cp b/student_final.weights in/student.weights
printf '0 = none\n' >in/m.map
cp in/teacher.weights in/model.pt
mkdir links; ln -s ../in/teacher.cfg links/soft.cfg; ln in/teacher.weights links/hard.weights; ln -s "$w/in" links/folder

sums() { find in b links -type f | sort | xargs md5sum; }
sums >sums
reads="would be overwritten, and it is what is read"
twice="two of the files to be written are this one"
# refused NAME TEXT COMMAND...: exit status 1, the text, and every file is what it was
refused() {
    local name=$1 text=$2 got=0; shift 2
    "$@" >out 2>err </dev/null || got=$?
    if [ $got -eq 1 ] && grep -qF -- "$text" err && sums | cmp -s - sums && ! find . -name '*.tmp.*' -o -name '*.lock' | grep -q .; then ok "$name"
    else not_ok "$name" "status $got: $(tail -3 err); $(sums | diff - sums)"; fi
}
export_it() { "$darknet" distill export in/student.cfg in/student.weights "$@" -verify 2; }
refused "export over its cfg and weights" "in/student.weights: $reads" export_it in/student
refused "over the teacher's" "$reads" export_it in/teacher
refused "over the teacher's cfg alone, a symbolic link" "links/soft.cfg: $reads" export_it links/soft
refused "over the teacher's weights alone, a hard link" "links/hard.weights: $reads" export_it links/hard
refused "by another spelling" "$reads" export_it ./in/../in//teacher
refused "by an absolute name" "$reads" export_it "$w/in/teacher"
refused "through a linked folder" "$reads" export_it links/folder/teacher
for f in student.cfg student.weights teacher.cfg teacher.weights; do refused "export -onnx over $f" "in/$f: $reads" export_it x -onnx in/$f; done
for f in t.data t.names train-images-idx3-ubyte valid-images-idx3-ubyte valid-labels-idx1-ubyte; do
    refused "export -onnx over $f of -data" "in/$f: $reads" export_it x -data in/t.data -onnx in/$f
done
refused "export -onnx over its own cfg" "$twice" export_it x -onnx x.cfg
refused "by another spelling" "$twice" export_it x -onnx ./links/../x.weights
[ ! -e x.cfg ] && [ ! -e x.weights ] && ok "none of these wrote anything" || not_ok "none of these wrote anything"
grep -q verified out err && not_ok "nor computed" || ok "nor computed"

for verb in "fold" "strip" "extract -to 1"; do
    set -- $verb; flags=("${@:2}")
    refused "weights $1 over what it reads" "$reads" "$darknet" distill weights "$1" in/student.cfg in/student.weights in/student "${flags[@]}"
    refused "over the teacher" "$reads" "$darknet" distill weights "$1" in/student.cfg in/student.weights in/teacher "${flags[@]}"
    refused "over a hard link" "$reads" "$darknet" distill weights "$1" in/teacher.cfg in/teacher.weights links/hard "${flags[@]}"
done
init() { "$darknet" distill init in/teacher.cfg "$@" -force; }
refused "init over its cfgs" "in/teacher.cfg: $reads" init in/teacher.cfg -out in/teacher.cfg
refused "over the weights, by a link" "links/hard.weights: $reads" init in/teacher.cfg in/teacher.weights -out links/hard.weights
import() { "$darknet" distill weights import in/teacher.cfg in/model.pt "$@"; }
refused "weights import over the model" "in/model.pt: $reads" import in/model.pt
refused "over the cfg" "links/soft.cfg: $reads" import links/soft.cfg
refused "over the map" "in/m.map: $reads" import in/m.map -map in/m.map
status 0 "export" export_it x
status 0 "and again over the last one" export_it x

cp in/student.weights in/run_final.weights; echo '{}' >in/run.jsonl; sums >sums
for f in t.data t.names valid-images-idx3-ubyte student.cfg teacher.cfg teacher.weights run_final.weights run.jsonl; do
    refused "report -out $f" "in/$f: $reads" "$darknet" distill report in/t.data in/student.cfg=in/run -seconds 0 -out in/$f
done
for f in t.data t.names train-images-idx3-ubyte train-labels-idx1-ubyte valid-images-idx3-ubyte student.cfg teacher.cfg teacher.weights; do
    refused "features -out $f" "in/$f: $reads" "$darknet" distill features in/t.data in/student.cfg -out in/$f
    refused "train -cache $f" "in/$f: $reads" train in/student.cfg -cache in/$f
done
for f in t.data t.names train-images-idx3-ubyte valid-images-idx3-ubyte student.cfg; do
    refused "data -sheet $f" "in/$f: $reads" "$darknet" distill data in/t.data in/student.cfg -sheet in/$f
done
synthesize() { "$darknet" distill synthesize in/student.cfg made "$@" -batch 4 -steps 1 -threads 1; }
refused "synthesize into the folder of its cfg" "in: is not empty, and no folder of synthesize's" "$darknet" distill synthesize in/student.cfg in -n 4
status 0 "synthesize" synthesize -n 4
for f in synthesis.txt synthetic.list synthetic.data sheet.png; do
    mv made/$f kept; ln in/teacher.weights made/$f
    refused "synthesize over the teacher's weights, a hard link called $f" "made/$f: $reads" synthesize -n 8
    mv -f kept made/$f
done
for f in images/000004.png generator-2.weights; do
    ln in/teacher.weights made/$f
    refused "and one called $f" "made/$f: $reads" synthesize -n 8
    rm made/$f
done
status 0 "without them it goes on" synthesize -n 8
refused "train -cache of its own checkpoint" "$twice" train in/student.cfg -cache b/student_best.weights
: >in/empty.txt; sed 's#^names=.*#names=in/t.names#; s#^train=.*#train=in/empty.txt#' in/t.data >in/e.data; sums >sums
refused "a list that is empty is no cache" "in/empty.txt" "$darknet" distill features in/e.data in/student.cfg -out in/empty.txt
status 0 "a cache in folders that are not there" train in/student.cfg -cache new/deep/cache -backup c
[ -s new/deep/cache ] && ok "which are made" || not_ok "which are made"
status 0 "and again" train in/student.cfg -cache new/deep/cache -backup c

# ---- a teacher and a student of one name ----
mkdir t s; plain >t/net.cfg
status 0 "a teacher called net" train t/net.cfg
simkd t/net.cfg b/net_final.weights >s/net.cfg
sums >sums
refused "a student called net in the same folder" "b/net_final.weights: $reads" train s/net.cfg
grep -q "hint: this run is called 'net', after its cfg: give it a -backup folder of its own" err && ok "says what to do" || not_ok "says what to do" "$(cat err)"
grep -q top-1 out && not_ok "before the teacher is measured" || ok "before the teacher is measured"
refused "with -resume" "$reads" train s/net.cfg -resume
refused "through a linked folder" "$reads" train s/net.cfg -backup links/../b
cp b/net_last.weights in/last.weights; simkd t/net.cfg in/last.weights >s/net.cfg; sums >sums
refused "the teacher's weights elsewhere, its run still there" "b/net_last.state is of the run that trained the teacher t/net.cfg" train s/net.cfg
status 0 "in a folder of its own" train s/net.cfg -backup s
sums | cmp -s - sums && ok "which leaves the teacher alone" || not_ok "which leaves the teacher alone"
status 0 "the teacher goes on from its own checkpoint" train t/net.cfg b/net_last.weights -clear
status 0 "and from its last state" train t/net.cfg -resume
status 0 "an encoder" "$darknet" distill weights extract t/net.cfg b/net_final.weights s/encoder -to 1
cp s/encoder.weights b/student_final.weights; sums >sums
refused "a start that is no checkpoint of its own" "b/student_final.weights: $reads" train in/student.cfg b/student_final.weights
cp in/train-images-idx3-ubyte b/odd.lock; cp in/train-labels-idx1-ubyte in/odd-labels; cp in/student.cfg s/odd.cfg
printf 'classes=10\ntrain=b/odd.lock\ntrain_labels=in/odd-labels\nbackup=b\n' >in/odd.data
before=$(md5sum <b/odd.lock)
status 1 "images where the lock would be" "$darknet" distill train in/odd.data s/odd.cfg -epochs 1 -quiet -force
[ "$(md5sum <b/odd.lock)" = "$before" ] && ok "stay" || not_ok "stay"
rm b/odd.lock
{ simkd in/teacher.cfg in/teacher.weights 'name=a\ncache=one.cache\n[teacher]\nname=c\ncfg=in/teacher.cfg\nweights=in/teacher.weights\ncache=./one.cache\n' | sed '/^\[projector\]/,$d'
  printf '[projector]\nstack=linear\n[feature_l2]\nteacher=a\n[reused_classifier]\n[route]\nlayers=1\n[projector]\nstack=linear\n[feature_l2]\nteacher=c\n[reused_classifier]\n'; } >s/two.cfg
sums >sums
refused "two teachers with one cache" "./one.cache: $twice" train s/two.cfg

# ---- pictures ----
cd - >/dev/null || exit 1
root=$PWD
"$build/make_shapes" "$w/shapes" 2 2 >/dev/null
cd "$w" || exit 1
for i in 0 1; do cp "$(ls shapes/images/train*.png | sed -n $((i + 1))p)" in/$i.png; done
mkdir pictures other; cp in/0.png pictures/p.jpg; cp in/1.png other/p.png; cp in/0.png predictions.jpg
cp in/0.png in/hard.png; ln in/hard.png links/linked.png
printf 'box\nball\nstar\n' >in/names.png
printf 'classes=3\nnames=in/names.png\n' >in/shapes.data
sums() { find in b links pictures other predictions.jpg -type f | sort | xargs md5sum; }
sums >sums
predict() { "$darknet" distill predict in/shapes.data "$root/cfg/shapes/teacher.cfg" "$root/cfg/shapes/teacher.weights" "$@"; }
refused "predict -out over the picture" "in/0.png: $reads" predict in/0.png -out in/0.png
refused "over a link to it" "links/linked.png: $reads" predict in/hard.png -out links/linked.png
refused "over the names" "in/names.png: $reads" predict in/0.png -out in/names.png
refused "without -out, over predictions.jpg" "predictions.jpg: $reads" predict predictions.jpg
refused "several, into their own folder" "pictures/p.jpg: $reads" predict in/0.png pictures/p.jpg -out pictures
refused "two of one name" "out/p.jpg: $twice" predict pictures/p.jpg other/p.png -out out
[ ! -e out/p.jpg ] && ok "of which none is drawn" || not_ok "of which none is drawn"
rm -f out
printf 'in/0.png 0\nin/1.png 1\n' >in/two.list; printf 'classes=3\nnames=in/names.png\ntrain=in/two.list\n' >in/two.data
sums >sums
refused "data -sheet over a picture" "in/1.png: $reads" "$darknet" distill data in/two.data -sheet in/1.png
refused "over a link to the names" "links/folder/names.png: $reads" "$darknet" distill data in/two.data -sheet links/folder/names.png
status 0 "two of other names" predict in/0.png in/1.png -out drawn
sums | cmp -s - sums && ok "and all inputs are what they were" || not_ok "and all inputs are what they were"
finish
