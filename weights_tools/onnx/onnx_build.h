/* A network's ONNX under way, and what the writers of sections share (onnx_layers.c, onnx_fork.c). */
#ifndef DISTILL_ONNX_BUILD_H
#define DISTILL_ONNX_BUILD_H
#include "onnx_layers.h"

#include "darknet_plugin/base/mem.h"
#include "onnx_write.h"

#include <stdarg.h>

typedef struct build {
    onnx_model *model;
    const network *net;
    const cfg_file *cfg;
    diag *d;
    const char **value;      /* net->n tensors; borrowed from `text` */
    char *rows;              /* net->n: it is rows, not a map */
    char *is_output;         /* net->n */
    onnx_precision precision;
    int too_large;           /* a weight is, for it */
    char **text;             /* names, owned */
    int texts;
} build;

/* A name that lives as long as the build. */
__attribute__((format(printf, 2, 3))) static inline const char *name(build *graph, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *text = mem_vprintf(fmt, ap);
    va_end(ap);
    graph->text = mem_realloc(graph->text, (size_t)graph->texts + 1, sizeof *graph->text);
    graph->text[graph->texts++] = text;
    return text;
}

static inline const char *value_of(const build *graph, int i) { return i < 0 ? "input" : graph->value[i]; }
static inline int is_rows(const build *graph, int i) { return i >= 0 && graph->rows[i]; }
static inline const layer *at(const build *graph, int i) { return &graph->net->layers[i]; }

static inline void node1(build *graph, const char *op, const char *in, const char *out)
{
    onnx_node(graph->model, op, &in, 1, out);
}

static inline void node2(build *graph, const char *op, const char *first, const char *second, const char *out)
{
    const char *in[] = { first, second };
    onnx_node(graph->model, op, in, 2, out);
}

static inline const char *reshaped(build *graph, const char *in, const int64_t *dim, int dims, const char *out)
{
    const char *shape = name(graph, "shape_%d", graph->texts);
    onnx_int64s(graph->model, shape, dim, dims);
    node2(graph, "Reshape", in, shape, out);
    return out;
}

/* Layer i's output as a map; 0 in the shape keeps the batch. */
static inline const char *as_map(build *graph, int i)
{
    if (!is_rows(graph, i)) return value_of(graph, i);
    const int64_t dim[4] = { 0, at(graph, i)->out_c, at(graph, i)->out_h, at(graph, i)->out_w };
    return reshaped(graph, value_of(graph, i), dim, 4, name(graph, "map_%d", graph->texts));
}

static inline int refuse(build *graph, int i, const char *key, const char *what)
{
    const cfg_section *s = cfg_layer(graph->cfg, i);
    diag_error(graph->d, s->file, key ? cfg_line(s, key) : s->line, s->name, "ONNX export does not know %s", what);
    return -1;
}

/* What layer i's activation reads is called so: the layer's own name if there is none. */
const char *onnx_before_activation(build *graph, int i);
/* Layer i's value: its activation of `before`, which is the value itself where the activation is linear. 0, or -1 after
 * reporting. */
int onnx_activate(build *graph, int i, const char *before);

/* Sections of onnx_fork.c: each writes layer i; 0, or -1 after reporting. */
int onnx_part(build *graph, int i);
int onnx_product(build *graph, int i);
int onnx_reorg3d(build *graph, int i);
int onnx_sum(build *graph, int i);

#endif
