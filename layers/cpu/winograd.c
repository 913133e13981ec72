/* 3x3 convolutions of stride 1 and 2 by Winograd's F(4x4, 3x3) (winograd_ops.h), on blocked maps.
 *
 * Tiles of 4x4 outputs, numbered through batch, rows and columns, are cut into chunks small enough for the cache;
 * threads share the chunks out. For each chunk
 *
 *   v = B^T d B           (36, tiles, c)        from the input's 6x6 tiles, zeros where they stick out
 *   m = v u               (36, tiles, n)        36 products of small matrices (gemm_tile.h); u = G g G^T
 *   y = A^T m A           + bias, other map, activation, batch norm's sums, while the tile is in registers
 *
 * The data gradient is the same thing with the filters turned around and channels exchanged. The weight gradient sums
 * v^T (A dy A^T) over tiles, each thread into its own (36, n, c), and turns the total back once.
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

static size_t chunk_at(const wino_shape *shape, size_t i) { return shape->tiles * i / shape->chunks; }

/* Chunks of about `want` tiles, a multiple of four of them so that two or four threads have equal shares. */
static void cut(wino_shape *shape, size_t want)
{
    size_t side = shape->way == WINO_BACK2 ? 2 * WINO_OUT : WINO_OUT;
    size_t axis = shape->way == WINO_STRIDE1 ? WINO_IN : WINO2_PRODUCTS;
    shape->cb = vec_blocks(shape->c);
    shape->nb = vec_blocks(shape->n);
    shape->cp = shape->cb * LANES;
    shape->np = shape->nb * LANES;
    shape->products = axis * axis;
    shape->rows = ((size_t)shape->out_h + side - 1) / side;
    shape->cols = ((size_t)shape->out_w + side - 1) / side;
    shape->tiles = shape->rows * shape->cols * (size_t)shape->batch;
    shape->chunks = ((shape->tiles + want - 1) / want + 3) / 4 * 4;
    if (shape->chunks > shape->tiles) shape->chunks = shape->tiles;
    shape->longest = (shape->tiles + shape->chunks - 1) / shape->chunks;
}

static wino_shape shape_forward(const conv_shape *shape, size_t want)
{
    wino_shape f = { .way = shape->stride == 1 ? WINO_STRIDE1 : WINO_STRIDE2, .batch = shape->batch, .c = shape->c,
                     .h = shape->h, .w = shape->w, .n = shape->n, .out_h = shape->out_h, .out_w = shape->out_w,
                     .pad = shape->pad };
    cut(&f, want);
    return f;
}

/* dy to dx. With stride 2, tile 0 begins at sample 1 of the padded input: there is no padding left. */
static wino_shape shape_back(const conv_shape *shape, size_t want)
{
    wino_shape b = { .way = shape->stride == 1 ? WINO_STRIDE1 : WINO_BACK2, .batch = shape->batch, .c = shape->n,
                     .h = shape->out_h, .w = shape->out_w, .n = shape->c, .out_h = shape->h, .out_w = shape->w,
                     .pad = shape->stride == 1 ? 2 - shape->pad : 0 };
    cut(&b, want);
    return b;
}

/* Along one axis, which of six weights product i is with: with stride 2 the first four share the one tap, 0. */
static size_t axis_point(const wino_shape *shape, size_t i)
{
    if (shape->way == WINO_STRIDE1) return i;
    return i < WINO_OUT ? 0 : i - WINO_OUT + 1;
}

/* Which of the 36 weights the product is with; *first: none before it was. */
static size_t point_of(const wino_shape *shape, size_t product, int *first)
{
    size_t axis = shape->way == WINO_STRIDE1 ? WINO_IN : WINO2_PRODUCTS, row = product / axis, col = product % axis;
    *first = (row == 0 || axis_point(shape, row)) && (col == 0 || axis_point(shape, col));
    return axis_point(shape, row) * WINO_IN + axis_point(shape, col);
}

