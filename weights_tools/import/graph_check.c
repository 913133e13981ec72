/* Does a model's graph compute what the cfg says?
 *
 * Weights alone do not tell: another stride, padding, dilation or activation has the same. So the nodes are walked in
 * their order, and each value is said in terms of the cfg (graph_form): the network's input, the output of a layer, or
 * what becomes that once a bias, a batch norm or an activation has followed. A node that has weights must do what the
 * layer does that got them, to what that layer reads; any other must be a layer that reads the same output. So by
 * induction every value is a layer's, and at the end the model's output must be the network's. A [softmax] at the end
 * may be missing in the model: its loss has it. What stands behind the layers that feed [yolo] or [region] is decoding.
 *
 * Where the model has more than the cfg (the encoder of a distillation, a map with `none`), nodes that no layer does
 * are remembered and not told, until a layer of the cfg needs what they give.
 *
 * Sizes are the cfg's: a model exported for other images is the same network. */
#include "graph_walk.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>
#include <string.h>

/* What one node makes of what it takes. */
static int one_node(graph_walk *walk, const graph_node *node, graph_form *out)
{
    graph_op run = graph_op_of(node);
    if (graph_reckon(walk, node, out)) return 0;
    if (!strcmp(node->op, "Constant")) return graph_unknown(walk, node, out, "a constant of a kind that is not known");
    if (run) return run(walk, node, out);
    for (int i = 0; i < node->inputs && walk->lenient; ++i) {
        const graph_form *form = graph_form_in(walk, node, i);
        if (form && form->kind == FORM_UNKNOWN) return *out = *form, 0;
    }
    return graph_unknown(walk, node, out, "no layer of Darknet does this");
}

/* Some value is a layer's whole output. */
static void note_reached(graph_walk *walk, const graph_form *form)
{
    char text[TENSOR_TEXT];
    if (form->kind == FORM_LAYER && form->layer >= 0 && !graph_incomplete(walk, form, text))
        walk->reached[form->layer] = 1;
}

/* Every node on the way to an output, in order. */
static int walk_nodes(graph_walk *walk)
{
    for (int i = 0; i < walk->graph->nodes; ++i) {
        const graph_node *node = &walk->graph->node[i];
        const graph_value *made = graph_output(walk->graph, node, 0);
        graph_form out = { .kind = FORM_UNKNOWN, .blame = i };
        walk->at = i;
        if (!node->needed || (made && made->constant)) continue;
        if (one_node(walk, node, &out)) return -1;
        note_reached(walk, &out);
        if (made) walk->form[node->value[node->inputs]] = out;
    }
    return 0;
}

/* ---- what the model is given ---- */

/* The sizes of its input: those of the cfg; channels come last where it declares them so. */
static graph_form input_form(graph_walk *walk, const graph_value *value)
{
    const network *net = walk->job->net;
    graph_form form = graph_layer_form(walk, -1);
    size_t c = (size_t)net->c, h = (size_t)net->h, w = (size_t)net->w;
    if (value->dims == 2) {
        form.dims = 2;
        form.dim[1] = (size_t)net->inputs;
    } else if (value->dims == 4 && value->dim[1] != c && value->dim[3] == c) {
        form.order = CHANNELS_LAST;
        form.dim[1] = h;
        form.dim[2] = w;
        form.dim[3] = c;
    }
    return form;
}

/* Constants are numbers where they are few; what else they are for, their nodes know. */
static int first_forms(graph_walk *walk)
{
    int inputs = 0;
    walk->batch = 1;
    for (int i = 0; i < walk->graph->values; ++i) {
        const graph_value *value = &walk->graph->value[i];
        graph_form *form = &walk->form[i];
        *form = (graph_form){ .kind = FORM_UNKNOWN, .blame = -1 };
        if (value->constant && value->numbers) {
            form->kind = FORM_NUMBERS;
            form->numbers = value->numbers;
            memcpy(form->number, value->number, (size_t)value->numbers * sizeof *value->number);
        } else if (value->is_input && !value->constant && !inputs++) {
            if (value->dims && value->dim[0] && value->dim[0] < 1000000) walk->batch = value->dim[0];
            *form = input_form(walk, value);
        }
    }
    if (inputs == 1) return 0;
    diag_error(walk->d, walk->job->model, 0, NULL, "takes %d inputs, a network has one", inputs);
    return -1;
}

