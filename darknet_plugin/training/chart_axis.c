/* Round numbers for axes (see chart_axis.h). */
#include "chart_axis.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* Values that stand alone far outside are clipped. */
#define TRIM 200
#define LEAST_RATIO 10.      /* of a logarithmic axis */
#define MOST_RATIO 1e6

/* The smallest of 1, 2, 5, 10, ... times a power of ten that is at least so large. */
static double round_up(double step)
{
    double ten = pow(10, floor(log10(step)));
    static const double factor[] = { 1, 2, 5 };
    for (int i = 0; i < 3; ++i)
        if (factor[i] * ten >= step * (1 - 1e-9)) return factor[i] * ten;
    return 10 * ten;
}

static void add_tick(chart_axis *axis, double value)
{
    if (axis->ticks < MOST_TICKS) axis->tick[axis->ticks++] = value;
}

chart_axis chart_axis_linear(double from, double to, int wanted, int widen)
{
    chart_axis axis = { .from = from, .to = to > from ? to : from + 1 };
    double step = round_up((axis.to - axis.from) / wanted);
    if (widen) {
        axis.from = step * floor(axis.from / step + 1e-9);
        axis.to = step * ceil(axis.to / step - 1e-9);
    }
    double first = ceil(axis.from / step - 1e-9), last = floor(axis.to / step + 1e-9);
    for (double i = first; i <= last; ++i) add_tick(&axis, i == 0 ? 0 : i * step);
    return axis;
}

/* Ticks at powers of ten, and where these are few at 2 and 5 times them, too. */
static chart_axis logarithmic(double from, double to)
{
    static const double factor[] = { 1, 2, 5 };
    chart_axis axis = { .from = from / 1.1, .to = to * 1.1, .log = 1 };
    int between = axis.to / axis.from < 1e4;
    for (int ten = (int)floor(log10(axis.from)); ten <= (int)ceil(log10(axis.to)); ++ten)
        for (int i = 0; i < (between ? 3 : 1); ++i) {
            double value = factor[i] * pow(10, ten);
            if (value >= axis.from && value <= axis.to) add_tick(&axis, value);
        }
    return axis;
}

static int compare(const void *one, const void *other)
{
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

chart_axis chart_axis_loss(double *value, size_t n)
{
    if (!n) return chart_axis_linear(0, 1, 5, 1);
    qsort(value, n, sizeof *value, compare);
    double low = value[n / TRIM], high = value[n - 1 - n / TRIM];
    if (low > 0 && high / low > LEAST_RATIO) return logarithmic(fmax(low, high / MOST_RATIO), high);
    if (low >= 0 && low < high / 2) low = 0;
    if (!(high > low)) high = low + (low == 0 ? 1 : fabs(low) / 10);
    return chart_axis_linear(low, high, 6, 1);
}

double chart_axis_place(const chart_axis *axis, double value)
{
    double place = (value - axis->from) / (axis->to - axis->from);
    if (axis->log) place = value > 0 ? log(value / axis->from) / log(axis->to / axis->from) : 0;
    return fmin(1, fmax(0, place));
}

void chart_axis_text(double value, char *out, size_t len)
{
    double size = fabs(value);
    if (size >= 1e6) snprintf(out, len, "%.6gM", value / 1e6);
    else if (size >= 1e4) snprintf(out, len, "%.6gk", value / 1e3);
    else snprintf(out, len, "%.6g", value);
}
