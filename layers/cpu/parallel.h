/* The one place where threads are started for computing. Work is cut into fixed shares, so results
 * do not depend on scheduling; kernels that reduce do so per channel, so not on the number of threads either. */
#ifndef DISTILL_PARALLEL_H
#define DISTILL_PARALLEL_H
#include <stddef.h>

/* Calls fn(ctx, begin, end) over [0, n) cut into at most parallel_threads() shares. */
void parallel_for(size_t n, void (*fn)(void *ctx, size_t begin, size_t end), void *ctx);
/* The same where one of the n takes about `work` floating-point steps: too little altogether is done by the caller
 * alone. */
void parallel_for_work(size_t n, size_t work, void (*fn)(void *ctx, size_t begin, size_t end), void *ctx);
void parallel_set_threads(int n);   /* n < 1: number of cores. Also sets oneDNN's */
int parallel_threads(void);
void parallel_end_threads(void);    /* before fork(), which takes none along: the next call starts others */
int parallel_index(void);           /* of the calling share, from 0: for scratch that shares must not have in common.
                                       Within a share that calls parallel_for again it is 0 */
/* Around the planning of what runs within a share: parallel_threads() is 1 there, and oneDNN plans for one. */
void parallel_begin_one(void);
void parallel_end_one(void);

#endif
