/* A linear projector and the classifier behind it, merged: a product of matrices is a matrix.
 *
 *   projector   f = P s + p, at each pixel            classifier   y = W f + b   on the map, or on its average
 *   merged      y = (W P) s + (W p + b)
 *
 * since averaging over a map changes nothing about a linear function of each pixel. With batch norm behind the classifier W p
 * is subtracted from its running mean instead. What the student has to compute is then what it would with a classifier of its
 * own. Chen et al., CVPR 2022, have no such projector; it is this project's `stack=linear`. */
#include "deploy.h"
#include "mem.h"
#include "../weights_tools/weights_cut.h"

#include <stdlib.h>
#include <string.h>

/* What lies between projector p and classifier c. */
typedef struct merging {
    const deployed *x;
    int p, c;
    size_t spots;            /* pixels of the map that the classifier reads */
} merging;

static int in_the_way(const merging *m, int i, const char *why, diag *d)
{
    const cfg_section *s = cfg_layer(m->x->cfg, i);
    diag_error(d, s->file, s->line, s->name, "-merge: layer %d %s", i, why);
    diag_hint(d, "a stack=linear projector merges with a [connected] or 1x1 [convolutional] right behind it, or behind [avgpool]");
    return -1;
}

/* Does any layer but the next read layer i? */
static int read_elsewhere(const deployed *x, int i)
{
    for (int k = i + 1; k < x->net->n; ++k) {
        int *from, n = weights_cut_names(x->cfg, k, &from), found = 0;
        for (int j = 0; j < n; ++j) found |= from[j] == i;
        free(from);
        if (found) return 1;
    }
    return 0;
}

static int is_projector(const layer *l)
{
    return l->type == CONVOLUTIONAL && l->activation == LINEAR && !l->batch_normalize && l->size == 1 && l->stride == 1 && l->groups == 1;
}

/* Finds the classifier behind projector m->p; -1 after reporting what is in the way. */
static int find_classifier(merging *m, diag *d)
{
    const network *net = m->x->net;
    if (!is_projector(&net->layers[m->p])) return in_the_way(m, m->p, "is no linear projector: write [projector] stack=linear and train with it", d);
    for (m->c = m->p + 1; m->c < net->n; ++m->c) {
        const layer *l = &net->layers[m->c];
        if (read_elsewhere(m->x, m->c - 1)) return in_the_way(m, m->c - 1, "is read by another layer, too", d);
        if (l->type == AVGPOOL || l->type == DROPOUT) continue;
        int fits = l->type == CONNECTED || (l->type == CONVOLUTIONAL && l->size == 1 && l->groups == 1);
        m->spots = l->type == CONNECTED ? (size_t)l->inputs / (size_t)net->layers[m->p].n : 1;
        return fits ? 0 : in_the_way(m, m->c, "stands between the projector and a classifier that is linear in it", d);
    }
    return in_the_way(m, m->p, "has no classifier behind it", d);
}

/* Filter o of the merged layer from `old` (rows of classes x spots) and projector `p`. Returns W p. */
static double merge_filter(const layer *old, const layer *p, size_t o, size_t spots, float *row)
{
    size_t middle = (size_t)p->n, in = (size_t)p->c;
    const float *w = old->weights + o * middle * spots;
    double bias = 0;
    for (size_t s = 0; s < spots; ++s)
        for (size_t i = 0; i < in; ++i) {
            double sum = 0;
            for (size_t k = 0; k < middle; ++k) sum += (double)w[k * spots + s] * (double)p->weights[k * in + i];
            row[i * spots + s] = (float)sum;
        }
    for (size_t k = 0; k < middle; ++k)
        for (size_t s = 0; s < spots; ++s) bias += (double)w[k * spots + s] * (double)p->biases[k];
    return bias;
}

static void merge_into(layer *to, const layer *old, const layer *p, size_t spots)
{
    size_t filters = (size_t)(old->type == CONNECTED ? old->outputs : old->n), row = (size_t)p->c * spots;
    for (size_t o = 0; o < filters; ++o) {
        double bias = merge_filter(old, p, o, spots, to->weights + o * row);
        to->biases[o] = (float)((double)old->biases[o] + (old->batch_normalize ? 0 : bias));
        if (!old->batch_normalize) continue;
        to->scales[o] = old->scales[o];
        to->rolling_mean[o] = (float)((double)old->rolling_mean[o] - bias);
        to->rolling_variance[o] = old->rolling_variance[o];
    }
}

static void copy_others(const merging *m, const weights_cut *k, network *net)
{
    weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < m->x->net->n; ++i) {
        if (i == m->p || i == m->c) continue;
        int n = weights_tensors(&m->x->net->layers[i], a);
        weights_tensors(&net->layers[k->number[i]], b);
        for (int j = 0; j < n; ++j) memcpy(b[j].data, a[j].data, a[j].n * sizeof *a[j].data);
    }
    merge_into(&net->layers[k->number[m->c]], &m->x->net->layers[m->c], &m->x->net->layers[m->p], m->spots);
    *net->seen = *m->x->net->seen;
}

/* The network without layer p, in place of what x was. */
static void take_over(deployed *x, weights_cut *k, network *net)
{
    int *of = mem_calloc((size_t)net->n, sizeof *of);
    for (int i = 0; i < x->net->n; ++i)
        if (k->number[i] >= 0) of[k->number[i]] = x->of[i];
    free(x->of);
    x->of = of;
    host_free(x->net);
    x->net = net;
    if (x->cfg != x->low->cfg) cfg_free(x->cfg);
    x->cfg = k->cfg;
    k->cfg = NULL;
}

static int merge_one(deployed *x, int p, diag *d)
{
    merging m = { .x = x, .p = p };
    if (find_classifier(&m, d)) return -1;
    net_shape shape = *x->low->shape;
    lowered as_it_is = *x->low;
    shape.n = x->net->n;   /* fewer after an earlier merge; the rest is the input's */
    as_it_is.shape = &shape;
    as_it_is.cfg = x->cfg;
    weights_view v = { .low = &as_it_is, .net = x->net };
    weights_cut k;
    weights_cut_begin(&k, &v);
    k.keep[p] = 0;
    k.stands[p] = p ? k.stands[p - 1] : CUT_INPUT;
    size_t len = 0;
    char *text = weights_cut_build(&k, d) ? NULL : cfg_text(k.cfg, &len);
    network *net = text ? host_parse(text, len, x->cfg->path, d) : NULL;
    if (net) {
        copy_others(&m, &k, net);
        take_over(x, &k, net);
    }
    free(text);
    weights_cut_free(&k);
    return net ? 0 : -1;
}

int deploy_merge(deployed *x, diag *d)
{
    int merged = 0;
    for (int h = x->low->heads - 1; h >= 0; --h) {   /* from behind, so that numbers stay what they are */
        const lower_head *head = &x->low->head[h];
        if (!head->projectors) continue;
        if (head->projectors > 1) {
            merging m = { .x = x, .p = head->projector };
            return in_the_way(&m, head->projector, "is the first of several convolutions: write [projector] stack=linear and train with it", d);
        }
        if (merge_one(x, head->projector, d)) return -1;
        ++merged;
    }
    if (!merged) diag_error(d, x->low->source->path, 0, NULL, "-merge: there is no projector to merge");
    return merged ? merged : -1;
}
