/* Building, editing and reading a deployed network (see deploy.h).
 *
 * Which layer of the training network computes the same is found by walking both cfgs side by side: losses are passed
 * over, and a section whose name differs was put in by the deploying rewrite and has no counterpart. Weights are paired
 * by the order of the layers that have any, which both share: that is what makes a training file deployable.
 *
 * Outputs are what a user reads: the last layer, or for a detector every map that goes into [yolo] or [region] (each
 * reader makes its own kind of list of boxes from those, so the boxes themselves cannot be compared). */
#include "deploy.h"

#include "weights_tools/file/fold.h"
#include "darknet_plugin/lowering/lower_build.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

static network *parse(const lowered *low, diag *d)
{
    size_t len;
    char *text = cfg_text(low->cfg, &len);
    network *net = host_parse(text, len, low->cfg->path, d);
    free(text);
    return net;
}

static void copy_layer(layer *to, const layer *from)
{
    weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
    int n = weights_tensors(to, a);
    weights_tensors(from, b);
    for (int k = 0; k < n; ++k) memcpy(a[k].data, b[k].data, a[k].n * sizeof *a[k].data);
}

/* The next layer from i on that stores any weights; net->n if none. */
static int next_stored(const network *net, int i)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    while (i < net->n && !weights_tensors(&net->layers[i], t)) ++i;
    return i;
}

static int same_arrays(const layer *a, const layer *b)
{
    weights_tensor x[WEIGHTS_MAX_TENSORS], y[WEIGHTS_MAX_TENSORS];
    int n = weights_tensors(a, x), same = n == weights_tensors(b, y);
    for (int k = 0; k < n && same; ++k) same = x[k].n == y[k].n;
    return same;
}

static int copy_weights(deployed *net_out, const model *model, diag *d)
{
    int i = next_stored(model->net, 0), k = next_stored(net_out->net, 0);
    for (; i < model->net->n && k < net_out->net->n; i = next_stored(model->net, i + 1),
         k = next_stored(net_out->net, k + 1)) {
        if (!same_arrays(&net_out->net->layers[k], &model->net->layers[i])) break;
        copy_layer(&net_out->net->layers[k], &model->net->layers[i]);
    }
    *net_out->net->seen = *model->net->seen;
    if (i >= model->net->n && k >= net_out->net->n) return 0;
    diag_error(d, net_out->low->cfg->path, 0, NULL, "layer %d does not deploy as it was trained", k);
    return -1;
}

static void pair_layers(deployed *net_out, const model *model)
{
    int i = 0;
    net_out->from = mem_calloc((size_t)net_out->net->n + 1, sizeof *net_out->from);
    for (int k = 0; k < net_out->net->n; ++k) {
        while (i < model->net->n && model->low->role[i] == ROLE_LOSS) ++i;
        int same = i < model->net->n && cfg_is(cfg_layer(net_out->low->cfg, k), cfg_layer(model->low->cfg, i)->name);
        net_out->from[k] = same ? i++ : -1;
    }
}

static void find_features(deployed *net_out)
{
    net_out->feature = mem_calloc((size_t)net_out->low->heads + 1, sizeof *net_out->feature);
    for (int i = 0; i < net_out->low->heads; ++i) net_out->feature[i] = net_out->low->head[i].tails
        ? net_out->low->head[i].tail - 1 : -1;
}

static int passes_on(const cfg_section *section) { return cfg_is(section, "cost") || cfg_is(section, "dropout"); }

static void find_outputs(deployed *net_out)
{
    int n = net_out->net->n, last = n - 1;
    net_out->output = mem_realloc(net_out->output, (size_t)n + 1, sizeof *net_out->output);
    net_out->outputs = net_out->raw = 0;
    for (int i = 1; i < n; ++i)
        if (cfg_is_boxes(cfg_layer(net_out->low->cfg, i))) net_out->output[net_out->outputs++] = i - 1;
    net_out->raw = net_out->outputs > 0;
    while (last > 0 && passes_on(cfg_layer(net_out->low->cfg, last))) --last;
    if (!net_out->outputs) net_out->output[net_out->outputs++] = last;
    if (!cfg_is(cfg_layer(net_out->low->cfg, last), "softmax")) net_out->raw = 1;
}

/* Warnings were given when the training network was opened. */
static lowered *lower_quietly(const char *cfg, diag *d)
{
    diag *unsaid = diag_new();
    lowered *low = lower_read(cfg, LOWER_DEPLOY, unsaid);
    diag_free(unsaid);
    return low ? low : lower_read(cfg, LOWER_DEPLOY, d);
}

