/* Building, editing and reading a deployed network (see deploy.h).
 *
 * Which layer of the training network computes the same, and so has the same weights, the lowering says
 * (lowered.trained_as).
 *
 * Outputs are what a user reads: the last layer, or for a detector every map that goes into [yolo] or [region] (each
 * reader makes its own kind of list of boxes from those, so the boxes themselves cannot be compared). */
#include "deploy.h"

#include "weights_tools/file/fold.h"
#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* -1 where the arrays are not as large. */
static int copy_layer(layer *to, const layer *from)
{
    weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
    int n = weights_tensors(from, b);
    return weights_copy(b, n, a, weights_tensors(to, a));
}

/* The layer of the model that has this number where it is lowered for distilling; -1 if there is none. */
static int trained_layer(const model *model, int number)
{
    int k = model->net->n - 1;
    while (k >= 0 && model->low->trained_as[k] != number) --k;
    return number < 0 ? -1 : k;
}

/* Which layer of the model computes the same: the lowering knows it where the model is lowered for training. */
static void pair_layers(deployed *deployed, const model *model)
{
    deployed->from = mem_calloc((size_t)deployed->net->n + 1, sizeof *deployed->from);
    for (int k = 0; k < deployed->net->n; ++k)
        deployed->from[k] = model->low->mode == LOWER_DEPLOY ? k : trained_layer(model, deployed->low->trained_as[k]);
}

/* Does the model store what is deployed, what only fed losses, and nothing else? */
static int all_is_deployed(const deployed *deployed, const model *model)
{
    const net_shape *shape = deployed->low->shape;
    size_t fed_losses = model->low->mode == LOWER_TRAIN ? shape->trained_before + shape->trained_behind : 0;
    return model->low->shape->stored == shape->stored + fed_losses;
}

/* Copies the weights of each layer from its pair; -1 with a message where the two networks store unlike arrays. */
static int copy_weights(deployed *deployed, const model *model, diag *d)
{
    const network *from = model->net, *to = deployed->net;
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    int k = 0;
    *to->seen = *from->seen;
    for (; k < to->n; ++k) {
        int pair = deployed->from[k];
        if (!weights_tensors(&to->layers[k], t)) continue;
        if (pair < 0 || pair >= from->n || copy_layer(&to->layers[k], &from->layers[pair])) break;
    }
    if (k == to->n && all_is_deployed(deployed, model)) return 0;
    diag_error(d, deployed->low->cfg->path, 0, NULL, "layer %d does not deploy as it was trained", k);
    return -1;
}

static void find_features(deployed *deployed)
{
    const lowered *low = deployed->low;
    deployed->feature = mem_calloc((size_t)low->heads + 1, sizeof *deployed->feature);
    for (int i = 0; i < low->heads; ++i) deployed->feature[i] = low->head[i].tails ? low->head[i].tail - 1 : -1;
}

static int passes_on(const cfg_section *section) { return cfg_is(section, "cost") || cfg_is(section, "dropout"); }

/* Fills output, outputs and raw: a detector's head maps, else the last layer that computes something. */
static void find_outputs(deployed *deployed)
{
    int n = deployed->net->n, last = n - 1;
    deployed->output = mem_realloc(deployed->output, (size_t)n + 1, sizeof *deployed->output);
    deployed->outputs = deployed->raw = 0;
    for (int i = 1; i < n; ++i)
        if (cfg_is_boxes(cfg_layer(deployed->low->cfg, i))) deployed->output[deployed->outputs++] = i - 1;
    deployed->raw = deployed->outputs > 0;
    while (last > 0 && passes_on(cfg_layer(deployed->low->cfg, last))) --last;
    if (!deployed->outputs) deployed->output[deployed->outputs++] = last;
    if (!cfg_is(cfg_layer(deployed->low->cfg, last), "softmax")) deployed->raw = 1;
}

/* Warnings were given when the training network was opened. */
static lowered *lower_quietly(const char *cfg, diag *d)
{
    diag *unsaid = diag_aside(d);
    lowered *low = lower_read(cfg, LOWER_DEPLOY, unsaid);
    diag_free(unsaid);
    return low ? low : lower_read(cfg, LOWER_DEPLOY, d);
}

