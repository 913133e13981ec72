/* One step of one weight, by the optimisers that Darknet has. The CPU's loops (cpu/update.c) and the CUDA kernels
 * (gpu/arrays.cu) call the same functions. Darknet's `*_updates`, u here, hold minus the gradient, summed over the
 * batch; with B images per update:
 *
 *   SGD   u <- u - decay * B * w    (decay is 0 for biases and BN scales)
 *         w <- w + rate / B * u
 *         u <- momentum * u
 *   Adam  g = u / B - decay * w,    u <- 0
 *         m <- B1 * m + (1 - B1) * g,   v <- B2 * v + (1 - B2) * g^2
 *         w <- w + rate * (m / (1 - B1^t)) / (sqrt(v / (1 - B2^t)) + eps)
 *
 * SGD is Darknet's own; Adam is Kingma and Ba, "Adam", 2015, algorithm 1, with the sign of g turned. */
#ifndef DISTILL_UPDATE_OPS_H
#define DISTILL_UPDATE_OPS_H
#include "feature_type.h"

#include <darknet.h>
#include <math.h>

/* The numbers of one step; rate and decay are its array's. */
typedef struct update_step {
    float rate, decay, momentum, batch;
    float b1, b2, eps, unbiased_rate, unbias;     /* rate / (1 - b1^t) and 1 / (1 - b2^t) */
} update_step;

/* An array of n weights, and what is kept with each: the sum u, moments m and v (NULL where the optimiser has none). */
typedef struct update_job {
    float *w, *u, *m, *v;
    size_t n;
    update_step step;
} update_job;

static inline update_step make_update_step(float rate, float decay, const update_args *args)
{
    update_step step = { rate, decay, args->momentum, (float)args->batch, args->B1, args->B2, args->eps, 0, 0 };
    step.unbiased_rate = (float)(rate / (1 - pow(args->B1, args->t)));
    step.unbias = (float)(1 / (1 - pow(args->B2, args->t)));
    return step;
}

FEATURE_FN void update_sgd(const update_step *step, float *w, float *u, float *m, float *v, size_t i)
{
    (void)m, (void)v;
    float sum = u[i] - step->decay * step->batch * w[i];
    w[i] += step->rate / step->batch * sum;
    u[i] = step->momentum * sum;
}

FEATURE_FN void update_adam(const update_step *step, float *w, float *u, float *m, float *v, size_t i)
{
    float g = u[i] * (1 / step->batch) - step->decay * w[i];
    m[i] = step->b1 * m[i] + (1 - step->b1) * g;
    v[i] = step->b2 * v[i] + (1 - step->b2) * g * g;
    w[i] += step->unbiased_rate * m[i] / (sqrtf(v[i] * step->unbias) + step->eps);
    u[i] = 0;
}

#endif
