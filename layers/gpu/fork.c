/* Layers of AlexeyAB's Darknet on a device (fork_layers.h): products, parts of channels, [reorg3d], sums of several
 * layers. Formulae as in layers/cpu. A sum's few weights are normalised, and their gradient made, on the CPU. */
#include "bind.h"
#include "fork.h"
#include "state.h"

#include "darknet_plugin/base/mem.h"
#include "layers/fork_layers.h"
#include "layers/shortcut_sum_ops.h"

#include <stdlib.h>

/* ---- [scale_channels], [sam] ---- */

static product_shape shape_of(const layer *l)
{
    return (product_shape){ .n = cpu_floats(l), .map = cpu_map(l), .channels = (size_t)l->out_c,
                            .kind = fork_product_kind(l) };
}

void forward_gpu_product(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    gpu_multiply(shape_of(l), call->net->layers[l->index].output_gpu, call->input, l->output_gpu);
    activate_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation);
}

void backward_gpu_product(const layer *l, gpu_state *state, const layer_call *call)
{
    const layer *from = &call->net->layers[l->index];
    product_shape shape = shape_of(l);
    (void)state;
    gradient_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation, l->delta_gpu);
    if (from->delta_gpu) gpu_multiply_back(shape, l->delta_gpu, call->input, from->delta_gpu);
    if (call->delta) gpu_factors_back(shape, l->delta_gpu, from->output_gpu, call->delta, gpu_inputs(l));
}

/* ---- [route] groups= ---- */

void forward_gpu_part(const layer *l, gpu_state *state, const layer_call *call)
{
    float *to = l->output_gpu;
    (void)state;
    for (int k = 0; k < l->n; ++k) {
        size_t all = (size_t)l->input_sizes[k], n = all / (size_t)l->groups;
        const float *from = call->net->layers[l->input_layers[k]].output_gpu + n * (size_t)l->index;
        gpu_part(from, all, to, (size_t)l->outputs, n, (size_t)l->batch, 0);
        to += n;
    }
}

void backward_gpu_part(const layer *l, gpu_state *state, const layer_call *call)
{
    const float *from = l->delta_gpu;
    (void)state;
    for (int k = 0; k < l->n; ++k) {
        size_t all = (size_t)l->input_sizes[k], n = all / (size_t)l->groups;
        float *to = call->net->layers[l->input_layers[k]].delta_gpu;
        if (to) gpu_part(from, (size_t)l->outputs, to + n * (size_t)l->index, all, n, (size_t)l->batch, 1);
        from += n;
    }
}

/* ---- [reorg3d] ---- */

void forward_gpu_reorg3d(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    gpu_reorg3d(call->input, cpu_floats(l), l->c, l->out_h, l->out_w, l->stride, l->output_gpu, 0);
}

void backward_gpu_reorg3d(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    if (call->delta) gpu_reorg3d(l->delta_gpu, cpu_floats(l), l->c, l->out_h, l->out_w, l->stride, call->delta, 1);
}

/* ---- [shortcut] of several layers ---- */

/* picked: the normalised weights; waste: their gradients, for each channel. */
int make_gpu_sum(layer *l, gpu_state *state, diag *d)
{
    size_t operands = (size_t)l->n + 1;
    (void)d;
    state->picked = cuda_make_array(NULL, operands * (size_t)fork_sum_groups(l));
    state->waste = cuda_make_array(NULL, operands * (size_t)l->out_c);
    return 0;
}

static sum_shape operand_shape(const layer *l, const layer *from)
{
    return (sum_shape){ .n = cpu_floats(l), .map = cpu_map(l), .c = (size_t)l->out_c,
                        .channels = (size_t)(from ? from->out_c : l->out_c), .each = fork_sum_groups(l) > 1 };
}

/* Operand k's layer, NULL for 0, which is the layer's input. */
static const layer *operand(const layer *l, const layer_call *call, int k)
{
    return k ? &call->net->layers[l->input_layers[k - 1]] : NULL;
}

static float *weights_of(const layer *l, const gpu_state *state, int k)
{
    return state->picked + (size_t)k * (size_t)fork_sum_groups(l);
}

/* Brings the weights' normal form to the device. */
static void push_normalised(const layer *l, const gpu_state *state)
{
    int groups = fork_sum_groups(l);
    size_t n = (size_t)(l->n + 1) * (size_t)groups;
    float *v = mem_calloc(n, sizeof *v);
    if (l->nweights) cuda_pull_array(l->weights_gpu, l->weights, (size_t)l->nweights);
    for (int c = 0; c < groups; ++c) shortcut_sum_normalise(l->weights, l->n + 1, groups, c, l->softmax, v);
    cuda_push_array(state->picked, v, n);
    free(v);
}

