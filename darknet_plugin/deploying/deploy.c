/* Building, editing and reading a deployed network (see deploy.h).
 *
 * Which layer of the training network computes the same is found by walking both cfgs side by side: losses are passed over,
 * and a section whose name differs was put in by the deploying rewrite and has no counterpart. Weights are paired by the order
 * of the layers that have any, which both share: that is what makes a training file deployable.
 *
 * Outputs are what a user reads: the last layer, or for a detector every map that goes into [yolo] or [region] (each reader
 * makes its own kind of list of boxes from those, so the boxes themselves cannot be compared). */
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

static int copy_weights(deployed *p, const model *m, diag *d)
{
    int i = next_stored(m->net, 0), k = next_stored(p->net, 0);
    for (; i < m->net->n && k < p->net->n; i = next_stored(m->net, i + 1), k = next_stored(p->net, k + 1)) {
        if (!same_arrays(&p->net->layers[k], &m->net->layers[i])) break;
        copy_layer(&p->net->layers[k], &m->net->layers[i]);
    }
    *p->net->seen = *m->net->seen;
    if (i >= m->net->n && k >= p->net->n) return 0;
    diag_error(d, p->low->cfg->path, 0, NULL, "layer %d does not deploy as it was trained", k);
    return -1;
}

static void pair_layers(deployed *p, const model *m)
{
    int i = 0;
    p->from = mem_calloc((size_t)p->net->n + 1, sizeof *p->from);
    for (int k = 0; k < p->net->n; ++k) {
        while (i < m->net->n && m->low->role[i] == ROLE_LOSS) ++i;
        int same = i < m->net->n && cfg_is(cfg_layer(p->low->cfg, k), cfg_layer(m->low->cfg, i)->name);
        p->from[k] = same ? i++ : -1;
    }
}

static void find_features(deployed *p)
{
    p->feature = mem_calloc((size_t)p->low->heads + 1, sizeof *p->feature);
    for (int i = 0; i < p->low->heads; ++i) p->feature[i] = p->low->head[i].tails ? p->low->head[i].tail - 1 : -1;
}

static int is_detector(const cfg_section *s) { return cfg_is(s, "yolo") || cfg_is(s, "region"); }
static int passes_on(const cfg_section *s) { return cfg_is(s, "cost") || cfg_is(s, "dropout"); }

static void find_outputs(deployed *p)
{
    int n = p->net->n, last = n - 1;
    p->output = mem_realloc(p->output, (size_t)n + 1, sizeof *p->output);
    p->outputs = p->raw = 0;
    for (int i = 1; i < n; ++i)
        if (is_detector(cfg_layer(p->low->cfg, i))) p->output[p->outputs++] = i - 1;
    p->raw = p->outputs > 0;
    while (last > 0 && passes_on(cfg_layer(p->low->cfg, last))) --last;
    if (!p->outputs) p->output[p->outputs++] = last;
    if (!cfg_is(cfg_layer(p->low->cfg, last), "softmax")) p->raw = 1;
}

/* Warnings were given when the training network was opened. */
static lowered *lower_quietly(const char *cfg, diag *d)
{
    diag *unsaid = diag_new();
    lowered *low = lower_read(cfg, LOWER_DEPLOY, unsaid);
    diag_free(unsaid);
    return low ? low : lower_read(cfg, LOWER_DEPLOY, d);
}

deployed *deploy_open(const model *m, const char *cfg, diag *d)
{
    lowered *low = lower_quietly(cfg, d);
    if (!low) return NULL;
    deployed *p = mem_calloc(1, sizeof *p);
    p->low = low;
    p->net = parse(low, d);
    if (!p->net || copy_weights(p, m, d)) {
        deploy_close(p);
        return NULL;
    }
    pair_layers(p, m);
    find_features(p);
    find_outputs(p);
    return p;
}

void deploy_close(deployed *p)
{
    if (!p) return;
    host_free(p->net);
    lower_free(p->low);
    free(p->from);
    free(p->feature);
    free(p->output);
    free(p);
}

