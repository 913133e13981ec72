/* Elements of the kernels in fork.cu (formulae in layers/cpu/products.c, parts.c and shortcut_sum.c). */
#ifndef DISTILL_GPU_FORK_OPS_H
#define DISTILL_GPU_FORK_OPS_H
#include "layers/feature_type.h"
#include "layers/fork_layers.h"

/* A map times factors, `kind` of them (fork_product_kind). */
typedef struct product_shape {
    size_t n, map, channels;     /* numbers of the whole batch, pixels of a map, channels of an image */
    int kind;
} product_shape;

/* The factor of number i, as a place among the factors. */
FEATURE_FN size_t product_factor_at(product_shape shape, size_t i)
{
    if (shape.kind == FORK_BY_CHANNEL) return i / shape.map;
    if (shape.kind == FORK_BY_PIXEL) return i / (shape.map * shape.channels) * shape.map + i % shape.map;
    return i;
}

/* What factor j's gradient is: d times z, summed over the numbers that it multiplies. */
FEATURE_FN double product_factor_sum(product_shape shape, const float *d, const float *z, size_t j)
{
    size_t first = j, count = 1, step = 1;
    double sum = 0;
    if (shape.kind == FORK_BY_CHANNEL) {
        first = j * shape.map;
        count = shape.map;
    } else if (shape.kind == FORK_BY_PIXEL) {
        first = j / shape.map * shape.map * shape.channels + j % shape.map;
        count = shape.channels;
        step = shape.map;
    }
    for (size_t k = 0; k < count; ++k) sum += (double)d[first + k * step] * (double)z[first + k * step];
    return sum;
}

/* Where number i of [reorg3d]'s output, maps of c * stride * stride channels of h x w, comes from. */
FEATURE_FN size_t reorg3d_from(size_t i, size_t c, size_t h, size_t w, size_t stride)
{
    size_t col = i % w, row = i / w % h, map = i / (w * h), square = stride * stride;
    size_t image = map / (c * square), pixel = map % (c * square) / c, channel = map % c;
    size_t y = row * stride + pixel / stride, x = col * stride + pixel % stride;
    return ((image * c + channel) * h * stride + y) * w * stride + x;
}

/* Maps of an operand of a sum: `channels` of the sum's c; weights v for all of them, or one each. */
typedef struct sum_shape {
    size_t n, map, c, channels;      /* n: numbers of the sum's whole batch */
    int each;                        /* v has one for each channel */
} sum_shape;

/* The operand's place of number i of the sum, and the weight's; 0: it has no such channel. */
FEATURE_FN int sum_operand_at(sum_shape shape, size_t i, size_t *at, size_t *weight)
{
    size_t channel = i / shape.map % shape.c, image = i / (shape.map * shape.c);
    *at = (image * shape.channels + channel) * shape.map + i % shape.map;
    *weight = shape.each ? channel : 0;
    return channel < shape.channels;
}

/* The gradient of channel c's weight. */
FEATURE_FN double sum_weight_gradient(sum_shape shape, const float *d, const float *z, size_t c)
{
    size_t at, weight;
    double sum = 0;
    for (size_t image = 0; image < shape.n / (shape.map * shape.c); ++image)
        for (size_t k = 0; k < shape.map; ++k) {
            size_t i = (image * shape.c + c) * shape.map + k;
            if (sum_operand_at(shape, i, &at, &weight)) sum += (double)d[i] * (double)z[at];
        }
    return sum;
}

#endif
