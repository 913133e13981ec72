/* 3x3 convolutions of stride 1 and 2 by Winograd's F(4x4, 3x3) (winograd_ops.h), on blocked maps.
 *
 * Tiles of 4x4 outputs, numbered through batch, rows and columns, are cut into chunks small enough for the cache; threads
 * share the chunks out. For each chunk
 *
 *   V = B^T d B           (36, tiles, c)        from the input's 6x6 tiles, zeros where they stick out
 *   M = V U               (36, tiles, n)        36 products of small matrices (gemm_tile.h); U = G g G^T
 *   y = A^T M A           + bias, other map, activation, batch norm's sums, while the tile is in registers
 *
 * The data gradient is the same thing with the filters turned around and channels exchanged. The weight gradient sums
 * V^T (A dy A^T) over tiles, each thread into its own (36, n, c), and turns the total back once.
 *
 * With stride 2 it is 81 products of inputs' 9x9 tiles, but still 36 weights, some of which several products share.
 *
 * Chunks do not depend on the number of threads, so only the weight gradient's last bits do. Left out: other filter
 * sizes, strides and paddings, groups; maps whose edge tiles would waste what is won. */
#include "conv.h"
#include "gemm_tile.h"
#include "parallel.h"
#include "winograd_tiles.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct wino_plan {
    wino_shape fwd, back, grad;       /* back: dy to dx; grad: as fwd, with longer chunks */
    cpu_shared *shared;               /* borrowed */
    float *kept;                      /* needs.constant: transformed weights, owned */
} wino_plan;

/* ---- shapes ---- */

static size_t chunk_at(const wino_shape *s, size_t i) { return s->tiles * i / s->chunks; }

/* Chunks of about `want` tiles, a multiple of four of them so that two or four threads have equal shares. */
static void cut(wino_shape *s, size_t want)
{
    size_t side = s->way == WINO_BACK2 ? 2 * WINO_OUT : WINO_OUT, axis = s->way == WINO_STRIDE1 ? WINO_IN : WINO2_PRODUCTS;
    s->cb = vec_blocks(s->c);
    s->nb = vec_blocks(s->n);
    s->cp = s->cb * LANES;
    s->np = s->nb * LANES;
    s->products = axis * axis;
    s->rows = ((size_t)s->out_h + side - 1) / side;
    s->cols = ((size_t)s->out_w + side - 1) / side;
    s->tiles = s->rows * s->cols * (size_t)s->batch;
    s->chunks = ((s->tiles + want - 1) / want + 3) / 4 * 4;
    if (s->chunks > s->tiles) s->chunks = s->tiles;
    s->longest = (s->tiles + s->chunks - 1) / s->chunks;
}

static wino_shape shape_forward(const conv_shape *s, size_t want)
{
    wino_shape f = { .way = s->stride == 1 ? WINO_STRIDE1 : WINO_STRIDE2, .batch = s->batch, .c = s->c, .h = s->h, .w = s->w,
                     .n = s->n, .out_h = s->out_h, .out_w = s->out_w, .pad = s->pad };
    cut(&f, want);
    return f;
}

/* dy to dx. With stride 2, tile 0 begins at sample 1 of the padded input: there is no padding left. */
static wino_shape shape_back(const conv_shape *s, size_t want)
{
    wino_shape b = { .way = s->stride == 1 ? WINO_STRIDE1 : WINO_BACK2, .batch = s->batch, .c = s->n, .h = s->out_h, .w = s->out_w,
                     .n = s->c, .out_h = s->h, .out_w = s->w, .pad = s->stride == 1 ? 2 - s->pad : 0 };
    cut(&b, want);
    return b;
}

/* Along one axis, which of six weights product i is with: with stride 2 the first four share the one tap, 0. */
static size_t axis_point(const wino_shape *s, size_t i) { return s->way == WINO_STRIDE1 ? i : i < WINO_OUT ? 0 : i - WINO_OUT + 1; }

/* Which of the 36 weights the product is with; *first: none before it was. */
static size_t point_of(const wino_shape *s, size_t product, int *first)
{
    size_t axis = s->way == WINO_STRIDE1 ? WINO_IN : WINO2_PRODUCTS, row = product / axis, col = product % axis;
    *first = (row == 0 || axis_point(s, row)) && (col == 0 || axis_point(s, col));
    return axis_point(s, row) * WINO_IN + axis_point(s, col);
}

static size_t scratch_floats(const wino_shape *s)
{
    return s->products * (wino_stride(s->longest, s->cp) + wino_stride(s->longest, s->np));
}

static size_t weight_floats(const wino_shape *s) { return WINO_POINTS * s->cp * s->np; }

/* This thread's V; M follows at the second address. */
static float *scratch_of(const wino_job *j, float **m)
{
    float *v = j->shared->slot[SLOT_TILES] + (size_t)parallel_index() * scratch_floats(j->s);
    *m = v + j->s->products * wino_stride(j->s->longest, j->s->cp);
    return v;
}

/* M = V U */
static void multiply(const wino_job *j, size_t n, const float *v, float *m)
{
    const wino_shape *s = j->s;
    int first;
    for (size_t p = 0; p < s->products; ++p)
        gemm_rows(v + p * wino_stride(n, s->cp), s->cp, n, j->u + point_of(s, p, &first) * s->cp * s->np, s->cp, s->nb,
                  m + p * wino_stride(n, s->np));
}

