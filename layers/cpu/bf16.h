/* bfloat16: the upper half of a float, 8 bits of exponent, 7 of mantissa. Rounded to nearest, ties to even, as the
 * processors' own instructions do (VCVTNEPS2BF16), so that a value is off by 2^-8 of itself at most. A NaN stays one,
 * what is nearer to infinity than to the largest becomes infinite. */
#ifndef DISTILL_BF16_H
#define DISTILL_BF16_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* The nearest float that bfloat16 has. */
static inline float bf16_nearest(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t up = bits + 0x7fff + (bits >> 16 & 1);
    bits = (bits & 0x7fffffff) > 0x7f800000 ? bits | 0x400000 : up;   /* NaN: a carry could make it infinite */
    bits &= 0xffff0000;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* n numbers, rounded, to another place. */
void bf16_round(const float *from, size_t n, float *to);

#endif
