/* What plain and blocked convolutions share: batch norm folded into the weights, its running statistics' rate, and room
 * for what comes before it. */
#include "conv.h"

#include "batchnorm.h"

#include <string.h>

/* The convolution's weights times batch norm's factors. */
static const float *fold_batchnorm(const layer *l, const conv_plan *plan, cpu_shared *shared)
{
    size_t n = (size_t)plan->shape.n, per = conv_filter_size(&plan->shape);
    float *weights = shared->slot[SLOT_FOLD];
    for (size_t i = 0; i < n; ++i) {
        float factor = batchnorm_factor(l, (int)i);
        for (size_t k = 0; k < per; ++k) weights[i * per + k] = l->weights[i * per + k] * factor;
        plan->bias[i] = l->biases[i] - l->rolling_mean[i] * factor;
    }
    return weights;
}

const float *conv_folded(const layer *l, conv_plan *plan, cpu_state *state)
{
    if (plan->folded && plan->needs.constant) return NULL;
    plan->folded = 1;
    if (l->batch_normalize) return fold_batchnorm(l, plan, state->shared);
    memcpy(plan->bias, l->biases, (size_t)plan->shape.n * sizeof *plan->bias);
    return l->weights;
}

void *conv_room_before(conv_plan *plan, cpu_state *state, size_t bytes)
{
    return plan->before = cpu_refit(state->shared, plan->before, &plan->before_bytes, bytes);
}

double cpu_statistics_rate(cpu_state *state)
{
    if (state->statistics >= CPU_SETTLED) return .01;
    return 1. / ++state->statistics;
}
