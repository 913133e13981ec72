/* What the operators of graph_walk.h need: who reads what, which layers' outputs are the same, and what to say. */
#include "graph_walk.h"

#include "layers/fork_layers.h"

#include "darknet_plugin/base/mem.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const layer *layer_at(const graph_walk *walk, int i) { return &walk->job->net->layers[i]; }

const char *graph_layer_text(const graph_walk *walk, int layer, char *text)
{
    const cfg_section *at = layer >= 0 ? cfg_layer(walk->job->low->cfg, layer) : NULL;
    if (!at) snprintf(text, TENSOR_TEXT, "the network's input");
    else snprintf(text, TENSOR_TEXT, "[%s] #%d (%.100s:%d)", at->name, layer, at->file, at->line);
    return text;
}

/* ---- messages ---- */

int graph_differs(graph_walk *walk, const graph_node *node, int layer, const char *fmt, ...)
{
    char where[TENSOR_TEXT];
    va_list ap;
    va_start(ap, fmt);
    char *what = mem_vprintf(fmt, ap);
    va_end(ap);
    diag_error(walk->d, walk->job->model, 0, NULL, "node '%s' (%s) is not %s: %s", node->name, node->op,
               graph_layer_text(walk, layer, where), what);
    free(what);
    return -1;
}

int graph_unknown(graph_walk *walk, const graph_node *node, graph_form *out, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *what = mem_vprintf(fmt, ap);
    va_end(ap);
    *out = (graph_form){ .kind = FORM_UNKNOWN, .blame = walk->at };
    if (walk->lenient) {
        free(walk->why[walk->at]);
        walk->why[walk->at] = what;
        return 0;
    }
    diag_error(walk->d, walk->job->model, 0, NULL, "node '%s' (%s): %s", node->name, node->op, what);
    if (strstr(what, "network's input"))
        diag_hint(walk->d, "leave it out of the model; mean= and std= in [teacher] do it to a teacher's images");
    free(what);
    return -1;
}

/* ---- inputs ---- */

const graph_form *graph_form_in(const graph_walk *walk, const graph_node *node, int i)
{
    return i < node->inputs && node->value[i] >= 0 ? &walk->form[node->value[i]] : NULL;
}

int graph_takes(graph_walk *walk, const graph_node *node, int i, const graph_form **form, graph_form *out)
{
    *form = graph_form_in(walk, node, i);
    if (*form && (*form)->kind == FORM_LAYER) return 1;
    if (*form && (*form)->kind == FORM_UNKNOWN && walk->lenient) {
        *out = **form;
        return 0;
    }
    return graph_unknown(walk, node, out, "what it takes is computed by no layer of the cfg");
}

const double *graph_numbers_in(const graph_walk *walk, const graph_node *node, const char *attribute, int i, int *n)
{
    const graph_attribute *said = graph_attribute_of(node, attribute);
    const graph_form *form = graph_form_in(walk, node, i);
    if (said) {
        *n = said->n;
        return said->number;
    }
    *n = form && form->kind == FORM_NUMBERS ? form->numbers : 0;
    return *n ? form->number : NULL;
}

/* ---- layers ---- */

void graph_sizes(const graph_walk *walk, int layer, size_t *c, size_t *h, size_t *w)
{
    const network *net = walk->job->net;
    const layer_shape *shape = layer >= 0 ? &walk->job->low->shape->layer[layer] : NULL;
    int channels = shape ? shape->c : net->c, rows = shape ? shape->h : net->h, columns = shape ? shape->w : net->w;
    int all = shape ? shape->outputs : net->inputs;
    int is_map = channels > 0 && rows > 0 && columns > 0;
    *c = (size_t)(is_map ? channels : all);
    *h = (size_t)(is_map ? rows : 1);
    *w = (size_t)(is_map ? columns : 1);
}

/* Does layer i give what it takes from the one before? */
static int changes_nothing(const graph_walk *walk, int i)
{
    const layer *l = layer_at(walk, i);
    size_t c, h, w;
    if (l->type == DROPOUT || l->type == COST) return 1;
    if (l->type == ACTIVE) return l->activation == LINEAR;
    if (l->type == MAXPOOL) return l->size == 1 && l->stride == 1 && l->pad == 0;
    if (l->type == UPSAMPLE) return l->stride == 1 && l->scale == 1 && !l->reverse;
    if (l->type != AVGPOOL) return 0;
    graph_sizes(walk, i - 1, &c, &h, &w);
    return h == 1 && w == 1;
}

int graph_canonical(const graph_walk *walk, int layer)
{
    while (layer >= 0) {
        const struct layer *l = layer_at(walk, layer);
        if (l->type == ROUTE && l->n == 1) layer = l->input_layers[0];
        else if (changes_nothing(walk, layer)) --layer;
        else break;
    }
    return layer;
}

