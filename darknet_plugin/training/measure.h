/* What the student is worth while it is trained. */
#ifndef DISTILL_MEASURE_H
#define DISTILL_MEASURE_H
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/model/model.h"

#include <math.h>

typedef struct measured {
    double score;        /* percent: top-1, or mAP@0.5; -1: no image has a label */
    double top1, top5, map50, map;   /* percent; NAN: not measured */
    char text[80];       /* the end of an epoch's line */
    char *classes;       /* of a detector: a line a class with its average precision, owned by the caller; else NULL */
} measured;

/* Of a student that nobody has looked at. */
static inline measured measured_nothing(void)
{
    return (measured){ .score = -1, .top1 = NAN, .top5 = NAN, .map50 = NAN, .map = NAN };
}

/* How many epochs lie between two measurings, so that as many images are trained on as are looked at; four times as
 * many for a detector, which is slow to measure: a tenth of the time or so. `valid` may be NULL. */
uint64_t measure_every(const model *model, const dataset *train, const dataset *valid);
/* At the network's own size. 0, or -1 with messages. The caller frees measured->classes. */
int measure_student(model *model, const dataset *valid, const data_file *names, int threads, measured *measured,
                    diag *d);

#endif
