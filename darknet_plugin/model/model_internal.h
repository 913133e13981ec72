/* What the files of the model share: a training step's beginning (model.c). */
#ifndef DISTILL_MODEL_INTERNAL_H
#define DISTILL_MODEL_INTERNAL_H
#include "model.h"

/* Live teachers, which have no cache, run on x. */
void model_run_live(const model *model, const float *x);
/* The same, and each loss gets its target; labels NULL: there are none. */
void model_ask_teachers(model *model, const float *x, const mixed_labels *labels);
/* Where [teachers] weights=confidence asks for it: model->confidence of this batch (model_confidence.c). */
void model_weigh_images(model *model, const mixed_labels *labels);
/* Of image b, whose n class scores these are: minus its cross-entropy to the label, without one minus its entropy. */
double model_confidence_of(const float *score, int n, const mixed_labels *labels, int b);
/* What a loss's teacher says about the batch, live or out of its cache. */
teaching model_teaching_of(const model *model, const taught_loss *loss);

/* Where the cfg combines several teachers' classifiers, and they are there (model_combine.c): fills the combined one;
 * holds the one just loaded from `weights` against it, 0, or -1 with a message. */
void model_fill_combined(model *model);
int model_check_combined(model *model, const char *weights, diag *d);

/* Boxes that learn from labels (model_boxes.c), between forward and backward: each such layer's delta and cost times
 * its weight and `share`, over the images of `boxes` (batch, net->truths) that have labels; NULL: all have. */
void model_weigh_boxes(model *model, const float *boxes, float share);

/* scale=auto (balance.c): is there any? Measures each loss of a triple with one on a batch, adding to sum (one number a
 * loss of low->losses); then sets their scales by what is in it. Between the two, as between training steps, caches
 * must have been asked for the batch. */
int model_has_auto_scales(const model *model);
void model_measure_losses(model *model, const float *x, double *sum);
void model_set_auto_scales(model *model, const double *sum, FILE *out);
/* A loss's scale, in its layer. */
static inline double *model_scale_of(const model *model, const taught_loss *loss)
{
    return loss->type->scale(&model->net->layers[loss->layer]);
}
/* The losses' scales (model_fade.c), low->losses of them, which model_put_scales puts back and frees. */
double *model_scales(const model *model);
void model_put_scales(const model *model, double *scale);
/* fade=: sets the scales of the next step, by the updates behind *net->seen. Returns what they were. */
double *model_fade_losses(const model *model);

#endif
