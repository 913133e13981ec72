/* Activations that are several nodes:
 *
 *   relu6        6 * HardSigmoid(1/6, 0): OpenCV refuses Clip with inputs        mish    x * Tanh(Softplus(x))
 *   hard_swish   x * HardSigmoid(1/6, 1/2), where HardSwish is of opset 14       swish   x * Sigmoid(x)
 *   hard_mish    Relu(x) + 2 h (h - 1), h = HardSigmoid(1/2, 1)
 *   gelu         x * Sigmoid(2 u), 2 u = x * (a + b * x * x): the same as x / 2 * (1 + Tanh(u)) */
#include "onnx_build.h"

#include "darknet_plugin/host/host_facts.h"
#include "darknet_plugin/base/mem.h"
#include "layers/activation_ops.h"

#include <stdlib.h>

/* The nodes of one activation. */
typedef struct steps {
    onnx_model *model;
    const char *x, *out;
    char *name[8];           /* of what stands in between, owned */
    int names;
} steps;

static const char *between(steps *to, const char *what)
{
    return to->name[to->names++] = mem_printf("%s_%s", to->out, what);
}

static const char *number(steps *to, const char *what, float value)
{
    const int64_t one = 1;
    const char *name = between(to, what);
    onnx_floats(to->model, name, &one, 1, &value);
    return name;
}

static const char *of_one(steps *to, const char *op, const char *in)
{
    const char *out = between(to, op);
    onnx_node(to->model, op, &in, 1, out);
    return out;
}

static const char *of_two(steps *to, const char *op, const char *one, const char *other, const char *out)
{
    const char *in[] = { one, other };
    onnx_node(to->model, op, in, 2, out);
    return out;
}

/* min(max(alpha * x + beta, 0), 1) */
static const char *hard_sigmoid(steps *to, float alpha, float beta)
{
    const char *out = of_one(to, "HardSigmoid", to->x);
    onnx_float(to->model, "alpha", alpha);
    onnx_float(to->model, "beta", beta);
    return out;
}

static void times_x(steps *to, const char *factor) { of_two(to, "Mul", to->x, factor, to->out); }
static void relu6(steps *to) { of_two(to, "Mul", hard_sigmoid(to, 1.f / 6, 0), number(to, "six", 6), to->out); }
static void hard_swish(steps *to) { times_x(to, hard_sigmoid(to, 1.f / 6, .5f)); }
static void swish(steps *to) { times_x(to, of_one(to, "Sigmoid", to->x)); }
static void mish(steps *to) { times_x(to, of_one(to, "Tanh", of_one(to, "Softplus", to->x))); }

/* Between -2 and 0 it is (x / 2 + 1) * x, and x is 2 (h - 1). */
static void hard_mish(steps *to)
{
    const char *h = hard_sigmoid(to, .5f, 1);
    const char *less = of_two(to, "Sub", h, number(to, "one", 1), between(to, "less"));
    const char *product = of_two(to, "Mul", h, less, between(to, "product"));
    const char *dip = of_two(to, "Mul", product, number(to, "two", 2), between(to, "dip"));
    of_two(to, "Add", of_one(to, "Relu", to->x), dip, to->out);
}

static void gelu(steps *to)
{
    const char *square = of_two(to, "Mul", to->x, to->x, between(to, "square"));
    const char *cubic = of_two(to, "Mul", square, number(to, "b", 2 * ACT_GELU_CUBIC), between(to, "cubic"));
    const char *factor = of_two(to, "Add", cubic, number(to, "a", 2 * ACT_GELU_LINEAR), between(to, "factor"));
    times_x(to, of_one(to, "Sigmoid", of_two(to, "Mul", to->x, factor, between(to, "twice"))));
}

static const struct { int activation; void (*write)(steps *to); } rows[] = {
    { ACTIVATION_RELU6, relu6 }, { ACTIVATION_HARD_SWISH, hard_swish }, { ACTIVATION_SWISH, swish },
    { ACTIVATION_MISH, mish }, { ACTIVATION_HARD_MISH, hard_mish }, { ACTIVATION_GELU, gelu },
};

/* Writes out = activation(input). What stands in between is called after `out`. 0; -1 if it is none of these. */
static int fork_activation(onnx_model *model, int activation, const char *input, const char *out)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        steps to = { .model = model, .x = input, .out = out };
        if (rows[i].activation != activation) continue;
        rows[i].write(&to);
        for (int k = 0; k < to.names; ++k) free(to.name[k]);
        return 0;
    }
    return -1;
}

/* ---- of a layer ---- */

static const struct activation_row {
    ACTIVATION activation;
    const char *op;
    float alpha, gamma;      /* attributes; 0 = the operator has none */
} activations[] = {
    { RELU, "Relu", 0, 0 }, { LEAKY, "LeakyRelu", HOST_LEAKY_SLOPE, 0 }, { RELIE, "LeakyRelu", .01f, 0 },
    { LOGISTIC, "Sigmoid", 0, 0 }, { TANH, "Tanh", 0, 0 }, { ELU, "Elu", 1, 0 }, { SELU, "Selu", 1.6732f, 1.0507f },
};

static const struct activation_row *activation_row(ACTIVATION activation)
{
    for (size_t i = 0; i < sizeof activations / sizeof *activations; ++i)
        if (activations[i].activation == activation) return &activations[i];
    return NULL;
}

const char *onnx_before_activation(build *graph, int i)
{
    return at(graph, i)->activation == LINEAR ? graph->value[i] : name(graph, "layer_%d_linear", i);
}

int onnx_activate(build *graph, int i, const char *before)
{
    const struct activation_row *row = activation_row(at(graph, i)->activation);
    if (at(graph, i)->activation == LINEAR) return 0;
    if (!fork_activation(graph->model, (int)at(graph, i)->activation, before, graph->value[i])) return 0;
    if (!row) {
        const char *a = cfg_str(cfg_layer(graph->cfg, i), "activation", "");
        refuse(graph, i, "activation", name(graph, "activation=%s", a));
        diag_hint(graph->d, "it knows linear, relu, leaky, relie, logistic, tanh, elu, selu and all from mish on");
        return -1;
    }
    node1(graph, row->op, before, graph->value[i]);
    if (row->alpha) onnx_float(graph->model, "alpha", row->alpha);
    if (row->gamma) onnx_float(graph->model, "gamma", row->gamma);
    return 0;
}
