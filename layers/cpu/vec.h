/* Vectors of LANES floats, the widest that the processor built for has registers for, and the blocked layout they read.
 *
 * A blocked map is (batch, blocks, h, w, LANES) with blocks = ceil(c / LANES): the LANES channels of one pixel stand
 * together, oneDNN's nChw16c (AVX-512) or nChw8c. Lanes beyond the last channel hold finite numbers nobody reads.
 * Everything here is gcc's and clang's vector extension, so it compiles for any processor. */
#ifndef DISTILL_VEC_H
#define DISTILL_VEC_H
#include "activate.h"

#include <stddef.h>
#include <stdint.h>

#ifdef __AVX512F__
#define LANES 16
#else
#define LANES 8
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));

static inline size_t vec_blocks(int c) { return ((size_t)c + LANES - 1) / LANES; }
/* Floats of a blocked map. */
static inline size_t vec_floats(int batch, int c, int h, int w)
{
    return (size_t)batch * vec_blocks(c) * (size_t)h * (size_t)w * LANES;
}

ACT_INLINE vec vec_load(const float *at) { return *(const vec *)(const void *)at; }
ACT_INLINE void vec_store(float *at, vec value) { *(vec *)(void *)at = value; }
/* - 0 and not + 0, which is not nothing to -0: the compiler would add it. */
ACT_INLINE vec vec_all(float number) { return number - (vec){ 0 }; }
/* `yes` where the mask is set, else `no`. */
ACT_INLINE vec vec_pick(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }

/* Activates each lane of x. */
ACT_INLINE vec vec_act(vec x, ACTIVATION act)
{
    vec zero = vec_all(0);
    switch (act) {
    case LINEAR: return x;
    case RELU: return vec_pick(x < zero, zero, x);
    case LEAKY: return vec_pick(x > zero, x, HOST_LEAKY_SLOPE * x);
    default:
        for (int i = 0; i < LANES; ++i) x[i] = act_value(x[i], act);
        return x;
    }
}

/* Derivative from the output y. */
ACT_INLINE vec vec_slope(vec y, ACTIVATION act)
{
    vec zero = vec_all(0), one = vec_all(1);
    switch (act) {
    case LINEAR: return one;
    case RELU: return vec_pick(y > zero, one, zero);
    case LEAKY: return vec_pick(y > zero, one, vec_all(HOST_LEAKY_SLOPE));
    default:
        for (int i = 0; i < LANES; ++i) y[i] = act_slope(y[i], act);
        return y;
    }
}

#endif
