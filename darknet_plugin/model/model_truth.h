/* Labels as rows of target probabilities, one an image, in net->truth: what losses by labels compare with. */
#ifndef DISTILL_MODEL_TRUTH_H
#define DISTILL_MODEL_TRUTH_H
#include "darknet_plugin/host/host.h"

/* Of the images of a batch; all borrowed. A label is -1 where there is none. */
typedef struct mixed_labels {
    const int *first;        /* batch; NULL: no labels at all */
    const int *second;       /* batch, of the images that were mixed in (mixup); NULL: none were */
    const float *factor;     /* batch, how much of each is the first image, 0..1; NULL where `second` is */
} mixed_labels;

/* Fills in net->truth, (batch, truths):
 *   row = (1 - smoothing) (f onehot(first) + (1 - f) onehot(second)) + smoothing / truths,
 * which sums to 1; all zeros where first or second has no label. */
void model_fill_truth(network *net, const mixed_labels *labels, float smoothing);

#endif
