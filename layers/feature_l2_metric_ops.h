/* The mathematics of [feature_l2] with pooled=1, normalise=channel, metric=head or weight=teacher (feature_l2.h has the
 * formulae), an element at a time: the CPU's loops (feature_l2_metric.c) and the kernels (feature_l2_metric.cu) do the
 * same steps.
 *
 *   place    sqrt(u), with weight=teacher
 *   error    e = s - t, times sqrt(u), unless pooled=1
 *   means    m_c = mean of s_c - mean of t_c, where something reads the means
 *   seen     y = H x, H = sqrt(V/T) W, x = e or m
 *   loss     rest * sum weigh_c * (e^2 or m_c^2) + factor * sum y^2
 *   delta    - 2 rest * weigh_c * (e or m_c / places of the map) - 2 factor * H'y (/ places of the map, of m), times
 *            sqrt(u)
 *
 * Sums of products are in double and in order of their terms, so that they are the same wherever they are taken. */
#ifndef DISTILL_FEATURE_L2_METRIC_OPS_H
#define DISTILL_FEATURE_L2_METRIC_OPS_H
#include "box_head_ops.h"
#include "feature_l2_ops.h"

typedef struct feature_l2_metric_job {
    size_t batch, c, map;            /* map = h * w */
    int pooled;                      /* the weighed part reads the means */
    int head_means;                  /* H does */
    size_t rows, width, places;      /* H, and at how many places it stands; rows = 0: there is none */
    double factor, rest;
    const float *weigh;              /* (c) */
    const float *head, *turned;      /* H, (rows, width), and H', (width, rows) */
    float *error;                    /* (batch, c, map) */
    float *means;                    /* (batch, c) */
    float *seen;                     /* (batch, rows, places) */
    float *pull;                     /* a device's: (batch, width, places) H'y */
    float *place;                    /* (batch, map) sqrt(u); NULL: all places count alike */
} feature_l2_metric_job;

/* weight=teacher: what the teacher's head says about the places of a batch. */
typedef struct feature_l2_places {
    box_form form;
    const float *weights, *biases;   /* (rows, c), (rows) */
    double floor;
    float *raw;                      /* (batch, rows, map) its answers */
    float *place;                    /* (batch, map) */
    size_t batch, map;
} feature_l2_places;

/* sqrt(u) of an image's places, from its raw answers (rows, map). */
FEATURE_FN void feature_l2_weigh_places(const feature_l2_places *places, const float *raw, float *place)
{
    double sum = 0;
    for (size_t i = 0; i < places->map; ++i) {
        place[i] = (float)(places->floor + (1 - places->floor) * box_score(&places->form, raw + i, places->map));
        sum += place[i];
    }
    for (size_t i = 0; i < places->map; ++i)
        place[i] = sum > 0 ? (float)sqrt((double)place[i] * (double)places->map / sum) : 1;
}

/* sqrt(u) of element i of the map (batch, c, map). */
FEATURE_FN float feature_l2_place(const feature_l2_metric_job *job, size_t i)
{
    return job->place ? job->place[i / (job->c * job->map) * job->map + i % job->map] : 1;
}

/* m of one channel: the student's `map` elements, the teacher's `plane` ones of channel c (1: their mean is stored). */
FEATURE_FN float feature_l2_mean_error(const float *student, size_t map, const void *values, const float *range,
                                       feature_type type, size_t c, size_t plane)
{
    return feature_mean(student, NULL, FEATURE_F32, 0, map) - feature_mean(values, range, type, c, plane);
}

/* Product of row a (n) with a column of x, whose elements are `places` apart. */
FEATURE_FN double feature_l2_product(const float *a, size_t n, const float *x, size_t places)
{
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += (double)a[i] * (double)x[i * places];
    return sum;
}

/* Elements of the weighed part, and one of them times its weight. */
FEATURE_FN size_t feature_l2_weighed(const feature_l2_metric_job *job)
{
    return job->batch * job->c * (job->pooled ? 1 : job->map);
}
FEATURE_FN double feature_l2_weighed_at(const feature_l2_metric_job *job, size_t i)
{
    size_t c = (job->pooled ? i : i / job->map) % job->c;
    double e = job->pooled ? job->means[i] : job->error[i];
    return job->weigh[c] * e * e;
}

/* Minus the gradient of an element of channel c: `e` its error or the channel's mean's, `pull` its H'y. */
FEATURE_FN float feature_l2_metric_delta(const feature_l2_metric_job *job, size_t c, double e, double pull)
{
    double weighed = job->rest * job->weigh[c] * e, seen = job->factor * pull, map = (double)job->map;
    return (float)(-2 * ((job->pooled ? weighed / map : weighed) + (job->head_means ? seen / map : seen)));
}

