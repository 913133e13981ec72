/* What the files of graph_check.c share: a value of the graph said in terms of the cfg's layers.
 *
 *   graph_check.c     walks the nodes, then asks whether the model's outputs are the network's
 *   graph_ops.c       the table: which function knows which operator
 *   graph_layers.c    operators that are layers with weights, or their activation
 *   graph_gates.c     activations that are several operators
 *   graph_pools.c     pooling, windows, enlarging
 *   graph_joins.c     sums, joins, softmax
 *   graph_forms.c     operators that lay the same numbers out in another way, or take a part
 *   graph_numbers.c   arithmetic on sizes
 *   graph_walk.c      what they all need */
#ifndef DISTILL_GRAPH_WALK_H
#define DISTILL_GRAPH_WALK_H
#include "import.h"
#include "model_graph.h"

typedef enum { FORM_UNKNOWN, FORM_LAYER, FORM_NUMBERS } form_kind;
/* What a value is multiplied with to be activated: all of it; mish's before Tanh; what 6 makes relu6 of. */
typedef enum { GATE_NONE, GATE_WHOLE, GATE_SOFTPLUS, GATE_SIXTH } graph_gate;
typedef enum { CHANNELS_FIRST, CHANNELS_LAST } form_order;

/* What is known of a value. FORM_LAYER: a layer's output, or what becomes it once the rest has happened. */
typedef struct graph_form {
    form_kind kind;
    int blame;                      /* UNKNOWN: the node that nobody knows; -1 = a second input */
    int layer;                      /* -1 = the network's input */
    int owes_bias, owes_norm;       /* are still to come, */
    ACTIVATION owes;                /* so is this activation; LINEAR = no more */
    graph_gate gate;                /* it went through this, a part */
    int gated;                      /* of this activation */
    int logged;                     /* its logarithm */
    double factor;                  /* times this */
    form_order order;               /* of the numbers in memory: c, h, w or h, w, c */
    int dims;
    size_t dim[TENSOR_MAX_DIMS];    /* dim[0] = the batch */
    size_t channels;                /* so many of the layer's; more in dim are zeros behind them, 0 = all */
    size_t step[2];                 /* every so many rows, columns */
    size_t pad[4];                  /* rows and columns of zeros: top, left, bottom, right */
    int numbers;                    /* NUMBERS */
    double number[GRAPH_NUMBERS];
} graph_form;

typedef struct graph_walk {
    import_job *job;
    const model_graph *graph;
    graph_form *form;               /* per value, owned */
    char **why;                     /* per node that nobody knows: the reason, owned */
    char *reached;                  /* per layer: some value is its output; owned */
    size_t batch;
    int at;                         /* the node */
    int lenient;                    /* the model may have more than the cfg: unknown nodes are remembered, not told */
    diag *d;
} graph_walk;

/* What an operator makes of the walk: 0 and *out, or -1 with a message. */
typedef int (*graph_op)(graph_walk *walk, const graph_node *node, graph_form *out);
graph_op graph_op_of(const graph_node *node);

/* ---- graph_walk.c ---- */

/* Adds "node 'x' (Conv) is not [convolutional] #0 (a.cfg:8): ..."; returns -1. */
int graph_differs(graph_walk *walk, const graph_node *node, int layer, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* No layer of the cfg does this: -1 with a message, or 0 and an unknown form where the model may have more. */
int graph_unknown(graph_walk *walk, const graph_node *node, graph_form *out, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* What a node takes at place i; NULL where it is left out. */
const graph_form *graph_form_in(const graph_walk *walk, const graph_node *node, int i);
/* The same where it must be a layer's. 1: it is and *form is set; 0: it is unknown, and so is *out; -1: told. */
int graph_takes(graph_walk *walk, const graph_node *node, int i, const graph_form **form, graph_form *out);
/* What a node takes as numbers: an attribute, or its input at place i; NULL and *n = 0 if there are none. */
const double *graph_numbers_in(const graph_walk *walk, const graph_node *node, const char *attribute, int i, int *n);
const char *graph_activation_text(ACTIVATION activation);
/* Why a value is not yet the output of its layer, into text[TENSOR_TEXT]; NULL where it is. */
const char *graph_incomplete(const graph_walk *walk, const graph_form *form, char *text);
/* The output of a layer, its activation still to come, as (batch, c, h, w). */
graph_form graph_layer_form(const graph_walk *walk, int layer);
/* A layer's output sizes; those of the network's input for -1. */
void graph_sizes(const graph_walk *walk, int layer, size_t *c, size_t *h, size_t *w);
/* Are two layers' outputs the same numbers? Layers that change nothing are looked through, joins compared part by
 * part. */
int graph_same(const graph_walk *walk, int one, int other);
/* The layer that a form needs to be a map of, channels first: NULL, or why it is none. */
const char *graph_no_map(const graph_walk *walk, const graph_form *form);
/* Parts of a layer's output in the order of its channels; how many, GRAPH_PARTS + 1 where there are more. */
enum { GRAPH_PARTS = 64 };
int graph_parts(const graph_walk *walk, int layer, int *part, int n);
int graph_canonical(const graph_walk *walk, int layer);
/* "[convolutional] #0 (a.cfg:8)" or "the network's input", into text[TENSOR_TEXT], which is returned. */
const char *graph_layer_text(const graph_walk *walk, int layer, char *text);
int graph_no_less_than_0(const graph_walk *walk, const graph_form *form);

/* ---- activations (graph_layers.c, graph_gates.c) ---- */

/* An [activation] section that reads this layer; -1 if there is none. */
int graph_activation_layer(const graph_walk *walk, int from, int activation);
/* Is this operator of a form a gate, or a part of one, of the activation that its layer has to come? 1 and *out. */
int graph_gate_of(const graph_walk *walk, const graph_node *node, const graph_form *form, graph_form *out);
/* The activation that a product is, and of which form, a gate being one factor; -1: it is none. */
int graph_gated_product(const graph_form *one, const graph_form *other, graph_form *form);
/* A form's activation by this one; `what`: as messages have it. */
int graph_activate(graph_walk *walk, const graph_node *node, const graph_form *form, int activation, const char *what,
                   graph_form *out);

/* ---- windows (graph_pools.c) ---- */

typedef struct graph_window {
    size_t size, stride, out;
    long before;                    /* rows before the map in which the first begins */
    size_t dilation;
} graph_window;
/* A node's windows over rows and columns of *form; 0, or -1 where its attributes make none. */
int graph_windows(const graph_node *node, const graph_form *form, const size_t size[2], graph_window window[2]);
/* "3x3, stride 2x2, pads 0,0,1,1", into text[TENSOR_TEXT], which is returned. */
const char *graph_window_text(const graph_window window[2], char *text);

/* ---- operators ---- */

int graph_conv(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_dense(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_norm(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_activation(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_clip(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_max_pool(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_average_pool(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_mean(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_resize(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_add(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_scale(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_concat(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_softmax(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_pass(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_flatten(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_reshape(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_squeeze(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_unsqueeze(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_transpose(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_pad(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_slice(graph_walk *walk, const graph_node *node, graph_form *out);
int graph_shape(graph_walk *walk, const graph_node *node, graph_form *out);
/* Where a node takes nothing but numbers: 1 and *out, 0 where it does not or nobody knows it. */
int graph_reckon(const graph_walk *walk, const graph_node *node, graph_form *out);

#endif
