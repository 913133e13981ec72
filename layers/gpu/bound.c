/* What Darknet calls of a layer that is bound on a device. Its layers and networks come by value; the state hangs on
 * the CPU binding's (cpu_state.gpu). Nothing else in this folder but run.c knows how the host calls a layer.
 *
 * Activations that the host lacks are ours around whatever computes the layer, which takes it for linear; batch
 * norm's kernels have them, too. A frozen layer is skipped while the network trains. Adam is ours for all layers: the
 * host's let decay move biases and scales, and its epsilon depended on the batch's size. */
#include "bind.h"
#include "layers/optimiser.h"
#include "state.h"

gpu_state *gpu_state_of(const layer *l)
{
    const cpu_state *cpu = cpu_state_of(l);
    return cpu ? cpu->gpu : NULL;
}

static layer_call call_of(const network *net)
{
    return (layer_call){ .net = net, .train = net->train, .input = net->input_gpu, .delta = net->delta_gpu };
}

void gpu_run_host(host_callback function, const layer *l, const layer_call *call)
{
    network net = *call->net;
    net.train = call->train;
    net.input_gpu = (float *)(uintptr_t)call->input;
    net.delta_gpu = call->delta;
    function(*l, net);
}

/* Does batch norm's kernel apply the layer's activation? */
static int by_batchnorm(const layer *l)
{
    return l->batch_normalize && (l->type == CONVOLUTIONAL || l->type == CONNECTED);
}

static void bound_forward(layer l, network net)
{
    gpu_state *state = gpu_state_of(&l);
    if (state->cpu->mode == CPU_FROZEN && net.train) return;   /* nothing trained reads it */
    if (state->cpu->mode != CPU_TRAINED) net.train = 0;
    layer_call call = call_of(&net);
    if (state->fork) l.activation = LINEAR;
    if (state->row->forward) state->row->forward(&l, state, &call);
    else state->host_forward(l, net);
    if (state->fork && !by_batchnorm(&l)) gpu_activate(l.output_gpu, state->before, cpu_floats(&l), state->fork);
}

/* The row's backward, or the host's, behind the slope of an activation that neither has. */
static void bound_backward(layer l, network net)
{
    gpu_state *state = gpu_state_of(&l);
    if (state->cpu->mode == CPU_FROZEN) return;
    if (state->cpu->mode != CPU_TRAINED) net.train = 0;
    layer_call call = call_of(&net);
    if (state->fork) l.activation = LINEAR;
    if (state->fork && !by_batchnorm(&l))
        gpu_slope_at(state->before ? state->before : l.output_gpu, l.delta_gpu, cpu_floats(&l), state->fork);
    if (state->row->backward) state->row->backward(&l, state, &call);
    else state->host_backward(l, net);
}

static void bound_update(layer l, update_args args) { optimiser_update(&l, &args, 1, gpu_update_array); }

void gpu_hang(layer *l, cpu_state *cpu, gpu_state *state)
{
    cpu->gpu = state;
    l->forward_gpu = bound_forward;
    l->backward_gpu = bound_backward;
    if (cpu->mode != CPU_TRAINED) l->update_gpu = NULL;
    else if (cpu->row->update) l->update_gpu = bound_update;
}

void gpu_unhang(layer *l, const gpu_state *state)
{
    l->forward_gpu = state->host_forward;
    l->backward_gpu = state->host_backward;
    l->update_gpu = state->host_update;
    cpu_state_of(l)->gpu = NULL;
}

/* ---- what batch norm asks (batchnorm.cu, which the library calls) ---- */

float gpu_slope(const layer *l)
{
    const gpu_state *state = gpu_state_of(l);
    return state ? state->slope : 1;
}

int gpu_fork(const layer *l, int *keeps)
{
    const gpu_state *state = gpu_state_of(l);
    *keeps = state && state->fork && state->cpu->mode != CPU_FROZEN;
    return state ? state->fork : 0;
}

double gpu_statistics_rate(const layer *l)
{
    cpu_state *state = cpu_state_of(l);
    return state ? cpu_statistics_rate(state) : .01;
}
