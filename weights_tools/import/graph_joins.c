/* Operators that bring values together, and softmax.
 *
 * A sum of two outputs is the [shortcut] that reads both. Of a larger map Darknet takes every k-th row and column, and
 * of maps of unlike channels those that both have: in a graph that is a Slice, and a Pad behind the last channel. */
#include "graph_walk.h"

#include <math.h>
#include <string.h>

static const layer *layer_at(const graph_walk *walk, int i) { return &walk->job->net->layers[i]; }

static int near(double a, double b) { return fabs(a - b) <= 1e-5 * (fabs(a) + fabs(b)); }

/* ---- sums ---- */

/* Is this value what a shortcut adds of `layer`: on its grid, as many channels, times `factor`? */
static int is_addend(const graph_walk *walk, const graph_form *form, int layer, double factor, const size_t map[3])
{
    char text[TENSOR_TEXT];
    size_t c, h, w;
    graph_form rest = *form;
    graph_sizes(walk, layer, &c, &h, &w);
    rest.factor = 1;
    rest.step[0] = rest.step[1] = 1;
    rest.channels = 0;
    if (!graph_same(walk, form->layer, layer) || graph_incomplete(walk, &rest, text) || !near(form->factor, factor))
        return 0;
    if (form->step[0] != h / map[1] || form->step[1] != w / map[2]) return 0;
    size_t kept = form->channels ? form->channels : c;
    return kept == (c < map[0] ? c : map[0]);
}

/* Does shortcut i add these two, in either order? */
static int is_this_sum(const graph_walk *walk, int i, const graph_form *one, const graph_form *other)
{
    const layer *l = layer_at(walk, i);
    size_t map[3];
    if (l->type != SHORTCUT) return 0;
    graph_sizes(walk, i, &map[0], &map[1], &map[2]);
    size_t all = map[0] * map[1] * map[2], n = 1;
    for (int k = 1; k < one->dims; ++k) n *= one->dim[k];
    if (n != all) return 0;
    double alpha = (double)l->alpha, beta = (double)l->beta;
    return (is_addend(walk, one, i - 1, alpha, map) && is_addend(walk, other, l->index, beta, map)) ||
        (is_addend(walk, other, i - 1, alpha, map) && is_addend(walk, one, l->index, beta, map));
}

/* Two outputs, as a shortcut of the cfg adds them. */
static int sum(graph_walk *walk, const graph_node *node, const graph_form *one, const graph_form *other,
               graph_form *out)
{
    char text[TENSOR_TEXT], a[TENSOR_TEXT], b[TENSOR_TEXT];
    if (one->dims != other->dims || memcmp(one->dim, other->dim, (size_t)one->dims * sizeof *one->dim) ||
        one->order != other->order) return graph_unknown(walk, node, out, "a sum of values of unlike sizes");
    graph_form held = *one;
    for (int i = 0; i < walk->job->net->n; ++i)
        if (is_this_sum(walk, i, one, other)) {
            *out = graph_layer_form(walk, i);
            out->order = held.order;
            out->dims = held.dims;
            memcpy(out->dim, held.dim, sizeof held.dim);
            return 0;
        }
    for (int k = 0; k < 2; ++k) {
        const graph_form *form = k ? other : one;
        const char *lacks = graph_incomplete(walk, form, text);
        if (lacks && (form->owes_bias || form->owes_norm || form->owes != LINEAR))
            return graph_unknown(walk, node, out, "it takes the output of %s %s",
                                 graph_layer_text(walk, form->layer, a), lacks);
    }
    return graph_unknown(walk, node, out, "no [shortcut] of the cfg adds the outputs of %s and %s in this way",
                         graph_layer_text(walk, one->layer, a), graph_layer_text(walk, other->layer, b));
}

/* Does a constant of as many numbers as there are channels lie along them? */
static int along_channels(const graph_value *value, const graph_form *form)
{
    size_t n;
    int behind = form->dims == 4 && form->order == CHANNELS_FIRST ? 2 : 0;
    if (tensor_count(value->dims, value->dim, &n)) return 0;
    if (n == 1) return 1;
    int axis = value->dims - 1 - behind;
    return axis >= 0 && value->dim[axis] == n;
}

