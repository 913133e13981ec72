/* One row a number type. float16 and bfloat16 are widened exactly; float64 and 64-bit integers are rounded.
 * float16 (IEEE 754): sign, 5 bits of exponent with bias 15, 10 of fraction; bfloat16: the upper half of a float32. */
#include "elements.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

static float read_f32(const unsigned char *from)
{
    float value;
    memcpy(&value, from, sizeof value);
    return value;
}

static float read_f64(const unsigned char *from)
{
    double value;
    memcpy(&value, from, sizeof value);
    return (float)value;
}

/* Exponent 31 means infinity or NaN, 0 a fraction without the leading 1. */
static float f16_magnitude(int exponent, int fraction)
{
    if (exponent == 31) return fraction ? NAN : INFINITY;
    if (!exponent) return ldexpf((float)fraction, -24);
    return ldexpf((float)(1024 + fraction), exponent - 25);
}

static float read_f16(const unsigned char *from)
{
    int bits = from[0] | from[1] << 8;
    float magnitude = f16_magnitude(bits >> 10 & 31, bits & 1023);
    return bits >> 15 ? -magnitude : magnitude;
}

static float read_bf16(const unsigned char *from)
{
    uint32_t bits = (uint32_t)from[0] << 16 | (uint32_t)from[1] << 24;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

#define READ_INTEGER(name, type) \
    static float name(const unsigned char *from) { type v; memcpy(&v, from, sizeof v); return (float)v; }
READ_INTEGER(read_i64, int64_t)
READ_INTEGER(read_i32, int32_t)
READ_INTEGER(read_i16, int16_t)
READ_INTEGER(read_i8, int8_t)
READ_INTEGER(read_u8, uint8_t)

static const element_row ROWS[] = {
    { "FloatStorage",    "F32",  1,  4, 0, read_f32 },  { "DoubleStorage", "F64",  11, 8, 0, read_f64 },
    { "HalfStorage",     "F16",  10, 2, 0, read_f16 },  { "BFloat16Storage", "BF16", 16, 2, 0, read_bf16 },
    { "LongStorage",     "I64",  7,  8, 1, read_i64 },  { "IntStorage",    "I32",  6,  4, 1, read_i32 },
    { "ShortStorage",    "I16",  5,  2, 1, read_i16 },  { "CharStorage",   "I8",   3,  1, 1, read_i8 },
    { "ByteStorage",     "U8",   2,  1, 1, read_u8 },   { "BoolStorage",   "BOOL", 9,  1, 1, read_u8 },
};
enum { ROW_COUNT = sizeof ROWS / sizeof *ROWS };

const element_row *element_of_torch(const char *storage, size_t len)
{
    for (int i = 0; i < ROW_COUNT; ++i)
        if (strlen(ROWS[i].torch) == len && !memcmp(ROWS[i].torch, storage, len)) return &ROWS[i];
    return NULL;
}

const element_row *element_of_safetensors(const char *dtype)
{
    for (int i = 0; i < ROW_COUNT; ++i)
        if (!strcmp(ROWS[i].safetensors, dtype)) return &ROWS[i];
    return NULL;
}

const element_row *element_of_onnx(int type)
{
    for (int i = 0; i < ROW_COUNT; ++i)
        if (ROWS[i].onnx == type) return &ROWS[i];
    return NULL;
}

void elements_read(const element_row *type, const unsigned char *from, size_t n, float *to)
{
    for (size_t i = 0; i < n; ++i) to[i] = type->read(from + i * type->bytes);
}
