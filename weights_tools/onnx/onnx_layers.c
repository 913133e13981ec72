/* One row a section: how it is said in ONNX (opset 13).
 *
 *   convolutional, connected   Conv / Gemm with batch norm folded in doubles (fold.h): readers' epsilons cannot matter
 *   maxpool                    Darknet's padding: `padding` rows in all, half of them (rounded down) before the map
 *   softmax                    over all of an image's numbers, or each of `groups` parts, divided by temperature first
 *   shortcut                   Add; of a larger map every k-th row and column first, zeros for channels that it lacks
 *   yolo, region               their input, the raw head map; boxes are the caller's to decode
 *   dropout, cost              nothing
 *
 * A tensor is a map (N, c, h, w) or, behind [connected] and [softmax], rows (N, numbers); who needs the other kind gets
 * it by Flatten or Reshape. The tensor of layer 7 is called layer_7. To add a section: write its function and its
 * row. */
#include "onnx_build.h"

#include "layers/fork_layers.h"
#include "weights_tools/file/fold.h"

#include <stdlib.h>
#include <string.h>

static const char *flat(build *graph, const char *map, const char *out)
{
    node1(graph, "Flatten", map, out);
    onnx_int(graph->model, "axis", 1);
    return out;
}

static const char *as_rows(build *graph, int i)
{
    if (is_rows(graph, i)) return value_of(graph, i);
    return flat(graph, value_of(graph, i), name(graph, "rows_%d", graph->texts));
}

/* A value times a number. */
static const char *scaled(build *graph, const char *value, float factor)
{
    if (factor == 1) return value;
    const char *number = name(graph, "number_%d", graph->texts), *out = name(graph, "scaled_%d", graph->texts);
    const int64_t one = 1;
    onnx_floats(graph->model, number, &one, 1, &factor);
    node2(graph, "Mul", value, number, out);
    return out;
}

/* ---- sections: each writes layer i; 0, or -1 after reporting ---- */

/* Weights and biases of a [convolutional] or [connected], folded, as inputs 1 and 2. */
static void add_arrays(build *graph, int i, const int64_t *dim, int dims, const char *in[3])
{
    size_t floats = 1;
    for (int k = 0; k < dims; ++k) floats *= (size_t)dim[k];
    float *weights = mem_calloc(floats, sizeof *weights), *biases = mem_calloc((size_t)dim[0], sizeof *biases);
    fold_arrays(at(graph, i), weights, biases);
    in[1] = name(graph, "layer_%d_weights", i);
    in[2] = name(graph, "layer_%d_biases", i);
    if (onnx_weights(graph->model, in[1], dim, dims, weights, graph->precision)) {
        const cfg_section *section = cfg_layer(graph->cfg, i);
        diag_error(graph->d, section->file, section->line, section->name,
                   "its weights are too large for -fp16, whose numbers end at 65504");
        graph->too_large = 1;
    }
    onnx_floats(graph->model, in[2], dim, 1, biases);
    free(weights);
    free(biases);
}

/* Attributes of a window: Darknet's are square. */
static void add_window(build *graph, const layer *l, int before, int after)
{
    const int64_t kernel[2] = { l->size, l->size }, stride[2] = { fork_stride_y(l), fork_stride_x(l) };
    const int64_t pads[4] = { before, before, after, after };
    onnx_ints(graph->model, "kernel_shape", kernel, 2);
    onnx_ints(graph->model, "strides", stride, 2);
    onnx_ints(graph->model, "pads", pads, 4);
}

/* Conv. */
static int convolutional(build *graph, int i)
{
    const layer *l = at(graph, i);
    const char *in[3] = { as_map(graph, i - 1) }, *out = onnx_before_activation(graph, i);
    const int64_t dim[4] = { l->n, l->c / l->groups, l->size, l->size };
    if (l->binary || l->xnor) return refuse(graph, i, NULL, "binary weights");
    add_arrays(graph, i, dim, 4, in);
    onnx_node(graph->model, "Conv", in, 3, out);
    const int dilation = fork_dilation(l);
    const int64_t dilations[2] = { dilation, dilation };
    add_window(graph, l, l->pad * dilation, l->pad * dilation);
    if (dilation > 1) onnx_ints(graph->model, "dilations", dilations, 2);
    onnx_int(graph->model, "group", l->groups);
    return onnx_activate(graph, i, out);
}

