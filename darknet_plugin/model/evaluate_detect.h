/* Average precision of student and teachers on one data set, side by side: what evaluate.h is to classifiers. */
#ifndef DISTILL_EVALUATE_DETECT_H
#define DISTILL_EVALUATE_DETECT_H
#include "darknet_plugin/data/dataset.h"
#include "detect_map.h"
#include "evaluate.h"
#include "model.h"

/* The student beside one teacher, through whose heads it answers; of a plain cfg only `student` counts. */
typedef struct detect_comparison {
    const char *name;        /* the teacher's, borrowed from the model; "" if it has none */
    map_result student, teacher;         /* by COCO's rules */
    double student_darknet, teacher_darknet;   /* mAP@0.5 by those of AlexeyAB's `map`, percent */
    double feature_mse;      /* mean of what the triples that learn its maps have */
    int maps;                /* how many */
    double map_mse[MAX_LEARNT_MAPS];     /* of each, in the cfg's order */
} detect_comparison;

typedef struct detect_evaluation {
    size_t images, truths, left_out;
    int has_student, has_teacher;
    int n, last;             /* comparisons; which one is with the teacher whose head ends the network */
    detect_comparison of[MAX_TEACHERS];
} detect_evaluation;

/* Runs every image once, letterboxed or stretched as the cfg's augment says, in the net's own batch;
 * several ranks split the images, and each gets the result of all. `who` = EVALUATE_
 * bits. `data` was opened with DATA_BOXES. Boxes above .001 count, after suppression at an IoU of .45. -1 with
 * messages. The caller ends it with detect_evaluation_free in either case. */
int evaluate_detector(model *model, const dataset *data, int threads, int who, detect_evaluation *evaluation, diag *d);
/* The same, watched; `watch` NULL: by nobody. */
int evaluate_detector_watched(model *model, const dataset *data, int threads, int who, const evaluate_watch *watch,
                              detect_evaluation *evaluation, diag *d);
void detect_evaluation_free(detect_evaluation *evaluation);

/* The heads of the student that answer for teacher t (plain: all), for detect_image. 0, or -1 with a message. The
 * caller ends it with detect_heads_free. */
int detect_student_heads(const model *model, int t, detect_heads *heads, diag *d);
/* Those of a model that are in the deployed network, all teachers'. */
int detect_deployed_heads(const model *model, detect_heads *heads, diag *d);
/* Those of teacher t itself, for what it answered last. */
int detect_teacher_heads(const model *model, int t, detect_heads *heads, diag *d);

#endif
