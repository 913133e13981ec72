/* Operators that are a layer with weights, its batch norm or its activation.
 *
 * Which layer is known: import_match.c gave it the weights. So what the node reads must be what that layer reads, and
 * its windows the layer's: the first begins as many rows before the map, each next one stride further, and there are as
 * many. What lies behind the last row is zeros on both sides. A 1x1 with a stride may be cut in two on either side:
 * every stride-th row and column first (a [maxpool] size=1, or what picks them in the graph), then the 1x1.
 *
 * Rows of a map whose channels come last are put into Darknet's order, channel, row, column, in the weights. */
#include "graph_walk.h"

#include "layers/fork_layers.h"

#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const layer *layer_at(const graph_walk *walk, int i) { return &walk->job->net->layers[i]; }

/* The layer whose weights a node has; -1 = they are not used. */
static int layer_of(const graph_walk *walk, const graph_node *node)
{
    return node->layer < 0 ? -1 : walk->job->layer[node->layer];
}

/* What a layer's node takes, which must be known. 1 with *form; 0: the weights are not used; -1: told. */
static int takes(graph_walk *walk, const graph_node *node, const graph_form **form, graph_form *out)
{
    int layer = layer_of(walk, node);
    *form = graph_form_in(walk, node, 0);
    if (layer < 0) {
        return graph_unknown(walk, node, out, "its weights are not used");
    }
    if (*form && (*form)->kind == FORM_LAYER) return 1;
    const graph_form *unknown = *form && (*form)->kind == FORM_UNKNOWN ? *form : NULL;
    const graph_node *blame = unknown && unknown->blame >= 0 ? &walk->graph->node[unknown->blame] : NULL;
    const char *why = blame ? walk->why[unknown->blame] : NULL;
    if (blame) graph_differs(walk, node, layer, "it takes what node '%s' (%s) gives: %s", blame->name, blame->op,
                             why ? why : "no layer of the cfg does that");
    else graph_differs(walk, node, layer, "what it takes is computed by no layer of the cfg");
    return -1;
}

/* Is what the node takes the output of layer `want`? */
static int check_source(graph_walk *walk, const graph_node *node, int layer, const graph_form *form, int want)
{
    char why[TENSOR_TEXT], have[TENSOR_TEXT], other[TENSOR_TEXT];
    const char *lacks = graph_incomplete(walk, form, why);
    if (lacks) return graph_differs(walk, node, layer, "it takes the output of %s %s",
                                    graph_layer_text(walk, form->layer, have), lacks);
    if (graph_same(walk, form->layer, want)) return 0;
    return graph_differs(walk, node, layer, "it takes the output of %s, the layer that of %s",
                         graph_layer_text(walk, form->layer, have), graph_layer_text(walk, want, other));
}

static void owe(const graph_walk *walk, const graph_node *node, int layer, int biased, graph_form *out)
{
    const tensor_group *group = &walk->job->groups.group[node->layer];
    *out = graph_layer_form(walk, layer);
    out->owes_bias = !biased && group->part[PART_BIAS];
    out->owes_norm = group->part[PART_MEAN] != NULL;
}

/* ---- convolutions ---- */

/* Where a strided 1x1 stands as [maxpool] size=1 and a 1x1: that stride, and the layer before both. */
static size_t stride_before(const graph_walk *walk, int layer, const graph_form *form, int *source)
{
    const struct layer *l = layer_at(walk, layer), *pool = layer > 0 ? layer_at(walk, layer - 1) : NULL;
    *source = layer - 1;
    if (!pool || l->size != 1 || pool->type != MAXPOOL || pool->size != 1 || pool->pad) return 1;
    if (graph_same(walk, form->layer, layer - 1)) return 1;
    *source = layer - 2;
    return (size_t)pool->stride;
}

static int same_windows(const graph_window window[2], const struct layer *l, size_t more, const size_t step[2])
{
    size_t out[2] = { (size_t)l->out_h, (size_t)l->out_w };
    for (int k = 0; k < 2; ++k) {
        if (window[k].out != out[k] || window[k].before != l->pad || window[k].size != (size_t)l->size) return 0;
        if (out[k] > 1 && window[k].stride * step[k] != (size_t)l->stride * more) return 0;
        if (window[k].size > 1 && (window[k].dilation != 1 || step[k] != 1)) return 0;
    }
    return 1;
}

