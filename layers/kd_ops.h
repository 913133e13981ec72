/* The mathematics of [kd] for one image, in one place: the CPU's loop (kd.c) and the kernels (kd.cu) call the same
 * functions. n class scores z of teacher (t) and student (s), T the temperature:
 *
 *   p = softmax(z/T), log p = z/T - log sum exp(z/T)
 *   loss    sum p_t (log p_t - log p_s)           to be multiplied by scale * T^2
 *   delta   scale * T * (p_t - p_s)               minus the gradient of that, as Darknet wants it
 *
 * Logarithms are taken first, in double: no p is ever 0 in them, and where both agree the difference is exactly 0.
 * Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.1. */
#ifndef DISTILL_KD_OPS_H
#define DISTILL_KD_OPS_H
#include <math.h>
#include <stddef.h>

#ifdef __CUDACC__
#define KD_FN static inline __host__ __device__
#else
#define KD_FN static inline
#endif

/* log sum exp(z/T), the largest taken out so that nothing overflows. */
KD_FN double kd_log_sum(const float *z, size_t n, double T)
{
    double most = z[0], sum = 0;
    for (size_t i = 1; i < n; ++i)
        if (z[i] > most) most = z[i];
    for (size_t i = 0; i < n; ++i) sum += exp((z[i] - most) / T);
    return most / T + log(sum);
}

KD_FN double kd_loss(const float *s, const float *t, size_t n, double T)
{
    double log_s = kd_log_sum(s, n, T), log_t = kd_log_sum(t, n, T), sum = 0;
    for (size_t i = 0; i < n; ++i) sum += exp(t[i] / T - log_t) * ((t[i] / T - log_t) - (s[i] / T - log_s));
    return sum;
}

/* Adds delta, and what came from above, to what lies below; `factor` is scale * T. */
KD_FN void kd_delta(const float *s, const float *t, size_t n, double T, double factor, const float *above, float *below)
{
    double log_s = kd_log_sum(s, n, T), log_t = kd_log_sum(t, n, T);
    for (size_t i = 0; i < n; ++i)
        below[i] += (float)(factor * (exp(t[i] / T - log_t) - exp(s[i] / T - log_s))) + above[i];
}

#endif
