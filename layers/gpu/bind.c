/* Binding on a device: Darknet's own *_gpu functions run between ours, which keep the modes (layers/cpu/cpu.h) and mend them,
 * one row a type:
 *
 *   convolutional   1x1 without cuDNN: the stride was ignored, and the gradient overwrote net.delta where it has to be added.
 *                   Strided pixels are picked first; the gradient is made in memory of its own and added. Batch norm and the
 *                   activation are one pass
 *   connected       the gradient was cut to +-1
 *   activation      its gradient overwrote net.delta, and a first layer's crashed
 *   route           took a launch for each image
 *   shortcut        took three passes: copied, added, activated
 *   dropout         shared its predecessor's buffers and drew from the clock; here it has its own, and the CPU's draws
 *   all             Adam: decay moved biases and scales, and epsilon depended on the batch's size
 *
 * State hangs on the CPU binding's (cpu_state.gpu). A frozen layer is skipped while the network trains. */
#include "bind.h"

#include "darknet_plugin/base/mem.h"
#include "layers/cpu/state.h"
#include "layers/sections.h"

#include <stdlib.h>

/* Exported by the library, in none of its installed headers. */
void gradient_array_gpu(float *x, int n, ACTIVATION a, float *delta);
void backward_bias_gpu(float *bias_updates, float *delta, int batch, int n, int size);
void backward_batchnorm_layer_gpu(layer l, network net);
void gemm_gpu(int ta, int tb, int m, int n, int k, float alpha, float *a, int lda, float *b, int ldb, float beta, float *c, int ldc);

typedef struct gpu_state gpu_state;

typedef struct gpu_row {
    LAYER_TYPE type;
    int (*make)(layer *l, gpu_state *g, diag *d);                      /* 0, or -1 with a message; NULL: nothing to do */
    void (*forward)(layer *l, gpu_state *g, network *net);             /* NULL: the host's */
    void (*backward)(layer *l, gpu_state *g, network *net);
    void (*free)(layer *l, gpu_state *g);                              /* may be NULL */
} gpu_row;

struct gpu_state {
    const gpu_row *row;
    const cpu_state *cpu;             /* borrowed */
    float *picked, *delta;            /* scratch of the size of the input, on the device, owned; NULL if not needed */
    float *waste;                     /* gradients of weights that do not move, on the device, owned; NULL if they do */
    size_t scratch;                   /* floats of each */
    float slope;                      /* of the activation that our kernel applies, not the host's; 1: none */
    float *host_output, *host_delta;  /* dropout: what l.output_gpu and l.delta_gpu were */
    void (*host_forward)(layer, network);
    void (*host_backward)(layer, network);
    void (*host_update)(layer, update_args);
};

static size_t inputs_of(const layer *l) { return (size_t)l->inputs * (size_t)l->batch; }
static size_t outputs_of(const layer *l) { return (size_t)l->outputs * (size_t)l->batch; }

/* ---- convolutional ---- */

/* cuDNN knows strides and padding. */
#ifdef CUDNN
enum { BY_CUDNN = 1 };
#else
enum { BY_CUDNN = 0 };
#endif

static int is_1x1(const layer *l) { return l->size == 1; }
static int is_strided(const layer *l) { return is_1x1(l) && l->stride > 1 && !BY_CUDNN; }

/* The slope that says all of this activation (sloped() in arrays_ops.h), or -1. */
static float slope_of(ACTIVATION a)
{
    return a == RELU ? 0 : a == LEAKY ? .1f : a == LINEAR ? 1 : -1;
}

static void free_scratch(layer *l, gpu_state *g)
{
    (void)l;
    cuda_free(g->picked);
    cuda_free(g->delta);
    cuda_free(g->waste);
    g->picked = g->delta = g->waste = NULL;
    g->scratch = 0;
}

static int make_conv(layer *l, gpu_state *g, diag *d)
{
    if (is_1x1(l) && l->pad && !BY_CUDNN) {
        diag_error(d, NULL, 0, "convolutional", "layer %d: padding=%d around a 1x1 convolution is not computed on a GPU", g->cpu->index, l->pad);
        return -1;
    }
    if (l->batch_normalize && slope_of(l->activation) >= 0) g->slope = slope_of(l->activation);
    g->scratch = inputs_of(l);
    if (g->cpu->mode == CPU_FROZEN_WEIGHTS) g->waste = cuda_make_array(NULL, (size_t)(l->nweights > l->n ? l->nweights : l->n));
    if (!is_1x1(l)) return 0;
    if (is_strided(l)) g->picked = cuda_make_array(NULL, inputs_of(l));
    if (g->cpu->mode != CPU_FROZEN && g->cpu->index > 0) g->delta = cuda_make_array(NULL, inputs_of(l));
    return 0;
}

/* The layer that a strided 1x1 is on picked pixels. */
static void pick_input(layer *l, gpu_state *g, network *net)
{
    gpu_pick(net->input_gpu, l->batch * l->c, l->h, l->w, l->stride, g->picked, l->out_h, l->out_w);
    net->input_gpu = g->picked;
    l->h = l->out_h;
    l->w = l->out_w;
    l->stride = 1;
}

