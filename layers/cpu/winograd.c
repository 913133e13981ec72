/* 3x3 convolutions of stride 1 by Winograd's F(4x4, 3x3) (winograd_ops.h), on blocked maps.
 *
 * Output tiles of 4x4, numbered through batch, rows and columns, are cut into chunks small enough for the cache; threads
 * share the chunks out. For each chunk
 *
 *   V = B^T d B           (36, tiles, c)        from the input's 6x6 tiles, zeros where they stick out
 *   M = V U               (36, tiles, n)        36 products of small matrices (gemm_tile.h); U = G g G^T
 *   y = A^T M A           + bias, other map, activation, batch norm's sums, while the tile is in registers
 *
 * The data gradient is the same thing with the filters turned around and channels exchanged. The weight gradient sums
 * V^T (A dy A^T) over tiles, each thread into its own (36, n, c), and turns the total back once.
 *
 * Chunks do not depend on the number of threads, so only the weight gradient's last bits do. Left out: other filter
 * sizes, strides, groups; maps whose edge tiles would waste more than half of the work. */
#include "conv.h"
#include "gemm_tile.h"
#include "parallel.h"
#include "winograd_ops.h"

#include "../../darknet_plugin/mem.h"

#include <stdlib.h>
#include <string.h>

/* One direction: x (batch, c, h, w) gives y (batch, n, out_h, out_w). */
typedef struct wino_shape {
    int batch, c, h, w, n, out_h, out_w, pad;
    size_t cb, nb, cp, np;            /* blocks, and channels up to whole LANES */
    size_t rows, cols, tiles;         /* tiles of one map down and across, of all maps */
    size_t chunks, longest;           /* and tiles of the longest chunk */
} wino_shape;

typedef struct wino_plan {
    wino_shape fwd, back, grad;       /* back: dy to dx; grad: as fwd, with longer chunks */
    cpu_shared *shared;               /* borrowed */
    float *kept;                      /* needs.constant: transformed weights, owned */
} wino_plan;

typedef struct wino_job {
    const wino_shape *s;
    cpu_shared *shared;
    const float *x, *u, *dy, *w;
    float *y, *out, *dw;              /* out: transformed weights being written */
    int turned, add;
    const conv_after *after;
    size_t parts;
} wino_job;

/* ---- shapes ---- */

static size_t chunk_at(const wino_shape *s, size_t i) { return s->tiles * i / s->chunks; }

/* Chunks of about `want` tiles, a multiple of four of them so that two or four threads have equal shares. */
static wino_shape shape_with(int batch, int c, int h, int w, int n, int pad, size_t want)
{
    wino_shape s = { .batch = batch, .c = c, .h = h, .w = w, .n = n, .out_h = h + 2 * pad - 2, .out_w = w + 2 * pad - 2, .pad = pad };
    s.cb = vec_blocks(c);
    s.nb = vec_blocks(n);
    s.cp = s.cb * LANES;
    s.np = s.nb * LANES;
    s.rows = ((size_t)s.out_h + 3) / 4;
    s.cols = ((size_t)s.out_w + 3) / 4;
    s.tiles = s.rows * s.cols * (size_t)batch;
    s.chunks = ((s.tiles + want - 1) / want + 3) / 4 * 4;
    if (s.chunks > s.tiles) s.chunks = s.tiles;
    s.longest = (s.tiles + s.chunks - 1) / s.chunks;
    return s;
}

/* Distance between two of the 36 points in V or M: off a power of two, or they would share cache sets. */
static size_t point_stride(size_t tiles, size_t channels) { return tiles * channels + LANES; }

static size_t scratch_floats(const wino_shape *s)
{
    return WINO_POINTS * (point_stride(s->longest, s->cp) + point_stride(s->longest, s->np));
}

static size_t weight_floats(const wino_shape *s) { return WINO_POINTS * s->cp * s->np; }

/* This thread's V; M follows at the second address. */
static float *scratch_of(const wino_job *j, float **m)
{
    float *v = j->shared->slot[SLOT_TILES] + (size_t)parallel_index() * scratch_floats(j->s);
    *m = v + WINO_POINTS * point_stride(j->s->longest, j->s->cp);
    return v;
}

/* ---- tiles ---- */

typedef struct wino_tile {
    size_t image;
    int row, col;             /* of its first output */
} wino_tile;

