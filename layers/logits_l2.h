/* [logits_l2]: the squared difference of class scores (Ba and Caruana, "Do Deep Nets Really Need to be Deep?", NIPS
 * 2014).
 *
 *   forward    cost = sum over images of scale/C * sum over classes of (z_s - z_t)^2;  output = input
 *   backward   net.delta += 2*scale/C * (z_t - z_s)
 *
 * z_s are the student's class scores, z_t those that the teacher's last [softmax] reads. Behind a [projector],
 * [feature_l2] and [reused_classifier] deploy=0 it is the other half of SRRL (Yang et al., ICLR 2021). */
#ifndef DISTILL_LOGITS_L2_H
#define DISTILL_LOGITS_L2_H
#include "map_loss.h"

/* Its row's functions (sections.h). */
int make_logits_l2_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void forward_logits_l2_layer(layer l, host_state net);
/* GPU=1 only (logits_l2.cu). */
void bind_logits_l2_layer_gpu(layer *l);

#endif
