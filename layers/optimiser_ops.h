/* THE list of optimisers. To add one: a file with its element function and formulae (update_NAME, see update_ops.h),
 * and its line here. The CPU's loops, the kernels, the key in [net], the state of a run and the room that it takes on
 * the disk are made from this list.
 *
 *   OPTIMISER(its name, how many of m and v it keeps)
 *
 * NAME=1 in [net] chooses it; the first is what a [net] without such a key gets. An optimiser's number is its place. */
#ifndef DISTILL_OPTIMISER_OPS_H
#define DISTILL_OPTIMISER_OPS_H
#include "adamw_ops.h"
#include "update_ops.h"

#define OPTIMISERS(OPTIMISER) \
    OPTIMISER(sgd, 0) \
    OPTIMISER(adam, 2) \
    OPTIMISER(adamw, 2)

#endif
