/* A weights file seen through its cfg (see weights_view.h). The host parses the cfg, so that weights_tensors has layers
 * to list; then the arrays' places in the file follow from the sizes alone. */
#include "weights_view.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

static network *parse(const lowered *low, const char *cfg, diag *d)
{
    size_t len;
    char *text = cfg_text(low->cfg, &len);
    network *net = host_parse(text, len, cfg, d);
    free(text);
    return net;
}

weights_view *weights_view_open(const char *cfg, diag *d)
{
    lowered *low = lower_read(cfg, LOWER_DEPLOY, d);
    if (!low) return NULL;
    weights_view *v = mem_calloc(1, sizeof *v);
    v->low = low;
    v->net = parse(low, cfg, d);
    if (v->net && !weights_check_layers(v->net, low->shape, cfg, d)) return v;
    weights_view_close(v);
    return NULL;
}

void weights_view_close(weights_view *view)
{
    if (!view) return;
    host_free(view->net);
    lower_free(view->low);
    free(view);
}

int weights_view_arrays(const weights_view *view, const weights_contents *contents, int i, weights_tensor *out)
{
    if (i >= contents->info.layers) return 0;
    float *x = contents->x;
    for (int k = 0; k < i; ++k) x += view->low->shape->layer[k].stored;
    int n = weights_tensors(&view->net->layers[i], out);
    for (int j = 0; j < n; x += out[j].n, ++j) out[j].data = x;
    return n;
}

const char *weights_view_section(const weights_view *view, int i)
{
    return cfg_layer(view->low->cfg, i)->name;
}