/* An output and constants: a bias, or nothing that a layer does. */
static int constant_sum(graph_walk *walk, const graph_node *node, const graph_form *form, int at, graph_form *out)
{
    if (form->layer < 0)
        return graph_unknown(walk, node, out, "arithmetic on the network's input, which no layer does");
    if (node->layer < 0 || node->part != PART_BIAS)
        return graph_unknown(walk, node, out, "it adds constants, which no layer does");
    int layer = walk->job->layer[node->layer];
    if (layer != form->layer || !form->owes_bias)
        return graph_differs(walk, node, layer, "it adds a bias to something else");
    if (!along_channels(graph_input(walk->graph, node, at), form))
        return graph_differs(walk, node, layer, "its constants lie along another dimension than the channels");
    *out = *form;
    out->owes_bias = 0;
    return 0;
}

/* Add of two values, one of which may be constant. */
int graph_add(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form[2];
    for (int i = 0; i < 2 && node->inputs == 2; ++i) {
        const graph_value *other = graph_input(walk->graph, node, 1 - i);
        if (!other || !other->constant) continue;
        int status = graph_takes(walk, node, i, &form[0], out);
        return status <= 0 ? status : constant_sum(walk, node, form[0], 1 - i, out);
    }
    if (node->inputs != 2) return graph_unknown(walk, node, out, "a sum of %d values", node->inputs);
    for (int i = 0; i < 2; ++i) {
        int status = graph_takes(walk, node, i, &form[i], out);
        if (status <= 0) return status;
    }
    graph_form one = *form[0], other = *form[1];
    return sum(walk, node, &one, &other, out);
}

/* Times a number, or by one: a temperature, a shortcut's alpha. */
int graph_scale(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *a = graph_form_in(walk, node, 0), *b = graph_form_in(walk, node, 1);
    int by = !strcmp(node->op, "Div"), is_product = !strcmp(node->op, "Mul");
    graph_form gated;
    int activation = is_product ? graph_gated_product(a, b, &gated) : -1;
    if (activation < 0 && is_product) activation = graph_gated_product(b, a, &gated);
    if (activation >= 0)
        return graph_activate(walk, node, &gated, activation, graph_activation_text((ACTIVATION)activation), out);
    if (a && b && !by && a->kind == FORM_NUMBERS) {
        const graph_form *swap = a;
        a = b;
        b = swap;
    }
    if (a && a->kind == FORM_UNKNOWN)
        return graph_takes(walk, node, a == graph_form_in(walk, node, 0) ? 0 : 1, &a, out);
    if (a && a->kind == FORM_LAYER && a->layer < 0)
        return graph_unknown(walk, node, out, "arithmetic on the network's input, which no layer does");
    if (!a || !b || a->kind != FORM_LAYER || b->kind != FORM_NUMBERS || b->numbers != 1 || !isfinite(b->number[0]) ||
        b->number[0] == 0 || strcmp(node->op, "Sub") == 0 || a->gate)
        return graph_unknown(walk, node, out, "arithmetic that no layer does");
    *out = *a;
    out->factor *= by ? 1 / b->number[0] : b->number[0];
    return 0;
}

/* ---- joins ---- */

/* Is this output read by a [yolo] or [region]? Behind them the model decodes boxes, as Darknet does in those. */
static int is_head(const graph_walk *walk, int layer)
{
    for (int i = 0; i < walk->job->net->n; ++i) {
        LAYER_TYPE type = layer_at(walk, i)->type;
        if ((type == YOLO || type == REGION) && graph_same(walk, layer, i - 1)) return 1;
    }
    return 0;
}

/* A [route] of these parts; -1 if there is none. */
static int route_of(const graph_walk *walk, const int *part, int n)
{
    int other[GRAPH_PARTS];
    for (int i = 0; i < walk->job->net->n; ++i) {
        if (layer_at(walk, i)->type != ROUTE || graph_parts(walk, i, other, 0) != n) continue;
        if (!memcmp(part, other, (size_t)n * sizeof *part)) return i;
    }
    return -1;
}

