/* Batch norm where all channels of a pixel stand together (see batchnorm_blocked.h, formulae in batchnorm.c).
 *
 * An item of work is one block of channels of one image, so sums come as a part an image: floats over at most RUN
 * pixels, doubles above that. Forward reads x once if whoever made it summed it, else twice. Backward reads the delta
 * and x twice and writes once: the slope of the activation is found again from x, which is in registers anyway, unless
 * another map was added before the activation (a shortcut), where it needs y and leaves its delta behind for that
 * map. */
#include "batchnorm_blocked.h"

#include "batchnorm.h"
#include "parallel.h"
#include "vec.h"

#include "darknet_plugin/host/host_facts.h"

#include <string.h>

enum { RUN = 256 };

typedef struct bn_job {
    const layer *l;
    const map_value *x, *add;
    const float *shift;
    map_value *y;
    float *sums;
    const float *mean, *factor, *bias;     /* c up to whole LANES: z = (x - mean) * factor + bias */
    const float *centre, *slope;           /* backward: dx = factor * (dz - centre - slope * (x - mean)) */
    const batchnorm_gradient *gradient;
    ACTIVATION activation;
} bn_job;

/* ---- memory: shift, then four more rows of c numbers, then the parts ---- */

enum { ROW_SHIFT, ROW_FACTOR, ROW_BIAS, ROW_CENTRE, ROW_SLOPE, ROWS };

/* c up to whole LANES. */
static size_t wide(int c) { return vec_blocks(c) * LANES; }
size_t batchnorm_sums_floats(size_t parts, int c) { return (ROWS + 2 * parts) * wide(c); }
static float *row_of(const layer *l, cpu_shared *shared, int row)
{
    return shared->slot[SLOT_SUMS] + (size_t)row * wide(l->out_c);
}
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

/* What channel c was divided by: this batch's deviation if `train`, else the running one; 1 without batch norm. */
static double deviation(const layer *l, size_t c, int train)
{
    if (!l->batch_normalize) return 1;
    return sqrt(train ? l->variance[c] : l->rolling_variance[c]);
}

/* What x - mean of channel c is multiplied with. */
static float factor_of(const layer *l, size_t c, int train)
{
    if (!l->batch_normalize) return 1;
    if (!train) return batchnorm_factor(l, (int)c);
    return (float)(l->scales[c] / (sqrt(l->variance[c]) + HOST_EPSILON));
}

/* ---- items ---- */

static size_t items(const layer *l) { return (size_t)l->batch * vec_blocks(l->out_c); }
static size_t item_floats(const layer *l) { return cpu_map(l) * LANES; }

/* Where an item's pixels are: at, at + step ... below end. */
typedef struct item_span {
    size_t at, step, end;
} item_span;

static item_span span_of(const layer *l, size_t item)
{
    size_t blocks = vec_blocks(l->out_c), at = vec_block_at(item, blocks, cpu_map(l)), step = vec_step(blocks);
    return (item_span){ at, step, at + cpu_map(l) * step };
}

/* The end of the run of pixels that begins at `at`. */
static size_t run_end(const item_span *span, size_t at)
{
    return span->end - at < RUN * span->step ? span->end : at + RUN * span->step;
}

static void for_items(const layer *l, void (*fn)(void *, size_t, size_t), bn_job *job)
{
    parallel_for_work(items(l), item_floats(l), fn, job);
}

typedef struct part_sums {
    double one[LANES], two[LANES];
} part_sums;

ACT_INLINE void add_run(part_sums *sums, vec one, vec two)
{
    for (int i = 0; i < LANES; ++i) {
        sums->one[i] += one[i];
        sums->two[i] += two[i];
    }
}

static void store_part(const bn_job *job, size_t item, const part_sums *sums)
{
    size_t blocks = vec_blocks(job->l->out_c), n = blocks * LANES;
    float *to = job->sums + item / blocks * 2 * n + item % blocks * LANES;
    for (int i = 0; i < LANES; ++i) {
        to[i] = (float)sums->one[i];
        to[n + (size_t)i] = (float)sums->two[i];
    }
}

/* ---- forward ---- */