/* A join is its parts, each of which may be a join. */
int graph_parts(const graph_walk *walk, int layer, int *part, int n)
{
    layer = graph_canonical(walk, layer);
    const struct layer *l = layer >= 0 ? layer_at(walk, layer) : NULL;
    if (n >= GRAPH_PARTS) return GRAPH_PARTS + 1;
    if (!l || l->type != ROUTE) {
        part[n] = layer;
        return n + 1;
    }
    for (int i = 0; i < l->n && n <= GRAPH_PARTS; ++i) n = graph_parts(walk, l->input_layers[i], part, n);
    return n;
}

int graph_same(const graph_walk *walk, int one, int other)
{
    int a[GRAPH_PARTS], b[GRAPH_PARTS];
    if (graph_canonical(walk, one) == graph_canonical(walk, other)) return 1;
    int n = graph_parts(walk, one, a, 0);
    return n <= GRAPH_PARTS && n == graph_parts(walk, other, b, 0) && !memcmp(a, b, (size_t)n * sizeof *a);
}

graph_form graph_layer_form(const graph_walk *walk, int layer)
{
    graph_form form = { .kind = FORM_LAYER, .layer = layer, .owes = LINEAR, .factor = 1, .dims = 4, .step = { 1, 1 } };
    const struct layer *l = layer >= 0 ? layer_at(walk, layer) : NULL;
    form.dim[0] = walk->batch;
    graph_sizes(walk, layer, &form.dim[1], &form.dim[2], &form.dim[3]);
    if (l && (l->type == CONVOLUTIONAL || l->type == CONNECTED || l->type == SHORTCUT)) form.owes = l->activation;
    return form;
}

/* ---- forms ---- */

/* As a cfg has it, with the number that a cfg cannot say. */
const char *graph_activation_text(ACTIVATION activation)
{
    static const struct { ACTIVATION activation; const char *text; } rows[] = {
        { LOGISTIC, "logistic" }, { RELU, "relu" }, { RELIE, "relie, of alpha=0.01" }, { LINEAR, "linear" },
            { RAMP, "ramp" },
        { TANH, "tanh" }, { PLSE, "plse" }, { LEAKY, "leaky, of alpha=0.1" }, { ELU, "elu" }, { LOGGY, "loggy" },
        { STAIR, "stair" }, { HARDTAN, "hardtan" }, { LHTAN, "lhtan" }, { SELU, "selu" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (rows[i].activation == activation) return rows[i].text;
    const char *fork = fork_activation_name((int)activation);
    return fork ? fork : "something else";
}

const char *graph_incomplete(const graph_walk *walk, const graph_form *form, char *text)
{
    (void)walk;
    int padded = form->pad[0] || form->pad[1] || form->pad[2] || form->pad[3];
    if (form->owes_bias) snprintf(text, TENSOR_TEXT, "before its bias");
    else if (form->owes_norm) snprintf(text, TENSOR_TEXT, "before its batch norm");
    else if (form->gate) snprintf(text, TENSOR_TEXT, "through a part of %s", fork_activation_name(form->gated));
    else if (form->owes != LINEAR)
        snprintf(text, TENSOR_TEXT, "before its activation=%s", graph_activation_text(form->owes));
    else if (form->factor != 1) snprintf(text, TENSOR_TEXT, "times %g", form->factor);
    else if (form->logged) snprintf(text, TENSOR_TEXT, "as its logarithm");
    else if (form->step[0] != 1 || form->step[1] != 1 || form->channels) snprintf(text, TENSOR_TEXT, "a part of it");
    else if (padded) snprintf(text, TENSOR_TEXT, "with zeros around it");
    else return NULL;
    return text;
}

const char *graph_no_map(const graph_walk *walk, const graph_form *form)
{
    (void)walk;
    if (form->dims != 4) return "what it takes is no map";
    if (form->order == CHANNELS_LAST) return "in what it takes the channels come last";
    return NULL;
}

int graph_no_less_than_0(const graph_walk *walk, const graph_form *form)
{
    int at = graph_canonical(walk, form->layer);
    while (at >= 0 && layer_at(walk, at)->type == MAXPOOL) at = graph_canonical(walk, at - 1);
    const layer *l = at >= 0 ? layer_at(walk, at) : NULL;
    if (!l) return 0;
    if (l->type == SOFTMAX) return 1;
    int has = l->type == CONVOLUTIONAL || l->type == CONNECTED || l->type == SHORTCUT || l->type == ACTIVE;
    return has && (l->activation == RELU || l->activation == LOGISTIC || (int)l->activation == ACTIVATION_RELU6);
}

int graph_activation_layer(const graph_walk *walk, int from, int activation)
{
    for (int i = 0; i < walk->job->net->n; ++i) {
        const layer *l = &walk->job->net->layers[i];
        if (l->type == ACTIVE && (int)l->activation == activation && graph_same(walk, from, i - 1)) return i;
    }
    return -1;
}
