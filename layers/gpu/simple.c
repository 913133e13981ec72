/* Layers on a device that are a kernel or two:
 *
 *   activation      the host's gradient overwrote net.delta, and a first layer's crashed
 *   route           took a launch for each image
 *   shortcut        took three passes: copied, added, activated
 *   softmax         its loss is wrong for mixed labels and for none (../cpu/softmax.h)
 *   dropout         shared its predecessor's buffers and drew from the clock: it gets its own, and the CPU's draws */
#include "bind.h"
#include "state.h"

#include "darknet_plugin/base/mem.h"
#include "layers/cpu/activate.h"
#include "layers/cpu/softmax.h"

#include <stdlib.h>

/* ---- activation ---- */

void backward_gpu_activation(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    if (!call->delta) return;
    gradient_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation, l->delta_gpu);
    gpu_mask(l->delta_gpu, NULL, call->delta, cpu_floats(l), 1);
}

/* ---- route ---- */

void forward_gpu_route(const layer *l, gpu_state *state, const layer_call *call)
{
    float *to = l->output_gpu;
    (void)state;
    for (int i = 0; i < l->n; to += l->input_sizes[i++]) {
        size_t n = (size_t)l->input_sizes[i];
        const float *from = call->net->layers[l->input_layers[i]].output_gpu;
        gpu_part(from, n, to, (size_t)l->outputs, n, (size_t)l->batch, 0);
    }
}

void backward_gpu_route(const layer *l, gpu_state *state, const layer_call *call)
{
    float *from = l->delta_gpu;
    (void)state;
    for (int i = 0; i < l->n; from += l->input_sizes[i++]) {
        size_t n = (size_t)l->input_sizes[i];
        float *to = call->net->layers[l->input_layers[i]].delta_gpu;
        gpu_part(from, (size_t)l->outputs, to, n, n, (size_t)l->batch, 1);
    }
}

/* ---- shortcut ---- */

void forward_gpu_shortcut(const layer *l, gpu_state *state, const layer_call *call)
{
    float slope = act_slope_below(l->activation);
    const float *other = call->net->layers[l->index].output_gpu;
    if (is_same_shape_shortcut(l) && slope >= 0)
        gpu_sum(call->input, l->alpha, other, l->beta, slope, l->output_gpu, cpu_floats(l));
    else
        gpu_run_host(state->host_forward, l, call);
}

/* ---- softmax ---- */

/* The host has brought l.loss back. */
void forward_gpu_softmax(const layer *l, gpu_state *state, const layer_call *call)
{
    size_t n = gpu_inputs(l);
    gpu_run_host(state->host_forward, l, call);
    if (!call->net->truth || l->noloss) return;
    float *truth = mem_calloc(n, sizeof *truth);
    cuda_pull_array(call->net->truth_gpu, truth, n);
    mend_softmax_cost(l, truth);
    if (count_softmax_unlabelled(l, truth)) {
        cuda_pull_array(l->delta_gpu, l->delta, n);
        mend_softmax_delta(l, truth);
        cuda_push_array(l->delta_gpu, l->delta, n);
    }
    free(truth);
}

/* ---- dropout ---- */

int make_gpu_dropout(layer *l, gpu_state *state, diag *d)
{
    (void)d;
    state->host_output = l->output_gpu;
    state->host_delta = l->delta_gpu;
    l->output_gpu = cuda_make_array(NULL, cpu_floats(l));
    l->delta_gpu = cuda_make_array(NULL, cpu_floats(l));
    return 0;
}

void free_gpu_dropout(layer *l, gpu_state *state)
{
    cuda_free(l->output_gpu);
    cuda_free(l->delta_gpu);
    l->output_gpu = state->host_output;
    l->delta_gpu = state->host_delta;
}

void forward_gpu_dropout(const layer *l, gpu_state *state, const layer_call *call)
{
    if (call->train) {
        draw_cpu_dropout(l, state->cpu, call);
        cuda_push_array(l->rand_gpu, l->rand, cpu_floats(l));
    }
    gpu_mask(call->input, call->train ? l->rand_gpu : NULL, l->output_gpu, cpu_floats(l), 0);
}

void backward_gpu_dropout(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    if (call->delta) gpu_mask(l->delta_gpu, call->train ? l->rand_gpu : NULL, call->delta, cpu_floats(l), 1);
}
