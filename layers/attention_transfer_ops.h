/* The mathematics of [attention_transfer] for one pixel, image or element, in one place: the CPU's loops
 * (attention_transfer.c) and the kernels (attention_transfer.cu) call the same functions. Formulae and letters are in
 * attention_transfer.h. */
#ifndef DISTILL_ATTENTION_TRANSFER_OPS_H
#define DISTILL_ATTENTION_TRANSFER_OPS_H
#include "map_loss.h"

#include <math.h>

typedef struct attention_job {
    const float *student;      /* (batch, c, h, w) */
    const float *teacher;      /* (batch, teacher_c, h*k, w*k) */
    double *part;              /* (batch) the loss, times h*w */
    double *own, *taught;      /* (batch, h*w) q of student and teacher; then own = factor of the student's values */
    size_t batch, c, teacher_c, h, w, k;
    double factor;             /* scale / (h*w) */
} attention_job;

/* The least norm that is divided by, PyTorch's. */
#define ATTENTION_LEAST 1e-12

/* q of pixel i of (batch, h*w), of both. */
MAP_LOSS_FN void attention_pixel(const attention_job *job, size_t i)
{
    size_t map = job->h * job->w, b = i / map, at = i % map, plane = map * job->k * job->k;
    const float *s = job->student + b * job->c * map + at, *t = job->teacher + b * job->teacher_c * plane;
    double own = 0, taught = 0;
    for (size_t c = 0; c < job->c; ++c) own += (double)s[c * map] * s[c * map];
    for (size_t c = 0; c < job->teacher_c; ++c) {
        double v = map_loss_value(t + c * plane, job->w, job->k, at / job->w, at % job->w);
        taught += v * v;
    }
    job->own[i] = own / (double)job->c;
    job->taught[i] = taught / (double)job->teacher_c;
}

MAP_LOSS_FN double attention_norm(const double *q, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += q[i] * q[i];
    return sqrt(sum);
}

/* Image b's loss; its `own` becomes what its values are to be multiplied by. */
MAP_LOSS_FN void attention_image(const attention_job *job, size_t b)
{
    size_t n = job->h * job->w;
    double *own = job->own + b * n, *taught = job->taught + b * n, loss = 0, along = 0;
    double norm = attention_norm(own, n), other = attention_norm(taught, n);
    double by = norm > ATTENTION_LEAST ? norm : ATTENTION_LEAST, by_other = other > ATTENTION_LEAST ? other
        : ATTENTION_LEAST;
    for (size_t i = 0; i < n; ++i) {
        double a = own[i] / by, g = a - taught[i] / by_other;
        loss += g * g;
        along += a * g;
    }
    job->part[b] = loss;
    if (norm <= ATTENTION_LEAST) along = 0;   /* divided by a constant */
    for (size_t i = 0; i < n; ++i) {
        double a = own[i] / by, g = a - taught[i] / by_other;
        own[i] = -4 * job->factor * (g - a * along) / (by * (double)job->c);
    }
}

/* Delta of the student's element i. */
MAP_LOSS_FN float attention_delta(const attention_job *job, size_t i)
{
    size_t map = job->h * job->w;
    return (float)(job->own[i / (job->c * map) * map + i % map] * job->student[i]);
}

#endif