static void convolve_chunks(void *ctx, size_t begin, size_t end)
{
    const wino_job *j = ctx;
    const wino_shape *s = j->s;
    float *m, *v = scratch_of(j, &m);
    for (size_t chunk = begin; chunk < end; ++chunk) {
        size_t first = chunk_at(s, chunk), n = chunk_at(s, chunk + 1) - first;
        float *sums = j->after && j->after->sums ? j->after->sums + chunk * 2 * s->np : NULL;
        if (sums) memset(sums, 0, 2 * s->np * sizeof *sums);
        wino_input_tiles(j, first, n, v);
        multiply(j, n, v, m);
        wino_output_tiles(j, first, n, m, sums);
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

static void taps_to_points(const wino_shape *s, const vec g[3], vec u[WINO_IN])
{
    if (s->way == WINO_STRIDE1) wino_weights(g, u);
    else wino2_weights(g, u);
}

static void points_to_taps(const wino_shape *s, const vec u[WINO_IN], vec g[3])
{
    if (s->way == WINO_STRIDE1) wino_weights_delta(u, g);
    else wino2_weights_delta(u, g);
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
            taps_to_points(s, column, u);
            for (int i = 0; i < WINO_IN; ++i) half[i][k] = u[i];
        }
        for (int i = 0; i < WINO_IN; ++i) {
            vec u[WINO_IN];
            taps_to_points(s, half[i], u);
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

static float *partial(const wino_job *j, size_t thread) { return j->shared->slot[SLOT_PARTIAL] + thread * weight_floats(j->s); }

/* sum = or += V^T M, product after product. */
static void sum_products(const wino_shape *s, size_t n, const float *v, const float *m, int add, float *sum)
{
    for (size_t p = 0; p < s->products; ++p) {
        int first;
        float *to = sum + point_of(s, p, &first) * s->cp * s->np;
        gemm_sum(v + p * wino_stride(n, s->cp), s->cp, m + p * wino_stride(n, s->np), s->nb, n, to, add || !first);
    }
}

static void weigh_chunks(void *ctx, size_t begin, size_t end)
{
    const wino_job *j = ctx;
    const wino_shape *s = j->s;
    float *m, *v = scratch_of(j, &m), *sum = partial(j, (size_t)parallel_index());
    for (size_t chunk = begin; chunk < end; ++chunk) {
        size_t first = chunk_at(s, chunk), n = chunk_at(s, chunk + 1) - first;
        wino_input_tiles(j, first, n, v);
        wino_delta_tiles(j, first, n, m);
        sum_products(s, n, v, m, chunk > begin, sum);
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
            points_to_taps(s, u, g);
            for (int i = 0; i < 3; ++i) half[i][k] = g[i];
        }
        for (int i = 0; i < 3; ++i) points_to_taps(s, half[i], taps[i]);
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
    return s->x_blocked && s->y_blocked && s->groups == 1 && conv_winograd_knows(s->size, s->stride, s->pad);
}

/* Tiles may have as many products too many as Winograd saves, less what transforms cost; with stride 2 and few channels none. */
static int pays(const conv_shape *s)
{
    int tiles = (s->out_h + 3) / 4 * ((s->out_w + 3) / 4), outputs = s->out_h * s->out_w;
    if (s->stride == 1) return tiles * 16 <= 2 * outputs;
    return s->c < 32 ? tiles * 16 == outputs : tiles * 16 * 3 <= 4 * outputs;
}

static void reserve(const wino_plan *p, const conv_needs *needs)
{
    const wino_shape *all[] = { &p->fwd, &p->back, &p->grad };
    size_t threads = (size_t)parallel_threads(), bytes = weight_floats(&p->fwd) * sizeof(float);
    for (int i = 0; i < 3; ++i) cpu_reserve(p->shared, SLOT_TILES, threads * scratch_floats(all[i]) * sizeof(float));
    if (needs->weights) cpu_reserve(p->shared, SLOT_PARTIAL, threads * bytes);
    if (!p->kept || needs->data) cpu_reserve(p->shared, SLOT_WEIGHTS, bytes);
}

/* With stride 2 half as many, as each has twice the products. */
enum { FORWARD_TILES = 56, GRADIENT_TILES = 84 };

static void *make(const conv_shape *s, const conv_needs *needs, cpu_shared *shared)
{
    if (!fits(s)) return NULL;
    wino_plan *p = mem_calloc(1, sizeof *p);
    p->shared = shared;
    p->fwd = shape_forward(s, FORWARD_TILES / (size_t)s->stride);
    p->back = shape_back(s, FORWARD_TILES / (size_t)s->stride);
    p->grad = shape_forward(s, GRADIENT_TILES / (size_t)s->stride);
    if (needs->constant) p->kept = mem_aligned(weight_floats(&p->fwd), sizeof(float));
    reserve(p, needs);
    return p;
}

static const conv_math winograd_math = {
    .name = "Winograd", .biases = 1, .adds = 1, .blocked = 1, .pays = pays, .make = make, .free = free_plan, .forward = forward,
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
