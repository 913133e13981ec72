/* A network on its way out: the stock cfg that deploys, the host network holding its weights, and for every layer the
 * one of the training network that computes the same. Folding and merging edit it; the exporter writes and verifies
 * it. */
#ifndef DISTILL_DEPLOY_H
#define DISTILL_DEPLOY_H
#include "darknet_plugin/model/model.h"

typedef struct deployed {
    /* LOWER_DEPLOY, owned. cfg and shape are kept up to date; head and role are those before merging */
    lowered *low;
    network *net;            /* parsed from low->cfg, bound by nothing, owned */
    int *from;               /* net->n: the training layer with the same output, -1 = none; owned */
    /* low->heads: the layer that holds the feature for the reused classifier, -1 = none; owned */
    int *feature;
    int outputs;             /* what a user of the network reads, see deploy_find_outputs */
    int *output;             /* layers of `net`, owned */
    int raw;                 /* outputs are head maps, not probabilities */
} deployed;

/* Lowers `cfg` for deployment and takes the weights of `model`, which holds the same cfg lowered for training (or
 * deployment). NULL with messages. */
deployed *deploy_open(const model *model, const char *cfg, diag *d);
void deploy_close(deployed *net_out);

/* Folds all batch norm; returns how many layers, -1 with a message. */
int deploy_fold(deployed *net_out, diag *d);
/* Merges linear projectors with the classifiers behind them (deploy_merge.c). Returns how many, -1 with messages where
 * there is none that can be. */
int deploy_merge(deployed *net_out, diag *d);

/* Takes the layers out that `drop` marks and parses anew. Only a layer's immediate follower may have read a dropped
 * one. The weights of layers in `changed` are left to the caller, whose number in the new network is index[i]. */
int deploy_drop(deployed *net_out, const char *drop, const char *changed, int *index, diag *d);
/* The layers that read layer i. */
int deploy_readers(const deployed *net_out, int i, int *first);
/* 1: layer i is [route] or [shortcut] naming layer k, or reads k because it stands behind it. */
int deploy_reads(const deployed *net_out, int i, int k);

/* Floats of all outputs, an image. */
int deploy_values(const deployed *net_out);
/* What the training network's last run gave for the image of that number in its batch: (deploy_values), in the order of
 * net_out->output. */
void deploy_answer(const deployed *net_out, const network *training, int image, float *out);

#endif
