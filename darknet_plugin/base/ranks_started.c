/* Which mpirun started us (see ranks_started.h). */
#include "ranks_started.h"

#include <stddef.h>
#include <stdlib.h>

/* Open MPI's; MPICH's, and whatever else speaks its protocol (srun --mpi=pmi2). */
static const char *const SIZES[] = { "OMPI_COMM_WORLD_SIZE", "PMI_SIZE" };

int ranks_started(void)
{
    for (size_t i = 0; i < sizeof SIZES / sizeof *SIZES; ++i) {
        const char *text = getenv(SIZES[i]);
        int n = text ? atoi(text) : 0;
        if (n > 0) return n;
    }
    return 1;
}
