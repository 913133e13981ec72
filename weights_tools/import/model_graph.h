/* A model's graph, for formats that have one (ONNX): nodes in the order in which they run, and what each takes.
 *
 *   onnx_read.cpp     fills it from a file
 *   graph_weights.c   which constants are weights, and of which layer (while the file is in memory)
 *   graph_check.c     whether the nodes compute what the cfg's layers compute (when it is known which layer is which)
 *
 * Values have numbers; texts are printable. */
#ifndef DISTILL_MODEL_GRAPH_H
#define DISTILL_MODEL_GRAPH_H
#ifdef __cplusplus
extern "C" {
#endif
#include "named_tensors.h"

/* Constants of so few numbers are kept as numbers: sizes, pads, limits. */
enum { GRAPH_NUMBERS = 16, GRAPH_MOST_NODES = 65536, GRAPH_MOST_PLACES = 1 << 20 };

typedef struct graph_value {
    char *name;                    /* owned */
    int constant, is_float;        /* the file has it; of a floating type */
    int dims;
    size_t dim[TENSOR_MAX_DIMS];   /* of a constant, or of an input as declared, 0 = not said */
    int turned;                    /* a constant matrix that has been transposed: dim is as it is now */
    int is_input;
    int numbers;                   /* of a constant of at most GRAPH_NUMBERS, else 0 */
    double *number;                /* owned */
    const void *source;            /* the reader's, while the file is in memory */
} graph_value;

typedef struct graph_attribute {
    char *name, *text;             /* owned; text NULL unless it is one */
    int n;                         /* numbers kept, GRAPH_NUMBERS at most */
    double *number;                /* owned */
} graph_attribute;

typedef struct graph_node {
    char *name, *op;               /* owned; the name is its first output's where it has none */
    int foreign;                   /* of an operator set that is not ONNX's own */
    int inputs, outputs;
    int *value;                    /* inputs, then outputs; -1 = left out; owned */
    int attributes;
    graph_attribute *attribute;    /* owned */
    int needed;                    /* an output of the model depends on it */
    int layer;                     /* group of named tensors whose values it takes, -1 = none */
    tensor_part part;              /* PART_WEIGHT, PART_BIAS, PART_MEAN (a whole batch norm) */
} graph_node;

typedef struct model_graph {
    int values, nodes, outputs;
    graph_value *value;            /* owned */
    graph_node *node;              /* owned */
    int *output;                   /* values, owned */
    int opset;
    /* Copies a constant's values, as the file has them, to `to`. 0, or -1 with a message. */
    int (*fill)(void *reader, const graph_value *value, named_tensor *to, diag *d);
    void *reader;                  /* for `fill`, while the file is in memory */
} model_graph;

void model_graph_free(model_graph *graph);
/* The value a node takes or gives at place i; NULL where it is left out. */
graph_value *graph_input(const model_graph *graph, const graph_node *node, int i);
graph_value *graph_output(const model_graph *graph, const graph_node *node, int i);
const graph_attribute *graph_attribute_of(const graph_node *node, const char *name);
/* The attribute's first number, or text; what is given otherwise where it is not there. */
double graph_number(const graph_node *node, const char *name, double otherwise);
const char *graph_text(const graph_node *node, const char *name, const char *otherwise);
/* (graph_weights.c) Appends all weights to `tensors`, by layers. 0, or -1 with messages. */
int graph_weights(model_graph *graph, named_tensors *tensors, diag *d);

#ifdef __cplusplus
}
#endif
#endif
