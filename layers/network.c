/* Forward, backward, update and resizing of a network, wherever it is (see network.h). */
#include "network.h"

#include "darknet_plugin/base/bug.h"
#include "layers/cpu/cpu.h"
#include "layers/fork_layers.h"
#include "layers/gpu/gpu.h"
#include "layers/optimiser.h"
#include "layers/sections.h"

#include <math.h>
#include <string.h>

static int take_parsed(network *net, const cfg_file *cfg, diag *d)
{
    gpu_mend_cpu(net);
    return fork_take(net, cfg, d);
}

static void register_all(void)
{
    sections_register();
    optimisers_register();
    host_set_hooks((host_hooks){ .stand_ins = fork_stand_ins, .parsed = take_parsed, .freed = gpu_free_workspace });
}

void network_init(void)
{
    register_all();
    host_init();
}

int network_init_as_guest(diag *d)
{
    register_all();
    return host_init_as_guest(d);
}

static void run_layer(network *net, int i, float *input)
{
    network state = *net;
    layer l = net->layers[i];
    state.index = i;
    state.input = input;
    if (state.train && l.delta) memset(l.delta, 0, (size_t)l.outputs * (size_t)l.batch * sizeof *l.delta);
    l.forward(l, state);
}

void network_forward(network *net, int end, int train)
{
    float *truth = net->truth;
    if (gpu_has(net)) {
        gpu_forward(net, end, train);
        return;
    }
    net->train = train;
    for (int i = 0; i < end; ++i) {
        run_layer(net, i, i ? net->layers[i - 1].output : net->input);
        if (net->layers[i].truth) net->truth = net->layers[i].output;
    }
    net->truth = truth;
}

/* Layers end-1 down to begin; `delta` is the input's, or NULL. */
static void run_backward(network *net, int end, int begin, float *delta)
{
    for (int i = end - 1; i >= begin; --i) {
        layer l = net->layers[i];
        if (l.stopbackward) break;
        network state = *net;
        state.index = i;
        state.input = i ? net->layers[i - 1].output : net->input;
        state.delta = i ? net->layers[i - 1].delta : delta;
        l.backward(l, state);
    }
}

void network_backward(network *net, int end) { network_backward_to(net, end, 0); }

void network_backward_to(network *net, int end, int begin)
{
    if (gpu_has(net)) gpu_backward(net, end, begin);
    else run_backward(net, end, begin, NULL);
}

void network_backward_input(network *net, int end, float *delta)
{
    BUG_UNLESS(!gpu_has(net), "the gradient of a network's input is asked of a device");
    run_backward(net, end, 0, delta);
}

void network_weigh_delta(network *net, int i, float factor)
{
    const layer *l = &net->layers[i];
    size_t n = (size_t)l->outputs * (size_t)l->batch;
    if (gpu_has(net)) {
        gpu_weigh_delta(net, i, factor);
        return;
    }
    for (size_t k = 0; k < n; ++k) l->delta[k] = factor == 0 ? 0 : factor * l->delta[k];
}

static size_t steps_done(const network *net)
{
    return *net->seen / ((size_t)net->batch * (size_t)net->subdivisions);
}

static double steps_rate(const network *net, size_t step)
{
    float rate = net->learning_rate;
    for (int i = 0; i < net->num_steps && (size_t)net->steps[i] <= step; ++i) rate *= net->scales[i];
    return rate;
}

/* Darknet's get_current_rate to the last bit (floats where it has floats), without its RANDOM policy's hidden
 * generator (constant there) and without the counter that wraps around below a sigmoid's step, where its rate is 0. */
double network_rate(const network *net)
{
    size_t step = steps_done(net);
    double lr = net->learning_rate, t = (double)step;
    if (step < (size_t)net->burn_in) return lr * pow((float)step / (float)net->burn_in, net->power);
    switch (net->policy) {
    case STEP: return lr * pow(net->scale, (double)(step / (size_t)net->step));
    case STEPS: return steps_rate(net, step);
    case EXP: return lr * pow(net->gamma, t);
    case POLY: return lr * pow(1 - (float)step / (float)net->max_batches, net->power);
    case SIG: return lr * (1 / (1 + exp(net->gamma * (float)(t - net->step))));
    default: return lr;
    }
}

void network_update(network *net, int end)
{
    update_args a = {
        .batch = net->batch * net->subdivisions, .learning_rate = (float)network_rate(net),
        .momentum = net->momentum, .decay = net->decay,
        .adam = net->adam, .B1 = net->B1, .B2 = net->B2, .eps = net->eps, .t = ++*net->t,
    };
    if (gpu_has(net)) gpu_update(net, end, a);
    for (int i = 0; !gpu_has(net) && i < end; ++i)
        if (net->layers[i].update) net->layers[i].update(net->layers[i], a);
}

int network_resize(network *net, int w, int h, diag *d)
{
    if (fork_resizes(net) ? fork_resize(net, w, h, d) : host_resize(net, w, h, d)) return -1;
    cpu_resized(net);
    gpu_resized(net);
    return 0;
}
