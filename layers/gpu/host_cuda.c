/* What Darknet's library does with CUDA and does wrong, mended from outside: its calls of these functions resolve to
 * the executable's, as those of error() do (host.c).
 *
 * - check_error printed to stdout, took the text of the wrong status and ended in an assert.
 * - A library built with GPU=1 allocates device memory for most layers, and frees host memory as if it were the
 *   device's, whatever gpu_index is: `-nogpu` needed a device. Here nothing touches CUDA while gpu_index is -1.
 * - It looks at no status of cuDNN's: a convolution that cuDNN refused left zeros behind, in silence. The three are
 *   checked.
 * - It takes a pass over the map to activate it by `linear`, and another for that gradient: none here.
 * - Its *_gpu functions call batch norm's (batchnorm.cu has those). */
#include "bind.h"
#include "cuda_call.h"

#include <dlfcn.h>
#include <stdio.h>

#if CUDART_VERSION >= 13000
cudaError_t cudaThreadSynchronize(void);
/* Gone from CUDA 13; an unused benchmark in the library names it. */
__attribute__((weak)) cudaError_t cudaThreadSynchronize(void) { return cudaDeviceSynchronize(); }
#endif

void error(const char *text);
void check_error(cudaError_t status);
int *cuda_make_int_array(int *from, size_t count);

void cuda_checked(cudaError_t status, const char *call, const char *file, int line)
{
    char text[240];
    if (status == cudaSuccess) return;
    snprintf(text, sizeof text, "CUDA: %.80s failed in %s:%d: %.60s (%s)", call, file, line, cudaGetErrorString(status),
             cudaGetErrorName(status));
    error(text);
}

void check_error(cudaError_t status)
{
    cudaError_t earlier = cudaGetLastError();
    cuda_checked(status, "a call of libdarknet's", "its sources", 0);
    cuda_checked(earlier, "an earlier call of libdarknet's", "its sources", 0);
}

void cuda_set_device(int device)
{
    gpu_index = device;
    if (device >= 0) CUDA_CALL(cudaSetDevice(device));
}

static void *make_array(const void *from, size_t bytes)
{
    void *p = NULL;
    if (gpu_index < 0) return NULL;
    CUDA_CALL(cudaMalloc(&p, bytes ? bytes : 1));
    if (from) CUDA_CALL(cudaMemcpy(p, from, bytes, cudaMemcpyHostToDevice));
    else CUDA_CALL(cudaMemset(p, 0, bytes));
    return p;
}

float *cuda_make_array(float *from, size_t count) { return make_array(from, count * sizeof *from); }
int *cuda_make_int_array(int *from, size_t count) { return make_array(from, count * sizeof *from); }

void cuda_free(float *memory)
{
    if (gpu_index >= 0 && memory) CUDA_CALL(cudaFree(memory));
}

/* The library's own function behind ours of that name. */
static void *behind(const char *name)
{
    char text[200];
    void *fn = dlsym(RTLD_NEXT, name);
    if (fn) return fn;
    snprintf(text, sizeof text, "no library has the function %.100s", name);
    error(text);
    return NULL;
}

void activate_array_gpu(float *x, int count, ACTIVATION act)
{
    static __typeof__(&activate_array_gpu) fn;
    if (act == LINEAR) return;
    if (!fn) fn = behind(__func__);
    fn(x, count, act);
}

void gradient_array_gpu(float *x, int count, ACTIVATION act, float *delta)
{
    static __typeof__(&gradient_array_gpu) fn;
    if (act == LINEAR) return;
    if (!fn) fn = behind(__func__);
    fn(x, count, act, delta);
}

#ifdef CUDNN
#pragma GCC diagnostic ignored "-Wdeprecated-declarations"

static cudnnStatus_t checked(cudnnStatus_t status, const char *call)
{
    char text[240];
    if (status == CUDNN_STATUS_SUCCESS) return status;
    snprintf(text, sizeof text, "cuDNN: %s failed: %.120s", call, cudnnGetErrorString(status));
    error(text);
    return status;
}

cudnnStatus_t cudnnConvolutionForward(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t in_desc,
                                      const void *in, cudnnFilterDescriptor_t w_desc, const void *w,
                                      cudnnConvolutionDescriptor_t conv, cudnnConvolutionFwdAlgo_t algo, void *space,
                                      size_t bytes, const void *beta, cudnnTensorDescriptor_t out_desc, void *out)
{
    static __typeof__(&cudnnConvolutionForward) fn;
    if (!fn) fn = behind(__func__);
    return checked(fn(handle, alpha, in_desc, in, w_desc, w, conv, algo, space, bytes, beta, out_desc, out), __func__);
}

cudnnStatus_t cudnnConvolutionBackwardData(cudnnHandle_t handle, const void *alpha, cudnnFilterDescriptor_t w_desc,
                                           const void *w, cudnnTensorDescriptor_t out_desc, const void *out,
                                           cudnnConvolutionDescriptor_t conv, cudnnConvolutionBwdDataAlgo_t algo,
                                           void *space, size_t bytes, const void *beta, cudnnTensorDescriptor_t in_desc,
                                           void *in)
{
    static __typeof__(&cudnnConvolutionBackwardData) fn;
    if (!fn) fn = behind(__func__);
    return checked(fn(handle, alpha, w_desc, w, out_desc, out, conv, algo, space, bytes, beta, in_desc, in), __func__);
}

cudnnStatus_t cudnnConvolutionBackwardFilter(cudnnHandle_t handle, const void *alpha, cudnnTensorDescriptor_t in_desc,
                                             const void *in, cudnnTensorDescriptor_t out_desc, const void *out,
                                             cudnnConvolutionDescriptor_t conv, cudnnConvolutionBwdFilterAlgo_t algo,
                                             void *space, size_t bytes, const void *beta,
                                             cudnnFilterDescriptor_t w_desc, void *w)
{
    static __typeof__(&cudnnConvolutionBackwardFilter) fn;
    if (!fn) fn = behind(__func__);
    return checked(fn(handle, alpha, in_desc, in, out_desc, out, conv, algo, space, bytes, beta, w_desc, w), __func__);
}
#endif
