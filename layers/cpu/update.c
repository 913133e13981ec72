/* Updates. Darknet's `*_updates` hold minus the gradient, summed over the batch; with B images per update:
 *
 *   SGD   u <- u - decay * B * w    (weights only, not biases and BN scales)
 *         w <- w + rate / B * u
 *         u <- momentum * u
 *   Adam  g = u / B - decay * w     (decay on weights only),  u <- 0
 *         m <- B1 * m + (1 - B1) * g,   v <- B2 * v + (1 - B2) * g^2
 *         w <- w + rate * (m / (1 - B1^t)) / (sqrt(v / (1 - B2^t)) + eps)
 *
 * SGD is Darknet's own; Adam is Kingma and Ba, "Adam", 2015, algorithm 1, with the sign of g turned. The host's CPU code
 * ignores adam=1. rate is the network's times the layer's `learning_rate=`. */
#include "parallel.h"
#include "state.h"

#include <math.h>

typedef struct update_job {
    float *w, *u, *m, *v;
    float rate, decay;     /* rate per update; decay of this array */
    const update_args *a;
} update_job;

static void sgd_share(void *ctx, size_t begin, size_t end)
{
    const update_job *j = ctx;
    float *restrict w = j->w, *restrict u = j->u;
    float decay = j->decay * (float)j->a->batch, rate = j->rate / (float)j->a->batch, momentum = j->a->momentum;
#pragma omp simd
    for (size_t i = begin; i < end; ++i) {
        float s = u[i] - decay * w[i];
        w[i] += rate * s;
        u[i] = momentum * s;
    }
}

static void adam_share(void *ctx, size_t begin, size_t end)
{
    const update_job *j = ctx;
    float *restrict w = j->w, *restrict u = j->u, *restrict m = j->m, *restrict v = j->v;
    float b1 = j->a->B1, b2 = j->a->B2, eps = j->a->eps, per = 1 / (float)j->a->batch, decay = j->decay;
    float rate = (float)(j->rate / (1 - pow(b1, j->a->t))), unbias = (float)(1 / (1 - pow(b2, j->a->t)));
#pragma omp simd
    for (size_t i = begin; i < end; ++i) {
        float g = u[i] * per - decay * w[i];
        m[i] = b1 * m[i] + (1 - b1) * g;
        v[i] = b2 * v[i] + (1 - b2) * g * g;
        w[i] += rate * m[i] / (sqrtf(v[i] * unbias) + eps);
        u[i] = 0;
    }
}

static void update_array(const layer *l, const update_args *a, float *w, float *u, float *m, float *v, size_t n, float decay)
{
    update_job j = { .w = w, .u = u, .m = m, .v = v, .rate = a->learning_rate * l->learning_rate_scale, .decay = decay,
                     .a = a };
    parallel_for_work(n, 1, a->adam && m && v ? adam_share : sgd_share, &j);
}

void update_cpu_weights(const layer *l, update_args a)
{
    size_t n = (size_t)l->out_c;
    size_t weights = l->type == CONNECTED ? (size_t)l->inputs * (size_t)l->outputs : (size_t)l->nweights;
    update_array(l, &a, l->biases, l->bias_updates, l->bias_m, l->bias_v, n, 0);
    if (l->batch_normalize) update_array(l, &a, l->scales, l->scale_updates, l->scale_m, l->scale_v, n, 0);
    update_array(l, &a, l->weights, l->weight_updates, l->m, l->v, weights, a.decay);
}
