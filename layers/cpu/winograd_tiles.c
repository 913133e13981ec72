/* Winograd's tiles (see winograd_tiles.h): the transforms along one axis of winograd_ops.h go through a tile's columns,
 * then its rows, LANES channels at once.
 *
 * One loop turns samples into products, for inputs and for deltas, one turns products into outputs; each is compiled
 * once for every kind of transform. */
#include "winograd_tiles.h"

#include "vec.h"

typedef struct wino_tile {
    size_t image;
    int row, col;
} wino_tile;

/* Tile number t of all maps'. */
static wino_tile tile_of(const wino_shape *shape, size_t t)
{
    size_t per = shape->rows * shape->cols, in = t % per;
    return (wino_tile){ t / per, (int)(in / shape->cols), (int)(in % shape->cols) };
}

/* The last one follows itself. */
static wino_tile next_tile(const wino_shape *shape, wino_tile tile)
{
    if (tile.col + 1 < (int)shape->cols) return (wino_tile){ tile.image, tile.row, tile.col + 1 };
    if (tile.row + 1 < (int)shape->rows) return (wino_tile){ tile.image, tile.row + 1, 0 };
    return tile.image + 1 < (size_t)shape->batch ? (wino_tile){ tile.image + 1, 0, 0 } : tile;
}

/* Tells the processor that `side` rows and columns of a map (h, w) at (y, x) are read or written soon: its own guesses
 * fail at tiles, and waiting for memory would cost more than computing them. To the second cache, which waits for more
 * at once. */
ACT_INLINE void fetch(const map_value *map, int h, int w, int y, int x, int side, int write)
{
    int bottom = h - y < side ? h : y + side, right = w - x < side ? w : x + side;
    for (int i = y; i < bottom; ++i)
        for (int j = x; j < right; ++j) {
            const map_value *at = map + ((size_t)i * (size_t)w + (size_t)j) * LANES;
            if (write) __builtin_prefetch(at, 1);
            else __builtin_prefetch(at, 0, 2);
        }
}

/* ---- samples to products ---- */

typedef enum { INPUT1, INPUT2, INPUT_BACK2, DELTA1, DELTA2 } wino_kind;

/* Along one axis: samples of a tile, how far the next tile is, products. */
static const struct { int samples, step, products; } axis_of[] = {
    [INPUT1] = { WINO_IN, WINO_OUT, WINO_IN },
    [INPUT2] = { WINO2_IN, 2 * WINO_OUT, WINO2_PRODUCTS },
    [INPUT_BACK2] = { WINO_OUT + 1, WINO_OUT, WINO2_PRODUCTS },
    [DELTA1] = { WINO_OUT, WINO_OUT, WINO_IN },
    [DELTA2] = { WINO_OUT, WINO_OUT, WINO2_PRODUCTS },
};

/* Samples d along one axis to products t. */
ACT_INLINE void transform(wino_kind kind, const vec *d, vec *t)
{
    switch (kind) {
    case INPUT1: wino_input(d, t); break;
    case INPUT2: wino2_input(d, t); break;
    case INPUT_BACK2: wino2_back_input(d, t); break;
    case DELTA1: wino_delta(d, t); break;
    case DELTA2: wino2_delta(d, t); break;
    }
}

/* What is read: (batch, blocks, h, w, LANES), tile 0 from (-pad, -pad) on. */
typedef struct wino_source {
    const map_value *map;
    size_t blocks;
    int h, w, pad;
} wino_source;

/* A tile of a map: where its rows begin and which of its columns are in the map, [left, right). */
typedef struct wino_view {
    const map_value *row[WINO_MOST];
    int left, right;
} wino_view;

static const map_value nothing[WINO_MOST * LANES] __attribute__((aligned(64)));   /* a row outside the map */

