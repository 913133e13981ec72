/* Rounding of arrays (see bf16.h). */
#include "bf16.h"

#include "parallel.h"

typedef struct rounding {
    const void *from;
    void *to;
} rounding;

static void round_part(void *context, size_t begin, size_t end)
{
    const rounding *job = context;
    const float *from = job->from;
    float *to = job->to;
    for (size_t i = begin; i < end; ++i) to[i] = bf16_nearest(from[i]);
}

static void pack_part(void *context, size_t begin, size_t end)
{
    const rounding *job = context;
    const float *from = job->from;
    uint16_t *to = job->to;
    for (size_t i = begin; i < end; ++i) to[i] = bf16_bits(from[i]);
}

static void unpack_part(void *context, size_t begin, size_t end)
{
    const rounding *job = context;
    const uint16_t *from = job->from;
    float *to = job->to;
    for (size_t i = begin; i < end; ++i) to[i] = bf16_value(from[i]);
}

void bf16_round(const float *from, size_t n, float *to)
{
    parallel_for_work(n, 1, round_part, &(rounding){ from, to });
}

void bf16_pack(const float *from, size_t n, uint16_t *to)
{
    parallel_for_work(n, 1, pack_part, &(rounding){ from, to });
}

void bf16_unpack(const uint16_t *from, size_t n, float *to)
{
    parallel_for_work(n, 1, unpack_part, &(rounding){ from, to });
}

int bf16_finite(const uint16_t *numbers, size_t n)
{
    for (size_t i = 0; i < n; ++i)
        if ((numbers[i] & 0x7f80) == 0x7f80) return 0;
    return 1;
}
