/* The weight gradient by AMX (see amx_weights.h).
 *
 * dw of a tap is a product of matrices, x^T (channels, pixels) and dy (pixels, filters), with x shifted by the tap. A
 * tile of the left one is 16 channels' 32 pixels in a row, of the right one 16 pairs of pixels' 16 filters: both are
 * turned from maps first, x once for each shift along rows and each phase of the stride along columns, since a shift by
 * whole rows is another address of the same matrix. Images come in groups whose matrices fit into the second cache, and
 * each thread sums its images' products in tiles of its own, which are added in the end.
 * Intel's Architecture Instruction Set Extensions reference, chapter "AMX". */
#include "amx_weights.h"

#include "conv.h"
#include "parallel.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

#if defined __AMX_TILE__ && defined __AMX_BF16__ && defined __AVX512BW__
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A tile: 16 channels or filters (a side), 32 numbers deep, or 16 pairs of them; 16 x 16 sums. */
enum { SIDE = 16, DEPTH = 32, SUMS = SIDE * SIDE };
/* Pixels multiplied before sums go back to memory, and bytes of a group's matrices. */
enum { RUN = 512, GROUP_BYTES = 1 << 20, PIXELS_AT_ONCE = 32 };

struct amx_weights {
    conv_shape shape;
    cpu_shared *shared;        /* borrowed */
    size_t cb, nb;             /* blocks of channels and filters */
    size_t taps, copies;       /* of x^T: shifts along rows times phases along columns */
    size_t depth;              /* pixels of y, up to whole DEPTH */
    size_t row;                /* numbers of a row of x^T: with what taps further down read */
    size_t group;              /* images */
    int32_t *from;             /* (copies, row): which pixel of x stands there; -1: none, it is 0; owned */
};

typedef struct weights_job {
    const amx_weights *plan;
    const uint16_t *x, *dy;
    float *dw;
    size_t parts;              /* threads that have summed */
} weights_job;

/* ---- planning ---- */

static size_t y_pixels(const amx_weights *plan) { return (size_t)plan->shape.out_h * (size_t)plan->shape.out_w; }
static size_t x_pixels(const amx_weights *plan) { return (size_t)plan->shape.h * (size_t)plan->shape.w; }

/* Numbers of an image's matrices, and of a thread's sums. */
static size_t left_numbers(const amx_weights *plan) { return plan->copies * plan->cb * SIDE * plan->row; }
static size_t right_numbers(const amx_weights *plan) { return plan->nb * SIDE * plan->depth; }
static size_t sums(const amx_weights *plan) { return plan->taps * plan->cb * plan->nb * SUMS; }
static size_t group_numbers(const amx_weights *plan)
{
    return plan->group * (left_numbers(plan) + right_numbers(plan));
}

/* Linux gives tiles to those who ask. */
static int has_tiles(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18 };
    const char *who = cpu_bf16_products();
    return who && !strcmp(who, "AMX") && !syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA);
}

/* Where pixel i of a copy's rows is in x: for shift kx along rows, and each `stride`th row from the phase on. */
static int32_t pixel_of(const conv_shape *shape, int kx, int phase, size_t i)
{
    int row = (int)i / shape->out_w * shape->stride + phase - shape->pad;
    int col = (int)i % shape->out_w * shape->stride + kx - shape->pad;
    return row < 0 || row >= shape->h || col < 0 || col >= shape->w ? -1 : row * shape->w + col;
}

static void fill_from(amx_weights *plan)
{
    size_t phases = (size_t)plan->shape.stride;
    plan->from = mem_calloc(plan->copies * plan->row, sizeof *plan->from);
    for (size_t copy = 0; copy < plan->copies; ++copy)
        for (size_t i = 0; i < plan->row; ++i)
            plan->from[copy * plan->row + i] = pixel_of(&plan->shape, (int)(copy / phases), (int)(copy % phases), i);
}

