/* Batch norm for one element and one thread: the kernels of batchnorm.cu and the CPU's test of whole grids call these.
 * The formulae, with their source, are those of layers/cpu/batchnorm.c. Maps are (batch, c, map). */
#ifndef DISTILL_BATCHNORM_OPS_H
#define DISTILL_BATCHNORM_OPS_H
#include "arrays_ops.h"
#include "darknet_plugin/host/host_facts.h"
#include "layers/activation_ops.h"

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
    int fork;                                    /* or by this one of activation_ops.h, and backwards; 0: by slope */
    int keeps;                                   /* x is wanted in backward though it is not trained */
} bn_arrays;

typedef enum { BN_SUM_X, BN_SUM_SQUARES, BN_SUM_DELTA, BN_SUM_WITH_X } bn_sum;

FEATURE_FN double bn_term(const bn_arrays *bn, bn_sum what, size_t at, double mean)
{
    double off = (double)(what == BN_SUM_DELTA ? 0 : bn->x[at]) - mean;
    if (what == BN_SUM_DELTA) return bn->delta[at];
    if (what == BN_SUM_WITH_X) return bn->delta[at] * off;
    return what == BN_SUM_SQUARES ? off * off : off;
}

/* Sums over channel c's elements that are thread's of `threads`. */
FEATURE_FN double bn_thread_sum(const bn_arrays *bn, bn_sum what, size_t c, double mean, size_t thread, size_t threads)
{
    double sum = 0;
    size_t image = thread / bn->map, pixel = thread % bn->map;
    /* a step: division takes longer than all else here */
    size_t images = threads / bn->map, pixels = threads % bn->map;
    while (image < bn->batch) {
        sum += bn_term(bn, what, (image * bn->c + c) * bn->map + pixel, mean);
        image += images;
        pixel += pixels;
        if (pixel < bn->map) continue;
        pixel -= bn->map;
        ++image;
    }
    return sum;
}

/* Channel c has this mean and this sum of squares about it. */
FEATURE_FN void bn_keep_statistics(const bn_arrays *bn, size_t c, double mean, double squares)
{
    double n = (double)bn->batch * (double)bn->map, variance = squares / n;
    double unbiased = n > 1 ? squares / (n - 1) : variance;
    bn->mean[c] = (float)mean;
    bn->variance[c] = (float)variance;
    bn->rolling_mean[c] += (float)(bn->rate * (mean - bn->rolling_mean[c]));
    bn->rolling_variance[c] += (float)(bn->rate * (unbiased - bn->rolling_variance[c]));
}

FEATURE_FN float bn_inverse(float variance) { return 1 / (sqrtf(variance) + (float)HOST_EPSILON); }

/* Channel c's x, normalised. */
FEATURE_FN float bn_value(const bn_arrays *bn, size_t c, float x, int train)
{
    float m = train ? bn->mean[c] : bn->rolling_mean[c];
    float v = train ? bn->variance[c] : bn->rolling_variance[c];
    return (x - m) * (bn->scales[c] * bn_inverse(v)) + bn->biases[c];
}

FEATURE_FN float bn_activated(const bn_arrays *bn, float z)
{
    return bn->fork ? fork_act_value(z, bn->fork) : sloped(z, bn->slope);
}

/* A thread's share of y; in training x becomes what y was. */
FEATURE_FN void bn_thread_forward(const bn_arrays *bn, size_t thread, size_t threads, int train)
{
    for (size_t i = thread; i < bn->batch * bn->c * bn->map; i += threads) {
        float x = bn->y[i];
        if (train || bn->keeps) bn->x[i] = x;
        bn->y[i] = bn_activated(bn, bn_value(bn, i / bn->map % bn->c, x, train));
    }
}

/* A thread's share of delta times the slope of an activation of activation_ops.h, which x tells. */
FEATURE_FN void bn_thread_slope(const bn_arrays *bn, size_t thread, size_t threads, int train)
{
    for (size_t i = thread; i < bn->batch * bn->c * bn->map; i += threads)
        bn->delta[i] *= fork_act_slope(bn_value(bn, i / bn->map % bn->c, bn->x[i], train), bn->fork);
}

/* Channel c's sums of delta and delta * (x - mean) are known: gradients, and what each delta will need. */
FEATURE_FN void bn_keep_sums(const bn_arrays *bn, size_t c, double sum, double with_x)
{
    double n = (double)bn->batch * (double)bn->map, s = sqrt((double)bn->variance[c]), r = 1 / (s + HOST_EPSILON);
    bn->bias_updates[c] += (float)sum;
    bn->scale_updates[c] += (float)(with_x * r);
    bn->delta_mean[c] = (float)(sum / n);
    bn->delta_slope[c] = s > 0 ? (float)(with_x * r / n * r * (s + HOST_EPSILON) / s) : 0;
}

/* A thread's share of delta, in place. */
FEATURE_FN void bn_thread_backward(const bn_arrays *bn, size_t thread, size_t threads, int train)
{
    for (size_t i = thread; i < bn->batch * bn->c * bn->map; i += threads) {
        size_t c = i / bn->map % bn->c;
        float factor = bn->scales[c] * bn_inverse(train ? bn->variance[c] : bn->rolling_variance[c]);
        float less = train ? bn->delta_mean[c] + bn->delta_slope[c] * (bn->x[i] - bn->mean[c]) : 0;
        bn->delta[i] = factor * (bn->delta[i] - less);
    }
}

#endif
