/* Top-1, top-5, agreement and feature error over a data set (see evaluate.h). */
#include "evaluate.h"

#include "darknet_plugin/base/argmax.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>

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

static void count_image(tally *t, const float *answer, int classes, int label)
{
    for (int i = 0; i < classes; ++i) {
        t->low[i] = fminf(t->low[i], answer[i]);
        t->high[i] = fmaxf(t->high[i], answer[i]);
    }
    if (label < 0) return;
    int rank = rank_of(answer, classes, label);
    t->top1 += rank < 1;
    t->top5 += rank < 5;
}

static score finish_tally(tally *t, int classes, size_t labelled)
{
    score s = { 0 };
    if (labelled) s = (score){ .top1 = 100. * (double)t->top1 / (double)labelled,
                               .top5 = 100. * (double)t->top5 / (double)labelled };
    for (int i = 0; i < classes; ++i) s.spread = fmax(s.spread, t->high[i] - t->low[i]);
    free(t->low);
    free(t->high);
    return s;
}

static const float *student_answer(const model *model, int t, int *outputs)
{
    if (model->teacher) return model_answer_as(model, t, outputs);
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
    if (model->teacher && teacher_outputs(model->teacher[t]) != outputs) {
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
    int classes[MAX_TEACHERS];
    tally student[MAX_TEACHERS], teacher[MAX_TEACHERS];
    size_t agree[MAX_TEACHERS];
} counting;

/* Comparison k over one batch. */
static void count_answers(counting *c, const batch *batch, int k)
{
    int n = c->classes[k], ignore;
    top_comparison *now = &c->e->of[k];
    const float *t = c->e->has_teacher ? teacher_answer(c->m->teacher[k]) : NULL;
    const float *s = c->e->has_student ? student_answer(c->m, k, &ignore) : NULL;
    for (int i = 0; i < batch->n; ++i) {
        size_t at = (size_t)i * (size_t)n;
        int label = now->rated ? batch->label[i] : -1;
        if (s) count_image(&c->student[k], s + at, n, label);
        if (t) count_image(&c->teacher[k], t + at, n, label);
        if (s && t) c->agree[k] += argmax(s + at, n) == argmax(t + at, n);
    }
    if (s && t && now->has_features) now->feature_mse += model_feature_mse(c->m, k, batch->n) * batch->n;
}

static void count_batch(counting *c, const batch *batch)
{
    evaluation *e = c->e;
    if (e->has_teacher) model_run_teachers(c->m, batch->x, 1);
    if (e->has_student) model_predict(c->m, batch->x);
    for (int k = 0; k < e->n; ++k) count_answers(c, batch, k);
    for (int i = 0; i < batch->n; ++i) e->labelled += batch->label[i] >= 0;
    e->images += (size_t)batch->n;
}

/* From counts to percent. */
static void finish(counting *c)
{
    evaluation *e = c->e;
    for (int k = 0; k < e->n; ++k) {
        top_comparison *now = &e->of[k];
        now->student = finish_tally(&c->student[k], c->classes[k], e->labelled);
        now->teacher = finish_tally(&c->teacher[k], c->classes[k], e->labelled);
        if (!e->images) continue;
        now->agreement = 100. * (double)c->agree[k] / (double)e->images;
        now->feature_mse /= (double)e->images;
    }
}

/* Who is compared with whom, and how many classes each comparison has; 0, or -1 after reporting. */
static int begin(counting *c, const dataset *data, int who, diag *d)
{
    const lowered *low = c->m->low;
    int n = c->m->teacher ? low->teachers : 1;
    *c->e = (evaluation){ .has_student = who & EVALUATE_STUDENT,
                          .has_teacher = c->m->teacher && (who & EVALUATE_TEACHER), .n = n,
                          .last = low->heads ? low->head[low->heads - 1].teacher : 0 };
    for (int k = 0; k < n; ++k)
        if (!(c->classes[k] = classes_of(c->m, data, k, d))) return -1;
    for (int k = 0; k < n; ++k) {
        c->e->of[k].name = c->m->teacher ? low->teacher[k].name : "";
        c->e->of[k].has_features = c->m->teacher && model_learns_features(c->m, k);
        c->e->of[k].rated = c->classes[k] == dataset_classes(data);
        c->student[k] = make_tally(c->classes[k]);
        c->teacher[k] = make_tally(c->classes[k]);
    }
    return 0;
}

int evaluate(model *model, const dataset *data, int threads, int who, evaluation *evaluation, diag *d)
{
    counting c = { .m = model, .e = evaluation };
    loader_options lo = {
        .data = data, .how = LOAD_VALID, .batch = model->net->batch, .c = model->low->shape->c,
            .h = model->low->shape->h,
        .w = model->low->shape->w, .threads = threads > 0 ? threads : 1,
    };
    if (begin(&c, data, who, d)) return -1;
    loader *l = loader_start(&lo, d);
    int before = diag_errors(d);
    for (const batch *b; l && (b = loader_next(l, d));) count_batch(&c, b);
    if (l) loader_stop(l);
    finish(&c);
    return !l || diag_errors(d) > before ? -1 : 0;
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
