/* The training loop: batches -> teacher -> loss -> update -> checkpoint, for distillations and plain classifiers. */
#ifndef DISTILL_TRAINER_H
#define DISTILL_TRAINER_H
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/base/run_lock.h"

#include <stdio.h>

/* What a teacher was worth when the run was started, percent; NAN: not measured. */
typedef struct run_teacher {
    double top1, top5, map50, map;
} run_teacher;

typedef struct trainer_options {
    model *model;                 /* borrowed, weights loaded */
    const dataset *train, *valid; /* borrowed; valid may be NULL */
    const data_file *names;       /* of classes, borrowed */
    int measure;                  /* epochs from one measuring of the student to the next; 0: measure_every's */
    const char *folder, *name;    /* checkpoints are folder/name_last.weights, _best, _final */
    run_lock *lock;               /* looked at before each checkpoint, borrowed; NULL: none */
    int epochs;                   /* 0: max_batches of the cfg */
    int threads;                  /* loader threads */
    uint64_t seed;                /* of weights and the order of images */
    double rate;                  /* the learning rate that the net was given instead of the cfg's; 0: none */
    uint64_t view_seed, views;    /* views: 0 = a new one each epoch */
    const run_teacher *teachers;  /* one a [teacher], borrowed; NULL: none was measured */
    const char *backend;          /* as the user names it, NULL = the default */
    cpu_precision precision;      /* as the model was opened with, as is the plan, borrowed */
    const char *plan;
    /* go on where NAME_last.state says; even if that run was started with something else */
    int resume, force;
    int pause;                    /* seconds between checkpoints, besides those at every epoch's end; 0: one a step */
    int skip_nan;                 /* steps that may be left out because they are not finite */
    int quiet;                    /* one line an epoch */
    FILE *out;
} trainer_options;

/* Trains to the end and leaves NAME_final.weights. -1 with messages: bad length, unreadable images, a loss, gradient or
 * weight that is not a number (checkpoints stay as they were), files that cannot be written. 1: a signal ended it after
 * a step, all is saved. */
int trainer_run(const trainer_options *options, diag *d);

#endif
