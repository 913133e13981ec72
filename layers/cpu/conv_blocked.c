/* Convolutional layers on blocked maps (vec.h), batch norm and a following shortcut included.
 *
 *   training, BN     x = conv -> p->x, with its sums where the arithmetic makes them; y = act(BN(x) [+ z])
 *   measured, BN     the same by the running statistics (cpu_options.statistics), without z
 *   else             y = act(conv(x, w) + b [+ z]), batch norm folded into w and b; two steps where the plan `splits`
 *   backward         delta through activation and BN, z's share added or handed over; then dw +=, then the delta of
 *                    what the layer read
 *
 * z is the other operand of a shortcut that layout.c has joined to this layer; y is then the shortcut's output. */
#include "batchnorm_blocked.h"
#include "conv.h"
#include "vec.h"

/* Where y goes: this layer's output or, where a shortcut is joined to it, that one's. */
typedef struct joined {
    const layer *l;
    cpu_state *state;
    cpu_state *z;          /* of the shortcut's other operand; NULL: there is no shortcut */
} joined;

static joined joined_of(const layer *l, cpu_state *state, const layer_call *call)
{
    if (!state->sum) return (joined){ l, state, NULL };
    const layer *shortcut = &call->net->layers[state->index + 1];
    return (joined){ shortcut, state->sum, cpu_blocked_at(state->shared, shortcut->index) };
}

static size_t input_map(const layer *l) { return (size_t)l->h * (size_t)l->w; }

/* The input as the plan wants it. */
static const void *input_of(const layer *l, const conv_plan *plan, const cpu_state *state, const layer_call *call)
{
    const cpu_state *before = cpu_blocked_at(state->shared, state->index - 1);
    if (before) return before->out;
    if (!plan->shape.x_blocked) return call->input;
    cpu_to_blocked(call->input, l->batch, l->c, input_map(l), state->shared->slot[SLOT_INPUT]);
    return state->shared->slot[SLOT_INPUT];
}

static map_value *room_for_x(const layer *l, conv_plan *plan, cpu_state *state)
{
    return conv_room_before(plan, state, cpu_blocked_bytes(l));
}

/* Convolves, measures and normalises: the arithmetic sums while it is at it, where it can. `train`: by this batch's
 * statistics, which move the running ones; else by those. */
static void forward_measuring(const layer *l, conv_plan *plan, cpu_state *state, const void *in, const map_value *z,
                              ACTIVATION act, int train, map_value *y)
{
    map_value *x = room_for_x(l, plan, state);
    size_t parts = (size_t)l->batch;
    if (plan->math->parts) {
        conv_after after = { .sums = batchnorm_sums(l, state->shared), .shift = batchnorm_shift(l, state->shared) };
        parts = plan->math->parts(plan->impl);
        conv_forward(plan, state->shared, in, l->weights, &after, x);
    } else {
        conv_forward(plan, state->shared, in, l->weights, NULL, x);
        batchnorm_measure(l, x, state->shared);
    }
    batchnorm_finish(l, x, parts, train ? cpu_statistics_rate(state) : 0, state->shared);
    if (!train) batchnorm_take_running(l, state->shared);
    batchnorm_apply(l, x, z, act, y, state->shared);
}

/* Batch norm in the weights; the activation in the same pass, unless its slope wants what came before it. */
static void forward_folded(const layer *l, conv_plan *plan, cpu_state *state, const void *in, const map_value *z,
                           ACTIVATION act, map_value *y)
{
    const float *w = conv_folded(l, plan, state);
    if (plan->splits) {
        conv_after linear = { .bias = plan->bias, .activation = LINEAR };
        conv_forward(plan, state->shared, in, w, &linear, room_for_x(l, plan, state));
        blocked_activate(l, plan->before, act, y);
        return;
    }
    int adds = plan->math->adds;
    conv_after after = { .bias = plan->bias, .add = adds ? z : NULL, .activation = z && !adds ? LINEAR : act };
    conv_forward(plan, state->shared, in, w, &after, y);
    if (z && !adds) blocked_add_activate(l, z, act, y);
}

void forward_conv_blocked(const layer *l, conv_plan *plan, cpu_state *state, const layer_call *call)
{
    joined to = joined_of(l, state, call);
    const void *in = input_of(l, plan, state, call);
    const map_value *z = to.z ? to.z->out : NULL;
    map_value *y = cpu_output(to.l, to.state);
    int train = l->batch_normalize && call->train;
    if (train || cpu_measures(l, state)) forward_measuring(l, plan, state, in, z, to.l->activation, train, y);
    else forward_folded(l, plan, state, in, z, to.l->activation, y);
}

/* The delta of what the convolution itself computed, the caller's to give back.
 *
 * Batch norm's backward makes it from y's delta d, in whose place it can stand, and leaves in d, where a shortcut is
 * joined, the delta of the sum, which is z's share, too: z's delta grows by it or, if z has none yet, d becomes z's.
 * Then it stands elsewhere. */
static map_value *own_delta(const layer *l, const conv_plan *plan, cpu_state *state, const layer_call *call)
{
    joined to = joined_of(l, state, call);
    batchnorm_gradient gradient = { .activation = to.l->activation, .train = call->train,
                                    .updates = state->mode == CPU_TRAINED, .d = cpu_take_delta(to.l, to.state) };
    if (cpu_measures(l, state)) gradient.pull = state->shared->statistics;
    if (l->batch_normalize && (gradient.updates || gradient.pull != 0)) gradient.x = plan->before;
    if (plan->splits) gradient.y = plan->before;
    else if (act_needs_input(gradient.activation)) gradient.add = to.z ? to.z->out : NULL;
    else if (to.z || !gradient.x) gradient.y = to.state->out;   /* x alone does not tell the slope */
    int shares = to.z && to.z->mode != CPU_FROZEN, inherits = shares && !to.z->d;
    if (shares) gradient.also = to.z->d;
    gradient.dx = inherits ? cpu_take(state->shared, cpu_blocked_bytes(l)) : gradient.d;
    batchnorm_backward_blocked(l, &gradient, state->shared);
    if (inherits) to.z->d = gradient.d;
    return gradient.dx;
}

/* From d, the convolution's own, the delta of what it read: a blocked map's, or the plain call->delta. */
static void backward_input(const layer *l, const conv_plan *plan, const cpu_state *state, const layer_call *call,
                           const map_value *d)
{
    if (cpu_blocked_at(state->shared, state->index - 1)) {
        int add;
        map_value *to = cpu_delta_of(state, state->index - 1, &add);
        if (to) conv_backward_data(plan, state->shared, l->weights, d, to, add);
    } else if (call->delta && plan->shape.x_blocked) {
        void *to = state->shared->slot[SLOT_INPUT];
        conv_backward_data(plan, state->shared, l->weights, d, to, 0);
        cpu_add_plain(to, l->batch, l->c, input_map(l), call->delta);
    } else if (call->delta) {
        conv_backward_data(plan, state->shared, l->weights, d, call->delta, 1);
    }
}

void backward_conv_blocked(const layer *l, conv_plan *plan, cpu_state *state, const layer_call *call)
{
    int updates = state->mode == CPU_TRAINED;
    const void *in = updates ? input_of(l, plan, state, call) : NULL;
    if (updates && l->batch_normalize && !call->train)   /* folded: x was never computed */
        conv_forward(plan, state->shared, in, l->weights, NULL, room_for_x(l, plan, state));
    map_value *d = own_delta(l, plan, state, call);
    if (updates) conv_backward_weights(plan, state->shared, in, d, l->weight_updates);
    backward_input(l, plan, state, call, d);
    cpu_give(state->shared, d);
}
