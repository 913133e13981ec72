/* Windows, pooling and enlarging.
 *
 * Which [maxpool], [avgpool] or [upsample] a node is, nobody has said: it is the first that reads the same output and
 * computes the same. For a maximum two windows are the same if they cover the same rows of the map: what Darknet pads
 * (`padding` rows, half of them before) is never the largest. Zeros that a Pad adds are not either, where the map has
 * nothing below 0. A maximum may stand before the activation that the cfg has before it, where that rises: all but
 * those of layers/fork_layers.h do. */
#include "graph_walk.h"

#include "layers/fork_layers.h"

#include <math.h>
#include <string.h>

static const layer *layer_at(const graph_walk *walk, int i) { return &walk->job->net->layers[i]; }

/* ---- windows ---- */

/* A list attribute of n numbers, which are whole and from `least`; -1 if it is something else. */
static int sizes_of(const graph_node *node, const char *name, int n, double least, double otherwise, size_t *out)
{
    const graph_attribute *list = graph_attribute_of(node, name);
    if (list && list->n != n) return -1;
    for (int i = 0; i < n; ++i) {
        double v = list ? list->number[i] : otherwise;
        if (!(v >= least && v <= 1e6) || v != floor(v)) return -1;
        out[i] = (size_t)v;
    }
    return 0;
}

/* auto_pad: as many results as strides fit into the map; the odd row of padding stands behind it, or before it. */
static void pad_alike(const char *way, size_t map, graph_window *window)
{
    size_t reach = (window->size - 1) * window->dilation + 1;
    window->out = (map + window->stride - 1) / window->stride;
    size_t want = (window->out - 1) * window->stride + reach, pad = want > map ? want - map : 0;
    window->before = (long)(strcmp(way, "SAME_LOWER") ? pad / 2 : pad - pad / 2);
}

/* Along one side of a map, with its zeros, of which `before` stand before it. */
static int one_window(const graph_node *node, size_t map, size_t pad, size_t before, graph_window *window)
{
    const char *way = graph_text(node, "auto_pad", "NOTSET");
    size_t reach = (window->size - 1) * window->dilation + 1;
    if (!map || !window->stride || !window->size) return -1;
    if (!strcmp(way, "SAME_UPPER") || !strcmp(way, "SAME_LOWER")) {
        pad_alike(way, map, window);
        return 0;
    }
    if (strcmp(way, "NOTSET") && strcmp(way, "VALID")) return -1;
    if (!strcmp(way, "VALID")) pad = before = 0;
    if (map + pad < reach) return -1;
    size_t left = map + pad - reach;
    int up = graph_number(node, "ceil_mode", 0) != 0;
    window->out = (left + (up ? window->stride - 1 : 0)) / window->stride + 1;
    if (up && (window->out - 1) * window->stride >= map + before) --window->out;
    window->before = (long)before;
    return 0;
}

int graph_windows(const graph_node *node, const graph_form *form, const size_t size[2], graph_window window[2])
{
    size_t stride[2], dilation[2], pads[4], kernel[2];
    if (sizes_of(node, "strides", 2, 1, 1, stride) || sizes_of(node, "dilations", 2, 1, 1, dilation) ||
        sizes_of(node, "pads", 4, 0, 0, pads)) return -1;
    if (sizes_of(node, "kernel_shape", 2, 1, 1, kernel)) return -1;
    if (graph_attribute_of(node, "kernel_shape") ? kernel[0] != size[0] || kernel[1] != size[1] : 0) return -1;
    for (int k = 0; k < 2; ++k) {
        size_t zeros = form->pad[k] + form->pad[k + 2];
        window[k] = (graph_window){ .size = size[k], .stride = stride[k], .dilation = dilation[k] };
        if (size[k] > 1000000 || form->dim[2 + k] > 1000000000 || zeros > 1000000000) return -1;
        if (one_window(node, form->dim[2 + k] + zeros, pads[k] + pads[k + 2], pads[k], &window[k])) return -1;
        window[k].before += (long)form->pad[k];
    }
    return 0;
}

