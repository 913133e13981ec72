/* Threads for computing (see parallel.h).
 *
 * [0, n) is cut into `shares` equal runs, share i being [n*i/shares, n*(i+1)/shares): where an element is computed
 * never depends on which thread was free. gcc's OpenMP runs the shares, since oneDNN lives in the same runtime; a build
 * without OpenMP has one share. Worker threads flush denormals like the main thread does.
 *
 * Where another program keeps a core busy, a thread of ours waits its turn there, and all others for it, some hundred
 * times in a step. The caller's waiting tells: where it would sooner have computed all shares itself, it does so for a
 * while, then looks again. Shares stay what they are, and so do results; oneDNN, called within a share, has one thread
 * then as always (conv_shares.c). */
#include "parallel.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/host/host.h"

#ifdef _OPENMP
#include <math.h>
#include <omp.h>
#endif

/* Of the calling thread. */
static _Thread_local int share_index;

/* Share i of [0, n). */
static void run_share(size_t n, size_t i, size_t shares, void (*fn)(void *, size_t, size_t), void *ctx)
{
    int before = share_index;
    share_index = (int)i;
    fn(ctx, n * i / shares, n * (i + 1) / shares);
    share_index = before;
}

#ifdef _OPENMP
/* Seconds: for how long a look sums what shares take, and how long the caller goes on alone: at first, and at most,
 * after looks that each doubled it. A look has the caller wait for a turn of the other program's. */
static const double LOOK = .002, ALONE = .005, ALONE_LONG = .32;

/* Of a thread that calls. */
static _Thread_local struct {
    double together, by_one;   /* since the look began: what regions took, and would take with all shares one by one */
    double until, span;        /* alone, until then; for how long */
    int threads;               /* it has none but itself now: how many there are otherwise */
} caller;

void parallel_begin_one(void)
{
    caller.threads = omp_get_max_threads();
    omp_set_num_threads(1);
}

void parallel_end_one(void)
{
    omp_set_num_threads(caller.threads);
    caller.threads = 0;
}

static void run_alone(size_t n, size_t shares, void (*fn)(void *, size_t, size_t), void *ctx)
{
    parallel_begin_one();
    for (size_t i = 0; i < shares; ++i) run_share(n, i, shares, fn, ctx);
    parallel_end_one();
}

/* What a region took, and what the caller worked for its own share, which another program on its core does not count
 * in. */
static void look(size_t shares, double took, double share, double now)
{
    caller.together += took;
    caller.by_one += share * (double)shares;
    if (caller.together < LOOK) return;
    int alone = caller.by_one < caller.together;
    caller.span = alone && caller.span > 0 ? fmin(2 * caller.span, ALONE_LONG) : ALONE * alone;
    caller.until = alone ? now + caller.span : 0;
    caller.together = caller.by_one = 0;
}

/* All shares at once, looking at what that costs. */
static void run_together(size_t n, size_t shares, void (*fn)(void *, size_t, size_t), void *ctx)
{
    double begin = clock_now(), worked = clock_worked();
#pragma omp parallel for num_threads((int)shares) schedule(static, 1)
    for (size_t i = 0; i < shares; ++i) {
        host_thread_init();
        run_share(n, i, shares, fn, ctx);
        if (i == 0) worked = clock_worked() - worked;   /* the caller's */
    }
    double end = clock_now();
    look(shares, end - begin, worked, end);
}
#endif

void parallel_for(size_t n, void (*fn)(void *ctx, size_t begin, size_t end), void *ctx)
{
    size_t shares = (size_t)parallel_threads();
    if (shares > n) shares = n;
    if (shares == 1) run_share(n, 0, 1, fn, ctx);
    if (shares <= 1) return;
#ifdef _OPENMP
    if (caller.until > 0 && clock_now() < caller.until) run_alone(n, shares, fn, ctx);
    else run_together(n, shares, fn, ctx);
#endif
}

/* Waking threads costs some ten microseconds, and much more where other programs use the cores. */
#define TOO_LITTLE 65536

void parallel_for_work(size_t n, size_t work, void (*fn)(void *ctx, size_t begin, size_t end), void *ctx)
{
    if (n && n < TOO_LITTLE && n * work < TOO_LITTLE) run_share(n, 0, 1, fn, ctx);
    else parallel_for(n, fn, ctx);
}

void parallel_set_threads(int n)
{
#ifdef _OPENMP
    omp_set_num_threads(n < 1 ? omp_get_num_procs() : n);
#else
    (void)n;
#endif
}

#ifndef _OPENMP
void parallel_begin_one(void) { }
void parallel_end_one(void) { }
#endif

void parallel_end_threads(void)
{
#ifdef _OPENMP
    omp_pause_resource_all(omp_pause_soft);
#endif
}

int parallel_threads(void)
{
#ifdef _OPENMP
    return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
    return 1;
#endif
}

int parallel_index(void) { return share_index; }
