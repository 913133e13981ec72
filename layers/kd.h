/* [kd]: knowledge distillation by class scores (Hinton, Vinyals, Dean, 2015, arXiv:1503.02531), for a student with a
 * classifier of its own or behind the teacher's frozen one, whose gradient goes through to projector and encoder.
 *
 *   forward    cost = sum over images of scale * T^2 * KL(softmax(z_t/T) || softmax(z_s/T));  output = input
 *   backward   net.delta += scale * T * (softmax(z_t/T) - softmax(z_s/T))    (Darknet's delta is minus the gradient)
 *
 * z_s are the student's class scores, which the layer reads, z_t those that the teacher's last [softmax] reads, live or
 * out of a cache. Gradients of a softened softmax shrink as 1/T^2; the factor T^2 keeps them beside a loss by labels,
 * whatever T is. standardise=1 and decouple= change the loss as kd_ops.h says. In inference mode (net.train = 0) the
 * layer passes its input through and computes no loss. */
#ifndef DISTILL_KD_H
#define DISTILL_KD_H
#include "kd_ops.h"
#include "sections.h"
#include "stand_in.h"

typedef struct kd_state {
    kd_how how;
    double scale;
    const float *target;         /* (batch, outputs) teacher's class scores, borrowed; NULL: none yet */
    float *held;                 /* the same out of a cache, owned */
    const float *weight;         /* (batch) what each image counts, borrowed; NULL: 1 */
    double *part;                /* (batch) each image's loss, owned: added up in order, whatever the threads */
    double *part_gpu;            /* the same on a device, owned by kd.cu */
    float *weight_gpu;           /* `weight` there, owned by kd.cu */
    float *held_gpu;             /* `held` there, owned by kd.cu; NULL on the CPU */
    void (*upload)(layer *l);    /* `held` is filled: brings it there and makes it the target; NULL on the CPU */
} kd_state;

static inline kd_state *kd_state_of(const layer *l) { return (kd_state *)stand_in_state(l); }
/* The layer's cost from `part`. */
void kd_add_up(layer *l);

/* Its row's functions (sections.h). A live target is where the network is: in the host's memory or the device's. */
int check_kd_section(const cfg_section *section, const loss_place *place, diag *d);
int make_kd_section(layer *l, const cfg_section *section, const loss_place *place, diag *d);
void free_kd_layer(layer *l);
void forward_kd_layer(layer l, host_state net);
int kd_weighs(const cfg_section *section);
void teach_kd_layer(layer *l, const teaching *teaching);
double *scale_of_kd_layer(const layer *l);
/* GPU=1 only (kd.cu). */
void bind_kd_layer_gpu(layer *l);
void unbind_kd_layer_gpu(layer *l);

#endif
