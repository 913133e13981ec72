/* [scale_channels] and [sam]: y = act(z s), z the map of layer l.index, s what stands before.
 *
 *   scale_channels    s is a number for each channel, or with scale_wh (l.spatial) one for each pixel
 *   sam               s is a map like z
 *   backward          d = dy * act'(y);   dz += d s;   ds += d z, summed over what shares a number of s
 *
 * On blocked maps (vec.h) z and y are blocked, s of [scale_channels] is the plain row or map of one channel that comes
 * out of a layer so small; s of [sam] is blocked, too. An item of work is a channel or a block of channels of an
 * image, so that sums never cross threads; but a pixel's number sums over channels: there an item is an image. */
#include "activate.h"
#include "layers/fork_layers.h"
#include "parallel.h"
#include "state.h"
#include "vec.h"

typedef struct product_job {
    const layer *l;
    const float *z, *s;
    float *out, *d, *dz, *ds;
} product_job;

/* ---- plain ---- */

/* The factor's number for pixel i of map m (an image's channel), as a place in s. */
static size_t factor_at(const layer *l, int kind, size_t m, size_t i)
{
    size_t n = cpu_map(l);
    if (kind == FORK_BY_CHANNEL) return m;
    return kind == FORK_BY_PIXEL ? m / (size_t)l->out_c * n + i : m * n + i;
}

/* Computes maps [begin, end) of y. */
static void multiply_maps(void *ctx, size_t begin, size_t end)
{
    const product_job *job = ctx;
    const layer *l = job->l;
    size_t n = cpu_map(l);
    int kind = fork_product_kind(l);
    for (size_t m = begin; m < end; ++m)
        for (size_t i = 0; i < n; ++i)
            job->out[m * n + i] = act_value(job->z[m * n + i] * job->s[factor_at(l, kind, m, i)], l->activation);
}

/* Turns dy of images [begin, end) into d in place and adds both shares. */
static void split_images(void *ctx, size_t begin, size_t end)
{
    const product_job *job = ctx;
    const layer *l = job->l;
    size_t n = cpu_map(l), c = (size_t)l->out_c;
    int kind = fork_product_kind(l);
    for (size_t m = begin * c; m < end * c; ++m) {
        double sum = 0;
        for (size_t k = 0; k < n; ++k) {
            size_t i = m * n + k, at = factor_at(l, kind, m, k);
            float d = job->d[i] *= act_slope(l->output[i], l->activation), z = job->z[i];
            if (job->dz) job->dz[i] += d * job->s[at];
            if (kind == FORK_BY_CHANNEL) sum += (double)d * (double)z;
            else if (job->ds) job->ds[at] += d * z;
        }
        if (kind == FORK_BY_CHANNEL && job->ds) job->ds[m] += (float)sum;
    }
}

void forward_cpu_product(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    product_job job = { .l = l, .z = call->net->layers[l->index].output, .s = call->input, .out = l->output };
    parallel_for_work((size_t)l->batch * (size_t)l->out_c, cpu_map(l), multiply_maps, &job);
}

void backward_cpu_product(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    const layer *from = &call->net->layers[l->index];
    product_job job = { .l = l, .z = from->output, .s = call->input, .d = l->delta, .dz = from->delta,
                        .ds = call->delta };
    parallel_for_work((size_t)l->batch, (size_t)l->outputs, split_images, &job);
}

/* ---- blocked ---- */

typedef struct blocked_product {
    const layer *l;
    const map_value *z, *y, *map_s;   /* map_s: s of [sam], else plain_s */
    const float *plain_s;
    map_value *out, *dz, *map_ds;
    const map_value *d;
    float *plain_ds;
    int add_z, add_s;                 /* dz and map_ds are added to, not written */
} blocked_product;

int accepts_blocked_product(const layer *l, const cpu_state *state)
{
    int blocked = cpu_blocked_at(state->shared, state->index - 1) != NULL;
    return cpu_blocked_at(state->shared, l->index) && blocked == (fork_product_kind(l) == FORK_BY_NUMBER);
}

/* The numbers of LANES channels from `first` on of an image, zeros behind the last channel. */
static vec row_of(const layer *l, const float *row, size_t first)
{
    vec v = vec_all(0);
    for (size_t k = 0; k < LANES && first + k < (size_t)l->out_c; ++k) v[k] = row[first + k];
    return v;
}

/* Where pixel i of a block is. */
static size_t pixel_at(const layer *l, size_t item, size_t i)
{
    size_t blocks = vec_blocks(l->out_c);
    return vec_block_at(item, blocks, cpu_map(l)) + i * vec_step(blocks);
}

/* Number i of a block's s. */
ACT_INLINE vec factor(const blocked_product *job, int kind, size_t item, size_t i, vec row)
{
    if (kind == FORK_BY_CHANNEL) return row;
    if (kind == FORK_BY_NUMBER) return map_load(job->map_s + pixel_at(job->l, item, i));
    return vec_all(job->plain_s[item / vec_blocks(job->l->out_c) * cpu_map(job->l) + i]);
}

/* Blocks [begin, end) of y. */
ACT_INLINE void multiply_loop(const blocked_product *job, size_t begin, size_t end, int kind, ACTIVATION act)
{
    const layer *l = job->l;
    size_t n = cpu_map(l), blocks = vec_blocks(l->out_c);
    vec row = vec_all(0);
    for (size_t item = begin; item < end; ++item) {
        if (kind == FORK_BY_CHANNEL)
            row = row_of(l, job->plain_s + item / blocks * (size_t)l->out_c, item % blocks * LANES);
        for (size_t i = 0; i < n; ++i) {
            size_t at = pixel_at(l, item, i);
            map_store(job->out + at, vec_act(map_load(job->z + at) * factor(job, kind, item, i, row), act));
        }
    }
}

