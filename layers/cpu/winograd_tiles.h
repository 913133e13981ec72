/* Winograd's tiles between blocked maps and the matrices that winograd.c multiplies (winograd_ops.h has the formulae).
 *
 * A tile is 4x4 outputs of a convolution, or 8x8 of the data gradient of one of stride 2, with the inputs they need. It
 * makes 36 products, with stride 2 81; number i * products + k is the i-th down and the k-th across. Before and after
 * multiplication they are matrices v (products, tiles, c) and m (products, tiles, n). */
#ifndef DISTILL_WINOGRAD_TILES_H
#define DISTILL_WINOGRAD_TILES_H
#include "conv.h"
#include "vec.h"
#include "winograd_ops.h"

/* Stride 1 in both directions; stride 2; its data gradient. */
typedef enum { WINO_STRIDE1, WINO_STRIDE2, WINO_BACK2 } wino_way;

/* One direction: x (batch, c, h, w) gives y (batch, n, out_h, out_w). */
typedef struct wino_shape {
    wino_way way;
    int batch, c, h, w, n, out_h, out_w, pad;
    size_t cb, nb, cp, np;            /* blocks, and channels up to whole LANES */
    size_t products;                  /* of one tile */
    size_t rows, cols, tiles;         /* tiles of one map down and across, of all maps */
    size_t chunks, longest;           /* and tiles of the longest chunk */
} wino_shape;

typedef struct wino_job {
    const wino_shape *shape;
    cpu_shared *shared;
    const map_value *x, *dy;
    const float *u, *w;
    map_value *y;
    float *out, *dw;                  /* out: transformed weights being written */
    int turned, add;
    const conv_after *after;
    size_t parts;
} wino_job;

/* Distance between two products in v or m: off a power of two, or they would share cache sets. */
static inline size_t wino_stride(size_t tiles, size_t channels) { return tiles * channels + LANES; }

/* v = B^T d B of `n` tiles of x from number `first` on. */
void wino_input_tiles(const wino_job *job, size_t first, size_t n, float *v);
/* m = A dy A^T of n tiles. */
void wino_delta_tiles(const wino_job *job, size_t first, size_t n, float *m);
/* y = A^T m A, and what follows it (job->after, job->add). sums: (2, n), added to; NULL = not wanted. */
void wino_output_tiles(const wino_job *job, size_t first, size_t n, const float *m, float *sums);

#endif
