/* `darknet distill valid DATA CFG [WEIGHTS]`: teacher and student on the validation images. Without WEIGHTS the teacher
 * alone, with the size, mean= and std= that [teacher] gives it: before training, is it what its author says? */
#include "device.h"
#include "results.h"
#include "verb_fit.h"

#include "darknet_plugin/base/options.h"
#include "darknet_plugin/data/augment.h"
#include "layers/cpu/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 20 };

static void print_score(const char *who, const char *name, const score *score, FILE *out)
{
    int room = WIDTH - (int)strlen(who) - !!*name;
    fprintf(out, "%s%s%-*s %8.2f", who, *name ? " " : "", room > 0 ? room : 0, name, score->top1);
    if (isnan(score->top5)) fputc('\n', out);
    else fprintf(out, " %8.2f\n", score->top5);
}

/* What the student's line begins with: with several teachers their names follow. */
static const char *student_name(const evaluation *evaluation)
{
    if (!evaluation->has_teacher) return "network";
    return evaluation->n > 1 ? "student as" : "student";
}

/* The same of teachers' answers that are combined. */
static void print_combined(const evaluation *evaluation, const top_comparison *of, FILE *out)
{
    if (evaluation->has_teacher) print_score("teachers", "combined", &of->teacher, out);
    if (evaluation->has_student) print_score("student", "combined", &of->student, out);
}

/* Both networks in each comparison. */
static void print_accuracy(const evaluation *evaluation, FILE *out)
{
    const score *answer = &evaluation->of[evaluation->last].student, *other = &evaluation->of[evaluation->last].teacher;
    int finer = !isnan(evaluation->has_student ? answer->top5 : other->top5);
    fprintf(out, "%-*s %8s%s\n", WIDTH, "", "top-1 %", finer ? "  top-5 %" : "");
    for (int i = 0; i < evaluation->n; ++i) {
        const top_comparison *of = &evaluation->of[i];
        if (!of->rated) continue;
        if (evaluation->combined && i == evaluation->n - 1) {
            print_combined(evaluation, of, out);
            continue;
        }
        if (evaluation->has_teacher) print_score("teacher", of->name, &of->teacher, out);
        if (evaluation->has_student) print_score(student_name(evaluation), of->name, &of->student, out);
    }
}

/* Accuracy where there are labels, and how far student and teacher agree. */
static void print_evaluation(const evaluation *evaluation, const char *fit, FILE *out)
{
    fprintf(out, "%zu images, %zu labelled, %s\n", evaluation->images, evaluation->labelled, fit);
    if (evaluation->labelled) print_accuracy(evaluation, out);
    if (!evaluation->has_teacher || !evaluation->has_student) return;
    for (int i = 0; i < evaluation->n; ++i) {
        const top_comparison *of = &evaluation->of[i];
        if (*of->name || evaluation->combined) fprintf(out, "%s\n", *of->name ? of->name : "combined");
        fprintf(out, "%-*s %8.2f %% of images get the same class from both\n", WIDTH, "agreement", of->agreement);
        if (of->has_features)
            fprintf(out, "%-*s %8.6f mean squared error\n", WIDTH, "features", of->feature_mse);
    }
}

/* EVALUATE_ bits of what can be measured; 0 after reporting that nothing can. */
static int load_asked(const options *options, model *model, diag *d)
{
    if (options->n > 2) return model_load_whole(model, options->arg[2], d) ? 0 : EVALUATE_STUDENT | EVALUATE_TEACHER;
    if (model->teacher) return EVALUATE_TEACHER;
    diag_error(d, options->arg[1], 0, NULL, "no weights to measure it with");
    diag_hint(d, "without WEIGHTS the teacher is measured, and %s has none",
              options->from_labels ? "-from-labels" : "this cfg");
    return 0;
}

static cJSON *with_fit(cJSON *object, const model *model)
{
    cJSON_AddStringToObject(object, "fit", augment_fit_name(model->low->augment.fit));
    return object;
}

static size_t count_ambiguous(const dataset *set)
{
    size_t n = 0;
    for (size_t i = 0; i < dataset_count(set); ++i) n += (size_t)dataset_ambiguous(set, i);
    return n;
}