static wino_tile tile_of(const wino_shape *s, size_t t)
{
    size_t per = s->rows * s->cols, in = t % per;
    return (wino_tile){ t / per, (int)(in / s->cols) * WINO_OUT, (int)(in % s->cols) * WINO_OUT };
}

static wino_tile next_tile(const wino_shape *s, wino_tile t)
{
    t.col += WINO_OUT;
    if (t.col < s->out_w) return t;
    t.col = 0;
    t.row += WINO_OUT;
    if (t.row < s->out_h) return t;
    t.row = 0;
    ++t.image;
    return t;
}

/* 36 vectors at `to`, `stride` floats apart, from the 6x6 tile at (y, x) of map (h, w); zeros outside. */
ACT_INLINE void input_tile(const float *map, int h, int w, int y, int x, float *to, size_t stride, int inside)
{
    vec half[WINO_IN][WINO_IN];
    for (int j = 0; j < WINO_IN; ++j) {
        vec d[WINO_IN], t[WINO_IN];
        for (int i = 0; i < WINO_IN; ++i)
            d[i] = inside || (y + i >= 0 && y + i < h && x + j >= 0 && x + j < w)
                 ? vec_load(map + ((ptrdiff_t)(y + i) * w + x + j) * LANES) : vec_all(0);
        wino_input(d, t);
        for (int i = 0; i < WINO_IN; ++i) half[i][j] = t[i];
    }
    for (int i = 0; i < WINO_IN; ++i) {
        vec t[WINO_IN];
        wino_input(half[i], t);
        for (int j = 0; j < WINO_IN; ++j) vec_store(to + (size_t)(i * WINO_IN + j) * stride, t[j]);
    }
}

/* V of `n` tiles from number `first` on. */
static void input_tiles(const wino_job *j, size_t first, size_t n, float *v)
{
    const wino_shape *s = j->s;
    size_t map = (size_t)s->h * (size_t)s->w * LANES, stride = point_stride(n, s->cp);
    for (size_t b = 0; b < s->cb; ++b) {
        wino_tile t = tile_of(s, first);
        for (size_t i = 0; i < n; ++i, t = next_tile(s, t)) {
            const float *x = j->x + (t.image * s->cb + b) * map;
            float *to = v + i * s->cp + b * LANES;
            int y0 = t.row - s->pad, x0 = t.col - s->pad;
            if (y0 >= 0 && x0 >= 0 && y0 + WINO_IN <= s->h && x0 + WINO_IN <= s->w)
                input_tile(x, s->h, s->w, y0, x0, to, stride, 1);
            else
                input_tile(x, s->h, s->w, y0, x0, to, stride, 0);
        }
    }
}

/* M = V U */
static void multiply(const wino_job *j, size_t n, const float *v, float *m)
{
    const wino_shape *s = j->s;
    for (size_t p = 0; p < WINO_POINTS; ++p)
        gemm_rows(v + p * point_stride(n, s->cp), s->cp, n, j->u + p * s->cp * s->np, s->cp, s->nb, m + p * point_stride(n, s->np));
}

/* ---- outputs ---- */

/* Sums of one tile's values, all or those inside the map. */
ACT_INLINE void add_sums(float *sums, size_t np, const float *shift, vec y[4][4], int rows, int cols)
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
ACT_INLINE void finish_tile(const wino_job *j, vec y[4][4], size_t at, size_t block, int rows, int cols, ACTIVATION a)
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

