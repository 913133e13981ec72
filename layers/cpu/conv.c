/* Convolutional and connected layers: y = act(BN(conv(x, w))) or act(conv(x, w) + b).
 *
 *   training, BN     conv -> l.x, then one pass per channel does BN and activation -> l.output
 *   measured, BN     the same, by the running statistics (cpu_options.statistics)
 *   inference, BN    w * factor and b - mean * factor stand for BN, and oneDNN does everything in one go;
 *                    the plain loops keep the two passes, so that they check the folding too
 *   backward         delta through activation and BN in place, then dw += , then net.delta +=
 *   splits           two steps instead of one, where backward wants to know what the activation was given and no l.x
 *                    tells it
 *
 * This file does it on Darknet's plain maps, conv_blocked.c on blocked ones. The arithmetic itself is behind conv_math.
 * It is planned when the layer is bound, and again when the layer's shape or the number of threads has changed since
 * (resize_network, set_batch_network). */
#include "conv.h"

#include "batchnorm.h"
#include "batchnorm_blocked.h"
#include "parallel.h"
#include "vec.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/fork_layers.h"

#include <stdlib.h>
#include <string.h>

int accepts_cpu_conv(const layer *l)
{
    return (!l->binary && !l->xnor) || fork_other_window(l);
}

/* oneDNN has blocked kernels for plain and depthwise convolutions of every size and stride; alone, Winograd must
 * fit. */
int accepts_blocked_conv(const layer *l, const cpu_state *state)
{
    (void)state;
    int depthwise = l->groups == l->c && l->groups == l->n;
    if (l->out_c < LANES / 2 || (l->out_h == 1 && l->out_w == 1) || (l->groups > 1 && !depthwise)) return 0;
    if (conv_dnnl()) return 1;
    if (fork_other_window(l)) return 0;
    return conv_winograd() && l->groups == 1 && l->c >= LANES / 2 && conv_winograd_knows(l->size, l->stride, l->pad);
}

/* Connected layers come with h = w = 1 but without size, stride and groups. */
static conv_shape shape_of(const layer *l, const cpu_state *state)
{
    conv_shape s = { .batch = l->batch, .c = l->c, .h = l->h, .w = l->w, .n = l->out_c, .out_h = l->out_h,
                     .out_w = l->out_w, .size = l->size, .stride = fork_stride_y(l), .across = fork_stride_x(l),
                     .dilation = fork_dilation(l), .pad = l->pad * fork_dilation(l), .groups = l->groups,
                     .y_blocked = state->blocked, .x_blocked = state->blocked && l->c >= LANES / 2 };
    if (l->type == CONNECTED) {
        s.c = l->inputs;
        s.n = l->outputs;
        s.size = s.stride = s.across = s.dilation = s.groups = 1;
        s.pad = 0;
    }
    return s;
}

static size_t folded_bytes(const conv_shape *shape)
{
    return (size_t)shape->n * (conv_filter_size(shape) + 1) * sizeof(float);
}

static const char *plan_with(conv_plan *plan, const conv_math *math, cpu_shared *shared)
{
    plan->threads = parallel_threads();
    plan->math = math;
    plan->folded = 0;
    if (!math || (plan->shape.y_blocked && !math->blocked)) return NULL;
    if (math->biases && plan->needs.batchnorm) cpu_reserve(shared, SLOT_FOLD, folded_bytes(&plan->shape));
    plan->impl = math->make(&plan->shape, &plan->needs, shared);
    if (plan->impl) conv_reserve_operands(plan, shared);
    return plan->impl ? math->name : NULL;
}

/* Room for a blocked layer's sums (a part an image, or as many as its arithmetic makes) and its input made blocked. */
static void reserve_blocked(const conv_plan *plan, const cpu_state *state)
{
    const conv_shape *shape = &plan->shape;
    size_t parts = plan->math->parts ? plan->math->parts(plan->impl) : 0;
    if (parts < (size_t)shape->batch) parts = (size_t)shape->batch;
    if (shape->x_blocked && state->plain_input)
        cpu_reserve(state->shared, SLOT_INPUT,
                    vec_numbers(shape->batch, shape->c, shape->h, shape->w) * sizeof(map_value));
    cpu_reserve(state->shared, SLOT_SUMS, batchnorm_sums_floats(parts, shape->n) * sizeof(float));
}

/* Is oneDNN to be asked before Winograd? */
static int products_first(const cpu_state *state)
{
    const char *chosen = state->shared->products;
    return state->shared->kernels->half && chosen && chosen[state->index] == CPU_PRODUCTS_DNNL;
}

/* Plans with the fastest arithmetic that can do it; the plain loops always can. */
static const char *plan_make(conv_plan *plan, const cpu_state *state)
{
    const conv_math *all[] = { conv_winograd(), conv_shares(), conv_dnnl() };
    size_t n = sizeof all / sizeof *all, first = products_first(state) ? 1 : 0;   /* Winograd first, or last */
    for (size_t i = 0; state->backend == BACKEND_DNNL && i < n; ++i) {
        const conv_math *fast = all[(first + i) % n];
        int slow = !first && conv_dnnl() && fast && fast->pays && !fast->pays(&plan->shape);
        const char *name = slow ? NULL : plan_with(plan, fast, state->shared);
        if (!name) continue;
        if (plan->shape.y_blocked) reserve_blocked(plan, state);
        return name;
    }
    BUG_UNLESS(!plan->shape.y_blocked, "no arithmetic for a blocked convolution");
    plan_with(plan, &conv_reference, state->shared);
    return state->backend == BACKEND_DNNL ? "plugin" : "reference";
}

