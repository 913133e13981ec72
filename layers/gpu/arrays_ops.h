/* Elements of the small kernels in arrays.cu, which the CPU's test of whole grids calls, too. */
#ifndef DISTILL_ARRAYS_OPS_H
#define DISTILL_ARRAYS_OPS_H
#include "../feature_type.h"

#include <math.h>

/* Where pixel i of (maps, out_h, out_w) is in (maps, h, w). */
FEATURE_FN size_t picked_at(size_t i, int h, int w, int stride, int out_h, int out_w)
{
    size_t x = i % (size_t)out_w, y = i / (size_t)out_w % (size_t)out_h, map = i / ((size_t)out_w * (size_t)out_h);
    return (map * (size_t)h + y * (size_t)stride) * (size_t)w + x * (size_t)stride;
}

/* Neither NaN nor infinity: their exponents are all ones. */
FEATURE_FN int is_finite_at(const float *x, size_t i)
{
    return (feature_bits(x[i]) & 0x7f800000u) != 0x7f800000u;
}

/* An update of one weight; formulae and source in layers/cpu/update.c. Rate and decay are this array's. */
typedef struct update_step {
    float rate, decay, momentum, batch;       /* SGD: of the sum over `batch` images */
    float b1, b2, eps, unbias;                /* Adam; unbias = 1 / (1 - b2^t), and rate is divided by 1 - b1^t */
} update_step;

FEATURE_FN void update_sgd(const update_step *s, float *w, float *u)
{
    float sum = *u - s->decay * s->batch * *w;
    *w += s->rate / s->batch * sum;
    *u = s->momentum * sum;
}

FEATURE_FN void update_adam(const update_step *s, float *w, float *u, float *m, float *v)
{
    float g = *u / s->batch - s->decay * *w;
    *m = s->b1 * *m + (1 - s->b1) * g;
    *v = s->b2 * *v + (1 - s->b2) * g * g;
    *w += s->rate * *m / (sqrtf(*v * s->unbias) + s->eps);
    *u = 0;
}

#endif
