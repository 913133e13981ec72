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
static int whole(const cJSON *object, size_t *number)
{
    if (!cJSON_IsNumber(object) || !(object->valuedouble >= 0 && object->valuedouble <= 9007199254740992.)) return -1;
    *number = (size_t)object->valuedouble;
    return (double)*number == object->valuedouble ? 0 : -1;
}

static int read_shape(const cJSON *object, int *dims, size_t *dim)
{
    const cJSON *size;
    *dims = 0;
    if (!cJSON_IsArray(object)) return -1;
    cJSON_ArrayForEach(size, object)
        if (*dims == TENSOR_MAX_DIMS || whole(size, &dim[(*dims)++])) return -1;
    return 0;
}

typedef struct span {
    const element_row *type;
    int dims;
    size_t dim[TENSOR_MAX_DIMS], begin, end;
} span;

static int read_span(const cJSON *object, span *span)
{
    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(object, "data_offsets");
    const char *type = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(object, "dtype"));
    span->type = type ? element_of_safetensors(type) : NULL;
    if (!span->type || read_shape(cJSON_GetObjectItemCaseSensitive(object, "shape"), &span->dims, span->dim)) return -1;
    if (cJSON_GetArraySize(offsets) != 2 || whole(cJSON_GetArrayItem(offsets, 0), &span->begin)) return -1;
    return whole(cJSON_GetArrayItem(offsets, 1), &span->end);
}

/* Does the tensor fill its span, and lies that among the values? */
static int span_fits(const span *span, size_t room)
{
    size_t n, bytes;
    if (tensor_count(span->dims, span->dim, &n) || __builtin_mul_overflow(n, span->type->bytes, &bytes)) return 0;
    return span->begin <= span->end && span->end <= room && span->end - span->begin == bytes;
}

/* One tensor; `values` are the `room` bytes behind the header. */
static int add_tensor(const cJSON *object, const unsigned char *values, size_t room, named_tensors *tensors, diag *d)
{
    span at;
    char *name = mem_strdup(object->string), text[TENSOR_TEXT];
    named_tensor *tensor = NULL;
    printable(name);
    if (read_span(object, &at))
        diag_error(d, tensors->path, 0, NULL, "tensor '%s' has no dtype, shape and data_offsets that can be read",
                   name);
    else if (!span_fits(&at, room))
        diag_error(d, tensors->path, 0, NULL, "tensor '%s' is %s of %s but bytes %zu to %zu of %zu are its place", name,
                   tensor_text(at.dims, at.dim, text), at.type->safetensors, at.begin, at.end, room);
    else tensor = named_tensors_add(tensors, object->string, at.dims, at.dim, d);
    free(name);
    if (!tensor) return -1;
    tensor->integer = at.type->integer;
    elements_read(at.type, values + at.begin, tensor->n, tensor->data);
    return 0;
}

/* Each entry of the header is a tensor, but for one. */
int safetensors_read(const file_image *file, named_tensors *tensors, diag *d)
{
    uint64_t length;
    memcpy(&length, file->byte, sizeof length);    /* it fits: see is_safetensors */
    const unsigned char *values = file->byte + 8 + length;
    cJSON *header = cJSON_ParseWithLength((const char *)file->byte + 8, (size_t)length);
    const cJSON *entry;
    int failed = !cJSON_IsObject(header);
    if (failed) diag_error(d, file->path, 0, NULL, "the header of %zu bytes is no JSON object", (size_t)length);
    cJSON_ArrayForEach(entry, header) {
        if (failed || !strcmp(entry->string, "__metadata__")) continue;
        failed = add_tensor(entry, values, file->n - 8 - (size_t)length, tensors, d);
    }
    cJSON_Delete(header);
    return failed ? -1 : 0;
}
