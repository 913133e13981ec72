/* Writing a network that deploys, and proving it: what the files of the exporter share.
 *   export.c          from cfg + weights to files with their own names    export_images.c   what it is verified on
 *   export_teacher.c  the [teacher] section that reads it                 export_report.c   what is said about it
 *   deploy.h          folding and merging                                 readers.h         who cannot read it */
#ifndef DISTILL_EXPORT_H
#define DISTILL_EXPORT_H
#include "deploy.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/data/dataset.h"
#include "verify_boxes.h"

enum { EXPORT_WEIGHTS, EXPORT_ONNX, EXPORT_CFG, EXPORT_FILES };   /* in the order they get their names */

typedef struct export_job {
    const options *options;           /* borrowed */
    const char *const *arg;           /* CFG WEIGHTS OUT, borrowed */
    model *model;                     /* owned */
    deployed *deployed;               /* owned */
    char *name[EXPORT_FILES];         /* owned; NULL where there is no such file */
    out_file file[EXPORT_FILES];      /* owned */
    dataset *data;                    /* whose images are verified on, owned; NULL: noise */
    uint8_t *pixels;                  /* (n, h, w, c), owned */
    float *answer;                    /* (n, deploy_values), owned */
    int n;                            /* images verified on, 0 = not verified */
    verify_result result[VERIFY_READERS];
    box_result boxes[BOX_READERS];    /* of a detector */
    int folded, merged;               /* layers, heads */
    double macs, macs_alone;          /* multiply-adds before merging; of the student with a classifier of its own */
    char *twin;                       /* while -fp16 is verified: the same ONNX file in floats, owned */
    char *teacher;                    /* the [teacher] section, owned; NULL = not asked for */
} export_job;

/* The whole export of options->fold, merge, teacher, onnx, verify, data, json; prints to options->out. `arg` is CFG
 * WEIGHTS OUT. `mode`: how CFG is read, LOWER_TRAIN compares with the training network and needs its teacher. 0, or -1
 * after reporting; then no file of the three is there that was not there before. */
int export_network(const options *options, const char *const arg[3], lower_mode mode, diag *d);

/* Opens -data's images, where they are wanted; 0 or -1 with messages. */
int export_open_images(export_job *job, diag *d);
/* Fills pixels, answer and n; 0 or -1 with a message. */
int export_images(export_job *job, diag *d);
/* Reads the written files as a teacher's and fills job->teacher; 0 or -1 with messages. */
int export_teacher(export_job *job, diag *d);
/* Prints a table, or one JSON object. */
int export_report(const export_job *job, diag *d);

#endif
