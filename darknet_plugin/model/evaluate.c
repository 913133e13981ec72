/* Top-1, top-5, agreement and feature error over a data set (see evaluate.h). */
#include "evaluate.h"

#include "darknet_plugin/base/argmax.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Running counts for one of the two networks. */
typedef struct tally {
    size_t top1, top5;
    float *low, *high;       /* (classes) extremes of each class's probability */
} tally;

/* Position of class `label` when `n` answers are sorted downwards, 0 = first; ties count against it. */
static int rank_of(const float *answer, int n, int label)
{
    int rank = 0;
    for (int i = 0; i < n; ++i) rank += i != label && !(answer[i] < answer[label]);
    return rank;
}

static tally make_tally(int classes)
{
    tally t = { .low = mem_calloc((size_t)classes, sizeof(float)), .high = mem_calloc((size_t)classes, sizeof(float)) };
    for (int i = 0; i < classes; ++i) {
        t.low[i] = INFINITY;
        t.high[i] = -INFINITY;
    }
    return t;
}

static void count_image(tally *tally, const float *answer, int classes, int label)
{
    for (int i = 0; i < classes; ++i) {
        tally->low[i] = fminf(tally->low[i], answer[i]);
        tally->high[i] = fmaxf(tally->high[i], answer[i]);
    }
    if (label < 0) return;
    int rank = rank_of(answer, classes, label);
    tally->top1 += rank < 1;
    tally->top5 += rank < 5;
}

static score finish_tally(tally *tally, int classes, size_t labelled)
{
    score s = { 0 };
    if (labelled) s = (score){ .top1 = 100. * (double)tally->top1 / (double)labelled,
                               .top5 = 100. * (double)tally->top5 / (double)labelled };
    if (classes <= 5) s.top5 = NAN;
    for (int i = 0; i < classes; ++i) s.spread = fmax(s.spread, tally->high[i] - tally->low[i]);
    free(tally->low);
    free(tally->high);
    return s;
}

/* t as in evaluation.of: a teacher, or behind the last of them the combined answer. */
static const float *student_answer(const model *model, int t, int *outputs)
{
    if (model->teacher && t < model->low->teachers) return model_answer_as(model, t, outputs);
    *outputs = model->classes;
    return model->net->output;
}

/* Number of answers per image in comparison t; 0 after reporting. */
static int classes_of(const model *model, const dataset *data, int t, diag *d)
{
    int outputs;
    const char *cfg = model->low->source->path;
    student_answer(model, t, &outputs);
    if (model->low->teachers < 2 && dataset_classes(data) != outputs) {
        diag_error(d, cfg, 0, NULL, "network has %d outputs, data set has %d classes", outputs, dataset_classes(data));
        return 0;
    }
    if (model->teacher && t < model->low->teachers && teacher_outputs(model->teacher[t]) != outputs) {
        diag_error(d, cfg, 0, NULL, "teacher has %d outputs, student has %d", teacher_outputs(model->teacher[t]),
                   outputs);
        return 0;
    }
    return outputs;
}

/* An evaluation under way: one entry a comparison. */
typedef struct counting {
    model *m;
    evaluation *e;
    const evaluate_watch *watch;   /* NULL: nobody */
    int classes[MAX_COMPARISONS];
    tally student[MAX_COMPARISONS], teacher[MAX_COMPARISONS];
    size_t agree[MAX_COMPARISONS];
    float *scores;           /* (batch, classes) of the teachers, combined; owned, NULL where they are not */
} counting;

/* Class scores, not probabilities, of the combined ones: they rank alike. */
static const float *teachers_answer(const counting *counting, int k)
{
    if (k < counting->m->low->teachers) return teacher_answer(counting->m->teacher[k]);
    model_teachers_scores(counting->m, counting->scores);
    return counting->scores;
}

