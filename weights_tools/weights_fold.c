/* `weights fold CFG WEIGHTS OUT`: the same network with batch norm in its weights (fold.h), as OUT.cfg and OUT.weights. */
#include "fold.h"
#include "net_pair.h"
#include "weights_verbs.h"
#include "weights_view.h"

#include "../darknet_plugin/results.h"

static int report(int folded, const options *o, diag *d)
{
    if (!o->json) {
        fprintf(o->out, "%s.cfg: %d batch norms folded\n%s.weights\n", o->arg[3], folded, o->arg[3]);
        return 0;
    }
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "folded", folded);
    return results_print_json(j, o->out, d);
}

static int fold(const weights_view *v, const options *o, diag *d)
{
    weights_info info;
    if (weights_load(v->net, v->low->shape, o->arg[2], &info, d)) return -1;
    if (info.layers < v->net->n) {
        diag_error(d, o->arg[2], 0, NULL, "holds %d of the network's %d layers", info.layers, v->net->n);
        return -1;
    }
    int folded = fold_batch_norms(v->net, v->low->cfg, d);
    net_pair p;
    if (folded < 0 || net_pair_begin(&p, o->arg[3], d)) return -1;
    int failed = net_pair_write(&p, v->low->cfg, v->net, d) || net_pair_keep(&p, d);
    net_pair_end(&p);
    return failed || report(folded, o, d) ? -1 : 0;
}

int weights_fold(options *o, diag *d)
{
    weights_view *v = weights_view_open(o->arg[1], d);
    int failed = !v || fold(v, o, d);
    if (v) weights_view_close(v);
    return failed ? -1 : 0;
}