const char *graph_window_text(const graph_window window[2], char *text)
{
    size_t dilation = window[0].dilation > window[1].dilation ? window[0].dilation : window[1].dilation;
    int at = snprintf(text, TENSOR_TEXT, "%zux%zu with strides %zux%zu, begin %ld rows and %ld columns before the map, "
                      "give %zux%zu results", window[0].size, window[1].size, window[0].stride, window[1].stride,
                      window[0].before, window[1].before, window[0].out, window[1].out);
    if (dilation > 1 && at < TENSOR_TEXT) snprintf(text + at, (size_t)(TENSOR_TEXT - at), ", dilations=%zu", dilation);
    return text;
}

/* ---- maxima ---- */

/* Do windows o of both cover the same part of the map? */
static int same_cover(const graph_window *window, size_t map, long size, long stride, long before)
{
    for (size_t o = 0; o < window->out; ++o) {
        long a = (long)(o * window->stride) - window->before, b = (long)o * stride - before, n = (long)map;
        long a_end = a + (long)window->size, b_end = b + size;
        if ((a > 0 ? a : 0) != (b > 0 ? b : 0) || (a_end < n ? a_end : n) != (b_end < n ? b_end : n)) return 0;
    }
    return 1;
}

static int is_this_pool(const layer *l, const graph_window window[2], const size_t map[2])
{
    if (window[0].out != (size_t)l->out_h || window[1].out != (size_t)l->out_w) return 0;
    for (int k = 0; k < 2; ++k) {
        if (window[k].dilation > 1 && window[k].size > 1) return 0;
        if (!same_cover(&window[k], map[k], l->size, l->stride, l->pad / 2)) return 0;
    }
    return 1;
}

/* A layer of this type that reads the form; from `after` on, -1 if there is none. */
static int reader_of(const graph_walk *walk, const graph_form *form, LAYER_TYPE type, int after)
{
    for (int i = after + 1; i < walk->job->net->n; ++i)
        if (layer_at(walk, i)->type == type && graph_same(walk, form->layer, i - 1)) return i;
    return -1;
}

static int no_layer(graph_walk *walk, const graph_node *node, const graph_form *form, const char *section,
                    graph_form *out)
{
    char text[TENSOR_TEXT];
    return graph_unknown(walk, node, out, "no [%s] of the cfg reads %s", section, graph_layer_text(walk, form->layer,
        text));
}

/* The form without what a pooling may find undone: an activation, zeros around a map that has nothing below 0. */
static graph_form as_pooled(const graph_walk *walk, const graph_form *form)
{
    graph_form rest = *form;
    if (form->owes == LINEAR && graph_no_less_than_0(walk, form)) memset(rest.pad, 0, sizeof rest.pad);
    if (!fork_activation_name((int)form->owes) || (int)form->owes == ACTIVATION_RELU6) rest.owes = LINEAR;
    return rest;
}

/* Every stride-th row and column: a 1x1 window, which a strided 1x1 convolution may have beside it. */
static int picks(const graph_form *form, const graph_window window[2], graph_form *out)
{
    if (window[0].size != 1 || window[1].size != 1 || window[0].before || window[1].before || form->channels) return 0;
    *out = *form;
    for (int k = 0; k < 2; ++k) {
        out->step[k] *= window[k].stride;
        out->dim[2 + k] = window[k].out;
    }
    return 1;
}

/* Finds the [maxpool] that covers the same parts of the same map. */
static int pool_max(graph_walk *walk, const graph_node *node, const graph_form *form, const size_t size[2],
                    graph_form *out)
{
    char text[TENSOR_TEXT];
    graph_window window[2];
    const char *why = graph_no_map(walk, form);
    if (why || graph_windows(node, form, size, window))
        return graph_unknown(walk, node, out, "%s", why ? why : "its kernel, strides, pads or dilations fit no map");
    graph_form rest = as_pooled(walk, form);
    const char *lacks = graph_incomplete(walk, &rest, text);
    if (lacks) return graph_unknown(walk, node, out, "it takes a layer's output %s", lacks);
    int first = reader_of(walk, form, MAXPOOL, -1);
    for (int i = first; i >= 0; i = reader_of(walk, form, MAXPOOL, i))
        if (is_this_pool(layer_at(walk, i), window, form->dim + 2)) {
            *out = graph_layer_form(walk, i);
            out->owes = form->owes;
            return 0;
        }
    if (picks(form, window, out)) return 0;
    if (first < 0) return no_layer(walk, node, form, "maxpool", out);
    const layer *l = layer_at(walk, first);
    return graph_differs(walk, node, first,
                         "its windows are %s; the layer's size=%d, stride=%d, padding=%d, %dx%d results",
                         graph_window_text(window, text), l->size, l->stride, l->pad, l->out_h, l->out_w);
}

