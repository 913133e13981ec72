/* Arithmetic on a few numbers: exporters compute the sizes for a Reshape or Resize in the graph, from a Shape. Only what
 * they use is known: at most GRAPH_NUMBERS in a row, one number with a row of them, or two rows of one length. */
#include "graph_walk.h"

#include <math.h>
#include <string.h>

static double plus(double a, double b) { return a + b; }
static double minus(double a, double b) { return a - b; }
static double times(double a, double b) { return a * b; }
static double over(double a, double b) { return b != 0 ? a / b : 0; }

static int two(const graph_form *a, const graph_form *b, double (*of)(double, double), graph_form *out)
{
    int n = a->numbers > b->numbers ? a->numbers : b->numbers;
    if ((a->numbers != n && a->numbers != 1) || (b->numbers != n && b->numbers != 1)) return 0;
    for (int i = 0; i < n; ++i) out->number[i] = of(a->number[a->numbers == 1 ? 0 : i], b->number[b->numbers == 1 ? 0 : i]);
    out->numbers = n;
    return 1;
}

static int each(const graph_form *a, double (*of)(double), graph_form *out)
{
    for (int i = 0; i < a->numbers; ++i) out->number[i] = of ? of(a->number[i]) : a->number[i];
    out->numbers = a->numbers;
    return 1;
}

/* To whole numbers it is cut, to others it stays. */
static int cast(const graph_node *node, const graph_form *a, graph_form *out)
{
    double to = graph_number(node, "to", 1);
    return each(a, to == 6 || to == 7 ? trunc : NULL, out);
}

static int gather(const graph_form *a, const graph_form *index, graph_form *out)
{
    for (int i = 0; i < index->numbers; ++i) {
        double k = index->number[i] < 0 ? index->number[i] + a->numbers : index->number[i];
        if (!(k >= 0 && k < a->numbers)) return 0;
        out->number[out->numbers++] = a->number[(int)k];
    }
    return 1;
}

static int append(const graph_form *a, graph_form *out)
{
    if (out->numbers + a->numbers > GRAPH_NUMBERS) return 0;
    for (int i = 0; i < a->numbers; ++i) out->number[out->numbers++] = a->number[i];
    return 1;
}

static int slice(const graph_walk *walk, const graph_node *node, const graph_form *a, graph_form *out)
{
    int starts, ends, steps;
    const double *start = graph_numbers_in(walk, node, "starts", 1, &starts), *end = graph_numbers_in(walk, node, "ends", 2, &ends);
    const double *step = graph_numbers_in(walk, node, "steps", 4, &steps);
    if (starts != 1 || ends != 1 || (steps && step[0] != 1)) return 0;
    double from = start[0] < 0 ? start[0] + a->numbers : start[0], to = end[0] < 0 ? end[0] + a->numbers : end[0];
    for (int i = 0; i < a->numbers; ++i)
        if (i >= from && i < to) out->number[out->numbers++] = a->number[i];
    return 1;
}

static int product(const graph_form *a, graph_form *out)
{
    out->number[0] = 1;
    for (int i = 0; i < a->numbers; ++i) out->number[0] *= a->number[i];
    out->numbers = 1;
    return 1;
}

/* What is done with two rows of numbers. */
static const struct { const char *op; double (*of)(double, double); } PAIRS[] = {
    { "Add", plus }, { "Sub", minus }, { "Mul", times }, { "Div", over }, { "Max", fmax }, { "Min", fmin },
};

static int reckon(const graph_walk *walk, const graph_node *node, const graph_form *a, const graph_form *b, graph_form *out)
{
    static const char *const same[] = { "Identity", "Unsqueeze", "Squeeze", "Reshape", "Constant" };
    for (size_t i = 0; i < sizeof same / sizeof *same; ++i)
        if (!strcmp(node->op, same[i])) return each(a, NULL, out);
    for (size_t i = 0; b && i < sizeof PAIRS / sizeof *PAIRS; ++i)
        if (!strcmp(node->op, PAIRS[i].op)) return two(a, b, PAIRS[i].of, out);
    if (!strcmp(node->op, "Floor")) return each(a, floor, out);
    if (!strcmp(node->op, "Ceil")) return each(a, ceil, out);
    if (!strcmp(node->op, "Cast")) return cast(node, a, out);
    if (!strcmp(node->op, "ReduceProd")) return product(a, out);
    if (!strcmp(node->op, "Slice")) return slice(walk, node, a, out);
    return b && !strcmp(node->op, "Gather") ? gather(a, b, out) : 0;
}

int graph_reckon(const graph_walk *walk, const graph_node *node, graph_form *out)
{
    graph_form made = { .kind = FORM_NUMBERS };
    for (int i = 0; i < node->inputs; ++i) {
        const graph_form *form = graph_form_in(walk, node, i);
        if (form && form->kind != FORM_NUMBERS) return 0;
    }
    const graph_form *a = graph_form_in(walk, node, 0);
    int known = a != NULL;
    if (known && !strcmp(node->op, "Concat"))
        for (int i = 0; i < node->inputs && known; ++i) {
            const graph_form *form = graph_form_in(walk, node, i);
            known = form && append(form, &made);
        }
    else known = known && reckon(walk, node, a, graph_form_in(walk, node, 1), &made);
    if (known) *out = made;
    return known;
}
