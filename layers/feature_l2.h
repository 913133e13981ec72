/* [feature_l2]: SimKD's one loss, || f_t - P(f_s) ||^2 (CVPR 2022, equation 2).
 *
 *   forward    cost = sum over images of scale/D * sum (s - t)^2;  output = input
 *   backward   net.delta += 2*scale/D * (t - s)       (Darknet's delta is minus the gradient)
 *              D = C*H*W for reduction=mean (the authors' nn.MSELoss, times the batch that update divides by), 1 for
 * sum
 *
 * t is the teacher's map, average-pooled k x k where it is larger than the student's. A frozen net in
 * inference mode (net.train = 0) passes its input through and computes no loss. */
#ifndef DISTILL_FEATURE_L2_H
#define DISTILL_FEATURE_L2_H
#include "sections.h"

typedef struct feature_l2_params {
    double scale;
    int mean;           /* reduction */
    int target_pool;    /* k */
    int c, h, w;        /* the student's map */
} feature_l2_params;

/* Turns the parsed stand-in `l` ([activation] linear) into a feature_l2 layer, before cpu_bind, which then leaves it
 * alone. 0, or -1 with a message if its size is not c*h*w. free_feature_l2_layer frees what hangs on it; the rest is
 * the host's. */
int make_feature_l2_layer(layer *l, feature_l2_params p, diag *d);
void free_feature_l2_layer(layer *l);
void forward_feature_l2_layer(layer l, host_state net);

/* The target for the next forward: (batch, c, h*k, w*k), borrowed until that forward and its backward are done. Of a
 * network on a device (layers/gpu/gpu.h) it is in the device's memory, while stored maps are in the host's. */
void set_feature_l2_target(layer *l, const float *target);
/* The same from stored maps, one an image: batch of them, borrowed as long. */
void set_feature_l2_maps(layer *l, const feature_map *maps);

/* Its row's functions (sections.h). */
int check_feature_l2_section(const cfg_section *section, const loss_place *place, diag *d);
int make_feature_l2_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void teach_feature_l2_layer(layer *l, const teaching *teaching);
double *scale_of_feature_l2_layer(const layer *l);
/* GPU=1 only (feature_l2.cu): puts the device's functions on the layer of a network there; undoes that. */
void bind_feature_l2_layer_gpu(layer *l);
void unbind_feature_l2_layer_gpu(layer *l);

/* Mean of (s - t)^2 over the first n images of the layer's output, whatever its scale and reduction; `target` is the
 * teacher's map of them in the host's memory, (n, c, h*k, w*k). */
double feature_l2_error(const layer *l, const float *target, int n);

#endif
