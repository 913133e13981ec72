/* What Darknet's library does with CUDA and does wrong, mended from outside: its calls of these functions resolve to the
 * executable's, as those of error() do (host.c).
 *
 * - check_error printed to stdout, took the text of the wrong status and ended in an assert.
 * - A library built with GPU=1 allocates device memory for most layers, and frees host memory as if it were the device's,
 *   whatever gpu_index is: `-nogpu` needed a device. Here nothing touches CUDA while gpu_index is -1.
 * - Its *_gpu functions call batch norm's (batchnorm_gpu.c has those). */
#include "cuda_call.h"
#include "gpu.h"

#include <stdio.h>

#if CUDART_VERSION >= 13000
cudaError_t cudaThreadSynchronize(void);
/* Gone from CUDA 13; an unused benchmark in the library names it. */
__attribute__((weak)) cudaError_t cudaThreadSynchronize(void) { return cudaDeviceSynchronize(); }
#endif

void error(const char *s);
void check_error(cudaError_t status);
int *cuda_make_int_array(int *x, size_t n);

void cuda_checked(cudaError_t status, const char *call, const char *file, int line)
{
    char text[240];
    if (status == cudaSuccess) return;
    snprintf(text, sizeof text, "CUDA: %.80s failed in %s:%d: %.60s (%s)", call, file, line, cudaGetErrorString(status), cudaGetErrorName(status));
    error(text);
}

void check_error(cudaError_t status)
{
    cudaError_t earlier = cudaGetLastError();
    cuda_checked(status, "a call of libdarknet's", "its sources", 0);
    cuda_checked(earlier, "an earlier call of libdarknet's", "its sources", 0);
}

void cuda_set_device(int n)
{
    gpu_index = n;
    if (n >= 0) CUDA_CALL(cudaSetDevice(n));
}

static void *make_array(const void *x, size_t bytes)
{
    void *p = NULL;
    if (gpu_index < 0) return NULL;
    CUDA_CALL(cudaMalloc(&p, bytes ? bytes : 1));
    if (x) CUDA_CALL(cudaMemcpy(p, x, bytes, cudaMemcpyHostToDevice));
    else CUDA_CALL(cudaMemset(p, 0, bytes));
    return p;
}

float *cuda_make_array(float *x, size_t n) { return make_array(x, n * sizeof *x); }
int *cuda_make_int_array(int *x, size_t n) { return make_array(x, n * sizeof *x); }

void cuda_free(float *x)
{
    if (gpu_index >= 0 && x) CUDA_CALL(cudaFree(x));
}