amx_weights *amx_weights_make(const conv_shape *shape, cpu_shared *shared)
{
    if (shape->groups != 1 || !conv_is_plain(shape) || shape->size > 7 || shape->out_w < 2 || !has_tiles()) return NULL;
    amx_weights *plan = mem_calloc(1, sizeof *plan);
    size_t size = (size_t)shape->size, stride = (size_t)shape->stride;
    plan->shape = *shape;
    plan->shared = shared;
    plan->cb = cpu_whole((size_t)shape->c, SIDE) / SIDE;
    plan->nb = cpu_whole((size_t)shape->n, SIDE) / SIDE;
    plan->taps = size * size;
    plan->copies = size * stride;
    plan->depth = cpu_whole(y_pixels(plan), DEPTH);
    plan->row = cpu_whole((size - 1) / stride * (size_t)shape->out_w + plan->depth, DEPTH);
    plan->group = 1;
    size_t bytes = group_numbers(plan) * sizeof(uint16_t), most = RUN / plan->depth;
    if (most > GROUP_BYTES / bytes) most = GROUP_BYTES / bytes;
    if (most > 1) plan->group = most;
    fill_from(plan);
    size_t threads = (size_t)parallel_threads();
    cpu_reserve(shared, SLOT_TILES, threads * group_numbers(plan) * sizeof(uint16_t));
    cpu_reserve(shared, SLOT_PARTIAL, threads * sums(plan) * sizeof(float));
    return plan;
}

void amx_weights_free(amx_weights *plan)
{
    if (plan) free(plan->from);
    free(plan);
}

/* ---- matrices from maps ---- */