static size_t scratch_floats(const wino_shape *shape)
{
    return shape->products * (wino_stride(shape->longest, shape->cp) + wino_stride(shape->longest, shape->np));
}

static size_t weight_floats(const wino_shape *shape) { return WINO_POINTS * shape->cp * shape->np; }

/* This thread's v; m follows, at the second address. */
static float *scratch_of(const wino_job *job, float **m)
{
    float *v = job->shared->slot[SLOT_TILES] + (size_t)parallel_index() * scratch_floats(job->shape);
    *m = v + job->shape->products * wino_stride(job->shape->longest, job->shape->cp);
    return v;
}

/* m = v u, n tiles of them. */
static void multiply(const wino_job *job, size_t n, const float *v, float *m)
{
    const wino_shape *shape = job->shape;
    int first;
    for (size_t p = 0; p < shape->products; ++p)
        gemm_rows(v + p * wino_stride(n, shape->cp), shape->cp, n,
                  job->u + point_of(shape, p, &first) * shape->cp * shape->np, shape->cp, shape->nb,
                  m + p * wino_stride(n, shape->np));
}

/* Computes chunks [begin, end) of tiles of y, with the sums that batch norm wants. */
static void convolve_chunks(void *ctx, size_t begin, size_t end)
{
    const wino_job *job = ctx;
    const wino_shape *shape = job->shape;
    float *m, *v = scratch_of(job, &m);
    for (size_t chunk = begin; chunk < end; ++chunk) {
        size_t first = chunk_at(shape, chunk), n = chunk_at(shape, chunk + 1) - first;
        float *sums = job->after && job->after->sums ? job->after->sums + chunk * 2 * shape->np : NULL;
        if (sums) memset(sums, 0, 2 * shape->np * sizeof *sums);
        wino_input_tiles(job, first, n, v);
        multiply(job, n, v, m);
        wino_output_tiles(job, first, n, m, sums);
    }
}

/* ---- weights ---- */

/* The nine taps of LANES filters (of LANES channels where turned), zeros beyond the last. */
static void load_taps(const wino_job *job, size_t block, size_t in, vec g[3][3])
{
    const wino_shape *shape = job->shape;
    float taps[9][LANES] = { { 0 } };
    for (size_t lane = 0; lane < LANES; ++lane) {
        size_t out = block * LANES + lane;
        if (out >= (size_t)shape->n || in >= (size_t)shape->c) continue;
        const float *w = job->w + (job->turned ? in * (size_t)shape->n + out : out * (size_t)shape->c + in) * 9;
        for (int k = 0; k < 9; ++k) taps[k][lane] = w[job->turned ? 8 - k : k];
    }
    for (int k = 0; k < 9; ++k) memcpy(&g[k / 3][k % 3], taps[k], sizeof(vec));
}

/* u = G g along one axis. */
static void taps_to_points(const wino_shape *shape, const vec g[3], vec u[WINO_IN])
{
    if (shape->way == WINO_STRIDE1) wino_weights(g, u);
    else wino2_weights(g, u);
}

/* g = G^T u along one axis. */
static void points_to_taps(const wino_shape *shape, const vec u[WINO_IN], vec g[3])
{
    if (shape->way == WINO_STRIDE1) wino_weights_delta(u, g);
    else wino2_weights_delta(u, g);
}

/* u (36, n blocks, c, LANES); item i is filter block i / cp, channel i % cp. */
static void transform_weights(void *ctx, size_t begin, size_t end)
{
    const wino_job *job = ctx;
    const wino_shape *shape = job->shape;
    for (size_t item = begin; item < end; ++item) {
        vec g[3][3], half[WINO_IN][3];
        load_taps(job, item / shape->cp, item % shape->cp, g);
        for (int k = 0; k < 3; ++k) {
            vec column[3] = { g[0][k], g[1][k], g[2][k] }, u[WINO_IN];
            taps_to_points(shape, column, u);
            for (int i = 0; i < WINO_IN; ++i) half[i][k] = u[i];
        }
        for (int i = 0; i < WINO_IN; ++i) {
            vec u[WINO_IN];
            taps_to_points(shape, half[i], u);
            for (int k = 0; k < WINO_IN; ++k)
                vec_store(job->out + (size_t)(i * WINO_IN + k) * shape->cp * shape->np + item * LANES, u[k]);
        }
    }
}

