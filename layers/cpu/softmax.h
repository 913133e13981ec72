/* What is wrong with the loss of the host's [softmax] where targets are not one-hot, mended after its forward, on the
 * CPU and on a device (../gpu/simple.c). It counts -log p of every class whose target t is not 0, whatever t is, and
 * trains an image without a label, whose targets are all 0, away from every class. Here
 *
 *   cost = -m sum of t log p;     delta = m (t - p), and 0 for an image without a label
 *
 * where m = batch / labelled images: the loss is the mean over those, as behind a [reused_classifier]. */
#ifndef DISTILL_SOFTMAX_H
#define DISTILL_SOFTMAX_H
#include "darknet_plugin/host/host.h"

/* l.cost, out of the host's l.loss. truth: (batch, inputs), as the host has compared with. */
void mend_softmax_cost(const layer *l, const float *truth);
/* How many images have no label. */
int count_softmax_unlabelled(const layer *l, const float *truth);
/* Zeroes what these have in l.delta, and raises the others'. */
void mend_softmax_delta(const layer *l, const float *truth);

#endif
