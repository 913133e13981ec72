/* [route] and [upsample] on blocked maps (vec.h).
 *
 *   route      y = the inputs, one behind the other in channels;      dx_k += their part of dy
 *   upsample   y[i,j] = scale * x[i/stride,j/stride];                 dx += scale * sum of dy over the square
 *
 * A route of one layer is that layer's map itself. Of several, blocks of channels are copied whole, in pieces of what
 * stands together, so only the last input of a route may end within a block; other routes, and those of unlike maps,
 * stay plain and are the host's. */
#include "parallel.h"
#include "state.h"
#include "vec.h"

#include <string.h>

static size_t map_numbers(const layer *l) { return cpu_map(l) * LANES; }

/* Pieces of a map, and numbers of one of them of so many channels. */
static size_t pieces(const layer *l) { return (size_t)l->batch * vec_pieces(cpu_map(l)); }
static size_t piece_numbers(const layer *l, int c) { return vec_blocks(c) * map_numbers(l) / vec_pieces(cpu_map(l)); }

int accepts_blocked_route(const layer *l, const cpu_state *state)
{
    if (l->out_c < 1 || l->n < 1) return 0;
    for (int k = 0; k < l->n; ++k) {
        const layer *in = &state->shared->layers[l->input_layers[k]];
        if (!cpu_blocked_at(state->shared, l->input_layers[k]) || (k + 1 < l->n && in->out_c % LANES)) return 0;
    }
    return 1;
}

typedef struct part_job {
    const map_value *from;
    map_value *to;
    size_t from_stride, to_stride, numbers;  /* between pieces; copied of each */
    int add;
} part_job;

static void move_parts(void *ctx, size_t begin, size_t end)
{
    const part_job *job = ctx;
    for (size_t b = begin; b < end; ++b) {
        const map_value *from = job->from + b * job->from_stride;
        map_value *to = job->to + b * job->to_stride;
        if (!job->add) memcpy(to, from, job->numbers * sizeof *to);
        for (size_t i = 0; job->add && i < job->numbers; i += LANES)
            map_store(to + i, map_load(to + i) + map_load(from + i));
    }
}

/* Copies the inputs one behind the other, or borrows the only one's map. */
void forward_blocked_route(const layer *l, cpu_state *state, const layer_call *call)
{
    if (state->borrows) {
        state->out = cpu_blocked_at(state->shared, l->input_layers[0])->out;
        return;
    }
    map_value *y = cpu_output(l, state);
    size_t all = piece_numbers(l, l->out_c);
    for (int k = 0; k < l->n; ++k) {
        size_t part = piece_numbers(l, call->net->layers[l->input_layers[k]].out_c);
        part_job job = { .from = cpu_blocked_at(state->shared, l->input_layers[k])->out, .to = y, .from_stride = part,
                         .to_stride = all, .numbers = part };
        parallel_for_work(pieces(l), part, move_parts, &job);
        y += part;
    }
}

/* A single input may have the memory d itself if it has got no delta yet. */
static int hand_over(const layer *l, const cpu_state *state, map_value *d)
{
    cpu_state *in = cpu_blocked_at(state->shared, l->input_layers[0]);
    if (l->n > 1 || in->mode == CPU_FROZEN || in->d) return 0;
    in->d = d;
    return 1;
}

/* Gives each input its part of the delta. */
void backward_blocked_route(const layer *l, cpu_state *state, const layer_call *call)
{
    map_value *d = cpu_take_delta(l, state), *part_of_d = d;
    size_t all = piece_numbers(l, l->out_c);
    if (hand_over(l, state, d)) return;
    for (int k = 0; k < l->n; ++k) {
        size_t part = piece_numbers(l, call->net->layers[l->input_layers[k]].out_c);
        part_job job = { .from = part_of_d, .from_stride = all, .to_stride = part, .numbers = part };
        part_of_d += part;
        job.to = cpu_delta_of(state, l->input_layers[k], &job.add);
        if (job.to) parallel_for_work(pieces(l), part, move_parts, &job);
    }
    cpu_give(state->shared, d);
}

/* ---- upsample ---- */

typedef struct up_job {
    const layer *l;
    const map_value *x, *d;
    map_value *y, *dx;
    int add;
} up_job;

/* The plugin's own layers borrow this type (layers/feature_l2.c). */
int accepts_cpu_upsample(const layer *l) { return !l->self_layer && !l->reverse && l->stride > 0; }

/* Where pixel (row, col) of a block is. */
static size_t at(const layer *l, int row, int col, int width)
{
    return ((size_t)row * (size_t)width + (size_t)col) * vec_step(vec_blocks(l->out_c));
}

/* Where a block of the input and of the output begins. */
static size_t input_at(const layer *l, size_t item)
{
    return vec_block_at(item, vec_blocks(l->out_c), (size_t)l->h * (size_t)l->w);
}

static size_t output_at(const layer *l, size_t item) { return vec_block_at(item, vec_blocks(l->out_c), cpu_map(l)); }

/* Repeats each pixel over its square. */
static void upsample_items(void *ctx, size_t begin, size_t end)
{
    const up_job *job = ctx;
    const layer *l = job->l;
    for (size_t item = begin; item < end; ++item) {
        size_t x = input_at(l, item), y = output_at(l, item);
        for (int r = 0; r < l->out_h; ++r)
            for (int c = 0; c < l->out_w; ++c) {
                size_t from = x + at(l, r / l->stride, c / l->stride, l->w);
                map_store(job->y + y + at(l, r, c, l->out_w), l->scale * map_load(job->x + from));
            }
    }
}

/* Sums each square's delta into its pixel. */
static void gather_items(void *ctx, size_t begin, size_t end)
{
    const up_job *job = ctx;
    const layer *l = job->l;
    for (size_t item = begin; item < end; ++item) {
        size_t x = input_at(l, item), y = output_at(l, item);
        for (int r = 0; r < l->h; ++r)
            for (int c = 0; c < l->w; ++c) {
                vec sum = vec_all(0);
                for (int u = 0; u < l->stride; ++u)
                    for (int v = 0; v < l->stride; ++v)
                        sum += map_load(job->d + y + at(l, r * l->stride + u, c * l->stride + v, l->out_w));
                map_put(job->dx, x + at(l, r, c, l->w), l->scale * sum, job->add);
            }
    }
}

void forward_blocked_upsample(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    up_job job = { .l = l, .x = cpu_blocked_at(state->shared, state->index - 1)->out, .y = cpu_output(l, state) };
    parallel_for_work((size_t)l->batch * vec_blocks(l->out_c), map_numbers(l), upsample_items, &job);
}

void backward_blocked_upsample(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)call;
    map_value *d = cpu_take_delta(l, state);
    up_job job = { .l = l, .d = d };
    job.dx = cpu_delta_of(state, state->index - 1, &job.add);
    if (job.dx) parallel_for_work((size_t)l->batch * vec_blocks(l->out_c), map_numbers(l), gather_items, &job);
    cpu_give(state->shared, d);
}
