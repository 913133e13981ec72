/* How long ranks take for one sum, and for one small message: tests/bench/mpi.sh runs it first.
 *   mpirun -n N allreduce FLOATS...        a line a size: floats, seconds a sum, MB a second that leave each rank, -fast */
#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/ranks.h"

#include <stdlib.h>

enum { MESSAGES = 20 };

static int fail(ranks *ranks, const diag *d)
{
    diag_print(d, stderr);
    ranks_end(ranks, 1, d);
    return 1;
}

/* Seconds a sum of n floats; -1 with a message. */
static double time_sum(ranks *ranks, float *x, size_t n, int repeats, diag *d)
{
    if (ranks_meet(ranks, RANKS_STEP, d)) return -1;
    double began = clock_now();
    for (int i = 0; i < repeats; ++i)
        if (ranks_sum(ranks, x, n, d)) return -1;
    return (clock_now() - began) / repeats;
}

static double time_meeting(ranks *ranks, diag *d)
{
    if (ranks_meet(ranks, RANKS_STEP, d)) return -1;
    double began = clock_now();
    for (int i = 0; i < MESSAGES; ++i)
        if (ranks_meet(ranks, RANKS_STEP, d)) return -1;
    return (clock_now() - began) / MESSAGES;
}

int main(int argc, char **argv)
{
    ranks *ranks;
    diag *d = diag_new();
    if (ranks_begin(&ranks, d) || !ranks) return fail(ranks, d);
    double small = time_meeting(ranks, d), share = 2. * (ranks->count - 1) / ranks->count;
    if (small < 0) return fail(ranks, d);
    if (ranks_leads(ranks)) printf("%d ranks, a small message from all to all: %.6f s\n", ranks->count, small);
    for (int i = 1; i < argc; ++i) {
        size_t n = strtoull(argv[i], NULL, 10);
        float *x = mem_aligned(ranks_room(ranks, n), sizeof *x);
        ranks->fast = 0;
        (void)time_sum(ranks, x, n, 1, d);
        double ordered = time_sum(ranks, x, n, 3, d);
        ranks->fast = 1;
        double fast = time_sum(ranks, x, n, 3, d);
        free(x);
        if (ordered < 0 || fast < 0) return fail(ranks, d);
        if (ranks_leads(ranks))
            printf("sum %zu floats %.6f s %.2f MB/s fast %.6f s %.2f MB/s\n", n, ordered, share * (double)n * 4e-6 / ordered,
                   fast, share * (double)n * 4e-6 / fast);
    }
    fflush(stdout);
    ranks_end(ranks, 0, d);
    diag_free(d);
    return 0;
}
