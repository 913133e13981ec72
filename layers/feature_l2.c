/* [feature_l2] on the CPU (see feature_l2.h for the formulae, feature_l2_ops.h for one element of them).
 *
 * Darknet cannot be taught a layer type, so the layer begins as a parsed [activation] linear and gets these callbacks.
 * It calls itself UPSAMPLE of stride 1, the one type whose resizing does exactly what is wanted here: resize_network
 * ends the program on types it does not know. All sizes are therefore read from the layer, which the host keeps up to
 * date, and not from the parameters it was made with.
 *
 * Left out: a label-based loss. SimKD has none. */
#include "feature_l2.h"

#include "../darknet_plugin/bug.h"
#include "../darknet_plugin/mem.h"
#include "cpu/parallel.h"
#include "feature_l2_ops.h"

#include <stdlib.h>
#include <string.h>

typedef struct feature_l2_state {
    feature_l2_params p;
    const float *target;   /* (batch, c, h*k, w*k), borrowed */
    double mse;
    double *part;          /* (batch) squared error of each image, owned: added up in order, whatever the threads */
} feature_l2_state;

/* The state hangs where Darknet keeps an RNN's inner layer: the host touches that field of no other type. */
static feature_l2_state *state_of(const layer *l)
{
    return (feature_l2_state *)(void *)l->self_layer;
}

static int valid(const layer *l, const feature_l2_params *p, diag *d)
{
    size_t want = (size_t)p->c * (size_t)p->h * (size_t)p->w;
    if (p->c < 1 || p->h < 1 || p->w < 1 || p->target_pool < 1)
        diag_error(d, NULL, 0, "feature_l2", "impossible map of %dx%dx%d, teacher pooled by %d",
                   p->c, p->h, p->w, p->target_pool);
    else if (l->type != ACTIVE || l->activation != LINEAR || l->self_layer)
        diag_error(d, NULL, 0, "feature_l2", "stand-in is not an unbound linear [activation]");
    else if ((size_t)l->outputs != want)
        diag_error(d, NULL, 0, "feature_l2", "expected %dx%dx%d = %zu values per image, not %d",
                   p->c, p->h, p->w, want, l->outputs);
    else
        return 1;
    return 0;
}

int make_feature_l2_layer(layer *l, feature_l2_params p, diag *d)
{
    if (!valid(l, &p, d)) return -1;
    feature_l2_state *s = mem_calloc(1, sizeof *s);
    s->p = p;
    s->part = mem_calloc((size_t)l->batch, sizeof *s->part);
    l->self_layer = (layer *)(void *)s;
    l->type = UPSAMPLE;
    l->stride = 1;
    l->c = l->out_c = p.c;
    l->h = l->out_h = p.h;
    l->w = l->out_w = p.w;
    l->cost = mem_calloc(1, sizeof *l->cost);
    l->forward = forward_feature_l2_layer;
    l->backward = backward_feature_l2_layer;
    l->update = NULL;
    return 0;
}

void free_feature_l2_layer(layer *l)
{
    free(state_of(l)->part);
    free(state_of(l));
    l->self_layer = NULL;
}

void set_feature_l2_target(layer *l, const float *target)
{
    state_of(l)->target = target;
}

double feature_l2_mse(const layer *l)
{
    return state_of(l)->mse;
}

/* scale/D */
static double factor_of(const layer *l)
{
    const feature_l2_params *p = &state_of(l)->p;
    return p->scale / (p->mean ? (double)l->outputs : 1.0);
}

typedef struct l2_job {
    const layer *l;
    const feature_l2_state *s;
    const float *target;
    float *delta, factor;
} l2_job;

/* Floats of one image's target. */
static size_t target_size(const l2_job *j)
{
    return (size_t)j->l->outputs * (size_t)j->s->p.target_pool * (size_t)j->s->p.target_pool;
}

/* Sum of squared errors of each image: s (c, h, w), t (c, h*k, w*k). */
static void square_images(void *ctx, size_t begin, size_t end)
{
    const l2_job *j = ctx;
    int h = j->l->out_h, w = j->l->out_w, k = j->s->p.target_pool;
    size_t plane = (size_t)h * (size_t)w * (size_t)(k * k);
    for (size_t b = begin; b < end; ++b) {
        const float *s = j->l->output + b * (size_t)j->l->outputs, *t = j->target + b * target_size(j);
        double sum = 0;
        for (int c = 0; c < j->l->out_c; ++c, t += plane)
            for (int y = 0; y < h; ++y)
                for (int x = 0; x < w; ++x) sum += feature_l2_loss(*s++, feature_l2_target(t, w, k, y, x));
        j->s->part[b] = sum;
    }
}

void forward_feature_l2_layer(layer l, host_state net)
{
    feature_l2_state *s = state_of(&l);
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    memcpy(l.output, net.input, n * sizeof *l.output);
    if (!net.train) return;
    BUG_UNLESS(s->target, "feature_l2 is trained without a target");
    l2_job j = { .l = &l, .s = s, .target = s->target };
    double sum = 0;
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, square_images, &j);
    for (int b = 0; b < l.batch; ++b) sum += s->part[b];
    s->mse = sum / (double)n;
    *l.cost = (float)(sum * factor_of(&l));
}

/* What layers above sent down (l.delta) passes through: the layer's output is its input. */
static void pass_images(void *ctx, size_t begin, size_t end)
{
    const l2_job *j = ctx;
    int h = j->l->out_h, w = j->l->out_w, k = j->s->p.target_pool;
    size_t plane = (size_t)h * (size_t)w * (size_t)(k * k);
    for (size_t b = begin; b < end; ++b) {
        const float *s = j->l->output, *t = j->target + b * target_size(j), *above = j->l->delta;
        size_t i = b * (size_t)j->l->outputs;
        for (int c = 0; c < j->l->out_c; ++c, t += plane)
            for (int y = 0; y < h; ++y)
                for (int x = 0; x < w; ++x, ++i)
                    j->delta[i] += feature_l2_delta(s[i], feature_l2_target(t, w, k, y, x), j->factor) + above[i];
    }
}

void backward_feature_l2_layer(layer l, host_state net)
{
    if (!net.delta) return;
    const feature_l2_state *s = state_of(&l);
    BUG_UNLESS(s->target, "feature_l2 is trained without a target");
    l2_job j = { .l = &l, .s = s, .target = s->target, .delta = net.delta, .factor = (float)factor_of(&l) };
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, pass_images, &j);
}
