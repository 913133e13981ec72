/* Winograd's tiles (see winograd_tiles.h): the transforms along one axis of winograd_ops.h go through a tile's columns, then
 * its rows, LANES channels at once.
 *
 * One loop turns samples into products, for inputs and for deltas, one turns products into outputs; each is compiled once
 * for every kind of transform. */
#include "winograd_tiles.h"

#include "vec.h"

typedef struct wino_tile {
    size_t image;
    int row, col;
} wino_tile;

static wino_tile tile_of(const wino_shape *s, size_t t)
{
    size_t per = s->rows * s->cols, in = t % per;
    return (wino_tile){ t / per, (int)(in / s->cols), (int)(in % s->cols) };
}

/* The last one follows itself. */
static wino_tile next_tile(const wino_shape *s, wino_tile t)
{
    if (t.col + 1 < (int)s->cols) return (wino_tile){ t.image, t.row, t.col + 1 };
    if (t.row + 1 < (int)s->rows) return (wino_tile){ t.image, t.row + 1, 0 };
    return t.image + 1 < (size_t)s->batch ? (wino_tile){ t.image + 1, 0, 0 } : t;
}

/* Tells the processor that `side` rows and columns of a map at (y, x) are read or written soon: its own guesses fail at
 * tiles, and waiting for memory would cost more than computing them. To the second cache, which waits for more at once. */
ACT_INLINE void fetch(const float *map, int h, int w, int y, int x, int side, int write)
{
    int bottom = h - y < side ? h : y + side, right = w - x < side ? w : x + side;
    for (int i = y; i < bottom; ++i)
        for (int j = x; j < right; ++j) {
            const float *at = map + ((size_t)i * (size_t)w + (size_t)j) * LANES;
            if (write) __builtin_prefetch(at, 1);
            else __builtin_prefetch(at, 0, 2);
        }
}

/* ---- samples to products ---- */

typedef enum { INPUT1, INPUT2, INPUT_BACK2, DELTA1, DELTA2 } kind;

/* Along one axis: samples of a tile, how far the next tile is, products. */
static const struct { int samples, step, products; } axis_of[] = {
    [INPUT1] = { WINO_IN, WINO_OUT, WINO_IN },
    [INPUT2] = { WINO2_IN, 2 * WINO_OUT, WINO2_PRODUCTS },
    [INPUT_BACK2] = { WINO_OUT + 1, WINO_OUT, WINO2_PRODUCTS },
    [DELTA1] = { WINO_OUT, WINO_OUT, WINO_IN },
    [DELTA2] = { WINO_OUT, WINO_OUT, WINO2_PRODUCTS },
};

ACT_INLINE void transform(kind k, const vec *d, vec *t)
{
    switch (k) {
    case INPUT1: wino_input(d, t); break;
    case INPUT2: wino2_input(d, t); break;
    case INPUT_BACK2: wino2_back_input(d, t); break;
    case DELTA1: wino_delta(d, t); break;
    case DELTA2: wino2_delta(d, t); break;
    }
}

/* What is read: (batch, blocks, h, w, LANES), tile 0 from (-pad, -pad) on. */
typedef struct wino_source {
    const float *map;
    size_t blocks;
    int h, w, pad;
} wino_source;

/* A tile of a map: where its rows begin and which of its columns are in the map, [left, right). */
typedef struct wino_view {
    const float *row[WINO_MOST];
    int left, right;
} wino_view;

static const float nothing[WINO_MOST * LANES] __attribute__((aligned(64)));   /* a row outside the map */

ACT_INLINE wino_view view_of(const wino_source *s, const float *map, int y, int x, int samples)
{
    wino_view v = { .left = x < 0 ? -x : 0, .right = s->w - x < samples ? s->w - x : samples };
    for (int i = 0; i < samples; ++i)
        v.row[i] = y + i < 0 || y + i >= s->h ? nothing : map + ((ptrdiff_t)(y + i) * s->w + x) * LANES;
    return v;
}

