/* Convolutional layers on blocked maps (vec.h), batch norm and a following shortcut included.
 *
 *   training, BN     x = conv -> p->x, with its sums where the arithmetic makes them; y = act(BN(x) [+ z])
 *   else             y = act(conv(x, w) + b [+ z]), batch norm folded into w and b
 *   backward         delta through activation and BN, z's share added or handed over; then dw +=, then the delta of what
 *                    the layer read
 *
 * z is the other operand of a shortcut that layout.c has joined to this layer; y is then the shortcut's output. */
#include "batchnorm_blocked.h"
#include "conv.h"
#include "vec.h"

/* The layer whose output this one computes: itself, or the shortcut joined to it. */
static const layer *output_layer(const layer *l, const cpu_state *s, const network *net)
{
    return s->sum ? &net->layers[s->index + 1] : l;
}

/* The shortcut's other operand. */
static cpu_state *other_operand(const cpu_state *s, const network *net)
{
    return s->sum ? cpu_blocked_at(net, net->layers[s->index + 1].index) : NULL;
}

static size_t input_map(const layer *l) { return (size_t)l->h * (size_t)l->w; }

/* The input as the plan wants it. */
static const float *input_of(const layer *l, const conv_plan *p, const cpu_state *s, const network *net)
{
    const cpu_state *before = cpu_blocked_at(net, s->index - 1);
    if (before) return before->y;
    if (!p->s.x_blocked) return net->input;
    cpu_to_blocked(net->input, l->batch, l->c, input_map(l), s->shared->slot[SLOT_INPUT]);
    return s->shared->slot[SLOT_INPUT];
}

static float *room_for_x(const layer *l, conv_plan *p, cpu_state *s)
{
    return p->x = cpu_refit(s->shared, p->x, &p->x_floats, cpu_blocked_floats(l));
}

static void forward_train(const layer *l, conv_plan *p, cpu_state *s, const float *in, const float *z, ACTIVATION a, float *y)
{
    float *x = room_for_x(l, p, s);
    size_t parts = (size_t)l->batch;
    if (p->math->parts) {
        conv_after after = { .sums = batchnorm_sums(l, s->shared), .shift = batchnorm_shift(l, s->shared) };
        parts = p->math->parts(p->impl);
        p->math->forward(p->impl, in, l->weights, &after, x);
    } else {
        p->math->forward(p->impl, in, l->weights, NULL, x);
        batchnorm_measure(l, x, s->shared);
    }
    batchnorm_finish(l, x, parts, conv_statistics_rate(s), s->shared);
    batchnorm_apply(l, x, z, a, y, s->shared);
}

static void forward_folded(const layer *l, conv_plan *p, cpu_state *s, const float *in, const float *z, ACTIVATION a, float *y)
{
    const float *w = conv_folded(l, p, s);
    int adds = p->math->adds;
    conv_after after = { .bias = p->bias, .add = adds ? z : NULL, .activation = z && !adds ? LINEAR : a };
    p->math->forward(p->impl, in, w, &after, y);
    if (z && !adds) blocked_add_activate(l, z, a, y);
}

void forward_conv_blocked(const layer *l, conv_plan *p, cpu_state *s, network *net)
{
    const layer *out = output_layer(l, s, net);
    const cpu_state *z = other_operand(s, net);
    const float *in = input_of(l, p, s, net);
    float *y = cpu_output(out, s->sum ? s->sum : s);
    (l->batch_normalize && net->train ? forward_train : forward_folded)(l, p, s, in, z ? z->y : NULL, out->activation, y);
}

/* Delta of what the convolution itself computed, the caller's to give back. z's delta is seen to. */
static float *own_delta(const layer *l, conv_plan *p, cpu_state *s, network *net)
{
    const layer *out = output_layer(l, s, net);
    cpu_state *result = s->sum ? s->sum : s, *z = other_operand(s, net);
    int updates = s->mode == CPU_TRAINED, knows_x = l->batch_normalize && updates;
    batchnorm_gradient g = { .x = knows_x ? p->x : NULL, .y = s->sum || !knows_x ? result->y : NULL, .activation = out->activation,
                             .train = net->train, .updates = updates, .d = cpu_take_delta(out, result) };
    int hand_over = z && z->mode != CPU_FROZEN && !z->d;
    g.also = z && z->mode != CPU_FROZEN ? z->d : NULL;
    g.dx = hand_over ? cpu_take(s->shared, cpu_blocked_floats(l)) : g.d;
    batchnorm_backward_blocked(l, &g, s->shared);
    if (hand_over) z->d = g.d;
    return g.dx;
}

static void pass_on(const layer *l, conv_plan *p, cpu_state *s, network *net, const float *d)
{
    cpu_state *before = cpu_blocked_at(net, s->index - 1);
    int add = 1;
    if (before && before->mode == CPU_FROZEN) return;
    if (before) {
        float *to = cpu_delta_of(&net->layers[s->index - 1], before, &add);
        p->math->backward_data(p->impl, l->weights, d, to, add);
    } else if (net->delta && p->s.x_blocked) {
        float *to = s->shared->slot[SLOT_INPUT];
        p->math->backward_data(p->impl, l->weights, d, to, 0);
        cpu_add_plain(to, l->batch, l->c, input_map(l), net->delta);
    } else if (net->delta) {
        p->math->backward_data(p->impl, l->weights, d, net->delta, 1);
    }
}

void backward_conv_blocked(const layer *l, conv_plan *p, cpu_state *s, network *net)
{
    int updates = s->mode == CPU_TRAINED;
    const float *in = updates ? input_of(l, p, s, net) : NULL;
    if (updates && l->batch_normalize && !net->train)   /* folded: x was never computed */
        p->math->forward(p->impl, in, l->weights, NULL, room_for_x(l, p, s));
    float *d = own_delta(l, p, s, net);
    if (updates) p->math->backward_weights(p->impl, in, d, l->weight_updates);
    pass_on(l, p, s, net, d);
    cpu_give(s->shared, d);
}
