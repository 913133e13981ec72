/* Threads for computing (see parallel.h).
 *
 * [0, n) is cut into `shares` equal runs, share i being [n*i/shares, n*(i+1)/shares): where an element is computed
 * never depends on which thread was free. gcc's OpenMP runs the shares, since oneDNN lives in the same runtime; a build
 * without OpenMP has one share. Worker threads flush denormals like the main thread does. */
#include "parallel.h"

#include "darknet_plugin/host/host.h"

#ifdef _OPENMP
#include <omp.h>
#endif

/* Share i of [0, n). */
static void run_share(size_t n, size_t i, size_t shares, void (*fn)(void *, size_t, size_t), void *ctx)
{
    host_thread_init();
    fn(ctx, n * i / shares, n * (i + 1) / shares);
}

void parallel_for(size_t n, void (*fn)(void *ctx, size_t begin, size_t end), void *ctx)
{
    size_t shares = (size_t)parallel_threads();
    if (shares > n) shares = n;
    if (shares <= 1) {
        if (n) fn(ctx, 0, n);
        return;
    }
#ifdef _OPENMP
#pragma omp parallel for num_threads((int)shares) schedule(static, 1)
#endif
    for (size_t i = 0; i < shares; ++i) run_share(n, i, shares, fn, ctx);
}

/* Waking threads costs some ten microseconds, and much more where other programs use the cores. */
#define TOO_LITTLE 65536

void parallel_for_work(size_t n, size_t work, void (*fn)(void *ctx, size_t begin, size_t end), void *ctx)
{
    if (n && n < TOO_LITTLE && n * work < TOO_LITTLE) fn(ctx, 0, n);
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

int parallel_threads(void)
{
#ifdef _OPENMP
    return omp_in_parallel() ? 1 : omp_get_max_threads();
#else
    return 1;
#endif
}

int parallel_index(void)
{
#ifdef _OPENMP
    return omp_get_thread_num();
#else
    return 0;
#endif
}