/* A Conv that fills a [convolutional]. */
static int convolutional(graph_walk *walk, const graph_node *node, int layer, const graph_form *form)
{
    const struct layer *l = layer_at(walk, layer);
    const named_tensor *weights = walk->job->groups.group[node->layer].part[PART_WEIGHT];
    graph_window window[2];
    graph_form whole = *form;
    char text[TENSOR_TEXT];
    int source;
    size_t more = stride_before(walk, layer, form, &source);
    if (graph_windows(node, form, weights->dim + 2, window))
        return graph_differs(walk, node, layer, "its kernel, strides, pads or dilations fit no map");
    if (!same_windows(window, l, more, form->step))
        return graph_differs(walk, node, layer,
                             "its windows are %s; the layer's size=%d, stride=%d, %d rows and columns "
                             "of zeros on each side, %dx%d results", graph_window_text(window, text), l->size,
                             l->stride * (int)more, l->pad, l->out_h, l->out_w);
    if (graph_number(node, "group", 1) != l->groups)
        return graph_differs(walk, node, layer, "group=%g, the layer has groups=%d", graph_number(node, "group", 1),
                             l->groups);
    whole.step[0] = whole.step[1] = 1;
    memset(whole.pad, 0, sizeof whole.pad);
    return check_source(walk, node, layer, &whole, source);
}

/* A convolution that covers the whole map is a [connected]. */
static int covering(graph_walk *walk, const graph_node *node, int layer, const graph_form *form)
{
    const named_tensor *weights = walk->job->groups.group[node->layer].part[PART_WEIGHT];
    graph_window window[2];
    if (graph_windows(node, form, weights->dim + 2, window) || window[0].before || window[1].before ||
        window[0].out != 1 || window[1].out != 1 || window[0].size != form->dim[2] || window[1].size != form->dim[3] ||
        (window[0].dilation != 1 && window[0].size > 1) || graph_number(node, "group", 1) != 1)
        return graph_differs(walk, node, layer, "it does not cover the whole map of %zux%zu at once", form->dim[2],
                             form->dim[3]);
    return check_source(walk, node, layer, form, layer - 1);
}

/* A Conv, whichever section its weights went to. */
int graph_conv(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    int layer = layer_of(walk, node), status = takes(walk, node, &form, out);
    if (status <= 0) return status;
    const char *why = graph_no_map(walk, form);
    if (why) return graph_differs(walk, node, layer, "%s", why);
    if (walk->job->groups.group[node->layer].part[PART_WEIGHT]->dims != 4)
        return graph_differs(walk, node, layer, "its weights have no rows and columns");
    if (layer_at(walk, layer)->type == CONVOLUTIONAL ? convolutional(walk, node, layer, form)
                                                     : covering(walk, node, layer, form)) return -1;
    owe(walk, node, layer, graph_input(walk->graph, node, 2) != NULL, out);
    return 0;
}

/* ---- Gemm and MatMul ---- */

/* The weights' columns from row, column, channel to channel, row, column. */
static void channels_first(graph_walk *walk, const graph_node *node, size_t c, size_t pixels)
{
    const named_tensor *weights = walk->job->groups.group[node->layer].part[PART_WEIGHT];
    float *row = mem_calloc(c * pixels, sizeof *row), *data = weights->data;
    for (size_t o = 0; o < weights->dim[0]; ++o, data += c * pixels) {
        for (size_t k = 0; k < c; ++k)
            for (size_t p = 0; p < pixels; ++p) row[k * pixels + p] = data[p * c + k];
        memcpy(data, row, c * pixels * sizeof *row);
    }
    free(row);
    if (!walk->job->list)
        fprintf(walk->job->out, "%s: columns put from row, column, channel into the order channel, row, "
                                  "column\n", weights->name);
}