/* Without classes a teacher's answers are what a student's are held against; where there is none, nothing is. */
static int check_classes(const model *model, const dataset *set, diag *d)
{
    size_t n = dataset_count(set), i = 0;
    while (i < n && dataset_label(set, i) < 0 && !dataset_ambiguous(set, i)) ++i;
    if (i < n || model->teacher) return 0;
    diag_error(d, NULL, 0, NULL, "none of the %zu images has a class, and without a teacher there is nothing else to "
               "measure by", n);
    diag_hint(d, "name a list with a class behind each path, or a folder with a folder for each class");
    return -1;
}

/* Images whose labels are ambiguous are there with -force alone. */
static int valid_classifier(const options *options, model *model, const dataset *set, int who, diag *d)
{
    evaluation evaluation;
    if (check_classes(model, set, d) || evaluate(model, set, 1, who, &evaluation, d)) return -1;
    size_t ambiguous = count_ambiguous(set);
    if (options->json) {
        cJSON *object = with_fit(results_evaluation(&evaluation), model);
        if (ambiguous) cJSON_AddNumberToObject(object, "ambiguous", (double)ambiguous);
        return json_print(object, options->out, d);
    }
    print_evaluation(&evaluation, augment_fit_text(model->low->augment.fit), options->out);
    if (ambiguous)
        fprintf(options->out, "%zu images left out of the accuracy: labels of several classes are in their paths\n",
                ambiguous);
    return 0;
}

/* mAP of all that is asked, as a table or JSON. */
static int valid_detector(const options *options, model *model, const data_file *file, const dataset *set, int who,
                          diag *d)
{
    detect_evaluation evaluation;
    if (model_fits_classes(model, file, d)) return -1;
    int failed = evaluate_detector(model, set, parallel_threads(), who, &evaluation, d);
    cJSON *json = !failed && options->json ? with_fit(results_detect_evaluation(&evaluation, file), model) : NULL;
    if (json) failed = json_print(json, options->out, d);
    else if (!failed) fprintf(options->out, "images are %s\n", model_fit_text(model));
    if (!json && !failed) results_print_detect_evaluation(&evaluation, file, options->out);
    detect_evaluation_free(&evaluation);
    return failed;
}

static int valid_set(const options *options, model *model, const data_file *file, const dataset *set, diag *d)
{
    int who = model_fit(model, options->fit, d) ? 0 : load_asked(options, model, d);
    if (!who) return -1;
    model_notice_epsilon(model, options->n > 2 ? options->arg[2] : NULL, d);
    if (model_is_detector(model)) return valid_detector(options, model, file, set, who, d);
    return valid_classifier(options, model, set, who, d);
}

/* What is measured on, then the measuring. */
static int valid_model(const options *options, model *model, diag *d)
{
    int classifier = options->force ? DATA_IMAGES : DATA_UNAMBIGUOUS;
    int need = model_is_detector(model) ? DATA_BOXES : classifier;
    data_file *file = data_file_read(options->arg[0], d);
    if (file) file->held_out = (size_t)options->holdout;
    dataset *set = file ? dataset_open(file, DATA_VALID, (size_t)options->limit, need, d) : NULL;
    int failed = !set || valid_set(options, model, file, set, d);
    dataset_free(set);
    data_file_free(file);
    return failed;
}

static int run(options *options, diag *d)
{
    model_options how = { .ranks = options->ranks, .threads = options->threads,
                          .mode = options->from_labels ? LOWER_LABELS : LOWER_TRAIN };
    if (device_backend(options, &how.backend, d)) return -1;
    verb_take_fit(options, options->arg[1], options->n > 2 ? options->arg[2] : NULL);
    model *model = model_open(options->arg[1], &how, d);
    int failed = !model || valid_model(options, model, d);
    model_close(model);
    return failed;
}

const verb verb_valid = {
    .name = "valid", .arguments = "DATA CFG [WEIGHTS]", .min = 2, .max = 3, .run = run, .by_ranks = 1,
    .help = "teacher and student side by side; without WEIGHTS the teacher alone",
    .example = "valid my.data student.cfg backup/student_best.weights",
    .flags = { "json", "threads", "backend", "fit", "limit", "holdout", "from-labels", "force", "gpus", "nogpu" },
};
