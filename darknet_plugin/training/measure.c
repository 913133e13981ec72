/* The student between epochs (see measure.h). */
#include "measure.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/model/evaluate_detect.h"

#include <math.h>
#include <stdlib.h>

uint64_t measure_every(const model *model, const dataset *train, const dataset *valid)
{
    uint64_t looked_at = valid ? dataset_count(valid) : 0, trained_on = dataset_count(train);
    if (model_is_detector(model)) looked_at *= 4;
    return looked_at > trained_on ? (looked_at + trained_on - 1) / trained_on : 1;
}

/* By top-1, where images have labels. */
static int measure_classifier(model *model, const dataset *valid, int threads, measured *measured, diag *d)
{
    evaluation e;
    if (evaluate(model, valid, threads, EVALUATE_STUDENT, &e, d)) return -1;
    const top_comparison *c = &e.of[e.last];
    if (!e.labelled || !c->rated) return 0;
    measured->score = measured->top1 = c->student.top1;
    measured->top5 = c->student.top5;
    int n = snprintf(measured->text, sizeof measured->text, "  top-1 %.2f %%", c->student.top1);
    if (!isnan(c->student.top5))
        snprintf(measured->text + n, sizeof measured->text - (size_t)n, "  top-5 %.2f %%", c->student.top5);
    return 0;
}

/* The caller frees. */
static char *list_classes(const map_result *result, const data_file *names)
{
    char *text, buf[16];
    size_t size;
    FILE *out = mem_stream(&text, &size);
    fprintf(out, "%-20s %8s %8s %8s\n", "", "objects", "AP@0.5", "AP");
    for (int i = 0; i < result->classes; ++i)
        if (result->of[i].truths)
            fprintf(out, "%-20s %8zu %8.2f %8.2f\n", data_file_class(names, i, buf, sizeof buf),
                    result->of[i].truths, result->of[i].ap50, result->of[i].ap);
    mem_stream_end(out);
    return text;
}

/* By mean average precision. */
static int measure_detector(model *model, const dataset *valid, const data_file *names, int threads,
                            measured *measured, diag *d)
{
    detect_evaluation e;
    int failed = evaluate_detector(model, valid, threads, EVALUATE_STUDENT, &e, d);
    const map_result *student = &e.of[e.last].student;
    if (!failed) {
        measured->score = measured->map50 = student->all.ap50;
        measured->map = student->all.ap;
        snprintf(measured->text, sizeof measured->text, "  mAP@0.5 %.2f %%  mAP %.2f %%", student->all.ap50,
                 student->all.ap);
        measured->classes = list_classes(student, names);
    }
    detect_evaluation_free(&e);
    return failed;
}

int measure_student(model *model, const dataset *valid, const data_file *names, int threads, measured *measured,
                    diag *d)
{
    *measured = measured_nothing();
    if (model_resize(model, model->low->shape->w, model->low->shape->h, d)) return -1;
    if (model_is_detector(model)) return measure_detector(model, valid, names, threads, measured, d);
    return measure_classifier(model, valid, threads, measured, d);
}
