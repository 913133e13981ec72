/* Inside [feature_l2]: what hangs on the layer, for the CPU (feature_l2.c) and a device (feature_l2.cu). */
#ifndef DISTILL_FEATURE_L2_INTERNAL_H
#define DISTILL_FEATURE_L2_INTERNAL_H
#include "feature_l2.h"
#include "feature_l2_metric_ops.h"
#include "stand_in.h"

/* What the loss keeps besides where one of pooled, normalise and metric is asked for (feature_l2_metric.c). */
typedef struct feature_l2_metric {
    loss_facts facts;            /* n = 0: it need not know any */
    struct feature_l2_sums *sums;    /* while they are measured (feature_l2_measure.c), owned */
    float *head;                 /* W, (rows, width), owned; NULL: metric=map */
    size_t rows, width;
    int ready;                   /* what follows is made of facts and W: */
    float *weigh;                /* (c), owned */
    float *scaled, *turned;      /* W times sqrt(V/T), (rows, width), and turned (width, rows); owned */
    box_head boxes;              /* weight=teacher: the head, owned; and of each image, owned: */
    float *map, *raw, *place;    /* (c, map) plain, (rows, map) what the head answers, (map) sqrt(u) */
    size_t place_room;           /* images times places that these have room for */
    size_t room;                 /* values in the layer's output that what follows has room for: */
    float *error, *means, *seen;     /* as in feature_l2_metric_job, owned */
    double *sum;                 /* (batch, places), owned */
    struct feature_l2_metric_device *device;   /* owned by feature_l2_metric.cu */
} feature_l2_metric;

typedef struct feature_l2_state {
    feature_l2_params p;
    feature_map *target;   /* (batch) maps of (c, h*k, w*k), owned; their values borrowed */
    int has_target;
    int means;             /* these maps are the channels' means only, (c, 1, 1) */
    const float *weight;   /* (batch) what each image counts, borrowed; NULL: 1. The plain loss's only */
    double *part;          /* (batch) squared error of each image, owned: added up in order, whatever the threads */
    feature_l2_metric *metric;           /* owned; NULL: the plain loss */
    struct feature_l2_device *device;    /* owned by feature_l2.cu; NULL on the CPU */
    void (*upload)(layer *l);            /* stored maps have been set: brings them to the device; NULL on the CPU */
} feature_l2_state;

static inline feature_l2_state *feature_l2_state_of(const layer *l) { return (feature_l2_state *)stand_in_state(l); }

/* Are the errors' means over places needed? The errors themselves are unless pooled=1. */
static inline int feature_l2_takes_means(const feature_l2_params *p) { return p->pooled || p->head == HEAD_MEANS; }

/* metric=head: what reads the map first, into p->head and p->head_layer. 0, or -1 after reporting why it cannot be
 * used. */
int feature_l2_find_head(const cfg_section *section, const loss_place *place, feature_l2_params *p, diag *d);
/* weight=teacher: the head that weighs places, into p->boxes. 0, or -1 after reporting. */
int feature_l2_find_boxes(const cfg_section *section, const loss_place *place, feature_l2_params *p, diag *d);
/* NULL where `p` asks for none of the four. */
feature_l2_metric *feature_l2_metric_new(const feature_l2_params *p);
void feature_l2_metric_free(feature_l2_metric *metric);
/* The layer's job in host memory, without room for errors. Facts and W, where they are asked for, must be there. */
feature_l2_metric_job feature_l2_metric_job_of(const layer *l);
/* weight=teacher: what it takes to weigh places, in host memory. */
feature_l2_places feature_l2_places_of(const layer *l);
void feature_l2_sums_free(feature_l2_metric *metric);
/* The loss of the batch; adds to delta. */
double feature_l2_metric_forward(layer *l);
void feature_l2_metric_backward(layer *l, float *delta);
/* The same on a device (feature_l2_metric.cu); `maps` is what the plain loss's kernels are given. */
double feature_l2_metric_forward_gpu(layer *l, const feature_l2_job *maps);
void feature_l2_metric_backward_gpu(layer *l, const feature_l2_job *maps, float *delta);
void feature_l2_metric_free_gpu(layer *l);

#endif
