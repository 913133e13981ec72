#!/bin/bash
# The loader, the feature cache and a training under ThreadSanitizer; any race fails.
#   tests/tsan.sh     builds into build-tsan, without oneDNN and OpenMP, whose runtimes it would report: kernels have one
#                     thread there, loader and cache their own
set -eu
cd "$(dirname "$0")/.."
make -j"$(nproc)" --no-print-directory SAN=thread DNNL=0 ONNX=0 BUILD=build-tsan build-tsan/darknet build-tsan/tests/test_loader \
    build-tsan/tests/test_mixing build-tsan/tests/test_feature_cache >build-tsan.log 2>&1 || { tail -20 build-tsan.log; exit 1; }
rm -f build-tsan.log
export TSAN_OPTIONS="suppressions=$PWD/tests/sanitize/tsan.supp exitcode=66"
w=$(mktemp -d)
trap 'rm -rf "$w"' EXIT
tests/run.sh build-tsan 1 test_loader test_mixing test_feature_cache
sed "s#^cfg=.*#cfg=$PWD/cfg/fashion-teacher.cfg#; s#^weights=.*#weights=$PWD/cfg/fashion-teacher.weights#" cfg/fashion-simkd.cfg >"$w/simkd.cfg"
ls /usr/share/darknet/data/*.jpg >"$w/photos"
printf 'classes=10\ntrain=%s\nnames=%s\n' "$w/photos" "$PWD/cfg/fashion.names" >"$w/photos.data"
build-tsan/darknet distill train "$w/photos.data" "$w/simkd.cfg" -epochs 8 -views 2 -quiet -backup "$w" -cache "$w/f.feat" >"$w/out" 2>&1 ||
    { cat "$w/out"; exit 1; }
echo "a training with a cache: clean"
