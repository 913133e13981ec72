/* [dropout]: y = x * mask, mask = 0 with probability p, else 1 / (1 - p);  dx += dy * mask.  Inference copies.
 *
 * The host lets this layer share its predecessor's output and delta, which changes what the predecessor's own backward
 * reads; here it has buffers of its own. Element i's draw is number i of the stream (seed, images seen, layer), so
 * masks depend on nothing else. l.rand holds the mask; of blocked maps (vec.h) a bit each says what is kept.
 * Srivastava et al., "Dropout", 2014. */
#include "parallel.h"
#include "state.h"
#include "vec.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* host_resize has grown the buffers that were ours; a hidden delta is there again. */
void resized_cpu_dropout(layer *l, cpu_state *state)
{
    state->output = l->output;
    state->delta = l->delta;
    l->rand = mem_realloc(l->rand, cpu_floats(l), sizeof *l->rand);
}

typedef struct dropout_job {
    const layer *l;
    const float *x;
    float *dx;
    rng r;
} dropout_job;

int make_cpu_dropout(layer *l, cpu_state *state, diag *d)
{
    (void)d;
    state->host_output = l->output;
    state->host_delta = l->delta;
    state->output = mem_calloc(cpu_floats(l), sizeof(float));
    state->delta = mem_calloc(cpu_floats(l), sizeof(float));
    l->output = state->output;
    l->delta = state->delta;
    return 0;
}

void free_cpu_dropout(layer *l, cpu_state *state)
{
    l->output = state->host_output;
    l->delta = state->host_delta;
    free(state->output);
    free(state->delta);
    free(state->plan);
}

static void draw_share(void *ctx, size_t begin, size_t end)
{
    const dropout_job *job = ctx;
    const layer *l = job->l;
    rng r = job->r;
    r.counter = begin;
    for (size_t i = begin; i < end; ++i) l->rand[i] = rng_uniform(&r, 0, 1) < l->probability ? 0 : l->scale;
}

static void drop_share(void *ctx, size_t begin, size_t end)
{
    const dropout_job *job = ctx;
    const layer *l = job->l;
    draw_share(ctx, begin, end);
    for (size_t i = begin; i < end; ++i) l->output[i] = l->rand[i] ? job->x[i] * l->rand[i] : 0;
}

static void copy_share(void *ctx, size_t begin, size_t end)
{
    const dropout_job *job = ctx;
    for (size_t i = begin; i < end; ++i) job->l->output[i] = job->x[i];
}

static void back_share(void *ctx, size_t begin, size_t end)
{
    const dropout_job *job = ctx;
    for (size_t i = begin; i < end; ++i) job->dx[i] += job->l->delta[i] * job->l->rand[i];
}

static void back_copy_share(void *ctx, size_t begin, size_t end)
{
    const dropout_job *job = ctx;
    for (size_t i = begin; i < end; ++i) job->dx[i] += job->l->delta[i];
}

static rng draws(const cpu_state *state, const layer_call *call)
{
    return rng_make(state->seed, (uint64_t)*call->net->seen, (uint64_t)state->index, RNG_DROPOUT);
}

void draw_cpu_dropout(const layer *l, const cpu_state *state, const layer_call *call)
{
    dropout_job job = { .l = l, .r = draws(state, call) };
    parallel_for_work(cpu_floats(l), 1, draw_share, &job);
}

void forward_cpu_dropout(const layer *l, cpu_state *state, const layer_call *call)
{
    dropout_job job = { .l = l, .x = call->input, .r = draws(state, call) };
    parallel_for_work(cpu_floats(l), 1, call->train ? drop_share : copy_share, &job);
}

void backward_cpu_dropout(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    dropout_job job = { .l = l, .dx = call->delta };
    if (job.dx) parallel_for_work(cpu_floats(l), 1, call->train ? back_share : back_copy_share, &job);
}

/* ---- blocked ---- */

/* An item is one block of channels of one image. */
typedef struct blocked_dropout {
    const layer *l;
    const map_value *x;
    map_value *y;
    uint16_t *kept;          /* a pixel's lanes, a bit each */
    rng r;
    int draw, copy, add;     /* draws `kept` first; passes x on; y is added to */
} blocked_dropout;

enum { DRAWN = 64 };         /* pixels at a time */

