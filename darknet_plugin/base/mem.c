/* Allocation that succeeds or ends the program (see mem.h). */
#include "mem.h"

#include "command.h"
#include "unfinished.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void (*ask_first)(void);      /* see mem_before_ending */

void mem_before_ending(void (*handler)(void)) { ask_first = handler; }

static _Noreturn void out_of_memory(size_t count, size_t size)
{
    unfinished_remove();
    if (ask_first) ask_first();
    fprintf(stderr, "%s: out of memory (%zu x %zu bytes wanted)\n", command_name(), count, size);
    fflush(NULL);
    _exit(1);
}

void *mem_calloc(size_t count, size_t size)
{
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p) out_of_memory(count, size);
    return p;
}

void *mem_aligned(size_t count, size_t size)
{
    if (size && count > (SIZE_MAX - 63) / size) out_of_memory(count, size);
    size_t bytes = (count * size + 63) / 64 * 64;
    void *p = aligned_alloc(64, bytes ? bytes : 64);
    if (!p) out_of_memory(count, size);
    return memset(p, 0, bytes);
}

void *mem_realloc(void *block, size_t count, size_t size)
{
    if (size && count > SIZE_MAX / size) out_of_memory(count, size);
    size_t bytes = count * size;
    block = realloc(block, bytes ? bytes : 1);
    if (!block) out_of_memory(count, size);
    return block;
}

char *mem_strdup(const char *text)
{
    char *copy = strdup(text);
    if (!copy) out_of_memory(strlen(text) + 1, 1);
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

FILE *mem_stream(char **text, size_t *len)
{
    FILE *f = open_memstream(text, len);
    if (!f) out_of_memory(1, BUFSIZ);
    return f;
}

void mem_stream_end(FILE *file)
{
    int failed = ferror(file);
    if (fclose(file) || failed) out_of_memory(1, BUFSIZ);
}
