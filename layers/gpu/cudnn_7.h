/* What cuDNN 8 took away and Darknet's code of 2018 still calls: the choice of an algorithm by preference. A Darknet
 * with CUDNN=1 builds against cuDNN 8 and 9 when this is included before its C files:
 *
 *   make GPU=1 CUDNN=1 CC="gcc -include .../layers/gpu/cudnn_7.h"
 *
 * As in cuDNN 7, floats are multiplied as floats and not as TF32 (CUDNN_7_TF32 leaves that to cuDNN: three digits,
 * faster from Ampere on), and the algorithm that cuDNN expects to be the fastest is taken: of those whose sums come in
 * the same order each time, or a run could not be resumed to the bit, and without Fourier transforms, which it likes
 * for small maps in FP32 and which took 6.6 of the 23.6 ms of a step's kernels for 11 of its convolutions (H100,
 * ResNet-32x4 -> 8x4). */
#ifndef DISTILL_CUDNN_7_H
#define DISTILL_CUDNN_7_H
#include <cudnn.h>

#if CUDNN_MAJOR >= 8
enum {
    CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT,
    CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT,
    CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT
};

#ifdef CUDNN_7_TF32
enum { CUDNN_7_MATH = CUDNN_DEFAULT_MATH };
#else
enum { CUDNN_7_MATH = CUDNN_FMA_MATH };
#endif

/* cudnnGetConvolution*Algorithm(handle, two or three descriptors and the convolution's, preference, bytes, result): the
 * first of cuDNN's list that will do. */
#define CUDNN_7_CHOICE(name, a, b, c, kind, type, perf) \
    static inline cudnnStatus_t name(cudnnHandle_t handle, a x, b y, cudnnConvolutionDescriptor_t conv, c z, \
                                     int preference, size_t bytes, type *result) \
    { \
        perf list[16]; \
        int n = 0; \
        cudnnStatus_t status = cudnnSetConvolutionMathType(conv, (cudnnMathType_t)CUDNN_7_MATH); \
        (void)preference; \
        if (status == CUDNN_STATUS_SUCCESS) status = name##_v7(handle, x, y, conv, z, 16, &n, list); \
        for (int i = 0; status == CUDNN_STATUS_SUCCESS && i < n; ++i) { \
            if (list[i].status != CUDNN_STATUS_SUCCESS || list[i].memory > bytes) continue; \
            if (list[i].determinism != CUDNN_DETERMINISTIC) continue; \
            if (list[i].algo == CUDNN_CONVOLUTION_##kind##_ALGO_FFT) continue; \
            if (list[i].algo == CUDNN_CONVOLUTION_##kind##_ALGO_FFT_TILING) continue; \
            *result = list[i].algo; \
            return CUDNN_STATUS_SUCCESS; \
        } \
        return status == CUDNN_STATUS_SUCCESS ? CUDNN_STATUS_NOT_SUPPORTED : status; \
    }
CUDNN_7_CHOICE(cudnnGetConvolutionForwardAlgorithm, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
               cudnnTensorDescriptor_t, FWD, cudnnConvolutionFwdAlgo_t, cudnnConvolutionFwdAlgoPerf_t)
CUDNN_7_CHOICE(cudnnGetConvolutionBackwardDataAlgorithm, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t,
               cudnnTensorDescriptor_t, BWD_DATA, cudnnConvolutionBwdDataAlgo_t, cudnnConvolutionBwdDataAlgoPerf_t)
CUDNN_7_CHOICE(cudnnGetConvolutionBackwardFilterAlgorithm, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t,
               cudnnFilterDescriptor_t, BWD_FILTER, cudnnConvolutionBwdFilterAlgo_t,
               cudnnConvolutionBwdFilterAlgoPerf_t)
#endif

#endif
