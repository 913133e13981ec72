/* Inside [feature_l2]: what hangs on the layer, for the CPU (feature_l2.c) and a device (feature_l2.cu). */
#ifndef DISTILL_FEATURE_L2_INTERNAL_H
#define DISTILL_FEATURE_L2_INTERNAL_H
#include "feature_l2.h"
#include "stand_in.h"

typedef struct feature_l2_state {
    feature_l2_params p;
    feature_map *target;   /* (batch) maps of (c, h*k, w*k), owned; their values borrowed */
    int has_target;
    double *part;          /* (batch) squared error of each image, owned: added up in order, whatever the threads */
    struct feature_l2_device *device;    /* owned by feature_l2.cu; NULL on the CPU */
    void (*upload)(layer *l);            /* stored maps have been set: brings them to the device; NULL on the CPU */
} feature_l2_state;

static inline feature_l2_state *feature_l2_state_of(const layer *l) { return (feature_l2_state *)stand_in_state(l); }

#endif
