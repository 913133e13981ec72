/* An update of one weight: the CPU's loops (cpu/update.c, which has the formulae and their source) and the CUDA kernels
 * (gpu/arrays.cu) call the same functions. */
#ifndef DISTILL_UPDATE_OPS_H
#define DISTILL_UPDATE_OPS_H
#include "feature_type.h"

#include <darknet.h>
#include <math.h>

/* Rate and decay are this array's. */
typedef struct update_step {
    float rate, decay, momentum, batch;       /* SGD: of the sum over `batch` images */
    float b1, b2, eps, unbias;                /* Adam; unbias = 1 / (1 - b2^t), and rate is divided by 1 - b1^t */
} update_step;

static inline update_step make_update_step(float rate, float decay, int adam, const update_args *a)
{
    update_step s = { rate, decay, a->momentum, (float)a->batch, a->B1, a->B2, a->eps, 1 };
    if (!adam) return s;
    s.rate = (float)(rate / (1 - pow(a->B1, a->t)));
    s.unbias = (float)(1 / (1 - pow(a->B2, a->t)));
    return s;
}

FEATURE_FN void update_sgd(const update_step *s, float *w, float *u)
{
    float sum = *u - s->decay * s->batch * *w;
    *w += s->rate / s->batch * sum;
    *u = s->momentum * sum;
}

FEATURE_FN void update_adam(const update_step *s, float *w, float *u, float *m, float *v)
{
    float g = *u * (1 / s->batch) - s->decay * *w;
    *m = s->b1 * *m + (1 - s->b1) * g;
    *v = s->b2 * *v + (1 - s->b2) * g * g;
    *w += s->rate * *m / (sqrtf(*v * s->unbias) + s->eps);
    *u = 0;
}

#endif
