/* [shortcut], [activation], [maxpool] and [avgpool] on blocked maps (vec.h); the formulae are those of shortcut.c,
 * simple.c and maxpool.c. An item of work is one block of channels of one image, and no two items meet.
 *
 * Left to the plain code: shortcuts of unlike shapes. */
#include "parallel.h"
#include "state.h"
#include "vec.h"

#include "darknet_plugin/base/mem.h"
#include "layers/fork_layers.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct map_job {
    const layer *l;
    const map_value *x, *z, *y, *d;
    map_value *out, *dx, *dz;
    float *row_out;           /* avgpool's plain rows: averages, and their deltas */
    const float *row_d;
    int add_x, add_z;         /* dx and dz are added to, not written */
    int32_t *index;           /* maxpool: where each largest value came from, as a pixel of its map, -1 nowhere */
} map_job;

int accepts_blocked_map(const layer *l, const cpu_state *state)
{
    (void)l;
    return cpu_blocked_at(state->shared, state->index - 1) != NULL;
}

int accepts_blocked_shortcut(const layer *l, const cpu_state *state)
{
    return is_same_shape_shortcut(l) && cpu_blocked_at(state->shared, state->index - 1)
        && cpu_blocked_at(state->shared, l->index);
}

static size_t item_floats(const layer *l) { return cpu_map(l) * LANES; }
static size_t items(const layer *l) { return (size_t)l->batch * vec_blocks(l->out_c); }
static size_t input_map(const layer *l) { return (size_t)l->h * (size_t)l->w; }

/* ---- shortcut and activation ---- */

/* What the activation is given at i. */
ACT_INLINE vec sum_at(const map_job *job, size_t i)
{
    vec v = map_load(job->x + i);
    if (job->z) v = job->l->alpha * v + job->l->beta * map_load(job->z + i);
    return v;
}

ACT_INLINE void sum_loop(const map_job *job, size_t begin, size_t end, ACTIVATION act)
{
    for (size_t i = begin; i < end; i += LANES) map_store(job->out + i, vec_act(sum_at(job, i), act));
}

static void sum_items(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    size_t n = item_floats(job->l);
    ACT_SWITCH(job->l->activation, sum_loop, job, begin * n, end * n)
}

ACT_INLINE void split_loop(const map_job *job, size_t begin, size_t end, ACTIVATION act)
{
    float alpha = job->z ? job->l->alpha : 1, beta = job->l->beta;
    for (size_t i = begin; i < end; i += LANES) {
        vec v = act_needs_input(act) ? sum_at(job, i) : map_load(job->y + i);
        vec d = map_load(job->d + i) * vec_slope(v, act);
        map_put(job->dx, i, alpha * d, job->add_x);
        map_put(job->dz, i, beta * d, job->add_z);
    }
}

static void split_items(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    size_t n = item_floats(job->l);
    ACT_SWITCH(job->l->activation, split_loop, job, begin * n, end * n)
}

void forward_blocked_activation(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    map_job job = { .l = l, .x = cpu_blocked_at(state->shared, state->index - 1)->out, .out = cpu_output(l, state) };
    parallel_for_work(items(l), item_floats(l), sum_items, &job);
}

void backward_blocked_activation(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    map_value *d = cpu_take_delta(l, state);
    map_job job = { .l = l, .x = cpu_blocked_at(state->shared, state->index - 1)->out, .y = state->out, .d = d };
    job.dx = cpu_delta_of(state, state->index - 1, &job.add_x);
    if (job.dx) parallel_for_work(items(l), item_floats(l), split_items, &job);
    cpu_give(state->shared, d);
}

void forward_blocked_shortcut(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    if (state->summed) return;
    map_job job = { .l = l, .x = cpu_blocked_at(state->shared, state->index - 1)->out,
                    .z = cpu_blocked_at(state->shared, l->index)->out, .out = cpu_output(l, state) };
    parallel_for_work(items(l), item_floats(l), sum_items, &job);
}

/* The delta, times the slope where there is one, goes to both operands. */
void backward_blocked_shortcut(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    if (state->summed) return;
    map_value *d = cpu_take_delta(l, state);
    map_job job = { .l = l, .y = state->out, .d = d, .x = cpu_blocked_at(state->shared, state->index - 1)->out,
                    .z = cpu_blocked_at(state->shared, l->index)->out };
    job.dx = cpu_delta_of(state, state->index - 1, &job.add_x);
    job.dz = cpu_delta_of(state, l->index, &job.add_z);   /* dx again, added to, where both operands are one layer */
    if (job.dx || job.dz) parallel_for_work(items(l), item_floats(l), split_items, &job);
    cpu_give(state->shared, d);
}

/* ---- maxpool ---- */

/* Largest values of x in the window at (top, left) and where they are; as maxpool.c has it, the first of equals and any
 * NaN. */
