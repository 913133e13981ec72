/* Vectors of LANES floats, the widest that the processor built for has registers for, and the blocked layout they read.
 *
 * A blocked map is (batch, blocks, h, w, LANES) with blocks = ceil(c / LANES): the LANES channels of one pixel stand
 * together, oneDNN's nChw16c (AVX-512) or nChw8c (variant.h). Lanes beyond the last channel hold finite numbers nobody
 * reads. Its numbers are map_values: floats or, in the compilation for halves, bfloat16 (bf16.h), which are floats
 * again once they are in a register. Compiled for channels last (LAST), what else is the same stands as
 * (batch, h, w, blocks, LANES), NHWC with c up to whole blocks.
 * Everything here is gcc's and clang's vector extension, so it compiles for any processor. */
#ifndef DISTILL_VEC_H
#define DISTILL_VEC_H
#include "activate.h"
#include "bf16.h"
#include "variant.h"

#include <stddef.h>
#include <stdint.h>
#ifdef __AVX512BF16__
#include <immintrin.h>
#endif

#if defined __AVX512F__ && !defined NARROW
#define LANES 16
#else
#define LANES 8
#endif

typedef float vec __attribute__((vector_size(LANES * 4)));
typedef int32_t ivec __attribute__((vector_size(LANES * 4)));

static inline size_t vec_blocks(int c) { return ((size_t)c + LANES - 1) / LANES; }
/* Numbers of a blocked map. */
static inline size_t vec_numbers(int batch, int c, int h, int w)
{
    return (size_t)batch * vec_blocks(c) * (size_t)h * (size_t)w * LANES;
}

/* Where a map's block of channels begins, blocks counted through all images (an item of work as a rule), how far apart
 * its pixels are, and in how many pieces the numbers of an image's channels side by side stand together. */
#ifdef LAST
static inline size_t vec_block_at(size_t item, size_t blocks, size_t pixels)
{
    return (item / blocks * pixels * blocks + item % blocks) * LANES;
}
static inline size_t vec_step(size_t blocks) { return blocks * LANES; }
static inline size_t vec_pieces(size_t pixels) { return pixels; }
#else
static inline size_t vec_block_at(size_t item, size_t blocks, size_t pixels)
{
    (void)blocks;
    return item * pixels * LANES;
}
static inline size_t vec_step(size_t blocks)
{
    (void)blocks;
    return LANES;
}
static inline size_t vec_pieces(size_t pixels)
{
    (void)pixels;
    return 1;
}
#endif

ACT_INLINE vec vec_load(const float *at) { return *(const vec *)(const void *)at; }
ACT_INLINE void vec_store(float *at, vec value) { *(vec *)(void *)at = value; }

#ifdef HALF
typedef uint16_t map_value;
typedef uint16_t vec_halves __attribute__((vector_size(LANES * 2)));
typedef uint32_t uvec __attribute__((vector_size(LANES * 4)));

ACT_INLINE vec map_load(const map_value *at)
{
    return (vec)(__builtin_convertvector(*(const vec_halves *)(const void *)at, uvec) << 16);
}
/* Rounds as bf16_bits does. The processor's instruction takes denormals for 0, which the host's threads do anyway. */
ACT_INLINE void map_store(map_value *at, vec value)
{
#if defined __AVX512BF16__ && LANES == 16
    __m256bh halves = _mm512_cvtneps_pbh((__m512)value);
    memcpy(at, &halves, sizeof halves);
#else
    uvec bits = (uvec)value, up = bits + 0x7fff + (bits >> 16 & 1);
    ivec number = value == value;
    bits = ((uvec)number & up) | (~(uvec)number & (bits | 0x400000));
    *(vec_halves *)(void *)at = __builtin_convertvector(bits >> 16, vec_halves);
#endif
}
ACT_INLINE float map_get(map_value value) { return bf16_value(value); }
ACT_INLINE map_value map_of(float value) { return bf16_bits(value); }
#else
typedef float map_value;
ACT_INLINE vec map_load(const map_value *at) { return vec_load(at); }
ACT_INLINE void map_store(map_value *at, vec value) { vec_store(at, value); }
ACT_INLINE float map_get(map_value value) { return value; }
ACT_INLINE map_value map_of(float value) { return value; }
#endif

/* Writes to to + i, or adds to what is there; NULL: nowhere. */
ACT_INLINE void map_put(map_value *to, size_t i, vec value, int add)
{
    if (to) map_store(to + i, add ? map_load(to + i) + value : value);
}

/* - 0 and not + 0, which is not nothing to -0: the compiler would add it. */
ACT_INLINE vec vec_all(float number) { return number - (vec){ 0 }; }
/* `yes` where the mask is set, else `no`. */
ACT_INLINE vec vec_pick(ivec mask, vec yes, vec no) { return (vec)((mask & (ivec)yes) | (~mask & (ivec)no)); }

/* Each lane of x by the activations of activation_ops.h, through memory that compilers keep in a register. */
ACT_INLINE vec vec_fork(vec x, ACTIVATION act, int slope)
{
    float lane[LANES] __attribute__((aligned(LANES * 4)));
    vec_store(lane, x);
    ACT_SIMD
    for (int i = 0; i < LANES; ++i) lane[i] = slope ? fork_act_slope(lane[i], act) : fork_act_value(lane[i], act);
    return vec_load(lane);
}

/* Activates each lane of x. */
ACT_INLINE vec vec_act(vec x, ACTIVATION act)
{
    vec zero = vec_all(0);
    switch (act) {
    case LINEAR: return x;
    case RELU: return vec_pick(x < zero, zero, x);
    case LEAKY: return vec_pick(x > zero, x, HOST_LEAKY_SLOPE * x);
    default:
        if (act_is_ours(act)) return vec_fork(x, act, 0);
        for (int i = 0; i < LANES; ++i) x[i] = act_value(x[i], act);
        return x;
    }
}

/* Derivative, from what act_slope takes. */
ACT_INLINE vec vec_slope(vec v, ACTIVATION act)
{
    vec zero = vec_all(0), one = vec_all(1);
    switch (act) {
    case LINEAR: return one;
    case RELU: return vec_pick(v > zero, one, zero);
    case LEAKY: return vec_pick(v > zero, one, vec_all(HOST_LEAKY_SLOPE));
    default:
        if (act_is_ours(act)) return vec_fork(v, act, 1);
        for (int i = 0; i < LANES; ++i) v[i] = act_slope(v[i], act);
        return v;
    }
}

#endif
