/* [variational]: variational information distillation (VID; Ahn et al., CVPR 2019, arXiv:1904.05835). The student's map
 * is the mean of a normal distribution of the teacher's, whose variance is learnt, one a channel.
 *
 *   v_c = log(1 + exp(rho_c)) + 1e-5,  rho_c = rho_0 + offset_c       rho_0 makes v 5, as in the authors' code
 *   forward    cost = sum over images of scale * mean of ((m - t)^2 / v_c + log v_c) / 2;  output = input
 *   backward   net.delta += scale/(C*H*W) * (t - m) / v_c
 *              offset's  += minus scale/(C*H*W) * sum of (1 - (m - t)^2 / v_c) / (2 v_c) * d v_c / d rho_c
 *
 * m is the student's map, which convolutions on a branch before it bring to the teacher's channels (the paper's
 * regressor), t the teacher's. Its stand-in is a depthwise 1x1 [convolutional]: offset is its biases, so that they are
 * updated, saved, loaded and brought to a device as any layer's; its weights are not used. */
#ifndef DISTILL_VARIATIONAL_H
#define DISTILL_VARIATIONAL_H
#include "map_loss.h"

struct variational_job;
/* What the element functions need of a layer; student and offset are the caller's to set. */
void variational_job_of(const layer *l, struct variational_job *job);

/* Its row's functions (sections.h). */
void append_variational_section(cfg_file *out, const cfg_section *section, int channels);
int make_variational_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void forward_variational_layer(layer l, host_state net);
/* GPU=1 only (variational.cu). */
void bind_variational_layer_gpu(layer *l);

#endif
