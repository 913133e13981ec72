/* Inside [feature_l2]: what hangs on the layer, for the CPU (feature_l2.c) and a device (feature_l2.cu). */
#ifndef DISTILL_FEATURE_L2_INTERNAL_H
#define DISTILL_FEATURE_L2_INTERNAL_H
#include "feature_l2.h"

typedef struct feature_l2_state {
    feature_l2_params p;
    feature_map *target;   /* (batch) maps of (c, h*k, w*k), owned; their values borrowed */
    int has_target;
    double mse;
    double *part;          /* (batch) squared error of each image, owned: added up in order, whatever the threads */
    struct feature_l2_device *device;    /* owned by feature_l2.cu; NULL on the CPU */
    void (*upload)(layer *l);            /* stored maps have been set: brings them to the device; NULL on the CPU */
} feature_l2_state;

/* The state hangs where Darknet keeps an RNN's inner layer: the host touches that field of no other type. */
static inline feature_l2_state *feature_l2_state_of(const layer *l)
{
    return (feature_l2_state *)(void *)l->self_layer;
}

/* GPU=1 only (feature_l2.cu): puts the device's functions on a feature_l2 layer of a network there; undoes that. */
void bind_feature_l2_layer_gpu(layer *l);
void unbind_feature_l2_layer_gpu(layer *l);

#endif