static int connected(build *graph, int i)
{
    const layer *l = at(graph, i);
    const char *in[3] = { as_rows(graph, i - 1) }, *out = onnx_before_activation(graph, i);
    const int64_t dim[2] = { l->outputs, l->inputs };
    add_arrays(graph, i, dim, 2, in);
    onnx_node(graph->model, "Gemm", in, 3, out);
    onnx_int(graph->model, "transB", 1);
    graph->rows[i] = 1;
    return onnx_activate(graph, i, out);
}

static int maxpool(build *graph, int i)
{
    const layer *l = at(graph, i);
    int before = l->pad / 2, after = l->pad - before;
    if (after >= l->size) return refuse(graph, i, "padding", "padding as large as the window");
    node1(graph, "MaxPool", as_map(graph, i - 1), graph->value[i]);
    add_window(graph, l, before, after);
    return 0;
}

static int avgpool(build *graph, int i)
{
    node1(graph, "GlobalAveragePool", as_map(graph, i - 1), graph->value[i]);
    return 0;
}

/* Of each of `groups` parts of the rows, which are laid side by side for it and then joined again. */
static void softmax_of_parts(build *graph, int i, const char *rows)
{
    const layer *l = at(graph, i);
    const int64_t dim[3] = { 0, l->groups, l->inputs / l->groups };
    const char *parts = reshaped(graph, rows, dim, 3, name(graph, "parts_%d", graph->texts));
    const char *out = name(graph, "softmax_%d", graph->texts);
    node1(graph, "Softmax", parts, out);
    onnx_int(graph->model, "axis", 2);
    flat(graph, out, graph->value[i]);
}

/* Softmax of what temperature divides. */
static int softmax_of(build *graph, int i)
{
    const layer *l = at(graph, i);
    if (l->softmax_tree) return refuse(graph, i, "tree", "tree=");
    if (l->spatial != 0) return refuse(graph, i, "spatial", "spatial=");
    const char *rows = scaled(graph, as_rows(graph, i - 1), 1 / l->temperature);
    graph->rows[i] = 1;
    if (l->groups > 1) {
        softmax_of_parts(graph, i, rows);
    } else {
        node1(graph, "Softmax", rows, graph->value[i]);
        onnx_int(graph->model, "axis", 1);
    }
    return 0;
}

/* Layer i is layer k. */
static int pass(build *graph, int i, int k)
{
    graph->rows[i] = (char)is_rows(graph, k);
    if (graph->is_output[i]) node1(graph, "Identity", value_of(graph, k), graph->value[i]);
    else graph->value[i] = value_of(graph, k);
    return 0;
}

static int previous(build *graph, int i) { return pass(graph, i, i - 1); }

/* Darknet joins whatever stands there, map or not; only what it then carries on as one map, or rows alone, is the same
 * here. */
static int route(build *graph, int i)
{
    const layer *l = at(graph, i), *first = at(graph, l->input_layers[0]);
    int rows = is_rows(graph, l->input_layers[0]);
    if ((int)l->type == LAYER_ROUTE_PART) return onnx_part(graph, i);
    if (l->n == 1) return pass(graph, i, l->input_layers[0]);
    const char **in = mem_calloc((size_t)l->n, sizeof *in);
    int bad = 0;
    for (int k = 0; k < l->n; ++k) {
        const layer *from = at(graph, l->input_layers[k]);
        bad |= from->out_h != first->out_h || from->out_w != first->out_w || is_rows(graph, l->input_layers[k]) != rows;
        in[k] = value_of(graph, l->input_layers[k]);
    }
    if (!bad) {
        onnx_node(graph->model, "Concat", in, l->n, graph->value[i]);
        onnx_int(graph->model, "axis", 1);
        graph->rows[i] = (char)rows;
    }
    free(in);
    return bad ? refuse(graph, i, "layers", "a route of maps of unlike sizes") : 0;
}