ACT_INLINE void window(const layer *l, const map_value *x, int top, int left, vec *best, ivec *at)
{
    size_t step = vec_step(vec_blocks(l->out_c));
    *best = vec_all(-FLT_MAX);
    *at = (ivec){ 0 } - 1;
    for (int r = cpu_clip(top, l->h); r < cpu_clip(top + l->size, l->h); ++r)
        for (int c = cpu_clip(left, l->w); c < cpu_clip(left + l->size, l->w); ++c) {
            vec v = map_load(x + ((size_t)r * (size_t)l->w + (size_t)c) * step);
            ivec better = (v > *best) | (v != v) | (*at < 0);
            *best = vec_pick(better, v, *best);
            *at = (better & (r * l->w + c)) | (~better & *at);
        }
}

/* Takes the largest of each window of items [begin, end), and where it was. */
static void pool_items(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    const layer *l = job->l;
    size_t blocks = vec_blocks(l->out_c), n = cpu_map(l);
    for (size_t item = begin; item < end; ++item) {
        const map_value *x = job->x + vec_block_at(item, blocks, input_map(l));
        size_t y = vec_block_at(item, blocks, n);
        for (size_t i = 0; i < n; ++i, y += vec_step(blocks)) {
            int row = (int)i / l->out_w * fork_stride_y(l) - l->pad / 2,
                col = (int)i % l->out_w * fork_stride_x(l) - l->pad / 2;
            vec best;
            ivec at;
            window(l, x, row, col, &best, &at);
            map_store(job->out + y, best);
            if (job->index) memcpy(job->index + y, &at, sizeof at);
        }
    }
}

static void add_to(map_value *to, map_value d) { *to = map_of(map_get(*to) + map_get(d)); }

/* Adds each delta to where the largest value came from. */
static void unpool_items(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    const layer *l = job->l;
    size_t blocks = vec_blocks(l->out_c), step = vec_step(blocks), n = cpu_map(l);
    for (size_t item = begin; item < end; ++item) {
        map_value *dx = job->dx + vec_block_at(item, blocks, input_map(l));
        for (size_t i = 0; !job->add_x && i < input_map(l); ++i) map_store(dx + i * step, vec_all(0));
        size_t y = vec_block_at(item, blocks, n);
        for (size_t i = 0; i < n; ++i, y += step)
            for (size_t k = 0; k < LANES; ++k)
                if (job->index[y + k] >= 0) add_to(&dx[(size_t)job->index[y + k] * step + k], job->d[y + k]);
    }
}

void forward_blocked_maxpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    map_job job = { .l = l, .x = cpu_blocked_at(state->shared, state->index - 1)->out, .out = cpu_output(l, state) };
    if (state->mode != CPU_FROZEN) {
        state->plan = mem_realloc(state->plan, cpu_blocked_numbers(l), sizeof(int32_t));
        job.index = state->plan;
    }
    parallel_for_work(items(l), item_floats(l) * (size_t)(l->size * l->size), pool_items, &job);
}

void backward_blocked_maxpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    map_value *d = cpu_take_delta(l, state);
    map_job job = { .l = l, .d = d, .index = state->plan };
    job.dx = cpu_delta_of(state, state->index - 1, &job.add_x);
    if (job.dx && job.index) parallel_for_work(items(l), item_floats(l), unpool_items, &job);
    cpu_give(state->shared, d);
}

void free_blocked_maxpool(layer *l, cpu_state *state)
{
    (void)l;
    free(state->plan);
}

/* ---- avgpool: a blocked map in, a plain row of c numbers out ---- */

/* Averages the maps of items [begin, end) into plain numbers. */
static void average_items(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    const layer *l = job->l;
    size_t blocks = vec_blocks(l->c), n = input_map(l);
    for (size_t item = begin; item < end; ++item) {
        size_t first = item % blocks * LANES;
        const map_value *x = job->x + vec_block_at(item, blocks, n);
        double sum[LANES] = { 0 };
        for (size_t i = 0; i < n * LANES; ++i) sum[i % LANES] += map_get(x[i / LANES * vec_step(blocks) + i % LANES]);
        for (size_t k = 0; k < LANES && first + k < (size_t)l->c; ++k)
            job->row_out[item / blocks * (size_t)l->c + first + k] = (float)(sum[k] / (double)n);
    }
}

/* Spreads the plain deltas of averages over their maps. */
static void spread_items(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    const layer *l = job->l;
    size_t blocks = vec_blocks(l->c), n = input_map(l);
    for (size_t item = begin; item < end; ++item) {
        size_t first = item % blocks * LANES, dx = vec_block_at(item, blocks, n);
        vec d = vec_all(0);
        for (size_t k = 0; k < LANES && first + k < (size_t)l->c; ++k)
            d[k] = job->row_d[item / blocks * (size_t)l->c + first + k] / (float)n;
        for (size_t i = 0; i < n; ++i) map_put(job->dx, dx + i * vec_step(blocks), d, job->add_x);
    }
}

void forward_blocked_avgpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    map_job job = { .l = l, .x = cpu_blocked_at(state->shared, state->index - 1)->out, .row_out = l->output };
    parallel_for_work((size_t)l->batch * vec_blocks(l->c), input_map(l) * LANES, average_items, &job);
}

void backward_blocked_avgpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    map_job job = { .l = l, .row_d = l->delta };
    job.dx = cpu_delta_of(state, state->index - 1, &job.add_x);
    if (job.dx)
        parallel_for_work((size_t)l->batch * vec_blocks(l->c), input_map(l) * LANES, spread_items, &job);
}
