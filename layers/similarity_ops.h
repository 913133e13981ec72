/* The mathematics of [similarity] for one pair of images, one row or one element, in one place: the CPU's loops
 * (similarity.c) and the kernels (similarity.cu) call the same functions. Formulae and letters are in similarity.h. */
#ifndef DISTILL_SIMILARITY_OPS_H
#define DISTILL_SIMILARITY_OPS_H
#include "map_loss.h"

#include <math.h>

typedef struct similarity_job {
    const float *student;      /* (batch, n) */
    const float *teacher;      /* (batch, teacher_n) */
    double *part;              /* (batch) the loss of a row, times batch^2 */
    double *own, *taught;      /* (batch, batch) G of both; then own = H */
    size_t batch, n, teacher_n;
    double factor;             /* scale / batch: the host divides a sum over images by the batch once more */
} similarity_job;

/* The least norm that is divided by, PyTorch's. */
#define SIMILARITY_LEAST 1e-12

MAP_LOSS_FN double similarity_dot(const float *one, const float *other, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += (double)one[i] * other[i];
    return sum;
}

/* Entry `pair` of (batch, batch) of both Gram matrices; those below the diagonal are their mirror images'. */
MAP_LOSS_FN void similarity_pair(const similarity_job *job, size_t pair)
{
    size_t i = pair / job->batch, j = pair % job->batch;
    if (i > j) return;
    size_t mirror = j * job->batch + i;
    job->own[pair] = similarity_dot(job->student + i * job->n, job->student + j * job->n, job->n);
    job->taught[pair] = similarity_dot(job->teacher + i * job->teacher_n, job->teacher + j * job->teacher_n,
                                       job->teacher_n);
    job->own[mirror] = job->own[pair];
    job->taught[mirror] = job->taught[pair];
}

MAP_LOSS_FN double similarity_norm(const double *row, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += row[i] * row[i];
    return sqrt(sum);
}

/* Row i: its loss; its `own` becomes the row of H. */
MAP_LOSS_FN void similarity_row(const similarity_job *job, size_t i)
{
    size_t n = job->batch;
    double *own = job->own + i * n, *taught = job->taught + i * n, loss = 0, along = 0;
    double norm = similarity_norm(own, n), other = similarity_norm(taught, n);
    double by = norm > SIMILARITY_LEAST ? norm : SIMILARITY_LEAST, by_other = other > SIMILARITY_LEAST ? other
        : SIMILARITY_LEAST;
    for (size_t j = 0; j < n; ++j) {
        double a = own[j] / by, g = a - taught[j] / by_other;
        loss += g * g;
        along += a * g;
    }
    job->part[i] = loss;
    if (norm <= SIMILARITY_LEAST) along = 0;   /* divided by a constant */
    for (size_t j = 0; j < n; ++j) {
        double a = own[j] / by, g = a - taught[j] / by_other;
        own[j] = 2 * job->factor * (g - a * along) / by;
    }
}

/* How much of image j's map image i's delta gets. */
MAP_LOSS_FN float similarity_weight(const similarity_job *job, size_t i, size_t j)
{
    return (float)-(job->own[i * job->batch + j] + job->own[j * job->batch + i]);
}

/* Adds image j's share, the only arithmetic of an element. */
MAP_LOSS_FN float similarity_add(float sum, float weight, float value) { return sum + weight * value; }

#endif
