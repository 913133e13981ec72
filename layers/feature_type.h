/* How feature maps are stored: 32-bit floats, 16-bit floats (IEEE half, the nearest value), or 8-bit numbers q with a
 * least value and a step a channel, x = least + step * q. One element at a time, so that the loss reads stored maps as
 * they are, on the CPU and on a device.
 *
 *   f32   exact                      f16   relative error up to 2^-11, values beyond +-65504 are cut
 *   u8    error up to half a step of (largest - least) / 255 */
#ifndef DISTILL_FEATURE_TYPE_H
#define DISTILL_FEATURE_TYPE_H
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifdef __CUDACC__
#define FEATURE_FN static inline __host__ __device__
#else
#define FEATURE_FN static inline
#endif

typedef enum { FEATURE_F16, FEATURE_F32, FEATURE_U8 } feature_type;
enum { FEATURE_TYPES = 3 };

/* One image's map (c, h, w) as it is stored. Borrowed. */
typedef struct feature_map {
    feature_type type;
    const void *values;      /* c * h * w of them */
    const float *range;      /* u8: (c, 2), least value and step; else unused */
} feature_map;

FEATURE_FN float feature_from_bits(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

FEATURE_FN uint32_t feature_bits(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

/* Rebiases the exponent; a subnormal half is a number without its leading one, which is added and taken off again,
 * since floats that small would be flushed to zero. */
FEATURE_FN float feature_from_half(uint16_t h)
{
    uint32_t u = ((uint32_t)h & 0x7fff) << 13;
    float normal = feature_from_bits(u + (112u << 23)), small = feature_from_bits(u + (113u << 23)) - 0x1p-14f;
    float f = (h & 0x7c00) ? normal : small;
    return (h & 0x8000) ? -f : f;
}

/* Rounds to nearest, ties to even. Adding 2^e with the right e lets the float unit round a subnormal half. */
FEATURE_FN uint16_t feature_to_half(float x)
{
    uint32_t u = feature_bits(x), sign = u >> 16 & 0x8000;
    float a = feature_from_bits(u & 0x7fffffff);
    if (!(a < 65504)) a = 65504;      /* NaN, too: the caller has refused those */
    uint32_t small = feature_bits(a + 0.5f) - feature_bits(0.5f), v = feature_bits(a);
    uint32_t normal = (v + 0xfff + (v >> 13 & 1) - (112u << 23)) >> 13;
    return (uint16_t)(sign | (a < 0x1p-14f ? small : normal));
}

/* Element i of a map, of channel c. */
FEATURE_FN float feature_value(const void *values, const float *range, feature_type type, size_t c, size_t i)
{
    if (type == FEATURE_F32) return ((const float *)values)[i];
    if (type == FEATURE_F16) return feature_from_half(((const uint16_t *)values)[i]);
    return range[2 * c] + range[2 * c + 1] * (float)((const uint8_t *)values)[i];
}

/* Mean of the `plane` elements of channel c, added up in order: the same to the bit wherever it is taken. */
FEATURE_FN float feature_mean(const void *values, const float *range, feature_type type, size_t c, size_t plane)
{
    double sum = 0;
    for (size_t i = 0; i < plane; ++i) sum += feature_value(values, range, type, c, c * plane + i);
    return (float)(sum / (double)plane);
}

/* "f16", "f32", "u8"; the type of a name, -1 for none. */
const char *feature_type_name(feature_type type);
int feature_type_of(const char *name);
/* Bytes of a stored map (c, hw), and where its values begin (u8: behind the ranges). Multiples of 64. */
size_t feature_bytes(feature_type type, int c, size_t hw);
/* Stores map x into `to`, feature_bytes() of memory. -1 if there is a NaN or an infinity in it. */
int feature_store(feature_type type, const float *x, int c, size_t hw, void *to);
/* Map (c, hw) as plain floats; one number a channel where hw is 1, as class scores are stored. */
void feature_unpack(const feature_map *map, size_t c, size_t hw, float *to);
/* The map stored at `from`, which the result borrows. */
feature_map feature_stored(feature_type type, int c, const void *from);

#endif
