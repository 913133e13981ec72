/* Operators that lay the same numbers out in another way, or take a part of them.
 *
 * Memory keeps its order through Reshape, Flatten, Squeeze and Unsqueeze; so does a Transpose that moves sizes of 1
 * alone. Of the others two are known: a map's channels to the end and back. Slice and Pad are what a [shortcut] of
 * unlike maps is in a graph, and what stands before a convolution that pads one side more than the other. */
#include "graph_walk.h"

#include <math.h>
#include <string.h>

static size_t count(const graph_form *form)
{
    size_t n;
    return tensor_count(form->dims, form->dim, &n) ? 0 : n;
}

/* The same numbers in other sizes; the batch stays in front. */
static int lay_out(graph_walk *walk, const graph_node *node, const graph_form *form, int dims, const size_t *dim,
                   graph_form *out)
{
    size_t n;
    if (dims < 1 || dims > TENSOR_MAX_DIMS || dim[0] != form->dim[0] || tensor_count(dims, dim, &n) || n != count(form))
        return graph_unknown(walk, node, out, "sizes that keep not each image's numbers together");
    if (form->pad[0] || form->pad[1] || form->pad[2] || form->pad[3] || form->channels || form->step[0] != 1 ||
        form->step[1] != 1)
        return graph_unknown(walk, node, out, "a part of a map in other sizes");
    graph_form made = *form;
    made.dims = dims;
    memset(made.dim, 0, sizeof made.dim);
    memcpy(made.dim, dim, (size_t)dims * sizeof *dim);
    *out = made;
    return 0;
}

/* Identity, Dropout, a Cast from one floating type to another. */
int graph_pass(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    double to = graph_number(node, "to", 1);
    int status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    if (to != 1 && to != 10 && to != 11 && to != 16) return graph_unknown(walk, node, out, "a change to whole numbers");
    *out = *form;
    return 0;
}

/* All of an image's numbers in a row. */
int graph_flatten(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    int status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    double axis = graph_number(node, "axis", 1);
    size_t dim[2] = { form->dim[0], form->dim[0] ? count(form) / form->dim[0] : 0 };
    if (axis < 0) axis += form->dims;
    if (axis != 1)
        return graph_unknown(walk, node, out, "axis=%g, which keeps not each image's numbers together", axis);
    return lay_out(walk, node, form, 2, dim, out);
}

/* 0 keeps a size, -1 stands for what is left. */
int graph_reshape(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    size_t dim[GRAPH_NUMBERS] = { 0 }, known = 1;
    int n, left = -1, status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    const double *size = graph_numbers_in(walk, node, "shape", 1, &n);
    if (!n || n > TENSOR_MAX_DIMS) return graph_unknown(walk, node, out, "sizes that cannot be known");
    for (int i = 0; i < n; ++i) {
        int keeps = size[i] == 0 && i < form->dims && !graph_number(node, "allowzero", 0);
        double v = keeps ? (double)form->dim[i] : trunc(size[i]);
        if (v == -1 && left < 0) left = i;
        else if (!(v >= 1 && v <= 1e9)) return graph_unknown(walk, node, out, "a size of %g", v);
        dim[i] = v == -1 ? 1 : (size_t)v;
        if (__builtin_mul_overflow(known, dim[i], &known))
            return graph_unknown(walk, node, out, "sizes beyond all measure");
    }
    if (left >= 0) dim[left] = count(form) / known;
    return lay_out(walk, node, form, n, dim, out);
}

/* Marks the dimensions that a node names, of `dims`; -1 where it names others. */
static int named_axes(const graph_walk *walk, const graph_node *node, int dims, char *marked)
{
    int n;
    const double *axes = graph_numbers_in(walk, node, "axes", 1, &n);
    for (int i = 0; i < n; ++i) {
        double axis = axes[i] < 0 ? axes[i] + dims : axes[i];
        if (!(axis >= 0 && axis < dims) || axis != floor(axis)) return -1;
        marked[(int)axis] = 1;
    }
    return n;
}

