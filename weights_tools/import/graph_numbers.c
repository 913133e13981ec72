/* Arithmetic on a few numbers: exporters compute the sizes for a Reshape or Resize in the graph, from a Shape. Only
 * what they use is known: at most GRAPH_NUMBERS in a row, one number with a row of them, or two rows of one length. */
#include "graph_walk.h"

#include <math.h>
#include <string.h>

static double plus(double x, double y) { return x + y; }
static double minus(double x, double y) { return x - y; }
static double times(double x, double y) { return x * y; }
static double over(double x, double y) { return y != 0 ? x / y : 0; }

static int two(const graph_form *one, const graph_form *other, double (*of)(double, double), graph_form *out)
{
    int n = one->numbers > other->numbers ? one->numbers : other->numbers;
    if ((one->numbers != n && one->numbers != 1) || (other->numbers != n && other->numbers != 1)) return 0;
    for (int i = 0; i < n; ++i) out->number[i] = of(one->number[one->numbers == 1 ? 0 : i],
                                                    other->number[other->numbers == 1 ? 0 : i]);
    out->numbers = n;
    return 1;
}

static int each(const graph_form *one, double (*of)(double), graph_form *out)
{
    for (int i = 0; i < one->numbers; ++i) out->number[i] = of ? of(one->number[i]) : one->number[i];
    out->numbers = one->numbers;
    return 1;
}

/* To whole numbers it is cut, to others it stays. */
static int cast(const graph_node *node, const graph_form *one, graph_form *out)
{
    double to = graph_number(node, "to", 1);
    return each(one, to == 6 || to == 7 ? trunc : NULL, out);
}

static int gather(const graph_form *one, const graph_form *index, graph_form *out)
{
    for (int i = 0; i < index->numbers; ++i) {
        double k = index->number[i] < 0 ? index->number[i] + one->numbers : index->number[i];
        if (!(k >= 0 && k < one->numbers)) return 0;
        out->number[out->numbers++] = one->number[(int)k];
    }
    return 1;
}

static int append(const graph_form *one, graph_form *out)
{
    if (out->numbers + one->numbers > GRAPH_NUMBERS) return 0;
    for (int i = 0; i < one->numbers; ++i) out->number[out->numbers++] = one->number[i];
    return 1;
}

/* Some that follow one another. */
static int slice(const graph_walk *walk, const graph_node *node, const graph_form *one, graph_form *out)
{
    int starts, ends, steps;
    const double *start = graph_numbers_in(walk, node, "starts", 1, &starts), *end = graph_numbers_in(walk, node,
        "ends", 2, &ends);
    const double *step = graph_numbers_in(walk, node, "steps", 4, &steps);
    if (starts != 1 || ends != 1 || (steps && step[0] != 1)) return 0;
    double from = start[0] < 0 ? start[0] + one->numbers : start[0], to = end[0] < 0 ? end[0] + one->numbers : end[0];
    for (int i = 0; i < one->numbers; ++i)
        if (i >= from && i < to) out->number[out->numbers++] = one->number[i];
    return 1;
}

static int product(const graph_form *one, graph_form *out)
{
    out->number[0] = 1;
    for (int i = 0; i < one->numbers; ++i) out->number[0] *= one->number[i];
    out->numbers = 1;
    return 1;
}

/* What is done with two rows of numbers. */
static const struct { const char *op; double (*of)(double, double); } PAIRS[] = {
    { "Add", plus }, { "Sub", minus }, { "Mul", times }, { "Div", over }, { "Max", fmax }, { "Min", fmin },
};

/* One operator on one row of numbers, or two. */
static int reckon(const graph_walk *walk, const graph_node *node, const graph_form *one, const graph_form *other,
                  graph_form *out)
{
    static const char *const same[] = { "Identity", "Unsqueeze", "Squeeze", "Reshape", "Constant" };
    for (size_t i = 0; i < sizeof same / sizeof *same; ++i)
        if (!strcmp(node->op, same[i])) return each(one, NULL, out);
    for (size_t i = 0; other && i < sizeof PAIRS / sizeof *PAIRS; ++i)
        if (!strcmp(node->op, PAIRS[i].op)) return two(one, other, PAIRS[i].of, out);
    if (!strcmp(node->op, "Floor")) return each(one, floor, out);
    if (!strcmp(node->op, "Ceil")) return each(one, ceil, out);
    if (!strcmp(node->op, "Cast")) return cast(node, one, out);
    if (!strcmp(node->op, "ReduceProd")) return product(one, out);
    if (!strcmp(node->op, "Slice")) return slice(walk, node, one, out);
    return other && !strcmp(node->op, "Gather") ? gather(one, other, out) : 0;
}

int graph_reckon(const graph_walk *walk, const graph_node *node, graph_form *out)
{
    graph_form made = { .kind = FORM_NUMBERS };
    for (int i = 0; i < node->inputs; ++i) {
        const graph_form *form = graph_form_in(walk, node, i);
        if (form && form->kind != FORM_NUMBERS) return 0;
    }
    const graph_form *one = graph_form_in(walk, node, 0);
    int known = one != NULL;
    if (known && !strcmp(node->op, "Concat"))
        for (int i = 0; i < node->inputs && known; ++i) {
            const graph_form *form = graph_form_in(walk, node, i);
            known = form && append(form, &made);
        }
    else known = known && reckon(walk, node, one, graph_form_in(walk, node, 1), &made);
    if (known) *out = made;
    return known;
}
