/* Batch norm, exactly.
 *
 *   forward    m = mean(x), v = mean((x - m)^2) over batch and map, s = sqrt(v), r = 1 / (s + e), e = 1e-6
 *              h = (x - m) * r,   z = g * h + b,   y = act(z)
 *   running    M += rate * (m - M),   V += rate * (v * N / (N-1) - V)          (N = 1: v as it is)
 *   backward   dz = dy * act';      db += sum(dz);   dg += sum(dz * h)
 *              dx = g * r * (dz - mean(dz) - h * mean(dz * h) * (s + e) / s)    (s = 0: h is 0 anyway)
 *   inference  M and V in place of m and v, and then dx = g * dz / (sqrt(V) + e)
 *   measured   as inference; w (||m - M|| + ||v - V||), the norms over channels, is a loss of its own, whose
 *              dL/dx = w / N * ((m - M) / ||m - M|| + 2 (x - m) (v - V) / ||v - V||) is added, N numbers a channel
 *
 * Maps are (batch, c, map); n are so many neighbours of one.
 *
 * Ioffe and Szegedy, "Batch Normalization", 2015; e stands outside the root because that is how stock Darknet's
 * inference has it, and the factor (s + e) / s is what that does to the derivative. Each channel is summed by one
 * thread, in floats over at most 1024 neighbours and in doubles above that, so sums do not depend on the number of
 * threads. */
#include "batchnorm.h"

#include "activate.h"
#include "parallel.h"

#include "darknet_plugin/host/host_facts.h"

#define RUN 1024

typedef struct bn_job {
    const layer *l;
    const float *x, *bias, *before;
    float *y, rate;
    int train, updates;
} bn_job;

static size_t map_size(const layer *l) { return (size_t)l->out_h * (size_t)l->out_w; }
static size_t map_at(const layer *l, size_t b, size_t c) { return (b * (size_t)l->out_c + c) * map_size(l); }

/* Sums n neighbours. */
static double sum_map(const float *x, size_t n)
{
    double total = 0;
    for (size_t at = 0; at < n; at += RUN) {
        size_t len = n - at < RUN ? n - at : RUN;
        float s = 0;
#pragma omp simd reduction(+ : s)
        for (size_t i = 0; i < len; ++i) s += x[at + i];
        total += s;
    }
    return total;
}

/* Sums (x - m)^2 over n neighbours. */
static double sum_squares(const float *x, float m, size_t n)
{
    double total = 0;
    for (size_t at = 0; at < n; at += RUN) {
        size_t len = n - at < RUN ? n - at : RUN;
        float s = 0;
#pragma omp simd reduction(+ : s)
        for (size_t i = 0; i < len; ++i) s += (x[at + i] - m) * (x[at + i] - m);
        total += s;
    }
    return total;
}

/* Mean and variance (over N) of channel c. */
static void measure_channel(const layer *l, const float *x, size_t c, double *mean, double *variance)
{
    double n = (double)l->batch * (double)map_size(l), sum = 0, squares = 0;
    for (size_t b = 0; b < (size_t)l->batch; ++b) sum += sum_map(x + map_at(l, b, c), map_size(l));
    float m = (float)(sum / n);
    for (size_t b = 0; b < (size_t)l->batch; ++b) squares += sum_squares(x + map_at(l, b, c), m, map_size(l));
    double off = sum / n - m;   /* m was rounded: the variance about the true mean is smaller by off^2 */
    *mean = sum / n;
    *variance = fmax(squares / n - off * off, 0);
}

/* n neighbours of channel c. */
ACT_INLINE void affine_map(const float *x, float *y, float mean, float factor, float bias, size_t n, ACTIVATION act)
{
    ACT_SIMD
    for (size_t i = 0; i < n; ++i) y[i] = act_value((x[i] - mean) * factor + bias, act);
}

static void affine_channel(const layer *l, const float *x, float *y, size_t c, float mean, float factor, float bias)
{
    for (size_t b = 0; b < (size_t)l->batch; ++b) {
        size_t at = map_at(l, b, c);
        ACT_SWITCH(l->activation, affine_map, x + at, y + at, mean, factor, bias, map_size(l))
    }
}

void batchnorm_keep_statistics(const layer *l, size_t c, double mean, double variance, double rate)
{
    double n = (double)l->batch * (double)map_size(l);
    double unbiased = n > 1 ? variance * n / (n - 1) : variance;
    l->mean[c] = (float)mean;
    l->variance[c] = (float)variance;
    if (rate == 0) return;
    l->rolling_mean[c] += (float)(rate * (mean - l->rolling_mean[c]));
    l->rolling_variance[c] += (float)(rate * (unbiased - l->rolling_variance[c]));
}

/* What channel c's x - mean is multiplied with, by this batch's statistics. */
static float train_factor(const layer *l, size_t c)
{
    float r = (float)(1 / (sqrt(l->variance[c]) + HOST_EPSILON));
    return l->scales[c] * r;
}

