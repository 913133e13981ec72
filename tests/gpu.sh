#!/bin/bash
# What needs a CUDA device (make test-gpu): the tests on it, then the demo. Where there is none: what is skipped, and why.
#   tests/gpu.sh BUILD                a build with GPU=1
#   tests/gpu.sh --skipped REASON     nothing can be built
# DISTILL_QUICK=1 leaves the demo out, and four of the published networks.
set -u
skip() { printf 'skipped: %s: %s\n' "$1" "$2"; }
if [ "$1" = --skipped ]; then
    for what in "every layer on a GPU against the CPU" "training, caches and resuming by the command on a GPU" "gradients on a GPU" "live teacher and caches on a GPU" \
                "ten steps against PyTorch on a GPU" "published networks against PyTorch on a GPU" "the Fashion-MNIST demo on a GPU"; do skip "$what" "$2"; done
    exit 0
fi
build=$1 failed=0
zoo=("test_zoo_networks *,?gpu")   # the rest of it is the CPU's; quick: three that have every layer
[ -z "${DISTILL_QUICK:-}" ] || zoo=("test_zoo_networks yolov4-tiny,?gpu" "test_zoo_networks mobilenetv3-large,?gpu" "test_zoo_networks pieces,?gpu")
for t in test_gpu_ops test_gpu test_gpu_models test_fixture "${zoo[@]}"; do
    printf -- '--- %s\n' "$t"
    "$build/tests/"${t% *} ${t#"${t% *}"} 2>&1 || failed=1
done
why=$("$build/darknet" distill valid cfg/fashion.data cfg/fashion-teacher.cfg cfg/fashion-teacher.weights -gpus 0 -limit 1 2>&1 >/dev/null)
case "$why" in
    *"no CUDA device"*) skip "the Fashion-MNIST demo on a GPU" "$(sed -n 's/^error: //p' <<<"$why")" ;;
    *) printf -- '--- gpu_train.sh\n'; tests/gpu_train.sh "$build" || failed=1
       if [ -n "${DISTILL_QUICK:-}" ]; then skip "the Fashion-MNIST demo on a GPU" DISTILL_QUICK; else OUT=demo-out/gpu cfg/fashion-demo.sh || failed=1; fi ;;
esac
[ $failed -eq 0 ] || echo "failed"
exit $failed
