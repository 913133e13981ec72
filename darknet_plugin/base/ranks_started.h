/* What the environment says of an mpirun, whosoever it is: before MPI is asked, which takes its time to answer. */
#ifndef DISTILL_RANKS_STARTED_H
#define DISTILL_RANKS_STARTED_H

/* How many processes it has started together; 1: none has, or this one alone. */
int ranks_started(void);

#endif
