/* The list of named tensors that every reader fills; named_tensors_read.c chooses the reader. */
#include "named_tensors.h"
#include "model_graph.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

named_tensors *named_tensors_new(const char *path, size_t bytes)
{
    named_tensors *t = mem_calloc(1, sizeof *t);
    t->path = path;
    t->limit = bytes;
    return t;
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

int tensor_count(int dims, const size_t *dim, size_t *n)
{
    *n = 1;
    for (int i = 0; i < dims; ++i)
        if (__builtin_mul_overflow(*n, dim[i], n)) return -1;
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
static named_tensor *append(named_tensors *tensors, const char *name, int dims, const size_t *dim, size_t n)
{
    if (tensors->n == tensors->room) {
        tensors->room = 2 * tensors->room + 64;
        tensors->tensor = mem_realloc(tensors->tensor, (size_t)tensors->room, sizeof *tensors->tensor);
    }
    named_tensor *x = &tensors->tensor[tensors->n++];
    *x = (named_tensor){ .name = mem_strdup(name), .dims = dims, .n = n, .layer = -1, .epsilon = -1 };
    if (dims) memcpy(x->dim, dim, (size_t)dims * sizeof *dim);
    printable(x->name);
    return x;
}

enum { SHARED_LETTERS = 8 };     /* of each letter in the file */

/* Why there is no room for this tensor; NULL if there is. */
static const char *no_room(const named_tensors *tensors, size_t letters, int dims, const size_t *dim, size_t *n)
{
    if (dims < 0 || dims > TENSOR_MAX_DIMS || tensor_count(dims, dim, n) || *n > tensors->limit - tensors->values)
        return "values";
    return letters > SHARED_LETTERS * tensors->limit - tensors->letters ? "names" : NULL;
}

named_tensor *named_tensors_add(named_tensors *tensors, const char *name, int dims, const size_t *dim, diag *d)
{
    size_t n, letters = strlen(name);
    const char *lacks = no_room(tensors, letters, dims, dim, &n);
    if (lacks || tensors->n == TENSOR_MAX) {
        char *clean = mem_printf("%.200s", name);
        printable(clean);
        if (!lacks) diag_error(d, tensors->path, 0, NULL, "more than %d tensors", TENSOR_MAX);
        else if (*lacks == 'n') diag_error(d, tensors->path, 0, NULL,
                                           "longer names than a file of %zu bytes explains, up to tensor '%s'",
                                               tensors->limit, clean);
        else diag_error(d, tensors->path, 0, NULL, "tensor '%s' is larger than a file of %zu bytes can hold", clean,
                        tensors->limit);
        free(clean);
        return NULL;
    }
    named_tensor *x = append(tensors, name, dims, dim, n);
    x->data = mem_calloc(n, sizeof *x->data);
    tensors->values += n;
    tensors->letters += letters;
    return x;
}