static int unlike_shapes(build *graph, int i)
{
    const layer *l = at(graph, i);
    refuse(graph, i, "from", "a shortcut of this shape");
    diag_hint(graph->d, "this one adds %dx%dx%d to %dx%dx%d; a larger map can be added with alpha=1, a smaller one not",
              l->c, l->h, l->w, l->out_c, l->out_h, l->out_w);
    return -1;
}

/* Every stride-th row and column of the map that a shortcut adds, and its first c channels. */
static const char *sliced(build *graph, int i, int64_t stride, int64_t c)
{
    const layer *l = at(graph, i);
    const int64_t start[3] = { 0, 0, 0 }, end[3] = { c, (l->out_h - 1) * stride + 1, (l->out_w - 1) * stride + 1 };
    const int64_t axes[3] = { 1, 2, 3 }, step[3] = { 1, stride, stride };
    const char *in[5] = { as_map(graph, l->index), name(graph, "layer_%d_starts", i), name(graph, "layer_%d_ends", i),
                          name(graph, "layer_%d_axes", i), name(graph, "layer_%d_steps", i) };
    const char *out = name(graph, "layer_%d_grid", i);
    onnx_int64s(graph->model, in[1], start, 3);
    onnx_int64s(graph->model, in[2], end, 3);
    onnx_int64s(graph->model, in[3], axes, 3);
    onnx_int64s(graph->model, in[4], step, 3);
    onnx_node(graph->model, "Slice", in, 5, out);
    return out;
}

/* Of a map at least as large: every stride-th row and column, the channels that both have, then zeros. NULL: another
 * case. */
static const char *on_grid(build *graph, int i)
{
    const layer *l = at(graph, i);
    int64_t stride = l->w / l->out_w, c = l->c < l->out_c ? l->c : l->out_c;
    const int64_t pads[8] = { 0, 0, 0, 0, 0, l->out_c - c, 0, 0 };
    if (!stride || l->h / l->out_h != stride || l->alpha != 1) return NULL;
    const char *grid = sliced(graph, i, stride, c);
    if (c == l->out_c) return grid;
    const char *zeros = name(graph, "layer_%d_zeros", i), *out = name(graph, "layer_%d_padded", i);
    onnx_int64s(graph->model, zeros, pads, 8);
    node2(graph, "Pad", grid, zeros, out);
    return out;
}

static int shortcut(build *graph, int i)
{
    const layer *l = at(graph, i);
    if ((int)l->type == LAYER_SHORTCUT_SUM) return onnx_sum(graph, i);
    int alike = l->c == l->out_c && l->h == l->out_h && l->w == l->out_w;
    const char *added = alike ? as_map(graph, l->index) : on_grid(graph, i), *out = onnx_before_activation(graph, i);
    if (!added) return unlike_shapes(graph, i);
    node2(graph, "Add", scaled(graph, as_map(graph, i - 1), l->alpha), scaled(graph, added, l->beta), out);
    return onnx_activate(graph, i, out);
}

/* Every pixel `stride` times, in both directions; times `scale` where that is not 1. */
static int upsample(build *graph, int i)
{
    const layer *l = at(graph, i);
    const char *in[3] = { as_map(graph, i - 1), "", name(graph, "layer_%d_scales", i) };
    const int64_t four = 4;
    const float scales[4] = { 1, 1, (float)l->stride, (float)l->stride };
    if (l->reverse) return refuse(graph, i, "stride", "an upsampling that shrinks");
    const char *out = l->scale == 1 ? graph->value[i] : name(graph, "layer_%d_large", i);
    onnx_floats(graph->model, in[2], &four, 1, scales);
    onnx_node(graph->model, "Resize", in, 3, out);
    onnx_text(graph->model, "mode", "nearest");
    onnx_text(graph->model, "coordinate_transformation_mode", "asymmetric");
    onnx_text(graph->model, "nearest_mode", "floor");
    if (l->scale != 1) node1(graph, "Identity", scaled(graph, out, l->scale), graph->value[i]);
    return 0;
}

static int activation(build *graph, int i)
{
    graph->rows[i] = (char)is_rows(graph, i - 1);
    return at(graph, i)->activation == LINEAR ? previous(graph, i) : onnx_activate(graph, i, value_of(graph, i - 1));
}

