/* What a detector's head answers at the places of a map, an element at a time: the CPU's loops and the kernels call the
 * same functions.
 *
 * A head is the last 1x1 convolution before a [yolo] or [region]. Of each place it makes `anchors` times 5 + classes
 * raw numbers, a map apart: x, y, w, h, objectness, classes. Logistic makes probabilities of x, y, objectness and
 * classes; of a [region] with softmax=1 the classes' is a softmax over them. */
#ifndef DISTILL_BOX_HEAD_OPS_H
#define DISTILL_BOX_HEAD_OPS_H
#include "feature_type.h"

#include <math.h>

typedef struct box_form {
    size_t anchors, classes;
    int softmax;             /* classes exclude each other */
} box_form;

enum { BOX_X, BOX_Y, BOX_W, BOX_H, BOX_OBJECT, BOX_CLASS };

FEATURE_FN size_t box_entries(const box_form *form) { return BOX_CLASS + form->classes; }
FEATURE_FN size_t box_rows(const box_form *form) { return form->anchors * box_entries(form); }

FEATURE_FN double box_logistic(double z) { return 1 / (1 + exp(-z)); }

/* One raw number: row `weights` (width) of the head at a place of a map (width, places). */
FEATURE_FN float box_head_raw(const float *weights, float bias, size_t width, const void *values, const float *range,
                              feature_type type, size_t places, size_t place)
{
    float sum = bias;
    for (size_t c = 0; c < width; ++c) sum += weights[c] * feature_value(values, range, type, c, c * places + place);
    return sum;
}

/* The largest class probability of an anchor; `raw` is its first class's number, the next ones `step` apart. */
FEATURE_FN double box_best_class(const box_form *form, const float *raw, size_t step)
{
    double most = raw[0], sum = 0;
    for (size_t k = 1; k < form->classes; ++k)
        if (raw[k * step] > most) most = raw[k * step];
    if (!form->softmax) return box_logistic(most);
    for (size_t k = 0; k < form->classes; ++k) sum += exp(raw[k * step] - most);
    return 1 / sum;
}

/* How sure a head is that something is there: the largest objectness times class probability of its anchors. `raw`:
 * the place's first number. */
FEATURE_FN float box_score(const box_form *form, const float *raw, size_t step)
{
    double best = 0;
    for (size_t n = 0; n < form->anchors; ++n, raw += box_entries(form) * step) {
        double score = box_logistic(raw[BOX_OBJECT * step]) * box_best_class(form, raw + BOX_CLASS * step, step);
        if (score > best) best = score;
    }
    return (float)best;
}

#endif
