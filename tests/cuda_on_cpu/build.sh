#!/bin/bash
# Builds the emulated device and, on it, Debian's Darknet with GPU=1. Nothing of Darknet is kept in this repository: its
# source package is fetched into OUT.
#   tests/cuda_on_cpu/build.sh OUT [device]     OUT/cuda: bin/nvcc, include, lib64 as CUDA has them; OUT/host/libdarknet.so
# Status 2, with the reason as the last line, where the source cannot be had. What is there is not built again.
# DEVICE_FLAGS=-fsanitize=address: the device, and all kernels, for programs that are built with it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1/cuda/bin" "$1/cuda/lib64"
out=$(cd "$1" && pwd)
lib=$out/cuda/lib64
exec 9>"$out/lock"
flock 9

device() {
    local so=$lib/libcuda_on_cpu.so s
    ln -sfn "$here/nvcc" "$out/cuda/bin/nvcc"
    ln -sfn "$here" "$out/cuda/include"
    for s in cuda cudart cublas curand; do ln -sf libcuda_on_cpu.so "$lib/lib$s.so"; done
    for s in "$here"/*.cpp "$here"/*.h; do
        [ "$s" -nt "$so" ] || continue
        g++ -std=c++17 -O3 -march="${MARCH:-native}" -g -fPIC -ftls-model=initial-exec -shared -fopenmp -Wall -Wextra -Werror ${DEVICE_FLAGS:-} -I"$here" \
            -Wl,-soname,libcuda_on_cpu.so -o "$so" "$here"/*.cpp
        break
    done
}

# Since gcc 12 -Ofast binds calls within a file at once: error() and its like would not be the executable's any more (host.c).
host() {
    local so=$out/host/libdarknet.so
    [ -z "$(find "$here"/{build.sh,nvcc,kernel.h,cuda_runtime.h} -newer "$so" 2>&1)" ] && return
    "$here/../../.ci/darknet-source" "$out/source" || return
    (cd "$out/source" && mkdir -p obj && rm -f obj/*.o && make -s -j"$(nproc)" GPU=1 CUDNN=0 OPENCV=0 OPTS="-Ofast -fsemantic-interposition" \
        CC="gcc -w -I$here -L$lib -Wl,-rpath,$lib" CPP="g++ -w -std=c++11 -I$here" NVCC="$here/nvcc -w ${DEVICE_FLAGS:-}" ARCH= libdarknet.so) >"$out/log" 2>&1 ||
        { tail -20 "$out/log"; echo "Darknet does not build on the emulated device"; return 1; }
    mkdir -p "$out/host/include"
    cp "$out/source/include/darknet.h" "$out/host/include/"
    cp "$out/source/libdarknet.so" "$so"
}

device
[ "${2:-}" = device ] || host
