/* Batch norm folded into the weights before it: one layer less to compute, and nothing left of which readers have epsilons
 * of their own. */
#ifndef DISTILL_FOLD_H
#define DISTILL_FOLD_H
#include "../darknet_plugin/cfg.h"
#include "../darknet_plugin/host.h"

/* Folds every batch norm of `net`, whose layers are `cfg`'s sections, in place:
 *   w' = w s / (sqrt(v) + 1e-6)      b' = b - m s / (sqrt(v) + 1e-6)       s, m, v, b: scale, mean, variance, bias of the filter
 * which is what this runtime and stock Darknet compute in inference, in doubles. How many layers; -1 with a message where a
 * section has one that cannot be folded ([batchnorm], recurrent layers). */
int fold_batch_norms(network *net, cfg_file *cfg, diag *d);

#endif
