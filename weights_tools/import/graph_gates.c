/* Activations that a graph says in several operators: x times a gate, or a hard sigmoid times 6.
 *
 *   swish        x * Sigmoid(x)             mish    x * Tanh(Softplus(x))
 *   hard_swish   x * HardSigmoid(x), of alpha 1/6 and beta 1/2
 *   relu6        6 * HardSigmoid(x), of alpha 1/6 and beta 0
 *
 * A gate is taken for one only where the layer, or an [activation] that reads it, has that activation still to come. */
#include "graph_walk.h"

#include "layers/fork_layers.h"

#include <math.h>
#include <string.h>

/* An operator on a value whose gate is `from` makes gate `to` of `activation`; alpha 0: it has none. */
static const struct gate_row {
    const char *op;
    graph_gate from, to;
    int activation;
    double alpha, beta;
} GATES[] = {
    { "Sigmoid", GATE_NONE, GATE_WHOLE, ACTIVATION_SWISH, 0, 0 },
    { "Softplus", GATE_NONE, GATE_SOFTPLUS, ACTIVATION_MISH, 0, 0 },
    { "Tanh", GATE_SOFTPLUS, GATE_WHOLE, ACTIVATION_MISH, 0, 0 },
    { "HardSigmoid", GATE_NONE, GATE_WHOLE, ACTIVATION_HARD_SWISH, 1. / 6, .5 },
    { "HardSigmoid", GATE_NONE, GATE_SIXTH, ACTIVATION_RELU6, 1. / 6, 0 },
};

static int near(double a, double b) { return fabs(a - b) <= 1e-5; }

static int is_hard(const struct gate_row *row, const graph_node *node)
{
    return near(graph_number(node, "alpha", .2), row->alpha) && near(graph_number(node, "beta", .5), row->beta);
}

int graph_gate_of(const graph_walk *walk, const graph_node *node, const graph_form *form, graph_form *out)
{
    for (size_t i = 0; i < sizeof GATES / sizeof *GATES; ++i) {
        const struct gate_row *row = &GATES[i];
        if (strcmp(row->op, node->op) || row->from != form->gate || (row->alpha != 0 && !is_hard(row, node))) continue;
        int owed = form->owes == LINEAR ? graph_activation_layer(walk, form->layer, row->activation) >= 0
                                        : (int)form->owes == row->activation;
        if (!owed || form->owes_bias || form->owes_norm || form->factor != 1) continue;
        *out = *form;
        out->gate = row->to;
        out->gated = row->activation;
        return 1;
    }
    return 0;
}

/* Are these one value, but that `gate` went through one? */
static int is_gated(const graph_form *gate, const graph_form *form)
{
    graph_form same = *gate;
    same.gate = form->gate;
    same.gated = form->gated;
    return gate->gate == GATE_WHOLE && form->gate == GATE_NONE && form->kind == FORM_LAYER
        && same.layer == form->layer && same.owes == form->owes && same.order == form->order && same.dims == form->dims
        && !memcmp(same.dim, form->dim, sizeof same.dim) && form->factor == 1;
}

int graph_gated_product(const graph_form *one, const graph_form *other, graph_form *form)
{
    if (!one || !other || one->kind != FORM_LAYER) return -1;
    if (other->kind == FORM_NUMBERS) {
        *form = *one;
        form->gate = GATE_NONE;
        return one->gate == GATE_SIXTH && other->numbers == 1 && other->number[0] == 6 ? one->gated : -1;
    }
    if (other->kind == FORM_LAYER && is_gated(other, one)) {
        *form = *one;
        return other->gated;
    }
    *form = *other;
    return other->kind == FORM_LAYER && is_gated(one, other) ? one->gated : -1;
}
