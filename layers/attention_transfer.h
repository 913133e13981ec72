/* [attention_transfer]: where the teacher looks (AT; Zagoruyko and Komodakis, ICLR 2017, arXiv:1612.03928).
 *
 *   q_i = mean over channels of f_ci^2        an image's attention map: one number a pixel, whatever the channels
 *   a = q / ||q||                             of the student; b of the teacher, whose map is average-pooled if larger
 *   forward    cost = sum over images of scale * mean over pixels of (a - b)^2;  output = input
 *   backward   net.delta_ci += -4 * scale/(H*W) * (g_i - a_i (a . g)) / (||q|| C) * f_ci,  g = a - b
 *
 * scale is beta of the paper, 1000 as in SimKD's authors' code. In inference the layer passes its input on. */
#ifndef DISTILL_ATTENTION_TRANSFER_H
#define DISTILL_ATTENTION_TRANSFER_H
#include "map_loss.h"

struct attention_job;
/* What the element functions need of a layer; student and above are the caller's to set. */
void attention_transfer_job(const layer *l, struct attention_job *job);

/* Its row's functions (sections.h). */
int make_attention_transfer_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void forward_attention_transfer_layer(layer l, host_state net);
/* GPU=1 only (attention_transfer.cu). */
void bind_attention_transfer_layer_gpu(layer *l);

#endif