static void forward_conv(layer *l, gpu_state *g, network *net)
{
    if (g->picked) pick_input(l, g, net);
    if (g->slope != 1) l->activation = LINEAR;
    g->host_forward(*l, *net);
}

static void backward_conv(layer *l, gpu_state *g, network *net)
{
    float *delta = net->delta_gpu;
    int h = l->h, w = l->w, stride = l->stride;
    if (g->picked) pick_input(l, g, net);
    if (g->waste) l->weight_updates_gpu = l->bias_updates_gpu = g->waste;
    if (!delta || !is_1x1(l)) {
        g->host_backward(*l, *net);
        return;
    }
    size_t n = (size_t)l->batch * (size_t)l->c * (size_t)l->h * (size_t)l->w;
    fill_gpu((int)n, 0, g->delta, 1);
    net->delta_gpu = g->delta;
    g->host_backward(*l, *net);
    if (g->picked) gpu_put(g->delta, l->batch * l->c, h, w, stride, delta, l->out_h, l->out_w);
    else gpu_mask(g->delta, NULL, delta, n, 1);
}

/* ---- connected ---- */

static void backward_connected(layer *l, gpu_state *g, network *net)
{
    (void)g;
    gradient_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation, l->delta_gpu);
    if (l->batch_normalize) backward_batchnorm_layer_gpu(*l, *net);
    else backward_bias_gpu(l->bias_updates_gpu, l->delta_gpu, l->batch, l->outputs, 1);
    gemm_gpu(1, 0, l->outputs, l->inputs, l->batch, 1, l->delta_gpu, l->outputs, net->input_gpu, l->inputs, 1, l->weight_updates_gpu, l->inputs);
    if (!net->delta_gpu) return;
    gemm_gpu(0, 0, l->batch, l->inputs, l->outputs, 1, l->delta_gpu, l->outputs, l->weights_gpu, l->inputs, 1, net->delta_gpu, l->inputs);
}

/* ---- activation ---- */

static void backward_activation(layer *l, gpu_state *g, network *net)
{
    (void)g;
    if (!net->delta_gpu) return;
    gradient_array_gpu(l->output_gpu, l->outputs * l->batch, l->activation, l->delta_gpu);
    gpu_mask(l->delta_gpu, NULL, net->delta_gpu, outputs_of(l), 1);
}

/* ---- route ---- */

static void forward_route(layer *l, gpu_state *g, network *net)
{
    float *to = l->output_gpu;
    (void)g;
    for (int i = 0; i < l->n; to += l->input_sizes[i++]) {
        size_t n = (size_t)l->input_sizes[i];
        gpu_part(net->layers[l->input_layers[i]].output_gpu, n, to, (size_t)l->outputs, n, (size_t)l->batch, 0);
    }
}

static void backward_route(layer *l, gpu_state *g, network *net)
{
    float *from = l->delta_gpu;
    (void)g;
    for (int i = 0; i < l->n; from += l->input_sizes[i++]) {
        size_t n = (size_t)l->input_sizes[i];
        gpu_part(from, (size_t)l->outputs, net->layers[l->input_layers[i]].delta_gpu, n, n, (size_t)l->batch, 1);
    }
}

/* ---- shortcut ---- */

static void forward_shortcut(layer *l, gpu_state *g, network *net)
{
    float slope = slope_of(l->activation);
    if (is_same_shape_shortcut(l) && slope >= 0)
        gpu_sum(net->input_gpu, l->alpha, net->layers[l->index].output_gpu, l->beta, slope, l->output_gpu, outputs_of(l));
    else g->host_forward(*l, *net);
}

/* ---- dropout ---- */

static int make_dropout(layer *l, gpu_state *g, diag *d)
{
    (void)d;
    g->host_output = l->output_gpu;
    g->host_delta = l->delta_gpu;
    l->output_gpu = cuda_make_array(NULL, outputs_of(l));
    l->delta_gpu = cuda_make_array(NULL, outputs_of(l));
    return 0;
}

static void free_dropout(layer *l, gpu_state *g)
{
    cuda_free(l->output_gpu);
    cuda_free(l->delta_gpu);
    l->output_gpu = g->host_output;
    l->delta_gpu = g->host_delta;
}

static void forward_dropout(layer *l, gpu_state *g, network *net)
{
    if (net->train) {
        draw_cpu_dropout(l, g->cpu, net);
        cuda_push_array(l->rand_gpu, l->rand, outputs_of(l));
    }
    gpu_mask(net->input_gpu, net->train ? l->rand_gpu : NULL, l->output_gpu, outputs_of(l), 0);
}

static void backward_dropout(layer *l, gpu_state *g, network *net)
{
    (void)g;
    if (net->delta_gpu) gpu_mask(l->delta_gpu, net->train ? l->rand_gpu : NULL, net->delta_gpu, outputs_of(l), 1);
}

