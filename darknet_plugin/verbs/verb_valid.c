/* `darknet distill valid DATA CFG [WEIGHTS]`: teacher and student on the validation images. Without WEIGHTS the teacher
 * alone, with the size, mean= and std= that [teacher] gives it: is it what its author says, before anything is
 * trained? */
#include "device.h"
#include "results.h"

#include "darknet_plugin/base/options.h"
#include "layers/cpu/parallel.h"

#include <stdlib.h>
#include <string.h>

enum { WIDTH = 20 };

static void print_score(const char *who, const char *name, const score *score, FILE *out)
{
    int room = WIDTH - (int)strlen(who) - !!*name;
    fprintf(out, "%s%s%-*s %8.2f %8.2f\n", who, *name ? " " : "", room > 0 ? room : 0, name, score->top1, score->top5);
}

static void print_accuracy(const evaluation *evaluation, FILE *out)
{
    fprintf(out, "%-*s %8s %8s\n", WIDTH, "", "top-1 %", "top-5 %");
    for (int i = 0; i < evaluation->n; ++i) {
        const top_comparison *c = &evaluation->of[i];
        if (!c->rated) continue;
        if (evaluation->has_teacher) print_score("teacher", c->name, &c->teacher, out);
        if (!evaluation->has_student) continue;
        print_score(!evaluation->has_teacher ? "network" : evaluation->n > 1 ? "student as" : "student", c->name,
                    &c->student, out);
    }
}

static void print_evaluation(const evaluation *evaluation, FILE *out)
{
    fprintf(out, "%zu images, %zu labelled\n", evaluation->images, evaluation->labelled);
    if (evaluation->labelled) print_accuracy(evaluation, out);
    for (int i = 0; evaluation->has_teacher && evaluation->has_student && i < evaluation->n; ++i) {
        const top_comparison *c = &evaluation->of[i];
        if (*c->name) fprintf(out, "%s\n", c->name);
        fprintf(out, "%-*s %8.2f %% of images get the same class from both\n", WIDTH, "agreement", c->agreement);
        fprintf(out, "%-*s %8.6f mean squared error\n", WIDTH, "features", c->feature_mse);
    }
}

/* EVALUATE_ bits of what can be measured; 0 after reporting that nothing can. */
static int load_asked(const options *options, model *model, diag *d)
{
    if (options->n > 2) return model_load_whole(model, options->arg[2], d) ? 0 : EVALUATE_STUDENT | EVALUATE_TEACHER;
    if (model->teacher) return EVALUATE_TEACHER;
    diag_error(d, options->arg[1], 0, NULL, "no weights to measure it with");
    diag_hint(d, "without WEIGHTS the teacher is measured, and this cfg has none");
    return 0;
}

static int valid_classifier(const options *options, model *model, const dataset *data, int who, diag *d)
{
    evaluation e;
    if (evaluate(model, data, 1, who, &e, d)) return -1;
    if (options->json) return json_print(results_evaluation(&e), options->out, d);
    print_evaluation(&e, options->out);
    return 0;
}

static int valid_detector(const options *options, model *model, const data_file *file, const dataset *data, int who,
                          diag *d)
{
    detect_evaluation e;
    int failed = evaluate_detector(model, data, parallel_threads(), who, &e, d);
    if (!failed && options->json) failed = json_print(results_detect_evaluation(&e, file), options->out, d);
    else if (!failed) results_print_detect_evaluation(&e, file, options->out);
    detect_evaluation_free(&e);
    return failed;
}

static int valid_model(options *options, model *model, diag *d)
{
    int detector = model_is_detector(model);
    data_file *f = data_file_read(options->arg[0], d);
    dataset *data = f ? dataset_open(f, DATA_VALID, (size_t)options->limit, detector ? DATA_BOXES : DATA_IMAGES, d)
        : NULL;
    int who = data && !model_fit(model, options->fit, d) ? load_asked(options, model, d) : 0, failed = !who;
    if (who && detector) failed = model_fits_classes(model, f, d) || valid_detector(options, model, f, data, who, d);
    else if (who) failed = valid_classifier(options, model, data, who, d);
    dataset_free(data);
    data_file_free(f);
    return failed;
}

static int run(options *options, diag *d)
{
    model_options mo = { .threads = options->threads };
    if (device_backend(options, &mo.backend, d)) return -1;
    model *m = model_open(options->arg[1], &mo, d);
    int failed = !m || valid_model(options, m, d);
    model_close(m);
    return failed;
}

const verb verb_valid = {
    .name = "valid", .arguments = "DATA CFG [WEIGHTS]", .min = 2, .max = 3, .run = run,
    .help = "teacher and student side by side; without WEIGHTS the teacher alone",
    .flags = { "json", "threads", "backend", "fit", "limit", "gpus", "nogpu" },
};
