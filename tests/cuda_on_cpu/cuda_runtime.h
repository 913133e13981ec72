/* CUDA on the processor, for tests: just enough of CUDA's runtime for Darknet's kernels and ours to be compiled by g++
 * and run where there is no GPU. `nvcc` beside this file rewrites kernel<<<grid, block>>>(args) to
 * cuda_on_cpu::on("kernel", kernel, grid, block)(args); everything else is plain C++ with the words below.
 *
 * What is as on a GPU: device memory that the host cannot touch and host memory that a kernel is refused; blocks that run
 * side by side, threads that meet at __syncthreads(); launches and copies of pinned memory that have not happened before
 * someone waits for them. A mistake ends the process with a message on stderr.
 * What is not: warps (no shuffles, no votes), speed, the order of atomicAdd, managed memory, peer access, graphs.
 *
 * Environment:
 *   DISTILL_EMULATED_GPUS=1      how many devices, 0 to 16
 *   DISTILL_EMULATED_MEMORY=8192 MiB of each
 *   DISTILL_EMULATED_THREADS=1   processor threads that share a kernel's blocks; more: atomicAdd in any order, as on a GPU
 *   DISTILL_EMULATED_EAGER=1     run everything at once instead of when it is waited for; 2: all but the default stream's, which is overtaken
 *   DISTILL_EMULATED_REVERSE=1   blocks and threads in descending order: results must not change
 *   DISTILL_EMULATED_REPORT=1    the counts below, on stderr, when the process ends
 * Source of the names and numbers: NVIDIA, CUDA Runtime API, release 13.0. */
#ifndef CUDA_ON_CPU_RUNTIME_H
#define CUDA_ON_CPU_RUNTIME_H
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define CUDART_VERSION 13000

#ifdef __cplusplus
#define CUDA_ON_CPU_OR(value) = value
extern "C" {
#else
#define CUDA_ON_CPU_OR(value)
#endif

typedef enum cudaError {
    cudaSuccess = 0,
    cudaErrorInvalidValue = 1,
    cudaErrorMemoryAllocation = 2,
    cudaErrorInitializationError = 3,
    cudaErrorInvalidConfiguration = 9,
    cudaErrorInvalidMemcpyDirection = 21,
    cudaErrorNoDevice = 100,
    cudaErrorInvalidDevice = 101,
    cudaErrorInvalidResourceHandle = 400,
    cudaErrorNotReady = 600,
    cudaErrorNotSupported = 801
} cudaError_t;

enum cudaMemcpyKind { cudaMemcpyHostToHost, cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice, cudaMemcpyDefault };
enum { cudaStreamDefault = 0, cudaStreamNonBlocking = 1, cudaEventDefault = 0, cudaEventBlockingSync = 1, cudaEventDisableTiming = 2,
       cudaHostAllocDefault = 0, cudaHostAllocPortable = 1 };

typedef struct CUstream_st *cudaStream_t;   /* NULL: the device's default stream */
typedef struct CUevent_st *cudaEvent_t;
typedef struct { unsigned x, y, z; } uint3;
typedef struct dim3 {
    unsigned x, y, z;
#ifdef __cplusplus
    constexpr dim3(unsigned a = 1, unsigned b = 1, unsigned c = 1) : x(a), y(b), z(c) {}
#endif
} dim3;
typedef struct { float x, y; } float2;
typedef struct { float x, y, z; } float3;
typedef struct { float x, y, z, w; } __attribute__((aligned(16))) float4;

struct cudaDeviceProp {
    char name[256];
    size_t totalGlobalMem, sharedMemPerBlock;
    int warpSize, maxThreadsPerBlock, maxThreadsDim[3], maxGridSize[3], major, minor, multiProcessorCount;
};

/* Devices. cudaSetDevice is per thread. Without a device everything answers cudaErrorNoDevice. */
cudaError_t cudaGetDeviceCount(int *n);
cudaError_t cudaSetDevice(int n);
cudaError_t cudaGetDevice(int *n);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int n);
cudaError_t cudaDeviceSynchronize(void);
cudaError_t cudaThreadSynchronize(void);   /* gone from CUDA 13; Darknet's unused gemm benchmark names it */
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaRuntimeGetVersion(int *version);
cudaError_t cudaGetLastError(void);
cudaError_t cudaPeekAtLastError(void);
const char *cudaGetErrorString(cudaError_t e);
const char *cudaGetErrorName(cudaError_t e);

/* Memory. Fresh memory is all 0xff: NaN as floats. cudaFree waits for the device, as the real one does. */
cudaError_t cudaMalloc(void **p, size_t size);
cudaError_t cudaFree(void *p);
cudaError_t cudaMallocHost(void **p, size_t size);
cudaError_t cudaHostAlloc(void **p, size_t size, unsigned flags);
cudaError_t cudaFreeHost(void *p);
cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total);
cudaError_t cudaMemcpy(void *to, const void *from, size_t size, enum cudaMemcpyKind kind);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t size, enum cudaMemcpyKind kind, cudaStream_t s CUDA_ON_CPU_OR(NULL));
cudaError_t cudaMemset(void *p, int value, size_t size);
cudaError_t cudaMemsetAsync(void *p, int value, size_t size, cudaStream_t s CUDA_ON_CPU_OR(NULL));

/* Streams and events. */
cudaError_t cudaStreamCreate(cudaStream_t *s);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *s, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t s);
cudaError_t cudaStreamSynchronize(cudaStream_t s);
cudaError_t cudaStreamQuery(cudaStream_t s);
cudaError_t cudaStreamWaitEvent(cudaStream_t s, cudaEvent_t e, unsigned flags CUDA_ON_CPU_OR(0));
cudaError_t cudaEventCreate(cudaEvent_t *e);
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *e, unsigned flags);
cudaError_t cudaEventDestroy(cudaEvent_t e);
cudaError_t cudaEventRecord(cudaEvent_t e, cudaStream_t s CUDA_ON_CPU_OR(NULL));
cudaError_t cudaEventSynchronize(cudaEvent_t e);
cudaError_t cudaEventQuery(cudaEvent_t e);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t from, cudaEvent_t to);

/* What happened since the process began, on all devices. Not part of CUDA: tests declare it weak to know whether they
 * run here. Copies through the host are to_device and from_device. */
struct cuda_on_cpu_counts { long launches, library_calls, to_device, to_device_bytes, from_device, from_device_bytes, on_device, live, live_bytes, peak_bytes; };
struct cuda_on_cpu_counts cuda_on_cpu_count(void);

#ifdef __cplusplus
}
#include "kernel.h"
#endif
#endif
