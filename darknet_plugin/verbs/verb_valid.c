/* `darknet distill valid DATA CFG [WEIGHTS]`: teacher and student on the validation images. Without WEIGHTS the teacher
 * alone, with the size, mean= and std= that [teacher] gives it: is it what its author says, before anything is trained? */
#include "layers/cpu/parallel.h"
#include "device.h"
#include "results.h"
#include "verbs.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 20 };

static void print_score(const char *who, const char *name, const score *s, FILE *out)
{
    int room = WIDTH - (int)strlen(who) - !!*name;
    fprintf(out, "%s%s%-*s %8.2f %8.2f\n", who, *name ? " " : "", room > 0 ? room : 0, name, s->top1, s->top5);
}

static void print_accuracy(const evaluation *e, FILE *out)
{
    fprintf(out, "%-*s %8s %8s\n", WIDTH, "", "top-1 %", "top-5 %");
    for (int i = 0; i < e->n; ++i) {
        const top_comparison *c = &e->of[i];
        if (!c->rated) continue;
        if (e->has_teacher) print_score("teacher", c->name, &c->teacher, out);
        if (!e->has_student) continue;
        print_score(!e->has_teacher ? "network" : e->n > 1 ? "student as" : "student", c->name, &c->student, out);
    }
}

static void print_evaluation(const evaluation *e, FILE *out)
{
    fprintf(out, "%zu images, %zu labelled\n", e->images, e->labelled);
    if (e->labelled) print_accuracy(e, out);
    for (int i = 0; e->has_teacher && e->has_student && i < e->n; ++i) {
        const top_comparison *c = &e->of[i];
        if (*c->name) fprintf(out, "%s\n", c->name);
        fprintf(out, "%-*s %8.2f %% of images get the same class from both\n", WIDTH, "agreement", c->agreement);
        if (c->has_features) fprintf(out, "%-*s %8.6f mean squared error\n", WIDTH, "features", c->feature_mse);
    }
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

static int valid_classifier(const options *o, model *m, const dataset *data, int who, diag *d)
{
    evaluation e;
    if (evaluate(m, data, 1, who, &e, d)) return -1;
    if (o->json) return json_print(results_evaluation(&e), o->out, d);
    print_evaluation(&e, o->out);
    return 0;
}

static int valid_detector(const options *o, model *m, const data_file *f, const dataset *data, int who, diag *d)
{
    detect_evaluation e;
    int failed = evaluate_detector(m, data, parallel_threads(), who, &e, d);
    if (!failed && o->json) failed = json_print(results_detect_evaluation(&e, f), o->out, d);
    else if (!failed) results_print_detect_evaluation(&e, f, o->out);
    detect_evaluation_free(&e);
    return failed;
}

static int valid_model(options *o, model *m, diag *d)
{
    int detector = model_is_detector(m);
    data_file *f = data_file_read(o->arg[0], d);
    dataset *data = f ? dataset_open(f, DATA_VALID, (size_t)o->limit, detector ? DATA_BOXES : DATA_IMAGES, d) : NULL;
    int who = data && !model_fit(m, o->fit, d) ? load_asked(o, m, d) : 0, failed = !who;
    if (who && detector) failed = model_fits_classes(m, f, d) || valid_detector(o, m, f, data, who, d);
    else if (who) failed = valid_classifier(o, m, data, who, d);
    dataset_free(data);
    data_file_free(f);
    return failed;
}

int verb_valid(options *o, diag *d)
{
    model_options mo = { .threads = o->threads };
    if (device_backend(o, &mo.backend, d)) return -1;
    model *m = model_open(o->arg[1], &mo, d);
    int failed = !m || valid_model(o, m, d);
    model_close(m);
    return failed;
}
