/* What -precision auto has chosen (precision.h), network by network, as a text. */
#ifndef DISTILL_PRECISION_PLAN_H
#define DISTILL_PRECISION_PLAN_H
#include "darknet_plugin/base/diag.h"
#include "layers/cpu/cpu.h"

struct model_options;

/* What the options say of network number `network`, of so many layers: its precision and its products, which the caller
 * frees; NULL: as the processor has it. -1 with a message where the plan is not for such a network. */
int precision_of(const struct model_options *options, int network, int layers, cpu_precision *precision,
                 char **products, diag *d);

#endif
