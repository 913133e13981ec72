/* Elements of the small kernels in arrays.cu, which the CPU's test of whole grids calls, too. */
#ifndef DISTILL_ARRAYS_OPS_H
#define DISTILL_ARRAYS_OPS_H
#include "layers/feature_type.h"

/* Where pixel i of (maps, out_h, out_w) is in (maps, h, w). */
FEATURE_FN size_t picked_at(size_t i, int h, int w, int stride, int out_h, int out_w)
{
    size_t x = i % (size_t)out_w, y = i / (size_t)out_w % (size_t)out_h, map = i / ((size_t)out_w * (size_t)out_h);
    return (map * (size_t)h + y * (size_t)stride) * (size_t)w + x * (size_t)stride;
}

/* An activation that leaves x above 0 as it is and multiplies the rest: 0 is relu, .1 leaky, 1 linear. */
FEATURE_FN float sloped(float x, float slope) { return x > 0 ? x : slope * x; }

/* x * mask, and 0 where that is 0, whatever x is. */
FEATURE_FN float masked(float x, float mask) { return mask != 0 ? x * mask : 0; }

/* Is x[i] neither NaN nor infinity? Their exponents are all ones. */
FEATURE_FN int is_finite_at(const float *x, size_t i)
{
    return (feature_bits(x[i]) & 0x7f800000u) != 0x7f800000u;
}

#endif
