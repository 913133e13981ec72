/* A trained network on its way out: the plain cfg and the weights that will be written, and what may be done to them
 * before. */
#ifndef DISTILL_DEPLOY_H
#define DISTILL_DEPLOY_H
#include "model.h"

typedef struct deployed {
    lowered *low;            /* the cfg as it deploys, owned */
    cfg_file *cfg;           /* what will be written: low->cfg, or owned where layers were merged */
    network *net;            /* the same, parsed by the host, batch 1, with the trained weights; owned */
    int *of;                 /* for each of its layers, the training network's that computes the same; -1 = none. owned */
} deployed;

/* The deployed form of `m`, opened with LOWER_TRAIN, weights loaded. NULL with messages; the caller frees. */
deployed *deploy_make(const model *m, diag *d);
void deploy_free(deployed *x);
/* Batch norm into the weights (weights_tools/fold.h). How many layers, or -1 with a message. */
int deploy_fold(deployed *x, diag *d);
/* Every stack=linear projector and the classifier behind it become one layer (deploy_merge.c). How many, or -1 with a message
 * that says what is in the way. */
int deploy_merge(deployed *x, diag *d);

#endif
