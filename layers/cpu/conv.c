/* Convolutional and connected layers: y = act(BN(conv(x, w))) or act(conv(x, w) + b).
 *
 *   training, BN     conv -> l.x, then one pass per channel does BN and activation -> l.output
 *   inference, BN    w * factor and b - mean * factor stand for BN, and oneDNN does everything in one go;
 *                    the plain loops keep the two passes, so that they check the folding too
 *   backward         delta through activation and BN in place, then dw += , then net.delta +=
 *
 * The arithmetic itself is behind conv_math. It is planned when the layer is bound, and again when the layer's shape or
 * the number of threads has changed since (resize_network, set_batch_network). */
#include "conv.h"

#include "batchnorm.h"
#include "parallel.h"

#include "../../darknet_plugin/mem.h"

#include <string.h>

typedef struct conv_plan {
    conv_shape s;
    conv_needs needs;
    int threads;
    const conv_math *math;
    void *impl;
} conv_plan;

int accepts_cpu_conv(const layer *l)
{
    return !l->binary && !l->xnor;
}

/* Connected layers come with h = w = 1 but without size, stride and groups. */
static conv_shape shape_of(const layer *l)
{
    conv_shape s = { .batch = l->batch, .c = l->c, .h = l->h, .w = l->w, .n = l->out_c, .out_h = l->out_h,
                     .out_w = l->out_w, .size = l->size, .stride = l->stride, .pad = l->pad, .groups = l->groups };
    if (l->type == CONNECTED) {
        s.c = l->inputs;
        s.n = l->outputs;
        s.size = s.stride = s.groups = 1;
        s.pad = 0;
    }
    return s;
}

static size_t filter_size(const conv_shape *s)
{
    return (size_t)(s->c / s->groups) * (size_t)s->size * (size_t)s->size;
}

static size_t folded_bytes(const conv_shape *s)
{
    return (size_t)s->n * (filter_size(s) + 1) * sizeof(float);
}

static const char *plan_with(conv_plan *p, const conv_math *math, cpu_shared *shared)
{
    p->threads = parallel_threads();
    p->math = math;
    if (!math || (math->fuses && p->needs.batchnorm && cpu_reserve(shared, SLOT_FOLD, folded_bytes(&p->s)))) return NULL;
    p->impl = math->make(&p->s, &p->needs, shared);
    return p->impl ? math->name : NULL;
}

/* Plans with oneDNN, or with the plain loops where that cannot be; the latter always can. */
static const char *plan_make(conv_plan *p, cpu_backend backend, cpu_shared *shared)
{
    const char *name = backend == BACKEND_DNNL ? plan_with(p, conv_dnnl(), shared) : NULL;
    if (name) return name;
    plan_with(p, &conv_reference, shared);
    return backend == BACKEND_DNNL ? "plugin" : "reference";
}

static conv_plan *plan_of(const layer *l, cpu_state *s)
{
    conv_plan *p = s->plan;
    conv_shape now = shape_of(l);
    if (memcmp(&now, &p->s, sizeof now) || p->threads != parallel_threads()) {
        p->math->free(p->impl);
        p->s = now;
        s->runs_on = plan_make(p, s->backend, s->shared);
    }
    return p;
}

int make_cpu_conv(layer *l, cpu_state *s, diag *d)
{
    (void)d;
    conv_plan *p = mem_calloc(1, sizeof *p);
    p->s = shape_of(l);
    p->needs.activation = l->activation;
    p->needs.batchnorm = l->batch_normalize;
    p->needs.raw = l->batch_normalize && s->mode == CPU_TRAINED;
    p->needs.weights = s->mode == CPU_TRAINED;
    p->needs.data = s->mode != CPU_FROZEN && s->index > 0;
    s->plan = p;
    s->runs_on = plan_make(p, s->backend, s->shared);
    return 0;
}

void free_cpu_conv(layer *l, cpu_state *s)
{
    (void)l;
    conv_plan *p = s->plan;
    p->math->free(p->impl);
    free(p);
}

/* Weights, then biases, that do what the convolution and an inference BN would; in the shared scratch. */
static const float *fold_batchnorm(const layer *l, const conv_plan *p, cpu_shared *shared)
{
    size_t n = (size_t)p->s.n, per = filter_size(&p->s);
    float *weights = shared->slot[SLOT_FOLD], *biases = weights + n * per;
    for (size_t i = 0; i < n; ++i) {
        float factor = batchnorm_factor(l, (int)i);
        for (size_t k = 0; k < per; ++k) weights[i * per + k] = l->weights[i * per + k] * factor;
        biases[i] = l->biases[i] - l->rolling_mean[i] * factor;
    }
    return weights;
}

static void forward_inference(const layer *l, conv_plan *p, cpu_state *s, const float *x)
{
    if (!p->math->fuses) {
        p->math->forward(p->impl, x, l->weights, NULL, l->output);
        if (l->batch_normalize) batchnorm_forward_inference(l, l->output, l->output);
        else bias_forward(l, l->biases, l->output);
    } else if (l->batch_normalize) {
        const float *w = fold_batchnorm(l, p, s->shared);
        p->math->forward(p->impl, x, w, w + (size_t)p->s.n * filter_size(&p->s), l->output);
    } else {
        p->math->forward(p->impl, x, l->weights, l->biases, l->output);
    }
}

void forward_cpu_conv(const layer *l, cpu_state *s, network *net)
{
    conv_plan *p = plan_of(l, s);
    if (!l->batch_normalize || !net->train) {
        forward_inference(l, p, s, net->input);
        return;
    }
    double rate = s->statistics < 100 ? 1.0 / (s->statistics + 1) : 0.01;
    if (s->statistics < 100) ++s->statistics;
    p->math->forward(p->impl, net->input, l->weights, NULL, l->x);
    batchnorm_forward_train(l, l->x, l->output, (float)rate);
}

void backward_cpu_conv(const layer *l, cpu_state *s, network *net)
{
    conv_plan *p = plan_of(l, s);
    int updates = s->mode == CPU_TRAINED;
    if (!l->batch_normalize) {
        bias_backward(l, updates);
    } else {
        if (!net->train && updates) p->math->forward(p->impl, net->input, l->weights, NULL, l->x);   /* folded: no l.x */
        batchnorm_backward(l, net->train, updates);
    }
    if (updates) p->math->backward_weights(p->impl, net->input, l->delta, l->weight_updates);
    if (net->delta) p->math->backward_data(p->impl, l->weights, l->delta, net->delta);
}
