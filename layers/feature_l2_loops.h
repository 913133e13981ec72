/* The CPU's loops over a student's map beside a stored one (feature_l2.c, feature_l2_metric.c). */
#ifndef DISTILL_FEATURE_L2_LOOPS_H
#define DISTILL_FEATURE_L2_LOOPS_H
#include "feature_l2_internal.h"
#include "feature_l2_ops.h"

/* Compiled once for each stored type and for k = 1, so that the loops vectorise. */
#define INLINE static inline __attribute__((always_inline))
#define FOR_TYPES(fn, j, b) \
    do { \
        int k_ = (j)->s->p.target_pool; \
        feature_type t_ = (j)->s->target[b].type; \
        if (t_ == FEATURE_F32 && k_ == 1) fn(j, b, FEATURE_F32, 1); \
        else if (t_ == FEATURE_F16 && k_ == 1) fn(j, b, FEATURE_F16, 1); \
        else fn(j, b, t_, k_); \
    } while (0)

/* clang takes the pragma as a promise and warns where it does not keep it. */
#ifdef __clang__
#define L2_SIMD(how)
#else
#define L2_PRAGMA(text) _Pragma(#text)
#define L2_SIMD(how) L2_PRAGMA(omp simd how)
#endif

/* Target of the student's element i of channel c. */
INLINE float target_at(const layer *l, const feature_map *maps, feature_type type, int k, size_t c, size_t i)
{
    size_t map = (size_t)l->out_h * (size_t)l->out_w;
    if (k == 1) return feature_value(maps->values, maps->range, type, c, c * map + i);
    return feature_l2_target(maps->values, maps->range, type, c, map * (size_t)(k * k), l->out_w, k, (int)i / l->out_w,
                             (int)i % l->out_w);
}

#endif
