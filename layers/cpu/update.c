/* Updates: a loop for each optimiser, whose formulae stand beside its element function (layers/optimiser_ops.h). The
 * host's CPU code ignores adam=1. rate is the network's times the layer's `learning_rate=`. */
#include "layers/optimiser.h"
#include "layers/optimiser_ops.h"
#include "parallel.h"
#include "state.h"

#define SHARE(name, moments)                                                                                    \
    static void name##_share(void *context, size_t begin, size_t end)                                           \
    {                                                                                                           \
        const update_job *job = context;                                                                        \
        const update_step step = job->step;                                                                     \
        float *restrict w = job->w, *restrict u = job->u, *restrict m = job->m, *restrict v = job->v;           \
        _Pragma("omp simd") for (size_t i = begin; i < end; ++i) update_##name(&step, w, u, m, v, i);           \
    }
OPTIMISERS(SHARE)

#define SHARE_OF(name, moments) name##_share,
static void (*const shares[])(void *context, size_t begin, size_t end) = { OPTIMISERS(SHARE_OF) };

static void update_array(const update_job *job, int optimiser)
{
    update_job own = *job;
    parallel_for_work(job->n, 1, shares[optimiser], &own);
}

void update_cpu_weights(const layer *l, update_args args) { optimiser_update(l, &args, 0, update_array); }
