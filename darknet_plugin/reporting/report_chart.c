/* Lines over epochs (see report_chart.h). The SVG's own units are hundredths of the plot's width and height, stretched
 * to whatever room there is; strokes keep their width (vector-effect), and figures are HTML at places in per cent, so
 * that letters are as large on a phone as on a desk.
 *
 * Values run from tick to tick, ticks being 1, 2 or 5 times a power of ten; where all are above 0 and the largest is 30
 * times the least, by decades. */
#include "report_chart.h"

#include "darknet_plugin/base/mem.h"
#include "report_html.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>

enum { MOST_POINTS = 400, MOST_TICKS = 12 };

static const double LEAST = 1e-30;   /* of what is drawn by decades: its logarithm is one */

/* One axis: what is at its ends, and its ticks. */
typedef struct axis {
    double low, high;
    int decades;
    double tick[MOST_TICKS];
    int ticks;
} axis;

chart_line *chart_add(chart *chart, int colour, chart_dash dash, const char *fmt, ...)
{
    va_list ap;
    if (chart->lines == CHART_LINES) return NULL;
    chart_line *line = &chart->line[chart->lines++];
    *line = (chart_line){ .colour = colour, .dash = dash };
    va_start(ap, fmt);
    vsnprintf(line->name, sizeof line->name, fmt, ap);
    va_end(ap);
    return line;
}

/* Another point; room doubles at each power of two. */
static void add(chart_line *line, double x, double y)
{
    size_t n = (size_t)line->n;
    if (!(n & (n - 1))) {        /* room for the next power of two */
        size_t room = n ? 2 * n : 1;
        line->x = mem_realloc(line->x, room, sizeof *line->x);
        line->y = mem_realloc(line->y, room, sizeof *line->y);
    }
    line->x[n] = x;
    line->y[n] = y;
    ++line->n;
}

void chart_point(chart_line *line, double x, double y)
{
    if (line && isfinite(x) && isfinite(y)) add(line, x, y);
}

void chart_level(chart_line *line, double y)
{
    if (line && isfinite(y)) add(line, NAN, y);
}

void chart_free(chart *chart)
{
    for (int i = 0; i < chart->lines; ++i) {
        free(chart->line[i].x);
        free(chart->line[i].y);
    }
    chart->lines = 0;
}

/* ---- axes ---- */

/* 1, 2 or 5 times a power of ten, so that `span` is about so many of it. */
static double nice_step(double span, int about)
{
    double raw = span / about, power = pow(10, floor(log10(raw))), part = raw / power;
    if (part <= 1.2) return power;
    if (part <= 2.5) return 2 * power;
    return part <= 6 ? 5 * power : 10 * power;
}

static void linear(axis *axis, int about)
{
    double span = axis->high - axis->low;
    if (!(span > fabs(axis->high) * 1e-9)) span = fmax(fabs(axis->high) * .1, 1e-3);
    double step = nice_step(span, about), first = floor(axis->low / step + 1e-9);
    axis->low = first * step;
    axis->high = fmax(ceil(axis->high / step - 1e-9) * step, axis->low + step);
    for (int i = 0; i < MOST_TICKS && axis->low + i * step < axis->high + step / 2; ++i)
        axis->tick[axis->ticks++] = axis->low + i * step;
}

/* Ticks at 1, 2 and 5, or at every so many tens. */
static void logarithmic(axis *axis)
{
    static const double PARTS[] = { 1, 2, 5 };
    double from = floor(log10(axis->low)), to = ceil(log10(axis->high)), every = fmax(1, ceil((to - from) / 6));
    int three = to - from <= 2;
    axis->decades = 1;
    axis->low *= .9;
    axis->high *= 1.1;
    for (double power = from; power <= to; power += every)
        for (int i = 0; i < (three ? 3 : 1); ++i) {
            double tick = PARTS[i] * pow(10, power);
            if (tick >= axis->low && tick <= axis->high && axis->ticks < MOST_TICKS) axis->tick[axis->ticks++] = tick;
        }
}

/* What all lines have, in round numbers. */
static axis value_axis(const chart *chart)
{
    axis axis = { .low = INFINITY, .high = -INFINITY };
    for (int i = 0; i < chart->lines; ++i)
        for (int k = 0; k < chart->line[i].n; ++k) {
            axis.low = fmin(axis.low, chart->line[i].y[k]);
            axis.high = fmax(axis.high, chart->line[i].y[k]);
        }
    if (chart->positive && axis.low > LEAST && axis.high > 30 * axis.low) logarithmic(&axis);
    else linear(&axis, 4);
    return axis;
}

