/* What plain and blocked convolutions share: batch norm folded into the weights, and its running statistics' rate. */
#include "conv.h"

#include "batchnorm.h"

#include <string.h>

/* The convolution's weights times batch norm's factors. */
static const float *fold_batchnorm(const layer *l, const conv_plan *p, cpu_shared *shared)
{
    size_t n = (size_t)p->s.n, per = conv_filter_size(&p->s);
    float *weights = shared->slot[SLOT_FOLD];
    for (size_t i = 0; i < n; ++i) {
        float factor = batchnorm_factor(l, (int)i);
        for (size_t k = 0; k < per; ++k) weights[i * per + k] = l->weights[i * per + k] * factor;
        p->bias[i] = l->biases[i] - l->rolling_mean[i] * factor;
    }
    return weights;
}

const float *conv_folded(const layer *l, conv_plan *p, cpu_state *s)
{
    if (p->folded && p->needs.constant) return NULL;
    p->folded = 1;
    if (l->batch_normalize) return fold_batchnorm(l, p, s->shared);
    memcpy(p->bias, l->biases, (size_t)p->s.n * sizeof *p->bias);
    return l->weights;
}

float conv_statistics_rate(cpu_state *s)
{
    double rate = s->statistics < 100 ? 1.0 / (s->statistics + 1) : 0.01;
    if (s->statistics < 100) ++s->statistics;
    return (float)rate;
}
