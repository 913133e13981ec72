#!/bin/bash
# Yolo-Fastest-1.1-xl -> Yolo-Fastest-1.1 on small real sets: writes lists, cfgs and jobs to experiments/, for queue.sh:
#
#   tests/experiments/detectors.sh [GROUP...]
#   for lane in 1 2; do setsid tests/experiments/queue.sh experiments/detectors.jobs </dev/null >/dev/null 2>&1 & done
#   tests/experiments/table.sh 'fruit-choice-*'; tests/experiments/detectors_table.sh fruit raccoon
#
# GROUP, in the order in which they make sense (default: the first three):
#   teachers    the public xl, fine-tuned, of each set's fold 0 by rates of .001 to .03, on training images held out; two of them for
#               three times as long, too
#   choices     on those held out, fold 0: labels by rate and loss of boxes; distillation, one change at a time, by the teacher TEACHER
#               (.003) of the first group
#   folds       teachers of all folds, by the rate chosen
#   compare     the folds FOLDS (all): the same network from labels, the student alone, the paper's form, distilled without labels and
#               with them, measured every five epochs (to see how soon; nothing is chosen by it)
#   unweighed   compare's row from labels without LABELS_KEYS, where they diverge
#   shapes      the same four on drawn shapes, three seeds, by the teacher that is part of this project
#   coco        and once on 128 photographs of COCO by the public xl as it is, measured on 128 others
#   half        and once on fold 0 of each set, by a student half as wide as its teacher, from nothing
#   converged   folds of what compare has trained from labels, then as many steps again: from labels, or distilled
#
# A set's images (DATA: a folder with images/, labels/, train.list, valid.list, NAME.names; default ../shared/data/fruit and raccoon)
# are joined, shuffled (always alike) and dealt out to three folds in turn; a fold's teacher never sees its images. 1,000 steps of 16
# at 256x256. "labels" is the network that the distillation deploys, trained -from-labels.
# The public networks are in PUBLIC (../shared/data/detect). Teachers, and the student alone, start from all of them, their heads made
# for the set's classes (`weights classes`); the deployed network and its distillation from the student's layers without its heads.
set -euo pipefail
cd "$(dirname "$0")/../.."
. tests/experiments/recipe.sh
public=${PUBLIC:-../shared/data/detect}
sets=${DATA:-../shared/data/fruit ../shared/data/raccoon}
steps=${STEPS:-1000} jobs=experiments/detectors.jobs
teacher=${TEACHER:-.003}                # its rate; .003x3: for three times as many steps
# Chosen by the first two groups, for fruit: rates, the labels' [yolo] keys, [augment] of both, and the distillation's losses, a third of
# the labels' so that the labels' rate suits
labels_rate=${LABELS_RATE:-.01} rate=${RATE:-.01} labels_keys=${LABELS_KEYS-iou_normalizer=3} compared=${AUGMENT-mosaic=1}
l2=${L2:-scale=2.4 fade=1} tail=${TAIL:-labels=.3} kd=${KD:-scale=.3 iou_normalizer=10}
folds=${FOLDS:-0 1 2}
[ $# -gt 0 ] || set -- teachers choices folds
mkdir -p experiments/cfg
: >"$jobs"

# lists FOLDER: experiments/SET-FOLD.{train,valid,data}
lists() {
    local set=${1##*/} fold classes
    classes=$(wc -l <"$1/$set.names")
    for fold in 0 1 2; do
        cat "$1"/{train,valid}.list | sort -u | shuf --random-source=<(yes) | awk -v fold=$fold -v folder="$(realpath "$1")" -v to="experiments/$set-$fold" '
            { print folder "/" $0 >(to (NR % 3 == fold ? ".valid" : ".train")) }'
        printf 'classes=%s\nnames=%s\ntrain=%s\nvalid=%s\nbackup=experiments/backup\nimage_cache=experiments/%s.images\n' "$classes" \
            "$(realpath "$1/$set.names")" "experiments/$set-$fold.train" "experiments/$set-$fold.valid" "$set" >"experiments/$set-$fold.data"
    done
}
# net RATE: a [net] of those steps
net() {
    printf '[net]\nbatch=16\nsubdivisions=1\nwidth=256\nheight=256\nchannels=3\nlearning_rate=%s\nmomentum=0.9\ndecay=0.0005\n' "$1"
    printf 'burn_in=200\npolicy=poly\npower=1\nmax_batches=%s\nhue=0.1\nsaturation=1.5\nexposure=1.5\n\n' "$steps"
}
augment=$'[augment]\njitter=0.15\nflip=1\nfit=stretch\n'
with_augment() { sed "/^${1%=*}=/d; /^.augment/a $1" <<<"$augment"; }
# augmented KEY=VALUE COMMAND...: by another [augment]
augmented() { local augment="$(with_augment "$1")"$'\n\n'; "${@:2}"; }
# plain NAME RATE CLASSES FROM [KEYS]: FROM's network for that many classes; KEYS go to its [yolo] sections
plain() {
    {
        net "$2"
        printf '%s\n' "$augment"
        sed -e '1,/^scales=/d' "$4" | awk -v classes="$3" -v keys="${5:-}" '
            /^filters=255/ { $0 = "filters=" 3 * (classes + 5) }
            /^classes=/ { $0 = "classes=" classes }
            /^(iou_loss|iou_normalizer|cls_normalizer|iou_thresh|scale_x_y)/ { next }   # stock squares, unless KEYS say more
            { print }
            /^\[yolo\]/ { n = split(keys, key, " "); for (i = 1; i <= n; ++i) print key[i] }'
    } >"experiments/cfg/$1.cfg"
}
# distilled NAME TEACHER RATE L2 TAIL KD [TEACHER-CFG]: cfg/detect's student, whose teacher has weights, and a cfg if no other is named, of
# that name; keys as in recipe.sh, "-": no [kd]
distilled() {
    {
        net "$3"
        printf '[teacher]\ncfg=experiments/cfg/%s.cfg\nweights=experiments/%s.weights\n\n%s\n' "${7:-$2}" "$2" "$augment"
        awk -v l2="$4" -v tail="$5" -v kd="$6" '
            function keys(text,  n, i, key) { n = split(text, key, " "); for (i = 1; i <= n; ++i) print key[i] }
            /^# 160x160/ { body = 1 }
            !body { next }
            { print }
            /^\[feature_l2\]/ { keys(l2) }
            /^\[reused_classifier\]/ { keys(tail); if (kd != "-") { print "\n[kd]"; keys(kd) } }' cfg/detect/yolo-fastest-1.1-simkd.cfg
    } >"experiments/cfg/$1.cfg"
}
# job NAME SET-FOLD CFG START FLAGS AND, of $seed (0); START may be empty, or "fastest": the public network's layers without its heads
job() {
    local start=${4:+ experiments/$4.weights} of=$public/yolo-fastest-1.1
    [ "${4:-}" != fastest ] || start=" $of.weights -weights-of $of.cfg"
    echo "$1 ./darknet distill train experiments/$2.data experiments/cfg/$3.cfg$start ${5:+$5 }-seed ${seed:-0}" \
        "-threads 1 -quiet${6:-}" >>"$jobs"
}
each_set() { local folder; for folder in $sets; do "$@" "${folder##*/}" "$(wc -l <"$folder/${folder##*/}.names")"; done; }
held="-holdout 50 -measure 10"

teacher_of() {   # FOLD TEACHER NAME SET CLASSES FLAGS COPY
    local times=1
    [[ $2 != *x* ]] || times=${2#*x}
    steps=$((steps * times)) plain "$3" "${2%x*}" "$5" "$public/yolo-fastest-1.1-xl.cfg"
    job "$3" "$4-$1" "$3" "$4-xl" "${6:-}" "${7:-}"
}
teachers() {   # SET CLASSES
    local one
    for one in .01 .03 .003 .001 .01x3 .003x3; do
        teacher_of 0 $one "$1-teacher$one" "$1" "$2" "$held" \
            " && cp \"\$out\"/$1-teacher${one}_final.weights experiments/$1-teacher$one.weights"
    done
}
# labels NAME SET-FOLD RATE CLASSES KEYS: the network that is deployed, whose heads have KEYS
labels() {
    plain "$1-heads" "$3" "$4" "$public/yolo-fastest-1.1-xl.cfg" "$5"
    distilled "$1" "$2-teacher" "$3" "" "" - "$1-heads"
}
labels_choice() {   # NAME RATE SET CLASSES KEYS
    labels "$3-labels-$1" "$3-0" "$2" "$4" "${5:-}"
    job "$3-choice-labels-$1" "$3-0" "$3-labels-$1" fastest "-from-labels $held"
}
choice() {   # NAME RATE L2 TAIL KD SET
    distilled "$6-choice-$1" "$6-teacher$teacher" "${@:2:4}"   # has not seen what is held out
    job "$6-choice-$1" "$6-0" "$6-choice-$1" fastest "$held"
}
# labels on heads of the student's own, which are not deployed, instead of through the frozen ones
own_heads() {   # NAME RATE L2 SET CLASSES
    choice "$1" "$2" "$3" "" "" "$4"
    awk -v classes="$5" '
        /^\[projector\]/ {
            print "[convolutional]\nfilters=" 3 * (classes + 5) "\nsize=1\nactivation=linear\n\n[yolo]\nmask=" (n++ ? "0,1,2" : "3,4,5")
            print "anchors=12,18, 37,49, 52,132, 115,73, 119,199, 242,238\nclasses=" classes "\nnum=6\ndeploy=0\n\n[route]\nlayers=-3\n"
        }
        { print }' "experiments/cfg/$4-choice-$1.cfg" >"experiments/cfg/$4.new"
    mv "experiments/cfg/$4.new" "experiments/cfg/$4-choice-$1.cfg"
}
choices() {   # SET CLASSES
    local r
    for r in .01 .03 .003 .001; do labels_choice "mse$r" $r "$@"; done
    for r in .01 .03 .003; do labels_choice "ciou$r" $r "$@" "iou_loss=ciou iou_normalizer=.07"; done
    choice both-fade .01 "scale=auto fade=1" labels=1 "" "$1"
    choice both60-fade .01 "scale=60 fade=1" labels=1 "" "$1"
    choice both8-fade .01 "scale=8 fade=1" labels=1 "" "$1"
    choice kd-fade .01 "scale=auto fade=1" "" "" "$1"
    choice both-fade.003 .003 "scale=auto fade=1" labels=1 "" "$1"
    own_heads own-fade .01 "scale=auto fade=1" "$@"
    choice kd-auto .01 scale=auto "" "" "$1"
    choice both-auto .01 scale=auto labels=1 "" "$1"
    choice kd .01 "" "" "" "$1"
    choice kd.003 .003 "" "" "" "$1"
    choice both .01 "" labels=1 "" "$1"
    choice both8-fade.003 .003 "scale=8 fade=1" labels=1 "" "$1"
    choice both.3-fade .01 "scale=2.4 fade=1" labels=.3 scale=.3 "$1"
    for r in jitter=0.3 mosaic=1; do
        augmented $r labels_choice "mse-${r%=*}.01" .01 "$@"
        augmented $r choice "both8-${r%=*}.003" .003 "scale=8 fade=1" labels=1 "" "$1"
        augmented $r choice "kd-${r%=*}.003" .003 "" "" "" "$1"
    done
    for r in 3 10; do
        augmented mosaic=1 labels_choice "mse-mosaic-box$r.01" .01 "$@" "iou_normalizer=$r"
        augmented mosaic=1 choice "both.3-mosaic-box$r" .01 "scale=2.4 fade=1" labels=.3 "scale=.3 iou_normalizer=$r" "$1"
        augmented mosaic=1 choice "kd.3-mosaic-box$r" .01 "scale=2.4 fade=1" "" "scale=.3 iou_normalizer=$r" "$1"
    done
    augmented mosaic=1 labels_choice mse-mosaic-box10.003 .003 "$@" iou_normalizer=10
    for r in .01 .003; do augmented mosaic=1 labels_choice "ciou-mosaic$r" $r "$@" "iou_loss=ciou iou_normalizer=.07"; done
    choice both-auto.03 .03 scale=auto labels=1 "" "$1"
    choice kd-weighed .01 "scale=auto weight=teacher" "" "" "$1"
    choice kd-head .01 "scale=auto metric=head" "" "" "$1"
    choice kd-channel .01 "scale=auto normalise=channel" "" "" "$1"
    choice simkd.1 .1 "" "" - "$1"
    choice kd-alone .01 scale=0 "" "" "$1"
    choice kd-focal .01 scale=auto "" focal=1 "$1"
    choice simkd .01 "" "" - "$1"
}
folds() {   # SET CLASSES
    local fold
    for fold in $folds; do
        teacher_of $fold "$teacher" "$1-$fold-teacher" "$1" "$2" "" \
            " && cp \"\$out\"/$1-$fold-teacher_final.weights experiments/$1-$fold-teacher.weights"
    done
}
compare() {   # SET CLASSES
    local fold
    for fold in $folds; do
        labels "$1-$fold-labels" "$1-$fold" "$labels_rate" "$2" "$labels_keys"
        job "$1-labels" "$1-$fold" "$1-$fold-labels" fastest "-from-labels -measure 5" \
            " && cp \"\$out\"/$1-$fold-labels-labels_final.weights experiments/$1-$fold-labels.weights"
        plain "$1-$fold-alone" "$labels_rate" "$2" "$public/yolo-fastest-1.1.cfg" "$labels_keys"
        job "$1-alone" "$1-$fold" "$1-$fold-alone" "$1-fastest" "-measure 5"
        distilled "$1-$fold-simkd" "$1-$fold-teacher" .1 "" "" -
        job "$1-simkd" "$1-$fold" "$1-$fold-simkd" fastest "-measure 5"
        distilled "$1-$fold-kd" "$1-$fold-teacher" "$rate" "$l2" "" "$kd"
        job "$1-kd" "$1-$fold" "$1-$fold-kd" fastest "-measure 5"
        distilled "$1-$fold-both" "$1-$fold-teacher" "$rate" "$l2" "$tail" "$kd"
        job "$1-both" "$1-$fold" "$1-$fold-both" fastest "-measure 5"
    done
}

# compare's row from labels by the stock weight of boxes
unweighed() {   # SET CLASSES
    local fold
    for fold in $folds; do
        labels "$1-$fold-labels-unweighed" "$1-$fold" "$labels_rate" "$2" ""
        job "$1-labels" "$1-$fold" "$1-$fold-labels-unweighed" fastest "-from-labels -measure 5"
    done
}
# four NAME SET-FOLD CFG START [FLAGS]: a row of each of CFG-labels, CFG-simkd, CFG-kd, CFG-both
four() {
    job "$1-labels" "$2" "$3-labels" "$4" "-from-labels${5:+ $5}"
    job "$1-both" "$2" "$3-both" "$4" "${5:-}"
    job "$1-kd" "$2" "$3-kd" "$4" "${5:-}"
    job "$1-simkd" "$2" "$3-simkd" "$4" "${5:-}"
}
# forms NAME FROM LABELS-RATE SIMKD-RATE: cfgs of the four, of a distillation's cfg FROM
forms() {
    with_keys "$3" "" "" - <"$2" >"experiments/cfg/$1-labels.cfg"
    with_keys "$4" "" "" - <"$2" >"experiments/cfg/$1-simkd.cfg"
    with_keys "$rate" "$l2" "" "$kd" <"$2" >"experiments/cfg/$1-kd.cfg"
    with_keys "$rate" "$l2" "$tail" "$kd" <"$2" >"experiments/cfg/$1-both.cfg"
}
shapes_labels_choice() {   # RATE
    with_keys "$1" "" "" - <experiments/cfg/shapes.from >"experiments/cfg/shapes-choice$1.cfg"
    job "shapes-choice-labels$1" shapes "shapes-choice$1" "" "-from-labels -holdout 400 -measure 10"
}
# boxes of labels weighed: a -from-labels network has its teacher's heads
shapes_labels_boxes() {   # RATE WEIGHT
    sed "/^\[yolo\]/a iou_normalizer=$2" cfg/shapes/teacher.cfg >"experiments/cfg/shapes-heads$2.cfg"
    with_keys "$1" "" "" - <experiments/cfg/shapes.from | sed "s#^cfg=.*#cfg=experiments/cfg/shapes-heads$2.cfg#" \
        >"experiments/cfg/shapes-choice-box$2$1.cfg"
    job "shapes-choice-labels-box$2$1" shapes "shapes-choice-box$2$1" "" "-from-labels -holdout 400 -measure 10"
}
shapes_choice() {   # NAME RATE L2 TAIL KD
    with_keys "${@:2:3}" "${5:-}" <experiments/cfg/shapes.from >"experiments/cfg/shapes-choice-$1.cfg"
    job "shapes-choice-$1" shapes "shapes-choice-$1" "" "-holdout 400 -measure 20"
}
shapes() {
    local seed r
    [ -s experiments/shapes/shapes.data ] || build/make_shapes experiments/shapes
    ln -sf shapes/shapes.data experiments/shapes.data
    sed 's/^max_batches=.*/max_batches=3000/' cfg/shapes/simkd.cfg >experiments/cfg/shapes.from
    for seed in 0 1 2; do
        for r in .01 .02 .03; do shapes_labels_choice $r; done   # labels alone: seeds lie ten points apart
    done
    seed=0
    for r in .05 .1; do shapes_labels_choice $r; done
    for r in 3 10; do shapes_labels_boxes .02 $r; done
    shapes_labels_boxes .01 3
    shapes_choice both-auto.01 .01 scale=auto labels=1
    shapes_choice both-auto.03 .03 scale=auto labels=1
    shapes_choice both-auto.1 .1 scale=auto labels=1
    shapes_choice both30.01 .01 scale=30 labels=1
    shapes_choice both1.03 .03 scale=1 labels=1
    for r in .01 .02 .03; do
        shapes_choice both-fade$r $r "scale=auto fade=1" labels=1
        shapes_choice kd-fade$r $r "scale=auto fade=1" ""
    done
    shapes_choice both-fade.5 .01 "scale=auto fade=.5" labels=1
    shapes_choice both1.01 .01 scale=1 labels=1
    shapes_choice both8-fade .01 "scale=8 fade=1" labels=1
    shapes_choice both80-fade .01 "scale=80 fade=1" labels=1
    shapes_choice both-kd3 .01 "scale=auto fade=1" labels=1 scale=3
    shapes_choice both-ciou .01 "scale=auto fade=1" labels=1 iou_loss=ciou
    shapes_choice both-labels.3 .01 "scale=auto fade=1" labels=.3
    shapes_choice both-box3 .01 "scale=auto fade=1" labels=1 iou_normalizer=3
    shapes_choice both8-box3 .01 "scale=8 fade=1" labels=1 iou_normalizer=3
    shapes_choice both8-box10 .01 "scale=8 fade=1" labels=1 iou_normalizer=10
    for r in .02 .03; do
        shapes_choice both-third-box10$r $r "scale=2.4 fade=1" labels=.3 "scale=.3 iou_normalizer=10"
        shapes_choice kd-third-box10$r $r "scale=2.4 fade=1" "" "scale=.3 iou_normalizer=10"
    done
    shapes_choice kd8-box3 .01 "scale=8 fade=1" "" iou_normalizer=3
    # held out, three seeds: .02 as good as .03, and steadier
    with_keys .02 "" "" - <experiments/cfg/shapes.from >experiments/cfg/shapes-labels.02.cfg
    # and the recipe of both sets, held out, at that rate
    with_keys .02 "$l2" "$tail" "$kd" <experiments/cfg/shapes.from >experiments/cfg/shapes-weighed-both.cfg
    with_keys .02 "$l2" "" "$kd" <experiments/cfg/shapes.from >experiments/cfg/shapes-weighed-kd.cfg
    local l2="scale=auto fade=1" tail=labels=1 kd=   # the former recipe
    forms shapes experiments/cfg/shapes.from "${SHAPES_LABELS_RATE:-.03}" .05
    for seed in 0 1 2; do
        job shapes-weighed-both shapes shapes-weighed-both "" "-measure 20"
        job shapes-weighed-kd shapes shapes-weighed-kd "" "-measure 20"
    done
    for seed in 0 1 2; do
        job shapes-labels.02 shapes shapes-labels.02 "" "-from-labels -measure 20"
        four shapes shapes shapes "" "-measure 20"
    done
}
coco() {
    local from=experiments/cfg/coco.from part
    for part in train val; do realpath "$public/images/${part}2017"/*.jpg >"experiments/coco.$part"; done
    printf 'classes=80\nnames=%s\ntrain=experiments/coco.train\nvalid=experiments/coco.val\nimage_cache=experiments/coco.images\n' \
        "$(realpath "$public/coco.names")" >experiments/coco.data
    distilled coco coco "$rate" "" "" -
    sed -e "s#^cfg=.*#cfg=$public/yolo-fastest-1.1-xl.cfg#; s#^weights=.*#weights=$public/yolo-fastest-1.1-xl.weights\neps=.00001#" \
        experiments/cfg/coco.cfg >"$from"
    forms coco "$from" "$labels_rate" .1
    four coco coco coco fastest
}
half() {   # SET CLASSES
    local from=experiments/cfg/$1-half.from
    ./darknet distill init -from "experiments/cfg/$1-0-teacher.cfg" -width .5 -force -out "$from" >/dev/null 2>&1
    # the plain form of what init writes: forms add the rest
    sed -i -e "s#^cfg=.*#&\nweights=experiments/$1-0-teacher.weights#" -e '/^fade=/d; /^labels=/d; /^\[kd\]$/d' "$from"
    forms "$1-half" "$from" "$labels_rate" .1
    four "$1-half" "$1-0" "$1-half" ""
}
converged() {   # SET CLASSES
    local fold
    for fold in $folds; do
        job "$1-more-labels" "$1-$fold" "$1-$fold-labels" "$1-$fold-labels" "-from-labels -clear"
        job "$1-more-both" "$1-$fold" "$1-$fold-both" "$1-$fold-labels" -clear
    done
}

for folder in $sets; do lists "$folder"; done
# where teachers start, and the student alone
for folder in $sets; do
    for pair in xl:yolo-fastest-1.1-xl fastest:yolo-fastest-1.1; do
        to=experiments/${folder##*/}-${pair%%:*}
        [ -f "$to.weights" ] || ./darknet distill weights classes "$public/${pair#*:}.cfg" "$public/${pair#*:}.weights" "$to" \
            "experiments/${folder##*/}-0.data" "$public/coco.names"
    done
done
for group in "$@"; do
    case $group in
        compare|unweighed) ${compared:+augmented "$compared"} each_set "$group" ;;
        coco) ${compared:+augmented "$compared"} coco ;;
        teachers|choices|folds|half|converged) each_set "$group" ;;
        shapes) shapes ;;
        *) echo "error: no group $group" >&2; exit 2 ;;
    esac
done
echo "$(wc -l <"$jobs") jobs in $jobs"