ACT_INLINE void output_tile(const wino_job *j, const float *m, size_t stride, wino_tile t, size_t block, float *sums, ACTIVATION a)
{
    const wino_shape *s = j->s;
    vec half[WINO_OUT][WINO_IN], y[WINO_OUT][WINO_OUT];
    for (int q = 0; q < WINO_IN; ++q) {
        vec d[WINO_IN], h[WINO_OUT];
        for (int i = 0; i < WINO_IN; ++i) d[i] = vec_load(m + (size_t)(i * WINO_IN + q) * stride);
        wino_output(d, h);
        for (int i = 0; i < WINO_OUT; ++i) half[i][q] = h[i];
    }
    for (int i = 0; i < WINO_OUT; ++i) wino_output(half[i], y[i]);
    size_t map = (size_t)s->out_h * (size_t)s->out_w;
    size_t at = ((t.image * s->nb + block) * map + (size_t)t.row * (size_t)s->out_w + (size_t)t.col) * LANES;
    int rows = s->out_h - t.row < WINO_OUT ? s->out_h - t.row : WINO_OUT;
    int cols = s->out_w - t.col < WINO_OUT ? s->out_w - t.col : WINO_OUT;
    if (rows == WINO_OUT && cols == WINO_OUT) {
        if (sums) add_sums(sums, s->np, j->after->shift + block * LANES, y, WINO_OUT, WINO_OUT);
        finish_tile(j, y, at, block, WINO_OUT, WINO_OUT, a);
    } else {
        if (sums) add_sums(sums, s->np, j->after->shift + block * LANES, y, rows, cols);
        finish_tile(j, y, at, block, rows, cols, a);
    }
}

ACT_INLINE void output_loop(const wino_job *j, size_t first, size_t n, const float *m, float *sums, ACTIVATION a)
{
    const wino_shape *s = j->s;
    for (size_t b = 0; b < s->nb; ++b) {
        wino_tile t = tile_of(s, first);
        for (size_t i = 0; i < n; ++i, t = next_tile(s, t))
            output_tile(j, m + i * s->np + b * LANES, point_stride(n, s->np), t, b, sums ? sums + b * LANES : NULL, a);
    }
}

static void convolve_chunks(void *ctx, size_t begin, size_t end)
{
    const wino_job *j = ctx;
    const wino_shape *s = j->s;
    ACTIVATION a = j->after && j->after->bias ? j->after->activation : LINEAR;
    float *m, *v = scratch_of(j, &m);
    for (size_t chunk = begin; chunk < end; ++chunk) {
        size_t first = chunk_at(s, chunk), n = chunk_at(s, chunk + 1) - first;
        float *sums = j->after && j->after->sums ? j->after->sums + chunk * 2 * s->np : NULL;
        if (sums) memset(sums, 0, 2 * s->np * sizeof *sums);
        input_tiles(j, first, n, v);
        multiply(j, n, v, m);
        ACT_SWITCH(a, output_loop, j, first, n, m, sums)
    }
}

/* ---- weights ---- */

/* The nine taps of LANES filters (of LANES channels where turned), zeros beyond the last. */
static void load_taps(const wino_job *j, size_t block, size_t in, vec g[3][3])
{
    const wino_shape *s = j->s;
    float taps[9][LANES] = { { 0 } };
    for (size_t lane = 0; lane < LANES; ++lane) {
        size_t out = block * LANES + lane;
        if (out >= (size_t)s->n || in >= (size_t)s->c) continue;
        const float *w = j->w + (j->turned ? in * (size_t)s->n + out : out * (size_t)s->c + in) * 9;
        for (int k = 0; k < 9; ++k) taps[k][lane] = w[j->turned ? 8 - k : k];
    }
    for (int k = 0; k < 9; ++k) memcpy(&g[k / 3][k % 3], taps[k], sizeof(vec));
}

/* U (36, n blocks, c, LANES); item i is filter block i / cp, channel i % cp. */
static void transform_weights(void *ctx, size_t begin, size_t end)
{
    const wino_job *j = ctx;
    const wino_shape *s = j->s;
    for (size_t item = begin; item < end; ++item) {
        vec g[3][3], half[WINO_IN][3];
        load_taps(j, item / s->cp, item % s->cp, g);
        for (int k = 0; k < 3; ++k) {
            vec column[3] = { g[0][k], g[1][k], g[2][k] }, u[WINO_IN];
            wino_weights(column, u);
            for (int i = 0; i < WINO_IN; ++i) half[i][k] = u[i];
        }
        for (int i = 0; i < WINO_IN; ++i) {
            vec u[WINO_IN];
            wino_weights(half[i], u);
            for (int k = 0; k < WINO_IN; ++k)
                vec_store(j->out + (size_t)(i * WINO_IN + k) * s->cp * s->np + item * LANES, u[k]);
        }
    }
}

static void fill_weights(const wino_plan *p, const wino_shape *s, const float *w, int turned, float *u)
{
    wino_job j = { .s = s, .shared = p->shared, .w = w, .turned = turned, .out = u };
    parallel_for_work(s->nb * s->cp, 36 * LANES, transform_weights, &j);
}