/* ---- a device's threads (feature_l2_metric.cu): element i of a step, each thread taking every `threads`-th ---- */

FEATURE_FN void feature_l2_thread_errors(const feature_l2_metric_job *job, const feature_l2_job *maps, size_t thread,
                                         size_t threads)
{
    for (size_t i = thread; i < maps->n; i += threads)
        job->error[i] = (maps->student[i] - feature_l2_target_at(maps, i)) * feature_l2_place(job, i);
}

/* What the teacher's head answers, and then the weights of an image's places, a thread an image. */
FEATURE_FN void feature_l2_thread_answers(const feature_l2_places *places, const feature_l2_job *maps, size_t thread,
                                          size_t threads)
{
    size_t rows = box_rows(&places->form);
    for (size_t i = thread; i < places->batch * rows * places->map; i += threads) {
        size_t row = i / places->map % rows;
        const char *stored = maps->target + i / (places->map * rows) * maps->stride;
        places->raw[i] = box_head_raw(places->weights + row * maps->c, places->biases[row], maps->c,
                                      stored + maps->values, (const float *)(const void *)stored, maps->type,
                                      places->map, i % places->map);
    }
}
FEATURE_FN void feature_l2_thread_places(const feature_l2_places *places, size_t thread, size_t threads)
{
    for (size_t b = thread; b < places->batch; b += threads)
        feature_l2_weigh_places(places, places->raw + b * box_rows(&places->form) * places->map,
                                places->place + b * places->map);
}

/* `plane` elements of the teacher's a channel. */
FEATURE_FN void feature_l2_thread_means(const feature_l2_metric_job *job, const feature_l2_job *maps, size_t plane,
                                        size_t thread, size_t threads)
{
    for (size_t i = thread; i < job->batch * job->c; i += threads) {
        const char *stored = maps->target + i / job->c * maps->stride;
        job->means[i] = feature_l2_mean_error(maps->student + i * job->map, job->map, stored + maps->values,
                                              (const float *)(const void *)stored, maps->type, i % job->c, plane);
    }
}

/* One product of `job`'s matrix a (rows, n) with x (batch, n, places) for each element of y (batch, rows, places). */
FEATURE_FN void feature_l2_thread_products(const feature_l2_metric_job *job, const float *a, size_t rows, size_t n,
                                           const float *x, float *y, size_t thread, size_t threads)
{
    for (size_t i = thread; i < job->batch * rows * job->places; i += threads) {
        size_t place = i % job->places, row = i / job->places % rows, b = i / (job->places * rows);
        y[i] = (float)feature_l2_product(a + row * n, n, x + b * n * job->places + place, job->places);
    }
}
FEATURE_FN void feature_l2_thread_seen(const feature_l2_metric_job *job, size_t thread, size_t threads)
{
    feature_l2_thread_products(job, job->head, job->rows, job->width, job->head_means ? job->means : job->error,
                               job->seen, thread, threads);
}
FEATURE_FN void feature_l2_thread_pull(const feature_l2_metric_job *job, size_t thread, size_t threads)
{
    feature_l2_thread_products(job, job->turned, job->width, job->rows, job->seen, job->pull, thread, threads);
}

/* Its share of the loss. */
FEATURE_FN double feature_l2_thread_metric(const feature_l2_metric_job *job, size_t thread, size_t threads)
{
    double weighed = 0, seen = 0;
    for (size_t i = thread; i < feature_l2_weighed(job); i += threads) weighed += feature_l2_weighed_at(job, i);
    for (size_t i = thread; i < job->batch * job->rows * job->places; i += threads)
        seen += (double)job->seen[i] * job->seen[i];
    return job->rest * weighed + job->factor * seen;
}

/* Its share of delta (batch, c, h, w), to which it adds, with what came from above. */
FEATURE_FN void feature_l2_thread_metric_delta(const feature_l2_metric_job *job, const float *above, size_t thread,
                                               size_t threads, float *delta)
{
    for (size_t i = thread; i < job->batch * job->c * job->map; i += threads) {
        size_t channel = i / job->map;
        double e = job->pooled ? job->means[channel] : job->error[i], pull = 0;
        if (job->rows) pull = job->pull[job->head_means ? channel : i];
        delta[i] += feature_l2_metric_delta(job, channel % job->c, e, pull) * feature_l2_place(job, i) + above[i];
    }
}

#endif
