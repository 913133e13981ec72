/* Rounding of arrays (see bf16.h). */
#include "bf16.h"

#include "parallel.h"

typedef struct rounding {
    const float *from;
    float *to;
} rounding;

static void round_part(void *context, size_t begin, size_t end)
{
    const rounding *job = context;
    for (size_t i = begin; i < end; ++i) job->to[i] = bf16_nearest(job->from[i]);
}

void bf16_round(const float *from, size_t n, float *to)
{
    rounding job = { from, to };
    parallel_for_work(n, 1, round_part, &job);
}