/* Sizes of 1 go: those named, or all but the batch. */
int graph_squeeze(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    char marked[TENSOR_MAX_DIMS] = { 0 };
    size_t dim[TENSOR_MAX_DIMS];
    int dims = 0, status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    int n = named_axes(walk, node, form->dims, marked);
    if (n < 0 || marked[0]) return graph_unknown(walk, node, out, "axes that it has not, or the batch");
    for (int i = 0; i < form->dims; ++i) {
        int goes = n ? marked[i] : i && form->dim[i] == 1;
        if (goes && form->dim[i] != 1) return graph_unknown(walk, node, out, "a dimension that is not 1");
        if (!goes) dim[dims++] = form->dim[i];
    }
    return lay_out(walk, node, form, dims, dim, out);
}

/* Sizes of 1 come. */
int graph_unsqueeze(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    char marked[TENSOR_MAX_DIMS] = { 0 };
    size_t dim[TENSOR_MAX_DIMS];
    int at = 0, n, status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    graph_numbers_in(walk, node, "axes", 1, &n);
    int dims = form->dims + n;
    if (dims > TENSOR_MAX_DIMS || named_axes(walk, node, dims, marked) < 1)
        return graph_unknown(walk, node, out, "axes that cannot be known");
    for (int i = 0; i < dims; ++i) dim[i] = !marked[i] && at < form->dims ? form->dim[at++] : 1;
    return lay_out(walk, node, form, dims, dim, out);
}

/* ---- channels last ---- */

/* Do sizes other than 1 stay in their order? */
static int moves_nothing(const graph_form *form, const int *perm)
{
    int last = -1;
    for (int i = 0; i < form->dims; ++i) {
        if (form->dim[perm[i]] == 1) continue;
        if (perm[i] < last) return 0;
        last = perm[i];
    }
    return 1;
}

/* A node's perm, or the order turned round; -1 where it is none of so many dimensions. */
static int permutation(const graph_node *node, int dims, int *perm)
{
    const graph_attribute *said = graph_attribute_of(node, "perm");
    int seen = 0;
    if (said && said->n != dims) return -1;
    for (int i = 0; i < dims; ++i) {
        double v = said ? said->number[i] : dims - 1 - i;
        if (!(v >= 0 && v < dims) || v != floor(v)) return -1;
        perm[i] = (int)v;
        seen |= 1 << perm[i];
    }
    return seen == (1 << dims) - 1 ? 0 : -1;
}

/* Channels to the end, and back; whatever moves sizes of 1 alone. */
int graph_transpose(graph_walk *walk, const graph_node *node, graph_form *out)
{
    static const int to_last[] = { 0, 2, 3, 1 }, to_first[] = { 0, 3, 1, 2 };
    const graph_form *form;
    int perm[TENSOR_MAX_DIMS] = { 0 }, status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    if (permutation(node, form->dims, perm)) return graph_unknown(walk, node, out, "its perm fits not what it takes");
    graph_form made = *form;
    int order = form->order, still = moves_nothing(form, perm);
    int last = form->dims == 4 && order == CHANNELS_FIRST && !memcmp(perm, to_last, sizeof to_last);
    int first = form->dims == 4 && order == CHANNELS_LAST && !memcmp(perm, to_first, sizeof to_first);
    if (!still && !last && !first)
        return graph_unknown(walk, node, out, "it puts numbers into an order that no layer has");
    for (int i = 0; i < form->dims; ++i) made.dim[i] = form->dim[perm[i]];
    if (last) made.order = CHANNELS_LAST;
    if (first) made.order = CHANNELS_FIRST;
    *out = made;
    return 0;
}

/* ---- parts and zeros ---- */

/* Where channels, rows and columns stand among the dimensions of a map. */
static void places(const graph_form *form, int place[3])
{
    int last = form->order == CHANNELS_LAST;
    place[0] = last ? 3 : 1;
    place[1] = last ? 1 : 2;
    place[2] = last ? 2 : 3;
}

