/* Convolution by oneDNN, a share of the batch's images a thread.
 *
 * Left to itself oneDNN divides each primitive, and each reorder around it, among all threads, which then wait for each
 * other several times a layer, and makes some primitives for just that number. Here each share's images have a plan of
 * their own (conv_dnnl.c), made for one thread, with scratch of its own: a layer is one region of parallel.h's, maps
 * stay in the cache of the core that reordered them, and one thread can compute all shares, one after the other, to the
 * same bits. Weight gradients are summed by share and added in order.
 *
 * Weights are reordered once a share, and their gradients added, so this is for layers whose maps are larger. */
#include "conv.h"
#include "parallel.h"
#include "vec.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

#ifndef DNNL
const conv_math *conv_shares(void) { return NULL; }
#else

/* A share: its plan, and where its images begin in the maps, in bytes. */
typedef struct share_plan {
    void *impl;
    size_t x, y;
} share_plan;

typedef struct shares_plan {
    cpu_shared *shared;      /* borrowed */
    size_t weights;          /* of the layer */
    int n;
    share_plan *share;       /* owned, and their plans */
} shares_plan;

static size_t map_bytes(int blocked, int rounded, int images, int c, int h, int w)
{
    if (blocked) return vec_numbers(images, c, h, w) * (rounded ? sizeof(float) : sizeof(map_value));
    return (size_t)images * (size_t)c * (size_t)h * (size_t)w * sizeof(float);
}

/* Are all shares' weights less than the maps? */
static int pays(const conv_shape *shape, int shares)
{
    size_t x = (size_t)shape->c * (size_t)shape->h * (size_t)shape->w;
    size_t y = (size_t)shape->n * (size_t)shape->out_h * (size_t)shape->out_w;
    return shares > 1 && shape->batch >= shares
        && (size_t)shares * (size_t)shape->n * conv_filter_size(shape) <= (size_t)shape->batch * (x + y);
}

static void free_shares(void *impl)
{
    shares_plan *plan = impl;
    for (int i = 0; i < plan->n; ++i) conv_dnnl()->free(plan->share[i].impl);
    free(plan->share);
    free(plan);
}

/* Plans share i of `shares`. 0: oneDNN cannot do it. */
static int add_share(shares_plan *plan, const conv_shape *whole, const conv_needs *needs, int i, int shares)
{
    const int first = whole->batch * i / shares;
    conv_shape shape = *whole;
    share_plan *share = &plan->share[i];
    shape.batch = whole->batch * (i + 1) / shares - first;
    share->impl = conv_dnnl()->make(&shape, needs, cpu_part_of(plan->shared, i));
    if (!share->impl) return 0;
    plan->n = i + 1;
    int rounded = conv_dnnl()->rounds(share->impl);
    share->x = map_bytes(shape.x_blocked, rounded, first, shape.c, shape.h, shape.w);
    share->y = map_bytes(shape.y_blocked, rounded, first, shape.n, shape.out_h, shape.out_w);
    return 1;
}

/* NULL: the layer is better done as a whole, or not by oneDNN. */
static void *make_shares(const conv_shape *shape, const conv_needs *needs, cpu_shared *shared)
{
    const int shares = parallel_threads();
    if (!pays(shape, shares)) return NULL;
    shares_plan *plan = mem_calloc(1, sizeof *plan);
    plan->shared = shared;
    plan->weights = (size_t)shape->n * conv_filter_size(shape);
    plan->share = mem_calloc((size_t)shares, sizeof *plan->share);
    parallel_begin_one();
    while (plan->n < shares && add_share(plan, shape, needs, plan->n, shares)) { }
    parallel_end_one();
    if (plan->n < shares) {
        free_shares(plan);
        return NULL;
    }
    if (needs->weights) cpu_reserve(shared, SLOT_PARTIAL, (size_t)(shares - 1) * plan->weights * sizeof(float));
    return plan;
}

/* What a call is about; maps whole. */
typedef struct shares_job {
    const shares_plan *plan;
    const char *in, *dy;
    const float *w;
    const conv_after *after;
    char *out;
    int add;
    float *dw;
} shares_job;

static void forward_some(void *ctx, size_t begin, size_t end)
{
    const shares_job *job = ctx;
    for (size_t i = begin; i < end; ++i) {
        const share_plan *share = &job->plan->share[i];
        conv_dnnl()->forward(share->impl, job->in + share->x, job->w, job->after, job->out + share->y);
    }
}

static void forward_shares(void *impl, const void *in, const float *w, const conv_after *after, void *out)
{
    shares_job job = { .plan = impl, .in = in, .w = w, .after = after, .out = out };
    parallel_for((size_t)job.plan->n, forward_some, &job);
}

static float *partial_of(const shares_plan *plan, size_t share)
{
    return plan->shared->slot[SLOT_PARTIAL] + (share - 1) * plan->weights;
}

/* The first share adds to dw itself. */
static void weigh_some(void *ctx, size_t begin, size_t end)
{
    const shares_job *job = ctx;
    for (size_t i = begin; i < end; ++i) {
        const share_plan *share = &job->plan->share[i];
        float *dw = i ? partial_of(job->plan, i) : job->dw;
        if (i) memset(dw, 0, job->plan->weights * sizeof *dw);
        conv_dnnl()->backward_weights(share->impl, job->in + share->x, job->dy + share->y, dw);
    }
}

static void add_partials(void *ctx, size_t begin, size_t end)
{
    const shares_job *job = ctx;
    for (size_t share = 1; share < (size_t)job->plan->n; ++share) {
        const float *partial = partial_of(job->plan, share);
        for (size_t i = begin; i < end; ++i) job->dw[i] += partial[i];
    }
}

static void weights_shares(void *impl, const void *in, const void *dy, float *dw)
{
    shares_job job = { .plan = impl, .in = in, .dy = dy, .dw = dw };
    parallel_for((size_t)job.plan->n, weigh_some, &job);
    parallel_for_work(job.plan->weights, (size_t)job.plan->n, add_partials, &job);
}

static void data_some(void *ctx, size_t begin, size_t end)
{
    const shares_job *job = ctx;
    for (size_t i = begin; i < end; ++i) {
        const share_plan *share = &job->plan->share[i];
        conv_dnnl()->backward_data(share->impl, job->w, job->dy + share->y, job->out + share->x, job->add);
    }
}

static void data_shares(void *impl, const float *w, const void *dy, void *dx, int add)
{
    shares_job job = { .plan = impl, .dy = dy, .w = w, .out = dx, .add = add };
    parallel_for((size_t)job.plan->n, data_some, &job);
}

static int rounds(void *impl)
{
    const shares_plan *plan = impl;
    return conv_dnnl()->rounds(plan->share[0].impl);
}

static const conv_math shares_math = {
    .name = "oneDNN", .biases = 1, .blocked = 1, .make = make_shares, .free = free_shares, .forward = forward_shares,
    .backward_weights = weights_shares, .backward_data = data_shares, .rounds = rounds,
};

const conv_math *conv_shares(void) { return &shares_math; }
#endif
