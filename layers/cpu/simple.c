/* [activation], [avgpool], and [batchnorm], which is refused: it crashes the host.
 *
 *   activation   y = act(x);                    dx += dy * act'(y)   (the host overwrites dx: a route beside it is lost)
 *   avgpool      y = mean of a map;             dx += dy / (h * w) */
#include "activate.h"
#include "parallel.h"
#include "state.h"

typedef struct map_job {
    const layer *l;
    const float *x;
    float *dx;
} map_job;

ACT_INLINE void value_loop(const map_job *j, size_t begin, size_t end, ACTIVATION a)
{
    float *restrict y = j->l->output;
    const float *x = j->x;
    ACT_SIMD
    for (size_t i = begin; i < end; ++i) y[i] = act_value(x[i], a);
}

static void value_share(void *ctx, size_t begin, size_t end)
{
    const map_job *j = ctx;
    ACT_SWITCH(j->l->activation, value_loop, j, begin, end)
}

ACT_INLINE void slope_loop(const map_job *j, size_t begin, size_t end, ACTIVATION a)
{
    float *restrict dx = j->dx;
    const float *y = j->l->output;
    float *d = j->l->delta;
    ACT_SIMD
    for (size_t i = begin; i < end; ++i) {
        d[i] *= act_slope(y[i], a);
        dx[i] += d[i];
    }
}

static void slope_share(void *ctx, size_t begin, size_t end)
{
    const map_job *j = ctx;
    ACT_SWITCH(j->l->activation, slope_loop, j, begin, end)
}

void forward_cpu_activation(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job j = { .l = l, .x = call->input };
    parallel_for_work(cpu_floats(l), 1, value_share, &j);
}

void backward_cpu_activation(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job j = { .l = l, .dx = call->delta };
    if (j.dx) parallel_for_work(cpu_floats(l), 1, slope_share, &j);
}

static void average_maps(void *ctx, size_t begin, size_t end)
{
    const map_job *j = ctx;
    size_t n = (size_t)j->l->h * (size_t)j->l->w;
    for (size_t m = begin; m < end; ++m) {
        double sum = 0;
        for (size_t i = 0; i < n; ++i) sum += j->x[m * n + i];
        j->l->output[m] = (float)(sum / (double)n);
    }
}

static void spread_maps(void *ctx, size_t begin, size_t end)
{
    const map_job *j = ctx;
    size_t n = (size_t)j->l->h * (size_t)j->l->w;
    for (size_t m = begin; m < end; ++m) {
        float d = j->l->delta[m] / (float)n;
        for (size_t i = 0; i < n; ++i) j->dx[m * n + i] += d;
    }
}

void forward_cpu_avgpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job j = { .l = l, .x = call->input };
    parallel_for_work(cpu_floats(l), (size_t)l->h * (size_t)l->w, average_maps, &j);
}

void backward_cpu_avgpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    map_job j = { .l = l, .dx = call->delta };
    if (j.dx) parallel_for_work(cpu_floats(l), (size_t)l->h * (size_t)l->w, spread_maps, &j);
}

int refuse_cpu_batchnorm(layer *l, cpu_state *state, diag *d)
{
    (void)l;
    diag_error(d, NULL, 0, "batchnorm", "layer %d: the host never allocates this section's buffers", state->index);
    diag_hint(d, "use batch_normalize=1 in the layer before it");
    return -1;
}
