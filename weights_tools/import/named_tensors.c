/* The list of named tensors that every reader fills; named_tensors_read.c chooses the reader. */
#include "named_tensors.h"
#include "model_graph.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

named_tensors *named_tensors_new(const char *path, size_t bytes)
{
    named_tensors *tensors = mem_calloc(1, sizeof *tensors);
    tensors->path = path;
    tensors->limit = bytes;
    return tensors;
}

/* Frees the list and all in it; NULL is none. */
void named_tensors_free(named_tensors *tensors)
{
    if (!tensors) return;
    for (int i = 0; i < tensors->n; ++i) {
        free(tensors->tensor[i].name);
        free(tensors->tensor[i].data);
    }
    free(tensors->tensor);
    model_graph_free(tensors->graph);
    for (int i = 0; i < tensors->asides; ++i) free(tensors->aside[i].name);
    free(tensors->aside);
    free(tensors);
}

void named_tensors_aside(named_tensors *tensors, const char *name, int count)
{
    tensors->aside = mem_realloc(tensors->aside, (size_t)tensors->asides + 1, sizeof *tensors->aside);
    tensors->aside[tensors->asides++] = (struct aside){ mem_strdup(name), count };
    printable(tensors->aside[tensors->asides - 1].name);
}

void printable(char *text)
{
    for (; *text; ++text)
        if ((unsigned char)*text < 32 || (unsigned char)*text == 127) *text = '?';
}

int tensor_count(int dims, const size_t *dim, size_t *count)
{
    *count = 1;
    for (int i = 0; i < dims; ++i)
        if (__builtin_mul_overflow(*count, dim[i], count)) return -1;
    return 0;
}

const char *tensor_text(int dims, const size_t *dim, char *out)
{
    size_t at = 0;
    if (!dims) snprintf(out, TENSOR_TEXT, "number");
    for (int i = 0; i < dims && i < TENSOR_MAX_DIMS; ++i)
        at += (size_t)snprintf(out + at, TENSOR_TEXT - at, "%s%zu", i ? "x" : "", dim[i]);
    return out;
}

/* The tensor's place in the list, with no values yet. */
static named_tensor *append(named_tensors *tensors, const char *name, int dims, const size_t *dim, size_t values)
{
    if (tensors->n == tensors->room) {
        tensors->room = 2 * tensors->room + 64;
        tensors->tensor = mem_realloc(tensors->tensor, (size_t)tensors->room, sizeof *tensors->tensor);
    }
    named_tensor *tensor = &tensors->tensor[tensors->n++];
    *tensor = (named_tensor){ .name = mem_strdup(name), .dims = dims, .n = values, .layer = -1, .epsilon = -1 };
    if (dims) memcpy(tensor->dim, dim, (size_t)dims * sizeof *dim);
    printable(tensor->name);
    return tensor;
}

enum { SHARED_LETTERS = 8 };     /* of each letter in the file */

static int names_too_long(const named_tensors *tensors, const char *name)
{
    return strlen(name) > SHARED_LETTERS * tensors->limit - tensors->letters;
}

/* Says why there is no room for this tensor; NULL. */
static named_tensor *refuse(const named_tensors *tensors, const char *name, int too_large, diag *d)
{
    char *clean = mem_printf("%.200s", name);
    printable(clean);
    if (too_large)
        diag_error(d, tensors->path, 0, NULL, "tensor '%s' is larger than a file of %zu bytes can hold", clean,
                   tensors->limit);
    else if (names_too_long(tensors, name))
        diag_error(d, tensors->path, 0, NULL, "longer names than a file of %zu bytes explains, up to tensor '%s'",
                   tensors->limit, clean);
    else diag_error(d, tensors->path, 0, NULL, "more than %d tensors", TENSOR_MAX);
    free(clean);
    return NULL;
}

named_tensor *named_tensors_add(named_tensors *tensors, const char *name, int dims, const size_t *dim, diag *d)
{
    size_t values;
    int too_large = dims < 0 || dims > TENSOR_MAX_DIMS || tensor_count(dims, dim, &values)
        || values > tensors->limit - tensors->values;
    if (too_large || names_too_long(tensors, name) || tensors->n == TENSOR_MAX)
        return refuse(tensors, name, too_large, d);
    named_tensor *tensor = append(tensors, name, dims, dim, values);
    tensor->data = mem_calloc(values, sizeof *tensor->data);
    tensors->values += values;
    tensors->letters += strlen(name);
    return tensor;
}