/* Measures and normalises channels [begin, end). */
static void train_channels(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    const layer *l = job->l;
    for (size_t c = begin; c < end; ++c) {
        double mean, variance;
        measure_channel(l, job->x, c, &mean, &variance);
        batchnorm_keep_statistics(l, c, mean, variance, job->rate);
        affine_channel(l, job->x, job->y, c, l->mean[c], train_factor(l, c), l->biases[c]);
    }
}

void batchnorm_forward_train(const layer *l, const float *x, float *y, float rate)
{
    bn_job job = { .l = l, .x = x, .y = y, .rate = rate };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), train_channels, &job);
}

float batchnorm_factor(const layer *l, int i)
{
    return (float)(l->scales[i] / (sqrt(l->rolling_variance[i]) + HOST_EPSILON));
}

static void inference_channels(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    const layer *l = job->l;
    for (size_t c = begin; c < end; ++c)
        affine_channel(l, job->x, job->y, c, l->rolling_mean[c], batchnorm_factor(l, (int)c), l->biases[c]);
}

void batchnorm_forward_inference(const layer *l, const float *x, float *y)
{
    bn_job job = { .l = l, .x = x, .y = y };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), inference_channels, &job);
}

static void measure_channels(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    for (size_t c = begin; c < end; ++c) {
        double mean, variance;
        measure_channel(job->l, job->x, c, &mean, &variance);
        batchnorm_keep_statistics(job->l, c, mean, variance, 0);
    }
}

void batchnorm_forward_measured(const layer *l, const float *x, float *y)
{
    bn_job job = { .l = l, .x = x };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), measure_channels, &job);
    batchnorm_forward_inference(l, x, y);
}

/* n neighbours' delta *= act', v being what act_slope takes. */
ACT_INLINE void slope_map(float *delta, const float *v, size_t n, ACTIVATION act)
{
    ACT_SIMD
    for (size_t i = 0; i < n; ++i) delta[i] *= act_slope(v[i], act);
}

/* The same where v is x normalised. */
ACT_INLINE void slope_normal(float *delta, const float *x, float mean, float factor, float bias, size_t n,
                             ACTIVATION act)
{
    ACT_SIMD
    for (size_t i = 0; i < n; ++i) delta[i] *= act_slope((x[i] - mean) * factor + bias, act);
}

/* delta *= act' on one map of channel c. The slope is known from the output; else from what was kept before the
 * activation; else from batch norm's input. */
static void slope_of_map(const bn_job *job, size_t c, size_t at)
{
    const layer *l = job->l;
    if (l->activation == LINEAR) return;
    if (!act_needs_input(l->activation) || job->before) {
        const float *v = job->before ? job->before : l->output;
        ACT_SWITCH(l->activation, slope_map, l->delta + at, v + at, map_size(l))
        return;
    }
    float mean = job->train ? l->mean[c] : l->rolling_mean[c];
    float factor = job->train ? train_factor(l, c) : batchnorm_factor(l, (int)c);
    ACT_SWITCH(l->activation, slope_normal, l->delta + at, l->x + at, mean, factor, l->biases[c], map_size(l))
}

/* delta *= act' on channel c; returns the sum of the result. */
static double slope_channel(const bn_job *job, size_t c)
{
    double sum = 0;
    for (size_t b = 0; b < (size_t)job->l->batch; ++b) {
        size_t at = map_at(job->l, b, c);
        slope_of_map(job, c, at);
        sum += sum_map(job->l->delta + at, map_size(job->l));
    }
    return sum;
}

/* sum of delta * (x - m) on channel c */
static double correlate_channel(const layer *l, size_t c, float m)
{
    size_t n = map_size(l);
    double total = 0;
    for (size_t b = 0; b < (size_t)l->batch; ++b) {
        const float *d = l->delta + map_at(l, b, c), *x = l->x + map_at(l, b, c);
        for (size_t at = 0; at < n; at += RUN) {
            size_t len = n - at < RUN ? n - at : RUN;
            float s = 0;
#pragma omp simd reduction(+ : s)
            for (size_t i = 0; i < len; ++i) s += d[at + i] * (x[at + i] - m);
            total += s;
        }
    }
    return total;
}

static void scale_channel(const layer *l, size_t c, float factor)
{
    for (size_t b = 0; b < (size_t)l->batch; ++b) {
        float *d = l->delta + map_at(l, b, c);
        size_t n = map_size(l);
#pragma omp simd
        for (size_t i = 0; i < n; ++i) d[i] *= factor;
    }
}

/* delta = factor * (delta - mean - slope * (x - m)) */
static void centre_channel(const layer *l, size_t c, float factor, float mean, float slope)
{
    float m = l->mean[c];
    for (size_t b = 0; b < (size_t)l->batch; ++b) {
        float *d = l->delta + map_at(l, b, c);
        const float *x = l->x + map_at(l, b, c);
        size_t n = map_size(l);
#pragma omp simd
        for (size_t i = 0; i < n; ++i) d[i] = factor * (d[i] - mean - slope * (x[i] - m));
    }
}

