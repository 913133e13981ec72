/* Axes of a chart: where they begin and end, and where their ticks are. */
#ifndef DISTILL_CHART_AXIS_H
#define DISTILL_CHART_AXIS_H
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { MOST_TICKS = 24 };

typedef struct chart_axis {
    double from, to;         /* from < to */
    int log;                 /* by the logarithm; then from > 0 */
    double tick[MOST_TICKS]; /* rising, within */
    int ticks;
} chart_axis;

/* From `from` to `to`, as they are, or widened to whole ticks; about `wanted` of these, at 1, 2 or 5 times a power of
 * ten. */
chart_axis chart_axis_linear(double from, double to, int wanted, int widen);
/* For n values, which it sorts: by their logarithm where the largest is more than ten times the smallest and none is 0
 * or less, at most six decades; else linear, from 0 where that is near. A two-hundredth at each end may lie outside. */
chart_axis chart_axis_loss(double *value, size_t n);
/* Where a value is, 0 at `from` to 1 at `to`; outside it is at the border. */
double chart_axis_place(const chart_axis *axis, double value);
/* A tick's number: "0.05", "1500", "20k", "1.5M". */
void chart_axis_text(double value, char *out, size_t len);

#ifdef __cplusplus
}
#endif
#endif
