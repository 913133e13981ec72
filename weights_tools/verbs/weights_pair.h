/* OUT.cfg and OUT.weights, which a sub-verb of `weights` makes. */
#ifndef DISTILL_WEIGHTS_PAIR_H
#define DISTILL_WEIGHTS_PAIR_H
#include "weights_view.h"

/* Writes `cfg` and the weights of `net`, its network: under temporary names, read back as any reader of ours does, the
 * cfg in `mode`, compared bit for bit, and only then renamed. 0, or -1 with a message and nothing written. */
int weights_pair_write(const cfg_file *cfg, network *net, lower_mode mode, const char *out, diag *d);

#endif
