#!/bin/bash
# Do two builds of the command train the same weights to the bit? Short runs of a distillation, of one with a cache, of a
# detector, of labels with SGD and Adam; then the new one goes on with the cache and the checkpoint that the old one left.
#   tests/same_weights.sh OLD NEW     two darknet programs (paths); prints the SHA-256 of each run's _final.weights
# The pictures of shapes come from build/make_shapes.
set -eu
cd "$(dirname "$0")/.."
old=$(realpath "$1") new=$(realpath "$2")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -x build/make_shapes ] || make -s build/make_shapes
build/make_shapes "$work/shapes" >/dev/null
sed 's/^adam=.*//; s/^\[net\]/[net]\nadam=1/' cfg/fashion-student.cfg >"$work/fashion-adam.cfg"
failed=0
# train PROGRAM FOLDER DATA CFG FLAGS...: prints the hash of what it ends on
train() {
    local program=$1 to=$2 data=$3 cfg=$4; shift 4
    "$program" distill train "$data" "$cfg" -backup "$to" -quiet -seed 3 "$@" >"$work/log" 2>&1 || { tail -5 "$work/log" >&2; return 1; }
    local name=${cfg##*/}
    sha256sum <"$to/${name%.cfg}_final.weights" | cut -c1-64
}
# same NAME DATA CFG FLAGS...: both programs on their own
same() {
    local name=$1 a b; shift
    a=$(train "$old" "$work/old" "$@" ${cache:+-cache "$work/old-$cache"})
    b=$(train "$new" "$work/new" "$@" ${cache:+-cache "$work/new-$cache"})
    verdict "$name" "$a" "$b"
}
verdict() {
    if [ "$2" = "$3" ]; then echo "ok $1: $2"; else echo "not ok $1: $2, but $3"; failed=1; fi
}
limited=(-limit 3200 -epochs 1)
cache= same "distillation, live teacher" cfg/fashion.data cfg/fashion-simkd.cfg "${limited[@]}"
cache=a.feat same "distillation, cache of two views" cfg/fashion.data cfg/fashion-simkd.cfg -limit 3200 -epochs 3 -views 2
cache= same "labels" cfg/fashion.data cfg/fashion-student.cfg "${limited[@]}"
cache= same "labels, Adam" cfg/fashion.data "$work/fashion-adam.cfg" "${limited[@]}"
cache= same "detector, distilled" "$work/shapes/shapes.data" cfg/shapes/simkd.cfg -limit 480 -epochs 1
cache= same "detector, labels" "$work/shapes/shapes.data" cfg/shapes/student.cfg -limit 480 -epochs 1

# What the old program left is read by the new one: a cache, and a checkpoint in the middle of a run.
whole=$(train "$old" "$work/whole" cfg/fashion.data cfg/fashion-simkd.cfg -limit 3200 -epochs 4 -views 2 -cache "$work/old-a.feat")
"$old" distill train cfg/fashion.data cfg/fashion-simkd.cfg -backup "$work/half" -quiet -seed 3 -limit 3200 -epochs 4 -views 2 \
    -cache "$work/old-a.feat" -checkpoint 0 >"$work/log" 2>&1 &
pid=$!
until grep -q '^epoch 2' "$work/log" 2>/dev/null || ! kill -0 $pid 2>/dev/null; do sleep .1; done
kill -TERM $pid 2>/dev/null || true
wait $pid || true
rest=$(train "$new" "$work/half" cfg/fashion.data cfg/fashion-simkd.cfg -limit 3200 -epochs 4 -views 2 -cache "$work/old-a.feat" -resume)
verdict "the old program's checkpoint and cache, gone on with" "$whole" "$rest"
exit $failed
