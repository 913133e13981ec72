/* Top-1, top-5, agreement and feature error over a data set (see evaluate.h). */
#include "evaluate.h"

#include "loader.h"
#include "mem.h"

#include <math.h>
#include <stdlib.h>

/* Running counts for one of the two networks. */
typedef struct tally {
    size_t top1, top5;
    float *low, *high;       /* (classes) extremes of each class's probability */
} tally;

int evaluate_rank(const float *answer, int n, int label)
{
    int rank = 0;
    for (int i = 0; i < n; ++i) rank += i != label && !(answer[i] < answer[label]);
    return rank;
}

static int first_of(const float *answer, int n)
{
    int best = 0;
    for (int i = 1; i < n; ++i)
        if (answer[i] > answer[best]) best = i;
    return best;
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
    int rank = evaluate_rank(answer, classes, label);
    t->top1 += rank < 1;
    t->top5 += rank < 5;
}

static score finish_tally(tally *t, int classes, size_t labelled)
{
    score s = { 0 };
    if (labelled) s = (score){ .top1 = 100. * (double)t->top1 / (double)labelled, .top5 = 100. * (double)t->top5 / (double)labelled };
    for (int i = 0; i < classes; ++i) s.spread = fmax(s.spread, t->high[i] - t->low[i]);
    free(t->low);
    free(t->high);
    return s;
}

static int same_classes(const model *m, const dataset *data, diag *d)
{
    const char *cfg = m->low->source->path;
    if (dataset_classes(data) != m->classes) {
        diag_error(d, cfg, 0, NULL, "network has %d outputs, data set has %d classes", m->classes, dataset_classes(data));
        return 0;
    }
    if (m->teacher && teacher_outputs(m->teacher) != m->classes) {
        diag_error(d, cfg, 0, NULL, "teacher has %d outputs, student has %d", teacher_outputs(m->teacher), m->classes);
        return 0;
    }
    return 1;
}

/* Sums over one batch; mse is weighted by images. */
static void count_batch(model *m, const batch *b, evaluation *e, tally *student, tally *teacher, size_t *agree)
{
    int n = m->classes;
    if (e->has_teacher) teacher_forward(m->teacher, b->x, 1);
    const float *t = e->has_teacher ? teacher_answer(m->teacher) : NULL;
    const float *s = e->has_student ? model_predict(m, b->x) : NULL;
    for (int i = 0; i < b->n; ++i) {
        if (s) count_image(student, s + (size_t)i * (size_t)n, n, b->label[i]);
        if (t) count_image(teacher, t + (size_t)i * (size_t)n, n, b->label[i]);
        if (s && t) *agree += first_of(s + (size_t)i * (size_t)n, n) == first_of(t + (size_t)i * (size_t)n, n);
        e->labelled += b->label[i] >= 0;
    }
    if (s && t) e->feature_mse += model_feature_mse(m, b->n) * b->n;
    e->images += (size_t)b->n;
}

int evaluate(model *m, const dataset *data, int threads, int who, evaluation *e, diag *d)
{
    if (!same_classes(m, data, d)) return -1;
    loader_options lo = {
        .data = data, .how = LOAD_VALID, .batch = m->net->batch, .c = m->low->shape->c, .h = m->low->shape->h,
        .w = m->low->shape->w, .threads = threads > 0 ? threads : 1,
    };
    loader *l = loader_start(&lo, d);
    if (!l) return -1;
    int before = diag_errors(d);
    size_t agree = 0;
    tally student = make_tally(m->classes), teacher = make_tally(m->classes);
    *e = (evaluation){ .has_student = who & EVALUATE_STUDENT, .has_teacher = m->teacher && (who & EVALUATE_TEACHER) };
    for (const batch *b; (b = loader_next(l, d));) count_batch(m, b, e, &student, &teacher, &agree);
    loader_stop(l);
    e->student = finish_tally(&student, m->classes, e->labelled);
    e->teacher = finish_tally(&teacher, m->classes, e->labelled);
    if (e->images) {
        e->agreement = 100. * (double)agree / (double)e->images;
        e->feature_mse /= (double)e->images;
    }
    return diag_errors(d) > before ? -1 : 0;
}

const char *evaluate_suspicious(const score *s, size_t labelled, int classes)
{
    if (!(s->spread > 1e-6)) return "gives the same answer to every image";
    double p = 1. / classes;
    if (!labelled || classes < 2) return NULL;
    double chance = p + 3 * sqrt(p * (1 - p) / (double)labelled);   /* three standard deviations of guessing */
    return s->top1 <= 100 * chance ? "is not better than chance" : NULL;
}
