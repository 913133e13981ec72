#!/bin/bash
# The demo's distillation exported in every way on real images: folded, merged, as a teacher, as ONNX; and what is refused.
set -u
. tests/tap.sh
if [ ! -d /usr/share/datasets/fashion-mnist ]; then echo "skipped: export, /usr/share/datasets/fashion-mnist is not installed"; exit 0; fi
w=$work data=$work/few.data
few_of train $(many 2000 300)
few_of t10k $(many 500 100)
printf 'classes=10\nnames=cfg/fashion.names\ntrain=%s/train-images-idx3-ubyte\nvalid=%s/t10k-images-idx3-ubyte\nbackup=%s\ntop=2\n' "$w" "$w" "$w" >"$data"
sed 's/^reduction=2/stack=linear/' cfg/fashion-simkd.cfg >"$w/linear.cfg"
cp cfg/fashion-simkd.cfg "$w/simkd.cfg"
for n in simkd linear; do
    status 0 "a quick $n student" "$darknet" distill train $data "$w/$n.cfg" -epochs 1 -quiet -backup "$w"
done
export_it() { "$darknet" distill export "$w/$1.cfg" "$w/$1_final.weights" "$w/${2}" -data $data "${@:3}"; }
onnx=1
export_it simkd probe -verify 0 -onnx "$w/probe.onnx" >"$w/out" 2>"$w/err" || onnx=0
[ $onnx = 1 ] || grep -q 'built without it' "$w/err" || not_ok "ONNX" "$(cat "$w/err")"

status 0 "export" export_it simkd plain -json
holds "three readers agree on 16 real images" '.verified and .images == 16 and (.images_of | endswith("few.data")) and (.readers | length == 3 and all(.ran and .max_difference <= .bound and .top1_agreement == 100))'
holds "who reads it differently is said once each, with a remedy" '.not_read_alike | length == 2 and all(.remedy != "" and .layers == 6)'
status 0 "-fold" export_it simkd folded.cfg -fold -json
holds "folds six layers, and the epsilon is no matter any more" '.folded_layers == 6 and (.not_read_alike | map(.construct) == ["activation=relu"]) and (.readers | all(.top1_agreement == 100))'
grep -q batch_normalize "$w/folded.cfg" && not_ok "no batch norm is left" || ok "no batch norm is left"
status 1 "-merge of a bottleneck" export_it simkd never -merge
says err 'simkd.cfg:47: [projector] cannot be merged' "says which section"
says err 'stack=linear' "and what would make it possible"
ls "$w" | grep -q never && not_ok "and leaves nothing" || ok "and leaves nothing"

status 0 "-merge of a linear projector" export_it linear merged -merge -json
holds "all readers agree" '.readers | length == 3 and all(.ran and .top1_agreement == 100)'
mine=$(jq .multiply_adds "$w/out")
own=$("$darknet" distill summary cfg/fashion-student.cfg -json 2>/dev/null | jq .multiply_adds)
[ "$mine" = "$own" ] && ok "it costs what the student with its own classifier costs: $own multiply-adds" || not_ok "no inference cost" "$mine, not $own"
holds "and says so" ".multiply_adds_own_classifier == $own and .multiply_adds_unmerged > $own"
top1() { "$darknet" distill valid $data "$1" "$2" -json 2>/dev/null | jq .student.top1; }
a=$(top1 "$w/linear.cfg" "$w/linear_final.weights") b=$(top1 "$w/merged.cfg" "$w/merged.weights")
[ -n "$a" ] && [ "$a" = "$b" ] && ok "the merged network has the same top-1, $a %" || not_ok "the same top-1" "$a $b"

for f in plain folded merged; do
    awk '/^\[/ { split("", seen) } /=/ { k = $0; sub(/=.*/, "", k); if (seen[k]++) print k " twice" } /[#;]|[0-9.][eE][-+0-9]/ { print }' "$w/$f.cfg" >"$w/odd"
    [ -s "$w/odd" ] && not_ok "$f.cfg: no key twice, no exponent, no comment" "$(cat "$w/odd")" || ok "$f.cfg: no key twice, no exponent, no comment"
done

status 0 "-teacher" export_it simkd teacher -teacher -fold
sed -n '/^\[teacher\]/,$p' "$w/out" >"$w/section"
{ printf '[net]\nbatch=8\nsubdivisions=1\nheight=28\nwidth=28\nchannels=1\nmax_batches=10\n\n'; cat "$w/section"
  printf '\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\nstride=4\npad=1\nactivation=relu\n\n[projector]\n\n[feature_l2]\n\n[reused_classifier]\n'; } >"$w/next.cfg"
status 0 "its [teacher] section is accepted by check" "$darknet" distill check "$w/next.cfg"
says out "a distillation" "as a distillation"

