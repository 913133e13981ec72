/* Adam (layers/update_ops.h) on an array that belongs to no layer: pixels, or a generator's noise. */
#include "synthesis_internal.h"

#include "darknet_plugin/base/mem.h"
#include "layers/cpu/parallel.h"
#include "layers/update_ops.h"

#include <stdlib.h>
#include <string.h>

adam adam_new(size_t n, double rate, double b1, double b2)
{
    return (adam){ .m = mem_calloc(n, sizeof(float)), .v = mem_calloc(n, sizeof(float)), .n = n, .rate = (float)rate,
                   .b1 = (float)b1, .b2 = (float)b2 };
}

void adam_free(adam *adam)
{
    free(adam->m);
    free(adam->v);
}

void adam_restart(adam *adam)
{
    adam->t = 0;
    memset(adam->m, 0, adam->n * sizeof *adam->m);
    memset(adam->v, 0, adam->n * sizeof *adam->v);
}

static void step_share(void *context, size_t begin, size_t end)
{
    const update_job *job = context;
    for (size_t i = begin; i < end; ++i) update_adam(&job->step, job->w, job->u, job->m, job->v, i);
}

void adam_step(adam *adam, float *x, float *delta)
{
    update_args args = { .batch = 1, .B1 = adam->b1, .B2 = adam->b2, .eps = 1e-8f, .t = ++adam->t };
    update_job job = { .w = x, .u = delta, .m = adam->m, .v = adam->v, .n = adam->n,
                       .step = make_update_step(adam->rate, 0, &args) };
    parallel_for_work(adam->n, 1, step_share, &job);
}
