/* Memory that cannot be had ends the program with a message and status 1: no caller of these has anything better to do.
 * It ends at once, since other threads may be running: what was printed is flushed, what is not finished is removed
 * (unfinished.h), nothing else runs. Sizes are multiplied with overflow checks. */
#ifndef DISTILL_MEM_H
#define DISTILL_MEM_H
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* Where the process is not ours to end: called first, may jump elsewhere and not return. */
void mem_before_ending(void (*handler)(void));

void *mem_calloc(size_t count, size_t size);         /* zeroed; the caller frees */
void *mem_aligned(size_t count, size_t size);        /* zeroed, on a 64-byte border; the caller frees */
void *mem_realloc(void *block, size_t count, size_t size);   /* as realloc */
char *mem_strdup(const char *text);                  /* the caller frees */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* the caller frees */
char *mem_vprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));   /* the caller frees */
ssize_t mem_getline(char **text, size_t *room, FILE *in);   /* as getline */
FILE *mem_stream(char **text, size_t *len);          /* as open_memstream */
void mem_stream_end(FILE *file);                     /* fclose of it: then *text is whole, the caller frees */

#endif
