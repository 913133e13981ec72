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
 * ignores adam=1. rate is the network's times the layer's `learning_rate=`. One element of either stands in update_ops.h. */
#include "layers/update_ops.h"
#include "parallel.h"
#include "state.h"

typedef struct update_job {
    float *w, *u, *m, *v;
    update_step step;
} update_job;

static void sgd_share(void *ctx, size_t begin, size_t end)
{
    const update_job *j = ctx;
    const update_step s = j->step;
    float *restrict w = j->w, *restrict u = j->u;
#pragma omp simd
    for (size_t i = begin; i < end; ++i) update_sgd(&s, &w[i], &u[i]);
}

static void adam_share(void *ctx, size_t begin, size_t end)
{
    const update_job *j = ctx;
    const update_step s = j->step;
    float *restrict w = j->w, *restrict u = j->u, *restrict m = j->m, *restrict v = j->v;
#pragma omp simd
    for (size_t i = begin; i < end; ++i) update_adam(&s, &w[i], &u[i], &m[i], &v[i]);
}

static void update_array(const layer *l, const update_args *a, float *w, float *u, float *m, float *v, size_t n, float decay)
{
    int adam = a->adam && m && v;
    update_job j = { .w = w, .u = u, .m = m, .v = v, .step = make_update_step(a->learning_rate * l->learning_rate_scale, decay, adam, a) };
    parallel_for_work(n, 1, adam ? adam_share : sgd_share, &j);
}

void update_cpu_weights(const layer *l, update_args a)
{
    size_t n = (size_t)l->out_c;
    size_t weights = cpu_weights(l);
    update_array(l, &a, l->biases, l->bias_updates, l->bias_m, l->bias_v, n, 0);
    if (l->batch_normalize) update_array(l, &a, l->scales, l->scale_updates, l->scale_m, l->scale_v, n, 0);
    update_array(l, &a, l->weights, l->weight_updates, l->m, l->v, weights, a.decay);
}
