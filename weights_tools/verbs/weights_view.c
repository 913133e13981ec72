/* A weights file seen through its cfg (see weights_view.h). The host parses the cfg, so that weights_tensors has layers
 * to list; then the arrays' places in the file follow from the sizes alone. */
#include "weights_view.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

weights_view *weights_view_of(lowered *low, const char *path, diag *d)
{
    if (!low) return NULL;
    weights_view *view = mem_calloc(1, sizeof *view);
    *view = (weights_view){ .low = low, .net = host_parse_cfg(low->cfg, path, d) };
    if (view->net && !weights_check_layers(view->net, low->shape, path, d)) return view;
    weights_view_close(view);
    return NULL;
}

weights_view *weights_view_open(const char *cfg, diag *d)
{
    return weights_view_of(lower_read(cfg, LOWER_DEPLOY, d), cfg, d);
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
    float *at = contents->x;
    for (int k = 0; k < i; ++k) at += view->low->shape->layer[k].stored;
    int n = weights_stored(&view->net->layers[i], out);
    for (int j = 0; j < n; ++j) {
        out[j].data = at;
        at += out[j].n;
    }
    return n;
}

void weights_view_header(cJSON *object, const weights_info *info, const char *path)
{
    char version[40];
    snprintf(version, sizeof version, "%d.%d.%d", info->major, info->minor, info->revision);
    cJSON_AddStringToObject(object, "file", path);
    cJSON_AddStringToObject(object, "version", version);
    cJSON_AddNumberToObject(object, "seen", (double)info->seen);
}

const char *weights_view_section(const weights_view *view, int i)
{
    return cfg_layer(view->low->cfg, i)->name;
}
