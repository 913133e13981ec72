/* One chart of lines over epochs, as HTML: an SVG stretched to its place, with figures beside it that are not. */
#ifndef DISTILL_REPORT_CHART_H
#define DISTILL_REPORT_CHART_H
#include <stdio.h>

enum { CHART_LINES = 40, CHART_NAME = 96 };
typedef enum { LINE_SOLID, LINE_DASHED, LINE_DOTTED } chart_dash;

typedef struct chart_line {
    char name[CHART_NAME];       /* any bytes */
    int colour;                  /* of a run: its number; -1: nobody's */
    chart_dash dash;
    double *x, *y;               /* n points, x rising, all finite; owned by the chart. One point with x NaN: a level */
    int n;
} chart_line;

typedef struct chart {
    const char *title, *unit;    /* borrowed; the unit behind values, "" if none */
    int digits;                  /* of values behind the point; -1: as many as are worth it */
    int positive;                /* values that have no other limit than 0: in decades where they span many */
    chart_line line[CHART_LINES];
    int lines;
} chart;

/* Adds a line without points; NULL: there is no room for another. `name` is formatted. */
chart_line *chart_add(chart *chart, int colour, chart_dash dash, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));
/* Adds a point where both numbers are finite. */
void chart_point(chart_line *line, double x, double y);
/* A level over the whole width. */
void chart_level(chart_line *line, double y);
/* Writes it, a figure; nothing where it has levels alone. */
void chart_put(const chart *chart, FILE *out);
/* Frees the points. */
void chart_free(chart *chart);

#endif