/* The `samples` rows and columns from (y, x) on. */
ACT_INLINE wino_view view_of(const wino_source *source, const map_value *map, int y, int x, int samples)
{
    wino_view v = { .left = x < 0 ? -x : 0, .right = source->w - x < samples ? source->w - x : samples };
    for (int i = 0; i < samples; ++i)
        v.row[i] = y + i < 0 || y + i >= source->h ? nothing : map + ((ptrdiff_t)(y + i) * source->w + x) * LANES;
    return v;
}

/* The view's products at `to`, `stride` floats apart. */
ACT_INLINE void spread_tile(const wino_view *view, float *to, size_t stride, wino_kind kind)
{
    const int samples = axis_of[kind].samples, products = axis_of[kind].products;
    vec half[WINO_MOST][WINO_MOST];
    for (int j = 0; j < samples; ++j) {
        vec d[WINO_MOST], t[WINO_MOST];
        int outside = j < view->left || j >= view->right;
        for (int i = 0; i < samples; ++i) d[i] = outside ? vec_all(0) : map_load(view->row[i] + (size_t)j * LANES);
        transform(kind, d, t);
        for (int i = 0; i < products; ++i) half[i][j] = t[i];
    }
    for (int i = 0; i < products; ++i) {
        vec t[WINO_MOST];
        transform(kind, half[i], t);
        for (int j = 0; j < products; ++j) vec_store(to + (size_t)(i * products + j) * stride, t[j]);
    }
}

/* Tile t of block b to v; what is new of the next tile is fetched. */
ACT_INLINE void spread_block(const wino_source *from, size_t b, wino_tile tile, wino_tile next, float *v, size_t stride,
                             wino_kind kind)
{
    const int step = axis_of[kind].step;
    size_t map = (size_t)from->h * (size_t)from->w * LANES;
    wino_view view = view_of(from, from->map + (tile.image * from->blocks + b) * map, tile.row * step - from->pad,
                             tile.col * step - from->pad, axis_of[kind].samples);
    fetch(from->map + (next.image * from->blocks + b) * map, from->h, from->w, next.row * step, next.col * step,
          step, 0);
    spread_tile(&view, v, stride, kind);
}

/* n tiles from number `first` on. */
ACT_INLINE void spread_loop(const wino_shape *shape, const wino_source *from, size_t first, size_t n, float *to,
                            wino_kind kind)
{
    size_t channels = from->blocks * LANES, stride = wino_stride(n, channels);
    wino_tile tile = tile_of(shape, first), next;
    for (size_t i = 0; i < n; ++i, tile = next) {
        next = next_tile(shape, tile);
        for (size_t b = 0; b < from->blocks; ++b)
            spread_block(from, b, tile, next, to + i * channels + b * LANES, stride, kind);
    }
}

void wino_input_tiles(const wino_job *job, size_t first, size_t n, float *v)
{
    const wino_shape *shape = job->shape;
    wino_source x = { .map = job->x, .blocks = shape->cb, .h = shape->h, .w = shape->w, .pad = shape->pad };
    switch (shape->way) {
    case WINO_STRIDE1: spread_loop(shape, &x, first, n, v, INPUT1); break;
    case WINO_STRIDE2: spread_loop(shape, &x, first, n, v, INPUT2); break;
    case WINO_BACK2: spread_loop(shape, &x, first, n, v, INPUT_BACK2); break;
    }
}

void wino_delta_tiles(const wino_job *job, size_t first, size_t n, float *m)
{
    const wino_shape *shape = job->shape;
    wino_source dy = { .map = job->dy, .blocks = shape->nb, .h = shape->out_h, .w = shape->out_w };
    if (shape->way == WINO_STRIDE1) spread_loop(shape, &dy, first, n, m, DELTA1);
    else spread_loop(shape, &dy, first, n, m, DELTA2);
}

/* ---- products to outputs ---- */

static const struct { int products, outputs; } out_of[] = {
    [WINO_STRIDE1] = { WINO_IN, WINO_OUT },
    [WINO_STRIDE2] = { WINO2_PRODUCTS, WINO_OUT },
    [WINO_BACK2] = { WINO2_PRODUCTS, 2 * WINO_OUT },
};