/* Comparison k over one batch. */
static void count_answers(counting *counting, const batch *batch, int k)
{
    int n = counting->classes[k], ignore;
    top_comparison *now = &counting->e->of[k];
    const float *t = counting->e->has_teacher ? teachers_answer(counting, k) : NULL;
    const float *s = counting->e->has_student ? student_answer(counting->m, k, &ignore) : NULL;
    for (int i = 0; i < batch->n; ++i) {
        size_t at = (size_t)i * (size_t)n;
        int label = now->rated ? batch->label[i] : -1;
        if (s) count_image(&counting->student[k], s + at, n, label);
        if (t) count_image(&counting->teacher[k], t + at, n, label);
        if (s && t) counting->agree[k] += argmax(s + at, n) == argmax(t + at, n);
    }
    if (s && t && now->has_features) now->feature_mse += model_feature_mse(counting->m, k, batch->n) * batch->n;
}

static void count_batch(counting *counting, const batch *batch)
{
    evaluation *e = counting->e;
    if (e->has_teacher) model_run_teachers(counting->m, batch->x, 1);
    if (e->has_student) model_predict(counting->m, batch->x);
    if (counting->watch) counting->watch->look(counting->watch->of, counting->m, batch);
    for (int k = 0; k < e->n; ++k) count_answers(counting, batch, k);
    for (int i = 0; i < batch->n; ++i) e->labelled += batch->label[i] >= 0;
    e->images += (size_t)batch->n;
}

/* ---- several ranks ---- */

/* What a rank counted of one network in one comparison. */
static void add_tally(tally *tally, const double *count, const float *extremes, int classes)
{
    tally->top1 += (size_t)count[0];
    tally->top5 += (size_t)count[1];
    for (int i = 0; i < classes; ++i) {
        tally->low[i] = fminf(tally->low[i], extremes[i]);
        tally->high[i] = fmaxf(tally->high[i], extremes[classes + i]);
    }
}

enum { COUNTS = 8 };   /* numbers a comparison: of both networks top1 and top5, agreement, error, images, labelled */

/* Comparison k of this rank, zeroed as it is put there. */
static void take_counts(counting *counting, int k, double *count, float *extremes)
{
    tally *side[] = { &counting->student[k], &counting->teacher[k] };
    size_t classes = (size_t)counting->classes[k];
    double *error = &counting->e->of[k].feature_mse;
    for (int i = 0; i < 2; ++i, extremes += 2 * classes) {
        count[2 * i] = (double)side[i]->top1;
        count[2 * i + 1] = (double)side[i]->top5;
        side[i]->top1 = side[i]->top5 = 0;
        memcpy(extremes, side[i]->low, classes * sizeof *extremes);
        memcpy(extremes + classes, side[i]->high, classes * sizeof *extremes);
    }
    count[4] = (double)counting->agree[k];
    count[5] = *error;
    count[6] = (double)counting->e->images;
    count[7] = (double)counting->e->labelled;
    counting->agree[k] = 0;
    *error = 0;
}

/* Adds what take_counts put there for a rank; its images and labelled ones to `seen`. */
static void add_counts(counting *counting, int k, const char *counted, size_t seen[2])
{
    double count[COUNTS];
    int classes = counting->classes[k];
    const float *extremes = (const float *)(const void *)(counted + sizeof count);
    memcpy(count, counted, sizeof count);
    add_tally(&counting->student[k], count, extremes, classes);
    add_tally(&counting->teacher[k], count + 2, extremes + 2 * (size_t)classes, classes);
    counting->agree[k] += (size_t)count[4];
    counting->e->of[k].feature_mse += count[5];
    seen[0] += (size_t)count[6];
    seen[1] += (size_t)count[7];
}

/* All ranks' counts of comparison k, in their order. */
static int merge_comparison(counting *counting, int k, diag *d)
{
    evaluation *e = counting->e;
    ranks *ranks = counting->m->ranks;
    size_t bytes = COUNTS * sizeof(double) + 4 * (size_t)counting->classes[k] * sizeof(float), seen[2] = { 0 };
    char *mine = mem_calloc(bytes, 1), *all = mem_calloc(bytes, (size_t)ranks_count(ranks));
    take_counts(counting, k, (double *)(void *)mine, (float *)(void *)(mine + COUNTS * sizeof(double)));
    int failed = ranks_exchange(ranks, RANKS_EVALUATE, mine, bytes, all, d);
    for (int i = 0; i < ranks_count(ranks) && !failed; ++i) add_counts(counting, k, all + (size_t)i * bytes, seen);
    if (k == e->n - 1) {
        e->images = seen[0];
        e->labelled = seen[1];
    }
    free(mine);
    free(all);
    return failed;
}

