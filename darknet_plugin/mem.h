/* Memory that cannot be had ends the program with a message: no caller of
 * these has anything better to do. Sizes are multiplied with overflow checks. */
#ifndef DISTILL_MEM_H
#define DISTILL_MEM_H
#include <stddef.h>

void *mem_calloc(size_t n, size_t size);             /* zeroed; the caller frees */
void *mem_aligned(size_t n, size_t size);            /* zeroed, on a 64-byte border; the caller frees */
void *mem_realloc(void *p, size_t n, size_t size);   /* as realloc */
char *mem_strdup(const char *s);                     /* the caller frees */
char *mem_printf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));   /* the caller frees */

#endif