static void multiply_items(void *ctx, size_t begin, size_t end)
{
    const blocked_product *job = ctx;
    ACTIVATION act = job->l->activation;
    switch (fork_product_kind(job->l)) {
    case FORK_BY_CHANNEL: ACT_SWITCH(act, multiply_loop, job, begin, end, FORK_BY_CHANNEL) break;
    case FORK_BY_PIXEL: ACT_SWITCH(act, multiply_loop, job, begin, end, FORK_BY_PIXEL) break;
    default: ACT_SWITCH(act, multiply_loop, job, begin, end, FORK_BY_NUMBER)
    }
}

enum { PIXELS = 64 };   /* summed in floats before doubles take over */

/* Adds what the pixels of a block sum to to the plain numbers of its channels. */
static void add_row(const layer *l, float *row, size_t first, const double *sum)
{
    for (size_t k = 0; row && k < LANES && first + k < (size_t)l->out_c; ++k) row[first + k] += (float)sum[k];
}

static void add_lanes(double *sum, vec part)
{
    for (int k = 0; k < LANES; ++k) sum[k] += (double)part[k];
}

/* The sum over the lanes that stand for channels. */
static float lanes_sum(const layer *l, vec v, size_t first)
{
    float sum = 0;
    for (size_t k = 0; k < LANES && first + k < (size_t)l->out_c; ++k) sum += v[k];
    return sum;
}

/* A block of channels: both shares, and the sums of FORK_BY_CHANNEL. */
ACT_INLINE void split_block(const blocked_product *job, size_t item, int kind, ACTIVATION act)
{
    const layer *l = job->l;
    size_t n = cpu_map(l), blocks = vec_blocks(l->out_c), first = item % blocks * LANES, image = item / blocks;
    vec part = vec_all(0);
    vec row = kind == FORK_BY_CHANNEL ? row_of(l, job->plain_s + image * (size_t)l->out_c, first) : part;
    double sum[LANES] = { 0 };
    for (size_t i = 0; i < n; ++i) {
        size_t at = pixel_at(l, item, i);
        vec z = map_load(job->z + at), d = map_load(job->d + at) * vec_slope(map_load(job->y + at), act);
        map_put(job->dz, at, d * factor(job, kind, item, i, row), job->add_z);
        if (kind == FORK_BY_NUMBER) map_put(job->map_ds, at, d * z, job->add_s);
        else if (kind == FORK_BY_CHANNEL) part += d * z;
        else if (job->plain_ds) job->plain_ds[image * n + i] += lanes_sum(l, d * z, first);
        if (kind != FORK_BY_CHANNEL || (i % PIXELS != PIXELS - 1 && i + 1 < n)) continue;
        add_lanes(sum, part);
        part = vec_all(0);
    }
    float *ds = job->plain_ds ? job->plain_ds + image * (size_t)l->out_c : NULL;
    if (kind == FORK_BY_CHANNEL) add_row(l, ds, first, sum);
}

ACT_INLINE void split_loop(const blocked_product *job, size_t begin, size_t end, int kind, ACTIVATION act)
{
    for (size_t item = begin; item < end; ++item) split_block(job, item, kind, act);
}

static void split_items(void *ctx, size_t begin, size_t end)
{
    const blocked_product *job = ctx;
    ACTIVATION act = job->l->activation;
    if (fork_product_kind(job->l) == FORK_BY_CHANNEL) ACT_SWITCH(act, split_loop, job, begin, end, FORK_BY_CHANNEL)
    else ACT_SWITCH(act, split_loop, job, begin, end, FORK_BY_NUMBER)
}

/* All blocks of images [begin, end): their channels share the numbers of pixels. */
static void split_pixels(void *ctx, size_t begin, size_t end)
{
    const blocked_product *job = ctx;
    size_t blocks = vec_blocks(job->l->out_c);
    ACT_SWITCH(job->l->activation, split_loop, job, begin * blocks, end * blocks, FORK_BY_PIXEL)
}

static const map_value *blocked_output(const cpu_state *state, int i)
{
    const cpu_state *from = cpu_blocked_at(state->shared, i);
    return from ? from->out : NULL;
}

void forward_blocked_product(const layer *l, cpu_state *state, const layer_call *call)
{
    const map_value *before = blocked_output(state, state->index - 1);
    blocked_product job = { .l = l, .z = blocked_output(state, l->index), .map_s = before, .plain_s = call->input,
                        .out = cpu_output(l, state) };
    parallel_for_work((size_t)l->batch * vec_blocks(l->out_c), cpu_map(l) * LANES, multiply_items, &job);
}

/* Both shares; s's is plain but for [sam]. */
void backward_blocked_product(const layer *l, cpu_state *state, const layer_call *call)
{
    const map_value *before = blocked_output(state, state->index - 1);
    map_value *d = cpu_take_delta(l, state);
    size_t blocks = vec_blocks(l->out_c), work = cpu_map(l) * LANES;
    blocked_product job = { .l = l, .z = blocked_output(state, l->index), .map_s = before, .plain_s = call->input,
                        .y = state->out, .d = d, .plain_ds = call->delta };
    job.dz = cpu_delta_of(state, l->index, &job.add_z);
    /* dz again where both are one layer */
    if (before) job.map_ds = cpu_delta_of(state, state->index - 1, &job.add_s);
    if (fork_product_kind(l) == FORK_BY_PIXEL) parallel_for_work((size_t)l->batch, blocks * work, split_pixels, &job);
    else parallel_for_work((size_t)l->batch * blocks, work, split_items, &job);
    cpu_give(state->shared, d);
}
