/* Convolutions and max-pools on a device whose windows the host cannot move: two strides, dilation
 * (layers/fork_layers.h). A convolution is a product of matrices, image by image, of what each tap sees (columns), with
 * or without cuDNN. */
#include "window.h"
#include "bind.h"
#include "state.h"

#include "layers/cpu/activate.h"
#include "layers/fork_layers.h"

static window_shape shape_of(const layer *l)
{
    int gap = fork_dilation(l);   /* 1 of a maxpool */
    return (window_shape){ .h = l->h, .w = l->w, .out_h = l->out_h, .out_w = l->out_w, .size = l->size,
                           .down = fork_stride_y(l), .across = fork_stride_x(l), .dilation = gap,
                           .before = l->type == MAXPOOL ? l->pad / 2 : l->pad * gap };
}

/* ---- [convolutional] ---- */

/* One image's group: (filters, depth) times columns (depth, windows) is (filters, windows). */
typedef struct conv_group {
    int filters, depth, windows;
    size_t maps;
} conv_group;

static conv_group group_of(const layer *l)
{
    return (conv_group){ .filters = l->n / l->groups, .depth = l->c / l->groups * l->size * l->size,
                         .windows = l->out_h * l->out_w, .maps = (size_t)(l->c / l->groups) };
}

/* picked: a group's columns. waste: gradients of weights that do not move. */
int make_gpu_other_conv(layer *l, gpu_state *state, diag *d)
{
    conv_group group = group_of(l);
    float slope = act_slope_below(l->activation);
    (void)d;
    if (l->batch_normalize && slope >= 0) state->slope = slope;
    state->scratch = gpu_inputs(l);
    state->picked = cuda_make_array(NULL, (size_t)group.depth * (size_t)group.windows);
    if (state->cpu->mode == CPU_FROZEN_WEIGHTS) state->waste = cuda_make_array(NULL, (size_t)l->n);
    return 0;
}

static float *weights_of(const layer *l, float *weights, int group)
{
    return weights + (size_t)group * (size_t)(l->nweights / l->groups);
}

/* Groups follow each other in input and output, image by image. */
static void multiply(const layer *l, const gpu_state *state, const float *input)
{
    conv_group at = group_of(l);
    size_t in = at.maps * (size_t)l->h * (size_t)l->w, out = (size_t)at.filters * (size_t)at.windows;
    for (int k = 0; k < l->batch * l->groups; ++k) {
        gpu_columns(shape_of(l), at.maps, input + (size_t)k * in, state->picked);
        gemm_gpu(0, 0, at.filters, at.windows, at.depth, 1, weights_of(l, l->weights_gpu, k % l->groups), at.depth,
                 state->picked, at.windows, 0, l->output_gpu + (size_t)k * out, at.windows);
    }
}

void forward_gpu_other_conv(const layer *l, gpu_state *state, const layer_call *call)
{
    multiply(l, state, call->input);
    if (l->batch_normalize) gpu_run_host(forward_batchnorm_layer_gpu, l, call);
    else add_bias_gpu(l->output_gpu, l->biases_gpu, l->batch, l->n, l->out_h * l->out_w);
    if (state->slope == 1) activate_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation);
}

/* Adds the gradients of weights, and of the input where somebody wants it. */
static void multiply_back(const layer *l, const gpu_state *state, const layer_call *call)
{
    conv_group at = group_of(l);
    size_t in = at.maps * (size_t)l->h * (size_t)l->w, out = (size_t)at.filters * (size_t)at.windows;
    for (int k = 0; k < l->batch * l->groups; ++k) {
        float *delta = l->delta_gpu + (size_t)k * out;
        if (!state->waste) {
            gpu_columns(shape_of(l), at.maps, call->input + (size_t)k * in, state->picked);
            gemm_gpu(0, 1, at.filters, at.depth, at.windows, 1, delta, at.windows, state->picked, at.windows, 1,
                     weights_of(l, l->weight_updates_gpu, k % l->groups), at.depth);
        }
        if (!call->delta) continue;
        gemm_gpu(1, 0, at.depth, at.windows, at.filters, 1, weights_of(l, l->weights_gpu, k % l->groups), at.depth,
                 delta, at.windows, 0, state->picked, at.windows);
        gpu_columns_back(shape_of(l), at.maps, state->picked, call->delta + (size_t)k * in);
    }
}

void backward_gpu_other_conv(const layer *l, gpu_state *state, const layer_call *call)
{
    layer mended = *l;
    if (state->waste) mended.bias_updates_gpu = state->waste;
    gradient_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation, l->delta_gpu);
    if (l->batch_normalize) gpu_run_host(backward_batchnorm_layer_gpu, &mended, call);
    else backward_bias_gpu(mended.bias_updates_gpu, l->delta_gpu, l->batch, l->n, l->out_h * l->out_w);
    multiply_back(l, state, call);
}

/* ---- [maxpool] ---- */

static size_t maps_of(const layer *l) { return (size_t)l->batch * (size_t)l->c; }

void forward_gpu_other_maxpool(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    gpu_largest(shape_of(l), maps_of(l), call->input, l->output_gpu, l->indexes_gpu);
}

void backward_gpu_other_maxpool(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    if (call->delta) gpu_largest_back(shape_of(l), maps_of(l), l->delta_gpu, l->indexes_gpu, call->delta);
}