deployed *deploy_open(const model *model, const char *cfg, diag *d)
{
    lowered *low = lower_quietly(cfg, d);
    if (!low) return NULL;
    deployed *p = mem_calloc(1, sizeof *p);
    p->low = low;
    p->net = parse(low, d);
    if (!p->net || copy_weights(p, model, d)) {
        deploy_close(p);
        return NULL;
    }
    pair_layers(p, model);
    find_features(p);
    find_outputs(p);
    return p;
}

void deploy_close(deployed *net_out)
{
    if (!net_out) return;
    host_free(net_out->net);
    lower_free(net_out->low);
    free(net_out->from);
    free(net_out->feature);
    free(net_out->output);
    free(net_out);
}

static int infer_again(deployed *net_out, diag *d)
{
    diag *unsaid = diag_new();
    shapes_free(net_out->low->shape);
    net_out->low->shape = shapes_infer(net_out->low->cfg, unsaid);
    diag_free(unsaid);
    if (!net_out->low->shape) net_out->low->shape = shapes_infer(net_out->low->cfg, d);
    return net_out->low->shape ? 0 : -1;
}

int deploy_fold(deployed *net_out, diag *d)
{
    int n = fold_network(net_out->net, net_out->low->cfg, d);
    return n < 0 || infer_again(net_out, d) ? -1 : n;
}

/* ---- who reads whom; layer numbers of a lowered cfg are absolute ---- */

int deploy_reads(const deployed *net_out, int i, int k)
{
    const cfg_section *s = cfg_layer(net_out->low->cfg, i);
    const char *key = lower_reader_key(s);
    int *from, n = key ? cfg_ints(s, key, &from) : 0, found = i == k + 1 && !cfg_is(s, "route");
    for (int j = 0; j < n; ++j) found |= (from[j] < 0 ? i + from[j] : from[j]) == k;
    if (key) free(from);
    return found;
}

int deploy_readers(const deployed *net_out, int i, int *first)
{
    int found = 0;
    for (int k = i + 1; k < net_out->net->n; ++k)
        if (deploy_reads(net_out, k, i) && !found++) *first = k;
    return found;
}

/* ---- taking layers out ---- */

static void renumber(cfg_section *section, int i, const int *index)
{
    const char *key = lower_reader_key(section);
    int *from, n = key ? cfg_ints(section, key, &from) : 0;
    if (!n) return;
    for (int k = 0; k < n; ++k) from[k] = index[from[k] < 0 ? i + from[k] : from[k]];
    cfg_set_ints(section, key, from, n);
    free(from);
}

static cfg_file *without(const cfg_file *cfg, const char *drop, const int *index)
{
    cfg_file *out = cfg_new(cfg->path);
    for (int i = 0; i < cfg->n; ++i) {
        int layer = cfg->section[i].index;
        if (layer >= 0 && drop[layer]) continue;
        cfg_section *s = cfg_append_copy(out, &cfg->section[i]);
        if (layer >= 0) renumber(s, layer, index);
    }
    return out;
}

/* A dropped layer counts as the one before it. */
static void count_kept(const deployed *net_out, const char *drop, int *index)
{
    int kept = 0;
    for (int i = 0; i < net_out->net->n; ++i) {
        index[i] = kept - drop[i];
        kept += !drop[i];
    }
}

static void move_layers(deployed *net_out, network *net, const char *drop, const char *changed, const int *index)
{
    for (int i = 0; i < net_out->net->n; ++i) {
        if (drop[i]) continue;
        net_out->from[index[i]] = net_out->from[i];
        if (!changed[i]) copy_layer(&net->layers[index[i]], &net_out->net->layers[i]);
    }
    for (int i = 0; i < net_out->low->heads; ++i)
        if (net_out->feature[i] >= 0) net_out->feature[i] = index[net_out->feature[i]];
    *net->seen = *net_out->net->seen;
}

int deploy_drop(deployed *net_out, const char *drop, const char *changed, int *index, diag *d)
{
    count_kept(net_out, drop, index);
    cfg_file *c = without(net_out->low->cfg, drop, index);
    cfg_free(net_out->low->cfg);
    net_out->low->cfg = c;
    network *net = infer_again(net_out, d) ? NULL : parse(net_out->low, d);
    if (!net) return -1;
    move_layers(net_out, net, drop, changed, index);
    host_free(net_out->net);
    net_out->net = net;
    find_outputs(net_out);
    return 0;
}

/* ---- the training network's answers ---- */

int deploy_values(const deployed *net_out)
{
    int sum = 0;
    for (int i = 0; i < net_out->outputs; ++i) sum += net_out->net->layers[net_out->output[i]].outputs;
    return sum;
}

void deploy_answer(const deployed *net_out, const network *training, int image, float *out)
{
    for (int i = 0; i < net_out->outputs; ++i) {
        const layer *l = &training->layers[net_out->from[net_out->output[i]]];
        size_t n = (size_t)l->outputs;
        memcpy(out, l->output + (size_t)image * n, n * sizeof *out);
        out += n;
    }
}