/* The parts of all inputs, which owe the same activation. How many; 0 after *out is unknown, -1 after a message. */
static int join(graph_walk *walk, const graph_node *node, int *part, graph_form *first, graph_form *out)
{
    const graph_form *form;
    char text[TENSOR_TEXT];
    int n = 0, heads = 1, status;
    for (int i = 0; i < node->inputs; ++i) {
        if ((status = graph_takes(walk, node, i, &form, out)) <= 0) return status;
        graph_form rest = *form;
        if (!i) *first = *form;
        rest.owes = LINEAR;
        heads = heads && is_head(walk, form->layer);
        const char *lacks = form->owes == first->owes ? graph_incomplete(walk, &rest, text)
            : "with another activation to come";
        if (lacks) return graph_unknown(walk, node, out, "it takes a layer's output %s", lacks) ? -1 : 0;
        double axis = graph_number(node, "axis", 1), want = form->dims == 4 && form->order == CHANNELS_LAST ? 3 : 1;
        if (axis < 0) axis += form->dims;
        if (!heads && (axis != want || form->order != first->order || form->dims != first->dims))
            return graph_unknown(walk, node, out, "it joins along another dimension than the channels") ? -1 : 0;
        n = n <= GRAPH_PARTS ? graph_parts(walk, form->layer, part, n) : n;
    }
    if (!heads) return n;
    *out = (graph_form){ .kind = FORM_UNKNOWN, .blame = walk->at };
    return 0;
}

/* A join of channels is the [route] of the same parts. */
int graph_concat(graph_walk *walk, const graph_node *node, graph_form *out)
{
    int part[GRAPH_PARTS], n;
    graph_form first = { 0 };
    if (node->inputs == 1) return graph_pass(walk, node, out);
    if (!node->inputs) return graph_unknown(walk, node, out, "a join of nothing");
    if ((n = join(walk, node, part, &first, out)) <= 0) return n;
    int layer = n <= GRAPH_PARTS ? route_of(walk, part, n) : -1;
    if (layer < 0) return graph_unknown(walk, node, out, "no [route] of the cfg joins these outputs in this order");
    *out = graph_layer_form(walk, layer);
    out->owes = first.owes;
    out->order = first.order;
    out->dims = first.dims;
    if (first.dims == 2) out->dim[1] = out->dim[1] * out->dim[2] * out->dim[3];
    if (first.dims == 4 && first.order == CHANNELS_LAST) {
        size_t c = out->dim[1];
        out->dim[1] = out->dim[2];
        out->dim[2] = out->dim[3];
        out->dim[3] = c;
    }
    return 0;
}

/* ---- softmax ---- */

/* How many numbers that follow one another are brought to a sum of 1; 0 if they do not follow one another. */
static size_t together(const graph_walk *walk, const graph_node *node, const graph_form *form)
{
    int old = walk->graph->opset < 13;
    double axis = graph_number(node, "axis", old ? 1 : -1);
    size_t n = 1;
    if (axis < 0) axis += form->dims;
    if (!(axis >= 1 && axis < form->dims)) return 0;
    for (int i = (int)axis; i < form->dims; ++i) {
        if (!old && i > (int)axis && form->dim[i] != 1) return 0;
        n *= form->dim[i];
    }
    return n;
}

/* Over all of an image's numbers, or parts of them, as the [softmax] behind the same output. */
int graph_softmax(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    char text[TENSOR_TEXT];
    int status = graph_takes(walk, node, 0, &form, out), layer = -1;
    if (status <= 0) return status;
    graph_form held = *form, rest = *form;
    rest.factor = 1;
    const char *lacks = graph_incomplete(walk, &rest, text);
    if (lacks) return graph_differs(walk, node, form->layer, "it takes the layer's output %s", lacks);
    for (int i = 0; i < walk->job->net->n && layer < 0; ++i)
        if (layer_at(walk, i)->type == SOFTMAX && graph_same(walk, held.layer, i - 1)) layer = i;
    if (layer < 0) return graph_unknown(walk, node, out, "no [softmax] of the cfg reads %s",
                                        graph_layer_text(walk, held.layer, text));
    const struct layer *l = layer_at(walk, layer);
    size_t n = together(walk, node, &held), want = (size_t)(l->inputs / (l->groups > 0 ? l->groups : 1));
    if (n != want || l->spatial != 0 || l->softmax_tree || held.order == CHANNELS_LAST)
        return graph_differs(walk, node, layer, "its axis takes %zu numbers that follow one another, the layer %zu", n,
                             want);
    if (!near(held.factor * (double)l->temperature, 1))
        return graph_differs(walk, node, layer, "its input is multiplied by %g, the layer has temperature=%g",
                             held.factor, (double)l->temperature);
    *out = held;
    out->layer = layer;
    out->factor = 1;
    out->logged = !strcmp(node->op, "LogSoftmax");
    return 0;
}
