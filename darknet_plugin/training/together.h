/* Training by several ranks: what makes of N networks, each on its share of a step's images, the one network that a
 * single process would have had with N times the subdivisions.
 *
 * A step of N ranks with S sub-batches each. Before it all ranks hold the same: weights w, the momentum that Darknet
 * keeps in the sum of gradients u, running statistics M. Rank r computes sub-batches r S .. (r + 1) S - 1:
 *
 *   gradients   rank 0 adds to u, the others begin at 0: momentum is in the sum once
 *   statistics  sub-batch k moves M to M + rate_k (m_k - M). Rank 0 begins at M, the others at 0, each with the rate of
 *               its place; what rank r has is worth M_r * (1 - rate_k)(1 - rate_k')... of all sub-batches behind its
 *               own, and the sum of that is what moving M in the order of ranks would give
 *   last means  of batch norm, by which the next batch is summed: those of the last rank alone
 *
 * All of it is one array of floats and one sum (ranks_sum). Then every rank does the same update. */
#ifndef DISTILL_TOGETHER_H
#define DISTILL_TOGETHER_H
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/model/run_state.h"

typedef struct together together;

/* For layers 0..low->trained-1 of `model`, which is borrowed. NULL: alone. Free with together_free. */
together *together_new(model *model);
void together_free(together *together);

/* Does every rank have the same as rank 0? `key` is "name=value" lines of what they run. 0, or -1 with a message. */
int together_compare(ranks *ranks, const char *key, diag *d);
/* Rank 0's weights, state and *progress become everybody's; *resumed goes along. 0, or -1 with a message. */
int together_start(model *model, run_progress *progress, int *resumed, diag *d);
/* Prints who computes what, a line a rank. */
int together_introduce(const model *model, int threads, FILE *out, diag *d);

/* Before a step's first sub-batch, and after its last where all ranks' are fine: 0, or -1 with a message. NULL:
 * nothing. */
void together_begin_step(together *together);
int together_end_step(together *together, diag *d);

/* What came of a rank's part of a step. */
typedef struct step_news {
    int status;              /* the largest of all counts */
    int stop;                /* the signal that asks for an end, 0 = none */
} step_news;
/* Tells all ranks: *news becomes that of all, `loss`, which has room for all, that of each sub-batch in order, where
 * this rank has told n. 0, or -1 with a message. */
int together_tell(ranks *ranks, step_news *news, double *loss, int n, diag *d);
/* The image numbers of all shares of a step, where this rank has told n; in place. */
int together_images(ranks *ranks, uint64_t *image, size_t n, diag *d);
/* Are all weights still the same on all ranks? 0, or -1 with a message. */
int together_check(const model *model, diag *d);

#endif