/* From 0 to the last epoch. */
static axis epoch_axis(const chart *chart)
{
    axis axis = { 0 };
    for (int i = 0; i < chart->lines; ++i)
        for (int k = 0; k < chart->line[i].n; ++k) axis.high = fmax(axis.high, chart->line[i].x[k]);
    double last = axis.high > 0 ? axis.high : 1, step = fmax(nice_step(last, 5), last < 1 ? 0 : 1);
    for (int i = 0; i < MOST_TICKS && i * step <= last * 1.0001; ++i) axis.tick[axis.ticks++] = i * step;
    axis.high = last;
    return axis;
}

/* Where a value is, in hundredths. */
static double place(const axis *axis, double value)
{
    if (axis->decades) return 100 * log(value / axis->low) / log(axis->high / axis->low);
    return 100 * (value - axis->low) / (axis->high - axis->low);
}

/* ---- drawing ---- */

static const char *const DASHES[] = { "solid", "dashed", "dotted" };

static void put_class(FILE *out, const chart_line *line)
{
    fprintf(out, "class=\"c%d %s\"", line->colour < 0 ? 0 : line->colour % 6 + 1, DASHES[line->dash]);
}

/* The line, thinned where there are more points than can be told apart; a single point is a dot. */
static void put_line(FILE *out, const chart_line *line, const axis *across, const axis *up)
{
    int step = (line->n + MOST_POINTS - 1) / MOST_POINTS;
    fputs("<path ", out);
    put_class(out, line);
    fputs(" d=\"", out);
    if (isnan(line->x[0])) {
        fprintf(out, "M0 %.2fH100", 100 - place(up, line->y[0]));
    } else {
        for (int i = 0; i < line->n; i += step)
            fprintf(out, "%c%.2f %.2f", i ? 'L' : 'M', place(across, line->x[i]), 100 - place(up, line->y[i]));
        fprintf(out, "L%.2f %.2f", place(across, line->x[line->n - 1]), 100 - place(up, line->y[line->n - 1]));
    }
    fputs("\"/>", out);
}

static void put_value(FILE *out, const chart *chart, double value)
{
    if (chart->digits >= 0) fprintf(out, "%.*f", chart->digits, value);
    else fprintf(out, "%.4g", value);
    fputs(chart->unit, out);
}

/* The plot: figures, grid, lines, the first line on top. */
static void put_plot(FILE *out, const chart *chart, const axis *across, const axis *up)
{
    fputs("<div class=\"plot\"><div class=\"y\" aria-hidden=\"true\">", out);
    for (int i = 0; i < up->ticks; ++i)
        fprintf(out, "<span style=\"top:%.2f%%\">%.6g</span>", 100 - place(up, up->tick[i]), up->tick[i]);
    fputs("</div><svg viewBox=\"0 0 100 100\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"", out);
    html_text(out, chart->title);
    fputs(" over epochs; the last values are listed below\">", out);
    for (int i = 0; i < up->ticks; ++i)
        fprintf(out, "<path class=\"grid\" d=\"M0 %.2fH100\"/>", 100 - place(up, up->tick[i]));
    for (int i = chart->lines; i-- > 0;)
        if (chart->line[i].n) put_line(out, &chart->line[i], across, up);
    fputs("</svg><div class=\"x\" aria-hidden=\"true\">", out);
    for (int i = 0; i < across->ticks; ++i)
        fprintf(out, "<span style=\"left:%.2f%%\">%.6g</span>", place(across, across->tick[i]), across->tick[i]);
    fputs("</div></div>", out);
}

/* Every line by its name, with its last value. */
static void put_legend(FILE *out, const chart *chart)
{
    fputs("<ul class=\"legend\">", out);
    for (int i = 0; i < chart->lines; ++i) {
        const chart_line *line = &chart->line[i];
        if (!line->n) continue;
        fputs("<li><svg viewBox=\"0 0 26 8\" aria-hidden=\"true\"><path ", out);
        put_class(out, line);
        fputs(" d=\"M1 4H25\"/></svg><span>", out);
        html_text(out, line->name);
        fputs("</span><b>", out);
        put_value(out, chart, line->y[line->n - 1]);
        fputs("</b></li>", out);
    }
    fputs("</ul>", out);
}

/* Is there more than levels? */
static int has_curve(const chart *chart)
{
    for (int i = 0; i < chart->lines; ++i)
        if (chart->line[i].n && !isnan(chart->line[i].x[0])) return 1;
    return 0;
}

void chart_put(const chart *chart, FILE *out)
{
    if (!has_curve(chart)) return;
    axis up = value_axis(chart), across = epoch_axis(chart);
    fputs("<figure class=\"card chart\"><figcaption><h3>", out);
    html_text(out, chart->title);
    fprintf(out, "</h3><span class=\"note\">over epochs%s</span></figcaption>", up.decades ? ", in decades" : "");
    put_plot(out, chart, &across, &up);
    put_legend(out, chart);
    fputs("</figure>", out);
}
