/* Which constants of a graph are weights, and of which layer.
 *
 * Names are of no help there: exporters fold batch norms and number what is left. But nodes stand in the order in which
 * they run, and each says what its inputs are. So Conv, Gemm and MatMul are one layer each, a BatchNormalization
 * belongs to the layer whose output it reads and brings its own epsilon, an Add of a constant behind a layer without a
 * bias is its bias. A Gemm's weights are turned to out x in where they are not (transB=0), a MatMul's always.
 *
 * Constants that are only looked at in another way stay constants: Identity, Cast, a matrix behind Transpose, the same
 * numbers in other sizes. What else takes constants is looked at in graph_check.c, as is everything but weights. */
#include "model_graph.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct weighing {
    model_graph *graph;
    named_tensors *t;
    diag *d;
    int *bare;                     /* per value: the layer whose output it is, nothing but a bias added; -1 = none */
    struct { char biased, normed; size_t out; } *layer;
    int layers;
} weighing;

static int bad(const weighing *work, const graph_node *node, const char *what)
{
    diag_error(work->d, work->t->path, 0, NULL, "node '%s' (%s): %s", node->name, node->op, what);
    return -1;
}

static graph_value *constant_input(const weighing *work, const graph_node *node, int i)
{
    graph_value *value = graph_input(work->graph, node, i);
    return value && value->constant ? value : NULL;
}

static int bare_input(const weighing *work, const graph_node *node, int i)
{
    return i < node->inputs && node->value[i] >= 0 ? work->bare[node->value[i]] : -1;
}

static void set_bare(const weighing *work, const graph_node *node, int layer)
{
    if (node->outputs && node->value[node->inputs] >= 0) work->bare[node->value[node->inputs]] = layer;
}

static void turn(named_tensor *tensor)
{
    size_t rows = tensor->dim[0], columns = tensor->dim[1];
    float *copy = mem_calloc(tensor->n, sizeof *copy);
    for (size_t i = 0; i < rows; ++i)
        for (size_t k = 0; k < columns; ++k) copy[k * rows + i] = tensor->data[i * columns + k];
    free(tensor->data);
    tensor->data = copy;
    tensor->dim[0] = columns;
    tensor->dim[1] = rows;
}

/* Appends one constant as a part of a layer. `turned`: as columns x rows. */
static int add_part(weighing *work, const graph_value *value, int layer, tensor_part which, double epsilon, int turned)
{
    size_t dim[TENSOR_MAX_DIMS], n;
    int dims = value->dims;
    memcpy(dim, value->dim, sizeof dim);
    if (value->turned) dim[0] = value->dim[1], dim[1] = value->dim[0];
    if (which != PART_WEIGHT && !tensor_count(dims, dim, &n)) dims = 1, dim[0] = n;     /* a list, however it is laid */
    named_tensor *tensor = named_tensors_add(work->t, value->name, dims, dim, work->d);
    if (!tensor || work->graph->fill(work->graph->reader, value, tensor, work->d)) return -1;
    tensor->layer = layer;
    tensor->part = which;
    tensor->epsilon = epsilon;
    if (turned != value->turned) turn(tensor);
    return 0;
}

static int add_weights(weighing *work, graph_node *node, int turned)
{
    const graph_value *value = constant_input(work, node, 1);
    if (!value || !node->outputs || !value->dims) return bad(work, node, "its weights are no constant");
    if ((turned || value->turned) && value->dims != 2) return bad(work, node, "its weights are no matrix");
    node->layer = work->layers;
    node->part = PART_WEIGHT;
    work->layer[work->layers].out = value->dim[turned];
    set_bare(work, node, work->layers);
    return add_part(work, value, work->layers++, PART_WEIGHT, -1, turned);
}

static int add_bias(weighing *work, const graph_node *node, const graph_value *value, int layer)
{
    if (!value) return bad(work, node, "its bias is no constant");
    if (work->layer[layer].biased || work->layer[layer].normed) return bad(work, node, "a second bias");
    work->layer[layer].biased = 1;
    return add_part(work, value, layer, PART_BIAS, -1, 0);
}

