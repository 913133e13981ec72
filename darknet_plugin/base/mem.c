/* Allocation that succeeds or ends the program (see mem.h). */
#include "mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static mem_unfinished *unfinished;   /* list, the elements borrowed; only the main thread writes files */

static _Noreturn void out_of_memory(size_t n, size_t size)
{
    for (const mem_unfinished *u = unfinished; u; u = u->next) unlink(u->path);
    fprintf(stderr, "darknet distill: out of memory (%zu x %zu bytes wanted)\n", n, size);
    fflush(NULL);
    _exit(1);
}

void mem_begun(mem_unfinished *u, const char *path)
{
    *u = (mem_unfinished){ path, unfinished };
    unfinished = u;
}

void mem_finished(mem_unfinished *u)
{
    mem_unfinished **at = &unfinished;
    while (*at && *at != u) at = &(*at)->next;
    if (*at) *at = u->next;
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

char *mem_vprintf(const char *fmt, va_list ap)
{
    char *text = NULL;
    if (vasprintf(&text, fmt, ap) < 0) out_of_memory(strlen(fmt), 1);
    return text;
}

char *mem_printf(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    return text;
}

/* getline says -1 both at the end and without memory: a list would be cut in silence. */
ssize_t mem_getline(char **text, size_t *room, FILE *in)
{
    errno = 0;
    ssize_t n = getline(text, room, in);
    if (n < 0 && errno == ENOMEM) out_of_memory(*room, 2);
    return n;
}

FILE *mem_stream(char **text, size_t *n)
{
    FILE *f = open_memstream(text, n);
    if (!f) out_of_memory(1, BUFSIZ);
    return f;
}

void mem_stream_end(FILE *f)
{
    int failed = ferror(f);
    if (fclose(f) || failed) out_of_memory(1, BUFSIZ);
}