/* ---- weight gradient ---- */

/* 36 vectors of A dy A^T. */
ACT_INLINE void delta_tile(const float *map, int h, int w, wino_tile t, float *to, size_t stride, int inside)
{
    vec half[WINO_IN][WINO_OUT];
    for (int q = 0; q < WINO_OUT; ++q) {
        vec d[WINO_OUT], m[WINO_IN];
        for (int i = 0; i < WINO_OUT; ++i)
            d[i] = inside || (t.row + i < h && t.col + q < w) ? vec_load(map + ((size_t)(t.row + i) * (size_t)w + (size_t)(t.col + q)) * LANES)
                                                               : vec_all(0);
        wino_delta(d, m);
        for (int i = 0; i < WINO_IN; ++i) half[i][q] = m[i];
    }
    for (int i = 0; i < WINO_IN; ++i) {
        vec m[WINO_IN];
        wino_delta(half[i], m);
        for (int q = 0; q < WINO_IN; ++q) vec_store(to + (size_t)(i * WINO_IN + q) * stride, m[q]);
    }
}

static void delta_tiles(const wino_job *j, size_t first, size_t n, float *m)
{
    const wino_shape *s = j->s;
    size_t map = (size_t)s->out_h * (size_t)s->out_w * LANES, stride = point_stride(n, s->np);
    for (size_t b = 0; b < s->nb; ++b) {
        wino_tile t = tile_of(s, first);
        for (size_t i = 0; i < n; ++i, t = next_tile(s, t)) {
            const float *dy = j->dy + (t.image * s->nb + b) * map;
            float *to = m + i * s->np + b * LANES;
            if (t.row + WINO_OUT <= s->out_h && t.col + WINO_OUT <= s->out_w) delta_tile(dy, s->out_h, s->out_w, t, to, stride, 1);
            else delta_tile(dy, s->out_h, s->out_w, t, to, stride, 0);
        }
    }
}

static float *partial(const wino_job *j, size_t thread) { return j->shared->slot[SLOT_PARTIAL] + thread * weight_floats(j->s); }

static void weigh_chunks(void *ctx, size_t begin, size_t end)
{
    const wino_job *j = ctx;
    const wino_shape *s = j->s;
    float *m, *v = scratch_of(j, &m), *sum = partial(j, (size_t)parallel_index());
    for (size_t chunk = begin; chunk < end; ++chunk) {
        size_t first = chunk_at(s, chunk), n = chunk_at(s, chunk + 1) - first;
        input_tiles(j, first, n, v);
        delta_tiles(j, first, n, m);
        for (size_t p = 0; p < WINO_POINTS; ++p)
            gemm_sum(v + p * point_stride(n, s->cp), s->cp, m + p * point_stride(n, s->np), s->nb, n, sum + p * s->cp * s->np);
    }
}

/* The threads' sums together, turned back into nine taps a filter, added to dw. */
static void add_weights(void *ctx, size_t begin, size_t end)
{
    const wino_job *j = ctx;
    const wino_shape *s = j->s;
    size_t points = s->cp * s->np;
    for (size_t item = begin; item < end; ++item) {
        vec half[3][WINO_IN], taps[3][3];
        size_t block = item / s->cp, in = item % s->cp;
        if (in >= (size_t)s->c) continue;
        for (int k = 0; k < WINO_IN; ++k) {
            vec u[WINO_IN], g[3];
            for (int i = 0; i < WINO_IN; ++i) {
                u[i] = vec_all(0);
                for (size_t t = 0; t < j->parts; ++t)
                    u[i] += vec_load(partial(j, t) + (size_t)(i * WINO_IN + k) * points + item * LANES);
            }
            wino_weights_delta(u, g);
            for (int i = 0; i < 3; ++i) half[i][k] = g[i];
        }
        for (int i = 0; i < 3; ++i) wino_weights_delta(half[i], taps[i]);
        for (size_t lane = 0; lane < LANES && block * LANES + lane < (size_t)s->n; ++lane)
            for (int k = 0; k < 9; ++k)
                j->dw[((block * LANES + lane) * (size_t)s->c + in) * 9 + (size_t)k] += taps[k / 3][k % 3][lane];
    }
}