/* u = G g G^T of all filters w. */
static void fill_weights(const wino_plan *plan, const wino_shape *shape, const float *w, int turned, float *u)
{
    wino_job job = { .shape = shape, .shared = plan->shared, .w = w, .turned = turned, .out = u };
    parallel_for_work(shape->nb * shape->cp, 36 * LANES, transform_weights, &job);
}

/* ---- weight gradient ---- */

static float *partial(const wino_job *job, size_t thread)
{
    return job->shared->slot[SLOT_PARTIAL] + thread * weight_floats(job->shape);
}

/* sum = or += v^T m, product after product. */
static void sum_products(const wino_shape *shape, size_t n, const float *v, const float *m, int add, float *sum)
{
    for (size_t p = 0; p < shape->products; ++p) {
        int first;
        float *to = sum + point_of(shape, p, &first) * shape->cp * shape->np;
        gemm_sum(v + p * wino_stride(n, shape->cp), shape->cp, m + p * wino_stride(n, shape->np), shape->nb, n, to,
                 add || !first);
    }
}

/* Sums the weight gradient's products over chunks [begin, end) into this thread's part. */
static void weigh_chunks(void *ctx, size_t begin, size_t end)
{
    const wino_job *job = ctx;
    const wino_shape *shape = job->shape;
    float *m, *v = scratch_of(job, &m), *sum = partial(job, (size_t)parallel_index());
    for (size_t chunk = begin; chunk < end; ++chunk) {
        size_t first = chunk_at(shape, chunk), n = chunk_at(shape, chunk + 1) - first;
        wino_input_tiles(job, first, n, v);
        wino_delta_tiles(job, first, n, m);
        sum_products(shape, n, v, m, chunk > begin, sum);
    }
}

/* The threads' sums together, turned back into nine taps a filter, added to dw. */
static void add_weights(void *ctx, size_t begin, size_t end)
{
    const wino_job *job = ctx;
    const wino_shape *shape = job->shape;
    size_t points = shape->cp * shape->np;
    for (size_t item = begin; item < end; ++item) {
        vec half[3][WINO_IN], taps[3][3];
        size_t block = item / shape->cp, in = item % shape->cp;
        if (in >= (size_t)shape->c) continue;
        for (int k = 0; k < WINO_IN; ++k) {
            vec u[WINO_IN], g[3];
            for (int i = 0; i < WINO_IN; ++i) {
                u[i] = vec_all(0);
                for (size_t t = 0; t < job->parts; ++t)
                    u[i] += vec_load(partial(job, t) + (size_t)(i * WINO_IN + k) * points + item * LANES);
            }
            points_to_taps(shape, u, g);
            for (int i = 0; i < 3; ++i) half[i][k] = g[i];
        }
        for (int i = 0; i < 3; ++i) points_to_taps(shape, half[i], taps[i]);
        for (size_t lane = 0; lane < LANES && block * LANES + lane < (size_t)shape->n; ++lane)
            for (int k = 0; k < 9; ++k)
                job->dw[((block * LANES + lane) * (size_t)shape->c + in) * 9 + (size_t)k] += taps[k / 3][k % 3][lane];
    }
}

/* dw += from what came in and dy. */
static void backward_weights(void *impl, const void *in, const void *dy, float *dw)
{
    const wino_plan *plan = impl;
    const wino_shape *shape = &plan->grad;
    size_t threads = (size_t)parallel_threads();
    wino_job job = { .shape = shape, .shared = plan->shared, .x = in, .dy = dy, .dw = dw,
                     .parts = threads < shape->chunks ? threads : shape->chunks };
    parallel_for(shape->chunks, weigh_chunks, &job);
    parallel_for_work(shape->nb * shape->cp, 36 * LANES, add_weights, &job);
}

