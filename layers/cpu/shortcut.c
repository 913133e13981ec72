/* [shortcut]: y = act(alpha * x + beta * z), z the output of layer l.index.
 *
 * Where z has another shape, only the grid both share is added: the smaller number of channels; of the larger map every
 * `stride`-th row and column. The rest of y is act(x), without alpha. Backward is the exact derivative of that:
 *
 *   d = dy * act';   dx += alpha * d on the grid, d elsewhere;   dz += beta * d on the grid
 *
 * (the host multiplies by alpha elsewhere too; with alpha=1, as in every cfg we know, it is the same). */
#include "activate.h"
#include "parallel.h"
#include "state.h"

typedef struct shortcut_job {
    const layer *l;
    const float *x, *z;
    float *dx, *dz;
} shortcut_job;

/* The host asserts that both sides have the same ratio; we leave such a layer to its message. */
int accepts_cpu_shortcut(const layer *l)
{
    return l->w > 0 && l->h > 0 && l->out_w > 0 && l->out_h > 0 && l->w / l->out_w == l->h / l->out_h
        && l->out_w / l->w == l->out_h / l->h;
}

int is_same_shape_shortcut(const layer *l) { return l->w == l->out_w && l->h == l->out_h && l->c == l->out_c; }
static int smaller(int one, int other) { return one < other ? one : other; }

/* ---- equal shapes: one flat pass ---- */

ACT_INLINE void add_maps(const shortcut_job *job, size_t begin, size_t end, ACTIVATION act)
{
    float *restrict y = job->l->output;
    const float *x = job->x, *z = job->z;
    float alpha = job->l->alpha, beta = job->l->beta;
    ACT_SIMD
    for (size_t i = begin; i < end; ++i) y[i] = act_value(alpha * x[i] + beta * z[i], act);
}

static void add_share(void *ctx, size_t begin, size_t end)
{
    const shortcut_job *job = ctx;
    ACT_SWITCH(job->l->activation, add_maps, job, begin, end)
}

/* Turns dy into d in place, then adds each operand's share. Where y does not tell the slope, the sum is made again. */
ACT_INLINE void split_delta(const shortcut_job *job, size_t begin, size_t end, ACTIVATION act)
{
    float *d = job->l->delta, *dx = job->dx, *dz = job->dz;
    const float *x = job->x, *y = job->l->output, *z = job->z;
    float alpha = job->l->alpha, beta = job->l->beta;
    if (act_needs_input(act)) {
        ACT_SIMD
        for (size_t i = begin; i < end; ++i) d[i] *= act_slope(alpha * x[i] + beta * z[i], act);
    } else {
        ACT_SIMD
        for (size_t i = begin; i < end; ++i) d[i] *= act_slope(y[i], act);
    }
    if (dx) {
#pragma omp simd
        for (size_t i = begin; i < end; ++i) dx[i] += alpha * d[i];
    }
    if (dz) {
#pragma omp simd
        for (size_t i = begin; i < end; ++i) dz[i] += beta * d[i];
    }
}

static void split_share(void *ctx, size_t begin, size_t end)
{
    const shortcut_job *job = ctx;
    ACT_SWITCH(job->l->activation, split_delta, job, begin, end)
}

/* ---- any shapes: one map of y at a time ---- */

/* Number in z's map of the element that y's (row, col) of channel k meets, or -1. */
static long partner(const layer *l, int k, int row, int col)
{
    int stride = l->w / l->out_w, sample = l->out_w / l->w;
    if (stride < 1) stride = 1;
    if (sample < 1) sample = 1;
    if (k >= smaller(l->c, l->out_c) || row % sample || col % sample) return -1;
    row /= sample;
    col /= sample;
    if (row >= smaller(l->h, l->out_h) || col >= smaller(l->w, l->out_w)) return -1;
    return (long)col * stride + (long)l->w * ((long)row * stride);
}

/* Where map k of image b of z begins. */
static size_t map_of_z(const layer *l, size_t b, size_t k)
{
    return (b * (size_t)l->c + k) * (size_t)l->h * (size_t)l->w;
}

/* What the activation is given at element i of y; `at` is where z's partner is, -1: it has none. */
static float sum_at(const shortcut_job *job, size_t i, size_t map, long at)
{
    return at < 0 ? job->x[i] : job->l->alpha * job->x[i] + job->l->beta * job->z[map + (size_t)at];
}

/* Computes maps [begin, end) of y. */
static void forward_maps(void *ctx, size_t begin, size_t end)
{
    const shortcut_job *job = ctx;
    const layer *l = job->l;
    for (size_t m = begin; m < end; ++m) {
        size_t b = m / (size_t)l->out_c, k = m % (size_t)l->out_c, i = m * (size_t)l->out_h * (size_t)l->out_w;
        for (int row = 0; row < l->out_h; ++row)
            for (int col = 0; col < l->out_w; ++col, ++i) {
                long at = partner(l, (int)k, row, col);
                l->output[i] = act_value(sum_at(job, i, map_of_z(l, b, k), at), l->activation);
            }
    }
}

/* Turns dy into d in place and adds both operands' shares, for maps [begin, end) of y. */
static void backward_maps(void *ctx, size_t begin, size_t end)
{
    const shortcut_job *job = ctx;
    const layer *l = job->l;
    int needs_input = act_needs_input(l->activation);
    for (size_t m = begin; m < end; ++m) {
        size_t b = m / (size_t)l->out_c, k = m % (size_t)l->out_c, i = m * (size_t)l->out_h * (size_t)l->out_w;
        for (int row = 0; row < l->out_h; ++row)
            for (int col = 0; col < l->out_w; ++col, ++i) {
                long at = partner(l, (int)k, row, col);
                float v = needs_input ? sum_at(job, i, map_of_z(l, b, k), at) : l->output[i];
                float d = l->delta[i] *= act_slope(v, l->activation);
                if (job->dx) job->dx[i] += at < 0 ? d : l->alpha * d;
                if (job->dz && at >= 0) job->dz[map_of_z(l, b, k) + (size_t)at] += l->beta * d;
            }
    }
}

void forward_cpu_shortcut(const layer *l, cpu_state *state, const layer_call *call)
{
    shortcut_job job = { .l = l, .x = call->input, .z = call->net->layers[l->index].output };
    if (is_same_shape_shortcut(l) && state->backend != BACKEND_REFERENCE)
        parallel_for_work(cpu_floats(l), 1, add_share, &job);
    else
        parallel_for_work((size_t)l->batch * (size_t)l->out_c, (size_t)l->out_h * (size_t)l->out_w, forward_maps, &job);
}

void backward_cpu_shortcut(const layer *l, cpu_state *state, const layer_call *call)
{
    const layer *other = &call->net->layers[l->index];
    shortcut_job job = { .l = l, .x = call->input, .z = other->output, .dx = call->delta, .dz = other->delta };
    if (is_same_shape_shortcut(l) && state->backend != BACKEND_REFERENCE)
        parallel_for_work(cpu_floats(l), 1, split_share, &job);
    else
        parallel_for_work((size_t)l->batch * (size_t)l->out_c, (size_t)l->out_h * (size_t)l->out_w, backward_maps,
                          &job);
}