deployed *deploy_open(const model *model, const char *cfg, diag *d)
{
    lowered *low = lower_quietly(cfg, d);
    if (!low) return NULL;
    deployed *deployed = mem_calloc(1, sizeof *deployed);
    deployed->low = low;
    deployed->net = host_parse_cfg(low->cfg, low->cfg->path, d);
    if (deployed->net) pair_layers(deployed, model);
    if (!deployed->net || copy_weights(deployed, model, d)) {
        deploy_close(deployed);
        return NULL;
    }
    find_features(deployed);
    find_outputs(deployed);
    return deployed;
}

void deploy_close(deployed *deployed)
{
    if (!deployed) return;
    host_free(deployed->net);
    lower_free(deployed->low);
    free(deployed->from);
    free(deployed->feature);
    free(deployed->output);
    free(deployed);
}

static int infer_again(deployed *deployed, diag *d)
{
    diag *unsaid = diag_new();
    shapes_free(deployed->low->shape);
    deployed->low->shape = shapes_infer(deployed->low->cfg, unsaid);
    diag_free(unsaid);
    if (!deployed->low->shape) deployed->low->shape = shapes_infer(deployed->low->cfg, d);
    return deployed->low->shape ? 0 : -1;
}

int deploy_fold(deployed *deployed, diag *d)
{
    int n = fold_network(deployed->net, deployed->low->cfg, d);
    return n < 0 || infer_again(deployed, d) ? -1 : n;
}

/* ---- who reads whom; layer numbers of a lowered cfg are absolute ---- */

int deploy_reads(const deployed *deployed, int i, int k)
{
    const cfg_section *s = cfg_layer(deployed->low->cfg, i);
    const char *key = lower_reader_key(s);
    int *from, n = key ? cfg_ints(s, key, &from) : 0, found = i == k + 1 && !cfg_is(s, "route");
    for (int j = 0; j < n; ++j) found |= (from[j] < 0 ? i + from[j] : from[j]) == k;
    if (key) free(from);
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
static void count_kept(const deployed *deployed, const char *drop, int *index)
{
    int kept = 0;
    for (int i = 0; i < deployed->net->n; ++i) {
        index[i] = kept - drop[i];
        kept += !drop[i];
    }
}

static void move_layers(deployed *deployed, network *net, const char *drop, const char *changed, const int *index)
{
    for (int i = 0; i < deployed->net->n; ++i) {
        if (drop[i]) continue;
        deployed->from[index[i]] = deployed->from[i];
        if (!changed[i]) (void)copy_layer(&net->layers[index[i]], &deployed->net->layers[i]);
    }
    for (int i = 0; i < deployed->low->heads; ++i)
        if (deployed->feature[i] >= 0) deployed->feature[i] = index[deployed->feature[i]];
    *net->seen = *deployed->net->seen;
}

int deploy_drop(deployed *deployed, const char *drop, const char *changed, int *index, diag *d)
{
    count_kept(deployed, drop, index);
    cfg_file *kept = without(deployed->low->cfg, drop, index);
    cfg_free(deployed->low->cfg);
    deployed->low->cfg = kept;
    network *net = infer_again(deployed, d) ? NULL : host_parse_cfg(deployed->low->cfg, deployed->low->cfg->path, d);
    if (!net) return -1;
    move_layers(deployed, net, drop, changed, index);
    host_free(deployed->net);
    deployed->net = net;
    find_outputs(deployed);
    return 0;
}

/* ---- the training network's answers ---- */

int deploy_values(const deployed *deployed)
{
    int sum = 0;
    for (int i = 0; i < deployed->outputs; ++i) sum += deployed->net->layers[deployed->output[i]].outputs;
    return sum;
}

void deploy_answer(const deployed *deployed, const network *training, int image, float *out)
{
    for (int i = 0; i < deployed->outputs; ++i) {
        const layer *l = &training->layers[deployed->from[deployed->output[i]]];
        size_t n = (size_t)l->outputs;
        memcpy(out, l->output + (size_t)image * n, n * sizeof *out);
        out += n;
    }
}
