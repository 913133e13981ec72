/* CUDA calls that are checked: what fails names the call, the file and the line, and ends the program as running out of
 * memory does, since nothing after it can be trusted. For files that are only built with GPU=1. */
#ifndef DISTILL_CUDA_CALL_H
#define DISTILL_CUDA_CALL_H
#include <darknet.h>        /* with cuda_runtime.h and cublas_v2.h, which must not be within extern "C" */
#include <cuda_runtime.h>

#ifdef __cplusplus
extern "C" {
#endif
/* "CUDA: CALL failed in FILE:LINE: TEXT (NAME)", through the host's error(); nothing if status is cudaSuccess. */
void cuda_checked(cudaError_t status, const char *call, const char *file, int line);
#ifdef __cplusplus
}
#endif

#define CUDA_CALL(call) cuda_checked(call, #call, __FILE__, __LINE__)
/* After a kernel's launch. */
#define CUDA_LAUNCHED(kernel) cuda_checked(cudaGetLastError(), "launching " #kernel, __FILE__, __LINE__)

/* Threads in a block, and the most blocks of a kernel whose threads go on in strides until all elements are done. */
enum { CUDA_THREADS = 256, CUDA_BLOCKS = 1024 };

/* In such a kernel: what is this thread's of n. */
#define FOR_MINE(i, n) \
    for (size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n); i += (size_t)gridDim.x * blockDim.x)

/* Blocks for n elements, n > 0. */
static inline int cuda_blocks(size_t n)
{
    size_t blocks = (n + CUDA_THREADS - 1) / CUDA_THREADS;
    return blocks < CUDA_BLOCKS ? (int)blocks : (int)CUDA_BLOCKS;
}

#endif
