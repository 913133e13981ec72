/* Batch norm folded into the weights and biases before it, so that nothing of it is left to compute (or to get wrong:
 * readers differ in its epsilon). Inference only: a folded network cannot go on training as it did. */
#ifndef DISTILL_FOLD_H
#define DISTILL_FOLD_H
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/host/host.h"

/* Weights (n, inputs of a filter) and biases (n) that do what layer l does with its batch norm; a copy where it has
 * none. l is [convolutional] or [connected]; the targets may be l's own arrays. */
void fold_arrays(const layer *l, float *weights, float *biases);
/* Folds one such layer of a parsed host network, which no backend of ours has bound. */
void fold_layer(layer *l, cfg_section *section);
/* All of `net`, parsed from `cfg`, whose sections lose batch_normalize. Returns how many were folded, -1 with a message
 * where one cannot be. Batch norm inside other sections stays, with a warning. */
int fold_network(network *net, cfg_file *cfg, diag *d);

#endif
