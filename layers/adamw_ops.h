/* One step of one weight by AdamW, which is Adam with decoupled decay: the weight itself shrinks, by the rate, and
 * decay is not averaged into the moments, where large gradients would hide it. As in update_ops.h, u is minus the
 * gradient, summed:
 *
 *   g = u / B,   u <- 0,   m <- B1 * m + (1 - B1) * g,   v <- B2 * v + (1 - B2) * g^2
 *   w <- w + rate * ((m / (1 - B1^t)) / (sqrt(v / (1 - B2^t)) + eps) - decay * w)
 *
 * Loshchilov and Hutter, "Decoupled weight decay regularization", 2019, algorithm 2, with the sign of g turned; rate is
 * their schedule times alpha, as in PyTorch, so that decay counts by both. */
#ifndef DISTILL_ADAMW_OPS_H
#define DISTILL_ADAMW_OPS_H
#include "update_ops.h"

FEATURE_FN void update_adamw(const update_step *step, float *w, float *u, float *m, float *v, size_t i)
{
    float g = u[i] * (1 / step->batch);
    m[i] = step->b1 * m[i] + (1 - step->b1) * g;
    v[i] = step->b2 * v[i] + (1 - step->b2) * g * g;
    w[i] += step->unbiased_rate * m[i] / (sqrtf(v[i] * step->unbias) + step->eps) - step->rate * step->decay * w[i];
    u[i] = 0;
}

#endif
