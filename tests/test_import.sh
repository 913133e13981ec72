#!/bin/bash
# weights import at the command line, export of 1x1 convolutions with a stride, and the proof on a public model: CIFAR-100
# ResNet-56 must keep its published accuracy. DISTILL_PUBLISHED=1 measures that on all 10,000 images (make published);
# otherwise it is what that measurement found for the first 1,000.
set -u
. tests/tap.sh
models=tests/fixtures/import
cat >"$work/net.cfg" <<'CFG'
[net]
batch=1
width=8
height=8
channels=3
[convolutional]
batch_normalize=1
filters=4
size=3
pad=1
activation=relu
[convolutional]
batch_normalize=1
filters=6
size=1
stride=2
activation=linear
[route]
layers=0
[convolutional]
batch_normalize=1
filters=6
size=3
stride=2
pad=1
activation=relu
[convolutional]
batch_normalize=1
filters=6
size=3
pad=1
activation=linear
[shortcut]
from=1
activation=relu
[avgpool]
[connected]
output=5
activation=linear
[softmax]
CFG
status 0 "import of a PyTorch checkpoint" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$work/net.weights"
says out "block.downsample.0.weight -> [convolutional] #1 6x4x1x1, batch norm block.downsample.1" "prints where tensors go"
status 0 "the same from safetensors" "$darknet" distill weights import "$work/net.cfg" $models/net.safetensors "$work/safe.weights"
cmp -s "$work/net.weights" "$work/safe.weights" && ok "gives the same file" || not_ok "gives the same file"
status 0 "-eps" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$work/eps.weights" -eps 1e-3
status 1 "a wrong -eps" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$work/eps.weights" -eps 7
cmp -s "$work/net.weights" "$work/eps.weights" && not_ok "-eps changes the stored variance" || ok "-eps changes the stored variance"
status 0 "-json" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$work/json.weights" -json
holds "says where tensors go" '.layers == 5 and .values == 795 and .tensors[3] == {"tensor":"block.downsample.0.weight","layer":1,"section":"convolutional","sizes":"6x4x1x1","batch_norm":"block.downsample.1"} and .not_taken == []'
status 0 "-json of a checkpoint with more in it" "$darknet" distill weights import "$work/net.cfg" $models/legacy.pt "$work/json.weights" -json
holds "names it" '.not_taken == [{"name":"optimizer","tensors":1}]'
odd=$work/$'o\xffdd\xe2\x82'
status 0 "-json with a name that is not UTF-8" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$odd.weights" -json
holds "is JSON, the odd bytes escaped" '.weights | endswith("o\u00ffdd\u00e2\u0082.weights")'
rm -f "$odd.weights"
status 1 "a file that executes something" "$darknet" distill weights import "$work/net.cfg" $models/system.pt "$work/none.weights"
says err "refuses global os.system" "is refused by name"
status 1 "a whole pickled module" "$darknet" distill weights import "$work/net.cfg" $models/whole.pt "$work/none.weights"
says err "torch.save(model.state_dict()" "gets the hint to save the state dict"
[ -e "$work/none.weights" ] && not_ok "writes nothing then" || ok "writes nothing then"
status 2 "-map without its file" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$work/x.weights" -map
status 1 "-map with a file that is not there" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$work/x.weights" -map "$work/no.map"
echo "block.conv1 = 4" >"$work/wrong.map"
status 1 "-map to the wrong layer" "$darknet" distill weights import "$work/net.cfg" $models/net.pt "$work/x.weights" -map "$work/wrong.map"
says err "wrong.map:1: 'block.conv1.weight' 6x4x3x3 with batch norm does not fit layer 4, which wants 6x6x3x3 with batch norm" "names the line and both shapes"

status 0 "check of a 1x1 convolution with a stride" "$darknet" distill check "$work/net.cfg"
says err "net.cfg:16: warning: [convolutional] stock Darknet ignores stride 2 of a 1x1 kernel on the CPU" "warns at its line"
says err "[maxpool] size=1 stride=2" "says what to write instead"
# Without batch norm, as OpenCV's epsilon differs and the fixture's variances are tiny on purpose.
grep -v batch_normalize "$work/net.cfg" >"$work/plain.cfg"
"$darknet" distill weights import "$work/plain.cfg" $models/folded.onnx "$work/plain.weights" >"$work/out" 2>"$work/err"
if grep -q "built without ONNX" "$work/err"; then
    echo "skipped: import from ONNX and export of what it gives, this build has no ONNX"
else
    says out "-> [convolutional] #1 6x4x1x1" "import from ONNX"
    status 0 "export rewrites it: libdarknet, OpenCV and the stock program agree" "$darknet" distill export "$work/plain.cfg" "$work/plain.weights" "$work/exported"
    grep -q '^\[maxpool\]' "$work/exported.cfg" && ok "by a [maxpool]" || not_ok "by a [maxpool]" "$(cat "$work/exported.cfg")"
    cmp -s "$work/plain.weights" "$work/exported.weights" && ok "with the same weights" || not_ok "with the same weights"
    # What export -onnx writes comes back: the same weights, shortcut of unlike maps, enlarged and joined maps and all.
    cat >"$work/back.cfg" <<'CFG'
