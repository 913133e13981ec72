/* Running a network on its device, and moving weights there and back (see gpu.h). As forward_network_gpu and its
 * sisters do it, without their surprises: layers 0 to end-1 only, and frozen networks keep net.train = 0. */
#include "bind.h"
#include "cuda_call.h"
#include "weights_tools/file/weights_file.h"

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

void gpu_weigh_delta(network *net, int i, float factor)
{
    const layer *l = &net->layers[i];
    int n = l->outputs * l->batch;
    cuda_set_device(net->gpu_index);
    if (factor == 0) fill_gpu(n, 0, l->delta_gpu, 1);
    else scal_gpu(n, factor, l->delta_gpu, 1);
}

void gpu_pull_delta(const network *net, int i)
{
    const layer *l = &net->layers[i];
    if (gpu_has(net)) cuda_pull_array(l->delta_gpu, l->delta, (size_t)l->outputs * (size_t)l->batch);
}

void gpu_forward_by_host(const layer *l, const network *net, host_callback forward)
{
    cuda_pull_array(net->input_gpu, net->input, (size_t)l->inputs * (size_t)l->batch);
    forward(*l, *net);
    cuda_push_array(l->output_gpu, l->output, (size_t)l->outputs * (size_t)l->batch);
    if (l->delta_gpu) cuda_push_array(l->delta_gpu, l->delta, (size_t)l->outputs * (size_t)l->batch);
}

/* From layer end - 1 down to layer begin, or to where nobody wants a delta. */
void gpu_backward(network *net, int end, int begin)
{
    cuda_set_device(net->gpu_index);
    for (int i = end - 1; i >= begin; --i) {
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

void gpu_update(network *net, int end, update_args args)
{
    cuda_set_device(net->gpu_index);
    for (int i = 0; i < end; ++i)
        if (net->layers[i].update_gpu) net->layers[i].update_gpu(net->layers[i], args);
}

void gpu_free_workspace(network *net)
{
    if (!gpu_has(net)) return;
    cuda_free(net->workspace);
    net->workspace = NULL;
}

/* ---- weights ---- */

typedef void (*copy_fn)(float *device, float *host, size_t n);

static void move_array(float *device, float *host, size_t n, copy_fn copy)
{
    if (device && host) copy(device, host, n);
}

static void move(const network *net, copy_fn copy)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; gpu_has(net) && i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j) {
            move_array(t[j].device, t[j].data, t[j].n, copy);
            for (int k = 0; k < WEIGHTS_KEPT; ++k) move_array(t[j].device_kept[k], t[j].kept[k], t[j].n, copy);
        }
    }
}

/* Called by name only: with a library that lacks them the program shall get as far as host_check. */
static void push(float *device, float *host, size_t n) { cuda_push_array(device, host, n); }
static void pull(float *device, float *host, size_t n) { cuda_pull_array(device, host, n); }

void gpu_push(network *net) { move(net, push); }
void gpu_pull(const network *net) { move(net, pull); }

/* *bad = 1 where something of this array is not finite. */
static void look(const weights_tensor *tensor, gpu_half half, float *bad)
{
    if (half == GPU_WEIGHTS && tensor->device) gpu_find_infinite(tensor->device, tensor->n, bad);
    for (int k = 0; half == GPU_UPDATES && k < WEIGHTS_KEPT; ++k)
        if (tensor->device_kept[k]) gpu_find_infinite(tensor->device_kept[k], tensor->n, bad);
}

/* One number comes back, whatever the network's size. */
int gpu_finite(const network *net, int end, gpu_half half)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    float none = 0, *bad = cuda_make_array(&none, 1);
    for (int i = 0; i < end; ++i) {
        int n = net->layers[i].update_gpu ? weights_tensors(&net->layers[i], t) : 0;
        for (int j = 0; j < n; ++j) look(&t[j], half, bad);
    }
    cuda_pull_array(bad, &none, 1);
    cuda_free(bad);
    return none == 0;
}