/* All of an image's numbers at once. */
static int whole_image(graph_walk *walk, const graph_node *node, int layer, const graph_form *form)
{
    const struct layer *l = layer_at(walk, layer);
    size_t c, h, w;
    if (l->type == CONVOLUTIONAL && (l->h != 1 || l->w != 1 || l->size != 1 || l->pad))
        return graph_differs(walk, node, layer,
                             "it takes all numbers of an image at once, the layer those of each place");
    if (check_source(walk, node, layer, form, layer - 1)) return -1;
    graph_sizes(walk, form->layer, &c, &h, &w);
    if (form->order == CHANNELS_LAST && c > 1 && h * w > 1) channels_first(walk, node, c, h * w);
    return 0;
}

/* The channels of each place: a 1x1 convolution of a map whose channels come last. */
static int each_place(graph_walk *walk, const graph_node *node, int layer, const graph_form *form)
{
    const struct layer *l = layer_at(walk, layer);
    if (l->type != CONVOLUTIONAL || l->size != 1 || l->stride != 1 || l->pad || l->groups != 1)
        return graph_differs(walk, node, layer, "it takes the channels of each place, a 1x1 convolution");
    return check_source(walk, node, layer, form, layer - 1);
}

/* Gemm and MatMul: all of an image at once, or the channels of each place. */
int graph_dense(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    size_t n = 1;
    int layer = layer_of(walk, node), status = takes(walk, node, &form, out), dims;
    if (status <= 0) return status;
    size_t in = walk->job->groups.group[node->layer].part[PART_WEIGHT]->dim[1];
    if (walk->job->groups.group[node->layer].part[PART_WEIGHT]->dims != 2)
        return graph_differs(walk, node, layer, "its weights are no matrix");
    for (int i = 1; i < form->dims; ++i) n *= form->dim[i];
    dims = form->dims;
    if (dims < 2 || form->dim[dims - 1] != in)
        return graph_differs(walk, node, layer, "it takes %zu numbers of a value that has %zu", in, n);
    int places = n != in;
    if (places && (dims != 4 || form->order != CHANNELS_LAST))
        return graph_differs(walk, node, layer,
                             "it takes the last of a value's dimensions, which are not its channels");
    graph_form was = *form;
    if (places ? each_place(walk, node, layer, form) : whole_image(walk, node, layer, form)) return -1;
    owe(walk, node, layer, graph_input(walk->graph, node, 2) != NULL, out);
    size_t outputs = out->dim[1];
    memcpy(out->dim, was.dim, sizeof was.dim);
    out->dims = dims;
    out->dim[dims - 1] = outputs;
    out->order = places ? CHANNELS_LAST : CHANNELS_FIRST;
    return 0;
}

/* ---- batch norm and activations ---- */

/* A batch norm takes its layer's sums and nothing else. */
int graph_norm(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    int status = takes(walk, node, &form, out), layer = layer_of(walk, node);
    if (status <= 0) return status;
    if (form->layer != layer || !form->owes_norm || form->owes_bias || form->factor != 1)
        return graph_differs(walk, node, layer, "it normalises something else than the layer's own sums");
    if (graph_number(node, "spatial", 1) == 0) return graph_differs(walk, node, layer, "spatial=0");
    if (form->order == CHANNELS_LAST) return graph_differs(walk, node, layer, "its channels come last");
    *out = *form;
    out->owes_norm = 0;
    return 0;
}

/* alpha, gamma: attributes, with ONNX's own values where a node does not say them; 0 = there are none. */
static const struct activation_row {
    const char *op;
    ACTIVATION activation;
    double alpha, alpha_default, gamma, gamma_default;
} ACTIVATIONS[] = {
    { "Relu", RELU, 0, 0, 0, 0 }, { "LeakyRelu", LEAKY, .1, .01, 0, 0 }, { "LeakyRelu", RELIE, .01, .01, 0, 0 },
    { "Sigmoid", LOGISTIC, 0, 0, 0, 0 }, { "Tanh", TANH, 0, 0, 0, 0 }, { "Elu", ELU, 1, 1, 0, 0 },
    { "Selu", SELU, 1.6732, 1.67326, 1.0507, 1.0507 },
    { "HardSwish", (ACTIVATION)ACTIVATION_HARD_SWISH, 0, 0, 0, 0 }, { "Mish", (ACTIVATION)ACTIVATION_MISH, 0, 0, 0, 0 },
    { "Gelu", (ACTIVATION)ACTIVATION_GELU, 0, 0, 0, 0 },
};

