/* What the files of the model share: a training step's beginning (model.c). */
#ifndef DISTILL_MODEL_INTERNAL_H
#define DISTILL_MODEL_INTERNAL_H
#include "model.h"

/* Live teachers run on x, and each loss gets its target. */
void model_ask_teachers(model *model, const float *x);
/* What a loss's teacher says about the batch, live or out of its cache. */
teaching model_teaching_of(const model *model, const taught_loss *loss);

#endif
