/* [feature_l2]: SimKD's one loss, || f_t - P(f_s) ||^2 (CVPR 2022, equation 2), and what may be asked of it besides.
 *
 *   forward    cost = sum over images of scale/D * sum (s - t)^2;  output = input
 *   backward   net.delta += 2*scale/D * (t - s)       (Darknet's delta is minus the gradient)
 *              D = C*H*W for reduction=mean (the authors' nn.MSELoss, times the batch that update divides by), 1 for
 * sum
 *
 * t is the teacher's map, average-pooled k x k where it is larger than the student's. A frozen net in
 * inference mode (net.train = 0) passes its input through and computes no loss.
 *
 * Three keys change what is summed. e = s - t is an element's error, m_c the mean of channel c's errors over places,
 * v_c the variance of what the teacher's channel c says there, over images and places (of m: of the channel's means,
 * over images), v the mean of v_c. It is measured before step 1 (feature_l2_measure.c).
 *
 *   pooled=1            m_c^2 instead of e^2, D = C: an average-pooling classifier reads nothing else. Its gradient
 *                       spreads evenly over the places
 *   normalise=channel   e_c^2 / (v_c + v/100): 1 is what the channels' means cost that know nothing of the image, 0 the
 *                       teacher's map. v/100 limits what a nearly dead channel weighs
 *   metric=head         V/T |W e|^2 + v/20 * e_c^2 / (v_c + v/100), W the first weights behind the tap, (R, V), batch
 *                       norm folded in, T the sum of their squares: what the classifier sees of an error, and a little
 *                       of what it does not. An error as large in all elements and without correlation costs as much
 *                       as without the key, but for that little. W is
 *                         a 1x1 [convolutional]     reads each place: e is one place's errors, V = C
 *                         either, behind [avgpool]  reads the mean over places: m in place of e, V = D = C; the rest is
 *                                                   the mean over the map all the same, unless pooled=1
 *                         [connected]               reads the map: V = C*H*W
 *     normalise=channel with it: T = the variances of W's R outputs over views and places, summed, and 1/20 in place of
 *     v/20: what knows nothing of the image costs 1 there, too, however channels vary together
 *
 * weight=teacher, of a triple behind which a detector's head is reused, weighs places: e at a place is multiplied by
 * sqrt(u) before anything else is done with it, and its gradient again, where
 *     u = n (A + (1 - A) p) / sum of A + (1 - A) p over the n places of the image's map
 * p is how sure the teacher's own head is there that it sees something: objectness times class probability of its
 * surest anchor (box_head_ops.h), A is floor=. The weights of an image's places have a mean of 1: an image where the
 * teacher sees nothing costs what it does without the key, and what an error costs is moved to where it sees
 * something.
 *
 * reduction=sum is D times the mean, whatever the keys. */
#ifndef DISTILL_FEATURE_L2_H
#define DISTILL_FEATURE_L2_H
#include "box_head.h"
#include "sections.h"

/* What reads the map first: nobody asks, a 1x1 at each place, something behind [avgpool], or a matrix all of it. */
typedef enum { HEAD_NONE, HEAD_PLACES, HEAD_MEANS, HEAD_MAP } feature_l2_head;

typedef struct feature_l2_params {
    double scale;
    int mean;           /* reduction */
    int target_pool;    /* k */
    int c, h, w;        /* the student's map */
    int pooled, channel;    /* pooled=1, normalise=channel */
    feature_l2_head head;   /* metric=head */
    int head_layer;         /* the teacher's layer that W is of */
    int by_teacher;         /* weight=teacher: */
    double floor;           /* A */
    box_head boxes;         /* the head that knows p, its weights not yet */
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
/* metric=head: W, (rows, width), copied. */
void set_feature_l2_head(layer *l, const float *head, size_t rows, size_t width);

/* Its row's functions (sections.h). The facts of a loss that asks for them: v_c, (c); with normalise=channel and
 * metric=head then that T. */
int check_feature_l2_section(const cfg_section *section, const loss_place *place, diag *d);
int make_feature_l2_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void teach_feature_l2_layer(layer *l, const teaching *teaching);
#define FEATURE_L2_FLOOR .1   /* A where floor= says nothing */
int feature_l2_reads_means(const cfg_section *section);
int feature_l2_weighs(const cfg_section *section);
void feature_l2_see_teacher(layer *l, const network *teacher);
loss_facts *feature_l2_facts(const layer *l);
void feature_l2_look(layer *l, const teaching *views, int images);
int feature_l2_looked(layer *l, FILE *out, diag *d);
double *scale_of_feature_l2_layer(const layer *l);
/* GPU=1 only (feature_l2.cu): puts the device's functions on the layer of a network there; undoes that. */
void bind_feature_l2_layer_gpu(layer *l);
void unbind_feature_l2_layer_gpu(layer *l);

/* Mean of (s - t)^2 over the first n images of the layer's output, whatever its keys; `target` is the teacher's map of
 * them in the host's memory, (n, c, h*k, w*k). */
double feature_l2_error(const layer *l, const float *target, int n);

#endif