/* A 16 x 16 matrix of pairs: columns become rows. */
static inline void turn(__m512i pairs[SIDE])
{
    __m512i t[SIDE];
    for (int i = 0; i < SIDE; i += 2) {
        t[i] = _mm512_unpacklo_epi32(pairs[i], pairs[i + 1]);
        t[i + 1] = _mm512_unpackhi_epi32(pairs[i], pairs[i + 1]);
    }
    for (int i = 0; i < SIDE; i += 4) {
        pairs[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
        pairs[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
        pairs[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
        pairs[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
    }
    for (int i = 0; i < 4; ++i) {
        t[i] = _mm512_shuffle_i32x4(pairs[i], pairs[i + 4], 0x88);
        t[i + 4] = _mm512_shuffle_i32x4(pairs[i], pairs[i + 4], 0xdd);
        t[i + 8] = _mm512_shuffle_i32x4(pairs[i + 8], pairs[i + 12], 0x88);
        t[i + 12] = _mm512_shuffle_i32x4(pairs[i + 8], pairs[i + 12], 0xdd);
    }
    for (int i = 0; i < 4; ++i) {
        pairs[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
        pairs[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
        pairs[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
        pairs[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
    }
}

/* 16 channels of a pixel as the low halves of pairs; from -1: zeros. */
static inline __m512i pixel(const uint16_t *x, size_t channels, int32_t from)
{
    if (from < 0) return _mm512_setzero_si512();
    return _mm512_cvtepu16_epi32(_mm256_loadu_si256((const void *)(x + (size_t)from * channels)));
}

/* An image's x^T: (copies, channels, row). */
static void make_left(const amx_weights *plan, const uint16_t *x, uint16_t *left)
{
    size_t channels = plan->cb * SIDE;
    for (size_t copy = 0; copy < plan->copies; ++copy) {
        const int32_t *from = plan->from + copy * plan->row;
        for (size_t block = 0; block < plan->cb; ++block)
            for (size_t i = 0; i < plan->row; i += PIXELS_AT_ONCE) {
                __m512i pairs[SIDE];
                for (size_t k = 0; k < SIDE; ++k) {
                    __m512i low = pixel(x + block * SIDE, channels, from[i + 2 * k]);
                    __m512i high = pixel(x + block * SIDE, channels, from[i + 2 * k + 1]);
                    pairs[k] = _mm512_or_si512(low, _mm512_slli_epi32(high, 16));
                }
                turn(pairs);
                uint16_t *to = left + ((copy * plan->cb + block) * SIDE) * plan->row + i;
                for (size_t k = 0; k < SIDE; ++k) _mm512_storeu_si512(to + k * plan->row, pairs[k]);
            }
    }
}

/* An image's dy: (blocks of filters, pairs of pixels, filters, 2), zeros behind the last pixel. */
static void make_right(const amx_weights *plan, const uint16_t *dy, uint16_t *right)
{
    size_t filters = plan->nb * SIDE, pixels = y_pixels(plan);
    for (size_t block = 0; block < plan->nb; ++block)
        for (size_t i = 0; i < plan->depth; i += 2, right += 2 * SIDE) {
            __m512i low = pixel(dy + block * SIDE, filters, i < pixels ? (int32_t)i : -1);
            __m512i high = pixel(dy + block * SIDE, filters, i + 1 < pixels ? (int32_t)i + 1 : -1);
            _mm512_storeu_si512(right, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
        }
}

/* ---- products ---- */

/* Rows of tiles, one below the other: a tap's channels, block after block, tap after tap. */
static size_t tile_rows(const amx_weights *plan) { return plan->taps * plan->cb; }

static const uint16_t *left_at(const amx_weights *plan, const uint16_t *left, size_t r)
{
    size_t size = (size_t)plan->shape.size, stride = (size_t)plan->shape.stride, tap = r / plan->cb;
    size_t ky = tap / size, copy = tap % size * stride + ky % stride;
    return left + (copy * plan->cb + r % plan->cb) * SIDE * plan->row + ky / stride * (size_t)plan->shape.out_w;
}

/* Some images' pixels [begin, end). */
typedef struct pixel_run {
    size_t images, begin, end;
    int first;                 /* nothing has been summed yet */
} pixel_run;

/* Sums of `rows` tile rows and `cols` blocks of filters, 1 x 2, 2 x 2, or up to 4 x 1. to: a tile row's sums of a block
 * are at to + (row + col * tile_rows) * SUMS. */
__attribute__((always_inline)) static inline void
multiply(const amx_weights *plan, const uint16_t *const left[4], const uint16_t *right, const pixel_run *run, float *to,
         int rows, int cols)
{
    float *second = to + tile_rows(plan) * SUMS;
    const long line = SIDE * sizeof(float), row = (long)(plan->row * sizeof(uint16_t));
    if (run->first) {
        _tile_zero(0);
        _tile_zero(1);
        _tile_zero(2);
        _tile_zero(3);
    } else if (cols == 2) {
        _tile_loadd(0, to, line);
        _tile_loadd(1, second, line);
        if (rows > 1) _tile_loadd(2, to + SUMS, line);
        if (rows > 1) _tile_loadd(3, second + SUMS, line);
    } else {
        _tile_loadd(0, to, line);
        if (rows > 1) _tile_loadd(1, to + SUMS, line);
        if (rows > 2) _tile_loadd(2, to + 2 * SUMS, line);
        if (rows > 3) _tile_loadd(3, to + 3 * SUMS, line);
    }
    for (size_t image = 0; image < run->images; ++image) {
        size_t a = image * left_numbers(plan);
        const uint16_t *b = right + image * right_numbers(plan);
        for (size_t i = run->begin; i < run->end; i += DEPTH) {
            _tile_loadd(6, b + i * SIDE, line);
            _tile_loadd(4, left[0] + a + i, row);
            if (cols == 2) {
                _tile_loadd(7, b + (plan->depth + i) * SIDE, line);
                _tile_dpbf16ps(0, 4, 6);
                _tile_dpbf16ps(1, 4, 7);
                if (rows > 1) _tile_loadd(5, left[1] + a + i, row);
                if (rows > 1) _tile_dpbf16ps(2, 5, 6);
                if (rows > 1) _tile_dpbf16ps(3, 5, 7);
            } else {
                _tile_dpbf16ps(0, 4, 6);
                if (rows > 1) _tile_loadd(5, left[1] + a + i, row);
                if (rows > 1) _tile_dpbf16ps(1, 5, 6);
                if (rows > 2) _tile_loadd(7, left[2] + a + i, row);
                if (rows > 2) _tile_dpbf16ps(2, 7, 6);
                if (rows > 3) _tile_loadd(4, left[3] + a + i, row);
                if (rows > 3) _tile_dpbf16ps(3, 4, 6);
            }
        }
    }
    _tile_stored(0, to, line);
    if (cols == 2) {
        _tile_stored(1, second, line);
        if (rows > 1) _tile_stored(2, to + SUMS, line);
        if (rows > 1) _tile_stored(3, second + SUMS, line);
    } else {
        if (rows > 1) _tile_stored(1, to + SUMS, line);
        if (rows > 2) _tile_stored(2, to + 2 * SUMS, line);
        if (rows > 3) _tile_stored(3, to + 3 * SUMS, line);
    }
}

/* All tile rows and one or two blocks of filters. */
static void multiply_columns(const amx_weights *plan, const uint16_t *left, const uint16_t *right, const pixel_run *run,
                             float *to, int cols)
{
    size_t all = tile_rows(plan), most = cols == 2 ? 2 : 4;
    for (size_t r = 0, rows; r < all; r += rows, to += rows * SUMS) {
        const uint16_t *at[4];
        rows = all - r < most ? all - r : most;
        for (size_t k = 0; k < rows; ++k) at[k] = left_at(plan, left, r + k);
        if (cols == 2 && rows == 2) multiply(plan, at, right, run, to, 2, 2);
        else if (cols == 2) multiply(plan, at, right, run, to, 1, 2);
        else if (rows == 4) multiply(plan, at, right, run, to, 4, 1);
        else if (rows == 3) multiply(plan, at, right, run, to, 3, 1);
        else if (rows == 2) multiply(plan, at, right, run, to, 2, 1);
        else multiply(plan, at, right, run, to, 1, 1);
    }
}

static void multiply_run(const amx_weights *plan, const uint16_t *left, const uint16_t *right, const pixel_run *run,
                         float *to)
{
    for (size_t n = 0; n < plan->nb; n += 2)
        multiply_columns(plan, left, right + n * SIDE * plan->depth, run, to + n * tile_rows(plan) * SUMS,
                         plan->nb - n > 1 ? 2 : 1);
}

/* Tells the processor that all tiles are used in full. */
static void whole_tiles(void)
{
    struct {
        uint8_t palette, start, reserved[14];
        uint16_t bytes[16];
        uint8_t rows[16];
    } all = { .palette = 1 };
    for (int t = 0; t < 8; ++t) {
        all.bytes[t] = DEPTH * sizeof(uint16_t);
        all.rows[t] = SIDE;
    }
    _tile_loadconfig(&all);
}

static float *part_of(const weights_job *job, size_t part)
{
    return job->plan->shared->slot[SLOT_PARTIAL] + part * sums(job->plan);
}

/* Sums the products of groups [begin, end) of images into this thread's tiles. */
static void sum_groups(void *ctx, size_t begin, size_t end)
{
    const weights_job *job = ctx;
    const amx_weights *plan = job->plan;
    size_t thread = (size_t)parallel_index(), images = (size_t)plan->shape.batch;
    uint16_t *left = (uint16_t *)plan->shared->slot[SLOT_TILES] + thread * group_numbers(plan);
    uint16_t *right = left + plan->group * left_numbers(plan);
    whole_tiles();
    for (size_t group = begin; group < end; ++group) {
        size_t first = group * plan->group, n = images - first < plan->group ? images - first : plan->group;
        for (size_t k = 0; k < n; ++k) {
            make_left(plan, job->x + (first + k) * x_pixels(plan) * plan->cb * SIDE, left + k * left_numbers(plan));
            make_right(plan, job->dy + (first + k) * y_pixels(plan) * plan->nb * SIDE, right + k * right_numbers(plan));
        }
        for (size_t i = 0; i < plan->depth; i += RUN) {
            pixel_run run = { n, i, plan->depth - i < RUN ? plan->depth : i + RUN, group == begin && i == 0 };
            multiply_run(plan, left, right, &run, part_of(job, thread));
        }
    }
    _tile_release();
}

/* Adds all threads' sums of pairs [begin, end) of a block of filters and one of channels to dw. */
static void add_pairs(void *ctx, size_t begin, size_t end)
{
    const weights_job *job = ctx;
    const amx_weights *plan = job->plan;
    size_t c = (size_t)plan->shape.c, filters = (size_t)plan->shape.n, taps = plan->taps;
    for (size_t pair = begin; pair < end; ++pair) {
        size_t n = pair / plan->cb * SIDE, k = pair % plan->cb * SIDE;
        for (size_t tap = 0; tap < taps; ++tap) {
            float all[SUMS] = { 0 };
            size_t at = (pair / plan->cb * tile_rows(plan) + tap * plan->cb + pair % plan->cb) * SUMS;
            for (size_t p = 0; p < job->parts; ++p)
                for (size_t i = 0; i < SUMS; ++i) all[i] += part_of(job, p)[at + i];
            for (size_t j = 0; j < SIDE && n + j < filters; ++j)
                for (size_t i = 0; i < SIDE && k + i < c; ++i)
                    job->dw[((n + j) * c + k + i) * taps + tap] += all[i * SIDE + j];
        }
    }
}

void amx_weight_gradient(const amx_weights *plan, const uint16_t *x, const uint16_t *dy, float *dw)
{
    size_t groups = ((size_t)plan->shape.batch + plan->group - 1) / plan->group, threads = (size_t)parallel_threads();
    weights_job job = { .plan = plan, .x = x, .dy = dy, .dw = dw, .parts = threads < groups ? threads : groups };
    parallel_for(groups, sum_groups, &job);
    parallel_for_work(plan->nb * plan->cb, plan->taps * SUMS, add_pairs, &job);
}

#else
amx_weights *amx_weights_make(const conv_shape *shape, cpu_shared *shared)
{
    (void)shape;
    (void)shared;
    return NULL;
}

void amx_weights_free(amx_weights *plan) { (void)plan; }

void amx_weight_gradient(const amx_weights *plan, const uint16_t *x, const uint16_t *dy, float *dw)
{
    (void)plan;
    (void)x;
    (void)dy;
    (void)dw;
}
#endif
