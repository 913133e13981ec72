/* bfloat16: the upper half of a float, 8 bits of exponent, 7 of mantissa. Rounded to nearest, ties to even, as the
 * processors' own instructions do (VCVTNEPS2BF16), so that a value is off by 2^-8 of itself at most. A NaN stays one,
 * what is nearer to infinity than to the largest becomes infinite. */
#ifndef DISTILL_BF16_H
#define DISTILL_BF16_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The nearest number that bfloat16 has. */
static inline uint16_t bf16_bits(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t up = bits + 0x7fff + (bits >> 16 & 1);
    bits = (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : up;   /* NaN: a carry could make it infinite */
    return (uint16_t)(bits >> 16);
}

static inline float bf16_value(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The same as a float. */
static inline float bf16_nearest(float value) { return bf16_value(bf16_bits(value)); }

/* Is every one of n numbers finite? */
int bf16_finite(const uint16_t *numbers, size_t n);

/* n numbers to another place: rounded; rounded, half as long; as floats again. */
void bf16_round(const float *from, size_t n, float *to);
void bf16_pack(const float *from, size_t n, uint16_t *to);
void bf16_unpack(const uint16_t *from, size_t n, float *to);

#endif
