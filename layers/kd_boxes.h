/* [kd] behind a detector's frozen head: the student learns what the teacher answers at each place of its map, whatever
 * the labels say. It stands on the raw numbers that the copied [yolo] or [region] reads; its gradient goes through the
 * frozen 1x1 convolution to projector, neck and encoder.
 *
 *   forward    cost = scale * sum over images, places and anchors of the loss in kd_boxes_ops.h;  output = input
 *   backward   net.delta += scale * its delta                 (Darknet's delta is minus the gradient)
 *
 * It is a sum over places, as the loss of [yolo] is, and of about that one's size, so that the learning rate of labels
 * suits it. The teacher's numbers are made of its map at the tap (box_head.h). In inference mode (net.train = 0) the
 * layer passes its input through and computes no loss. */
#ifndef DISTILL_KD_BOXES_H
#define DISTILL_KD_BOXES_H
#include "box_head.h"
#include "kd_boxes_ops.h"
#include "map_loss.h"

typedef struct kd_boxes_state {
    map_loss base;               /* its target is the map at the tap */
    box_head head;
    double focal, box_weight;
    int kind;                    /* of the boxes' loss: an IOU_..., KD_BOXES_SQUARES */
    double grid;                 /* scale_x_y */
    int pixels;                  /* anchors are in pixels of the input, not in cells */
    float *sizes;                /* (anchors, 2), owned: of this head's anchors */
    float *anchor;               /* the same where the network is, owned */
    float *weights, *biases, *answer;   /* where the network is, owned: the head's; what the teacher answers */
    size_t answer_room;          /* in numbers */
} kd_boxes_state;

static inline kd_boxes_state *kd_boxes_of(const layer *l) { return (kd_boxes_state *)stand_in_state(l); }
/* The layer's jobs, with room for the answer. */
kd_boxes_job kd_boxes_job_of(const layer *l, const host_state *net);
kd_boxes_answer kd_boxes_answer_of(const layer *l);
/* The layer's cost from the parts. */
void kd_boxes_add_up(layer *l);

/* Its row's functions (sections.h). */
int check_kd_boxes_section(const cfg_section *section, const loss_place *place, diag *d);
int make_kd_boxes_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void kd_boxes_see_teacher(layer *l, const network *teacher);
void free_kd_boxes_layer(layer *l);
void forward_kd_boxes_layer(layer l, host_state net);
/* GPU=1 only (kd_boxes.cu). */
void bind_kd_boxes_layer_gpu(layer *l);
void unbind_kd_boxes_layer_gpu(layer *l);

#endif
