/* The mathematics of [feature_l2] for one element, in one place: the loop over the CPU's arrays (feature_l2.c) and
 * a CUDA kernel call the same functions.
 *
 *   t  = mean of the teacher's k x k block            (k = 1: the teacher's value)
 *   loss    (s - t)^2                                 to be multiplied by scale/D
 *   delta   2 * scale/D * (t - s)                     minus the gradient, as Darknet wants it
 *
 * Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022, equation 2. */
#ifndef DISTILL_FEATURE_L2_OPS_H
#define DISTILL_FEATURE_L2_OPS_H
#include "feature_type.h"

/* Target of student element (y, x) of channel c from the teacher's stored map, (channels, h*k, w*k); `plane` is h*k * w*k. */
FEATURE_FN float feature_l2_target(const void *t, const float *range, feature_type type, size_t c, size_t plane, int w, int k, int y, int x)
{
    size_t row = (size_t)w * (size_t)k, block = c * plane + (size_t)y * (size_t)k * row + (size_t)x * (size_t)k;
    if (k == 1) return feature_value(t, range, type, c, block);
    float sum = 0;
    for (int i = 0; i < k; ++i)
        for (int j = 0; j < k; ++j) sum += feature_value(t, range, type, c, block + (size_t)i * row + (size_t)j);
    return sum / (float)(k * k);
}

FEATURE_FN double feature_l2_loss(float s, float t)
{
    double d = (double)s - (double)t;
    return d * d;
}

/* `factor` is scale/D. */
FEATURE_FN float feature_l2_delta(float s, float t, float factor)
{
    return 2 * factor * (t - s);
}

#endif