static void backward_weights(void *plan, const float *x, const float *dy, float *dw)
{
    const wino_plan *p = plan;
    const wino_shape *s = &p->grad;
    size_t threads = (size_t)parallel_threads();
    wino_job j = { .s = s, .shared = p->shared, .x = x, .dy = dy, .dw = dw, .parts = threads < s->chunks ? threads : s->chunks };
    memset(p->shared->slot[SLOT_PARTIAL], 0, j.parts * weight_floats(s) * sizeof(float));
    parallel_for(s->chunks, weigh_chunks, &j);
    parallel_for_work(s->nb * s->cp, 36 * LANES, add_weights, &j);
}

/* ---- the face ---- */

static void forward(void *plan, const float *x, const float *w, const conv_after *after, float *y)
{
    const wino_plan *p = plan;
    float *u = p->kept ? p->kept : p->shared->slot[SLOT_WEIGHTS];
    if (w) fill_weights(p, &p->fwd, w, 0, u);
    wino_job j = { .s = &p->fwd, .shared = p->shared, .x = x, .u = u, .y = y, .after = after };
    parallel_for(p->fwd.chunks, convolve_chunks, &j);
}

static void backward_data(void *plan, const float *w, const float *dy, float *dx, int add)
{
    const wino_plan *p = plan;
    float *u = p->shared->slot[SLOT_WEIGHTS];
    fill_weights(p, &p->back, w, 1, u);
    wino_job j = { .s = &p->back, .shared = p->shared, .x = dy, .u = u, .y = dx, .add = add };
    parallel_for(p->back.chunks, convolve_chunks, &j);
}

static size_t parts(void *plan) { return ((const wino_plan *)plan)->fwd.chunks; }

static void free_plan(void *plan)
{
    free(((wino_plan *)plan)->kept);
    free(plan);
}

static int fits(const conv_shape *s)
{
    return s->x_blocked && s->y_blocked && s->size == 3 && s->stride == 1 && s->groups == 1 && s->pad <= 2;
}

/* Where oneDNN is there for the rest. */
static int pays(const conv_shape *s)
{
    int tiles = (s->out_h + 3) / 4 * ((s->out_w + 3) / 4);
    return !conv_dnnl() || tiles * 16 <= 2 * s->out_h * s->out_w;
}

static int reserve(const wino_plan *p, const conv_needs *needs)
{
    const wino_shape *all[] = { &p->fwd, &p->back, &p->grad };
    size_t threads = (size_t)parallel_threads(), bytes = weight_floats(&p->fwd) * sizeof(float);
    for (int i = 0; i < 3; ++i)
        if (cpu_reserve(p->shared, SLOT_TILES, threads * scratch_floats(all[i]) * sizeof(float))) return -1;
    if (needs->weights && cpu_reserve(p->shared, SLOT_PARTIAL, threads * bytes)) return -1;
    return !p->kept || needs->data ? cpu_reserve(p->shared, SLOT_WEIGHTS, bytes) : 0;
}

enum { FORWARD_TILES = 56, GRADIENT_TILES = 84 };

static void *make(const conv_shape *s, const conv_needs *needs, cpu_shared *shared)
{
    if (!fits(s) || !pays(s)) return NULL;
    wino_plan *p = mem_calloc(1, sizeof *p);
    p->shared = shared;
    p->fwd = shape_with(s->batch, s->c, s->h, s->w, s->n, s->pad, FORWARD_TILES);
    p->back = shape_with(s->batch, s->n, s->out_h, s->out_w, s->c, 2 - s->pad, FORWARD_TILES);
    p->grad = shape_with(s->batch, s->c, s->h, s->w, s->n, s->pad, GRADIENT_TILES);
    if (needs->constant) p->kept = mem_aligned(weight_floats(&p->fwd), sizeof(float));
    if (!reserve(p, needs)) return p;
    free_plan(p);
    return NULL;
}

static const conv_math winograd_math = {
    .name = "Winograd", .biases = 1, .adds = 1, .blocked = 1, .make = make, .free = free_plan, .forward = forward,
    .backward_weights = backward_weights, .backward_data = backward_data, .parts = parts,
};

const conv_math *conv_winograd(void)
{
#ifdef WINOGRAD
    return &winograd_math;
#else
    (void)winograd_math;
    return NULL;
#endif
}