status 0 "weights fold" "$darknet" distill weights fold cfg/fashion-teacher.cfg cfg/fashion-teacher.weights "$w/small"
says out "folded the batch norm of 6 layers" "says how many"
says out "images of noise" "and on what it was verified"
a=$(top1 cfg/fashion-teacher.cfg cfg/fashion-teacher.weights) b=$(top1 "$w/small.cfg" "$w/small.weights")
[ -n "$a" ] && [ "$a" = "$b" ] && ok "the folded teacher has the same top-1, $a %" || not_ok "the same top-1" "$a $b"
sed 's/^weights=.*/weights=none/' "$w/linear.cfg" >"$w/alone.cfg"
status 0 "weights fold of a distillation needs no teacher's weights" "$darknet" distill weights fold "$w/alone.cfg" "$w/linear_final.weights" "$w/alone_folded"
says out "folded the batch norm of 3 layers" "and folds"
status 1 "weights fold of another cfg's file" "$darknet" distill weights fold cfg/fashion-student.cfg cfg/fashion-teacher.weights "$w/never"
status 2 "weights fold with a flag of export" "$darknet" distill weights fold a b c -fold
mkdir "$w/next"; chmod 555 "$w/next"
if [ "$(id -u)" = 0 ]; then echo "skipped: a folder without write permission, root writes everywhere"
else status 1 "a folder without write permission" export_it simkd next/x; fi
chmod 755 "$w/next"
status 1 "a full disk" "$darknet" distill export "$w/simkd.cfg" "$w/simkd_final.weights" /dev/full/x
ls "$w" | grep -qE 'never|part[0-9]|tmp' && not_ok "nothing half-written" || ok "nothing half-written"

if [ $onnx = 0 ]; then echo "skipped: ONNX, this build is without it"; finish; fi
status 0 "-onnx" export_it linear net -merge -onnx "$w/net.onnx" -json
holds "OpenCV reads the ONNX file with the same answers" '.readers | length == 4 and (.[2].reader | endswith("ONNX")) and all(.ran and .max_difference <= .bound and .top1_agreement == 100)'
if /usr/bin/python3 -c 'import onnx' 2>/dev/null; then
    status 0 "onnx.checker in Python" /usr/bin/python3 -c '
import onnx, sys
m = onnx.load(sys.argv[1]); onnx.checker.check_model(m, full_check=True)
assert m.opset_import[0].version >= 13 and m.graph.input[0].name == "input" and m.graph.output[0].name == "output"' "$w/net.onnx"
else echo "skipped: onnx.checker in Python, python3-onnx is not installed"; fi
if python3 -c 'import onnxruntime' 2>/dev/null; then
    status 0 "ONNX Runtime, a batch of three" python3 -c '
import numpy, onnxruntime, sys
s = onnxruntime.InferenceSession(sys.argv[1], providers=["CPUExecutionProvider"])
x = numpy.random.RandomState(0).rand(3, 1, 28, 28).astype("f")
y = s.run(None, {"input": x})[0]
assert y.shape == (3, 10) and abs(y.sum(1) - 1).max() < 1e-5 and abs(s.run(None, {"input": x[1:2]})[0] - y[1:2]).max() < 1e-6' "$w/net.onnx"
else echo "skipped: ONNX Runtime, Python has no onnxruntime"; fi

# Weights in half precision.
status 0 "-onnx -fp16" export_it linear half -merge -onnx "$w/half.onnx" -fp16 -json
holds "verified with a bound of its own" '(.readers[2] | .ran and .bound == 0.01 and .max_difference > 0 and .max_difference <= .bound) and all(.readers[0,1,3]; .bound < 0.001)'
cmp -s "$w/half.weights" "$w/net.weights" && ok "OUT.weights stay as they are" || not_ok "OUT.weights stay as they are"
full=$(stat -c %s "$w/net.onnx") half=$(stat -c %s "$w/half.onnx")
[ $((100 * half)) -lt $((60 * full)) ] && ok "half the file" || not_ok "half the file" "$half of $full bytes"
status 0 "-onnx -fp16 in words" export_it linear half -merge -onnx "$w/half.onnx" -fp16
says out "of the ONNX file OpenCV is given its halves as floats" "says what OpenCV is given"
status 1 "-fp16 alone" export_it linear half -fp16
says err "'-fp16' is for '-onnx FILE.onnx', which is not given" "is refused"
if python3 -c 'import onnxruntime' 2>/dev/null; then
    status 0 "ONNX Runtime reads the halves" python3 -c '
import numpy, onnxruntime, sys
x = numpy.random.RandomState(0).rand(8, 1, 28, 28).astype("f")
a, b = (onnxruntime.InferenceSession(f, providers=["CPUExecutionProvider"]).run(None, {"input": x})[0] for f in sys.argv[1:])
assert 0 < abs(a - b).max() < 1e-2, abs(a - b).max()' "$w/net.onnx" "$w/half.onnx"
else echo "skipped: ONNX Runtime on halves, Python has no onnxruntime"; fi
finish
