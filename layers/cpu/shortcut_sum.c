/* [shortcut] of several layers, or with weights, as AlexeyAB's Darknet has it.
 *
 *   y[c] = act(v_0[c] x[c] + sum over k of v_k[c] z_k[c])      z_k where it has channel c; v the normalised weights
 *   d = dy * act'(y);   dx += v_0 d;   dz_k += v_k d;   g_k[c] = sum over images and pixels of d z_k (of d x for k = 0)
 *
 * The gradient of the weights comes out of g by shortcut_sum_ops.h. An item of work is a channel of all images, so that
 * sums never cross threads. */
#include "activate.h"
#include "layers/fork_layers.h"
#include "layers/shortcut_sum_ops.h"
#include "parallel.h"
#include "state.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

typedef struct sum_job {
    const layer *l;
    const network *net;
    const float *x, *v;       /* v: (n + 1, groups) */
    float *dx;
    double *g;                /* (n + 1, c); NULL: not wanted */
    int groups;
} sum_job;

/* Where the map of channel c of image b of an operand begins; `from` is its layer, NULL for x. */
static size_t map_at(const layer *l, const layer *from, size_t b, size_t c)
{
    return (b * (size_t)(from ? from->out_c : l->out_c) + c) * cpu_map(l);
}

static const layer *operand(const sum_job *job, int k)
{
    return k ? &job->net->layers[job->l->input_layers[k - 1]] : NULL;
}

static int has_channel(const layer *from, size_t c) { return !from || c < (size_t)from->out_c; }

static float weight_of(const sum_job *job, int k, size_t c)
{
    return job->v[(size_t)k * (size_t)job->groups + (job->groups > 1 ? c : 0)];
}

/* What the activation of channel c of image b is given, a map of n. */
static void sum_map(const sum_job *job, size_t b, size_t c, float *sum)
{
    const layer *l = job->l;
    size_t n = cpu_map(l);
    const float *x = job->x + map_at(l, NULL, b, c);
    for (size_t i = 0; i < n; ++i) sum[i] = weight_of(job, 0, c) * x[i];
    for (int k = 1; k <= l->n; ++k) {
        const layer *from = operand(job, k);
        float v = weight_of(job, k, c);
        if (!has_channel(from, c)) continue;
        const float *z = from->output + map_at(l, from, b, c);
        for (size_t i = 0; i < n; ++i) sum[i] += v * z[i];
    }
}

/* Maps [begin, end) of y. */
static void add_maps(void *ctx, size_t begin, size_t end)
{
    const sum_job *job = ctx;
    const layer *l = job->l;
    size_t n = cpu_map(l);
    for (size_t m = begin; m < end; ++m) {
        float *y = l->output + m * n;
        sum_map(job, m / (size_t)l->out_c, m % (size_t)l->out_c, y);
        for (size_t i = 0; i < n; ++i) y[i] = act_value(y[i], l->activation);
    }
}

/* Turns dy of a map into d in place. `sum` is room for what the activation was given. */
static void slope_map(const sum_job *job, size_t b, size_t c, float *sum)
{
    const layer *l = job->l;
    size_t own = map_at(l, NULL, b, c);
    const float *v = l->output + own;
    if (act_needs_input(l->activation)) {
        sum_map(job, b, c, sum);
        v = sum;
    }
    for (size_t i = 0; i < cpu_map(l); ++i) l->delta[own + i] *= act_slope(v[i], l->activation);
}

/* Adds what operand k gets of d, a map, and returns the sum of d times the operand. */
static double split_map(const float *d, const float *z, float v, float *dz, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += (double)d[i] * (double)z[i];
    for (size_t i = 0; dz && i < n; ++i) dz[i] += v * d[i];
    return sum;
}

/* Channels [begin, end) of all images. */
static void split_channels(void *ctx, size_t begin, size_t end)
{
    const sum_job *job = ctx;
    const layer *l = job->l;
    size_t n = cpu_map(l), channels = (size_t)l->out_c;
    float *sum_of = mem_calloc(n, sizeof *sum_of);
    for (size_t c = begin; c < end; ++c)
        for (size_t b = 0; b < (size_t)l->batch; ++b) {
            const float *d = l->delta + map_at(l, NULL, b, c);
            slope_map(job, b, c, sum_of);
            for (int k = 0; k <= l->n; ++k) {
                const layer *from = operand(job, k);
                if (!has_channel(from, c)) continue;
                size_t at = map_at(l, from, b, c);
                float *delta = from ? from->delta : job->dx;
                double sum = split_map(d, (from ? from->output : job->x) + at, weight_of(job, k, c),
                                       delta ? delta + at : NULL, n);
                if (job->g) job->g[(size_t)k * channels + c] += sum;
            }
        }
    free(sum_of);
}

/* The normalised weights, (n + 1, groups), ones where there are none; the caller frees. */
static float *normalised(const layer *l)
{
    int groups = fork_sum_groups(l);
    float *v = mem_calloc((size_t)(l->n + 1) * (size_t)groups, sizeof *v);
    for (int c = 0; c < groups; ++c) shortcut_sum_normalise(l->weights, l->n + 1, groups, c, l->softmax, v);
    return v;
}

void forward_cpu_shortcut_sum(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    float *v = normalised(l);
    sum_job job = { .l = l, .net = call->net, .x = call->input, .v = v, .groups = fork_sum_groups(l) };
    parallel_for_work((size_t)l->batch * (size_t)l->out_c, cpu_map(l) * (size_t)(l->n + 1), add_maps, &job);
    free(v);
}

/* One weight for all channels: the sum of what each of them asks for. */
static void sum_over_channels(double *g, int operands, int channels)
{
    for (int k = 0; k < operands; ++k) {
        double sum = 0;
        for (int c = 0; c < channels; ++c) sum += g[k * channels + c];
        g[k] = sum;
    }
}

/* All operands' shares, then the gradient of the weights. */
void backward_cpu_shortcut_sum(const layer *l, cpu_state *state, const layer_call *call)
{
    int trained = l->nweights && state->mode == CPU_TRAINED, groups = fork_sum_groups(l);
    float *v = normalised(l);
    double *g = trained ? mem_calloc((size_t)(l->n + 1) * (size_t)l->out_c, sizeof *g) : NULL;
    sum_job job = { .l = l, .net = call->net, .x = call->input, .v = v, .dx = call->delta, .g = g, .groups = groups };
    parallel_for_work((size_t)l->out_c, cpu_map(l) * (size_t)(l->batch * (l->n + 1)), split_channels, &job);
    if (trained && groups == 1) sum_over_channels(g, l->n + 1, l->out_c);
    for (int c = 0; trained && c < groups; ++c)
        shortcut_sum_gradient(l->weights, l->n + 1, groups, c, l->softmax, g, l->weight_updates);
    free(g);
    free(v);
}