/* The view's products at `to`, `stride` floats apart. */
ACT_INLINE void spread_tile(const wino_view *view, float *to, size_t stride, kind k)
{
    const int samples = axis_of[k].samples, products = axis_of[k].products;
    vec half[WINO_MOST][WINO_MOST];
    for (int j = 0; j < samples; ++j) {
        vec d[WINO_MOST], t[WINO_MOST];
        int outside = j < view->left || j >= view->right;
        for (int i = 0; i < samples; ++i) d[i] = outside ? vec_all(0) : vec_load(view->row[i] + (size_t)j * LANES);
        transform(k, d, t);
        for (int i = 0; i < products; ++i) half[i][j] = t[i];
    }
    for (int i = 0; i < products; ++i) {
        vec t[WINO_MOST];
        transform(k, half[i], t);
        for (int j = 0; j < products; ++j) vec_store(to + (size_t)(i * products + j) * stride, t[j]);
    }
}

/* Tile t of block b to v; what is new of the next tile is fetched. */
ACT_INLINE void spread_block(const wino_source *from, size_t b, wino_tile t, wino_tile next, float *v, size_t stride, kind k)
{
    const int step = axis_of[k].step;
    size_t map = (size_t)from->h * (size_t)from->w * LANES;
    wino_view view = view_of(from, from->map + (t.image * from->blocks + b) * map, t.row * step - from->pad, t.col * step - from->pad,
                             axis_of[k].samples);
    fetch(from->map + (next.image * from->blocks + b) * map, from->h, from->w, next.row * step, next.col * step, step, 0);
    spread_tile(&view, v, stride, k);
}

ACT_INLINE void spread_loop(const wino_shape *s, const wino_source *from, size_t first, size_t n, float *to, kind k)
{
    size_t channels = from->blocks * LANES, stride = wino_stride(n, channels);
    wino_tile t = tile_of(s, first), next;
    for (size_t i = 0; i < n; ++i, t = next) {
        next = next_tile(s, t);
        for (size_t b = 0; b < from->blocks; ++b)
            spread_block(from, b, t, next, to + i * channels + b * LANES, stride, k);
    }
}

void wino_input_tiles(const wino_job *j, size_t first, size_t n, float *v)
{
    const wino_shape *s = j->s;
    wino_source x = { .map = j->x, .blocks = s->cb, .h = s->h, .w = s->w, .pad = s->pad };
    switch (s->way) {
    case WINO_STRIDE1: spread_loop(s, &x, first, n, v, INPUT1); break;
    case WINO_STRIDE2: spread_loop(s, &x, first, n, v, INPUT2); break;
    case WINO_BACK2: spread_loop(s, &x, first, n, v, INPUT_BACK2); break;
    }
}

void wino_delta_tiles(const wino_job *j, size_t first, size_t n, float *m)
{
    const wino_shape *s = j->s;
    wino_source dy = { .map = j->dy, .blocks = s->nb, .h = s->out_h, .w = s->out_w };
    if (s->way == WINO_STRIDE1) spread_loop(s, &dy, first, n, m, DELTA1);
    else spread_loop(s, &dy, first, n, m, DELTA2);
}

/* ---- products to outputs ---- */

static const struct { int products, outputs; } out_of[] = {
    [WINO_STRIDE1] = { WINO_IN, WINO_OUT },
    [WINO_STRIDE2] = { WINO2_PRODUCTS, WINO_OUT },
    [WINO_BACK2] = { WINO2_PRODUCTS, 2 * WINO_OUT },
};

ACT_INLINE void inverse(wino_way way, const vec *m, vec *y)
{
    switch (way) {
    case WINO_STRIDE1: wino_output(m, y); break;
    case WINO_STRIDE2: wino2_output(m, y); break;
    case WINO_BACK2: wino2_back_output(m, y); break;
    }
}

enum { MOST_OUT = 2 * WINO_OUT };

/* Sums of one tile's values, all or those inside the map. */
ACT_INLINE void add_sums(float *sums, size_t np, const float *shift, vec y[MOST_OUT][MOST_OUT], int rows, int cols)
{
    vec k = vec_load(shift), one = vec_all(0), two = vec_all(0);
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < cols; ++j) {
            vec d = y[i][j] - k;
            one += d;
            two += d * d;
        }
    vec_store(sums, vec_load(sums) + one);
    vec_store(sums + np, vec_load(sums + np) + two);
}