/* Sums x - shift and its square over items [begin, end), a part an image. */
static void measure_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    size_t blocks = vec_blocks(job->l->out_c);
    for (size_t item = begin; item < end; ++item) {
        item_span span = span_of(job->l, item);
        vec shift = vec_load(job->shift + item % blocks * LANES);
        part_sums s = { 0 };
        for (size_t at = span.at, stop; at < span.end; at = stop) {
            stop = run_end(&span, at);
            vec one = vec_all(0), two = vec_all(0);
            for (size_t i = at; i < stop; i += span.step) {
                vec d = map_load(job->x + i) - shift;
                one += d;
                two += d * d;
            }
            add_run(&s, one, two);
        }
        store_part(job, item, &s);
    }
}

void batchnorm_measure(const layer *l, const map_value *x, cpu_shared *shared)
{
    bn_job job = { .l = l, .x = x, .shift = batchnorm_shift(l, shared), .sums = batchnorm_sums(l, shared) };
    for_items(l, measure_items, &job);
}

/* Sums channel c of all parts, n to a part's half. */
static double total_of(const float *sums, size_t parts, size_t n, size_t c)
{
    double total = 0;
    for (size_t p = 0; p < parts; ++p) total += sums[p * 2 * n + c];
    return total;
}

/* Mean and variance of channel c of x in doubles, straight from the definition. */
static void measure_exactly(const layer *l, const map_value *x, size_t c, double *mean, double *variance)
{
    size_t blocks = vec_blocks(l->out_c), map = cpu_map(l);
    double n = (double)l->batch * (double)map, sum = 0, squares = 0;
    for (int pass = 0; pass < 2; ++pass)
        for (size_t b = 0; b < (size_t)l->batch; ++b) {
            const map_value *at = x + vec_block_at(b * blocks + c / LANES, blocks, map) + c % LANES;
            for (size_t i = 0; i < map; ++i, at += vec_step(blocks)) {
                double value = (double)map_get(*at);
                if (pass) squares += (value - sum / n) * (value - sum / n);
                else sum += value;
            }
        }
    *mean = sum / n;
    *variance = squares / n;
}

void batchnorm_finish(const layer *l, const map_value *x, size_t parts, float rate, cpu_shared *shared)
{
    const float *sums = batchnorm_sums(l, shared), *shift = row_of(l, shared, ROW_SHIFT);
    size_t n = wide(l->out_c);
    double count = (double)l->batch * (double)cpu_map(l);
    float *factor = row_of(l, shared, ROW_FACTOR);
    fill_row(l, shared, ROW_BIAS, l->biases);
    memset(factor, 0, n * sizeof *factor);
    for (size_t c = 0; c < (size_t)l->out_c; ++c) {
        double one = total_of(sums, parts, n, c) / count, two = total_of(sums + n, parts, n, c) / count;
        double mean = shift[c] + one, variance = two - one * one;
        if (!(variance > 1e-3 * two)) measure_exactly(l, x, c, &mean, &variance);
        batchnorm_keep_statistics(l, c, mean, variance, rate);
        factor[c] = factor_of(l, c, 1);
    }
    fill_row(l, shared, ROW_SHIFT, l->mean);
}

void batchnorm_take_running(const layer *l, cpu_shared *shared)
{
    float *factor = row_of(l, shared, ROW_FACTOR);
    for (size_t c = 0; c < (size_t)l->out_c; ++c) factor[c] = factor_of(l, c, 0);
    fill_row(l, shared, ROW_SHIFT, l->rolling_mean);
}

/* Normalises one item, adds the other map, activates. */
ACT_INLINE void apply_item(const bn_job *job, size_t item, ACTIVATION act)
{
    item_span span = span_of(job->l, item);
    size_t c = item % vec_blocks(job->l->out_c) * LANES;
    const map_value *x = job->x;
    vec m = vec_load(job->mean + c), f = vec_load(job->factor + c), b = vec_load(job->bias + c);
    if (job->add)
        for (size_t i = span.at; i < span.end; i += span.step)
            map_store(job->y + i, vec_act((map_load(x + i) - m) * f + b + map_load(job->add + i), act));
    else
        for (size_t i = span.at; i < span.end; i += span.step)
            map_store(job->y + i, vec_act((map_load(x + i) - m) * f + b, act));
}

