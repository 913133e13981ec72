/* Folding batch norm (see fold.h). In inference a filter's batch norm is a factor and a shift:
 *
 *   f = scale / (sqrt(variance) + 1e-6),   z = f * (w * x - mean) + bias = (f w) * x + (bias - f mean)
 *
 * the formula of layers/cpu/batchnorm.c and of the host's CPU code, here in doubles. Left out: binary and xnor weights,
 * which are made from the unfolded ones at each run, and batch norm inside [deconvolutional] and recurrent sections. */
#include "fold.h"

#include "darknet_plugin/host/host_facts.h"

#include <math.h>
#include <stddef.h>

static size_t filters(const layer *l) { return l->type == CONNECTED ? (size_t)l->outputs : (size_t)l->n; }

static size_t filter_floats(const layer *l)
{
    return l->type == CONNECTED ? (size_t)l->inputs : (size_t)l->nweights / (size_t)l->n;
}

/* Filter i's factor. */
static double factor_of(const layer *l, size_t i)
{
    return l->batch_normalize ? l->scales[i] / (sqrt((double)l->rolling_variance[i]) + HOST_EPSILON) : 1;
}

void fold_arrays(const layer *l, float *weights, float *biases)
{
    size_t per = filter_floats(l);
    for (size_t i = 0; i < filters(l); ++i) {
        double f = factor_of(l, i), mean = l->batch_normalize ? l->rolling_mean[i] : 0;
        biases[i] = (float)(l->biases[i] - f * mean);
        for (size_t k = 0; k < per; ++k) weights[i * per + k] = (float)(f * l->weights[i * per + k]);
    }
}

void fold_layer(layer *l, cfg_section *section)
{
    if (!l->batch_normalize) return;
    fold_arrays(l, l->weights, l->biases);
    l->batch_normalize = 0;
    cfg_unset(section, "batch_normalize");
}

static int refuse(const cfg_section *section, diag *d)
{
    diag_error(d, section->file, section->line, section->name,
               "a section of its own cannot be folded into weights before it");
    diag_hint(d, "write batch_normalize=1 in the section before it");
    return -1;
}

/* 1: its batch norm was folded; 0: it has none, or keeps it, with a warning; -1 with a message. */
static int fold_one(layer *l, cfg_section *section, diag *d)
{
    if (cfg_is(section, "batchnorm")) return refuse(section, d);
    if (!cfg_int(section, "batch_normalize", 0)) return 0;
    if ((l->type != CONVOLUTIONAL && l->type != CONNECTED) || l->binary || l->xnor) {
        diag_warn(d, section->file, cfg_line(section, "batch_normalize"), section->name, "its batch norm stays");
        diag_hint(d, "only [convolutional] (not binary or xnor) and [connected] are folded");
        return 0;
    }
    fold_layer(l, section);
    return 1;
}

int fold_network(network *net, cfg_file *cfg, diag *d)
{
    int folded = 0;
    for (int i = 0; i < cfg->n; ++i) {
        cfg_section *s = &cfg->section[i];
        int done = s->index < 0 || s->index >= net->n ? 0 : fold_one(&net->layers[s->index], s, d);
        if (done < 0) return -1;
        folded += done;
    }
    return folded;
}
