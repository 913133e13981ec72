/* [similarity]: images that are alike to the teacher shall be alike to the student (SP; Tung and Mori, ICCV 2019,
 * arXiv:1907.09682).
 *
 *   F (batch, c*h*w)                    a map an image; B = batch / subdivisions images
 *   G = F F'                            how alike two images are; A, T: its rows divided by their norms, student and
 *                                       teacher, whose maps need not be of one size
 *   forward    cost = B * scale/B^2 * sum (A - T)^2;  output = input      (the host divides by B)
 *   backward   net.delta_i += -sum over j of (H_ij + H_ji) F_j
 *              H_i = 2 * scale/B * (g_i - A_i (A_i . g_i)) / ||G_i||,  g = A - T
 *
 * scale is the paper's gamma, 3000 as in SimKD's authors' code. In inference the layer passes its input on. */
#ifndef DISTILL_SIMILARITY_H
#define DISTILL_SIMILARITY_H
#include "map_loss.h"

struct similarity_job;
/* What the element functions need of a layer; student is the caller's to set. */
void similarity_job_of(const layer *l, struct similarity_job *job);

/* Its row's functions (sections.h). */
int make_similarity_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void forward_similarity_layer(layer l, host_state net);
/* GPU=1 only (similarity.cu). */
void bind_similarity_layer_gpu(layer *l);

#endif