/* The plan, made again where the layer's shape or the number of threads has changed. */
static conv_plan *plan_of(const layer *l, cpu_state *state)
{
    conv_plan *plan = state->plan;
    conv_shape now = shape_of(l, state);
    if (memcmp(&now, &plan->shape, sizeof now) || plan->threads != parallel_threads()) {
        plan->math->free(plan->impl);
        plan->shape = now;
        state->runs_on = plan_make(plan, state);
    }
    return plan;
}

int make_cpu_conv(layer *l, cpu_state *state, diag *d)
{
    (void)d;
    conv_plan *plan = mem_calloc(1, sizeof *plan);
    int keeps_x = (l->batch_normalize && state->mode == CPU_TRAINED) || cpu_measures(l, state);
    plan->shape = shape_of(l, state);
    plan->splits = act_needs_input(l->activation) && state->mode != CPU_FROZEN && !keeps_x;
    plan->needs.activation = plan->splits ? LINEAR : l->activation;
    plan->needs.batchnorm = l->batch_normalize;
    plan->needs.raw = keeps_x;
    plan->needs.weights = state->mode == CPU_TRAINED;
    plan->needs.data = state->mode != CPU_FROZEN && (state->index > 0 || state->shared->input_delta);
    plan->needs.constant = state->mode == CPU_FROZEN;
    plan->bias = mem_aligned(vec_blocks(plan->shape.n) * LANES, sizeof(float));
    state->plan = plan;
    state->runs_on = plan_make(plan, state);
    return 0;
}

void free_cpu_conv(layer *l, cpu_state *state)
{
    (void)l;
    conv_plan *plan = state->plan;
    plan->math->free(plan->impl);
    free(plan->bias);
    free(plan);
}

void cpu_conv_weights_changed(cpu_state *state) { ((conv_plan *)state->plan)->folded = 0; }

/* Computes the layer in one go where the arithmetic takes biases, batch norm folded in, else in two passes. */
static void forward_to(const layer *l, conv_plan *plan, cpu_state *state, const float *x, float *y)
{
    if (plan->math->biases) {
        const float *w = conv_folded(l, plan, state);
        conv_after after = { .bias = plan->bias, .activation = l->activation };
        conv_forward(plan, state->shared, x, w, &after, y);
        return;
    }
    conv_forward(plan, state->shared, x, l->weights, NULL, y);
    if (l->batch_normalize) batchnorm_forward_inference(l, y, y);
    else bias_forward(l, l->biases, y);
}

static void forward_inference(const layer *l, conv_plan *plan, cpu_state *state, const float *x)
{
    if (!plan->splits) {
        forward_to(l, plan, state, x, l->output);
        return;
    }
    layer linear = *l;
    linear.activation = LINEAR;
    forward_to(&linear, plan, state, x, conv_room_before(plan, state, cpu_floats(l) * sizeof(float)));
    activate_forward(l, plan->before);
}

/* Measured, in inference or in training. */
static void forward_plain(const layer *l, conv_plan *plan, cpu_state *state, const layer_call *call)
{
    if (cpu_measures(l, state)) {
        conv_forward(plan, state->shared, call->input, l->weights, NULL, l->x);
        batchnorm_forward_measured(l, l->x, l->output);
        return;
    }
    if (!l->batch_normalize || !call->train) {
        forward_inference(l, plan, state, call->input);
        return;
    }
    conv_forward(plan, state->shared, call->input, l->weights, NULL, l->x);
    batchnorm_forward_train(l, l->x, l->output, cpu_statistics_rate(state));
}

/* Turns l.delta into the convolution's own, then adds to dw and to the input's delta. */
static void backward_plain(const layer *l, conv_plan *plan, cpu_state *state, const layer_call *call)
{
    int updates = state->mode == CPU_TRAINED;
    const float *before = plan->splits ? plan->before : NULL;
    if (!l->batch_normalize) {
        bias_backward(l, before, updates);
    } else {
        if (!call->train && updates)   /* folded: there is no l.x */
            conv_forward(plan, state->shared, call->input, l->weights, NULL, l->x);
        batchnorm_backward(l, before, call->train, updates);
        if (cpu_measures(l, state)) batchnorm_pull(l, state->shared->statistics);
    }
    if (updates) conv_backward_weights(plan, state->shared, call->input, l->delta, l->weight_updates);
    if (call->delta) conv_backward_data(plan, state->shared, l->weights, l->delta, call->delta, 1);
}

void forward_cpu_conv(const layer *l, cpu_state *state, const layer_call *call)
{
    (state->blocked ? forward_conv_blocked : forward_plain)(l, plan_of(l, state), state, call);
}

void backward_cpu_conv(const layer *l, cpu_state *state, const layer_call *call)
{
    (state->blocked ? backward_conv_blocked : backward_plain)(l, plan_of(l, state), state, call);
}