/* ---- the table ---- */

static const gpu_row rows[] = {
    { .type = CONVOLUTIONAL, .make = make_conv, .forward = forward_conv, .backward = backward_conv, .free = free_scratch },
    { .type = CONNECTED, .backward = backward_connected },
    { .type = ACTIVE, .backward = backward_activation },
    { .type = SHORTCUT, .forward = forward_shortcut },
    { .type = ROUTE, .forward = forward_route, .backward = backward_route },
    { .type = DROPOUT, .make = make_dropout, .forward = forward_dropout, .backward = backward_dropout, .free = free_dropout },
};
static const gpu_row host_row = { .type = BLANK };

static gpu_state *gpu_state_of(const layer *l)
{
    cpu_state *s = cpu_state_of(l);
    return s ? s->gpu : NULL;
}

static void bound_forward(layer l, network net)
{
    gpu_state *g = gpu_state_of(&l);
    if (g->cpu->mode == CPU_FROZEN && net.train) return;   /* nothing trained reads it */
    if (g->cpu->mode != CPU_TRAINED) net.train = 0;
    if (g->row->forward) g->row->forward(&l, g, &net);
    else g->host_forward(l, net);
}

static void bound_backward(layer l, network net)
{
    gpu_state *g = gpu_state_of(&l);
    if (g->cpu->mode == CPU_FROZEN) return;
    if (g->cpu->mode != CPU_TRAINED) net.train = 0;
    if (g->row->backward) g->row->backward(&l, g, &net);
    else g->host_backward(l, net);
}

static void bound_update(layer l, update_args a)
{
    size_t n = (size_t)l.out_c, weights = cpu_weights(&l);
    float rate = a.learning_rate * l.learning_rate_scale;
    gpu_update_array(l.biases_gpu, l.bias_updates_gpu, l.bias_m_gpu, l.bias_v_gpu, n, rate, 0, &a);
    if (l.batch_normalize) gpu_update_array(l.scales_gpu, l.scale_updates_gpu, l.scale_m_gpu, l.scale_v_gpu, n, rate, 0, &a);
    gpu_update_array(l.weights_gpu, l.weight_updates_gpu, l.m_gpu, l.v_gpu, weights, rate, a.decay, &a);
}

float gpu_slope(const layer *l)
{
    gpu_state *g = gpu_state_of(l);
    return g ? g->slope : 1;
}

double gpu_statistics_rate(const layer *l)
{
    cpu_state *s = cpu_state_of(l);
    if (!s || s->statistics >= 100) return .01;
    return 1. / ++s->statistics;
}

/* ---- binding ---- */

static const gpu_row *row_of(const layer *l)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (rows[i].type == l->type) return &rows[i];
    return &host_row;
}

static int bind_layer(layer *l, diag *d)
{
    cpu_state *s = cpu_state_of(l);
    if (!s || s->gpu) return 0;
    gpu_state *g = mem_calloc(1, sizeof *g);
    g->row = row_of(l);
    g->cpu = s;
    g->slope = 1;
    g->host_forward = l->forward_gpu;
    g->host_backward = l->backward_gpu;
    g->host_update = l->update_gpu;
    if (g->row->make && g->row->make(l, g, d)) {
        free(g);
        return -1;
    }
    s->gpu = g;
    l->forward_gpu = bound_forward;
    l->backward_gpu = bound_backward;
    if (s->mode != CPU_TRAINED) l->update_gpu = NULL;
    else if (s->row->update) l->update_gpu = bound_update;
    return 0;
}

int gpu_bind(network *net, diag *d)
{
    int bad = 0;
    for (int i = 0; gpu_has(net) && i < net->n; ++i) {
        layer *l = &net->layers[i];
        const section_type *loss = section_type_of_layer(l);
        if (loss) loss->to_device(l);
        else bad |= bind_layer(l, d);
        if (l->forward_gpu || bad) continue;
        diag_error(d, NULL, 0, NULL, "layer %d cannot run on a GPU: this Darknet has no kernels for it", i);
        bad = -1;
    }
    return bad;
}

static void unbind_layer(layer *l)
{
    gpu_state *g = gpu_state_of(l);
    if (!g) return;
    if (g->row->free) g->row->free(l, g);
    l->forward_gpu = g->host_forward;
    l->backward_gpu = g->host_backward;
    l->update_gpu = g->host_update;
    cpu_state_of(l)->gpu = NULL;
    free(g);
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
        layer *l = &net->layers[i];
        gpu_state *g = gpu_state_of(l);
        if (!g || g->row->type != CONVOLUTIONAL || g->scratch == inputs_of(l)) continue;
        free_scratch(l, g);
        make_conv(l, g, NULL);
    }
}

const char *gpu_runs_on(const layer *l)
{
    const gpu_row *row = row_of(l);
    int ours = row->forward && row->forward != forward_conv;
    return section_type_of_layer(l) || ours ? "GPU, plugin" : "GPU";
}
