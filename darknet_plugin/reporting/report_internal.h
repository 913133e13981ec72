/* What the parts of the report share (see report.h). */
#ifndef DISTILL_REPORT_INTERNAL_H
#define DISTILL_REPORT_INTERNAL_H
#include "darknet_plugin/lowering/lower_savings.h"
#include "darknet_plugin/model/evaluate_detect.h"
#include "report.h"
#include "report_html.h"
#include "report_log.h"

enum { REPORT_RUNS = 8 };

/* A network and what was measured of it; NaN: it was not. */
typedef struct report_network {
    int measured;
    double score, finer;         /* percent: top-1 and top-5, or mAP@0.5 and mAP@[.5:.95] */
    double params, macs, seconds;
    double *of_class;            /* (classes) percent of its images named so, or AP@0.5; NaN: none; owned or NULL */
    int *answer;                 /* of a classifier: (images) the likeliest class, -1: not asked; owned or NULL */
    float *sure;                 /* (images) its probability, owned or NULL */
} report_network;

typedef struct report_teacher {
    char *name, *cfg, *weights;  /* owned */
    report_network net;
} report_teacher;

typedef struct report_run {
    char *cfg, *prefix;          /* as given, owned */
    const char *name;            /* what comes after the prefix's last slash, borrowed from it */
    char *weights, *labels_weights;   /* owned; the second NULL where there are none */
    char *labels_command;        /* that makes them, owned; NULL: there is no such run, or it is there */
    report_log log, labels_log;
    lowered *low;                /* for deploying, owned */
    report_network student, labels;
    int teachers, last;          /* last: whose classifier ends the network */
    report_teacher teacher[MAX_TEACHERS];
    double agreement, feature_mse;    /* NaN: there is none */
    char *diagram, *maps, *disagreements;   /* HTML, owned; NULL: there is none */
} report_run;

struct report {
    report_options options;      /* its pointers are borrowed */
    data_file *file;             /* owned */
    dataset *set;                /* the validation images, owned */
    int detector, runs;
    report_run run[REPORT_RUNS];
};

/* Is there a teacher? Else it is a plain network, trained from labels. */
static inline int report_is_distilled(const report_run *run) { return run->low->teachers > 0; }
static inline const char *report_score_name(const report *report) { return report->detector ? "mAP@0.5" : "top-1"; }
static inline const char *report_finer_name(const report *report)
{
    return report->detector ? "mAP@[.5:.95]" : "top-5";
}
/* What is measured of a class. */
static inline const char *report_class_measure(const report *report)
{
    return report->detector ? "AP@0.5" : "accuracy";
}

/* Takes apart CFG=backup/NAME and finds its files. 0, or -1 with messages. */
int report_run_open(report_run *run, const char *text, const report *report, diag *d);
void report_run_free(report_run *run);

/* How long all networks of the runs take, teachers too. 0, or -1 with messages. */
int report_time(report *report, diag *d);
/* Scores of all networks of run i, and its maps and disagreements. 0, or -1 with messages. */
int report_measure(report *report, int i, cpu_backend backend, diag *d);

/* A maker of a part that looks at each batch of an evaluation and writes HTML at its end. */
typedef struct report_maps report_maps;
/* Of the first few of `n` images spread over the set. NULL: this network learns no map. */
report_maps *report_maps_begin(const model *model, const dataset *set);
void report_maps_look(report_maps *maps, const model *model, const batch *batch);
/* The caller frees *html. 0, or -1 with a message. Frees the maker. */
int report_maps_end(report_maps *maps, const report *report, char **html, diag *d);

/* The same of a detector's disagreements, in run number `run`. NULL with messages. */
typedef struct report_boxes report_boxes;
report_boxes *report_boxes_begin(const model *model, const report *report, int run, diag *d);
void report_boxes_look(report_boxes *boxes, const batch *batch);
int report_boxes_end(report_boxes *boxes, const report *report, char **html, diag *d);

/* Of a classifier, once its answers and its teacher's are known; the caller frees *html. */
int report_disagree(const report *report, const report_run *run, char **html, diag *d);
/* One image of the set as the value of src=. 0, or -1 with a message; *w, *h: its own size. */
int report_image(const report *report, size_t image, int most, FILE *out, int *w, int *h, diag *d);
/* The network of a run; the caller frees. */
char *report_diagram(const report *report, const report_run *run);

/* Sections of the page. */
void report_put_head(const report *report, FILE *out);
void report_put_foot(const report *report, FILE *out);
/* A run's name as a heading, with its colour; of a page of one run "The network". */
void report_put_title(const report *report, int run, FILE *out);
void report_put_sum(const report *report, FILE *out);
void report_put_table(const report *report, FILE *out);
void report_put_curves(const report *report, FILE *out);
void report_put_classes(const report *report, const report_run *run, FILE *out);
/* That there is no run from labels, and the command that makes it. */
void report_put_no_labels(const report_run *run, FILE *out);
/* How strong a colour 0..1 is drawn: rgb, from dark blue to yellow, ever lighter. */
void report_colour(double value, uint8_t rgb[3]);

#endif
