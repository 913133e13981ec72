/* [route] groups= and [reorg3d], which move numbers and compute none.
 *
 *   route      y = part l.index of l.groups of each input's channels, one behind the other;   dx_k's part += its dy
 *   reorg3d    y[o c + k][i][j] = x[k][i s + o / s][j s + o % s];                               dx += the same way back
 *
 * On blocked maps (vec.h) whole blocks are copied where part and place begin with one, single lanes elsewhere. */
#include "parallel.h"
#include "state.h"
#include "vec.h"

#include <string.h>

/* n channels of each image, from one map to another. */
typedef struct part_job {
    const void *from;                /* floats, plain, or map_values, blocked */
    void *to;
    size_t from_c, to_c;             /* channels of each map */
    size_t from_at, to_at, n, map;   /* the first channel in each, how many, pixels */
    int add;
} part_job;

/* ---- plain ---- */

static void move_parts(void *ctx, size_t begin, size_t end)
{
    const part_job *job = ctx;
    size_t floats = job->n * job->map;
    for (size_t b = begin; b < end; ++b) {
        const float *from = (const float *)job->from + (b * job->from_c + job->from_at) * job->map;
        float *to = (float *)job->to + (b * job->to_c + job->to_at) * job->map;
        if (!job->add) memcpy(to, from, floats * sizeof *to);
        for (size_t i = 0; job->add && i < floats; ++i) to[i] += from[i];
    }
}

/* Input k of the route as a job forward: its part of the channels, to where those before it end, which it moves on. */
static part_job part_of(const layer *l, const layer_call *call, int k, size_t *end)
{
    const layer *from = &call->net->layers[l->input_layers[k]];
    size_t c = (size_t)from->out_c, n = c / (size_t)l->groups;
    part_job job = { .from_c = c, .from_at = n * (size_t)l->index, .to_c = (size_t)l->out_c, .to_at = *end, .n = n,
                     .map = (size_t)from->out_h * (size_t)from->out_w };
    *end += n;
    return job;
}

/* The same job backward. */
static void turn(part_job *job)
{
    part_job was = *job;
    job->from_c = was.to_c;
    job->from_at = was.to_at;
    job->to_c = was.from_c;
    job->to_at = was.from_at;
}

void forward_cpu_part(const layer *l, cpu_state *state, const layer_call *call)
{
    size_t end = 0;
    (void)state;
    for (int k = 0; k < l->n; ++k) {
        part_job job = part_of(l, call, k, &end);
        job.from = call->net->layers[l->input_layers[k]].output;
        job.to = l->output;
        parallel_for_work((size_t)l->batch, job.n * job.map, move_parts, &job);
    }
}

/* Adds to each input's part. */
void backward_cpu_part(const layer *l, cpu_state *state, const layer_call *call)
{
    size_t end = 0;
    (void)state;
    for (int k = 0; k < l->n; ++k) {
        part_job job = part_of(l, call, k, &end);
        turn(&job);
        job.from = l->delta;
        job.to = call->net->layers[l->input_layers[k]].delta;
        job.add = 1;
        if (job.to) parallel_for_work((size_t)l->batch, job.n * job.map, move_parts, &job);
    }
}

/* ---- blocked ---- */

int accepts_blocked_part(const layer *l, const cpu_state *state)
{
    if (l->out_c < LANES / 2) return 0;
    for (int k = 0; k < l->n; ++k)
        if (!cpu_blocked_at(state->shared, l->input_layers[k])) return 0;
    return 1;
}

/* From channel k of image b on: where that is in a blocked map of c channels, and how far apart pixels are. */
typedef struct channels {
    size_t at, step;
} channels;

static channels channels_of(size_t b, size_t c, size_t k, size_t map)
{
    size_t blocks = vec_blocks((int)c);
    return (channels){ vec_block_at(b * blocks + k / LANES, blocks, map) + k % LANES, vec_step(blocks) };
}

/* `lanes` channels that lie within one block on either side, of so many pixels. */
static void move_lanes(const map_value *from, size_t from_step, map_value *to, size_t to_step, size_t lanes,
                       size_t pixels, int add)
{
    for (size_t i = 0; i < pixels; ++i, from += from_step, to += to_step) {
        if (lanes == LANES && !add) memcpy(to, from, LANES * sizeof *to);
        else if (lanes == LANES) map_store(to, map_load(to) + map_load(from));
        else if (!add) memcpy(to, from, lanes * sizeof *to);
        else for (size_t k = 0; k < lanes; ++k) to[k] = map_of(map_get(to[k]) + map_get(from[k]));
    }
}

