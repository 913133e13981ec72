/* safetensors: the header's length as 64 bits, a JSON object, then the values.
 *
 *   { "conv1.weight": { "dtype": "F32", "shape": [16,3,3,3], "data_offsets": [0, 1728] }, "__metadata__": {...} }
 *
 * Offsets count bytes behind the header; each must span exactly what shape and dtype say. Format:
 * https://github.com/huggingface/safetensors. Its usual writer sorts tensors by name: see named_order.c. */
#include "elements.h"
#include "named_tensors.h"

#include "darknet_plugin/base/mem.h"

#include <cjson/cJSON.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A whole number from 0 that a double holds exactly. */
static int whole(const cJSON *object, size_t *n)
{
    if (!cJSON_IsNumber(object) || !(object->valuedouble >= 0 && object->valuedouble <= 9007199254740992.)) return -1;
    *n = (size_t)object->valuedouble;
    return (double)*n == object->valuedouble ? 0 : -1;
}

static int read_shape(const cJSON *object, int *dims, size_t *dim)
{
    const cJSON *v;
    *dims = 0;
    if (!cJSON_IsArray(object)) return -1;
    cJSON_ArrayForEach(v, object)
        if (*dims == TENSOR_MAX_DIMS || whole(v, &dim[(*dims)++])) return -1;
    return 0;
}

typedef struct span {
    const element_row *type;
    int dims;
    size_t dim[TENSOR_MAX_DIMS], begin, end;
} span;

static int read_span(const cJSON *object, span *s)
{
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(object, "data_offsets");
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "dtype"));
    s->type = type ? element_of_safetensors(type) : NULL;
    if (!s->type || read_shape(cJSON_GetObjectItemCaseSensitive(object, "shape"), &s->dims, s->dim)) return -1;
    if (cJSON_GetArraySize(offsets) != 2) return -1;
    return whole(cJSON_GetArrayItem(offsets, 0), &s->begin) || whole(cJSON_GetArrayItem(offsets, 1), &s->end) ? -1 : 0;
}

/* One tensor; `values` are the `room` bytes behind the header. */
static int add_tensor(const cJSON *object, const unsigned char *values, size_t room, named_tensors *tensors, diag *d)
{
    span s;
    size_t n, bytes;
    char *name = mem_strdup(object->string);
    printable(name);
    int failed = -1;
    if (read_span(object, &s)) {
        diag_error(d, tensors->path, 0, NULL, "tensor '%s' has no dtype, shape and data_offsets that can be read",
                   name);
    } else if (tensor_count(s.dims, s.dim, &n) || __builtin_mul_overflow(n, s.type->bytes, &bytes) || s.end < s.begin ||
               s.end > room || s.end - s.begin != bytes) {
        char text[TENSOR_TEXT];
        diag_error(d, tensors->path, 0, NULL, "tensor '%s' is %s of %s but bytes %zu to %zu of %zu are its place", name,
                   tensor_text(s.dims, s.dim, text), s.type->safetensors, s.begin, s.end, room);
    } else {
        named_tensor *x = named_tensors_add(tensors, object->string, s.dims, s.dim, d);
        failed = x ? 0 : -1;
        if (x) x->integer = s.type->integer;
        if (x) elements_read(s.type, values + s.begin, n, x->data);
    }
    free(name);
    return failed;
}

int safetensors_read(const file_image *file, named_tensors *tensors, diag *d)
{
    uint64_t header;
    memcpy(&header, file->byte, sizeof header);    /* it fits: see is_safetensors */
    const unsigned char *values = file->byte + 8 + header;
    cJSON *j = cJSON_ParseWithLength((const char *)file->byte + 8, (size_t)header);
    int failed = !cJSON_IsObject(j);
    if (failed) diag_error(d, file->path, 0, NULL, "the header of %zu bytes is no JSON object", (size_t)header);
    const cJSON *v;
    cJSON_ArrayForEach(v, j) {
        if (failed || !strcmp(v->string, "__metadata__")) continue;
        failed = add_tensor(v, values, file->n - 8 - (size_t)header, tensors, d);
    }
    cJSON_Delete(j);
    return failed ? -1 : 0;
}
