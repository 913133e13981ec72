/* Binding: puts the plugin's functions in place of Darknet's, layer by layer, from the table in rows.c (see cpu.h,
 * state.h).
 *
 * Darknet passes layers and networks by value, so each bound layer's state hangs on l.self_layer, a pointer that layer
 * types of the table leave alone and free_layer does not free. A frozen layer is bound whatever its type: where the
 * table has no row for it, its own functions run behind the wrapper. */
#include "activate.h"
#include "batchnorm.h"
#include "cpu.h"
#include "state.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"
#include "layers/fork_layers.h"
#include "layers/sections.h"

#include <stdlib.h>
#include <string.h>

/* Any other layer, bound only because it is frozen. */
static const cpu_row host_row = { .type = BLANK };

/* ---- what Darknet calls ---- */

static layer_call call_of(const network *net)
{
    return (layer_call){ .net = net, .train = net->train, .input = net->input, .delta = net->delta };
}

static double clock_of(const cpu_state *state) { return state->shared->seconds ? clock_now() : 0; }

static void add_time(const cpu_state *state, double since)
{
    if (state->shared->seconds) state->shared->seconds[state->index] += clock_now() - since;
}

/* Runs the row's forward, blocked or plain, or the host's; then what its output's readers want. */
static void bound_forward(layer l, network net)
{
    cpu_state *state = (cpu_state *)l.self_layer;
    const cpu_row *row = state->row;
    double began = clock_of(state);
    if (state->mode == CPU_FROZEN && net.train) return;   /* nothing trained reads it */
    if (state->mode != CPU_TRAINED) net.train = 0;
    if (state->d) cpu_give(state->shared, state->d);      /* left by a backward that stopped above this layer */
    state->d = NULL;
    layer_call call = call_of(&net);
    if (state->fast) row->forward_blocked(&l, state, &call);
    else if (row->forward) row->forward(&l, state, &call);
    else state->host_forward(l, net);
    state->shared->kernels->finish_output(&l, state);
    add_time(state, began);
}

/* The same of backward; frozen layers have none. */
static void bound_backward(layer l, network net)
{
    cpu_state *state = (cpu_state *)l.self_layer;
    const cpu_row *row = state->row;
    if (state->mode == CPU_FROZEN) return;
    if (state->mode != CPU_TRAINED) net.train = 0;
    double began = clock_of(state);
    layer_call call = call_of(&net);
    if (state->fast) row->backward_blocked(&l, state, &call);
    else if (row->backward) row->backward(&l, state, &call);
    else state->host_backward(l, net);
    add_time(state, began);
}

static void bound_update(layer l, update_args args)
{
    ((cpu_state *)l.self_layer)->row->update(&l, args);
}

cpu_state *cpu_state_of(const layer *l)
{
    return l->forward == bound_forward ? (cpu_state *)l->self_layer : NULL;
}

/* ---- binding ---- */

/* Does the host lack what this layer, of a type that it has, computes? */
static int host_lacks(const layer *l)
{
    int moves_windows = l->type == CONVOLUTIONAL || l->type == MAXPOOL;
    return act_is_ours(l->activation) || (moves_windows && fork_other_window(l));
}

static const cpu_row *row_of(const layer *l, cpu_backend backend, cpu_mode mode, const cpu_kernels *kernels)
{
    for (size_t i = 0; i < kernels->count; ++i) {
        const cpu_row *row = &kernels->rows[i];
        if (row->type != l->type || (row->accepts && !row->accepts(l))) continue;
        if (backend != BACKEND_HOST || row->any_backend || host_lacks(l)) return row;
    }
    return mode == CPU_TRAINED ? NULL : &host_row;
}

/* Recurrent layers use self_layer themselves. */
static int bind_free_of_state(const layer *l, int index, diag *d)
{
    if (!l->self_layer) return 0;
    diag_error(d, NULL, 0, NULL, "layer %d: recurrent layers cannot be frozen", index);
    return -1;
}

static const char *runs_on(const cpu_row *row, cpu_backend backend)
{
    if (!row->forward || row->mends) return "host";
    return backend == BACKEND_REFERENCE ? "reference" : "plugin";
}

