/* Several processes that do one command together, on one machine or many: mpirun starts them, MPI carries what they say
 * (make MPI=1, ranks_mpi.c). They are numbered, which MPI calls ranks. A build without (ranks_none.c), or a program
 * that mpirun has not started, is alone: its `ranks` is NULL, and every function here takes that for one rank, so that
 * callers read the same.
 *
 * All ranks make the same calls of those that send anything, in the same order. One that has failed makes none any
 * more, but ranks_end; the others then learn it at their next call, end as well, and leave the message to it. */
#ifndef DISTILL_RANKS_H
#define DISTILL_RANKS_H
#include "diag.h"

#include <stdint.h>

typedef struct ranks {
    int count, mine;         /* how many; this one's number, from 0 */
    int on_host, place;      /* how many are on this host; this one's number among them */
    int fast;                /* -fast-reduce: sums are MPI_Allreduce's, as they come */
    int over;                /* another rank has ended: nothing is sent any more */
    int broken;              /* MPI has failed */
    char host[65];
} ranks;

/* What a message is about; ranks that are not at the same point are told so. */
typedef enum {
    RANKS_END, RANKS_MEET, RANKS_COMPARE, RANKS_BEGIN, RANKS_STEP, RANKS_EPOCH, RANKS_EVALUATE, RANKS_FEATURES
} ranks_topic;

/* First of all. *ranks is NULL where this process is alone; the caller ends it with ranks_end. -1 with a message: it
 * was started with others, but cannot reach them. */
int ranks_begin(ranks **ranks, diag *d);
/* Last of all, with what this command's exit status will be and its messages. 1: this rank may print them; 0: they are
 * another one's to tell. Frees. Where ranks are lost it does not return. */
int ranks_end(ranks *ranks, int status, const diag *d);

static inline int ranks_count(const ranks *ranks) { return ranks ? ranks->count : 1; }
static inline int ranks_mine(const ranks *ranks) { return ranks ? ranks->mine : 0; }
/* Is this the one that prints, locks and writes? */
static inline int ranks_leads(const ranks *ranks) { return !ranks || !ranks->mine; }
/* Which of n things in a row are this rank's: [ranks_share(ranks, n, 0), ranks_share(ranks, n, 1)), the first rank's
 * never none of some. */
static inline uint64_t ranks_share(const ranks *ranks, uint64_t n, int end)
{
    uint64_t count = (uint64_t)ranks_count(ranks), mine = (uint64_t)(ranks_mine(ranks) + end);
    return (n * mine + count - 1) / count;
}
/* Threads that this rank should compute with where nobody says: this host's cores by its ranks, no more than it may
 * use; 0: alone, as ever. */
int ranks_threads(const ranks *ranks);

/* Waits until all are there. 0, or -1 with a message: a rank has ended or is lost. So do all that follow. */
int ranks_meet(ranks *ranks, ranks_topic topic, diag *d);
/* Every rank's `bytes`, equally many, in the order of ranks into `all`; alone a copy. */
int ranks_exchange(ranks *ranks, ranks_topic topic, const void *mine, size_t bytes, void *all, diag *d);
/* The same of any number of bytes; NULL with a message. The caller frees. */
void *ranks_gather(ranks *ranks, ranks_topic topic, const void *mine, size_t bytes, size_t *total, diag *d);
/* Rank 0's `bytes` to all, behind a call of the above. */
int ranks_broadcast(ranks *ranks, void *data, size_t bytes, diag *d);

/* How many floats a buffer must have room for, for ranks_sum of n. */
size_t ranks_room(const ranks *ranks, size_t n);
/* x becomes the sum of all ranks' n floats, the same bits on each of them, behind a call of the above. Element by
 * element ((x0 + x1) + x2) + ..., in the order of ranks: a run repeats to the bit. Each rank adds up a stretch of the
 * elements, so that 2 (N - 1) / N times n floats leave it and as many arrive, as in a ring; `fast`: as MPI adds. */
int ranks_sum(ranks *ranks, float *x, size_t n, diag *d);

#endif