int accepts_blocked_dropout(const layer *l, const cpu_state *state)
{
    (void)l;
    return cpu_blocked_at(state->shared, state->index - 1) != NULL;
}

/* What rng_uniform(0, 1) < probability asks of 53 random bits, in whole numbers: both sides times 2^53. */
static uint64_t drop_limit(const layer *l) { return (uint64_t)ceil((double)l->probability * 0x1.0p53); }

/* The bits of n pixels of a block from element `first` of the plain map on; channels are `map` elements apart. */
static void draw_pixels(const blocked_dropout *job, size_t first, size_t n, size_t lanes, size_t map, uint16_t *kept)
{
    uint64_t limit = drop_limit(job->l);
    memset(kept, 0, n * sizeof *kept);
    for (size_t k = 0; k < lanes; ++k)
        for (size_t i = 0; i < n; ++i) {
            rng r = { job->r.key, first + k * map + i };
            kept[i] |= (uint16_t)((rng_u64(&r) >> 11 >= limit) << k);
        }
}

/* Draws item's mask. */
static void draw_item(const blocked_dropout *job, size_t item)
{
    const layer *l = job->l;
    size_t map = cpu_map(l), c = (size_t)l->out_c, blocks = vec_blocks(l->out_c), begin = item % blocks * LANES;
    size_t lanes = c - begin < LANES ? c - begin : LANES, first = (item / blocks * c + begin) * map;
    for (size_t i = 0; i < map; i += DRAWN)
        draw_pixels(job, first + i, map - i < DRAWN ? map - i : DRAWN, lanes, map, job->kept + item * map + i);
}

/* Each lane where its bit is set, else 0. */
ACT_INLINE vec keep_lanes(vec v, uint16_t bits)
{
    ivec bit;
    for (int k = 0; k < LANES; ++k) bit[k] = 1 << k;
    return vec_pick((bit & (int32_t)bits) != 0, v, vec_all(0));
}

/* y of items [begin, end), masks drawn first where they are to be. */
static void drop_items(void *ctx, size_t begin, size_t end)
{
    const blocked_dropout *job = ctx;
    size_t map = cpu_map(job->l), blocks = vec_blocks(job->l->out_c);
    for (size_t item = begin; item < end; ++item) {
        size_t at = vec_block_at(item, blocks, map);
        if (job->draw) draw_item(job, item);
        for (size_t i = item * map; i < (item + 1) * map; ++i, at += vec_step(blocks)) {
            vec v = map_load(job->x + at);
            if (!job->copy) v = keep_lanes(job->l->scale * v, job->kept[i]);
            map_put(job->y, at, v, job->add);
        }
    }
}

static void drop_blocked(blocked_dropout *job)
{
    const layer *l = job->l;
    parallel_for_work((size_t)l->batch * vec_blocks(l->out_c), cpu_map(l) * LANES, drop_items, job);
}

/* A frozen network's passes its input on; where it does not train it copies. */
void forward_blocked_dropout(const layer *l, cpu_state *state, const layer_call *call)
{
    const cpu_state *before = cpu_blocked_at(state->shared, state->index - 1);
    if (state->borrows) {
        state->out = before->out;
        return;
    }
    blocked_dropout job = { .l = l, .x = before->out, .y = cpu_output(l, state), .copy = !call->train };
    if (call->train) {
        job.draw = 1;
        job.r = draws(state, call);
        job.kept = state->plan = mem_realloc(state->plan, cpu_blocked_numbers(l) / LANES, sizeof *job.kept);
    }
    drop_blocked(&job);
}

/* The layer before gets the memory of the delta itself if it has none yet. */
void backward_blocked_dropout(const layer *l, cpu_state *state, const layer_call *call)
{
    cpu_state *before = cpu_blocked_at(state->shared, state->index - 1);
    map_value *d = cpu_take_delta(l, state);
    blocked_dropout job = { .l = l, .x = d, .y = before->d, .kept = state->plan, .copy = !call->train, .add = 1 };
    if (before->mode != CPU_FROZEN && !before->d) {
        job.add = 0;
        job.y = before->d = d;
    }
    if (job.y && (job.add || !job.copy)) drop_blocked(&job);
    if (before->d != d) cpu_give(state->shared, d);
}
