/* [maxpool]: y = the largest x of each window, dx at that place += dy.
 *
 * As Darknet has it: `pad` is the total padding, half of it (rounded up, i.e. -pad/2) before the map; the first of
 * equal values wins; l.indexes remembers where. A window wholly outside the map gives -FLT_MAX and no gradient, a NaN
 * wins. */
#include "layers/fork_layers.h"
#include "parallel.h"
#include "state.h"

#include <float.h>
#include <math.h>

typedef struct pool_job {
    const layer *l;
    const float *x;
    float *dx;
} pool_job;

/* Window whose corner is (top, left) in map x; returns the index within the map, -1 if empty. */
static int largest(const layer *l, const float *x, int top, int left)
{
    int r0 = cpu_clip(top, l->h), r1 = cpu_clip(top + l->size, l->h);
    int c0 = cpu_clip(left, l->w), c1 = cpu_clip(left + l->size, l->w), best = -1;
    for (int r = r0; r < r1; ++r)
        for (int c = c0; c < c1; ++c) {
            int i = r * l->w + c;
            if (best < 0 || x[i] > x[best] || isnan(x[i])) best = i;
        }
    return best;
}

/* Takes the largest of each window of maps [begin, end), and where it was. */
static void forward_maps(void *ctx, size_t begin, size_t end)
{
    const pool_job *job = ctx;
    const layer *l = job->l;
    int before = l->pad / 2, down = fork_stride_y(l), across = fork_stride_x(l);
    for (size_t m = begin; m < end; ++m) {
        size_t in = m * (size_t)l->h * (size_t)l->w, out = m * (size_t)l->out_h * (size_t)l->out_w;
        for (int r = 0; r < l->out_h; ++r)
            for (int c = 0; c < l->out_w; ++c, ++out) {
                int at = largest(l, job->x + in, r * down - before, c * across - before);
                l->output[out] = at < 0 ? -FLT_MAX : job->x[in + (size_t)at];
                l->indexes[out] = at < 0 ? -1 : (int)in + at;
            }
    }
}

/* Windows of one map meet only that map, so maps can be shared out. */
static void backward_maps(void *ctx, size_t begin, size_t end)
{
    const pool_job *job = ctx;
    size_t n = (size_t)job->l->out_h * (size_t)job->l->out_w;
    for (size_t i = begin * n; i < end * n; ++i)
        if (job->l->indexes[i] >= 0) job->dx[job->l->indexes[i]] += job->l->delta[i];
}

void forward_cpu_maxpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    pool_job job = { .l = l, .x = call->input };
    parallel_for_work((size_t)l->batch * (size_t)l->c, (size_t)l->out_h * (size_t)l->out_w, forward_maps, &job);
}

void backward_cpu_maxpool(const layer *l, cpu_state *state, const layer_call *call)
{
    (void)state;
    pool_job job = { .l = l, .dx = call->delta };
    if (job.dx)
        parallel_for_work((size_t)l->batch * (size_t)l->c, (size_t)l->out_h * (size_t)l->out_w, backward_maps, &job);
}