static int third_is_bias(weighing *work, const graph_node *node)
{
    return graph_input(work->graph, node, 2) ? add_bias(work, node, constant_input(work, node, 2), work->layers - 1)
        : 0;
}

static int conv(weighing *work, graph_node *node)
{
    return add_weights(work, node, 0) || third_is_bias(work, node) ? -1 : 0;
}
static int matmul(weighing *work, graph_node *node) { return add_weights(work, node, 1); }

static int gemm(weighing *work, graph_node *node)
{
    if (graph_number(node, "alpha", 1) != 1 || graph_number(node, "beta", 1) != 1 || graph_number(node, "transA",
        0) != 0)
        return bad(work, node, "alpha, beta or transA of a Gemm are not supported");
    return add_weights(work, node, graph_number(node, "transB", 0) == 0) || third_is_bias(work, node) ? -1 : 0;
}

/* Four constants of the layer before it. */
static int batch_norm(weighing *work, graph_node *node)
{
    static const tensor_part parts[] = { PART_SCALE, PART_SHIFT, PART_MEAN, PART_VARIANCE };
    int layer = bare_input(work, node, 0);
    if (layer < 0) return bad(work, node, "follows no Conv, Gemm or MatMul");
    if (work->layer[layer].normed) return bad(work, node, "a second batch norm of one layer");
    work->layer[layer].normed = 1;
    node->layer = layer;
    node->part = PART_MEAN;
    for (int i = 0; i < 4; ++i) {
        const graph_value *value = constant_input(work, node, i + 1);
        if (!value) return bad(work, node, "its parameters are no constants");
        if (add_part(work, value, layer, parts[i], graph_number(node, "epsilon", 1e-5), 0)) return -1;
    }
    return 0;
}

/* Of a layer's output and as many constants as it has outputs: its bias. */
static int add(weighing *work, graph_node *node)
{
    for (int i = 0; node->inputs == 2 && i < 2; ++i) {
        int layer = bare_input(work, node, i);
        const graph_value *value = constant_input(work, node, 1 - i);
        size_t n;
        if (layer < 0 || !value || !value->is_float || tensor_count(value->dims, value->dim, &n)) continue;
        if (n != work->layer[layer].out) continue;
        node->layer = layer;
        node->part = PART_BIAS;
        set_bare(work, node, layer);
        return add_bias(work, node, value, layer);
    }
    return 0;
}

/* ---- constants that are looked at in another way ---- */

static graph_value *constant_output(const weighing *work, const graph_node *node)
{
    graph_value *from = constant_input(work, node, 0), *to = graph_output(work->graph, node, 0);
    if (!from || !to || to->constant) return NULL;
    free(to->name);
    *to = *from;
    to->name = mem_strdup(from->name);      /* weights keep the name the file gives them */
    to->number = mem_calloc((size_t)from->numbers, sizeof *to->number);
    if (from->numbers) memcpy(to->number, from->number, (size_t)from->numbers * sizeof *to->number);
    return to;
}

static int same(weighing *work, graph_node *node)
{
    constant_output(work, node);
    set_bare(work, node, bare_input(work, node, 0));
    return 0;
}

/* A constant matrix, turned when it is taken. */
static int transpose(weighing *work, graph_node *node)
{
    graph_value *from = constant_input(work, node, 0);
    const graph_attribute *perm = graph_attribute_of(node, "perm");
    int swaps = !perm || (perm->n == 2 && perm->number[0] == 1 && perm->number[1] == 0);
    if (!from || from->dims != 2 || !swaps) return 0;
    graph_value *to = constant_output(work, node);
    if (!to) return 0;
    to->dim[0] = from->dim[1];
    to->dim[1] = from->dim[0];
    to->turned = !from->turned;
    to->numbers = 0;                    /* they are in another order now */
    return 0;
}

