/* Batch norm where all channels of a pixel stand together (see batchnorm_blocked.h, formulae in batchnorm.c).
 *
 * An item of work is one block of channels of one image, so sums come as a part an image: floats over at most RUN pixels,
 * doubles above that. Forward reads x once if whoever made it summed it, else twice. Backward reads the delta and x twice
 * and writes once: the slope of the activation is found again from x, which is in registers anyway, unless another map was
 * added before the activation (a shortcut), where it needs y and leaves its delta behind for that map. */
#include "batchnorm_blocked.h"

#include "batchnorm.h"
#include "parallel.h"
#include "vec.h"

#include "darknet_plugin/host/host_facts.h"

#include <string.h>

enum { RUN = 256 };

typedef struct bn_job {
    const layer *l;
    const float *x, *add, *shift;
    float *y, *sums;
    const float *mean, *factor, *bias;     /* c up to whole LANES: z = (x - mean) * factor + bias */
    const float *centre, *slope;           /* backward: dx = factor * (dz - centre - slope * (x - mean)) */
    const batchnorm_gradient *g;
    ACTIVATION activation;
} bn_job;

/* ---- memory: shift, then four more rows, then the parts ---- */

enum { ROW_SHIFT, ROW_FACTOR, ROW_BIAS, ROW_CENTRE, ROW_SLOPE, ROWS };

static size_t wide(int c) { return vec_blocks(c) * LANES; }
size_t batchnorm_sums_floats(size_t parts, int c) { return (ROWS + 2 * parts) * wide(c); }
static float *row_of(const layer *l, cpu_shared *shared, int row) { return shared->slot[SLOT_SUMS] + (size_t)row * wide(l->out_c); }
float *batchnorm_sums(const layer *l, cpu_shared *shared) { return row_of(l, shared, ROWS); }

/* A row of c numbers, zeros behind them. */
static float *fill_row(const layer *l, cpu_shared *shared, int row, const float *from)
{
    float *to = row_of(l, shared, row);
    memcpy(to, from, (size_t)l->out_c * sizeof *to);
    memset(to + l->out_c, 0, (wide(l->out_c) - (size_t)l->out_c) * sizeof *to);
    return to;
}

const float *batchnorm_shift(const layer *l, cpu_shared *shared) { return fill_row(l, shared, ROW_SHIFT, l->mean); }

/* ---- items ---- */

static size_t map_size(const layer *l) { return (size_t)l->out_h * (size_t)l->out_w; }
static size_t items(const layer *l) { return (size_t)l->batch * vec_blocks(l->out_c); }
static size_t item_floats(const layer *l) { return map_size(l) * LANES; }

static void for_items(const layer *l, void (*fn)(void *, size_t, size_t), bn_job *j)
{
    parallel_for_work(items(l), item_floats(l), fn, j);
}

typedef struct part_sums {
    double one[LANES], two[LANES];
} part_sums;

ACT_INLINE void add_run(part_sums *s, vec one, vec two)
{
    for (int i = 0; i < LANES; ++i) {
        s->one[i] += one[i];
        s->two[i] += two[i];
    }
}

static void store_part(const bn_job *j, size_t item, const part_sums *s)
{
    size_t blocks = vec_blocks(j->l->out_c), n = blocks * LANES;
    float *to = j->sums + item / blocks * 2 * n + item % blocks * LANES;
    for (int i = 0; i < LANES; ++i) {
        to[i] = (float)s->one[i];
        to[n + (size_t)i] = (float)s->two[i];
    }
}

/* ---- forward ---- */

static void measure_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *j = ctx;
    size_t blocks = vec_blocks(j->l->out_c), n = item_floats(j->l);
    for (size_t item = begin; item < end; ++item) {
        const float *x = j->x + item * n;
        vec shift = vec_load(j->shift + item % blocks * LANES);
        part_sums s = { 0 };
        for (size_t at = 0; at < n; at += RUN * LANES) {
            size_t stop = n - at < RUN * LANES ? n : at + RUN * LANES;
            vec one = vec_all(0), two = vec_all(0);
            for (size_t i = at; i < stop; i += LANES) {
                vec d = vec_load(x + i) - shift;
                one += d;
                two += d * d;
            }
            add_run(&s, one, two);
        }
        store_part(j, item, &s);
    }
}

void batchnorm_measure(const layer *l, const float *x, cpu_shared *shared)
{
    bn_job j = { .l = l, .x = x, .shift = batchnorm_shift(l, shared), .sums = batchnorm_sums(l, shared) };
    for_items(l, measure_items, &j);
}

static double total_of(const float *sums, size_t parts, size_t n, size_t c)
{
    double total = 0;
    for (size_t p = 0; p < parts; ++p) total += sums[p * 2 * n + c];
    return total;
}

