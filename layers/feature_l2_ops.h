/* The mathematics of [feature_l2] for one element, in one place: the loop over the CPU's arrays (feature_l2.c) and
 * a CUDA kernel call the same functions.
 *
 *   t  = mean of the teacher's k x k block            (k = 1: the teacher's value)
 *   loss    (s - t)^2                                 to be multiplied by scale/D
 *   delta   2 * scale/D * (t - s)                     minus the gradient, as Darknet wants it
 *
 * both times what the image counts, where some count more than others.
 *
 * Chen et al., "Knowledge Distillation with the Reused Teacher Classifier", CVPR 2022, equation 2. */
#ifndef DISTILL_FEATURE_L2_OPS_H
#define DISTILL_FEATURE_L2_OPS_H
#include "feature_type.h"

/* Target of student element (y, x) of channel c from the teacher's stored map, (channels, h*k, w*k); `plane` is h*k *
 * w*k. */
FEATURE_FN float feature_l2_target(const void *values, const float *range, feature_type type, size_t c, size_t plane,
                                   int w, int k, int y, int x)
{
    size_t row = (size_t)w * (size_t)k, block = c * plane + (size_t)y * (size_t)k * row + (size_t)x * (size_t)k;
    if (k == 1) return feature_value(values, range, type, c, block);
    float sum = 0;
    for (int i = 0; i < k; ++i)
        for (int j = 0; j < k; ++j) sum += feature_value(values, range, type, c, block + (size_t)i * row + (size_t)j);
    return sum / (float)(k * k);
}

FEATURE_FN double feature_l2_loss(float s, float t)
{
    double d = (double)s - (double)t;
    return d * d;
}

/* `factor` is scale/D. */
FEATURE_FN float feature_l2_delta(float s, float t, float factor)
{
    return 2 * factor * (t - s);
}

/* ---- a device's threads (feature_l2.cu) ---- */

/* A batch of maps on a device. Image b's target is a stored map (feature_type.h) at `target` + b * stride. */
typedef struct feature_l2_job {
    const float *student, *above;   /* (batch, c, h, w): the layer's output and delta */
    const float *weight;            /* (batch) what each image counts; NULL: 1 */
    const char *target;
    size_t stride, values;          /* bytes from image to image; from a map's ranges to its values */
    feature_type type;
    int h, w, k;
    size_t c, n;                    /* n = batch * c * h * w */
    float factor;                   /* scale/D */
} feature_l2_job;

FEATURE_FN float feature_l2_target_at(const feature_l2_job *job, size_t i)
{
    size_t map = (size_t)job->h * (size_t)job->w, at = i % map, c = i / map % job->c;
    const char *stored = job->target + i / (map * job->c) * job->stride;
    return feature_l2_target(stored + job->values, (const float *)(const void *)stored, job->type, c,
                             map * (size_t)(job->k * job->k), job->w, job->k,
                             (int)(at / (size_t)job->w), (int)(at % (size_t)job->w));
}

FEATURE_FN float feature_l2_weight_at(const feature_l2_job *job, size_t i)
{
    return job->weight ? job->weight[i / ((size_t)job->h * (size_t)job->w * job->c)] : 1;
}

/* Thread number `thread` of `threads`: its share of the sum of squared errors. */
FEATURE_FN double feature_l2_thread_loss(const feature_l2_job *job, size_t thread, size_t threads)
{
    double sum = 0;
    for (size_t i = thread; i < job->n; i += threads)
        sum += feature_l2_loss(job->student[i], feature_l2_target_at(job, i)) * feature_l2_weight_at(job, i);
    return sum;
}

/* Its share of delta (batch, c, h, w), to which it adds. */
FEATURE_FN void feature_l2_thread_delta(const feature_l2_job *job, size_t thread, size_t threads, float *delta)
{
    for (size_t i = thread; i < job->n; i += threads)
        delta[i] += feature_l2_delta(job->student[i], feature_l2_target_at(job, i),
                                     job->factor * feature_l2_weight_at(job, i)) + job->above[i];
}

#endif