static int merge(counting *counting, diag *d)
{
    for (int k = 0; counting->m->ranks && k < counting->e->n; ++k)
        if (merge_comparison(counting, k, d)) return -1;
    return 0;
}

/* From counts to percent. */
static void finish(counting *counting)
{
    evaluation *e = counting->e;
    for (int k = 0; k < e->n; ++k) {
        top_comparison *now = &e->of[k];
        now->student = finish_tally(&counting->student[k], counting->classes[k], e->labelled);
        now->teacher = finish_tally(&counting->teacher[k], counting->classes[k], e->labelled);
        if (!e->images) continue;
        now->agreement = 100. * (double)counting->agree[k] / (double)e->images;
        now->feature_mse /= (double)e->images;
    }
}

/* Who is compared with whom, and how many classes each comparison has; 0, or -1 after reporting. */
static int begin(counting *counting, const dataset *data, int who, diag *d)
{
    const lowered *low = counting->m->low;
    int n = counting->m->teacher ? low->teachers : 1, combined = model_combines(counting->m);
    n += combined;
    *counting->e = (evaluation){ .has_student = who & EVALUATE_STUDENT,
                          .has_teacher = counting->m->teacher && (who & EVALUATE_TEACHER), .n = n,
                          .last = n > 1 ? lower_speaker(low) : 0, .combined = combined };
    if (combined) counting->e->last = n - 1;
    for (int k = 0; k < n; ++k)
        if (!(counting->classes[k] = classes_of(counting->m, data, k, d))) return -1;
    if (combined) counting->scores = mem_calloc((size_t)counting->m->net->batch * (size_t)counting->classes[n - 1],
                                                sizeof *counting->scores);
    for (int k = 0; k < n; ++k) {
        int teaches = counting->m->teacher && k < low->teachers;
        counting->e->of[k].name = teaches ? low->teacher[k].name : "";
        counting->e->of[k].has_features = teaches && model_learns_features(counting->m, k);
        counting->e->of[k].rated = counting->classes[k] == dataset_classes(data);
        counting->student[k] = make_tally(counting->classes[k]);
        counting->teacher[k] = make_tally(counting->classes[k]);
    }
    return 0;
}

int evaluate(model *model, const dataset *data, int threads, int who, evaluation *evaluation, diag *d)
{
    return evaluate_watched(model, data, threads, who, NULL, evaluation, d);
}

int evaluate_watched(model *model, const dataset *data, int threads, int who, const evaluate_watch *watch,
                     evaluation *evaluation, diag *d)
{
    counting c = { .m = model, .e = evaluation, .watch = watch };
    loader_options lo = {
        .data = data, .how = LOAD_VALID, .batch = model->net->batch, .c = model->low->shape->c,
        .h = model->low->shape->h, .w = model->low->shape->w, .augment = model->low->augment,
        .threads = threads > 0 ? threads : 1, .start = ranks_share(model->ranks, dataset_count(data), 0),
        .end = ranks_share(model->ranks, dataset_count(data), 1),
    };
    if (begin(&c, data, who, d)) return -1;
    loader *l = loader_start(&lo, d);
    int before = diag_errors(d);
    for (const batch *b; l && (b = loader_next(l, d));) count_batch(&c, b);
    if (l) loader_stop(l);
    int failed = !l || diag_errors(d) > before || merge(&c, d);
    finish(&c);
    free(c.scores);
    return failed ? -1 : 0;
}

/* Guessing gives p = 1 / classes, within three standard deviations; where so few images are labelled that guessing
 * could name nearly all of them, nothing is proven. */
const char *evaluate_suspicious(const score *score, size_t labelled, int classes)
{
    if (!(score->spread > 1e-6)) return "gives the same answer to every image";
    double p = 1. / classes;
    if (!labelled || classes < 2) return NULL;
    double deviation = 3 * sqrt(p * (1 - p) / (double)labelled);
    if (p + deviation > .9) return NULL;
    if (score->top1 < 100 * (p - deviation)) return "is worse than chance: are its classes in the order of names=?";
    return score->top1 <= 100 * (p + deviation) ? "is not better than chance" : NULL;
}
