/* A network on its way out: the stock cfg that deploys, the host network holding its weights, and for every layer the
 * one of the training network that computes the same. Folding and merging edit it; the exporter writes and verifies
 * it. */
#ifndef DISTILL_DEPLOY_H
#define DISTILL_DEPLOY_H
#include "darknet_plugin/model/model.h"

typedef struct deployed {
    lowered *low;            /* LOWER_DEPLOY, owned; cfg and shape are up to date, head and role from before merging */
    network *net;            /* parsed from low->cfg, bound by nothing, owned */
    int *from;               /* net->n: the training layer with the same output, -1 = none; owned */
    int *feature;            /* low->heads: the layer with the feature for the reused classifier, -1 = none; owned */
    int outputs;             /* what a user of the network reads: the last layer, or the maps of a detector's heads */
    int *output;             /* layers of `net`, owned */
    int raw;                 /* outputs are head maps, not probabilities */
} deployed;

/* Lowers `cfg` for deployment and takes the weights of `model`, which holds the same cfg lowered for training (or
 * deployment). NULL with messages. */
deployed *deploy_open(const model *model, const char *cfg, diag *d);
void deploy_close(deployed *deployed);

/* Folds all batch norm; returns how many layers, -1 with a message. */
int deploy_fold(deployed *deployed, diag *d);
/* Merges linear projectors with the classifiers behind them (deploy_merge.c). Returns how many, -1 with messages where
 * there is none that can be. */
int deploy_merge(deployed *deployed, diag *d);

/* Takes the layers out that `drop` marks and parses anew. Only a layer's immediate follower may have read a dropped
 * one. The weights of layers in `changed` are left to the caller, whose number in the new network is index[i]. */
int deploy_drop(deployed *deployed, const char *drop, const char *changed, int *index, diag *d);
/* 1: layer i is [route] or [shortcut] naming layer k, or reads k because it stands behind it. */
int deploy_reads(const deployed *deployed, int i, int k);

/* Floats of all outputs, an image. */
int deploy_values(const deployed *deployed);
/* What the training network's last run gave for one image of its batch: (deploy_values), in the order of
 * deployed->output. */
void deploy_answer(const deployed *deployed, const network *training, int image, float *out);

#endif
