/* `darknet distill valid DATA CFG [WEIGHTS]`: teacher and student on the validation images. Without WEIGHTS the teacher
 * alone, with the size, mean= and std= that [teacher] gives it: is it what its author says, before anything is trained? */
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
    if (e->labelled && e->has_student) print_score(e->has_teacher ? "student" : "network", &e->student, out);
    if (!e->has_teacher || !e->has_student) return;
    fprintf(out, "agreement  %8.2f %% of images get the same class from both\n", e->agreement);
    fprintf(out, "features   %8.6f mean squared error\n", e->feature_mse);
}

/* EVALUATE_ bits of what can be measured; 0 after reporting that nothing can. */
static int load_asked(const options *o, model *m, diag *d)
{
    if (o->n > 2) return model_load_whole(m, o->arg[2], d) ? 0 : EVALUATE_STUDENT | EVALUATE_TEACHER;
    if (m->teacher) return EVALUATE_TEACHER;
    diag_error(d, o->arg[1], 0, NULL, "no weights to measure it with");
    diag_hint(d, "without WEIGHTS the teacher is measured, and this cfg has none");
    return 0;
}

static int valid_model(options *o, model *m, diag *d)
{
    evaluation e;
    data_file *f = data_file_read(o->arg[0], d);
    dataset *data = f ? dataset_open(f, DATA_VALID, (size_t)o->limit, 0, d) : NULL;
    int who = data ? load_asked(o, m, d) : 0;
    int failed = !who || evaluate(m, data, 1, who, &e, d);
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