/* The finished values of one tile into y; `at` is where its first one goes. */
ACT_INLINE void finish_tile(const wino_job *j, vec y[MOST_OUT][MOST_OUT], size_t at, size_t block, int rows, int cols, ACTIVATION a)
{
    const conv_after *after = j->after;
    size_t w = (size_t)j->s->out_w;
    vec bias = after && after->bias ? vec_load(after->bias + block * LANES) : vec_all(0);
    const float *add = j->add ? j->y : after ? after->add : NULL;
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < cols; ++c) {
            size_t to = at + ((size_t)r * w + (size_t)c) * LANES;
            vec v = y[r][c] + bias;
            if (add) v += vec_load(add + to);
            vec_store(j->y + to, vec_act(v, a));
        }
}

ACT_INLINE void gather_tile(const float *m, size_t stride, wino_way way, vec y[MOST_OUT][MOST_OUT])
{
    const int products = out_of[way].products, outputs = out_of[way].outputs;
    vec half[MOST_OUT][WINO_MOST];
    for (int q = 0; q < products; ++q) {
        vec d[WINO_MOST], h[MOST_OUT];
        for (int i = 0; i < products; ++i) d[i] = vec_load(m + (size_t)(i * products + q) * stride);
        inverse(way, d, h);
        for (int i = 0; i < outputs; ++i) half[i][q] = h[i];
    }
    for (int i = 0; i < outputs; ++i) inverse(way, half[i], y[i]);
}

ACT_INLINE void output_tile(const wino_job *j, const float *m, size_t stride, wino_tile t, wino_tile next, size_t block, float *sums,
                            wino_way way, ACTIVATION a)
{
    const wino_shape *s = j->s;
    const int outputs = out_of[way].outputs;
    int row = t.row * outputs, col = t.col * outputs;
    size_t map = (size_t)s->out_h * (size_t)s->out_w;
    size_t at = ((t.image * s->nb + block) * map + (size_t)row * (size_t)s->out_w + (size_t)col) * LANES;
    vec y[MOST_OUT][MOST_OUT];
    fetch(j->y + (next.image * s->nb + block) * map * LANES, s->out_h, s->out_w, next.row * outputs, next.col * outputs, outputs, 1);
    gather_tile(m, stride, way, y);
    int rows = s->out_h - row < outputs ? s->out_h - row : outputs;
    int cols = s->out_w - col < outputs ? s->out_w - col : outputs;
    if (rows == outputs && cols == outputs) {
        if (sums) add_sums(sums, s->np, j->after->shift + block * LANES, y, outputs, outputs);
        finish_tile(j, y, at, block, outputs, outputs, a);
    } else {
        if (sums) add_sums(sums, s->np, j->after->shift + block * LANES, y, rows, cols);
        finish_tile(j, y, at, block, rows, cols, a);
    }
}

ACT_INLINE void output_loop(const wino_job *j, size_t first, size_t n, const float *m, float *sums, wino_way way, ACTIVATION a)
{
    const wino_shape *s = j->s;
    wino_tile t = tile_of(s, first), next;
    for (size_t i = 0; i < n; ++i, t = next) {
        next = next_tile(s, t);
        for (size_t b = 0; b < s->nb; ++b)
            output_tile(j, m + i * s->np + b * LANES, wino_stride(n, s->np), t, next, b, sums ? sums + b * LANES : NULL, way, a);
    }
}

void wino_output_tiles(const wino_job *j, size_t first, size_t n, const float *m, float *sums)
{
    ACTIVATION a = j->after && j->after->bias ? j->after->activation : LINEAR;
    switch (j->s->way) {
    case WINO_STRIDE1: ACT_SWITCH(a, output_loop, j, first, n, m, sums, WINO_STRIDE1) break;
    case WINO_STRIDE2: ACT_SWITCH(a, output_loop, j, first, n, m, sums, WINO_STRIDE2) break;
    case WINO_BACK2: output_loop(j, first, n, m, NULL, WINO_BACK2, LINEAR); break;
    }
}
