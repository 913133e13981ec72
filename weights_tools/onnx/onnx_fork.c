/* Sections of AlexeyAB's Darknet that the host lacks, in ONNX.
 *
 *   route groups=          Slice of each input's channels, and Concat where there are several
 *   scale_channels, sam    Mul, which repeats the smaller factor
 *   reorg3d                a Slice for each pixel of the square, and Concat
 *   shortcut               of several layers or with weights: Mul by the normalised weights, Pad or Slice where one has
 *                          other channels, Add */
#include "onnx_build.h"

#include "layers/fork_layers.h"
#include "layers/shortcut_sum_ops.h"

#include <stdlib.h>

/* Channels from `first` on, n of them, of every step-th row and column from (row, column) on. */
typedef struct window {
    int64_t first, n, row, column, step;
} window;

/* The part of a map of h x w that is in the window, as `out`. */
static const char *slice(build *graph, const char *map, const window *of, int h, int w, const char *out)
{
    const int64_t start[3] = { of->first, of->row, of->column }, end[3] = { of->first + of->n, h, w };
    const int64_t axes[3] = { 1, 2, 3 }, step[3] = { 1, of->step, of->step };
    int n = of->step > 1 ? 3 : 1;
    const char *in[5] = { map, name(graph, "starts_%d", graph->texts), name(graph, "ends_%d", graph->texts + 1),
                          name(graph, "axes_%d", graph->texts + 2), name(graph, "steps_%d", graph->texts + 3) };
    onnx_int64s(graph->model, in[1], start, n);
    onnx_int64s(graph->model, in[2], end, n);
    onnx_int64s(graph->model, in[3], axes, n);
    onnx_int64s(graph->model, in[4], step, n);
    onnx_node(graph->model, "Slice", in, 5, out);
    return out;
}

static void join(build *graph, const char *const *in, int n, const char *out)
{
    onnx_node(graph->model, "Concat", in, n, out);
    onnx_int(graph->model, "axis", 1);
}

int onnx_part(build *graph, int i)
{
    const layer *l = at(graph, i), *first = at(graph, l->input_layers[0]);
    const char **in = mem_calloc((size_t)l->n, sizeof *in);
    int bad = 0;
    for (int k = 0; k < l->n; ++k) {
        const layer *from = at(graph, l->input_layers[k]);
        int64_t n = from->out_c / l->groups;
        window part = { .first = n * l->index, .n = n, .step = 1 };
        bad |= from->out_h != first->out_h || from->out_w != first->out_w;
        in[k] = l->n > 1 ? name(graph, "layer_%d_part_%d", i, k) : graph->value[i];
        if (!bad) slice(graph, as_map(graph, l->input_layers[k]), &part, from->out_h, from->out_w, in[k]);
    }
    if (!bad && l->n > 1) join(graph, in, l->n, graph->value[i]);
    free(in);
    return bad ? refuse(graph, i, "layers", "a route of maps of unlike sizes") : 0;
}

int onnx_product(build *graph, int i)
{
    const char *out = onnx_before_activation(graph, i);
    node2(graph, "Mul", as_map(graph, at(graph, i)->index), as_map(graph, i - 1), out);
    return onnx_activate(graph, i, out);
}

/* One Slice for each channel that a pixel becomes. */
int onnx_reorg3d(build *graph, int i)
{
    const layer *l = at(graph, i);
    int square = l->stride * l->stride;
    const char **in = mem_calloc((size_t)square, sizeof *in), *map = as_map(graph, i - 1);
    for (int k = 0; k < square; ++k) {
        window pixel = { .n = l->c, .row = k / l->stride, .column = k % l->stride, .step = l->stride };
        in[k] = name(graph, "layer_%d_pixel_%d", i, k);
        slice(graph, map, &pixel, l->h, l->w, in[k]);
    }
    join(graph, in, square, graph->value[i]);
    free(in);
    return 0;
}

/* ---- sums ---- */

/* The channels that layer i has of layer `from`'s map, zeros for those that this lacks. */
static const char *fitted(build *graph, int i, int from)
{
    const layer *l = at(graph, i), *other = at(graph, from);
    const char *map = as_map(graph, from);
    const int64_t pads[8] = { 0, 0, 0, 0, 0, l->out_c - other->out_c, 0, 0 };
    window common = { .n = l->out_c, .step = 1 };
    if (other->out_c == l->out_c) return map;
    const char *out = name(graph, "fitted_%d", graph->texts);
    if (other->out_c > l->out_c) return slice(graph, map, &common, other->out_h, other->out_w, out);
    const char *zeros = name(graph, "pads_%d", graph->texts);
    onnx_int64s(graph->model, zeros, pads, 8);
    node2(graph, "Pad", map, zeros, out);
    return out;
}

/* Operand k times its weights v, one or one a channel. */
static const char *weighed(build *graph, int i, int k, const char *map, const float *v, int groups)
{
    const layer *l = at(graph, i);
    if (!l->nweights) return map;
    const int64_t one = 1, dim[4] = { 1, groups, 1, 1 };
    const char *weights = name(graph, "layer_%d_weights_%d", i, k), *out = name(graph, "layer_%d_weighed_%d", i, k);
    onnx_floats(graph->model, weights, groups > 1 ? dim : &one, groups > 1 ? 4 : 1, v + (size_t)k * (size_t)groups);
    node2(graph, "Mul", map, weights, out);
    return out;
}

/* Operand after operand. */
int onnx_sum(build *graph, int i)
{
    const layer *l = at(graph, i);
    int groups = fork_sum_groups(l);
    float *v = mem_calloc((size_t)(l->n + 1) * (size_t)groups, sizeof *v);
    for (int c = 0; c < groups; ++c) shortcut_sum_normalise(l->weights, l->n + 1, groups, c, l->softmax, v);
    const char *sum = weighed(graph, i, 0, as_map(graph, i - 1), v, groups), *out = onnx_before_activation(graph, i);
    for (int k = 1; k <= l->n; ++k) {
        const char *next = k < l->n ? name(graph, "layer_%d_sum_%d", i, k) : out;
        node2(graph, "Add", sum, weighed(graph, i, k, fitted(graph, i, l->input_layers[k - 1]), v, groups), next);
        sum = next;
    }
    free(v);
    return onnx_activate(graph, i, out);
}
