/* Our layer sections, one row each (sections.c), which carries a section through its whole life:
 *
 *   reading    its keys, so that the cfg reader knows them (sections_register)
 *   lowering   what must stand beside it, its role, and whether it fits where it stands (lowering/)
 *   running    a loss: made out of its stand-in, handed what the teacher teaches, brought to a device (model/, gpu/)
 *
 * To add a loss write its files and its row; there is nothing else to do. */
#ifndef DISTILL_SECTIONS_H
#define DISTILL_SECTIONS_H
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/sections/cfg_keys.h"
#include "feature_type.h"

#include <stdio.h>

/* What a layer of the lowered network is. */
typedef enum {
    ROLE_STUDENT,     /* an ordinary trained layer, of a stock section */
    ROLE_OUTPUT,      /* [cost] or boxes of the student's own beside a reused classifier: they learn from nothing */
    ROLE_LABELS,      /* boxes of the student's own that learn from labels beside it, and vanish when deploying */
    ROLE_POOL,        /* frozen depthwise average pooling before a projector: weights 1/k^2 */
    ROLE_PROJECTOR,   /* trained */
    ROLE_LOSS,        /* a loss's stand-in (training only) */
    ROLE_TAIL         /* copy of a teacher layer, frozen */
} layer_role;

/* What a loss compares the student with. */
typedef enum {
    TEACH_MAP,        /* the feature map at a tap, live or out of a cache: the loss is part of a triple */
    TEACH_ANSWER,     /* the class scores that the teacher's last [softmax] reads: the loss stands on class scores */
    TEACH_LABELS,     /* the labels in net.truth, no teacher: the loss stands on class scores */
    TEACH_HEAD        /* the map at the tap of the triple behind whose frozen head, a detector's, it stands */
} teach_kind;

/* Sizes where a loss stands; h and w are 1 where there is no map. And what reads the map behind it. */
typedef struct loss_place {
    int c, h, w;                           /* the student's */
    int teacher_c, teacher_h, teacher_w;   /* what it is taught; 0 by labels */
    int classes;                           /* outputs of the whole network */
    const cfg_file *teacher;               /* of a map: its sections, borrowed; */
    const int *tail_of;                    /* the classifier reuses these, in order, -1: not the teacher's; borrowed */
    int tails;                             /* 0: there is no classifier */
} loss_place;

/* What the teacher says about a batch; borrowed from it or from its cache until the loss has run backward. */
typedef struct teaching {
    const float *live;          /* (batch, c, h, w), in the device's memory if the network is there; or NULL: */
    const feature_map *stored;  /* (batch) maps out of a cache, in the host's memory */
    const float *weight;        /* (batch) what each image counts, in the host's memory; NULL: 1 */
    int means;                  /* of those there is only each channel's mean over places: (batch, c) numbers */
} teaching;

/* What a loss has to know before step 1 and cannot compute from the cfg: measured once (model/model_prepare.c), from
 * then on part of every checkpoint. */
typedef struct loss_facts {
    double *value;              /* n of them, owned by the loss */
    size_t n;
    int known;
} loss_facts;

typedef struct section_type {
    const char *name;
    const char *before, *after;            /* sections that must stand there, or NULL; losses that ask alike are one */
    const char *hint;                      /* for who misplaces it */
    layer_role role;
    const key_row *keys;
    /* the rest is a loss's: */
    int on_boxes;                          /* what a section of this name is behind a detector's frozen head; its keys
                                              are the row's of class scores */
    teach_kind asks;
    /* appends its stand-in, which keeps the parameters of its own; NULL: it has none, [activation] linear stands in */
    void (*append)(cfg_file *out, const cfg_section *section, int channels);
    /* before anything is parsed: does it fit there? 0, or -1 after reporting; NULL: it does */
    int (*check)(const cfg_section *section, const loss_place *place, diag *d);
    /* turns the parsed stand-in into the layer, see stand_in.h; 0, or -1 after reporting */
    int (*make)(layer *l, const cfg_section *section, const loss_place *place, diag *d);
    void (*free)(layer *l);                /* what hangs on it */
    void (*forward)(layer l, host_state net);   /* by which a layer is known */
    void (*set_target)(layer *l, const teaching *teaching);   /* NULL: no teacher's */
    double *(*scale)(const layer *l);      /* what its loss is multiplied by; borrowed */
    /* mean squared error of the first n images of the last run, which `valid` prints of a triple; NULL: it has none */
    double (*error)(const layer *l, const float *target, int n);
    /* does it weigh images by teaching.weight? NULL: no */
    int (*weighs)(const cfg_section *section);
    /* does it read each channel's mean over places only, so that nothing else need be stored? NULL: no */
    int (*reads_means)(const cfg_section *section);
    /* once the teacher has its weights: takes what it needs of them; NULL: nothing */
    void (*see_teacher)(layer *l, const network *teacher);
    /* what it has to know first, NULL = nothing; how that is measured: targets of views, the first `images` of a batch
     * and in the host's memory, then the end of it, which says in one line what was found. -1 after reporting */
    loss_facts *(*facts)(const layer *l);
    void (*look)(layer *l, const teaching *views, int images);
    int (*looked)(layer *l, FILE *out, diag *d);
    void (*to_device)(layer *l), (*from_device)(layer *l);   /* its functions for a network there; NULL without GPU=1 */
} section_type;

/* The row of a section, by its name; what it is behind a detector's head; or of a layer that its make has made. NULL
 * for those of the host. */
const section_type *section_type_named(const char *name);
const section_type *section_type_on_boxes(const char *name);
const section_type *section_type_of_layer(const layer *l);
/* Is the section's scale= to be measured? */
int section_scale_is_auto(const cfg_section *section);
/* Once, before any cfg is read (network_init does it). */
void sections_register(void);

#endif
