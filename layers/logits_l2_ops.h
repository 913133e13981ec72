/* The mathematics of [logits_l2] for one image, in one place: the CPU's loop (logits_l2.c) and the kernels
 * (logits_l2.cu) call the same functions. */
#ifndef DISTILL_LOGITS_L2_OPS_H
#define DISTILL_LOGITS_L2_OPS_H
#include "map_loss.h"

/* Sum over n class scores of (s - t)^2. */
MAP_LOSS_FN double logits_l2_loss(const float *student, const float *teacher, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += ((double)student[i] - teacher[i]) * ((double)student[i] - teacher[i]);
    return sum;
}

/* `factor` is scale / n. */
MAP_LOSS_FN float logits_l2_delta(float student, float teacher, double factor)
{
    return (float)(2 * factor * ((double)teacher - student));
}

#endif
