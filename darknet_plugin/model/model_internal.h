/* What the files of the model share: a training step's beginning (model.c). */
#ifndef DISTILL_MODEL_INTERNAL_H
#define DISTILL_MODEL_INTERNAL_H
#include "model.h"

/* Live teachers, which have no cache, run on x. */
void model_run_live(const model *model, const float *x);
/* The same, and each loss gets its target. */
void model_ask_teachers(model *model, const float *x);
/* What a loss's teacher says about the batch, live or out of its cache. */
teaching model_teaching_of(const model *model, const taught_loss *loss);

/* Boxes that learn from labels (model_boxes.c), between forward and backward: each such layer's delta and cost times
 * its weight and `share`, over the images of `boxes` (batch, net->truths) that have labels; NULL: all have. */
void model_weigh_boxes(model *model, const float *boxes, float share);

/* scale=auto (balance.c): is there any? Measures each loss of a triple with one on a batch, adding to sum (one number a
 * loss of low->losses); then sets their scales by what is in it. Between the two, as between training steps, caches
 * must have been asked for the batch. */
int model_has_auto_scales(const model *model);
void model_measure_losses(model *model, const float *x, double *sum);
void model_set_auto_scales(model *model, const double *sum, FILE *out);

#endif