ACT_INLINE void apply_loop(const bn_job *job, size_t begin, size_t end, ACTIVATION act)
{
    for (size_t item = begin; item < end; ++item) apply_item(job, item, act);
}

static void apply_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    ACT_SWITCH(job->activation, apply_loop, job, begin, end)
}

void batchnorm_apply(const layer *l, const map_value *x, const map_value *add, ACTIVATION act, map_value *y,
                     cpu_shared *shared)
{
    bn_job job = { .l = l, .x = x, .add = add, .y = y, .activation = act, .mean = row_of(l, shared, ROW_SHIFT),
                 .factor = row_of(l, shared, ROW_FACTOR), .bias = row_of(l, shared, ROW_BIAS) };
    for_items(l, apply_items, &job);
}

ACT_INLINE void add_loop(const bn_job *job, size_t begin, size_t end, ACTIVATION act)
{
    size_t n = item_floats(job->l);
    for (size_t i = begin * n; i < end * n; i += LANES) {
        vec v = map_load(job->x + i);
        if (job->add) v += map_load(job->add + i);
        map_store(job->y + i, vec_act(v, act));
    }
}

static void add_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    ACT_SWITCH(job->activation, add_loop, job, begin, end)
}

void blocked_add_activate(const layer *l, const map_value *add, ACTIVATION act, map_value *y)
{
    bn_job job = { .l = l, .x = y, .add = add, .y = y, .activation = act };
    if (add || act != LINEAR) for_items(l, add_items, &job);
}

void blocked_activate(const layer *l, const map_value *x, ACTIVATION act, map_value *y)
{
    bn_job job = { .l = l, .x = x, .y = y, .activation = act };
    for_items(l, add_items, &job);
}

/* ---- backward ---- */

/* The delta before the activation of element i, not stored. */
ACT_INLINE vec delta_before(const bn_job *job, size_t i, vec centred, vec factor, vec bias, ACTIVATION act)
{
    const batchnorm_gradient *gradient = job->gradient;
    vec d = map_load(gradient->d + i);
    if (act == LINEAR) return d;
    if (gradient->y) return d * vec_slope(map_load(gradient->y + i), act);
    vec v = centred * factor + bias;
    if (gradient->add) v += map_load(gradient->add + i);
    return d * vec_slope(act_needs_input(act) ? v : vec_act(v, act), act);
}

/* Does the first pass leave dz in d's place, so that the second finds it there? */
ACT_INLINE int leaves_delta(const batchnorm_gradient *gradient) { return gradient->y || gradient->add; }

/* First pass: sums of dz and of dz * (x - mean); where y is given, dz takes the place of d. */
ACT_INLINE void sum_item(const bn_job *job, size_t item, ACTIVATION act)
{
    const batchnorm_gradient *gradient = job->gradient;
    item_span span = span_of(job->l, item);
    size_t c = item % vec_blocks(job->l->out_c) * LANES;
    vec m = vec_load(job->mean + c), factor = vec_load(job->factor + c), b = vec_load(job->bias + c);
    part_sums s = { 0 };
    for (size_t at = span.at, stop; at < span.end; at = stop) {
        stop = run_end(&span, at);
        vec one = vec_all(0), two = vec_all(0);
        for (size_t i = at; i < stop; i += span.step) {
            vec x = gradient->x ? map_load(gradient->x + i) - m : vec_all(0),
                d = delta_before(job, i, x, factor, b, act);
            one += d;
            two += d * x;
            if (leaves_delta(gradient)) map_store(gradient->d + i, d);
            if (gradient->also) map_store(gradient->also + i, map_load(gradient->also + i) + d);
        }
        add_run(&s, one, two);
    }
    store_part(job, item, &s);
}

ACT_INLINE void sum_loop(const bn_job *job, size_t begin, size_t end, ACTIVATION act)
{
    for (size_t item = begin; item < end; ++item) sum_item(job, item, act);
}

static void sum_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    ACT_SWITCH(job->activation, sum_loop, job, begin, end)
}

