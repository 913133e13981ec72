/* Convolution by plain loops: the yardstick of the fast paths, and what a build without oneDNN runs.
 *
 *   y[b,o,i,j]    = sum over q,u,v of w[o,q,u,v] * x[b,q,i*stride+u-pad,j*stride+v-pad]     dilated: u d, v d
 *   dw[o,q,u,v]  += sum over b,i,j of dy[b,o,i,j] * x[b,q,i*stride+u-pad,j*stride+v-pad]
 *   dx[b,q,...]  += sum over o,u,v of w[o,q,u,v] * dy[b,o,i,j]
 *
 * q runs over the channels of o's group. All three are the same walk: for one map of y, one of x and one tap (u,v), go
 * over the rows and columns where both exist. Shares are whole maps or whole filters, so sums never cross threads. */
#include "conv.h"
#include "parallel.h"

#include "darknet_plugin/base/mem.h"

#include <string.h>

typedef struct conv_job {
    conv_shape shape;
    const float *x, *w, *dy;
    float *y, *dw, *dx;
} conv_job;

/* Outputs [lo, hi) along one axis whose tap u falls inside an input of `in`. */
static void tap_range(int in, int out, int stride, int pad, int u, int *lo, int *hi)
{
    int first = pad - u, last = in - 1 + pad - u;
    *lo = first > 0 ? (first + stride - 1) / stride : 0;
    *hi = last < 0 ? 0 : last / stride + 1;
    if (*hi > out) *hi = out;
}

/* One tap over one pair of maps: the rows and columns of outputs that have it within the input. */
typedef struct conv_tap {
    int i0, i1, j0, j1;
} conv_tap;

static conv_tap tap_of(const conv_shape *shape, int u, int v)
{
    conv_tap tap;
    int gap = conv_dilation(shape);
    tap_range(shape->h, shape->out_h, shape->stride, shape->pad, u * gap, &tap.i0, &tap.i1);
    tap_range(shape->w, shape->out_w, conv_across(shape), shape->pad, v * gap, &tap.j0, &tap.j1);
    return tap;
}

/* Where output (i, j0) looks. */
static size_t tap_at(const conv_shape *shape, const conv_tap *tap, int i, int u, int v)
{
    int gap = conv_dilation(shape);
    return (size_t)(i * shape->stride + u * gap - shape->pad) * (size_t)shape->w
        + (size_t)(tap->j0 * conv_across(shape) + v * gap - shape->pad);
}

/* Adds w * x of one tap to the map y. */
static void tap_forward(const conv_shape *shape, int u, int v, float w, const float *x, float *y)
{
    conv_tap tap = tap_of(shape, u, v);
    int n = tap.j1 - tap.j0, stride = conv_across(shape);
    if (n <= 0) return;
    for (int i = tap.i0; i < tap.i1; ++i) {
        const float *in = x + tap_at(shape, &tap, i, u, v);
        float *out = y + (size_t)i * (size_t)shape->out_w + tap.j0;
#pragma omp simd
        for (int j = 0; j < n; ++j) out[j] += w * in[(size_t)j * (size_t)stride];
    }
}

/* Adds w * dy of one tap to the map dx. */
static void tap_data(const conv_shape *shape, int u, int v, float w, const float *dy, float *dx)
{
    conv_tap tap = tap_of(shape, u, v);
    int n = tap.j1 - tap.j0, stride = conv_across(shape);
    if (n <= 0) return;
    for (int i = tap.i0; i < tap.i1; ++i) {
        float *in = dx + tap_at(shape, &tap, i, u, v);
        const float *out = dy + (size_t)i * (size_t)shape->out_w + tap.j0;
#pragma omp simd
        for (int j = 0; j < n; ++j) in[(size_t)j * (size_t)stride] += w * out[j];
    }
}

/* Sums dy * x of one tap over a pair of maps. */
static double tap_weights(const conv_shape *shape, int u, int v, const float *x, const float *dy)
{
    conv_tap tap = tap_of(shape, u, v);
    int n = tap.j1 - tap.j0, stride = conv_across(shape);
    double total = 0;
    if (n <= 0) return 0;
    for (int i = tap.i0; i < tap.i1; ++i) {
        const float *in = x + tap_at(shape, &tap, i, u, v);
        const float *out = dy + (size_t)i * (size_t)shape->out_w + tap.j0;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < n; ++j) sum += out[j] * in[(size_t)j * (size_t)stride];
        total += sum;
    }
    return total;
}

/* Where map (b, c) of x begins. */
static size_t in_map(const conv_shape *shape, size_t b, size_t c)
{
    return (b * (size_t)shape->c + c) * (size_t)shape->h * (size_t)shape->w;
}

