/* Seconds on clocks that nobody sets. */
#ifndef DISTILL_CLOCK_H
#define DISTILL_CLOCK_H
#include <time.h>

static inline double clock_read(clockid_t clock)
{
    struct timespec t;
    clock_gettime(clock, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline double clock_now(void) { return clock_read(CLOCK_MONOTONIC); }
/* Of a processor, for the calling thread. */
static inline double clock_worked(void) { return clock_read(CLOCK_THREAD_CPUTIME_ID); }

#endif
