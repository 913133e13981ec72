/* Is everything still a number? A NaN or an infinity never goes away again by itself: it is found in the step that made
 * it. */
#ifndef DISTILL_NUMBERS_H
#define DISTILL_NUMBERS_H
#include "model.h"

/* Are all n values finite? */
int numbers_finite(const float *x, size_t n);

/* After model_train_step returned a loss that is not finite: where it comes from, as one message at the section at
 * fault: the input, a teacher's feature, or the first layer whose output is not finite. */
void numbers_explain_loss(const model *model, const float *x, double loss, diag *d);
/* Of what an update of the trained layers reads, and of their weights and statistics: 0 if all is finite, else -1 with
 * a message that names the first layer, as the backward pass meets them. */
int numbers_check_updates(const model *model, diag *d);
int numbers_check_weights(const model *model, diag *d);

/* What a step changes before its update: gradients added to the momentum, BN statistics. Kept, it can be undone. */
typedef struct step_copy step_copy;
step_copy *step_copy_new(const model *model);          /* free with step_copy_free */
void step_copy_keep(step_copy *copy, const model *model);
void step_copy_undo(const step_copy *copy, model *model);
void step_copy_free(step_copy *copy);

#endif