static size_t out_map(const conv_shape *shape, size_t b, size_t o)
{
    return (b * (size_t)shape->n + o) * (size_t)shape->out_h * (size_t)shape->out_w;
}

static size_t weight_at(const conv_shape *shape, size_t o, size_t q, int u, int v)
{
    size_t k = (size_t)shape->size;
    return ((o * (size_t)(shape->c / shape->groups) + q) * k + (size_t)u) * k + (size_t)v;
}

/* Computes maps [begin, end) of y, all images' counted through. */
static void forward_maps(void *ctx, size_t begin, size_t end)
{
    conv_job *job = ctx;
    const conv_shape *shape = &job->shape;
    size_t per = (size_t)(shape->c / shape->groups), filters = (size_t)(shape->n / shape->groups);
    for (size_t m = begin; m < end; ++m) {
        size_t b = m / (size_t)shape->n, o = m % (size_t)shape->n;
        float *y = job->y + out_map(shape, b, o);
        memset(y, 0, (size_t)shape->out_h * (size_t)shape->out_w * sizeof *y);
        for (size_t q = 0; q < per; ++q)
            for (int u = 0; u < shape->size; ++u)
                for (int v = 0; v < shape->size; ++v)
                    tap_forward(shape, u, v, job->w[weight_at(shape, o, q, u, v)],
                                job->x + in_map(shape, b, o / filters * per + q), y);
    }
}

/* Adds to maps [begin, end) of dx, all images' counted through. */
static void data_maps(void *ctx, size_t begin, size_t end)
{
    conv_job *job = ctx;
    const conv_shape *shape = &job->shape;
    size_t per = (size_t)(shape->c / shape->groups), filters = (size_t)(shape->n / shape->groups);
    for (size_t m = begin; m < end; ++m) {
        size_t b = m / (size_t)shape->c, c = m % (size_t)shape->c, first = c / per * filters;
        for (size_t o = first; o < first + filters; ++o)
            for (int u = 0; u < shape->size; ++u)
                for (int v = 0; v < shape->size; ++v)
                    tap_data(shape, u, v, job->w[weight_at(shape, o, c % per, u, v)],
                             job->dy + out_map(shape, b, o), job->dx + in_map(shape, b, c));
    }
}

/* Adds to the weights of filters [begin, end), each one's channels counted through. */
static void weight_filters(void *ctx, size_t begin, size_t end)
{
    conv_job *job = ctx;
    const conv_shape *shape = &job->shape;
    size_t per = (size_t)(shape->c / shape->groups), filters = (size_t)(shape->n / shape->groups);
    for (size_t m = begin; m < end; ++m) {
        size_t o = m / per, q = m % per, c = o / filters * per + q;
        for (int u = 0; u < shape->size; ++u)
            for (int v = 0; v < shape->size; ++v) {
                double sum = 0;
                for (size_t b = 0; b < (size_t)shape->batch; ++b)
                    sum += tap_weights(shape, u, v, job->x + in_map(shape, b, c), job->dy + out_map(shape, b, o));
                job->dw[weight_at(shape, o, q, u, v)] += (float)sum;
            }
    }
}

static void *make_reference(const conv_shape *shape, const conv_needs *needs, cpu_shared *shared)
{
    (void)needs, (void)shared;
    conv_shape *own = mem_calloc(1, sizeof *own);
    *own = *shape;
    return own;
}

static void forward_reference(void *impl, const void *in, const float *w, const conv_after *after, void *out)
{
    (void)after;
    conv_job job = { .shape = *(conv_shape *)impl, .x = in, .w = w, .y = out };
    parallel_for((size_t)job.shape.batch * (size_t)job.shape.n, forward_maps, &job);
}

static void weights_reference(void *impl, const void *in, const void *dy, float *dw)
{
    conv_job job = { .shape = *(conv_shape *)impl, .x = in, .dy = dy, .dw = dw };
    parallel_for((size_t)job.shape.n * (size_t)(job.shape.c / job.shape.groups), weight_filters, &job);
}

static void data_reference(void *impl, const float *w, const void *dy, void *dx, int add)
{
    (void)add;   /* plain deltas are zeroed beforehand */
    conv_job job = { .shape = *(conv_shape *)impl, .w = w, .dy = dy, .dx = dx };
    parallel_for((size_t)job.shape.batch * (size_t)job.shape.c, data_maps, &job);
}

static int rounds(void *impl) { return impl != NULL; }

const conv_math conv_reference = {
    .name = "reference", .make = make_reference, .free = free, .forward = forward_reference,
    .backward_weights = weights_reference, .backward_data = data_reference, .rounds = rounds,
};
