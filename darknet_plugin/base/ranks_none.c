/* A build without MPI=1: there is one rank (see ranks.h). */
#include "ranks.h"

#include "mem.h"
#include "ranks_started.h"

#include <string.h>

int ranks_begin(ranks **ranks, diag *d)
{
    int started = ranks_started();
    *ranks = NULL;
    if (started < 2) return 0;
    diag_error(d, NULL, 0, NULL, "started %d times by mpirun, but this build has no MPI", started);
    diag_hint(d, "make MPI=1 builds it with MPI");
    return -1;
}

int ranks_end(ranks *ranks, int status, const diag *d) { return (void)ranks, (void)status, (void)d, 1; }
int ranks_threads(const ranks *ranks) { return (void)ranks, 0; }
int ranks_meet(ranks *ranks, ranks_topic topic, diag *d) { return (void)ranks, (void)topic, (void)d, 0; }

int ranks_exchange(ranks *ranks, ranks_topic topic, const void *mine, size_t bytes, void *all, diag *d)
{
    (void)ranks, (void)topic, (void)d;
    memcpy(all, mine, bytes);
    return 0;
}

void *ranks_gather(ranks *ranks, ranks_topic topic, const void *mine, size_t bytes, size_t *total, diag *d)
{
    (void)ranks, (void)topic, (void)d;
    char *all = mem_calloc(bytes + 1, 1);
    if (bytes) memcpy(all, mine, bytes);
    *total = bytes;
    return all;
}

int ranks_broadcast(ranks *ranks, void *data, size_t bytes, diag *d)
{
    return (void)ranks, (void)data, (void)bytes, (void)d, 0;
}

size_t ranks_room(const ranks *ranks, size_t n) { return (void)ranks, n; }
int ranks_sum(ranks *ranks, float *x, size_t n, diag *d) { return (void)ranks, (void)x, (void)n, (void)d, 0; }
