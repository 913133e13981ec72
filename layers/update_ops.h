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

static inline update_step make_update_step(float rate, float decay, int adam, const update_args *args)
{
    update_step s = { rate, decay, args->momentum, (float)args->batch, args->B1, args->B2, args->eps, 1 };
    if (!adam) return s;
    s.rate = (float)(rate / (1 - pow(args->B1, args->t)));
    s.unbias = (float)(1 / (1 - pow(args->B2, args->t)));
    return s;
}

FEATURE_FN void update_sgd(const update_step *step, float *w, float *u)
{
    float sum = *u - step->decay * step->batch * *w;
    *w += step->rate / step->batch * sum;
    *u = step->momentum * sum;
}

FEATURE_FN void update_adam(const update_step *step, float *w, float *u, float *m, float *v)
{
    float g = *u * (1 / step->batch) - step->decay * *w;
    *m = step->b1 * *m + (1 - step->b1) * g;
    *v = step->b2 * *v + (1 - step->b2) * g * g;
    *w += step->rate * *m / (sqrtf(*v * step->unbias) + step->eps);
    *u = 0;
}

#endif
