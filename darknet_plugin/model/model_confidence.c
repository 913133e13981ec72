/* [teachers] weights=confidence: how much each image's losses count by whom, while training.
 *
 *   s_k = sum over classes y of q(y) log p_k(y)          where the image has a label
 *       = sum over classes y of p_k(y) log p_k(y)        where it has none
 *   w_k = K exp(s_k) / sum over j of exp(s_j)
 *
 * p_k is teacher k's softmax of the image, q the label's distribution (1 at the label; with mixup= of two labels), K
 * the number of teachers: s_k is minus the cross-entropy to the label, or minus the entropy, and the w_k of an image
 * have a mean of 1. The distance of maps and [kd] of teacher k count w_k times; losses on labels count 1. Class scores
 * are the live teacher's or its cache's. The deployed network knows nothing of it: w_k follows the image. */
#include "model_internal.h"

#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>

/* Class scores of one teacher, of the whole batch. */
typedef struct scores {
    const float *live;
    const feature_map *stored;   /* instead */
    float *room;                 /* for one image's, owned */
    int n;
} scores;

static scores scores_of(const model *model, int t)
{
    const teacher_spec *spec = &model->low->teacher[t];
    scores of = { .n = spec->shape->layer[spec->answer].outputs };
    if (model->features[t]) of.stored = features_teaching(model->features[t], spec->taps).stored;
    else of.live = teacher_feature(model->teacher[t], spec->answer);
    of.room = mem_calloc((size_t)of.n, sizeof *of.room);
    return of;
}

static const float *scores_at(const scores *of, int b)
{
    if (of->live) return of->live + (size_t)b * (size_t)of->n;
    feature_unpack(&of->stored[b], (size_t)of->n, 1, of->room);
    return of->room;
}

/* log sum exp of n scores. */
static double log_sum(const float *score, int n)
{
    double most = score[0], sum = 0;
    for (int i = 1; i < n; ++i) most = fmax(most, score[i]);
    for (int i = 0; i < n; ++i) sum += exp(score[i] - most);
    return most + log(sum);
}

double model_confidence_of(const float *score, int n, const mixed_labels *labels, int b)
{
    double log_all = log_sum(score, n), sum = 0;
    int first = labels && labels->first ? labels->first[b] : -1;
    int second = labels && labels->first && labels->second ? labels->second[b] : first;
    if (first >= 0 && first < n && second >= 0 && second < n) {
        double share = first == second ? 1 : labels->factor[b];
        return share * score[first] + (1 - share) * score[second] - log_all;
    }
    for (int i = 0; i < n; ++i) sum += exp(score[i] - log_all) * (score[i] - log_all);
    return sum;
}

/* From what is in weight[t * batch + b], s_t, to w_t, for image b. */
static void normalise(float *weight, int teachers, int batch, int b)
{
    double most = -INFINITY, sum = 0;
    for (int t = 0; t < teachers; ++t) most = fmax(most, weight[t * batch + b]);
    for (int t = 0; t < teachers; ++t) sum += exp(weight[t * batch + b] - most);
    for (int t = 0; t < teachers; ++t)
        weight[t * batch + b] = (float)(teachers * exp(weight[t * batch + b] - most) / sum);
}

/* After the teachers have run, or their caches have been asked. */
void model_weigh_images(model *model, const mixed_labels *labels)
{
    int teachers = model->low->teachers, batch = model->net->batch;
    if (!model->low->combine.confidence) return;
    if (!model->confidence)
        model->confidence = mem_calloc((size_t)teachers * (size_t)batch, sizeof *model->confidence);
    for (int t = 0; t < teachers; ++t) {
        scores of = scores_of(model, t);
        for (int b = 0; b < batch; ++b)
            model->confidence[t * batch + b] = (float)model_confidence_of(scores_at(&of, b), of.n, labels, b);
        free(of.room);
    }
    for (int b = 0; b < batch; ++b) normalise(model->confidence, teachers, batch, b);
}
