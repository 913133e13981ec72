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

/* What a layer of the lowered network is. */
typedef enum {
    ROLE_STUDENT,     /* an ordinary trained layer, of a stock section */
    ROLE_OUTPUT,      /* [cost] or boxes of the student's own beside a reused classifier: they learn from nothing */
    ROLE_POOL,        /* frozen depthwise average pooling before a projector: weights 1/k^2 */
    ROLE_PROJECTOR,   /* trained */
    ROLE_LOSS,        /* a loss's stand-in (training only) */
    ROLE_TAIL         /* copy of a teacher layer, frozen */
} layer_role;

/* What a loss compares the student with. */
typedef enum {
    TEACH_MAP,        /* the feature map at a tap, live or out of a cache: the loss is part of a triple */
    TEACH_ANSWER,     /* the class scores that the teacher's last [softmax] reads: the loss stands on class scores */
    TEACH_LABELS      /* the labels in net.truth, no teacher: the loss stands on class scores */
} teach_kind;

/* Sizes where a loss stands; h and w are 1 where there is no map. */
typedef struct loss_place {
    int c, h, w;                           /* the student's */
    int teacher_c, teacher_h, teacher_w;   /* what it is taught; 0 by labels */
    int classes;                           /* outputs of the whole network */
} loss_place;

/* What the teacher says about a batch; borrowed from it or from its cache until the loss has run backward. */
typedef struct teaching {
    const float *live;          /* (batch, c, h, w), in the device's memory if the network is there; or NULL: */
    const feature_map *stored;  /* (batch) maps out of a cache, in the host's memory */
} teaching;

typedef struct section_type {
    const char *name;
    const char *before, *after;            /* sections that must stand there, or NULL; losses that ask alike are one */
    const char *hint;                      /* for who misplaces it */
    layer_role role;
    const key_row *keys;
    /* the rest is a loss's: */
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
    void (*to_device)(layer *l), (*from_device)(layer *l);   /* its functions for a network there; NULL without GPU=1 */
} section_type;

/* The row of a section, by its name, or of a layer that its make has made; NULL for those of the host. */
const section_type *section_type_named(const char *name);
const section_type *section_type_of_layer(const layer *l);
/* Once, before any cfg is read (network_init does it). */
void sections_register(void);

#endif