/* Mean and variance of one channel in doubles, straight from the definition. */
static void measure_exactly(const layer *l, const float *x, size_t c, double *mean, double *variance)
{
    size_t blocks = vec_blocks(l->out_c), map = map_size(l);
    double n = (double)l->batch * (double)map, sum = 0, squares = 0;
    for (int pass = 0; pass < 2; ++pass)
        for (size_t b = 0; b < (size_t)l->batch; ++b) {
            const float *at = x + (b * blocks + c / LANES) * map * LANES + c % LANES;
            for (size_t i = 0; i < map; ++i, at += LANES) {
                if (pass) squares += (*at - sum / n) * (*at - sum / n);
                else sum += *at;
            }
        }
    *mean = sum / n;
    *variance = squares / n;
}

void batchnorm_finish(const layer *l, const float *x, size_t parts, float rate, cpu_shared *shared)
{
    const float *sums = batchnorm_sums(l, shared), *shift = row_of(l, shared, ROW_SHIFT);
    size_t n = wide(l->out_c);
    double count = (double)l->batch * (double)map_size(l);
    float *factor = row_of(l, shared, ROW_FACTOR);
    fill_row(l, shared, ROW_BIAS, l->biases);
    memset(factor, 0, n * sizeof *factor);
    for (size_t c = 0; c < (size_t)l->out_c; ++c) {
        double one = total_of(sums, parts, n, c) / count, two = total_of(sums + n, parts, n, c) / count;
        double mean = shift[c] + one, variance = two - one * one;
        if (!(variance > 1e-3 * two)) measure_exactly(l, x, c, &mean, &variance);
        batchnorm_keep_statistics(l, c, mean, variance, rate);
        factor[c] = (float)(l->scales[c] / (sqrt(l->variance[c]) + HOST_EPSILON));
    }
    fill_row(l, shared, ROW_SHIFT, l->mean);
}

ACT_INLINE void apply_item(const bn_job *j, size_t item, ACTIVATION a)
{
    size_t n = item_floats(j->l), at = item * n, c = item % vec_blocks(j->l->out_c) * LANES;
    const float *x = j->x + at;
    float *y = j->y + at;
    vec m = vec_load(j->mean + c), f = vec_load(j->factor + c), b = vec_load(j->bias + c);
    if (j->add)
        for (size_t i = 0; i < n; i += LANES)
            vec_store(y + i, vec_act((vec_load(x + i) - m) * f + b + vec_load(j->add + at + i), a));
    else
        for (size_t i = 0; i < n; i += LANES) vec_store(y + i, vec_act((vec_load(x + i) - m) * f + b, a));
}

ACT_INLINE void apply_loop(const bn_job *j, size_t begin, size_t end, ACTIVATION a)
{
    for (size_t item = begin; item < end; ++item) apply_item(j, item, a);
}

static void apply_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *j = ctx;
    ACT_SWITCH(j->activation, apply_loop, j, begin, end)
}

void batchnorm_apply(const layer *l, const float *x, const float *add, ACTIVATION a, float *y, cpu_shared *shared)
{
    bn_job j = { .l = l, .x = x, .add = add, .y = y, .activation = a, .mean = row_of(l, shared, ROW_SHIFT),
                 .factor = row_of(l, shared, ROW_FACTOR), .bias = row_of(l, shared, ROW_BIAS) };
    for_items(l, apply_items, &j);
}

ACT_INLINE void add_loop(const bn_job *j, size_t begin, size_t end, ACTIVATION a)
{
    size_t n = item_floats(j->l);
    for (size_t i = begin * n; i < end * n; i += LANES) {
        vec v = vec_load(j->y + i);
        if (j->add) v += vec_load(j->add + i);
        vec_store(j->y + i, vec_act(v, a));
    }
}

static void add_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *j = ctx;
    ACT_SWITCH(j->activation, add_loop, j, begin, end)
}

void blocked_add_activate(const layer *l, const float *add, ACTIVATION a, float *y)
{
    bn_job j = { .l = l, .add = add, .y = y, .activation = a };
    if (add || a != LINEAR) for_items(l, add_items, &j);
}

/* ---- backward ---- */

/* The delta before the activation of element i, not stored. */
ACT_INLINE vec delta_before(const bn_job *j, size_t i, vec centred, vec f, vec b, ACTIVATION a)
{
    const batchnorm_gradient *g = j->g;
    vec d = vec_load(g->d + i);
    if (a == LINEAR) return d;
    return d * vec_slope(g->y ? vec_load(g->y + i) : vec_act(centred * f + b, a), a);
}