static cpu_mode mode_of(const cpu_options *options, int index)
{
    return options->mode ? options->mode[index] : CPU_TRAINED;
}

/* Makes the state of a layer that `row` serves, with what the host has put into it. */
static cpu_state *make_state(const layer *l, const cpu_row *row, const cpu_options *options, int index,
                             cpu_shared *shared)
{
    cpu_state *state = mem_calloc(1, sizeof *state);
    state->row = row;
    state->mode = mode_of(options, index);
    state->backend = options->backend;
    state->seed = options->seed;
    state->index = index;
    state->shared = shared;
    state->host_forward = l->forward;
    state->host_backward = l->backward;
    state->host_update = l->update;
    state->runs_on = runs_on(row, options->backend);
    return state;
}

static int has_layouts(const cpu_options *options) { return options->layouts && options->backend == BACKEND_DNNL; }

static void loss_update(layer l, update_args args) { update_cpu_weights(&l, args); }

/* Would the host compute this layer with an activation that it does not have? */
static int bind_known_activation(const layer *l, const cpu_row *row, int index, diag *d)
{
    if (!act_is_ours(l->activation) || (row && row->forward)) return 0;
    diag_error(d, NULL, 0, NULL, "layer %d: activation=%s is not known in this kind of layer", index,
               fork_activation_name((int)l->activation));
    diag_hint(d, "[convolutional], [connected], [shortcut] and [activation] have it");
    return -1;
}

/* Binds layer `index` if it has a row. A loss of ours is left alone, but for the update of its own parameters. 0, or
 * -1 with a message. */
static int bind_layer(layer *l, const cpu_options *options, int index, cpu_shared *shared, diag *d)
{
    if (section_type_of_layer(l)) {
        l->update = l->nweights ? loss_update : NULL;
        return 0;
    }
    const cpu_row *row = row_of(l, options->backend, mode_of(options, index), shared->kernels);
    if (bind_known_activation(l, row, index, d)) return -1;
    if (!row) return 0;
    if (bind_free_of_state(l, index, d)) return -1;
    cpu_state *state = make_state(l, row, options, index, shared);
    if (has_layouts(options)) shared->kernels->choose_layout(l, state);
    if (state->fast) state->runs_on = "plugin";
    if (row->make && row->make(l, state, d)) {
        free(state);
        return -1;
    }
    ++shared->users;
    shared->state[index] = state;
    l->self_layer = (layer *)state;
    l->forward = bound_forward;
    l->backward = bound_backward;
    l->update = state->mode == CPU_TRAINED && row->update ? bound_update : NULL;
    return 0;
}

/* Darknet's net->output is the output of the last layer that is not a cost; dropout's has just moved. */
static void refresh_output(network *net)
{
    int i = net->n - 1;
    while (i > 0 && net->layers[i].type == COST) --i;
    if (net->layers[i].type == DROPOUT) net->output = net->layers[i].output;
}

static const cpu_kernels *kernels_of(const network *net, const cpu_options *options)
{
    if (options->backend != BACKEND_DNNL) return &cpu_wide;
    return cpu_choose_kernels(net, options);
}

/* Makes what the network's layers share, as the options have it. */
static cpu_shared *make_shared(const network *net, const cpu_options *options)
{
    cpu_shared *shared = mem_calloc(1, sizeof *shared);
    shared->kernels = kernels_of(net, options);
    shared->users = 1;
    shared->layers = net->layers;
    shared->precision = options->precision;
    if (options->products) {
        shared->products = mem_calloc((size_t)net->n, 1);
        memcpy(shared->products, options->products, (size_t)net->n);
    }
    shared->input_delta = options->input_delta;
    shared->statistics = options->statistics;
    shared->state = mem_calloc((size_t)net->n, sizeof *shared->state);
    return shared;
}

int cpu_bind(network *net, const cpu_options *options, diag *d)
{
    cpu_unbind(net);
    cpu_shared *shared = make_shared(net, options);
    int bad = 0;
    for (int i = 0; i < net->n; ++i) bad |= bind_layer(&net->layers[i], options, i, shared, d);
    if (!bad && has_layouts(options)) shared->kernels->lay_out(net, shared, options->keep);
    cpu_leave_shared(shared);
    if (bad) cpu_unbind(net);
    else refresh_output(net);
    return bad ? -1 : 0;
}