/* Second pass: dx = factor * (dz - centre - slope * (x - mean)). */
ACT_INLINE void centre_item(const bn_job *job, size_t item, ACTIVATION act)
{
    const batchnorm_gradient *gradient = job->gradient;
    item_span span = span_of(job->l, item);
    size_t c = item % vec_blocks(job->l->out_c) * LANES;
    vec m = vec_load(job->mean + c), factor = vec_load(job->factor + c), b = vec_load(job->bias + c);
    vec centre = vec_load(job->centre + c), slope = vec_load(job->slope + c);
    for (size_t i = span.at; i < span.end; i += span.step) {
        vec x = gradient->x ? map_load(gradient->x + i) - m : vec_all(0);
        vec d = leaves_delta(gradient) ? map_load(gradient->d + i) : delta_before(job, i, x, factor, b, act);
        map_store(gradient->dx + i, factor * (d - centre - slope * x));
    }
}

ACT_INLINE void centre_loop(const bn_job *job, size_t begin, size_t end, ACTIVATION act)
{
    for (size_t item = begin; item < end; ++item) centre_item(job, item, act);
}

static void centre_items(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    ACT_SWITCH(job->activation, centre_loop, job, begin, end)
}

/* Factors of both passes' formulae before the sums are known. */
static void prepare(const layer *l, bn_job *job, cpu_shared *shared)
{
    const batchnorm_gradient *gradient = job->gradient;
    float *factor = row_of(l, shared, ROW_FACTOR);
    if (l->batch_normalize) fill_row(l, shared, ROW_SHIFT, gradient->train ? l->mean : l->rolling_mean);
    else memset(row_of(l, shared, ROW_SHIFT), 0, wide(l->out_c) * sizeof(float));
    memset(factor, 0, wide(l->out_c) * sizeof *factor);
    for (int c = 0; c < l->out_c; ++c)
        factor[c] = factor_of(l, (size_t)c, gradient->train);
    job->mean = row_of(l, shared, ROW_SHIFT);
    job->factor = factor;
    job->bias = fill_row(l, shared, ROW_BIAS, l->biases);
    job->sums = batchnorm_sums(l, shared);
}

/* What the second pass subtracts for the loss of statistics, which is multiplied by factor there. */
static void pull_rows(const layer *l, const bn_job *job, float *centre, float *slope)
{
    batchnorm_distance far = batchnorm_far(l);
    for (size_t c = 0; c < (size_t)l->out_c; ++c) {
        batchnorm_line line = batchnorm_pull_of(l, c, far, job->gradient->pull);
        if (job->factor[c] == 0) continue;
        centre[c] = (float)(-line.level / job->factor[c]);
        slope[c] = (float)(-line.slope / job->factor[c]);
    }
}

/* Updates of scales and biases, and what the second pass subtracts. */
static void finish_sums(const layer *l, bn_job *job, cpu_shared *shared)
{
    const batchnorm_gradient *gradient = job->gradient;
    size_t n = wide(l->out_c), parts = (size_t)l->batch;
    double count = (double)l->batch * (double)cpu_map(l);
    float *centre = row_of(l, shared, ROW_CENTRE), *slope = row_of(l, shared, ROW_SLOPE);
    memset(centre, 0, n * sizeof *centre);
    memset(slope, 0, n * sizeof *slope);
    for (size_t c = 0; c < (size_t)l->out_c; ++c) {
        double sum = total_of(job->sums, parts, n, c), with_x = total_of(job->sums + n, parts, n, c);
        double s = deviation(l, c, gradient->train), r = 1 / (s + HOST_EPSILON);
        if (gradient->updates) l->bias_updates[c] += (float)sum;
        if (gradient->updates && l->batch_normalize) l->scale_updates[c] += (float)(with_x * r);
        if (!l->batch_normalize || !gradient->train) continue;
        centre[c] = (float)(sum / count);
        slope[c] = s > 0 ? (float)(with_x * r / count * r * (s + HOST_EPSILON) / s) : 0;
    }
    if (gradient->pull != 0) pull_rows(l, job, centre, slope);
    job->centre = centre;
    job->slope = slope;
}

void batchnorm_backward_blocked(const layer *l, const batchnorm_gradient *gradient, cpu_shared *shared)
{
    bn_job job = { .l = l, .gradient = gradient, .activation = gradient->activation };
    prepare(l, &job, shared);
    for_items(l, sum_items, &job);
    finish_sums(l, &job, shared);
    if (l->batch_normalize || gradient->dx != gradient->d) for_items(l, centre_items, &job);
}
