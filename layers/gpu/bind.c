/* Binding on a device: Darknet's own *_gpu functions run between ours, which keep the modes (layers/cpu/cpu.h) and mend
 * them, layer by layer, from one table. State hangs on the CPU binding's (cpu_state.gpu, state.h). */
#include "bind.h"
#include "state.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/host/host_fork.h"
#include "layers/cpu/activate.h"
#include "layers/fork_layers.h"
#include "layers/optimiser.h"
#include "layers/sections.h"

#include <stdlib.h>

static const gpu_row rows[] = {
    { .type = CONVOLUTIONAL, .accepts = fork_other_window, .make = make_gpu_other_conv,
      .forward = forward_gpu_other_conv, .backward = backward_gpu_other_conv, .free = free_gpu_conv,
      .resized = resized_gpu_conv },
    { .type = CONVOLUTIONAL, .make = make_gpu_conv, .forward = forward_gpu_conv, .backward = backward_gpu_conv,
      .free = free_gpu_conv, .resized = resized_gpu_conv, .mends = 1 },
    { .type = CONNECTED, .backward = backward_gpu_connected },
    { .type = ACTIVE, .backward = backward_gpu_activation },
    { .type = SHORTCUT, .forward = forward_gpu_shortcut },
    { .type = SOFTMAX, .forward = forward_gpu_softmax, .mends = 1 },
    { .type = ROUTE, .forward = forward_gpu_route, .backward = backward_gpu_route },
    { .type = DROPOUT, .make = make_gpu_dropout, .forward = forward_gpu_dropout, .backward = backward_gpu_dropout,
      .free = free_gpu_dropout },
    { .type = MAXPOOL, .accepts = fork_other_window, .forward = forward_gpu_other_maxpool,
      .backward = backward_gpu_other_maxpool },
    { .type = YOLO, .accepts = accepts_gpu_yolo, .make = make_gpu_yolo, .forward = forward_gpu_yolo,
      .free = free_gpu_yolo, .resized = resized_gpu_yolo },
    { .type = (LAYER_TYPE)LAYER_SCALE_CHANNELS, .forward = forward_gpu_product, .backward = backward_gpu_product },
    { .type = (LAYER_TYPE)LAYER_SAM, .forward = forward_gpu_product, .backward = backward_gpu_product },
    { .type = (LAYER_TYPE)LAYER_ROUTE_PART, .forward = forward_gpu_part, .backward = backward_gpu_part },
    { .type = (LAYER_TYPE)LAYER_REORG3D, .forward = forward_gpu_reorg3d, .backward = backward_gpu_reorg3d },
    { .type = (LAYER_TYPE)LAYER_SHORTCUT_SUM, .make = make_gpu_sum, .forward = forward_gpu_sum,
      .backward = backward_gpu_sum, .free = free_gpu_conv },
};
static const gpu_row host_row = { .type = BLANK };

static const gpu_row *row_of(const layer *l)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (rows[i].type == l->type && (!rows[i].accepts || rows[i].accepts(l))) return &rows[i];
    return &host_row;
}

static void loss_update(layer l, update_args args) { optimiser_update(&l, &args, 1, gpu_update_array); }

/* A loss of ours, with the parameters that it may have. */
static void bind_loss(layer *l, const section_type *loss)
{
    loss->to_device(l);
    if (l->nweights) l->update_gpu = loss_update;
}

/* The layer's activation, if the host lacks it, and room for what that is given where its slope is known from nothing
 * else. */
static void make_fork(const layer *l, gpu_state *state)
{
    int trains = state->cpu->mode != CPU_FROZEN;
    state->fork = act_is_ours(l->activation) ? (int)l->activation : 0;
    if (act_needs_input(l->activation) && trains && !l->batch_normalize)
        state->before = cuda_make_array(NULL, cpu_floats(l));
}

/* Binds what cpu_bind has bound. 0, or -1 with a message. */
static int bind_layer(layer *l, diag *d)
{
    cpu_state *cpu = cpu_state_of(l);
    if (!cpu || cpu->gpu) return 0;
    gpu_state *state = mem_calloc(1, sizeof *state);
    state->row = row_of(l);
    state->cpu = cpu;
    state->slope = 1;
    state->host_forward = l->forward_gpu;
    state->host_backward = l->backward_gpu;
    state->host_update = l->update_gpu;
    make_fork(l, state);
    if (state->row->make && state->row->make(l, state, d)) {
        cuda_free(state->before);
        free(state);
        return -1;
    }
    gpu_hang(l, cpu, state);
    return 0;
}

int gpu_bind(network *net, diag *d)
{
    int bad = 0;
    for (int i = 0; gpu_has(net) && i < net->n; ++i) {
        layer *l = &net->layers[i];
        const section_type *loss = section_type_of_layer(l);
        if (loss) bind_loss(l, loss);
        else bad |= bind_layer(l, d);
        if (l->forward_gpu || bad) continue;
        diag_error(d, NULL, 0, NULL, "layer %d cannot run on a GPU: this Darknet has no kernels for it", i);
        bad = -1;
    }
    return bad;
}

static void unbind_layer(layer *l)
{
    gpu_state *state = gpu_state_of(l);
    if (!state) return;
    if (state->row->free) state->row->free(l, state);
    gpu_unhang(l, state);
    cuda_free(state->before);
    free(state);
}

void gpu_unbind(network *net)
{
    for (int i = 0; net && gpu_has(net) && i < net->n; ++i) {
        layer *l = &net->layers[i];
        const section_type *loss = section_type_of_layer(l);
        if (loss) loss->from_device(l);
        else unbind_layer(l);
    }
}

void gpu_resized(network *net)
{
    for (int i = 0; gpu_has(net) && i < net->n; ++i) {
        gpu_state *state = gpu_state_of(&net->layers[i]);
        if (state && state->before) {
            cuda_free(state->before);
            make_fork(&net->layers[i], state);
        }
        if (state && state->row->resized) state->row->resized(&net->layers[i], state);
    }
}

const char *gpu_runs_on(const layer *l)
{
    const gpu_row *row = row_of(l);
    int ours = row->forward && !row->mends;
    return section_type_of_layer(l) || ours ? "GPU, plugin" : "GPU";
}
