#!/bin/bash
# The emulated CUDA device (tests/cuda_on_cpu): what it must do, what it must catch, and Darknet's own GPU code on it beside
# Darknet's CPU code. The last needs Darknet's source package, which apt fetches once.
set -u
cd "$(dirname "$0")/.."
. tests/tap.sh
if [ -n "${DISTILL_QUICK:-}" ]; then
    echo "skipped: the emulated CUDA device, checked without sanitizers (it brings its own)"
    finish
fi
emulated=$PWD/build-emulated
here=tests/cuda_on_cpu
unset ${!DISTILL_EMULATED_*}
export ASAN_OPTIONS=detect_leaks=0

# build_check CUDA OUT [flag]: the checks, for the device in that folder
build_check() {
    status 0 "the checks build with nvcc's command line${3:+ and $3}" "$1/bin/nvcc" -O1 -g -gencode arch=compute_75,code=sm_75 -Xcompiler -Wall,-Wextra \
        ${3:+"$3"} -o "$2" $here/check_device.cu -L"$1/lib64" -lcudart -Wl,-rpath,"$1/lib64"
}
# caught NAME TEXT [CHECK]: the mistake ends the program, and it says so
caught() {
    local got=0
    { DISTILL_EMULATED_GPUS=2 "${3:-$work/check}" "$1" >"$work/out" 2>"$work/err"; } 2>/dev/null || got=$?   # bash says "Aborted"
    if [ "$got" -ne 0 ] && grep -q -- "$2" "$work/err"; then ok "$1 is caught"; else not_ok "$1 is caught" "status $got: $(head -5 "$work/err")"; fi
}

status 0 "the device builds" $here/build.sh "$emulated" device
build_check "$emulated/cuda" "$work/check"
right="launches barriers atomics default_stream counts products random_numbers errors padding"
for c in $right waiting; do status 0 "$c" "$work/check" "$c"; done
for c in $right; do
    status 0 "$c, threads in descending order" env DISTILL_EMULATED_REVERSE=1 "$work/check" "$c"
    status 0 "$c, blocks on four threads" env DISTILL_EMULATED_THREADS=4 "$work/check" "$c"
    status 0 "$c, nothing put off" env DISTILL_EMULATED_EAGER=1 "$work/check" "$c"
done
status 1 "nothing put off is seen" env DISTILL_EMULATED_EAGER=1 "$work/check" waiting
status 0 "the default stream is overtaken" env DISTILL_EMULATED_EAGER=2 "$work/check" overtaking
status 1 "where that is asked for" "$work/check" overtaking
status 0 "no device" env DISTILL_EMULATED_GPUS=0 "$work/check" no_device
status 0 "counts are reported" env DISTILL_EMULATED_REPORT=1 "$work/check" launches
says err "cuda on cpu: 3 launches, 0 library calls, 1 copies to the device of 4000 bytes, 3 back of 20168 bytes" "and are right"

where='in block (0, 0, 0), thread (0, 0, 0)'
caught host_pointer 'scale_kernel: argument 1 is 0x[0-9a-f]*, which is memory of the host'
caught host_pointer_inside 'copy_kernel: argument 1 holds 0x[0-9a-f]*, which is memory of the host'
caught freed "read_kernel touches byte 16 of a freed block of 400 bytes $where"
caught read_behind "read_kernel touches byte 400 of a block of 400 bytes $where"
caught read_far_behind 'read_kernel touches byte 2000 of a block of 400 bytes'
caught write_behind 'write_kernel wrote byte 404 of a block of 404 bytes'
caught write_before 'write_kernel wrote byte -4 of a block of 400 bytes'
caught not_given 'that none of its arguments points to'
caught null_pointer "read_kernel follows the pointer (nil) $where"
caught copy_too_long 'cudaMemcpy: the target is bytes 0 to 48 of a block of 40 bytes'
caught copy_freed 'cudaMemcpy: the source lies in a freed block of 40 bytes'
caught copy_wrong_way 'cudaMemcpy says host to device, the pointers say device to host'
caught host_reads 'the host touches device memory: byte 0 of a block of 16 bytes'
caught free_twice 'cudaFree: a block of 12 bytes is freed twice'
caught lonely_barrier 'lonely_kernel: 3 threads of block (0, 0, 0) wait at a __syncthreads() that 5 never meet'
caught product_too_large 'cublasSgemm: b is bytes 0 to 64 of a block of 60 bytes'
caught other_device 'scale_kernel on device 1: argument 1 is memory of device 0'
caught other_stream 'a stream of device 0 is used on device 1'
caught dead_stream 'is not a stream'

status 0 "the device builds for AddressSanitizer" env DEVICE_FLAGS=-fsanitize=address $here/build.sh "$emulated/asan" device
build_check "$emulated/asan/cuda" "$work/check_asan" -fsanitize=address
for c in $right; do status 0 "$c under AddressSanitizer" "$work/check_asan" "$c"; done
for c in read_just_behind write_behind write_before; do caught $c 'use-after-poison.*' "$work/check_asan"; done
caught freed 'of a freed block' "$work/check_asan"

got=0
$here/build.sh "$emulated" >"$work/err" 2>&1 || got=$?
if [ $got -eq 2 ]; then
    echo "skipped: Darknet on the emulated device: $(tail -1 "$work/err")"
    finish
fi
if [ $got -eq 0 ]; then ok "Darknet builds on the emulated device"; else not_ok "Darknet builds on the emulated device" "$(tail -5 "$work/err")"; fi
status 0 "its GPU code is compared with its CPU code" gcc -std=gnu11 -O1 -Wall -Wextra -Werror -DGPU -isystem "$emulated/host/include" \
    -isystem "$emulated/cuda/include" -o "$work/host" $here/check_host.c -L"$emulated/host" -l:libdarknet.so -L"$emulated/cuda/lib64" -lcudart \
    -Wl,-rpath,"$emulated/host:$emulated/cuda/lib64" -lm
status 0 "they agree" "$work/host"
says err "five steps without batch norm, layer 10, softmax" "all layers were compared"
says err "0 apart" "none is apart"
for e in REVERSE=1 EAGER=1 THREADS=4; do status 0 "they agree with $e" env DISTILL_EMULATED_$e "$work/host"; done
status 134 "without a device it ends" env DISTILL_EMULATED_GPUS=0 "$work/host" 2>/dev/null
says err "check_error" "in its own check of CUDA's errors"
finish
