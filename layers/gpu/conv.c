/* Convolutional and connected layers on a device: the host computes them, between what mends it.
 *
 *   convolutional   1x1 without cuDNN: the stride was ignored, and the gradient overwrote net.delta where it has to be
 *                   added. Strided pixels are picked first; the gradient is made in memory of its own and added. Batch
 *                   norm and the activation are one pass
 *   connected       the gradient was cut to +-1 */
#include "bind.h"
#include "state.h"

#include "layers/cpu/activate.h"

/* cuDNN knows strides and padding. */
#ifdef CUDNN
enum { BY_CUDNN = 1 };
#else
enum { BY_CUDNN = 0 };
#endif

static int is_1x1(const layer *l) { return l->size == 1; }
static int is_strided(const layer *l) { return is_1x1(l) && l->stride > 1 && !BY_CUDNN; }

void free_gpu_conv(layer *l, gpu_state *state)
{
    (void)l;
    cuda_free(state->picked);
    cuda_free(state->delta);
    cuda_free(state->waste);
    state->picked = state->delta = state->waste = NULL;
    state->scratch = 0;
}

/* Scratch for what is mended, and whether batch norm's kernel activates, too. */
int make_gpu_conv(layer *l, gpu_state *state, diag *d)
{
    int trains = state->cpu->mode != CPU_FROZEN;
    float slope = act_slope_below(l->activation);
    if (is_1x1(l) && l->pad && !BY_CUDNN) {
        diag_error(d, NULL, 0, "convolutional",
                   "layer %d: padding=%d around a 1x1 convolution is not computed on a GPU",
                   state->cpu->index, l->pad);
        return -1;
    }
    if (l->batch_normalize && slope >= 0) state->slope = slope;
    state->scratch = gpu_inputs(l);
    if (state->cpu->mode == CPU_FROZEN_WEIGHTS)
        state->waste = cuda_make_array(NULL, (size_t)(l->nweights > l->n ? l->nweights : l->n));
    if (is_strided(l)) state->picked = cuda_make_array(NULL, gpu_inputs(l));
    if (is_1x1(l) && trains && state->cpu->index > 0) state->delta = cuda_make_array(NULL, gpu_inputs(l));
    return 0;
}

void resized_gpu_conv(layer *l, gpu_state *state)
{
    if (state->scratch == gpu_inputs(l)) return;
    free_gpu_conv(l, state);
    state->row->make(l, state, NULL);
}

/* The layer that a strided 1x1 is on picked pixels, and its call. */
static void pick_input(layer *l, const gpu_state *state, layer_call *call)
{
    if (!state->picked) return;
    gpu_pick(call->input, l->batch * l->c, l->h, l->w, l->stride, state->picked, l->out_h, l->out_w);
    call->input = state->picked;
    l->h = l->out_h;
    l->w = l->out_w;
    l->stride = 1;
}

void forward_gpu_conv(const layer *l, gpu_state *state, const layer_call *call)
{
    layer mended = *l;
    layer_call its = *call;
    pick_input(&mended, state, &its);
    if (state->slope != 1) mended.activation = LINEAR;
    gpu_run_host(state->host_forward, &mended, &its);
}

/* A 1x1's gradient goes to memory of its own, then is added. */
void backward_gpu_conv(const layer *l, gpu_state *state, const layer_call *call)
{
    layer mended = *l;
    layer_call its = *call;
    pick_input(&mended, state, &its);
    if (state->waste) mended.weight_updates_gpu = mended.bias_updates_gpu = state->waste;
    if (!call->delta || !is_1x1(l)) {
        gpu_run_host(state->host_backward, &mended, &its);
        return;
    }
    size_t n = (size_t)mended.batch * (size_t)mended.c * (size_t)mended.h * (size_t)mended.w;
    fill_gpu((int)n, 0, state->delta, 1);
    its.delta = state->delta;
    gpu_run_host(state->host_backward, &mended, &its);
    if (state->picked)
        gpu_put(state->delta, l->batch * l->c, l->h, l->w, l->stride, call->delta, l->out_h, l->out_w);
    else
        gpu_mask(state->delta, NULL, call->delta, n, 1);
}

/* As the host does it, but for the cut. */
void backward_gpu_connected(const layer *l, gpu_state *state, const layer_call *call)
{
    (void)state;
    float *input = (float *)(uintptr_t)call->input;
    gradient_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation, l->delta_gpu);
    if (l->batch_normalize) gpu_run_host(backward_batchnorm_layer_gpu, l, call);
    else backward_bias_gpu(l->bias_updates_gpu, l->delta_gpu, l->batch, l->outputs, 1);
    gemm_gpu(1, 0, l->outputs, l->inputs, l->batch, 1, l->delta_gpu, l->outputs, input, l->inputs, 1,
             l->weight_updates_gpu, l->inputs);
    if (!call->delta) return;
    gemm_gpu(0, 0, l->batch, l->inputs, l->outputs, 1, l->delta_gpu, l->outputs, l->weights_gpu, l->inputs, 1,
             call->delta,
             l->inputs);
}
