/* CUDA on the processor: the matrix product Darknet asks cuBLAS for. Matrices are column-major, as in BLAS.
 * Source of the names and numbers: NVIDIA, cuBLAS, release 13.0. */
#ifndef CUDA_ON_CPU_CUBLAS_V2_H
#define CUDA_ON_CPU_CUBLAS_V2_H
#include "cuda_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif
typedef enum { CUBLAS_STATUS_SUCCESS = 0, CUBLAS_STATUS_NOT_INITIALIZED = 1, CUBLAS_STATUS_INVALID_VALUE = 7 } cublasStatus_t;
typedef enum { CUBLAS_OP_N = 0, CUBLAS_OP_T = 1 } cublasOperation_t;
typedef struct cublasContext *cublasHandle_t;

cublasStatus_t cublasCreate(cublasHandle_t *h);
cublasStatus_t cublasDestroy(cublasHandle_t h);
cublasStatus_t cublasSetStream(cublasHandle_t h, cudaStream_t s);
/* c = alpha * op(a) * op(b) + beta * c; alpha and beta are the host's. c is (m, n), op(a) (m, k), op(b) (k, n). */
cublasStatus_t cublasSgemm(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const float *alpha, const float *a, int lda, const float *b, int ldb, const float *beta, float *c, int ldc);
/* The same for `count` matrices that lie a fixed number of floats apart. */
cublasStatus_t cublasSgemmStridedBatched(cublasHandle_t h, cublasOperation_t ta, cublasOperation_t tb, int m, int n, int k,
    const float *alpha, const float *a, int lda, long long step_a, const float *b, int ldb, long long step_b,
    const float *beta, float *c, int ldc, long long step_c, int count);
#ifdef __cplusplus
}
#endif
#endif
