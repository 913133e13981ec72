/* Allocation that succeeds or ends the program (see mem.h). */
#include "mem.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void out_of_memory(size_t n, size_t size)
{
    fprintf(stderr, "darknet distill: out of memory (%zu x %zu bytes wanted)\n", n, size);
    exit(1);
}

void *mem_calloc(size_t n, size_t size)
{
    void *p = calloc(n ? n : 1, size ? size : 1);
    if (!p) out_of_memory(n, size);
    return p;
}

void *mem_aligned(size_t n, size_t size)
{
    if (size && n > (SIZE_MAX - 63) / size) out_of_memory(n, size);
    size_t bytes = (n * size + 63) / 64 * 64;
    void *p = aligned_alloc(64, bytes ? bytes : 64);
    if (!p) out_of_memory(n, size);
    return memset(p, 0, bytes);
}

void *mem_realloc(void *p, size_t n, size_t size)
{
    if (size && n > SIZE_MAX / size) out_of_memory(n, size);
    size_t bytes = n * size;
    p = realloc(p, bytes ? bytes : 1);
    if (!p) out_of_memory(n, size);
    return p;
}

char *mem_strdup(const char *s)
{
    char *copy = strdup(s);
    if (!copy) out_of_memory(strlen(s) + 1, 1);
    return copy;
}

char *mem_printf(const char *fmt, ...)
{
    char *text = NULL;
    va_list ap;
    va_start(ap, fmt);
    int n = vasprintf(&text, fmt, ap);
    va_end(ap);
    if (n < 0) out_of_memory(strlen(fmt), 1);
    return text;
}
