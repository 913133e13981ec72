/* The mathematics of [variational] for one channel of one image or one element, in one place: the CPU's loops
 * (variational.c) and the kernels (variational.cu) call the same functions. Formulae and letters are in
 * variational.h. */
#ifndef DISTILL_VARIATIONAL_OPS_H
#define DISTILL_VARIATIONAL_OPS_H
#include "map_loss.h"

#include <math.h>

typedef struct variational_job {
    const float *student;      /* (batch, c, h, w) */
    const float *teacher;      /* (batch, c, h*k, w*k) */
    const float *offset;       /* (c) what is learnt */
    double *part, *slope;      /* (batch, c) the loss times c*h*w, and its derivative by offset */
    size_t batch, c, h, w, k;
    double factor;             /* scale / (c*h*w) */
} variational_job;

/* The first variance, and the least one: 5 and 1e-5 in the authors' code. START = log(exp(5 - 1e-5) - 1). */
#define VARIATIONAL_LEAST 1e-5
#define VARIATIONAL_START 4.9932291827136215

MAP_LOSS_FN double variational_variance(float offset)
{
    double rho = VARIATIONAL_START + offset;
    return (rho > 0 ? rho + log1p(exp(-rho)) : log1p(exp(rho))) + VARIATIONAL_LEAST;
}

/* The teacher's value beside element i of (batch, c, h, w). */
MAP_LOSS_FN double variational_target(const variational_job *job, size_t i)
{
    size_t map = job->h * job->w, at = i % map;
    return map_loss_value(job->teacher + i / map * map * job->k * job->k, job->w, job->k, at / job->w, at % job->w);
}

/* Channel i of (batch, c). */
MAP_LOSS_FN void variational_channel(const variational_job *job, size_t i)
{
    size_t map = job->h * job->w;
    float offset = job->offset[i % job->c];
    double v = variational_variance(offset), squares = 0;
    for (size_t k = i * map; k < (i + 1) * map; ++k) {
        double d = job->student[k] - variational_target(job, k);
        squares += d * d;
    }
    job->part[i] = .5 * (squares / v + (double)map * log(v));
    job->slope[i] = .5 * ((double)map - squares / v) / v / (1 + exp(-VARIATIONAL_START - offset));
}

/* Delta of the student's element i. */
MAP_LOSS_FN float variational_delta(const variational_job *job, size_t i)
{
    double v = variational_variance(job->offset[i / (job->h * job->w) % job->c]);
    return (float)(job->factor * (variational_target(job, i) - job->student[i]) / v);
}

/* Minus the gradient of channel c's offset. */
MAP_LOSS_FN float variational_offset_delta(const variational_job *job, size_t c)
{
    double sum = 0;
    for (size_t b = 0; b < job->batch; ++b) sum += job->slope[b * job->c + c];
    return (float)(-job->factor * sum);
}

#endif
