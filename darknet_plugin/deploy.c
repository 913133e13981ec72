/* From a training network to what is deployed (see deploy.h). Both hold the same weights in the same order: deploying drops
 * the losses, and adds only layers without weights. */
#include "deploy.h"
#include "mem.h"
#include "../weights_tools/fold.h"

#include <stdlib.h>
#include <string.h>

/* Pairs layers of the same section names in order; what has no partner was added by deploying. */
static void pair_layers(deployed *x, const lowered *trained)
{
    int t = 0;
    for (int i = 0; i < x->net->n; ++i) {
        while (t < trained->shape->n && trained->role[t] == ROLE_LOSS) ++t;
        int same = t < trained->shape->n && cfg_is(cfg_layer(x->cfg, i), cfg_layer(trained->cfg, t)->name);
        x->of[i] = same ? t++ : -1;
    }
}

static int copy_layer(layer *to, const layer *from)
{
    weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
    int n = weights_tensors(to, a);
    if (n != weights_tensors(from, b)) return -1;
    for (int k = 0; k < n; ++k) {
        if (a[k].n != b[k].n) return -1;
        memcpy(a[k].data, b[k].data, a[k].n * sizeof *a[k].data);
    }
    return 0;
}

static int copy_weights(deployed *x, const network *trained, diag *d)
{
    for (int i = 0; i < x->net->n; ++i) {
        if (x->of[i] < 0 || !copy_layer(&x->net->layers[i], &trained->layers[x->of[i]])) continue;
        diag_error(d, x->cfg->path, 0, NULL, "layer %d does not deploy as layer %d trains", i, x->of[i]);
        return -1;
    }
    *x->net->seen = *trained->seen;
    return 0;
}

deployed *deploy_make(const model *m, diag *d)
{
    deployed *x = mem_calloc(1, sizeof *x);
    size_t len;
    x->low = lower_read(m->low->source->path, LOWER_DEPLOY, d);
    if (x->low) {
        x->cfg = x->low->cfg;
        char *text = cfg_text(x->cfg, &len);
        x->net = host_parse(text, len, x->cfg->path, d);
        free(text);
    }
    if (x->net) {
        x->of = mem_calloc((size_t)x->net->n, sizeof *x->of);
        pair_layers(x, m->low);
        if (!copy_weights(x, m->net, d)) return x;
    }
    deploy_free(x);
    return NULL;
}

void deploy_free(deployed *x)
{
    if (!x) return;
    if (x->low && x->cfg != x->low->cfg) cfg_free(x->cfg);
    host_free(x->net);
    lower_free(x->low);
    free(x->of);
    free(x);
}

int deploy_fold(deployed *x, diag *d) { return fold_batch_norms(x->net, x->cfg, d); }
