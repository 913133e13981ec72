/* The mathematics of [cross_entropy] for one image, in one place: the CPU's loop (cross_entropy.c) and the kernels
 * (cross_entropy.cu) call the same functions. n class scores z, target probabilities t that sum to 1:
 *
 *   p = softmax(z), log p = z - log sum exp z
 *   loss    -sum t log p                  to be multiplied by its weight
 *   delta   weight * (t - p)              minus the gradient of that, as Darknet wants it
 *
 * An image without a label has t = 0 everywhere: its loss and delta are 0. */
#ifndef DISTILL_CROSS_ENTROPY_OPS_H
#define DISTILL_CROSS_ENTROPY_OPS_H
#include <math.h>
#include <stddef.h>

#ifdef __CUDACC__
#define CROSS_ENTROPY_FN static inline __host__ __device__
#else
#define CROSS_ENTROPY_FN static inline
#endif

CROSS_ENTROPY_FN int cross_entropy_has_label(const float *t, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if (t[i] != 0) return 1;
    return 0;
}

/* How many of the batch's rows are a label. */
CROSS_ENTROPY_FN int cross_entropy_labelled(const float *t, int batch, size_t n)
{
    int labelled = 0;
    for (int b = 0; b < batch; ++b) labelled += cross_entropy_has_label(t + (size_t)b * n, n);
    return labelled;
}

/* log sum exp z, the largest taken out so that nothing overflows. */
CROSS_ENTROPY_FN double cross_entropy_log_sum(const float *z, size_t n)
{
    double most = z[0], sum = 0;
    for (size_t i = 1; i < n; ++i)
        if (z[i] > most) most = z[i];
    for (size_t i = 0; i < n; ++i) sum += exp(z[i] - most);
    return most + log(sum);
}

CROSS_ENTROPY_FN double cross_entropy_loss(const float *z, const float *t, size_t n)
{
    double log_sum = cross_entropy_log_sum(z, n), sum = 0;
    for (size_t i = 0; i < n; ++i) sum += t[i] * (log_sum - z[i]);
    return sum;
}

/* Adds delta, and what came from above, to what lies below. */
CROSS_ENTROPY_FN void cross_entropy_delta(const float *z, const float *t, size_t n, double weight, const float *above,
                                          float *below)
{
    double log_sum = cross_entropy_log_sum(z, n);
    if (!cross_entropy_has_label(t, n)) weight = 0;
    for (size_t i = 0; i < n; ++i) below[i] += (float)(weight * (t[i] - exp(z[i] - log_sum))) + above[i];
}

#endif