static const struct layer_row {
    const char *section;
    int (*write)(build *, int);
} layers[] = {
    { "convolutional", convolutional }, { "connected", connected }, { "maxpool", maxpool }, { "avgpool", avgpool },
    { "softmax", softmax_of }, { "route", route }, { "shortcut", shortcut }, { "upsample", upsample },
    { "scale_channels", onnx_product }, { "sam", onnx_product }, { "reorg3d", onnx_reorg3d },
    { "activation", activation }, { "dropout", previous }, { "cost", previous },
    { "yolo", previous }, { "Gaussian_yolo", previous }, { "region", previous },
};

static int write_layer(build *graph, int i)
{
    const cfg_section *s = cfg_layer(graph->cfg, i);
    for (size_t k = 0; k < sizeof layers / sizeof *layers; ++k)
        if (cfg_is(s, layers[k].section)) return layers[k].write(graph, i);
    refuse(graph, i, NULL, "this section");
    diag_hint(graph->d, "OUT.cfg and OUT.weights can hold it: leave out -onnx");
    return -1;
}

static void declare_outputs(build *graph, const int *output, int outputs)
{
    for (int k = 0; k < outputs; ++k) {
        const layer *l = at(graph, output[k]);
        const int64_t map[3] = { l->out_c, l->out_h, l->out_w }, numbers = l->outputs;
        int rows = is_rows(graph, output[k]);
        onnx_output(graph->model, graph->value[output[k]], rows ? &numbers : map, rows ? 1 : 3);
    }
}

/* Names the values, writes every layer, so that all mistakes are said, and the file. */
static int write_all(build *graph, const int *output, int outputs, const out_file *file)
{
    char why[256] = "";
    int bad = 0;
    for (int i = 0; i < graph->net->n; ++i) graph->value[i] = name(graph, "layer_%d", i);
    for (int k = 0; k < outputs; ++k) {
        graph->value[output[k]] = outputs > 1 ? name(graph, "output%d", k) : "output";
        graph->is_output[output[k]] = 1;
    }
    for (int i = 0; i < graph->net->n; ++i) bad |= write_layer(graph, i);
    if (bad || graph->too_large) return -1;
    declare_outputs(graph, output, outputs);
    if (!onnx_finish(graph->model, file->file, why, sizeof why)) return 0;
    diag_error(graph->d, file->path, 0, NULL, "cannot write: %s", why);
    return -1;
}

/* An empty model and room for what is known of each layer; -1 with a message. */
static int begin(build *graph)
{
    const network *net = graph->net;
    size_t n = (size_t)net->n;
    char why[128] = "";
    if (net->c < 1 || net->h < 1 || net->w < 1) {
        diag_error(graph->d, graph->cfg->path, 0, NULL,
                   "no ONNX of a network on %d plain numbers: it needs width, height and channels", net->inputs);
        return -1;
    }
    graph->model = onnx_begin("darknet", net->c, net->h, net->w, why, sizeof why);
    if (!graph->model) diag_error(graph->d, NULL, 0, NULL, "no ONNX: %s", why);
    graph->value = mem_calloc(n, sizeof *graph->value);
    graph->rows = mem_calloc(n, 1);
    graph->is_output = mem_calloc(n, 1);
    return graph->model ? 0 : -1;
}

static void end(build *graph)
{
    for (int i = 0; i < graph->texts; ++i) free(graph->text[i]);
    free(graph->text);
    free(graph->value);
    free(graph->rows);
    free(graph->is_output);
    if (graph->model) onnx_free(graph->model);
}

static int write_network(const network *net, const cfg_file *cfg, const int *output, int outputs,
                         onnx_precision precision, const out_file *file, diag *d)
{
    build graph = { .net = net, .cfg = cfg, .precision = precision, .d = d };
    int failed = begin(&graph) || write_all(&graph, output, outputs, file);
    end(&graph);
    return failed ? -1 : 0;
}

int net_file_onnx(out_file *file, const char *path, const network *net, const cfg_file *cfg, const int *output,
                  int outputs, onnx_precision precision, diag *d)
{
    if (out_file_open(file, path, d)) return -1;
    return out_file_finish(file, write_network(net, cfg, output, outputs, precision, file, d), d);
}
