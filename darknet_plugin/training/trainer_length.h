/* A run's length beside what depends on it. */
#ifndef DISTILL_TRAINER_LENGTH_H
#define DISTILL_TRAINER_LENGTH_H
#include "darknet_plugin/model/model.h"

/* Warns where burn_in= takes more than half of a run of `steps` updates, and where fade= leaves no loss before its
 * end. */
void trainer_look_at_length(const model *model, uint64_t steps, diag *d);

#endif