/* ---- what it gives ---- */

static const layer *layer_at(const graph_walk *walk, int i) { return &walk->job->net->layers[i]; }

static int was_reached(const graph_walk *walk, int layer)
{
    for (int i = 0; i < walk->job->net->n; ++i)
        if (walk->reached[i] && graph_same(walk, i, layer)) return 1;
    return 0;
}

/* Tells that nothing gives a layer's output, and which node came first that no layer is. */
static int not_given(graph_walk *walk, int layer)
{
    char where[TENSOR_TEXT];
    diag_error(walk->d, walk->job->model, 0, NULL, "no value of it is the output of %s",
               graph_layer_text(walk, layer, where));
    for (int i = 0; i < walk->graph->nodes; ++i) {
        if (!walk->why[i]) continue;
        diag_hint(walk->d, "the first node that is no layer of the cfg is '%s' (%s): %s", walk->graph->node[i].name,
                  walk->graph->node[i].op, walk->why[i]);
        break;
    }
    return -1;
}

/* What the layers that end a detector read. 1: there are such, and all are given. */
static int check_heads(graph_walk *walk)
{
    int heads = 0;
    for (int i = 0; i < walk->job->net->n; ++i) {
        LAYER_TYPE type = layer_at(walk, i)->type;
        if (type != YOLO && type != REGION && type != DETECTION) continue;
        ++heads;
        if (!was_reached(walk, i - 1)) return not_given(walk, i - 1);
    }
    return heads > 0;
}

/* The network's answer, and what its [softmax] reads. */
static int last_layer(const graph_walk *walk, int *before_softmax)
{
    int last = graph_canonical(walk, walk->job->net->n - 1);
    *before_softmax = last;
    if (last >= 0 && layer_at(walk, last)->type == SOFTMAX) *before_softmax = graph_canonical(walk, last - 1);
    return last;
}

/* Is one of the model's outputs the network's answer? */
static int check_outputs(graph_walk *walk)
{
    char text[TENSOR_TEXT], where[TENSOR_TEXT];
    int plain, last = last_layer(walk, &plain), heads = check_heads(walk);
    if (heads) return heads < 0 ? -1 : 0;
    if (walk->lenient || !walk->graph->outputs) return was_reached(walk, plain) ? 0 : not_given(walk, plain);
    for (int i = 0; i < walk->graph->outputs; ++i) {
        graph_form form = walk->form[walk->graph->output[i] < 0 ? 0 : walk->graph->output[i]];
        if (walk->graph->output[i] < 0 || form.kind != FORM_LAYER) continue;
        form.logged = 0;
        int same = graph_same(walk, form.layer, last) || graph_same(walk, form.layer, plain);
        const char *lacks = graph_incomplete(walk, &form, text);
        if (same && !lacks) return 0;
        diag_error(walk->d, walk->job->model, 0, NULL, "output '%s' is the output of %s%s%s",
                   walk->graph->value[walk->graph->output[i]].name, graph_layer_text(walk, form.layer, where),
                   lacks ? " " : "", lacks ? lacks : "");
        diag_hint(walk->d, "the cfg's last layer is %s", graph_layer_text(walk, last, where));
        return -1;
    }
    return not_given(walk, plain);
}

/* May the model have more than the cfg? */
static int has_more(const import_job *job)
{
    for (int g = 0; g < job->groups.n; ++g)
        if (job->layer[g] < 0) return 1;
    return job->encoder;
}

int import_check_graph(import_job *job, diag *d)
{
    graph_walk walk = { .job = job, .graph = job->tensors->graph, .lenient = has_more(job), .d = d };
    if (!walk.graph) return 0;
    walk.form = mem_calloc((size_t)walk.graph->values, sizeof *walk.form);
    walk.why = mem_calloc((size_t)walk.graph->nodes, sizeof *walk.why);
    walk.reached = mem_calloc((size_t)job->net->n, 1);
    int failed = first_forms(&walk) || walk_nodes(&walk) || check_outputs(&walk);
    for (int i = 0; i < walk.graph->nodes; ++i) free(walk.why[i]);
    free(walk.why);
    free(walk.form);
    free(walk.reached);
    return failed ? -1 : 0;
}
