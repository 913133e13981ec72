/* Folding batch norm (see fold.h for the formula). Filters are rows of the weights, for [connected] as for
 * [convolutional], so both are one loop. */
#include "fold.h"

#include <math.h>
#include <string.h>

static const double EPSILON = 1e-6;

typedef struct fold_row {
    LAYER_TYPE type;
    int foldable;
} fold_row;

static const fold_row rows[] = {
    { CONVOLUTIONAL, 1 }, { CONNECTED, 1 }, { DECONVOLUTIONAL, 0 }, { BATCHNORM, 0 }, { RNN, 0 }, { CRNN, 0 }, { LSTM, 0 }, { GRU, 0 },
};

/* 1 if this layer has a batch norm to fold, 0 if it has none, -1 if it has one that cannot be folded. */
static int can_fold(const layer *l)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        if (rows[i].type != l->type || !(l->batch_normalize || l->type == BATCHNORM)) continue;
        return rows[i].foldable ? 1 : -1;
    }
    return 0;
}

static void fold_layer(layer *l)
{
    size_t filters = (size_t)(l->type == CONNECTED ? l->outputs : l->n);
    size_t row = l->type == CONNECTED ? (size_t)l->inputs : (size_t)l->nweights / filters;
    for (size_t f = 0; f < filters; ++f) {
        double factor = (double)l->scales[f] / (sqrt((double)l->rolling_variance[f]) + EPSILON);
        for (size_t k = 0; k < row; ++k) l->weights[f * row + k] = (float)((double)l->weights[f * row + k] * factor);
        l->biases[f] = (float)((double)l->biases[f] - (double)l->rolling_mean[f] * factor);
    }
    l->batch_normalize = 0;
}

int fold_batch_norms(network *net, cfg_file *cfg, diag *d)
{
    int folded = 0;
    for (int i = 0; i < net->n; ++i) {
        const cfg_section *s = cfg_layer(cfg, i);
        if (can_fold(&net->layers[i]) >= 0) continue;
        diag_error(d, s->file, s->line, s->name, "its batch norm cannot be folded");
        diag_hint(d, "only that of [convolutional] and [connected] can");
        return -1;
    }
    for (int i = 0; i < net->n; ++i) {
        if (!can_fold(&net->layers[i])) continue;
        fold_layer(&net->layers[i]);
        for (int k = 0; k < cfg->n; ++k)
            if (cfg->section[k].index == i) cfg_unset(&cfg->section[k], "batch_normalize");
        ++folded;
    }
    return folded;
}
