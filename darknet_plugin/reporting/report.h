/* One page, report.html, of one or several trainings: curves, a table of teacher, the same network from labels and the
 * distilled one, feature maps side by side, classes gained and lost, images they disagree on, the network as a diagram.
 * It needs no network and no script, and everything that it says is measured here or read from the runs' own files.
 *
 *   report.c          a run after the other, then the page    report_table.c     the numbers
 *   report_run.c      a run's files                           report_curves.c    which curves
 *   report_log.c      NAME.jsonl                              report_chart.c     one chart
 *   report_measure.c  the networks on validation images       report_classes.c   classes gained and lost
 *   report_maps.c     feature maps                            report_disagree.c  images they disagree on
 *   report_diagram.c  the network                             report_boxes.c     the same of detectors
 *   report_page.c     how it looks                            report_html.c      text, numbers, pictures */
#ifndef DISTILL_REPORT_H
#define DISTILL_REPORT_H
#include "darknet_plugin/base/diag.h"
#include "layers/cpu/cpu.h"

#include <stdio.h>

typedef struct report_options {
    const char *data;            /* the .data file; borrowed, as all below */
    const char *const *run;      /* runs of CFG=backup/NAME */
    int runs;
    const char *path;            /* of the page */
    const char *version;         /* of the program, for the page's foot */
    size_t limit, holdout;       /* of the validation images; 0: all, none */
    int threads;                 /* 0: one a core */
    double seconds;              /* for measuring how long a network takes; 0: it is not measured */
    FILE *out;                   /* where is told what is being done */
} report_options;

typedef struct report report;

/* Reads the runs' files and times their networks on the CPU; NULL with messages. The caller ends it with
 * report_free. */
report *report_begin(const report_options *options, diag *d);
/* Measures all networks on `backend` and writes the page. 0, or -1 with messages: there is no page then. */
int report_write(report *report, cpu_backend backend, diag *d);
void report_free(report *report);

#endif
