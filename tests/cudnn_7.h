/* What cuDNN 8 took away and Debian's Darknet of 2018 still calls: the choice of an algorithm by preference. Included before its
 * C files (gcc -include) where only a newer cuDNN is at hand, so that a build with CUDNN=1 can be made and linked against. The
 * algorithms are those that every convolution of Darknet's can use. */
#ifndef DISTILL_TESTS_CUDNN_7_H
#define DISTILL_TESTS_CUDNN_7_H
#include <cudnn.h>

#if CUDNN_MAJOR >= 8
enum {
    CUDNN_CONVOLUTION_FWD_SPECIFY_WORKSPACE_LIMIT,
    CUDNN_CONVOLUTION_BWD_DATA_SPECIFY_WORKSPACE_LIMIT,
    CUDNN_CONVOLUTION_BWD_FILTER_SPECIFY_WORKSPACE_LIMIT
};

/* cudnnGetConvolution*Algorithm(handle, two or three descriptors and the convolution's, preference, bytes, result) */
#define CUDNN_7_CHOICE(name, a, b, c, type, choice) \
    static inline cudnnStatus_t name(cudnnHandle_t h, a x, b y, cudnnConvolutionDescriptor_t v, c z, int preference, size_t bytes, type *result) \
    { \
        (void)h, (void)x, (void)y, (void)v, (void)z, (void)preference, (void)bytes; \
        *result = choice; \
        return CUDNN_STATUS_SUCCESS; \
    }
CUDNN_7_CHOICE(cudnnGetConvolutionForwardAlgorithm, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t,
               cudnnConvolutionFwdAlgo_t, CUDNN_CONVOLUTION_FWD_ALGO_IMPLICIT_GEMM)
CUDNN_7_CHOICE(cudnnGetConvolutionBackwardDataAlgorithm, cudnnFilterDescriptor_t, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t,
               cudnnConvolutionBwdDataAlgo_t, CUDNN_CONVOLUTION_BWD_DATA_ALGO_1)
CUDNN_7_CHOICE(cudnnGetConvolutionBackwardFilterAlgorithm, cudnnTensorDescriptor_t, cudnnTensorDescriptor_t, cudnnFilterDescriptor_t,
               cudnnConvolutionBwdFilterAlgo_t, CUDNN_CONVOLUTION_BWD_FILTER_ALGO_1)
#endif

#endif