/* MaxPool, and GlobalMaxPool as one window. */
int graph_max_pool(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    size_t size[2];
    int status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    graph_form held = *form;
    int whole = !strcmp(node->op, "GlobalMaxPool");
    if (whole) memcpy(size, held.dim + 2, sizeof size);
    else if (!graph_attribute_of(node, "kernel_shape") || sizes_of(node, "kernel_shape", 2, 1, 1, size))
        return graph_unknown(walk, node, out, "its windows have not two sizes");
    return pool_max(walk, node, &held, size, out);
}

/* ---- means ---- */

/* The mean of each channel. keep: the map stays one, of 1x1. */
static int mean_of_all(graph_walk *walk, const graph_node *node, const graph_form *form, int keep, graph_form *out)
{
    char text[TENSOR_TEXT];
    size_t c, h, w;
    const char *lacks = graph_incomplete(walk, form, text);
    if (lacks) return graph_unknown(walk, node, out, "it takes a layer's output %s", lacks);
    int layer = reader_of(walk, form, AVGPOOL, -1), last = form->order == CHANNELS_LAST;
    graph_sizes(walk, form->layer, &c, &h, &w);
    if (layer < 0 && (h != 1 || w != 1)) return no_layer(walk, node, form, "avgpool", out);
    *out = layer < 0 ? *form : graph_layer_form(walk, layer);
    *out = (graph_form){ .kind = FORM_LAYER, .layer = out->layer, .owes = LINEAR, .factor = 1, .step = { 1, 1 },
                         .dims = keep ? 4 : 2, .dim = { form->dim[0], c, 1, 1 } };
    if (keep && last) out->dim[1] = 1, out->dim[3] = c;
    return 0;
}

/* Means of all of a map, in any spelling; others no layer takes. */
int graph_average_pool(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    size_t size[2];
    graph_window window[2];
    int status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    graph_form held = *form;
    const char *why = graph_no_map(walk, form);
    if (why) return graph_unknown(walk, node, out, "%s", why);
    if (!strcmp(node->op, "GlobalAveragePool")) return mean_of_all(walk, node, &held, 1, out);
    if (!graph_attribute_of(node, "kernel_shape") || sizes_of(node, "kernel_shape", 2, 1, 1, size) ||
        graph_windows(node, form, size, window)) return graph_unknown(walk, node, out, "its windows fit no map");
    if (picks(&held, window, out)) return 0;
    if (window[0].out == 1 && window[1].out == 1 && !window[0].before && !window[1].before && size[0] == held.dim[2] &&
        size[1] == held.dim[3] && window[0].dilation == 1 && window[1].dilation == 1)
        return mean_of_all(walk, node, &held, 1, out);
    return graph_unknown(walk, node, out,
                         "means of %zux%zu of a map of %zux%zu: Darknet's [avgpool] takes all of a map",
                         size[0], size[1], held.dim[2], held.dim[3]);
}

/* ReduceMean over rows and columns. */
int graph_mean(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    int n, status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    graph_form held = *form;
    const double *axes = graph_numbers_in(walk, node, "axes", 1, &n);
    int first = held.order == CHANNELS_LAST ? 1 : 2, seen = 0;
    for (int i = 0; i < n; ++i) {
        double axis = axes[i] < 0 ? axes[i] + held.dims : axes[i];
        if (axis == first) seen |= 1;
        else if (axis == first + 1) seen |= 2;
        else seen |= 4;
    }
    if (held.dims != 4 || seen != 3) return graph_unknown(walk, node, out,
                                                          "a mean over something else than rows and columns");
    return mean_of_all(walk, node, &held, graph_number(node, "keepdims", 1) != 0, out);
}

