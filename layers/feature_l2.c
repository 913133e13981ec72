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
#include "feature_l2_ops.h"

typedef struct feature_l2_state {
    feature_l2_params p;
    const float *target;   /* (batch, c, h*k, w*k), borrowed */
    double mse;
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

/* Sum of squared errors of `planes` maps: s (planes, h, w), t (planes, h*k, w*k). */
static double squared_error(const float *s, const float *t, size_t planes, int h, int w, int k)
{
    double sum = 0;
    for (size_t p = 0; p < planes; ++p, t += (size_t)h * w * k * k)
        for (int y = 0; y < h; ++y)
            for (int x = 0; x < w; ++x) sum += feature_l2_loss(*s++, feature_l2_target(t, w, k, y, x));
    return sum;
}

void forward_feature_l2_layer(layer l, host_state net)
{
    feature_l2_state *s = state_of(&l);
    size_t n = (size_t)l.outputs * (size_t)l.batch, planes = (size_t)l.batch * (size_t)l.out_c;
    memcpy(l.output, net.input, n * sizeof *l.output);
    if (!net.train) return;
    BUG_UNLESS(s->target, "feature_l2 is trained without a target");
    double sum = squared_error(l.output, s->target, planes, l.out_h, l.out_w, s->p.target_pool);
    s->mse = sum / (double)n;
    *l.cost = (float)(sum * factor_of(&l));
}

/* What layers above sent down (l.delta) passes through: the layer's output is its input. */
void backward_feature_l2_layer(layer l, host_state net)
{
    if (!net.delta) return;
    const feature_l2_state *st = state_of(&l);
    BUG_UNLESS(st->target, "feature_l2 is trained without a target");
    const float factor = (float)factor_of(&l), *s = l.output, *t = st->target, *above = l.delta;
    const int k = st->p.target_pool;
    size_t i = 0, plane = (size_t)l.out_h * l.out_w * k * k, planes = (size_t)l.batch * (size_t)l.out_c;
    for (size_t p = 0; p < planes; ++p, t += plane)
        for (int y = 0; y < l.out_h; ++y)
            for (int x = 0; x < l.out_w; ++x, ++i)
                net.delta[i] += feature_l2_delta(s[i], feature_l2_target(t, l.out_w, k, y, x), factor) + above[i];
}
