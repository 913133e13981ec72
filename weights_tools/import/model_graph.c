/* What every user of a model's graph needs (see model_graph.h). */
#include "model_graph.h"

#include <stdlib.h>
#include <string.h>

/* Frees what a node owns. */
static void free_node(graph_node *node)
{
    for (int i = 0; i < node->attributes; ++i) {
        free(node->attribute[i].name);
        free(node->attribute[i].text);
        free(node->attribute[i].number);
    }
    free(node->attribute);
    free(node->value);
    free(node->name);
    free(node->op);
}

/* Frees the graph; NULL is none. */
void model_graph_free(model_graph *graph)
{
    if (!graph) return;
    for (int i = 0; i < graph->values; ++i) {
        free(graph->value[i].name);
        free(graph->value[i].number);
    }
    for (int i = 0; i < graph->nodes; ++i) free_node(&graph->node[i]);
    free(graph->value);
    free(graph->node);
    free(graph->output);
    free(graph);
}

graph_value *graph_input(const model_graph *graph, const graph_node *node, int i)
{
    return i < node->inputs && node->value[i] >= 0 ? &graph->value[node->value[i]] : NULL;
}

graph_value *graph_output(const model_graph *graph, const graph_node *node, int i)
{
    int at = node->inputs + i;
    return i < node->outputs && node->value[at] >= 0 ? &graph->value[node->value[at]] : NULL;
}

const graph_attribute *graph_attribute_of(const graph_node *node, const char *name)
{
    for (int i = 0; i < node->attributes; ++i)
        if (!strcmp(node->attribute[i].name, name)) return &node->attribute[i];
    return NULL;
}

double graph_number(const graph_node *node, const char *name, double otherwise)
{
    const graph_attribute *attribute = graph_attribute_of(node, name);
    return attribute && attribute->n ? attribute->number[0] : otherwise;
}

const char *graph_text(const graph_node *node, const char *name, const char *otherwise)
{
    const graph_attribute *attribute = graph_attribute_of(node, name);
    return attribute && attribute->text ? attribute->text : otherwise;
}