/* Channels up to the next border of a block on either side, of those that are left. */
static size_t run_of(size_t from, size_t to, size_t left)
{
    size_t at = from % LANES > to % LANES ? from % LANES : to % LANES, run = LANES - at;
    return left < run ? left : run;
}

/* Moves the parts of images [begin, end). A last block that ends early is moved whole where it is the last on the
 * side that is written: nobody reads its other lanes. */
static void move_blocked(void *ctx, size_t begin, size_t end)
{
    const part_job *job = ctx;
    for (size_t b = begin; b < end; ++b)
        for (size_t k = 0, run; k < job->n; k += run) {
            size_t from_at = job->from_at + k, to_at = job->to_at + k;
            run = run_of(from_at, to_at, job->n - k);
            channels from = channels_of(b, job->from_c, from_at, job->map);
            channels to = channels_of(b, job->to_c, to_at, job->map);
            move_lanes((const map_value *)job->from + from.at, from.step, (map_value *)job->to + to.at, to.step, run,
                       job->map, job->add);
        }
}

void forward_blocked_part(const layer *l, cpu_state *state, const layer_call *call)
{
    size_t end = 0;
    map_value *y = cpu_output(l, state);
    for (int k = 0; k < l->n; ++k) {
        part_job job = part_of(l, call, k, &end);
        job.from = cpu_blocked_at(state->shared, l->input_layers[k])->out;
        job.to = y;
        parallel_for_work((size_t)l->batch, job.n * job.map, move_blocked, &job);
    }
}

/* An input whose delta begins here is 0 outside its part. */
void backward_blocked_part(const layer *l, cpu_state *state, const layer_call *call)
{
    size_t end = 0;
    map_value *d = cpu_take_delta(l, state);
    for (int k = 0; k < l->n; ++k) {
        int from = l->input_layers[k], add;
        part_job job = part_of(l, call, k, &end);
        turn(&job);
        job.from = d;
        job.to = cpu_delta_of(state, from, &add);
        job.add = 1;
        if (!job.to) continue;
        if (!add) memset(job.to, 0, cpu_blocked_bytes(&call->net->layers[from]));
        parallel_for_work((size_t)l->batch, job.n * job.map, move_blocked, &job);
    }
    cpu_give(state->shared, d);
}

/* ---- [reorg3d] ---- */

typedef struct reorg_job {
    const layer *l;
    const float *from;
    float *to;
    int back;
} reorg_job;

/* Maps [begin, end) of y, all images' counted through; back: their deltas to x. */
static void reorg_maps(void *ctx, size_t begin, size_t end)
{
    const reorg_job *job = ctx;
    const layer *l = job->l;
    size_t stride = (size_t)l->stride, c = (size_t)l->c, out_c = (size_t)l->out_c, w = (size_t)l->w;
    for (size_t m = begin; m < end; ++m) {
        size_t o = m % out_c / c, x_map = (m / out_c * c + m % c) * (size_t)l->h * w;
        size_t i = m * (size_t)l->out_h * (size_t)l->out_w;
        for (size_t row = 0; row < (size_t)l->out_h; ++row)
            for (size_t col = 0; col < (size_t)l->out_w; ++col, ++i) {
                size_t at = x_map + (row * stride + o / stride) * w + col * stride + o % stride;
                if (job->back) job->to[at] += job->from[i];
                else job->to[i] = job->from[at];
            }
    }
}

void forward_cpu_reorg3d(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    reorg_job job = { .l = l, .from = call->input, .to = l->output };
    parallel_for_work((size_t)l->batch * (size_t)l->out_c, (size_t)l->out_h * (size_t)l->out_w, reorg_maps, &job);
}

/* Each number of x is one of y's, so that maps of y can be shared out. */
void backward_cpu_reorg3d(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    reorg_job job = { .l = l, .from = l->delta, .to = call->delta, .back = 1 };
    if (job.to)
        parallel_for_work((size_t)l->batch * (size_t)l->out_c, (size_t)l->out_h * (size_t)l->out_w, reorg_maps, &job);
}
