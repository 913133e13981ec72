/* [dropout]: y = x * mask, mask = 0 with probability p, else 1 / (1 - p);  dx += dy * mask.  Inference copies.
 *
 * The host lets this layer share its predecessor's output and delta, which changes what the predecessor's own backward
 * reads; here it has buffers of its own. Element i's draw is number i of the stream (seed, images seen, layer), so
 * masks depend on nothing else. l.rand holds the mask. Srivastava et al., "Dropout", 2014. */
#include "parallel.h"
#include "state.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"

#include <stdlib.h>

/* host_resize has grown the buffers that were ours. */
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

/* A frozen network's passes its input on. */
int accepts_blocked_dropout(const layer *l, const cpu_state *state)
{
    (void)l;
    return state->mode == CPU_FROZEN && cpu_blocked_at(state->shared, state->index - 1);
}

void forward_blocked_dropout(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)l;
    (void)call;
    state->y = cpu_blocked_at(state->shared, state->index - 1)->y;
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
