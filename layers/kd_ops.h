/* The mathematics of [kd] for one image, in one place: the CPU's loop (kd.c) and the kernels (kd.cu) call the same
 * functions. n class scores z of teacher (t) and student (s), T the temperature:
 *
 *   y = z, or with `standardise` (z - mean z) / (1e-7 + sd z), sd over n - 1
 *   p = softmax(y/T), log p = y/T - log sum exp(y/T)
 *   loss    sum p_t (log p_t - log p_s)           to be multiplied by scale * T^2
 *   g       T * (p_t - p_s)                       minus the gradient of T^2 * loss by y_s
 *
 * With `beta` the loss is decoupled at the target class k, r the softmax over the others:
 *
 *   loss    KL of (p_k, 1 - p_k)  +  beta * KL of r
 *   g_k     T * (p_tk - p_sk),    g_i = T * (beta * (r_ti - r_si) - (p_tk - p_sk) * r_si)
 *
 * and through the standardisation, v = 1 / (1e-7 + sd z_s):
 *
 *   delta   v * (g - mean g - (z_s - mean z_s) * (sum g y_s) / ((n - 1) * sd z_s))
 *
 * Logarithms are taken first, in double: no p is ever 0 in them, and where both agree the difference is exactly 0.
 * Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.1; Zhao et al., "Decoupled
 * Knowledge Distillation", CVPR 2022, equation 7; Sun et al., "Logit Standardization in Knowledge Distillation", CVPR
 * 2024, algorithm 1. */
#ifndef DISTILL_KD_OPS_H
#define DISTILL_KD_OPS_H
#include <math.h>
#include <stddef.h>

#ifdef __CUDACC__
#define KD_FN static inline __host__ __device__
#else
#define KD_FN static inline
#endif

typedef struct kd_how {
    double T;
    int standardise;
    double beta;          /* 0: not decoupled */
} kd_how;

/* y = (z - mean) * inverse; sd only where it is standardised. */
typedef struct kd_scores {
    const float *z;
    double mean, inverse, sd;
    double log_sum;       /* log sum exp(y/T) over all, decoupled over all but the target */
    double log_all;       /* over all */
} kd_scores;

KD_FN double kd_y(const kd_scores *scores, size_t i) { return (scores->z[i] - scores->mean) * scores->inverse; }

/* log sum exp(y/T) over all but class `without` (n: over all), the largest taken out so that nothing overflows. */
KD_FN double kd_log_sum(const kd_scores *scores, size_t n, size_t without, double T)
{
    size_t first = without == 0;
    double most = kd_y(scores, first), sum = 0;
    for (size_t i = first + 1; i < n; ++i)
        if (i != without && kd_y(scores, i) > most) most = kd_y(scores, i);
    for (size_t i = 0; i < n; ++i)
        if (i != without) sum += exp((kd_y(scores, i) - most) / T);
    return most / T + log(sum);
}

/* The class that decoupling singles out: the label's where `truth` (n, or NULL) has one, else the teacher's first. */
KD_FN size_t kd_target(const float *truth, const float *teacher, size_t n)
{
    size_t label = 0, first = 0;
    for (size_t i = 1; i < n; ++i) {
        if (truth && truth[i] > truth[label]) label = i;
        if (teacher[i] > teacher[first]) first = i;
    }
    return truth && truth[label] > 0 ? label : first;
}

/* Class scores as the loss reads them; `target` counts only where it is decoupled. */
KD_FN kd_scores kd_scores_of(const float *z, size_t n, size_t target, const kd_how *how)
{
    kd_scores scores = { z, 0, 1, 0, 0, 0 };
    if (how->standardise) {
        double sum = 0, squares = 0;
        for (size_t i = 0; i < n; ++i) sum += z[i];
        scores.mean = sum / (double)n;
        for (size_t i = 0; i < n; ++i) squares += (z[i] - scores.mean) * (z[i] - scores.mean);
        scores.sd = sqrt(squares / (double)(n - 1));
        scores.inverse = 1 / (1e-7 + scores.sd);
    }
    scores.log_all = kd_log_sum(&scores, n, n, how->T);
    scores.log_sum = how->beta > 0 ? kd_log_sum(&scores, n, target, how->T) : scores.log_all;
    return scores;
}

/* log of a probability, and of 1 minus it where the rest's sum is known. */
KD_FN double kd_log_p(const kd_scores *scores, size_t i, double T) { return kd_y(scores, i) / T - scores->log_sum; }
KD_FN double kd_log_target(const kd_scores *scores, size_t target, double T)
{
    return kd_y(scores, target) / T - scores->log_all;
}

/* KL of (p_k, 1 - p_k); 1 - p_k = exp(log_sum - log_all). */
KD_FN double kd_target_loss(const kd_scores *student, const kd_scores *teacher, size_t target, double T)
{
    double on_s = kd_log_target(student, target, T), on_t = kd_log_target(teacher, target, T);
    double off_s = student->log_sum - student->log_all, off_t = teacher->log_sum - teacher->log_all;
    return exp(on_t) * (on_t - on_s) + exp(off_t) * (off_t - off_s);
}

/* The loss of an image; target < n, of use only where it is decoupled. */
KD_FN double kd_loss(const float *student, const float *teacher, size_t n, size_t target, const kd_how *how)
{
    kd_scores s = kd_scores_of(student, n, target, how), t = kd_scores_of(teacher, n, target, how);
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
        if (how->beta > 0 && i == target) continue;
        double log_t = kd_log_p(&t, i, how->T);
        sum += exp(log_t) * (log_t - kd_log_p(&s, i, how->T));
    }
    return how->beta > 0 ? how->beta * sum + kd_target_loss(&s, &t, target, how->T) : sum;
}

/* g_i / T */
KD_FN double kd_g(const kd_scores *student, const kd_scores *teacher, size_t i, size_t target, const kd_how *how)
{
    if (how->beta <= 0) return exp(kd_log_p(teacher, i, how->T)) - exp(kd_log_p(student, i, how->T));
    double on = exp(kd_log_target(teacher, target, how->T)) - exp(kd_log_target(student, target, how->T));
    if (i == target) return on;
    double rest = exp(kd_log_p(student, i, how->T));
    return how->beta * (exp(kd_log_p(teacher, i, how->T)) - rest) - on * rest;
}

/* Adds delta, and what came from above, to what lies below; `factor` is scale * T. */
KD_FN void kd_delta(const float *student, const float *teacher, size_t n, size_t target, const kd_how *how,
                    double factor, const float *above, float *below)
{
    kd_scores s = kd_scores_of(student, n, target, how), t = kd_scores_of(teacher, n, target, how);
    double mean = 0, slope = 0;
    for (size_t i = 0; how->standardise && i < n; ++i) {
        double g = kd_g(&s, &t, i, target, how);
        mean += g / (double)n;
        slope += g * kd_y(&s, i);
    }
    if (s.sd > 0) slope /= (double)(n - 1) * s.sd;
    for (size_t i = 0; i < n; ++i) {
        double g = kd_g(&s, &t, i, target, how);
        if (how->standardise) g = s.inverse * (g - mean - (student[i] - s.mean) * slope);
        below[i] += (float)(factor * g) + above[i];
    }
}

/* What image b counts, of weights that may be NULL. */
KD_FN double kd_weight_of(const float *weight, size_t b) { return weight ? (double)weight[b] : 1; }

#endif
