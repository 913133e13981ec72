#!/bin/bash
# What synthesised images are worth: a student distilled from them beside real images, foreign ones and noise.
#
#   tests/experiments/synthesize.sh small       Fashion-MNIST at 16x16, a teacher of its own: minutes; needs numpy and PIL
#   tests/experiments/synthesize.sh cifar100    CIFAR-100, ResNet-56 -> ResNet-20: writes experiments/synthesize.jobs for queue.sh,
#                                               after it has made the images (hours)
#
# All students of a part see as many images (steps times batch), no labels, and are measured on real test images: what differs is
# what they see. COUNT and PIXELS are how many images the generator and the pixels make (5000 and 1000), STEPS the student's (3000),
# SYNTHESIZE more flags for both, PRECISION (bf16) of cifar100's students.
#
# cifar100 wants experiments/cifar100.data and experiments/resnet56.weights, as classifiers.sh does, and beside them, where COCO's
# photographs are to be compared, a folder of them in COCO (crops of 32x32 are cut from them).
set -euo pipefail
cd "$(dirname "$0")/../.."
part=${1:-small} work=experiments/synthesize program=${PROGRAM:-./darknet}
threads=${THREADS:-2}
mkdir -p $work

# conv FILTERS STRIDE ACTIVATION [FROM]: 3x3 with batch norm, and a shortcut behind it
conv() {
    printf '[convolutional]\nbatch_normalize=1\nfilters=%s\nsize=3\nstride=%s\npad=1\nactivation=%s\n\n' "$1" "$2" "$3"
    [ $# -lt 4 ] || printf '[shortcut]\nfrom=%s\nactivation=relu\n\n' "$4"
}
net() {   # RATE STEPS [AUGMENT]
    printf '[net]\nbatch=64\nsubdivisions=1\nheight=16\nwidth=16\nchannels=1\nlearning_rate=%s\nmomentum=.9\ndecay=.0005\n' "$1"
    printf 'burn_in=100\npolicy=poly\npower=1\nmax_batches=%s\n\n[augment]\npad=1\nflip=1\n\n' "$2"
}
answer() { printf '[avgpool]\n\n[convolutional]\nfilters=10\nsize=1\nstride=1\nactivation=linear\n\n'; }
accuracy() { "$program" distill valid $work/test.data "$1" "$2" -threads $threads -json | /usr/bin/python3 -c 'import json, sys
r = json.load(sys.stdin)
print("%.1f" % r["student"]["top1"])'; }

small() {
    /usr/bin/python3 - $work <<'PY'
import gzip, os, struct, sys
import numpy
from PIL import Image
work, source = sys.argv[1], '/usr/share/datasets/fashion-mnist/%s-%s-ubyte.gz'
def read(name, kind, head):
    with gzip.open(source % (name, kind)) as file:
        return numpy.frombuffer(file.read(), numpy.uint8, offset=head)
def write(name, images, labels):
    with open('%s/%s-images-idx3-ubyte' % (work, name), 'wb') as file:
        file.write(struct.pack('>4i', 2051, *images.shape) + images.astype(numpy.uint8).tobytes())
    with open('%s/%s-labels-idx1-ubyte' % (work, name), 'wb') as file:
        file.write(struct.pack('>2i', 2049, len(labels)) + labels.astype(numpy.uint8).tobytes())
def scaled(name, n):
    images = read(name, 'images-idx3', 16).reshape(-1, 28, 28)[:n]
    small = numpy.stack([numpy.asarray(Image.fromarray(image).resize((16, 16), Image.BOX)) for image in images])
    return small, read(name, 'labels-idx1', 8)[:n]
write('train', *scaled('train', 10000))
write('test', *scaled('t10k', 1000))
noise = numpy.random.default_rng(0).integers(0, 256, (5000, 16, 16))
write('noise', noise, numpy.zeros(5000))
for name in 'train', 'noise':
    with open('%s/%s.data' % (work, name), 'w') as file:
        file.write('classes=10\ntrain=%s-images-idx3-ubyte\nvalid=test-images-idx3-ubyte\n' % name)
with open(work + '/test.data', 'w') as file:
    file.write('classes=10\nvalid=test-images-idx3-ubyte\n')
PY
    { net .1 1900; conv 16 1 relu; conv 32 2 relu; conv 32 1 linear -2; conv 64 2 relu; conv 64 1 linear -2; answer; echo '[softmax]'; } \
        >$work/teacher.cfg
    { net .05 "${STEPS:-3000}"; printf '[teacher]\ncfg=teacher.cfg\nweights=teacher_final.weights\n\n'
      conv 8 1 relu; conv 16 2 relu; conv 32 2 relu; answer; printf '[kd]\ntemperature=4\n\n[softmax]\nnoloss=1\n'; } >$work/student.cfg
    [ -f $work/teacher_final.weights ] ||
        "$program" distill train $work/train.data $work/teacher.cfg -backup $work -threads $threads -quiet -seed 1 >$work/teacher.log
    echo "teacher: $(accuracy $work/teacher.cfg $work/teacher_final.weights) %"
    for way in generator pixels; do
        count=${COUNT:-5000}
        [ $way = generator ] || count=${PIXELS:-1000}
        # shellcheck disable=SC2086
        "$program" distill synthesize $work/student.cfg $work/$way -method $way -n "$count" -threads $threads -quiet ${SYNTHESIZE:-}
    done
    # The teacher's own training images, as many as the generator makes, without labels
    real=(-limit "${COUNT:-5000}")
    for set in train generator pixels noise; do
        data=$work/$set.data flags=()
        [ -f "$data" ] || data=$work/$set/synthetic.data
        [ $set != train ] || flags=("${real[@]}")
        mkdir -p $work/$set.student
        "$program" distill train "$data" $work/student.cfg -backup $work/$set.student -threads $threads -quiet -force "${flags[@]}" \
            >$work/$set.log
        echo "student of $set: $(accuracy $work/student.cfg $work/$set.student/student_final.weights) %"
    done
}

# foreign NAME: 50,000 32x32 images in colour of another kind, as a list
foreign() {
    /usr/bin/python3 - "$1" $work "${COCO:-}" <<'PY'
import glob, gzip, os, sys
import numpy
from PIL import Image
name, work, coco = sys.argv[1:]
random = numpy.random.default_rng(0)
os.makedirs('%s/%s' % (work, name), exist_ok=True)
def fashion():
    """In colour: a picture between two colours of its own."""
    with gzip.open('/usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz') as file:
        images = numpy.frombuffer(file.read(), numpy.uint8, offset=16).reshape(-1, 28, 28)
    for image in images[:50000]:
        low, high = random.integers(0, 256, (2, 3))
        grey = numpy.asarray(Image.fromarray(image).resize((32, 32), Image.BILINEAR))[..., None] / 255
        yield low + (high - low) * grey
def crops():
    """Squares of at least 64 pixels, scaled down."""
    files = sorted(glob.glob(coco + '/*.jpg'))
    for i in range(50000):
        image = Image.open(files[i % len(files)]).convert('RGB')
        side = int(random.integers(64, min(image.size) + 1))
        x, y = (int(random.integers(0, most - side + 1)) for most in image.size)
        yield numpy.asarray(image.crop((x, y, x + side, y + side)).resize((32, 32), Image.BOX))
with open('%s/%s.list' % (work, name), 'w') as out:
    for i, image in enumerate(fashion() if name == 'fashion' else crops()):
        path = '%s/%06d.png' % (name, i)
        Image.fromarray(image.round().astype(numpy.uint8) if image.dtype != numpy.uint8 else image).save('%s/%s' % (work, path))
        out.write(path + ' 0\n')
PY
    printf 'classes=100\ntrain=%s.list\n' "$1" >$work/"$1".data
}

cifar100() {
    [ -f experiments/cifar100.data ] && [ -f experiments/resnet56.weights ] ||
        { echo "error: experiments/cifar100.data or experiments/resnet56.weights is missing, see classifiers.sh" >&2; exit 1; }
    mkdir -p experiments/cfg
    # 20 epochs of 50,000 by [kd] alone, whatever the images; the public teacher wants normalised input
    awk '/^steps=/ { $0 = "steps=9765,11718,13671" } /^max_batches=/ { $0 = "max_batches=15625" }
         /^weights=/ { print "weights=experiments/resnet56.weights\nmean=.5070,.4865,.4409\nstd=.2673,.2564,.2761"; next } { print }' \
        cfg/cifar100/methods/kd.cfg | sed 's/^\[softmax\]/&\nnoloss=1/' >experiments/cfg/synthesize.cfg
    for n in 5000 50000; do
        "$program" distill synthesize experiments/cfg/synthesize.cfg $work/cifar100-$n -n $n -threads $threads ${SYNTHESIZE:-}
    done
    foreign fashion
    [ -z "${COCO:-}" ] || foreign crops
    valid=$(sed -n 's/^valid=//p' experiments/cifar100.data)
    for data in $work/cifar100-*/synthetic.data $work/fashion.data $work/crops.data; do
        [ ! -f "$data" ] || grep -q '^valid=' "$data" || echo "valid=$(realpath "$valid")" >>"$data"
    done
    job() { echo "synthesize-$1 ./darknet distill train $2 experiments/cfg/synthesize.cfg $3-seed 0 -threads 1 ${PRECISION:+-precision $PRECISION }-quiet" >>experiments/synthesize.jobs; }
    : >experiments/synthesize.jobs
    job real-5000 experiments/cifar100.data "-limit 5000 "
    job real experiments/cifar100.data ""
    for n in 5000 50000; do job generator-$n $work/cifar100-$n/synthetic.data ""; done
    job fashion $work/fashion.data ""
    [ -z "${COCO:-}" ] || job crops $work/crops.data ""
    echo "$(wc -l <experiments/synthesize.jobs) jobs in experiments/synthesize.jobs"
}

case $part in small | cifar100) $part ;; *) echo "usage: $0 small|cifar100" >&2; exit 2 ;; esac
