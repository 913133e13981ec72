/* Accuracy of student and teacher on one data set, side by side. */
#ifndef DISTILL_EVALUATE_H
#define DISTILL_EVALUATE_H
#include "darknet_plugin/data/dataset.h"
#include "model.h"

typedef struct score {
    double top1, top5;       /* percent of the labelled images; top5 NAN: of so few classes that it says nothing */
    double spread;           /* largest difference that one class's probability showed between two images */
} score;

/* The student beside one teacher, whose classifier it answers through; of a plain cfg only `student` counts. */
typedef struct top_comparison {
    const char *name;        /* the teacher's, borrowed from the model; "" if it has none */
    int rated;               /* its classes are as many as the data set's: accuracy means something */
    score student, teacher;
    double agreement;        /* percent of images on which both name the same class */
    int has_features;        /* the student learns this teacher's feature maps */
    double feature_mse;      /* mean over all elements of those */
} top_comparison;

enum { MAX_COMPARISONS = MAX_TEACHERS + 1 };

typedef struct evaluation {
    size_t images, labelled;
    int has_student, has_teacher;
    int n, last;             /* comparisons; which one is of the network's answer */
    int combined;            /* that one, the last, is of several teachers' answers, combined alike in the student */
    top_comparison of[MAX_COMPARISONS];
} evaluation;

enum { EVALUATE_STUDENT = 1, EVALUATE_TEACHER = 2 };

/* Somebody who looks at each batch, too, when what is measured has run on it; `model` holds its answers. */
typedef struct evaluate_watch {
    void (*look)(void *of, const model *model, const batch *batch);
    void *of;
} evaluate_watch;

/* Runs every image once, in inference mode, in the net's own batch; several ranks split the images, and each gets the
 * result of all. `who` = EVALUATE_ bits; teachers are left out
 * where the cfg has none. -1 with a message if images cannot be read or classes differ. */
int evaluate(model *model, const dataset *data, int threads, int who, evaluation *evaluation, diag *d);
/* The same, watched; `watch` NULL: by nobody. */
int evaluate_watched(model *model, const dataset *data, int threads, int who, const evaluate_watch *watch,
                     evaluation *evaluation, diag *d);

/* A teacher nobody should learn from: not above chance, or the same answer to everything. NULL if it looks sane, else
 * why. */
const char *evaluate_suspicious(const score *score, size_t labelled, int classes);

#endif
