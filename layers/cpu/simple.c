/* [activation], [avgpool], and [batchnorm], which is refused: it crashes the host.
 *
 *   activation   y = act(x);                    dx += dy * act'   (the host overwrites dx: a route's share is lost)
 *   avgpool      y = mean of a map;             dx += dy / (h * w) */
#include "activate.h"
#include "parallel.h"
#include "state.h"

typedef struct map_job {
    const layer *l;
    const float *x;
    float *dx;
} map_job;

ACT_INLINE void value_loop(const map_job *job, size_t begin, size_t end, ACTIVATION act)
{
    float *restrict y = job->l->output;
    const float *x = job->x;
    ACT_SIMD
    for (size_t i = begin; i < end; ++i) y[i] = act_value(x[i], act);
}

static void value_share(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    ACT_SWITCH(job->l->activation, value_loop, job, begin, end)
}

ACT_INLINE void slope_loop(const map_job *job, size_t begin, size_t end, ACTIVATION act)
{
    float *restrict dx = job->dx;
    const float *v = act_needs_input(act) ? job->x : job->l->output;
    float *d = job->l->delta;
    ACT_SIMD
    for (size_t i = begin; i < end; ++i) {
        d[i] *= act_slope(v[i], act);
        dx[i] += d[i];
    }
}

static void slope_share(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    ACT_SWITCH(job->l->activation, slope_loop, job, begin, end)
}

void forward_cpu_activation(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job job = { .l = l, .x = call->input };
    parallel_for_work(cpu_floats(l), 1, value_share, &job);
}

void backward_cpu_activation(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job job = { .l = l, .x = call->input, .dx = call->delta };
    if (job.dx) parallel_for_work(cpu_floats(l), 1, slope_share, &job);
}

static void average_maps(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    size_t n = (size_t)job->l->h * (size_t)job->l->w;
    for (size_t m = begin; m < end; ++m) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += job->x[m * n + i];
        job->l->output[m] = (float)(sum / (double)n);
    }
}

static void spread_maps(void *ctx, size_t begin, size_t end)
{
    const map_job *job = ctx;
    size_t n = (size_t)job->l->h * (size_t)job->l->w;
    for (size_t m = begin; m < end; ++m) {
        float d = job->l->delta[m] / (float)n;
        for (size_t i = 0; i < n; ++i) job->dx[m * n + i] += d;
    }
}

void forward_cpu_avgpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job job = { .l = l, .x = call->input };
    parallel_for_work(cpu_floats(l), (size_t)l->h * (size_t)l->w, average_maps, &job);
}

void backward_cpu_avgpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job job = { .l = l, .dx = call->delta };
    if (job.dx) parallel_for_work(cpu_floats(l), (size_t)l->h * (size_t)l->w, spread_maps, &job);
}

int refuse_cpu_batchnorm(layer *l, cpu_state *state, diag *d)
{
    (void)l;
    diag_error(d, NULL, 0, "batchnorm", "layer %d: the host never allocates this section's buffers", state->index);
    diag_hint(d, "use batch_normalize=1 in the layer before it");
    return -1;
}
