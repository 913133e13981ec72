/* Convolution by plain loops: the yardstick of the fast paths, and what a build without oneDNN runs.
 *
 *   y[b,o,i,j]    = sum over q,u,v of w[o,q,u,v] * x[b,q,i*stride+u-pad,j*stride+v-pad]
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
    conv_shape s;
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

/* One tap over one pair of maps; `in` points at the x that output (i, 0) sees there. */
typedef struct tap {
    int i0, i1, j0, j1;
} tap;

static tap tap_of(const conv_shape *s, int u, int v)
{
    tap t;
    tap_range(s->h, s->out_h, s->stride, s->pad, u, &t.i0, &t.i1);
    tap_range(s->w, s->out_w, s->stride, s->pad, v, &t.j0, &t.j1);
    return t;
}

/* Where output (i, j0) looks. */
static size_t tap_at(const conv_shape *s, const tap *t, int i, int u, int v)
{
    return (size_t)(i * s->stride + u - s->pad) * (size_t)s->w + (size_t)(t->j0 * s->stride + v - s->pad);
}

static void tap_forward(const conv_shape *s, int u, int v, float w, const float *x, float *y)
{
    tap t = tap_of(s, u, v);
    int n = t.j1 - t.j0, stride = s->stride;
    if (n <= 0) return;
    for (int i = t.i0; i < t.i1; ++i) {
        const float *in = x + tap_at(s, &t, i, u, v);
        float *out = y + (size_t)i * (size_t)s->out_w + t.j0;
#pragma omp simd
        for (int j = 0; j < n; ++j) out[j] += w * in[(size_t)j * (size_t)stride];
    }
}

static void tap_data(const conv_shape *s, int u, int v, float w, const float *dy, float *dx)
{
    tap t = tap_of(s, u, v);
    int n = t.j1 - t.j0, stride = s->stride;
    if (n <= 0) return;
    for (int i = t.i0; i < t.i1; ++i) {
        float *in = dx + tap_at(s, &t, i, u, v);
        const float *out = dy + (size_t)i * (size_t)s->out_w + t.j0;
#pragma omp simd
        for (int j = 0; j < n; ++j) in[(size_t)j * (size_t)stride] += w * out[j];
    }
}

static double tap_weights(const conv_shape *s, int u, int v, const float *x, const float *dy)
{
    tap t = tap_of(s, u, v);
    int n = t.j1 - t.j0, stride = s->stride;
    double total = 0;
    if (n <= 0) return 0;
    for (int i = t.i0; i < t.i1; ++i) {
        const float *in = x + tap_at(s, &t, i, u, v);
        const float *out = dy + (size_t)i * (size_t)s->out_w + t.j0;
        float sum = 0;
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < n; ++j) sum += out[j] * in[(size_t)j * (size_t)stride];
        total += sum;
    }
    return total;
}

static size_t in_map(const conv_shape *s, size_t b, size_t c)
{
    return (b * (size_t)s->c + c) * (size_t)s->h * (size_t)s->w;
}

static size_t out_map(const conv_shape *s, size_t b, size_t o)
{
    return (b * (size_t)s->n + o) * (size_t)s->out_h * (size_t)s->out_w;
}

static size_t weight_at(const conv_shape *s, size_t o, size_t q, int u, int v)
{
    size_t k = (size_t)s->size;
    return ((o * (size_t)(s->c / s->groups) + q) * k + (size_t)u) * k + (size_t)v;
}

static void forward_maps(void *ctx, size_t begin, size_t end)
{
    conv_job *j = ctx;
    const conv_shape *s = &j->s;
    size_t per = (size_t)(s->c / s->groups), filters = (size_t)(s->n / s->groups);
    for (size_t m = begin; m < end; ++m) {
        size_t b = m / (size_t)s->n, o = m % (size_t)s->n;
        float *y = j->y + out_map(s, b, o);
        memset(y, 0, (size_t)s->out_h * (size_t)s->out_w * sizeof *y);
        for (size_t q = 0; q < per; ++q)
            for (int u = 0; u < s->size; ++u)
                for (int v = 0; v < s->size; ++v)
                    tap_forward(s, u, v, j->w[weight_at(s, o, q, u, v)],
                                j->x + in_map(s, b, o / filters * per + q), y);
    }
}

static void data_maps(void *ctx, size_t begin, size_t end)
{
    conv_job *j = ctx;
    const conv_shape *s = &j->s;
    size_t per = (size_t)(s->c / s->groups), filters = (size_t)(s->n / s->groups);
    for (size_t m = begin; m < end; ++m) {
        size_t b = m / (size_t)s->c, c = m % (size_t)s->c, first = c / per * filters;
        for (size_t o = first; o < first + filters; ++o)
            for (int u = 0; u < s->size; ++u)
                for (int v = 0; v < s->size; ++v)
                    tap_data(s, u, v, j->w[weight_at(s, o, c % per, u, v)],
                             j->dy + out_map(s, b, o), j->dx + in_map(s, b, c));
    }
}

static void weight_filters(void *ctx, size_t begin, size_t end)
{
    conv_job *j = ctx;
    const conv_shape *s = &j->s;
    size_t per = (size_t)(s->c / s->groups), filters = (size_t)(s->n / s->groups);
    for (size_t m = begin; m < end; ++m) {
        size_t o = m / per, q = m % per, c = o / filters * per + q;
        for (int u = 0; u < s->size; ++u)
            for (int v = 0; v < s->size; ++v) {
                double sum = 0;
                for (size_t b = 0; b < (size_t)s->batch; ++b)
                    sum += tap_weights(s, u, v, j->x + in_map(s, b, c), j->dy + out_map(s, b, o));
                j->dw[weight_at(s, o, q, u, v)] += (float)sum;
            }
    }
}

static void *make_reference(const conv_shape *s, const conv_needs *needs, cpu_shared *shared)
{
    (void)needs, (void)shared;
    conv_shape *own = mem_calloc(1, sizeof *own);
    *own = *s;
    return own;
}

static void forward_reference(void *plan, const float *x, const float *w, const conv_after *after, float *y)
{
    (void)after;
    conv_job j = { .s = *(conv_shape *)plan, .x = x, .w = w, .y = y };
    parallel_for((size_t)j.s.batch * (size_t)j.s.n, forward_maps, &j);
}

static void weights_reference(void *plan, const float *x, const float *dy, float *dw)
{
    conv_job j = { .s = *(conv_shape *)plan, .x = x, .dy = dy, .dw = dw };
    parallel_for((size_t)j.s.n * (size_t)(j.s.c / j.s.groups), weight_filters, &j);
}

static void data_reference(void *plan, const float *w, const float *dy, float *dx, int add)
{
    (void)add;   /* plain deltas are zeroed beforehand */
    conv_job j = { .s = *(conv_shape *)plan, .w = w, .dy = dy, .dx = dx };
    parallel_for((size_t)j.s.batch * (size_t)j.s.c, data_maps, &j);
}

const conv_math conv_reference = {
    .name = "reference", .make = make_reference, .free = free, .forward = forward_reference,
    .backward_weights = weights_reference, .backward_data = data_reference,
};
