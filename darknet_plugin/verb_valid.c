/* `darknet distill valid DATA CFG WEIGHTS`: teacher and student on the validation images. */
#include "results.h"
#include "verbs.h"

#include <stdlib.h>

static void print_score(const char *name, const score *s, FILE *out)
{
    fprintf(out, "%-10s %8.2f %8.2f\n", name, s->top1, s->top5);
}

static void print_evaluation(const evaluation *e, FILE *out)
{
    fprintf(out, "%zu images, %zu labelled\n", e->images, e->labelled);
    if (e->labelled) fprintf(out, "%-10s %8s %8s\n", "", "top-1 %", "top-5 %");
    if (e->labelled && e->has_teacher) print_score("teacher", &e->teacher, out);
    if (e->labelled) print_score(e->has_teacher ? "student" : "network", &e->student, out);
    if (!e->has_teacher) return;
    fprintf(out, "agreement  %8.2f %% of images get the same class from both\n", e->agreement);
    fprintf(out, "features   %8.6f mean squared error\n", e->feature_mse);
}

static int valid_model(options *o, model *m, diag *d)
{
    evaluation e;
    data_file *f = data_file_read(o->arg[0], d);
    dataset *data = f ? dataset_open(f, DATA_VALID, (size_t)o->limit, 0, d) : NULL;
    int failed = !data || model_load_whole(m, o->arg[2], d);
    failed = failed || evaluate(m, data, 1, EVALUATE_STUDENT | EVALUATE_TEACHER, &e, d);
    if (!failed && o->json) failed = results_print_json(results_evaluation(&e), o->out, d);
    else if (!failed) print_evaluation(&e, o->out);
    dataset_free(data);
    data_file_free(f);
    return failed;
}

int verb_valid(options *o, diag *d)
{
    model_options mo = { .threads = o->threads };
    if (options_no_gpu(o, d) || model_backend(o->backend, &mo.backend, d)) return -1;
    model *m = model_open(o->arg[1], &mo, d);
    int failed = !m || valid_model(o, m, d);
    model_close(m);
    return failed;
}
