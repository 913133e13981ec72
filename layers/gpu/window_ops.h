/* Elements of the kernels in window.cu: windows of two strides and dilation, as layers/cpu/conv_reference.c and
 * maxpool.c move them. A tap is a place within a window. */
#ifndef DISTILL_GPU_WINDOW_OPS_H
#define DISTILL_GPU_WINDOW_OPS_H
#include "layers/feature_type.h"

typedef struct window_shape {
    int h, w, out_h, out_w;      /* the map's, and how many windows */
    int size, down, across;      /* taps a side, pixels from a window to the next below it and to its right */
    int dilation, before;        /* pixels from a tap to the next; of padding before the map */
} window_shape;

FEATURE_FN size_t window_pixels(window_shape shape) { return (size_t)shape.h * (size_t)shape.w; }
FEATURE_FN size_t window_count(window_shape shape) { return (size_t)shape.out_h * (size_t)shape.out_w; }
FEATURE_FN size_t window_taps(window_shape shape) { return (size_t)shape.size * (size_t)shape.size; }

/* Where tap t of the window at `out` lies in its map, -1 if outside. */
FEATURE_FN int64_t window_pixel(window_shape shape, int64_t out, int64_t t)
{
    int64_t row = out / shape.out_w * shape.down - shape.before + t / shape.size * shape.dilation;
    int64_t col = out % shape.out_w * shape.across - shape.before + t % shape.size * shape.dilation;
    return row < 0 || row >= shape.h || col < 0 || col >= shape.w ? -1 : row * shape.w + col;
}

/* The window whose tap t lies on that pixel, -1 if there is none. */
FEATURE_FN int64_t window_over(window_shape shape, int64_t pixel, int64_t t)
{
    int64_t row = pixel / shape.w + shape.before - t / shape.size * shape.dilation;
    int64_t col = pixel % shape.w + shape.before - t % shape.size * shape.dilation;
    if (row < 0 || col < 0 || row % shape.down || col % shape.across) return -1;
    row /= shape.down;
    col /= shape.across;
    return row >= shape.out_h || col >= shape.out_w ? -1 : row * shape.out_w + col;
}

/* Number i of (maps, taps, windows), what each tap of each window sees. */
FEATURE_FN float window_column_at(window_shape shape, const float *x, size_t i)
{
    size_t windows = window_count(shape), taps = window_taps(shape), map = i / (windows * taps);
    int64_t pixel = window_pixel(shape, (int64_t)(i % windows), (int64_t)(i / windows % taps));
    return pixel < 0 ? 0 : x[map * window_pixels(shape) + (size_t)pixel];
}

/* The sum of what columns hold for pixel i of the maps. */
FEATURE_FN double window_pixel_sum(window_shape shape, const float *columns, size_t i)
{
    size_t windows = window_count(shape), taps = window_taps(shape), map = i / window_pixels(shape);
    double sum = 0;
    for (size_t t = 0; t < taps; ++t) {
        int64_t out = window_over(shape, (int64_t)(i % window_pixels(shape)), (int64_t)t);
        if (out >= 0) sum += (double)columns[(map * taps + t) * windows + (size_t)out];
    }
    return sum;
}

/* Where in x the largest number of window i of (maps, windows) is, the first of equals or a NaN; -1: all outside. */
FEATURE_FN int window_largest(window_shape shape, const float *x, size_t i)
{
    size_t windows = window_count(shape), first = i / windows * window_pixels(shape);
    int64_t best = -1;
    for (int64_t t = 0; t < (int64_t)window_taps(shape); ++t) {
        int64_t pixel = window_pixel(shape, (int64_t)(i % windows), t);
        if (pixel < 0) continue;
        float v = x[first + (size_t)pixel];
        if (best < 0 || v > x[first + (size_t)best] || v != v) best = pixel;
    }
    return best < 0 ? -1 : (int)(first + (size_t)best);
}

/* The sum of the deltas of the windows whose largest number is pixel i of the maps. */
FEATURE_FN double window_largest_sum(window_shape shape, const float *delta, const int *largest, size_t i)
{
    size_t windows = window_count(shape), map = i / window_pixels(shape);
    double sum = 0;
    for (int64_t t = (int64_t)window_taps(shape) - 1; t >= 0; --t) {
        int64_t out = window_over(shape, (int64_t)(i % window_pixels(shape)), t);
        size_t at = map * windows + (size_t)out;
        if (out >= 0 && largest[at] == (int)i) sum += (double)delta[at];
    }
    return sum;
}

#endif