/* Zeros around a map, and behind its last channel. */
static int add_zeros(graph_walk *walk, const graph_node *node, const double *pads, graph_form *form, graph_form *out)
{
    int place[3];
    places(form, place);
    for (int i = 0; i < 8; ++i)
        if (!(pads[i] >= 0 && pads[i] <= 1e6))
            return graph_unknown(walk, node, out, "pads below 0, or beyond all measure");
    if (pads[0] != 0 || pads[4] != 0) return graph_unknown(walk, node, out, "zeros in place of images");
    if (pads[place[0]] != 0)
        return graph_unknown(walk, node, out,
                             "channels of zeros before the first: Darknet's [shortcut] of unlike maps adds "
                             "to the first channels, as if they stood behind the last");
    for (int k = 0; k < 2; ++k) {
        form->pad[k] += (size_t)pads[place[1 + k]];
        form->pad[2 + k] += (size_t)pads[4 + place[1 + k]];
    }
    if (pads[4 + place[0]] > 0) {
        if (!form->channels) form->channels = form->dim[place[0]];
        form->dim[place[0]] += (size_t)pads[4 + place[0]];
    }
    *out = *form;
    return 0;
}

/* Zeros, by an attribute or an input. */
int graph_pad(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    int n, values, status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    const double *pads = graph_numbers_in(walk, node, "pads", 1, &n);
    const double *value = graph_numbers_in(walk, node, "value", 2, &values);
    if (strcmp(graph_text(node, "mode", "constant"), "constant") || (values && value[0] != 0) ||
        (!values && graph_input(walk->graph, node, 2)) || graph_input(walk->graph, node, 3))
        return graph_unknown(walk, node, out, "it pads with something else than zeros");
    int nothing = n > 0;
    for (int i = 0; i < n; ++i) nothing = nothing && pads[i] == 0;
    graph_form made = *form;
    if (nothing) *out = made;
    if (nothing) return 0;
    if (n != 8 || form->dims != 4) return graph_unknown(walk, node, out, "pads of something that is no map");
    return add_zeros(walk, node, pads, &made, out);
}

/* One dimension of a Slice, from 0 on. 0, or -1. */
static int slice_axis(graph_form *form, int axis, double start, double end, double step)
{
    int place[3];
    size_t was = form->dim[axis];
    if (start != 0 || !(step >= 1 && step <= 1e6) || step != floor(step)) return -1;
    if (end < 0) end += (double)was;
    size_t last = end > 0 ? (size_t)fmin(end, (double)was) : 0;
    if (!last) return -1;
    size_t kept = (last + (size_t)step - 1) / (size_t)step;
    if (kept == was) return 0;
    places(form, place);
    if (form->dims != 4 || axis == 0) return -1;
    if (axis == place[0]) {
        if (step != 1) return -1;
        form->channels = form->channels && form->channels < kept ? form->channels : kept;
    } else {
        if (kept != (was + (size_t)step - 1) / (size_t)step) return -1;
        form->step[axis == place[2]] *= (size_t)step;
    }
    form->dim[axis] = kept;
    return 0;
}

/* Every so many rows and columns, the first channels. */
int graph_slice(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    int starts, ends, axes, steps, status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    const double *start = graph_numbers_in(walk, node, "starts", 1, &starts);
    const double *end = graph_numbers_in(walk, node, "ends", 2, &ends);
    const double *axis = graph_numbers_in(walk, node, "axes", 3, &axes);
    const double *step = graph_numbers_in(walk, node, "steps", 4, &steps);
    graph_form made = *form;
    int odd = !starts || starts != ends || (axes && axes != starts) || (steps && steps != starts);
    for (int i = 0; i < starts && !odd; ++i) {
        double k = axes ? axis[i] : i;
        if (k < 0) k += made.dims;
        odd = !(k >= 0 && k < made.dims) || k != floor(k) ||
            slice_axis(&made, (int)k, start[i], end[i], steps ? step[i] : 1);
    }
    if (odd) return graph_unknown(walk, node, out, "it takes another part of a map than a [shortcut] does");
    *out = made;
    return 0;
}

/* A value's sizes as numbers. */
int graph_shape(graph_walk *walk, const graph_node *node, graph_form *out)
{
    const graph_form *form;
    int status = graph_takes(walk, node, 0, &form, out);
    if (status <= 0) return status;
    double from = graph_number(node, "start", 0), to = graph_number(node, "end", TENSOR_MAX_DIMS);
    graph_form made = { .kind = FORM_NUMBERS };
    if (from < 0) from += form->dims;
    if (to < 0) to += form->dims;
    for (int i = 0; i < form->dims; ++i)
        if (i >= from && i < to) made.number[made.numbers++] = (double)form->dim[i];
    *out = made;
    return 0;
}
