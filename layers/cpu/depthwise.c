/* The weight gradient of a depthwise convolution on blocked maps:
 *   dw[c][ky][kx] += sum over images, oy, ox of dy[c][oy][ox] * x[c][oy * stride - pad + ky][ox * stride - pad + kx]
 * oneDNN has a fast kernel for 3x3 only; for 5x5 its plain loops took a hundred times as long as this. One share of the
 * work is a block of LANES channels, so sums do not depend on the number of threads. */
#include "conv.h"
#include "parallel.h"
#include "vec.h"

#include <stdlib.h>

typedef struct depthwise_job {
    const conv_shape *shape;
    const map_value *x, *dy;
    float *dw;
} depthwise_job;

/* The outputs o in [*begin, *end) that read inside the input: 0 <= o * stride - pad + k < in. */
static void valid_range(const conv_shape *shape, int k, int in, int out, int *begin, int *end)
{
    int first = shape->pad - k, last = in - 1 + shape->pad - k;
    *begin = first > 0 ? (first + shape->stride - 1) / shape->stride : 0;
    *end = last < 0 ? 0 : last / shape->stride + 1;
    if (*end > out) *end = out;
}

/* One tap of the filter, one image's block: x and dy are (h, w), pixels of LANES. */
static vec tap_sum(const conv_shape *shape, const map_value *x, const map_value *dy, int ky, int kx)
{
    int y0, y1, x0, x1;
    const ptrdiff_t step = (ptrdiff_t)vec_step(vec_blocks(shape->n));
    vec sum = vec_all(0);
    valid_range(shape, ky, shape->h, shape->out_h, &y0, &y1);
    valid_range(shape, kx, shape->w, shape->out_w, &x0, &x1);
    for (int oy = y0; oy < y1; ++oy) {
        ptrdiff_t iy = oy * shape->stride - shape->pad + ky;
        const map_value *row = x + (iy * shape->w + kx - shape->pad) * step;
        const map_value *d = dy + (ptrdiff_t)oy * shape->out_w * step;
        for (int ox = x0; ox < x1; ++ox)
            sum += map_load(d + (ptrdiff_t)ox * step) * map_load(row + (ptrdiff_t)ox * shape->stride * step);
    }
    return sum;
}

/* Adds all images' products of one block of channels to its filters' weights. */
static void sum_block(const depthwise_job *job, size_t block)
{
    const conv_shape *shape = job->shape;
    size_t in = (size_t)shape->h * (size_t)shape->w, out = (size_t)shape->out_h * (size_t)shape->out_w;
    size_t blocks = vec_blocks(shape->n);
    int lanes = shape->n - (int)block * LANES, taps = shape->size * shape->size;
    float *dw = job->dw + block * LANES * (size_t)taps;
    for (int t = 0; t < taps; ++t) {
        vec sum = vec_all(0);
        for (size_t b = 0; b < (size_t)shape->batch; ++b)
            sum += tap_sum(shape, job->x + vec_block_at(b * blocks + block, blocks, in),
                           job->dy + vec_block_at(b * blocks + block, blocks, out), t / shape->size, t % shape->size);
        for (int k = 0; k < LANES && k < lanes; ++k) dw[k * taps + t] += sum[k];
    }
}

static void sum_blocks(void *ctx, size_t begin, size_t end)
{
    for (size_t block = begin; block < end; ++block) sum_block(ctx, block);
}

void depthwise_weight_gradient(const conv_shape *shape, const void *in, const void *dy, float *dw)
{
    depthwise_job job = { shape, in, dy, dw };
    size_t pixels = (size_t)shape->batch * (size_t)shape->out_h * (size_t)shape->out_w;
    size_t work = pixels * LANES * (size_t)(shape->size * shape->size);
    parallel_for_work(vec_blocks(shape->n), work, sum_blocks, &job);
}