/* The same numbers in sizes that are whole numbers from 1; -1 stands for what is left. */
static int resize(graph_value *value, const double *size, int dims)
{
    size_t n, known = 1;
    int left = -1;
    if (dims > TENSOR_MAX_DIMS || value->turned || tensor_count(value->dims, value->dim, &n)) return -1;
    for (int i = 0; i < dims; ++i) {
        if (size[i] == -1 && left < 0) left = i;
        else if (!(size[i] >= 1 && size[i] <= 1e9) || __builtin_mul_overflow(known, (size_t)size[i], &known)) return -1;
        value->dim[i] = size[i] == -1 ? 1 : (size_t)size[i];
    }
    if (!known || n % known || (left < 0 && n != known)) return -1;
    if (left >= 0) value->dim[left] = n / known;
    value->dims = dims;
    return 0;
}

/* A constant in other sizes. */
static int reshape(weighing *work, graph_node *node)
{
    const graph_value *size = constant_input(work, node, 1);
    graph_value *to = size && size->numbers ? constant_output(work, node) : NULL, was;
    if (!to) return 0;
    was = *to;
    if (resize(to, size->number, size->numbers)) {
        *to = was;
        to->constant = 0;
    }
    return 0;
}

/* Sizes of 1 come or go: bias (8) as (8,1,1). */
static int unsqueeze(weighing *work, graph_node *node)
{
    const graph_value *list = constant_input(work, node, 1);
    const graph_attribute *attribute = graph_attribute_of(node, "axes");
    int n = list ? list->numbers : 0;
    const double *axes = list ? list->number : NULL;
    if (attribute) {
        n = attribute->n;
        axes = attribute->number;
    }
    const graph_value *from = constant_input(work, node, 0);
    if (!from || !n || from->turned || from->dims + n > TENSOR_MAX_DIMS) return 0;
    size_t dim[TENSOR_MAX_DIMS] = { 0 };
    int dims = from->dims + n, at = 0;
    for (int i = 0; i < n; ++i) {
        double axis = axes[i] < 0 ? axes[i] + dims : axes[i];
        if (!(axis >= 0 && axis < dims)) return 0;
        dim[(int)axis] = 1;
    }
    for (int i = 0; i < dims; ++i)
        if (!dim[i]) dim[i] = at < from->dims ? from->dim[at++] : 1;
    graph_value *to = constant_output(work, node);
    if (!to) return 0;
    memcpy(to->dim, dim, sizeof dim);
    to->dims = dims;
    return 0;
}

static const struct node_row {
    const char *op;
    int (*take)(weighing *work, graph_node *node);
} NODES[] = {
    { "Conv", conv }, { "Gemm", gemm }, { "MatMul", matmul }, { "BatchNormalization", batch_norm }, { "Add", add },
    { "Identity", same }, { "Cast", same }, { "Dropout", same }, { "Transpose", transpose }, { "Reshape", reshape },
    { "Unsqueeze", unsqueeze },
};

static int take_node(weighing *work, graph_node *node)
{
    if (!node->needed || node->foreign) return 0;
    for (size_t i = 0; i < sizeof NODES / sizeof *NODES; ++i)
        if (!strcmp(NODES[i].op, node->op)) return NODES[i].take(work, node);
    return 0;
}

int graph_weights(model_graph *graph, named_tensors *tensors, diag *d)
{
    weighing work = { .graph = graph, .t = tensors, .d = d };
    int failed = 0;
    work.bare = mem_calloc((size_t)graph->values, sizeof *work.bare);
    work.layer = mem_calloc((size_t)graph->nodes, sizeof *work.layer);
    for (int i = 0; i < graph->values; ++i) work.bare[i] = -1;
    for (int i = 0; i < graph->nodes && !failed; ++i) failed = take_node(&work, &graph->node[i]);
    free(work.bare);
    free(work.layer);
    return failed;
}
