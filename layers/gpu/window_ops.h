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

/* Where tap t of the window at `out` lies in its map, -1 if outside. */
FEATURE_FN int64_t window_pixel(window_shape s, int64_t out, int64_t t)
{
    int64_t row = out / s.out_w * s.down - s.before + t / s.size * s.dilation;
    int64_t col = out % s.out_w * s.across - s.before + t % s.size * s.dilation;
    return row < 0 || row >= s.h || col < 0 || col >= s.w ? -1 : row * s.w + col;
}

/* The window whose tap t lies on that pixel, -1 if there is none. */
FEATURE_FN int64_t window_over(window_shape s, int64_t pixel, int64_t t)
{
    int64_t row = pixel / s.w + s.before - t / s.size * s.dilation, col = pixel % s.w + s.before - t % s.size * s.dilation;
    if (row < 0 || col < 0 || row % s.down || col % s.across) return -1;
    row /= s.down;
    col /= s.across;
    return row >= s.out_h || col >= s.out_w ? -1 : row * s.out_w + col;
}

/* Number i of (maps, taps, windows), what each tap of each window sees. */
FEATURE_FN float window_column_at(window_shape s, const float *x, size_t i)
{
    size_t windows = (size_t)s.out_h * (size_t)s.out_w, taps = (size_t)s.size * (size_t)s.size;
    size_t map = i / (windows * taps);
    int64_t pixel = window_pixel(s, (int64_t)(i % windows), (int64_t)(i / windows % taps));
    return pixel < 0 ? 0 : x[map * (size_t)s.h * (size_t)s.w + (size_t)pixel];
}

/* The sum of what columns hold for pixel i of the maps. */
FEATURE_FN double window_pixel_sum(window_shape s, const float *columns, size_t i)
{
    size_t windows = (size_t)s.out_h * (size_t)s.out_w, taps = (size_t)s.size * (size_t)s.size;
    size_t map = i / ((size_t)s.h * (size_t)s.w);
    double sum = 0;
    for (size_t t = 0; t < taps; ++t) {
        int64_t out = window_over(s, (int64_t)(i % ((size_t)s.h * (size_t)s.w)), (int64_t)t);
        if (out >= 0) sum += (double)columns[(map * taps + t) * windows + (size_t)out];
    }
    return sum;
}

/* Where in x the largest number of window i of (maps, windows) is, the first of equals or a NaN; -1: all outside. */
FEATURE_FN int window_largest(window_shape s, const float *x, size_t i)
{
    size_t windows = (size_t)s.out_h * (size_t)s.out_w, first = i / windows * (size_t)s.h * (size_t)s.w;
    int64_t best = -1;
    for (int64_t t = 0; t < (int64_t)s.size * s.size; ++t) {
        int64_t pixel = window_pixel(s, (int64_t)(i % windows), t);
        if (pixel < 0) continue;
        float v = x[first + (size_t)pixel];
        if (best < 0 || v > x[first + (size_t)best] || v != v) best = pixel;
    }
    return best < 0 ? -1 : (int)(first + (size_t)best);
}

/* The sum of the deltas of the windows whose largest number is pixel i of the maps. */
FEATURE_FN double window_largest_sum(window_shape s, const float *delta, const int *largest, size_t i)
{
    size_t windows = (size_t)s.out_h * (size_t)s.out_w, map = i / ((size_t)s.h * (size_t)s.w);
    double sum = 0;
    for (int64_t t = (int64_t)s.size * s.size - 1; t >= 0; --t) {
        int64_t out = window_over(s, (int64_t)(i % ((size_t)s.h * (size_t)s.w)), t);
        size_t at = map * windows + (size_t)out;
        if (out >= 0 && largest[at] == (int)i) sum += (double)delta[at];
    }
    return sum;
}

#endif
