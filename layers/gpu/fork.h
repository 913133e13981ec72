/* Kernels of the layers that AlexeyAB's Darknet has and the host lacks, on plain arrays of the device (fork.cu; elements
 * in fork_ops.h). */
#ifndef DISTILL_GPU_FORK_H
#define DISTILL_GPU_FORK_H
#include "fork_ops.h"

/* out = z times its factors s. */
void gpu_multiply(product_shape shape, const float *z, const float *s, float *out);
/* dz += d times the factors; ds, `factors` of them, += what each one's gradient is. */
void gpu_multiply_back(product_shape shape, const float *d, const float *s, float *dz);
void gpu_factors_back(product_shape shape, const float *d, const float *z, float *ds, size_t factors);
/* [reorg3d]: n numbers of the output, of h x w, from x; back: += to the input's deltas from the output's. */
void gpu_reorg3d(const float *from, size_t n, int c, int h, int w, int stride, float *to, int back);
/* An operand of a sum: out = or += v z; dz += v d; g, one a channel of the sum, = d z summed. */
void gpu_add_operand(sum_shape shape, const float *z, const float *v, float *out, int first);
void gpu_operand_back(sum_shape shape, const float *d, const float *v, float *dz);
void gpu_operand_gradient(sum_shape shape, const float *d, const float *z, float *g);

#endif