/* ---- enlarging ---- */

/* Which row of the smaller map row `x` of the larger is, by the node's rules. */
static double source_row(const graph_node *node, size_t x, size_t small, size_t large, double scale)
{
    const char *way = graph_text(node, "coordinate_transformation_mode", "half_pixel");
    double n = (double)large;
    if (!strcmp(node->op, "Upsample") || !strcmp(way, "asymmetric")) return (double)x / scale;
    if (!strcmp(way, "align_corners")) return large > 1 ? (double)x * ((double)small - 1) / (n - 1) : 0;
    if (!strcmp(way, "pytorch_half_pixel") && large <= 1) return 0;
    return ((double)x + .5) / scale - .5;
}

static double rounded(const graph_node *node, double v)
{
    const char *way = graph_text(node, "nearest_mode", "round_prefer_floor");
    if (!strcmp(node->op, "Upsample") || !strcmp(way, "floor")) return floor(v);
    if (!strcmp(way, "ceil")) return ceil(v);
    return !strcmp(way, "round_prefer_ceil") ? floor(v + .5) : ceil(v - .5);
}

/* Is row x of the larger map row x / stride of the smaller? */
static int repeats(const graph_node *node, size_t small, size_t stride)
{
    size_t large = small * stride;
    for (size_t x = 0; x < large; ++x) {
        double row = rounded(node, source_row(node, x, small, large, (double)stride));
        row = fmin(fmax(row, 0), (double)small - 1);
        if (row != (double)(x / stride)) return 0;
    }
    return 1;
}

/* By how much a node enlarges rows and columns; 0, or -1 if it cannot be known. */
static int enlarging(const graph_walk *walk, const graph_node *node, const graph_form *form, double by[2])
{
    int old = !strcmp(node->op, "Upsample") || walk->graph->opset < 11, scales, sizes;
    const double *scale = graph_numbers_in(walk, node, "scales", old ? 1 : 2, &scales);
    const double *size = graph_numbers_in(walk, node, "sizes", 3, &sizes);
    if (graph_attribute_of(node, "axes")) return -1;
    if (scales == 4) by[0] = scale[2], by[1] = scale[3];
    else if (sizes == 4) by[0] = size[2] / (double)form->dim[2], by[1] = size[3] / (double)form->dim[3];
    else return -1;
    return scales == 4 && (scale[0] != 1 || scale[1] != 1) ? -1 : 0;
}

/* The [upsample] that repeats as often. */
int graph_resize(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    char text[TENSOR_TEXT];
    double by[2];
    int status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    graph_form held = *form, rest = *form;
    rest.owes = LINEAR;
    const char *why = graph_no_map(walk, form), *lacks = graph_incomplete(walk, &rest, text);
    if (why || lacks) return graph_unknown(walk, node, out, "%s", why ? why : lacks);
    if (strcmp(graph_text(node, "mode", "nearest"), "nearest"))
        return graph_unknown(walk, node, out, "mode %s; [upsample] repeats rows and columns",
                             graph_text(node, "mode", ""));
    if (enlarging(walk, node, form, by)) return graph_unknown(walk, node, out, "by how much cannot be known");
    int layer = reader_of(walk, &held, UPSAMPLE, -1);
    if (layer < 0) return no_layer(walk, node, &held, "upsample", out);
    const struct layer *l = layer_at(walk, layer);
    if (l->reverse || by[0] != l->stride || by[1] != l->stride)
        return graph_differs(walk, node, layer, "by %gx%g, the layer has stride=%d", by[0], by[1], l->stride);
    if (!repeats(node, held.dim[2], (size_t)l->stride) || !repeats(node, held.dim[3], (size_t)l->stride))
        return graph_differs(walk, node, layer, "it does not repeat each row and column %d times", l->stride);
    *out = graph_layer_form(walk, layer);
    out->owes = held.owes;
    if (l->scale != 1) out->factor = 1 / (double)l->scale;
    return 0;
}
