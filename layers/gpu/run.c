/* Running a network on its device, and moving weights there and back (see gpu.h). As forward_network_gpu and its
 * sisters do it, without their surprises: layers 0 to end-1 only, and frozen networks keep net.train = 0. */
#include "bind.h"
#include "cuda_call.h"

/* The library pushes and pulls on the default stream, as everything here does. */

static void run_layer(network *net, int i, float *input, float *host_input)
{
    network state = *net;
    layer l = net->layers[i];
    state.index = i;
    state.input_gpu = input;
    state.input = host_input;     /* [yolo] and [region] put there what they compute on the host */
    if (state.train && l.delta_gpu) fill_gpu(l.outputs * l.batch, 0, l.delta_gpu, 1);
    l.forward_gpu(l, state);
}

void gpu_pull_output(const network *net, int i)
{
    const layer *l = &net->layers[i];
    if (gpu_has(net)) cuda_pull_array(l->output_gpu, l->output, (size_t)l->outputs * (size_t)l->batch);
}

const float *gpu_output(const network *net, int i)
{
    return gpu_has(net) ? net->layers[i].output_gpu : net->layers[i].output;
}

static int output_layer(const network *net)
{
    int i = net->n - 1;
    while (i > 0 && net->layers[i].type == COST) --i;
    return i;
}

void gpu_forward(network *net, int end, int train)
{
    float *truth = net->truth, *truth_gpu = net->truth_gpu;
    cuda_set_device(net->gpu_index);
    cuda_push_array(net->input_gpu, net->input, (size_t)net->inputs * (size_t)net->batch);
    if (truth) cuda_push_array(truth_gpu, truth, (size_t)net->truths * (size_t)net->batch);
    net->train = train;
    for (int i = 0; i < end; ++i) {
        const layer *before = i ? &net->layers[i - 1] : NULL;
        run_layer(net, i, before ? before->output_gpu : net->input_gpu, before ? before->output : net->input);
        if (!net->layers[i].truth) continue;
        net->truth = net->layers[i].output;
        net->truth_gpu = net->layers[i].output_gpu;
    }
    net->truth = truth;
    net->truth_gpu = truth_gpu;
    if (!train && end == net->n) gpu_pull_output(net, output_layer(net));
}

/* From layer end - 1 down to where nobody wants a delta. */
void gpu_backward(network *net, int end)
{
    cuda_set_device(net->gpu_index);
    for (int i = end - 1; i >= 0; --i) {
        layer l = net->layers[i];
        if (l.stopbackward) break;
        network state = *net;
        state.index = i;
        state.input_gpu = i ? net->layers[i - 1].output_gpu : net->input_gpu;
        state.input = i ? net->layers[i - 1].output : net->input;
        state.delta_gpu = i ? net->layers[i - 1].delta_gpu : NULL;
        state.delta = i ? net->layers[i - 1].delta : NULL;
        l.backward_gpu(l, state);
    }
}

void gpu_update(network *net, int end, update_args a)
{
    cuda_set_device(net->gpu_index);
    for (int i = 0; i < end; ++i)
        if (net->layers[i].update_gpu) net->layers[i].update_gpu(net->layers[i], a);
}

void gpu_free_workspace(network *net)
{
    if (!gpu_has(net)) return;
    cuda_free(net->workspace);
    net->workspace = NULL;
}

/* ---- weights ---- */

/* An array that stands on both sides; NULL where a layer has none. */
typedef struct both {
    float *host, *device;
    size_t n;
} both;

/* Weights and running values come first, then what their updates read. */
enum { WEIGHT_ARRAYS = 5, ARRAYS = 14 };

static size_t weights_of(const layer *l)
{
    if (l->type == CONNECTED) return (size_t)l->inputs * (size_t)l->outputs;
    if (l->type == LOCAL) return (size_t)(l->size * l->size) * (size_t)(l->c * l->n) * (size_t)(l->out_h * l->out_w);
    return (size_t)l->nweights;
}

static void arrays_of(const layer *l, both a[ARRAYS])
{
    size_t c = (size_t)(l->type == CONNECTED || l->type == LOCAL ? l->outputs : l->n), w = weights_of(l);
    both all[ARRAYS] = {
        { l->weights, l->weights_gpu, w },           { l->biases, l->biases_gpu, c },
        { l->scales, l->scales_gpu, c },             { l->rolling_mean, l->rolling_mean_gpu, c },
        { l->rolling_variance, l->rolling_variance_gpu, c },
        { l->weight_updates, l->weight_updates_gpu, w }, { l->bias_updates, l->bias_updates_gpu, c },
        { l->scale_updates, l->scale_updates_gpu, c },
        { l->m, l->m_gpu, w },                       { l->v, l->v_gpu, w },
        { l->bias_m, l->bias_m_gpu, c },             { l->bias_v, l->bias_v_gpu, c },
        { l->scale_m, l->scale_m_gpu, c },           { l->scale_v, l->scale_v_gpu, c },
    };
    for (int i = 0; i < ARRAYS; ++i) a[i] = all[i];
}

static int moves(const layer *l)
{
    return l->type == CONVOLUTIONAL || l->type == DECONVOLUTIONAL || l->type == CONNECTED || l->type == LOCAL;
}

static void move(const network *net, void (*copy)(float *device, float *host, size_t n))
{
    both a[ARRAYS];
    for (int i = 0; gpu_has(net) && i < net->n; ++i) {
        if (!moves(&net->layers[i])) continue;
        arrays_of(&net->layers[i], a);
        for (int k = 0; k < ARRAYS; ++k)
            if (a[k].host && a[k].device) copy(a[k].device, a[k].host, a[k].n);
    }
}

/* Called by name only: with a library that lacks them the program shall get as far as host_check. */
static void push(float *device, float *host, size_t n) { cuda_push_array(device, host, n); }
static void pull(float *device, float *host, size_t n) { cuda_pull_array(device, host, n); }

void gpu_push(network *net) { move(net, push); }
void gpu_pull(const network *net) { move(net, pull); }

int gpu_finite(const network *net, int end, gpu_half half)
{
    int first = half == GPU_WEIGHTS ? 0 : WEIGHT_ARRAYS, stop = half == GPU_WEIGHTS ? WEIGHT_ARRAYS : ARRAYS;
    both a[ARRAYS];
    float none = 0, *bad = cuda_make_array(&none, 1);
    for (int i = 0; i < end; ++i) {
        if (!net->layers[i].update_gpu || !moves(&net->layers[i])) continue;
        arrays_of(&net->layers[i], a);
        for (int k = first; k < stop; ++k)
            if (a[k].device) gpu_find_infinite(a[k].device, a[k].n, bad);
    }
    cuda_pull_array(bad, &none, 1);
    cuda_free(bad);
    return none == 0;
}