/* Products m along one axis to outputs y. */
ACT_INLINE void inverse(wino_way way, const vec *m, vec *y)
{
    switch (way) {
    case WINO_STRIDE1: wino_output(m, y); break;
    case WINO_STRIDE2: wino2_output(m, y); break;
    case WINO_BACK2: wino2_back_output(m, y); break;
    }
}

enum { MOST_OUT = 2 * WINO_OUT };

/* Sums of one tile's values y, all or those inside the map. */
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
ACT_INLINE void finish_tile(const wino_job *job, vec y[MOST_OUT][MOST_OUT], size_t at, size_t block, int rows, int cols,
                            ACTIVATION act)
{
    const conv_after *after = job->after;
    size_t w = (size_t)job->shape->out_w;
    vec bias = after && after->bias ? vec_load(after->bias + block * LANES) : vec_all(0);
    const map_value *add = after ? after->add : NULL;
    if (job->add) add = job->y;
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < cols; ++c) {
            size_t to = at + ((size_t)r * w + (size_t)c) * LANES;
            vec v = y[r][c] + bias;
            if (add) v += map_load(add + to);
            map_store(job->y + to, vec_act(v, act));
        }
}

/* Turns a tile's products m into its outputs y, down and then across. */
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

/* Finishes one tile of one block from its products m, whole or as much of it as is inside the map. */
ACT_INLINE void output_tile(const wino_job *job, const float *m, size_t stride, wino_tile tile, wino_tile next,
                            size_t block, float *sums, wino_way way, ACTIVATION act)
{
    const wino_shape *shape = job->shape;
    const int outputs = out_of[way].outputs;
    int row = tile.row * outputs, col = tile.col * outputs;
    size_t map = (size_t)shape->out_h * (size_t)shape->out_w;
    size_t at = ((tile.image * shape->nb + block) * map + (size_t)row * (size_t)shape->out_w + (size_t)col) * LANES;
    vec y[MOST_OUT][MOST_OUT];
    fetch(job->y + (next.image * shape->nb + block) * map * LANES, shape->out_h, shape->out_w, next.row * outputs,
          next.col * outputs, outputs, 1);
    gather_tile(m, stride, way, y);
    int rows = shape->out_h - row < outputs ? shape->out_h - row : outputs;
    int cols = shape->out_w - col < outputs ? shape->out_w - col : outputs;
    if (rows == outputs && cols == outputs) {
        if (sums) add_sums(sums, shape->np, job->after->shift + block * LANES, y, outputs, outputs);
        finish_tile(job, y, at, block, outputs, outputs, act);
    } else {
        if (sums) add_sums(sums, shape->np, job->after->shift + block * LANES, y, rows, cols);
        finish_tile(job, y, at, block, rows, cols, act);
    }
}

/* Finishes n tiles, products m, from number `first` on. */
ACT_INLINE void output_loop(const wino_job *job, size_t first, size_t n, const float *m, float *sums, wino_way way,
                            ACTIVATION act)
{
    const wino_shape *shape = job->shape;
    wino_tile tile = tile_of(shape, first), next;
    for (size_t i = 0; i < n; ++i, tile = next) {
        next = next_tile(shape, tile);
        for (size_t b = 0; b < shape->nb; ++b)
            output_tile(job, m + i * shape->np + b * LANES, wino_stride(n, shape->np), tile, next, b,
                        sums ? sums + b * LANES : NULL, way, act);
    }
}

void wino_output_tiles(const wino_job *job, size_t first, size_t n, const float *m, float *sums)
{
    ACTIVATION act = job->after && job->after->bias ? job->after->activation : LINEAR;
    switch (job->shape->way) {
    case WINO_STRIDE1: ACT_SWITCH(act, output_loop, job, first, n, m, sums, WINO_STRIDE1) break;
    case WINO_STRIDE2: ACT_SWITCH(act, output_loop, job, first, n, m, sums, WINO_STRIDE2) break;
    case WINO_BACK2: output_loop(job, first, n, m, NULL, WINO_BACK2, LINEAR); break;
    }
}