static int infer_again(deployed *p, diag *d)
{
    diag *unsaid = diag_new();
    shapes_free(p->low->shape);
    p->low->shape = shapes_infer(p->low->cfg, unsaid);
    diag_free(unsaid);
    if (!p->low->shape) p->low->shape = shapes_infer(p->low->cfg, d);
    return p->low->shape ? 0 : -1;
}

int deploy_fold(deployed *p, diag *d)
{
    int n = fold_network(p->net, p->low->cfg, d);
    return n < 0 || infer_again(p, d) ? -1 : n;
}

/* ---- who reads whom; layer numbers of a lowered cfg are absolute ---- */

int deploy_reads(const deployed *p, int i, int k)
{
    const cfg_section *s = cfg_layer(p->low->cfg, i);
    const char *key = lower_reader_key(s);
    int *from, n = key ? cfg_ints(s, key, &from) : 0, found = i == k + 1 && !cfg_is(s, "route");
    for (int j = 0; j < n; ++j) found |= (from[j] < 0 ? i + from[j] : from[j]) == k;
    if (key) free(from);
    return found;
}

int deploy_readers(const deployed *p, int i, int *first)
{
    int found = 0;
    for (int k = i + 1; k < p->net->n; ++k)
        if (deploy_reads(p, k, i) && !found++) *first = k;
    return found;
}

/* ---- taking layers out ---- */

static void renumber(cfg_section *s, int i, const int *index)
{
    const char *key = lower_reader_key(s);
    int *from, n = key ? cfg_ints(s, key, &from) : 0;
    if (!n) return;
    char *text = mem_calloc((size_t)n, 12), *end = text;   /* 12: ",2147483647" and the end */
    for (int k = 0; k < n; ++k) end += snprintf(end, 12, "%s%d", k ? "," : "", index[from[k] < 0 ? i + from[k] : from[k]]);
    cfg_set(s, key, "%s", text);
    free(text);
    free(from);
}

static cfg_file *without(const cfg_file *c, const char *drop, const int *index)
{
    cfg_file *out = cfg_new(c->path);
    for (int i = 0; i < c->n; ++i) {
        int layer = c->section[i].index;
        if (layer >= 0 && drop[layer]) continue;
        cfg_section *s = cfg_append_copy(out, &c->section[i]);
        if (layer >= 0) renumber(s, layer, index);
    }
    return out;
}

/* A dropped layer counts as the one before it. */
static void count_kept(const deployed *p, const char *drop, int *index)
{
    int kept = 0;
    for (int i = 0; i < p->net->n; ++i) {
        index[i] = kept - drop[i];
        kept += !drop[i];
    }
}

static void move_layers(deployed *p, network *net, const char *drop, const char *changed, const int *index)
{
    for (int i = 0; i < p->net->n; ++i) {
        if (drop[i]) continue;
        p->from[index[i]] = p->from[i];
        if (!changed[i]) copy_layer(&net->layers[index[i]], &p->net->layers[i]);
    }
    for (int i = 0; i < p->low->heads; ++i)
        if (p->feature[i] >= 0) p->feature[i] = index[p->feature[i]];
    *net->seen = *p->net->seen;
}

int deploy_drop(deployed *p, const char *drop, const char *changed, int *index, diag *d)
{
    count_kept(p, drop, index);
    cfg_file *c = without(p->low->cfg, drop, index);
    cfg_free(p->low->cfg);
    p->low->cfg = c;
    network *net = infer_again(p, d) ? NULL : parse(p->low, d);
    if (!net) return -1;
    move_layers(p, net, drop, changed, index);
    host_free(p->net);
    p->net = net;
    find_outputs(p);
    return 0;
}

/* ---- the training network's answers ---- */

int deploy_values(const deployed *p)
{
    int sum = 0;
    for (int i = 0; i < p->outputs; ++i) sum += p->net->layers[p->output[i]].outputs;
    return sum;
}

void deploy_answer(const deployed *p, const network *training, int image, float *out)
{
    for (int i = 0; i < p->outputs; ++i) {
        const layer *l = &training->layers[p->from[p->output[i]]];
        size_t n = (size_t)l->outputs;
        memcpy(out, l->output + (size_t)image * n, n * sizeof *out);
        out += n;
    }
}