/* Turns channel c's delta into dx by the formula above, with this batch's statistics. */
static void backward_train_channel(const bn_job *job, size_t c)
{
    const layer *l = job->l;
    double n = (double)l->batch * (double)map_size(l);
    double s = sqrt(l->variance[c]), r = 1 / (s + HOST_EPSILON);
    double sum = slope_channel(job, c), with_h = correlate_channel(l, c, l->mean[c]) * r;
    double slope = s > 0 ? with_h / n * r * (s + HOST_EPSILON) / s : 0;
    if (job->updates) {
        l->bias_updates[c] += (float)sum;
        l->scale_updates[c] += (float)with_h;
    }
    centre_channel(l, c, (float)(l->scales[c] * r), (float)(sum / n), (float)slope);
}

static void backward_inference_channel(const bn_job *job, size_t c)
{
    const layer *l = job->l;
    double r = 1 / (sqrt(l->rolling_variance[c]) + HOST_EPSILON), sum = slope_channel(job, c);
    if (job->updates) {
        l->bias_updates[c] += (float)sum;
        l->scale_updates[c] += (float)(correlate_channel(l, c, l->rolling_mean[c]) * r);
    }
    scale_channel(l, c, batchnorm_factor(l, (int)c));
}

static void backward_channels(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    for (size_t c = begin; c < end; ++c)
        if (job->train) backward_train_channel(job, c);
        else backward_inference_channel(job, c);
}

void batchnorm_backward(const layer *l, const float *before, int train, int updates)
{
    bn_job job = { .l = l, .before = before, .train = train, .updates = updates };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), backward_channels, &job);
}

batchnorm_distance batchnorm_far(const layer *l)
{
    double mean = 0, variance = 0;
    for (int c = 0; c < l->out_c; ++c) {
        double m = (double)l->mean[c] - l->rolling_mean[c], v = (double)l->variance[c] - l->rolling_variance[c];
        if (l->scales[c] == 0) continue;
        mean += m * m;
        variance += v * v;
    }
    return (batchnorm_distance){ sqrt(mean), sqrt(variance) };
}

/* Minus the formula above, where x - m = (x - M) - (m - M). */
batchnorm_line batchnorm_pull_of(const layer *l, size_t c, batchnorm_distance far, double weight)
{
    double n = (double)l->batch * (double)map_size(l);
    double m = (double)l->mean[c] - l->rolling_mean[c], v = (double)l->variance[c] - l->rolling_variance[c];
    double slope = far.variance > 0 ? -2 * weight / n * v / far.variance : 0;
    double level = far.mean > 0 ? -weight / n * m / far.mean : 0;
    if (l->scales[c] == 0) return (batchnorm_line){ 0, 0 };
    return (batchnorm_line){ level - slope * m, slope };
}

typedef struct pull_job {
    const layer *l;
    batchnorm_distance far;
    float weight;
} pull_job;

/* Adds to the deltas of channels [begin, end). */
static void pull_channels(void *ctx, size_t begin, size_t end)
{
    const pull_job *job = ctx;
    const layer *l = job->l;
    for (size_t c = begin; c < end; ++c) {
        batchnorm_line line = batchnorm_pull_of(l, c, job->far, job->weight);
        float level = (float)line.level, slope = (float)line.slope, mean = l->rolling_mean[c];
        for (size_t b = 0; b < (size_t)l->batch; ++b) {
            float *d = l->delta + map_at(l, b, c);
            const float *x = l->x + map_at(l, b, c);
            size_t n = map_size(l);
#pragma omp simd
            for (size_t i = 0; i < n; ++i) d[i] += level + slope * (x[i] - mean);
        }
    }
}

void batchnorm_pull(const layer *l, float weight)
{
    pull_job job = { .l = l, .far = batchnorm_far(l), .weight = weight };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), pull_channels, &job);
}

static void bias_channels(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    for (size_t c = begin; c < end; ++c) affine_channel(job->l, job->y, job->y, c, 0, 1, job->bias ? job->bias[c] : 0);
}

void bias_forward(const layer *l, const float *bias, float *y)
{
    bn_job job = { .l = l, .bias = bias, .y = y };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), bias_channels, &job);
}

static void activate_channels(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    for (size_t c = begin; c < end; ++c) affine_channel(job->l, job->x, job->l->output, c, 0, 1, 0);
}

void activate_forward(const layer *l, const float *x)
{
    bn_job job = { .l = l, .x = x };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), activate_channels, &job);
}

static void bias_back_channels(void *ctx, size_t begin, size_t end)
{
    const bn_job *job = ctx;
    for (size_t c = begin; c < end; ++c) {
        double sum = slope_channel(job, c);
        if (job->updates) job->l->bias_updates[c] += (float)sum;
    }
}

void bias_backward(const layer *l, const float *before, int updates)
{
    bn_job job = { .l = l, .before = before, .updates = updates };
    parallel_for_work((size_t)l->out_c, (size_t)l->batch * map_size(l), bias_back_channels, &job);
}
