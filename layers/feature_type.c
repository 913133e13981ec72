/* Whole maps to and from their stored form (see feature_type.h). */
#include "feature_type.h"

#include <math.h>

static const struct { const char *name; size_t bytes; } types[FEATURE_TYPES] = {
    [FEATURE_F16] = { "f16", 2 }, [FEATURE_F32] = { "f32", 4 }, [FEATURE_U8] = { "u8", 1 },
};

const char *feature_type_name(feature_type type) { return types[type].name; }

int feature_type_of(const char *name)
{
    for (int i = 0; i < FEATURE_TYPES; ++i)
        if (!strcmp(types[i].name, name)) return i;
    return -1;
}

static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }
static size_t range_bytes(feature_type type, int c)
{
    return type == FEATURE_U8 ? rounded((size_t)c * 2 * sizeof(float)) : 0;
}

size_t feature_bytes(feature_type type, int c, size_t hw)
{
    return range_bytes(type, c) + rounded((size_t)c * hw * types[type].bytes);
}

feature_map feature_stored(feature_type type, int c, const void *from)
{
    return (feature_map){ .type = type, .range = from, .values = (const char *)from + range_bytes(type, c) };
}

void feature_unpack(const feature_map *map, size_t c, size_t hw, float *to)
{
    for (size_t i = 0; i < c * hw; ++i) to[i] = feature_value(map->values, map->range, map->type, i / hw, i);
}

/* u8: n values of one channel between their least and their largest, each as the nearest of 256 steps. */
static void store_channel(const float *x, size_t n, float *range, uint8_t *q)
{
    float least = x[0], largest = x[0];
    for (size_t i = 0; i < n; ++i) {
        least = x[i] < least ? x[i] : least;
        largest = x[i] > largest ? x[i] : largest;
    }
    float step = (largest - least) / 255;
    range[0] = least;
    range[1] = step;
    for (size_t i = 0; i < n; ++i) q[i] = step > 0 ? (uint8_t)((x[i] - least) / step + .5f) : 0;
}

int feature_store(feature_type type, const float *x, int c, size_t hw, void *to)
{
    size_t n = (size_t)c * hw;
    float any = 0;
    for (size_t i = 0; i < n; ++i) any += x[i] * 0;   /* NaN if one of them is not finite */
    if (any != 0) return -1;
    void *values = (char *)to + range_bytes(type, c);
    if (type == FEATURE_F32) memcpy(values, x, n * sizeof *x);
    else if (type == FEATURE_F16)
        for (size_t i = 0; i < n; ++i) ((uint16_t *)values)[i] = feature_to_half(x[i]);
    else
        for (size_t k = 0; k < (size_t)c; ++k) store_channel(x + k * hw, hw, (float *)to + 2 * k,
                                                             (uint8_t *)values + k * hw);
    return 0;
}
