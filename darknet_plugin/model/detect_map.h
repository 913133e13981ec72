/* How good boxes are: average precision of each class and its mean, by COCO's rules or by those of AlexeyAB's
 * `darknet detector map`. Numbers by COCO's rules equal pycocotools' COCOeval (area=all, maxDets=100). All in
 * percent. */
#ifndef DISTILL_DETECT_MAP_H
#define DISTILL_DETECT_MAP_H
#include "detect.h"

/* An object that is there. */
typedef struct map_truth {
    int image, label;
    int crowd;                /* COCO's iscrowd: may be found any number of times or not at all, without effect */
    float x, y, w, h;         /* centre and size, in the same units as the boxes */
} map_truth;

typedef struct map_rules {
    int points;               /* AP averages precision at this many recalls from 0 to 1; 0: the area under the curve */
    int most;                 /* boxes that count of one class in one image, the likeliest ones; 0: all */
    int darknet;              /* AlexeyAB's matching and mean (below), else COCO's */
} map_rules;

/* COCO:    a box takes the best truth not yet taken, IoU at the threshold counts; 101 points; 100 boxes of a class in
 * an
 *          image; the mean is over classes that have truths.
 * darknet: a box goes to the best truth, taken or not, IoU must exceed the threshold; area under the curve (-points of
 *          `map` is `points`); the mean is over all classes, those without truths count as 0. */
extern const map_rules map_coco, map_darknet;

typedef struct map_class {
    size_t truths;            /* that count: without crowds */
    size_t tp, fp, fn;        /* at IoU .5, of the boxes above the threshold asked for */
    double precision, recall; /* from tp, fp, fn; 0 where there was nothing to divide by */
    double ap50, ap;          /* at IoU .5; mean over IoU .5, .55, ... .95. 0 for a class without truths */
} map_class;

typedef struct map_result {
    map_class *of;            /* (classes), owned */
    /* sums of the counts; their precision and recall; mean of ap50 and ap: mAP@.5 and mAP@[.5:.95] */
    map_class all;
    int classes, present;     /* present: classes that have truths */
} map_result;

/* Measures n boxes against m truths, both in any order but such that equal probabilities in one image count in the
 * order given. Labels must be below `classes`. Precision and recall are those of boxes whose probability exceeds
 * `threshold` (Darknet's is .25). The caller ends the result with map_free. */
map_result map_measure(const map_rules *rules, int classes, const detect_box *box, size_t n, const map_truth *truth,
                       size_t m, double threshold);
void map_free(map_result *result);

#endif
