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
static const layer *output_layer(const layer *l, const cpu_state *state, const network *net)
{
    return state->sum ? &net->layers[state->index + 1] : l;
}

/* The shortcut's other operand. */
static cpu_state *other_operand(const cpu_state *state, const network *net)
{
    return state->sum ? cpu_blocked_at(net, net->layers[state->index + 1].index) : NULL;
}

static size_t input_map(const layer *l) { return (size_t)l->h * (size_t)l->w; }

/* The input as the plan wants it. */
static const float *input_of(const layer *l, const conv_plan *plan, const cpu_state *state, const network *net)
{
    const cpu_state *before = cpu_blocked_at(net, state->index - 1);
    if (before) return before->y;
    if (!plan->s.x_blocked) return net->input;
    cpu_to_blocked(net->input, l->batch, l->c, input_map(l), state->shared->slot[SLOT_INPUT]);
    return state->shared->slot[SLOT_INPUT];
}

static float *room_for_x(const layer *l, conv_plan *plan, cpu_state *state)
{
    return plan->x = cpu_refit(state->shared, plan->x, &plan->x_floats, cpu_blocked_floats(l));
}

static void forward_train(const layer *l, conv_plan *plan, cpu_state *state, const float *in, const float *z, ACTIVATION a, float *y)
{
    float *x = room_for_x(l, plan, state);
    size_t parts = (size_t)l->batch;
    if (plan->math->parts) {
        conv_after after = { .sums = batchnorm_sums(l, state->shared), .shift = batchnorm_shift(l, state->shared) };
        parts = plan->math->parts(plan->impl);
        plan->math->forward(plan->impl, in, l->weights, &after, x);
    } else {
        plan->math->forward(plan->impl, in, l->weights, NULL, x);
        batchnorm_measure(l, x, state->shared);
    }
    batchnorm_finish(l, x, parts, conv_statistics_rate(state), state->shared);
    batchnorm_apply(l, x, z, a, y, state->shared);
}

static void forward_folded(const layer *l, conv_plan *plan, cpu_state *state, const float *in, const float *z, ACTIVATION a, float *y)
{
    const float *w = conv_folded(l, plan, state);
    int adds = plan->math->adds;
    conv_after after = { .bias = plan->bias, .add = adds ? z : NULL, .activation = z && !adds ? LINEAR : a };
    plan->math->forward(plan->impl, in, w, &after, y);
    if (z && !adds) blocked_add_activate(l, z, a, y);
}

void forward_conv_blocked(const layer *l, conv_plan *plan, cpu_state *state, network *net)
{
    const layer *out = output_layer(l, state, net);
    const cpu_state *z = other_operand(state, net);
    const float *in = input_of(l, plan, state, net);
    float *y = cpu_output(out, state->sum ? state->sum : state);
    (l->batch_normalize && net->train ? forward_train : forward_folded)(l, plan, state, in, z ? z->y : NULL, out->activation, y);
}

/* Delta of what the convolution itself computed, the caller's to give back. z's delta is seen to. */
static float *own_delta(const layer *l, conv_plan *plan, cpu_state *state, network *net)
{
    const layer *out = output_layer(l, state, net);
    cpu_state *result = state->sum ? state->sum : state, *z = other_operand(state, net);
    int updates = state->mode == CPU_TRAINED, knows_x = l->batch_normalize && updates;
    batchnorm_gradient g = { .x = knows_x ? plan->x : NULL, .y = state->sum || !knows_x ? result->y : NULL, .activation = out->activation,
                             .train = net->train, .updates = updates, .d = cpu_take_delta(out, result) };
    int hand_over = z && z->mode != CPU_FROZEN && !z->d;
    g.also = z && z->mode != CPU_FROZEN ? z->d : NULL;
    g.dx = hand_over ? cpu_take(state->shared, cpu_blocked_floats(l)) : g.d;
    batchnorm_backward_blocked(l, &g, state->shared);
    if (hand_over) z->d = g.d;
    return g.dx;
}

static void pass_on(const layer *l, conv_plan *plan, cpu_state *state, network *net, const float *d)
{
    cpu_state *before = cpu_blocked_at(net, state->index - 1);
    int add = 1;
    if (before && before->mode == CPU_FROZEN) return;
    if (before) {
        float *to = cpu_delta_of(&net->layers[state->index - 1], before, &add);
        plan->math->backward_data(plan->impl, l->weights, d, to, add);
    } else if (net->delta && plan->s.x_blocked) {
        float *to = state->shared->slot[SLOT_INPUT];
        plan->math->backward_data(plan->impl, l->weights, d, to, 0);
        cpu_add_plain(to, l->batch, l->c, input_map(l), net->delta);
    } else if (net->delta) {
        plan->math->backward_data(plan->impl, l->weights, d, net->delta, 1);
    }
}

void backward_conv_blocked(const layer *l, conv_plan *plan, cpu_state *state, network *net)
{
    int updates = state->mode == CPU_TRAINED;
    const float *in = updates ? input_of(l, plan, state, net) : NULL;
    if (updates && l->batch_normalize && !net->train)   /* folded: x was never computed */
        plan->math->forward(plan->impl, in, l->weights, NULL, room_for_x(l, plan, state));
    float *d = own_delta(l, plan, state, net);
    if (updates) plan->math->backward_weights(plan->impl, in, d, l->weight_updates);
    pass_on(l, plan, state, net, d);
    cpu_give(state->shared, d);
}
