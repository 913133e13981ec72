/* CUDA on the processor: the random numbers Darknet asks for. The same seed gives the same numbers, though not cuRAND's.
 * Source of the names and numbers: NVIDIA, cuRAND, release 13.0. */
#ifndef CUDA_ON_CPU_CURAND_H
#define CUDA_ON_CPU_CURAND_H
#include "cuda_runtime.h"

#ifdef __cplusplus
extern "C" {
#endif
typedef enum { CURAND_STATUS_SUCCESS = 0, CURAND_STATUS_NOT_INITIALIZED = 101, CURAND_STATUS_LENGTH_NOT_MULTIPLE = 105 } curandStatus_t;
typedef enum { CURAND_RNG_PSEUDO_DEFAULT = 100 } curandRngType_t;
typedef struct curandGenerator_st *curandGenerator_t;

curandStatus_t curandCreateGenerator(curandGenerator_t *g, curandRngType_t type);
curandStatus_t curandDestroyGenerator(curandGenerator_t g);
curandStatus_t curandSetStream(curandGenerator_t g, cudaStream_t s);
curandStatus_t curandSetPseudoRandomGeneratorSeed(curandGenerator_t g, unsigned long long seed);
curandStatus_t curandGenerateUniform(curandGenerator_t g, float *x, size_t n);                            /* (0, 1] */
curandStatus_t curandGenerateNormal(curandGenerator_t g, float *x, size_t n, float mean, float deviation);  /* n is even */
#ifdef __cplusplus
}
#endif
#endif
