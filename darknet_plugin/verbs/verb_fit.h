/* Weights know nothing of how images filled the input while they were trained; the state of their run does. */
#ifndef DISTILL_VERB_FIT_H
#define DISTILL_VERB_FIT_H
#include "darknet_plugin/base/options.h"

/* Where -fit is not given and the weights lie beside the state of a run that was, options->fit becomes what it was
 * then, which is said unless results are JSON. `weights` may be NULL. */
void verb_take_fit(options *options, const char *cfg, const char *weights);

#endif