/* ---- the face ---- */

/* out = conv(in, w); w NULL: the weights of the last call. */
static void forward(void *impl, const void *in, const float *w, const conv_after *after, void *out)
{
    const wino_plan *plan = impl;
    float *u = plan->kept ? plan->kept : plan->shared->slot[SLOT_WEIGHTS];
    if (w) fill_weights(plan, &plan->fwd, w, 0, u);
    wino_job job = { .shape = &plan->fwd, .shared = plan->shared, .x = in, .u = u, .y = out, .after = after };
    parallel_for(plan->fwd.chunks, convolve_chunks, &job);
}

/* dx = or += from dy and w. */
static void backward_data(void *impl, const float *w, const void *dy, void *dx, int add)
{
    const wino_plan *plan = impl;
    float *u = plan->shared->slot[SLOT_WEIGHTS];
    fill_weights(plan, &plan->back, w, 1, u);
    wino_job job = { .shape = &plan->back, .shared = plan->shared, .x = dy, .u = u, .y = dx, .add = add };
    parallel_for(plan->back.chunks, convolve_chunks, &job);
}

static size_t parts(void *impl) { return ((const wino_plan *)impl)->fwd.chunks; }

static void free_plan(void *impl)
{
    free(((wino_plan *)impl)->kept);
    free(impl);
}

static int fits(const conv_shape *shape)
{
    return shape->x_blocked && shape->y_blocked && shape->groups == 1 && conv_is_plain(shape)
        && conv_winograd_knows(shape->size, shape->stride, shape->pad);
}

/* Tiles may have as many products too many as Winograd saves, less what transforms cost; few channels
 * with stride 2 none. */
static int pays(const conv_shape *shape)
{
    int tiles = (shape->out_h + 3) / 4 * ((shape->out_w + 3) / 4), outputs = shape->out_h * shape->out_w;
    if (shape->stride == 1) return tiles * 16 <= 2 * outputs;
    return shape->c < 32 ? tiles * 16 == outputs : tiles * 16 * 3 <= 4 * outputs;
}

static void reserve(const wino_plan *plan, const conv_needs *needs)
{
    const wino_shape *all[] = { &plan->fwd, &plan->back, &plan->grad };
    size_t threads = (size_t)parallel_threads(), bytes = weight_floats(&plan->fwd) * sizeof(float);
    for (int i = 0; i < 3; ++i) cpu_reserve(plan->shared, SLOT_TILES, threads * scratch_floats(all[i]) * sizeof(float));
    if (needs->weights) cpu_reserve(plan->shared, SLOT_PARTIAL, threads * bytes);
    if (!plan->kept || needs->data) cpu_reserve(plan->shared, SLOT_WEIGHTS, bytes);
}

/* With stride 2 half as many, as each has twice the products. */
enum { FORWARD_TILES = 56, GRADIENT_TILES = 84 };

/* Plans a shape that fits; forward, data gradient and weight gradient each have their own chunks. */
static void *make(const conv_shape *shape, const conv_needs *needs, cpu_shared *shared)
{
    if (!fits(shape)) return NULL;
    wino_plan *plan = mem_calloc(1, sizeof *plan);
    plan->shared = shared;
    plan->fwd = shape_forward(shape, FORWARD_TILES / (size_t)shape->stride);
    plan->back = shape_back(shape, FORWARD_TILES / (size_t)shape->stride);
    plan->grad = shape_forward(shape, GRADIENT_TILES / (size_t)shape->stride);
    if (needs->constant) plan->kept = mem_aligned(weight_floats(&plan->fwd), sizeof(float));
    reserve(plan, needs);
    return plan;
}

static const conv_math winograd_math = {
    .name = "Winograd", .biases = 1, .adds = 1, .blocked = 1, .pays = pays, .make = make, .free = free_plan,
    .forward = forward, .backward_weights = backward_weights, .backward_data = backward_data, .parts = parts,
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