[net]
batch=1
width=8
height=8
channels=3
[convolutional]
filters=4
size=3
pad=1
activation=leaky
[maxpool]
size=3
stride=2
[convolutional]
filters=6
size=1
activation=linear
[shortcut]
from=0
activation=relu
[upsample]
stride=2
[route]
layers=-1,0
[convolutional]
filters=6
size=3
stride=2
pad=1
groups=2
activation=elu
[avgpool]
[dropout]
[connected]
output=5
activation=linear
[softmax]
temperature=2
CFG
    python3 - "$work/back.weights" <<'PY'
import struct, sys
n = 4 + 4 * 27 + 6 + 6 * 4 + 6 + 6 * 5 * 9 + 5 + 5 * 6
open(sys.argv[1], "wb").write(struct.pack("<3iQ", 0, 2, 0, 0) + struct.pack("<%df" % n, *[(i * 37 % 101 - 50) / 150 for i in range(n)]))
PY
    status 0 "export -onnx" "$darknet" distill export "$work/back.cfg" "$work/back.weights" "$work/there" -onnx "$work/there.onnx"
    status 0 "and import of that" "$darknet" distill weights import "$work/back.cfg" "$work/there.onnx" "$work/again.weights"
    cmp -s "$work/back.weights" "$work/again.weights" && ok "gives the same weights" || not_ok "gives the same weights"
    status 0 "into the exported cfg, too" "$darknet" distill weights import "$work/there.cfg" "$work/there.onnx" "$work/again.weights"
    sed 's/activation=elu/activation=relu/' "$work/back.cfg" >"$work/other.cfg"
    status 1 "not into a cfg of another activation" "$darknet" distill weights import "$work/other.cfg" "$work/there.onnx" "$work/none.weights"
    says err "(Elu) is not [convolutional] #6 ($work/other.cfg:25): Elu of alpha=1, the layer has activation=relu" "names node and layer"
    "$darknet" distill check "$work/exported.cfg" 2>&1 | grep -q 1x1 && not_ok "which needs no warning" || ok "which needs no warning"
fi

status 1 "valid without weights of a cfg without a teacher" "$darknet" distill valid cfg/fashion.data cfg/fashion-student.cfg
says err "no weights to measure it with" "is refused"

shared=../shared/data
teacher=$shared/teachers/cifar100_resnet56-f2eff4c8.pt
# The test images alone: of the other 50,000 nothing is asked.
unpack_test() {
    mkdir "$work/cifar100" && ln -s "$PWD/$shared/cifar100/test" "$work/cifar100/test" &&
        sed "/^    ('train', /d" $shared/cifar100/unpack.py >"$work/cifar100/unpack.py" &&
        /usr/bin/python3 "$work/cifar100/unpack.py" "$work"
}
if [ -n "${DISTILL_QUICK:-}" ]; then
    echo "skipped: the public ResNet-56's accuracy, measured without sanitizers"
elif [ ! -r $teacher ] || [ ! -r $shared/cifar100/unpack.py ]; then
    echo "skipped: the public ResNet-56, $teacher is not there"
elif ! unpack_test >/dev/null 2>&1; then
    echo "skipped: the public ResNet-56, CIFAR-100 cannot be unpacked (python3-numpy and python3-pil)"
else
    status 0 "import of the public ResNet-56" "$darknet" distill weights import cfg/cifar100/resnet56.cfg $teacher "$work/resnet56.weights"
    says out "layer2.0.downsample.0.weight -> [convolutional] #32 32x16x1x1, batch norm layer2.0.downsample.1" "finds its shortcut convolutions"
    sed "s|^weights=.*|weights=$work/resnet56.weights\nmean=0.5070,0.4865,0.4409\nstd=0.2673,0.2564,0.2761|" \
        cfg/cifar100/resnet56-resnet20.cfg >"$work/distill.cfg"
    printf 'classes=100\nnames=%s\nvalid=%s\n' "$work/fine_label_names.txt" "$work/test.bin" >"$work/cifar.data"
    images=1000 top1=7320 top5=9260 what="73.20 % top-1 and 92.60 % top-5 of the first 1,000 images, which are part of what is published"
    [ -z "${DISTILL_PUBLISHED:-}" ] || images=10000 top1=7263 top5=9194 what="72.63 % top-1 and 91.94 % top-5 of 10,000 images, as published"
    status 0 "its accuracy as a teacher" "$darknet" distill valid "$work/cifar.data" "$work/distill.cfg" -limit $images -json
    holds "$what" ".images == $images and (.teacher.top1 * 100 | round) == $top1 and (.teacher.top5 * 100 | round) == $top5 and (has(\"student\") | not)"
fi
finish