void forward_gpu_sum(const layer *l, gpu_state *state, const layer_call *call)
{
    push_normalised(l, state);
    for (int k = 0; k <= l->n; ++k) {
        const layer *from = operand(l, call, k);
        gpu_add_operand(operand_shape(l, from), from ? from->output_gpu : call->input, weights_of(l, state, k),
                        l->output_gpu, k == 0);
    }
    activate_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation);
}

/* Adds the gradient of the weights, from that of each channel's normal form. */
static void add_weight_updates(const layer *l, const gpu_state *state)
{
    int groups = fork_sum_groups(l), channels = l->out_c;
    size_t n = (size_t)(l->n + 1) * (size_t)channels, weights = (size_t)l->nweights;
    float *per_channel = mem_calloc(n, sizeof *per_channel);
    double *g = mem_calloc(n, sizeof *g);
    cuda_pull_array(state->waste, per_channel, n);
    cuda_pull_array(l->weight_updates_gpu, l->weight_updates, weights);
    for (int k = 0; k <= l->n; ++k)
        for (int c = 0; c < channels; ++c)
            g[k * groups + (groups > 1 ? c : 0)] += (double)per_channel[k * channels + c];
    for (int c = 0; c < groups; ++c)
        shortcut_sum_gradient(l->weights, l->n + 1, groups, c, l->softmax, g, l->weight_updates);
    cuda_push_array(l->weight_updates_gpu, l->weight_updates, weights);
    free(per_channel);
    free(g);
}

/* All operands' shares, then the gradient of the weights. */
void backward_gpu_sum(const layer *l, gpu_state *state, const layer_call *call)
{
    int trained = l->nweights && state->cpu->mode == CPU_TRAINED;
    gradient_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation, l->delta_gpu);
    for (int k = 0; k <= l->n; ++k) {
        const layer *from = operand(l, call, k);
        sum_shape shape = operand_shape(l, from);
        float *delta = from ? from->delta_gpu : call->delta;
        if (trained) gpu_operand_gradient(shape, l->delta_gpu, from ? from->output_gpu : call->input,
                                          state->waste + (size_t)k * shape.c);
        if (delta) gpu_operand_back(shape, l->delta_gpu, weights_of(l, state, k), delta);
    }
    if (trained) add_weight_updates(l, state);
}

/* ---- layers made or resized by us (gpu.h) ---- */

void gpu_remake_maps(layer *l)
{
    if (!l->output_gpu) return;
    cuda_free(l->output_gpu);
    cuda_free(l->delta_gpu);
    l->output_gpu = cuda_make_array(NULL, cpu_floats(l));
    l->delta_gpu = cuda_make_array(NULL, cpu_floats(l));
}

void gpu_share_maps(layer *l, const layer *before)
{
    l->output_gpu = before->output_gpu;
    l->delta_gpu = before->delta_gpu;
}

void gpu_drop_weights(layer *l)
{
    float **array[] = { &l->weights_gpu, &l->weight_updates_gpu, &l->biases_gpu, &l->bias_updates_gpu, &l->m_gpu,
                        &l->v_gpu, &l->bias_m_gpu, &l->bias_v_gpu, &l->scale_m_gpu, &l->scale_v_gpu };
    for (size_t i = 0; i < sizeof array / sizeof *array; ++i) {
        cuda_free(*array[i]);
        *array[i] = NULL;
    }
    l->update_gpu = NULL;
}

void gpu_make_weights(layer *l)
{
    size_t n = (size_t)l->nweights;
    if (!l->output_gpu) return;
    l->weights_gpu = cuda_make_array(l->weights, n);
    l->weight_updates_gpu = cuda_make_array(l->weight_updates, n);
    if (!l->m) return;
    l->m_gpu = cuda_make_array(l->m, n);
    l->v_gpu = cuda_make_array(l->v, n);
}

void gpu_renew_network(network *net, size_t workspace)
{
    int i = net->n - 1;
    while (i > 0 && net->layers[i].type == COST) --i;
    cuda_free(net->input_gpu);
    cuda_free(net->truth_gpu);
    cuda_free(net->workspace);
    net->input_gpu = cuda_make_array(net->input, (size_t)net->inputs * (size_t)net->batch);
    net->truth_gpu = cuda_make_array(net->truth, (size_t)net->truths * (size_t)net->batch);
    net->output_gpu = net->layers[i].output_gpu;
    net->workspace = workspace ? cuda_make_array(NULL, (workspace - 1) / sizeof(float) + 1) : NULL;
}
