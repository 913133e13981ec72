/* Batch norm for one element and one thread: the kernels of batchnorm.cu and the CPU's test of whole grids call these. The
 * formulae, with their source, are those of layers/cpu/batchnorm.c. */
#ifndef DISTILL_BATCHNORM_OPS_H
#define DISTILL_BATCHNORM_OPS_H
#include "arrays_ops.h"
#include "darknet_plugin/host/host_facts.h"

#include <math.h>

/* One layer's arrays. All (c) but x, y, delta: (batch, c, map). The activation's slope: sloped() in arrays_ops.h. */
typedef struct bn_arrays {
    size_t batch, c, map;
    float *x, *y, *delta;                        /* input kept for backward; output; gradient */
    float *scales, *biases, *scale_updates, *bias_updates;
    float *mean, *variance, *rolling_mean, *rolling_variance;
    float *delta_mean, *delta_slope;             /* of the present backward */
    double rate;                                 /* of the running statistics */
    float slope;                                 /* y is activated; delta has been multiplied with that gradient */
} bn_arrays;

/* Sums over channel c's elements that are thread's of `threads`. */
typedef enum { BN_SUM_X, BN_SUM_SQUARES, BN_SUM_DELTA, BN_SUM_WITH_X } bn_sum;

FEATURE_FN double bn_term(const bn_arrays *a, bn_sum what, size_t at, double mean)
{
    double off = (double)(what == BN_SUM_DELTA ? 0 : a->x[at]) - mean;
    if (what == BN_SUM_DELTA) return a->delta[at];
    if (what == BN_SUM_WITH_X) return a->delta[at] * off;
    return what == BN_SUM_SQUARES ? off * off : off;
}

FEATURE_FN double bn_thread_sum(const bn_arrays *a, bn_sum what, size_t c, double mean, size_t thread, size_t threads)
{
    double sum = 0;
    size_t image = thread / a->map, pixel = thread % a->map;
    size_t images = threads / a->map, pixels = threads % a->map;   /* a step: division takes longer than all else here */
    while (image < a->batch) {
        sum += bn_term(a, what, (image * a->c + c) * a->map + pixel, mean);
        image += images;
        pixel += pixels;
        if (pixel < a->map) continue;
        pixel -= a->map;
        ++image;
    }
    return sum;
}

/* Channel c has this mean and this sum of squares about it. */
FEATURE_FN void bn_keep_statistics(const bn_arrays *a, size_t c, double mean, double squares)
{
    double n = (double)a->batch * (double)a->map, variance = squares / n, unbiased = n > 1 ? squares / (n - 1) : variance;
    a->mean[c] = (float)mean;
    a->variance[c] = (float)variance;
    a->rolling_mean[c] += (float)(a->rate * (mean - a->rolling_mean[c]));
    a->rolling_variance[c] += (float)(a->rate * (unbiased - a->rolling_variance[c]));
}

FEATURE_FN float bn_inverse(float variance) { return 1 / (sqrtf(variance) + (float)HOST_EPSILON); }

FEATURE_FN float bn_value(const bn_arrays *a, size_t c, float x, int train)
{
    float m = train ? a->mean[c] : a->rolling_mean[c], v = train ? a->variance[c] : a->rolling_variance[c];
    return (x - m) * (a->scales[c] * bn_inverse(v)) + a->biases[c];
}

/* A thread's share of y; in training x becomes what y was. */
FEATURE_FN void bn_thread_forward(const bn_arrays *a, size_t thread, size_t threads, int train)
{
    for (size_t i = thread; i < a->batch * a->c * a->map; i += threads) {
        float x = a->y[i];
        if (train) a->x[i] = x;
        a->y[i] = sloped(bn_value(a, i / a->map % a->c, x, train), a->slope);
    }
}

/* Channel c's sums of delta and delta * (x - mean) are known: gradients, and what each delta will need. */
FEATURE_FN void bn_keep_sums(const bn_arrays *a, size_t c, double sum, double with_x)
{
    double n = (double)a->batch * (double)a->map, s = sqrt((double)a->variance[c]), r = 1 / (s + HOST_EPSILON);
    a->bias_updates[c] += (float)sum;
    a->scale_updates[c] += (float)(with_x * r);
    a->delta_mean[c] = (float)(sum / n);
    a->delta_slope[c] = s > 0 ? (float)(with_x * r / n * r * (s + HOST_EPSILON) / s) : 0;
}

/* A thread's share of delta, in place. */
FEATURE_FN void bn_thread_backward(const bn_arrays *a, size_t thread, size_t threads, int train)
{
    for (size_t i = thread; i < a->batch * a->c * a->map; i += threads) {
        size_t c = i / a->map % a->c;
        float factor = a->scales[c] * bn_inverse(train ? a->variance[c] : a->rolling_variance[c]);
        float less = train ? a->delta_mean[c] + a->delta_slope[c] * (a->x[i] - a->mean[c]) : 0;
        a->delta[i] = factor * (a->delta[i] - less);
    }
}

#endif
