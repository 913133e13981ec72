/* [cross_entropy]: labels, as a loss on class scores. `[reused_classifier] labels=W` stands for it with scale=W on the
 * scores of the frozen classifier, whose gradient goes through to projector and encoder.
 *
 *   forward    cost = scale * batch/labelled * sum over labelled images of -sum t log softmax(z);  output = input
 *   backward   net.delta += scale * batch/labelled * (t - softmax(z))    (Darknet's delta is minus the gradient)
 *
 * z are the class scores that the layer reads, t a row of net.truth: one-hot, or any probabilities that sum to 1 where
 * labels are mixed. A row of zeros is an image without a label. It is left out, and since updates divide by the
 * batch, the mean is over the images that have one. In inference mode (net.train = 0) the layer passes its input
 * through and computes no loss. */
#ifndef DISTILL_CROSS_ENTROPY_H
#define DISTILL_CROSS_ENTROPY_H
#include "sections.h"
#include "stand_in.h"

typedef struct cross_entropy_state {
    double scale;
    double weight;               /* scale * batch/labelled of the batch under way */
    double *part;                /* (batch) each image's loss, owned: added up in order, whatever the threads */
    double *part_gpu;            /* the same on a device, owned by cross_entropy.cu */
} cross_entropy_state;

static inline cross_entropy_state *cross_entropy_state_of(const layer *l)
{
    return (cross_entropy_state *)stand_in_state(l);
}
/* `weight` by how many rows of truth, (batch, outputs) in the host's memory, are a label. */
void cross_entropy_weigh(const layer *l, const float *truth);
/* The layer's cost from `part` and `weight`. */
void cross_entropy_add_up(const layer *l);

/* Its row's functions (sections.h). */
int check_cross_entropy_section(const cfg_section *section, const loss_place *place, diag *d);
int make_cross_entropy_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void free_cross_entropy_layer(layer *l);
void forward_cross_entropy_layer(layer l, host_state net);
double *scale_of_cross_entropy_layer(const layer *l);
/* GPU=1 only (cross_entropy.cu). */
void bind_cross_entropy_layer_gpu(layer *l);
void unbind_cross_entropy_layer_gpu(layer *l);

#endif
