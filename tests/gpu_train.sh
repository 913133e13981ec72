#!/bin/bash
# The command on a CUDA device: it trains as on the CPU, fills and reads a cache, resumes bit for bit, and measures alike.
#   tests/gpu_train.sh BUILD     called by tests/gpu.sh
. tests/tap.sh "$@"
w=$work
few_images 200
sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" cfg/fashion-simkd.cfg >"$w/s.cfg"
train() { "$darknet" distill train "$w/few.data" "$w/s.cfg" -limit 192 -epochs 2 -quiet -backup "$w/$1" "${@:2}"; }
# An epoch: training makes rounding grow, with cuDNN past a thousandth in two.
close() {
    status 0 "$3" "$darknet" distill weights compare "$w/s.cfg" "$w/$1/s_final.weights" "$w/$2/s_final.weights" -tolerance .001
}
status 0 "training on a device" train gpu -gpus 0
status 0 "an epoch of it" train short -gpus 0 -epochs 1
status 0 "and on the CPU" train cpu -nogpu -epochs 1
close short cpu "end on weights that differ by rounding"
status 0 "filling a cache on the device" train fill -gpus 0 -views 1 -cache "$w/feat" -epochs 1
says out "192 computed" "computes each image once"
status 0 "the CPU reads it" train read -nogpu -views 1 -cache "$w/feat" -epochs 1
says out " 0 computed" "and computes nothing"
close fill read "with weights that differ by rounding"
sed 's/^subdivisions=.*/subdivisions=2/' "$w/s.cfg" >"$w/halves.cfg"
grep -q '^subdivisions=2' "$w/halves.cfg" || sed -i 's/^batch=.*/&\nsubdivisions=2/' "$w/halves.cfg"
if [ -x "$build/ompi-c/darknet" ] && command -v mpirun.openmpi >/dev/null; then
    status 0 "by halves on a device" "$darknet" distill train "$w/few.data" "$w/halves.cfg" -limit 192 -epochs 1 -quiet -backup "$w/halves"
    OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1 status 0 "two ranks, a half each" timeout 300 mpirun.openmpi --oversubscribe \
        -n 2 "$build/ompi-c/darknet" distill train "$w/few.data" "$w/s.cfg" -limit 192 -epochs 1 -quiet -backup "$w/ranks"
    status 0 "end on weights that differ by rounding" "$darknet" distill weights compare "$w/s.cfg" "$w/halves/halves_final.weights" \
        "$w/ranks/s_final.weights" -tolerance .001
else
    echo "skipped: two ranks on a device (no Open MPI)"
fi
env --default-signal=TERM "$darknet" distill train "$w/few.data" "$w/s.cfg" -limit 192 -epochs 2 -quiet -backup "$w/stop" -gpus 0 -checkpoint 0 >"$w/out" 2>&1 &
pid=$!
until [ -e "$w/stop/s_last.state" ] || ! kill -0 $pid 2>/dev/null; do sleep .02; done
kill -TERM $pid 2>/dev/null
wait $pid
[ $? -eq 143 ] && ok "a signal stops it after a step" || not_ok "a signal stops it after a step" "$(cat "$w/out")"
status 0 "it resumes" train stop -gpus 0 -resume
says out "resumed after" "from there"
cmp -s "$w/gpu/s_final.weights" "$w/stop/s_final.weights" && ok "to the same weights, bit for bit" || not_ok "to the same weights, bit for bit"
status 1 "the CPU does not go on where the device was" train stop -nogpu -resume
says err "backend=gpu" "and says why"
for where in "-gpus 0" -nogpu; do
    status 0 "valid $where" "$darknet" distill valid "$w/few.data" "$w/s.cfg" "$w/gpu/s_final.weights" $where -json
    jq -c '[.student, .teacher, .agreement]' "$w/out" >>"$w/valid"
done
for where in gpu:"-gpus 0" cpu:-nogpu; do
    status 0 "features ${where#*:}" "$darknet" distill features "$w/few.data" "$w/s.cfg" -limit 64 -views 1 -out "$w/feat.${where%%:*}" ${where#*:}
    says out "64 computed" "computes them"
done
status 0 "what the CPU has filled" train other -gpus 0 -views 1 -cache "$w/feat.cpu" -limit 64 -epochs 1
says out " 0 computed" "the device reads"

# YOLOv4-tiny to half its width, on a device: live, by a cache, exported.
make_cfg() { python3 tests/zoo/make_cfg.py yolov4-tiny size=64 classes=3 batch=4 "$@"; }
(cd "$w" && "$OLDPWD/$build/make_shapes" shapes 24 4 >/dev/null) || exit 1
boxes=$w/shapes/shapes.data
make_cfg wide=.25 >"$w/teacher.cfg"
make_cfg wide=.125 ends=student teacher="$w/teacher.cfg" weights="$w/teacher_final.weights" |
    sed 's/^learning_rate=.*/learning_rate=.001/' >"$w/half.cfg"   # ten times that, and boxes are as large as floats can be
train_boxes() { "$darknet" distill train "$boxes" "$@" -force -quiet; }
status 0 "a teacher with grouped routes, from labels" train_boxes "$w/teacher.cfg" -backup "$w" -epochs 6 -nogpu
half() { train_boxes "$w/half.cfg" -epochs 1 -views 1 -backup "$w/$1" "${@:2}"; }
status 0 "a student half as wide, live" half live -gpus 0
status 0 "a step of it" half short -gpus 0 -limit 4
status 0 "and on the CPU" half slow -nogpu -limit 4
status 0 "filling a cache" half fill -cache "$w/boxes" -type f32 -gpus 0
status 0 "and from it" half read -cache "$w/boxes" -type f32 -gpus 0
says out " 0 computed" "computing nothing"
for how in fill read; do
    cmp -s "$w/live/half_final.weights" "$w/$how/half_final.weights" && ok "to the same weights, bit for bit ($how)" || not_ok "to the same weights, bit for bit ($how)"
done
status 0 "end on weights that differ by rounding" "$darknet" distill weights compare "$w/half.cfg" "$w/short/half_final.weights" \
    "$w/slow/half_final.weights" -tolerance .001
status 0 "export" "$darknet" distill export "$w/half.cfg" "$w/live/half_final.weights" "$w/deployed" -data "$boxes" -verify 2

if [ -r /usr/share/darknet/data/dog.jpg ]; then
    for where in "-gpus 0" -nogpu; do
        status 0 "predict $where" "$darknet" distill predict "$w/few.data" cfg/fashion-teacher.cfg cfg/fashion-teacher.weights /usr/share/darknet/data/dog.jpg -t 3 -json $where
        jq -c '[.. | .class? // empty]' "$w/out" >>"$w/predicted"
    done
    [ "$(sort -u "$w/predicted" | wc -l)" -eq 1 ] && ok "both predict the same" || not_ok "both predict the same" "$(cat "$w/predicted")"
fi
[ "$(sort -u "$w/valid" | wc -l)" -eq 1 ] && ok "both measure the same" || not_ok "both measure the same" "$(cat "$w/valid")"
finish