static int near(double a, double b) { return fabs(a - b) <= 1e-4 * fabs(b); }

/* The activation that this node is; -1 if there is none. */
static int activation_of(const graph_node *node)
{
    for (size_t i = 0; i < sizeof ACTIVATIONS / sizeof *ACTIVATIONS; ++i) {
        const struct activation_row *row = &ACTIVATIONS[i];
        if (strcmp(row->op, node->op)) continue;
        if (!strcmp(row->op, "Gelu") && strcmp(graph_text(node, "approximate", "none"), "tanh")) continue;
        if (row->alpha != 0 && !near(graph_number(node, "alpha", row->alpha_default), row->alpha)) continue;
        if (row->gamma != 0 && !near(graph_number(node, "gamma", row->gamma_default), row->gamma)) continue;
        return (int)row->activation;
    }
    return -1;
}

/* What a layer owes is paid; else an [activation] does it, or it changes nothing. */
int graph_activate(graph_walk *walk, const graph_node *node, const graph_form *form, int activation, const char *what,
                   graph_form *out)
{
    char text[TENSOR_TEXT], where[TENSOR_TEXT];
    if (form->layer < 0) return graph_unknown(walk, node, out,
                                              "arithmetic on the network's input, which no layer does");
    graph_form after = *form;
    after.owes = LINEAR;
    const char *lacks = graph_incomplete(walk, &after, text);
    if (lacks) return graph_differs(walk, node, form->layer, "it takes the layer's output %s", lacks);
    if (form->owes != LINEAR && (int)form->owes != activation)
        return graph_differs(walk, node, form->layer, "%s, the layer has activation=%s", what,
                             graph_activation_text(form->owes));
    *out = after;
    if (form->owes != LINEAR) return 0;
    int layer = activation < 0 ? -1 : graph_activation_layer(walk, form->layer, activation);
    if (layer >= 0) *out = graph_layer_form(walk, layer);
    if (layer >= 0 || (activation == RELU && graph_no_less_than_0(walk, form))) return 0;
    return graph_unknown(walk, node, out,
                         "%s follows %s, which has no such activation to come, and no [activation] does",
                         what, graph_layer_text(walk, form->layer, where));
}

static int activate(graph_walk *walk, const graph_node *node, int activation, const char *what, graph_form *out)
{
    const graph_form *form;
    int status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    if (graph_gate_of(walk, node, form, out)) return 0;
    return graph_activate(walk, node, form, activation, what, out);
}

int graph_activation(graph_walk *walk, const graph_node *node, graph_form *out)
{
    char what[TENSOR_TEXT];
    double alpha = graph_number(node, "alpha", !strcmp(node->op, "LeakyRelu") ? .01 : 1);
    int has_alpha = !strcmp(node->op, "LeakyRelu") || !strcmp(node->op, "Elu");
    snprintf(what, sizeof what, has_alpha ? "%s of alpha=%g" : "%s", node->op, alpha);
    return activate(walk, node, activation_of(node), what, out);
}

/* Limits are attributes or inputs; 0 and nothing above is ReLU, 0 and 6 is ReLU6, -1 and 1 is hardtan. */
int graph_clip(graph_walk *walk, const graph_node *node, graph_form *out)
{
    int lows, highs;
    char what[TENSOR_TEXT];
    const double *low = graph_numbers_in(walk, node, "min", 1, &lows), *high = graph_numbers_in(walk, node, "max", 2,
        &highs);
    double from = lows ? low[0] : -HUGE_VAL, to = highs ? high[0] : HUGE_VAL;
    int known = (lows || !graph_input(walk->graph, node, 1)) && (highs || !graph_input(walk->graph, node, 2));
    int activation = -1;
    if (known && from == 0 && to > 1e30) activation = (int)RELU;
    if (known && from == 0 && to == 6) activation = ACTIVATION_RELU6;
    if (known && from == -1 && to == 1) activation = (int)HARDTAN;
    snprintf(what, sizeof what, "limits %g to %g", from, to);
    return activate(walk, node, activation, what, out);
}