/* Puts back what the host had put into the layer, and frees its state. */
static void unbind_layer(layer *l)
{
    cpu_state *state = cpu_state_of(l);
    if (!state) return;
    if (state->row->free) state->row->free(l, state);
    if (state->hides_delta && l->delta) free(state->host_delta);   /* the host has resized the layer since */
    else if (state->hides_delta) l->delta = state->host_delta;
    l->forward = state->host_forward;
    l->backward = state->host_backward;
    l->update = state->host_update;
    l->self_layer = NULL;
    state->shared->state[state->index] = NULL;
    cpu_leave_shared(state->shared);
    free(state);
}

void cpu_unbind(network *net)
{
    if (!net) return;
    for (int i = 0; i < net->n; ++i) unbind_layer(&net->layers[i]);
    refresh_output(net);
}

void cpu_time_layers(const network *net, double *seconds)
{
    for (int i = 0; i < net->n; ++i) {
        const cpu_state *state = cpu_state_of(&net->layers[i]);
        if (state) state->shared->seconds = seconds;
    }
}

const char *cpu_precision_name(cpu_precision precision) { return precision == PRECISION_BF16 ? "bf16" : "fp32"; }

const char *cpu_layer_runs_on(const layer *l)
{
    const cpu_state *state = cpu_state_of(l);
    return state ? state->runs_on : "host";
}

cpu_numbers cpu_layer_output(const network *net, int i)
{
    const layer *l = &net->layers[i];
    const cpu_state *state = cpu_state_of(l);
    if (!state || !state->blocked) return (cpu_numbers){ .floats = l->output, .n = cpu_floats(l) };
    size_t n = state->shared->kernels->blocked_numbers(l);
    if (state->shared->kernels->half) return (cpu_numbers){ .halves = state->out, .n = n };
    return (cpu_numbers){ .floats = state->out, .n = n };
}

void cpu_weights_changed(network *net)
{
    for (int i = 0; i < net->n; ++i) {
        cpu_state *state = cpu_state_of(&net->layers[i]);
        if (state && state->row->weights_changed) state->row->weights_changed(state);
    }
}

void cpu_resized(network *net)
{
    for (int i = 0; i < net->n; ++i) {
        cpu_state *state = cpu_state_of(&net->layers[i]);
        if (state && state->row->resized) state->row->resized(&net->layers[i], state);
    }
    refresh_output(net);
}

/* ---- running statistics ---- */

int cpu_statistics_count(const layer *l)
{
    const cpu_state *state = cpu_state_of(l);
    return state ? state->statistics : 0;
}

void cpu_set_statistics_count(layer *l, int count)
{
    cpu_state *state = cpu_state_of(l);
    if (state) state->statistics = count < 0 ? 0 : count;
}

double cpu_statistics_left(int *count, int batches)
{
    double left = 1;
    for (int i = 0; i < batches; ++i) {
        cpu_state average = { .statistics = *count };
        left *= 1 - cpu_statistics_rate(&average);
        *count = average.statistics;
    }
    return left;
}

double cpu_statistics_loss(const network *net, int *layers)
{
    double sum = 0;
    int measured = 0;
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        const cpu_state *state = cpu_state_of(l);
        if (!state || !cpu_measures(l, state)) continue;
        batchnorm_distance far = batchnorm_far(l);
        sum += far.mean + far.variance;
        ++measured;
    }
    if (layers) *layers = measured;
    return sum;
}

void cpu_statistics_forget(network *net)
{
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        if (l->batch_normalize && l->mean) memcpy(l->mean, l->rolling_mean, (size_t)l->out_c * sizeof *l->mean);
    }
}

static int any_statistics(const layer *l)
{
    for (int i = 0; i < l->out_c; ++i)
        if (l->rolling_mean[i] != 0 || l->rolling_variance[i] != 0) return 1;
    return 0;
}

void cpu_statistics_loaded(network *net, int begin, int end)
{
    for (int i = begin; i < end && i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (l->batch_normalize && l->rolling_mean) cpu_set_statistics_count(l, any_statistics(l) ? CPU_LOADED : 0);
    }
    cpu_weights_changed(net);
}
