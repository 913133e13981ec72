/* The weight gradient of a convolution by AMX, on channels-last maps of bfloat16 numbers (vec.h, LAST).
 *
 * oneDNN 2.6 has kernels for that, too, which take several times as long on small maps. */
#ifndef DISTILL_AMX_WEIGHTS_H
#define DISTILL_AMX_WEIGHTS_H
#include "state.h"

struct conv_shape;
typedef struct amx_weights amx_weights;

/* Plans dw of that shape, with scratch in `shared`, borrowed. NULL: not this shape, or the processor, its kernel or the
 * build has no AMX. The caller frees. */
amx_weights *amx_weights_make(const struct conv_shape *shape, cpu_shared *shared);
void amx_weights_free(amx_weights *plan);   /* NULL: nothing */

/* dw += sum over images and pixels of dy x, as depthwise.c has it but for every pair of channels: x (batch, h, w, c),
 * dy (batch, out_h, out_w, n), both bfloat16 with channels up to whole blocks of 16, products summed in fp32;
 * dw (n, c, size, size). */
void amx_weight_gradient(const amx_weights *plan, const uint16_t *x, const uint16_t *dy, float *dw);

#endif