/* First pass: sums of dz and of dz * (x - mean); where y is given, dz takes the place of d. */
ACT_INLINE void sum_item(const bn_job *j, size_t item, ACTIVATION a)
{
    const batchnorm_gradient *g = j->g;
    size_t n = item_floats(j->l), begin = item * n, c = item % vec_blocks(j->l->out_c) * LANES;
    vec m = vec_load(j->mean + c), f = vec_load(j->factor + c), b = vec_load(j->bias + c);
    part_sums s = { 0 };
    for (size_t at = 0; at < n; at += RUN * LANES) {
        size_t stop = n - at < RUN * LANES ? n : at + RUN * LANES;
        vec one = vec_all(0), two = vec_all(0);
        for (size_t i = begin + at; i < begin + stop; i += LANES) {
            vec x = g->x ? vec_load(g->x + i) - m : vec_all(0), d = delta_before(j, i, x, f, b, a);
            one += d;
            two += d * x;
            if (g->y) vec_store(g->d + i, d);
            if (g->also) vec_store(g->also + i, vec_load(g->also + i) + d);
        }
        add_run(&s, one, two);
    }
    store_part(j, item, &s);
}

ACT_INLINE void sum_loop(const bn_job *j, size_t begin, size_t end, ACTIVATION a)
{
    for (size_t item = begin; item < end; ++item) sum_item(j, item, a);
}

static void sum_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *j = ctx;
    ACT_SWITCH(j->activation, sum_loop, j, begin, end)
}

/* Second pass: dx = factor * (dz - centre - slope * (x - mean)). */
ACT_INLINE void centre_item(const bn_job *j, size_t item, ACTIVATION a)
{
    const batchnorm_gradient *g = j->g;
    size_t n = item_floats(j->l), begin = item * n, c = item % vec_blocks(j->l->out_c) * LANES;
    vec m = vec_load(j->mean + c), f = vec_load(j->factor + c), b = vec_load(j->bias + c);
    vec centre = vec_load(j->centre + c), slope = vec_load(j->slope + c);
    for (size_t i = begin; i < begin + n; i += LANES) {
        vec x = g->x ? vec_load(g->x + i) - m : vec_all(0);
        vec d = g->y ? vec_load(g->d + i) : delta_before(j, i, x, f, b, a);
        vec_store(g->dx + i, f * (d - centre - slope * x));
    }
}

ACT_INLINE void centre_loop(const bn_job *j, size_t begin, size_t end, ACTIVATION a)
{
    for (size_t item = begin; item < end; ++item) centre_item(j, item, a);
}

static void centre_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *j = ctx;
    ACT_SWITCH(j->activation, centre_loop, j, begin, end)
}

/* Factors of both passes' formulae before the sums are known. */
static void prepare(const layer *l, bn_job *j, cpu_shared *shared)
{
    const batchnorm_gradient *g = j->g;
    float *factor = row_of(l, shared, ROW_FACTOR);
    int normalised = l->batch_normalize;
    if (normalised) fill_row(l, shared, ROW_SHIFT, g->train ? l->mean : l->rolling_mean);
    else memset(row_of(l, shared, ROW_SHIFT), 0, wide(l->out_c) * sizeof(float));
    memset(factor, 0, wide(l->out_c) * sizeof *factor);
    for (int c = 0; c < l->out_c; ++c)
        factor[c] = !normalised ? 1 : g->train ? (float)(l->scales[c] / (sqrt(l->variance[c]) + HOST_EPSILON)) : batchnorm_factor(l, c);
    j->mean = row_of(l, shared, ROW_SHIFT);
    j->factor = factor;
    j->bias = fill_row(l, shared, ROW_BIAS, l->biases);
    j->sums = batchnorm_sums(l, shared);
}

/* Updates of scales and biases, and what the second pass subtracts. */
static void finish_sums(const layer *l, bn_job *j, cpu_shared *shared)
{
    const batchnorm_gradient *g = j->g;
    size_t n = wide(l->out_c), parts = (size_t)l->batch;
    double count = (double)l->batch * (double)map_size(l);
    float *centre = row_of(l, shared, ROW_CENTRE), *slope = row_of(l, shared, ROW_SLOPE);
    memset(centre, 0, n * sizeof *centre);
    memset(slope, 0, n * sizeof *slope);
    for (size_t c = 0; c < (size_t)l->out_c; ++c) {
        double sum = total_of(j->sums, parts, n, c), with_x = total_of(j->sums + n, parts, n, c);
        double s = l->batch_normalize ? sqrt(g->train ? l->variance[c] : l->rolling_variance[c]) : 1, r = 1 / (s + HOST_EPSILON);
        if (g->updates) l->bias_updates[c] += (float)sum;
        if (g->updates && l->batch_normalize) l->scale_updates[c] += (float)(with_x * r);
        if (!l->batch_normalize || !g->train) continue;
        centre[c] = (float)(sum / count);
        slope[c] = s > 0 ? (float)(with_x * r / count * r * (s + HOST_EPSILON) / s) : 0;
    }
    j->centre = centre;
    j->slope = slope;
}

void batchnorm_backward_blocked(const layer *l, const batchnorm_gradient *g, cpu_shared *shared)
{
    bn_job j = { .l = l, .g = g, .activation = g->activation };
    prepare(l, &j, shared);
    for_items(l, sum_items, &j);
    finish_sums(l, &j, shared);
    if (l->batch_normalize || g->dx != g->d) for_items(l, centre_items, &j);
}
