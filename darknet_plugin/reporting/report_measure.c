/* Networks of a run on the validation images: the student beside its teachers, then the same network from labels, by
 * the project's own evaluation, watched for what the page shows of single images and classes. */
#include "report_internal.h"

#include "darknet_plugin/base/argmax.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/deploying/bench.h"
#include "darknet_plugin/training/checkpoint.h"
#include "layers/cpu/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Who looks at the batches of an evaluation. */
typedef struct watcher {
    report_network *student, *teacher;   /* whose answers are noted; borrowed, `teacher` NULL: there is none */
    int last;                            /* which teacher that is */
    int classes;                         /* of the data set: answers of other classes have no names there */
    report_maps *maps;                   /* NULL: none are wanted */
    report_boxes *boxes;
} watcher;

/* ---- what a network answered ---- */

static void make_answers(report_network *network, const dataset *set)
{
    size_t n = dataset_count(set);
    network->answer = mem_calloc(n, sizeof *network->answer);
    network->sure = mem_calloc(n, sizeof *network->sure);
    for (size_t i = 0; i < n; ++i) network->answer[i] = -1;
}

static void note(report_network *network, const float *answer, int outputs, const batch *batch)
{
    for (int i = 0; network && network->answer && i < batch->n; ++i) {
        const float *of = answer + (size_t)i * (size_t)outputs;
        int best = argmax(of, outputs);
        network->answer[batch->index[i]] = best;
        network->sure[batch->index[i]] = of[best];
    }
}

/* What networks answered about a batch, and their maps and boxes. */
static void look(void *of, const model *model, const batch *batch)
{
    const watcher *watcher = of;
    if (watcher->maps) report_maps_look(watcher->maps, model, batch);
    if (watcher->boxes) report_boxes_look(watcher->boxes, batch);
    if (!watcher->student->answer) return;
    int outputs = model->classes;
    const float *student = model->teacher ? model_answer_as(model, watcher->last, &outputs) : model->net->output;
    if (outputs != watcher->classes) return;
    note(watcher->student, student, outputs, batch);
    if (watcher->teacher) note(watcher->teacher, teacher_answer(model->teacher[watcher->last]), outputs, batch);
}

/* Percent of each class's images that are named so. */
static void count_classes(report_network *network, const dataset *set)
{
    size_t classes = (size_t)dataset_classes(set), n = dataset_count(set);
    double *right = network->of_class = mem_calloc(classes, sizeof *right);
    size_t *all = mem_calloc(classes, sizeof *all);
    for (size_t i = 0; i < n; ++i) {
        int label = dataset_label(set, i);
        if (label < 0 || network->answer[i] < 0) continue;
        ++all[label];
        right[label] += network->answer[i] == label;
    }
    for (size_t k = 0; k < classes; ++k) right[k] = all[k] ? 100 * right[k] / (double)all[k] : NAN;
    free(all);
}

/* ---- classifiers ---- */

static void take_score(report_network *network, const score *score, int rated)
{
    network->measured = 1;
    if (rated) network->score = score->top1;
    if (rated) network->finer = score->top5;
}

/* Student and teachers, or the network from labels, which has none. */
static int measure_classifier(report *report, report_run *run, report_network *student, model *model,
                              const evaluate_watch *watch, diag *d)
{
    evaluation e;
    if (evaluate_watched(model, report->set, 1, EVALUATE_STUDENT | EVALUATE_TEACHER, watch, &e, d)) return -1;
    const top_comparison *last = &e.of[e.last];
    take_score(student, &last->student, last->rated && e.labelled);
    count_classes(student, report->set);
    if (!e.has_teacher) return 0;
    for (int i = 0; i < e.n; ++i) take_score(&run->teacher[i].net, &e.of[i].teacher, e.of[i].rated && e.labelled);
    if (last->rated) count_classes(&run->teacher[e.last].net, report->set);
    run->agreement = last->agreement;
    if (last->has_features) run->feature_mse = last->feature_mse;
    return 0;
}

/* ---- detectors ---- */

static void take_map(report_network *network, const map_result *map)
{
    network->measured = 1;
    network->score = map->all.ap50;
    network->finer = map->all.ap;
    network->of_class = mem_calloc((size_t)map->classes, sizeof *network->of_class);
    for (int i = 0; i < map->classes; ++i) network->of_class[i] = map->of[i].truths ? map->of[i].ap50 : NAN;
}

/* The same by average precision. */
static int measure_detector(report *report, report_run *run, report_network *student, model *model,
                            const evaluate_watch *watch, diag *d)
{
    detect_evaluation e;
    int who = EVALUATE_STUDENT | EVALUATE_TEACHER;
    int failed = evaluate_detector_watched(model, report->set, parallel_threads(), who, watch, &e, d);
    if (!failed) take_map(student, &e.of[e.last].student);
    for (int i = 0; !failed && e.has_teacher && i < e.n; ++i) take_map(&run->teacher[i].net, &e.of[i].teacher);
    if (!failed && e.has_teacher && e.of[e.last].maps) run->feature_mse = e.of[e.last].feature_mse;
    detect_evaluation_free(&e);
    return failed;
}

/* ---- a network of a run ---- */

typedef struct weighing {
    report *report;
    report_run *run;
    int from_labels;
    cpu_backend backend;
} weighing;

/* With its weights, and images as in training. NULL with messages. */
static model *open_model(const weighing *weighing, diag *d)
{
    const report_run *run = weighing->run;
    const char *weights = weighing->from_labels ? run->labels_weights : run->weights;
    model_options how = { .backend = weighing->backend, .threads = weighing->report->options.threads,
                          .mode = weighing->from_labels ? LOWER_LABELS : LOWER_TRAIN };
    model *model = model_open(run->cfg, &how, d);
    if (model && !model_fit(model, checkpoint_fit(weights, run->cfg), d) && !model_load_whole(model, weights, d) &&
        (!weighing->report->detector || !model_fits_classes(model, weighing->report->file, d)))
        return model;
    model_close(model);
    return NULL;
}

/* What of single images is wanted besides the scores. */
static int begin_parts(const weighing *weighing, const model *model, watcher *watcher, diag *d)
{
    report_run *run = weighing->run;
    const report *report = weighing->report;
    if (!report->detector) make_answers(watcher->student, report->set);
    if (!model->teacher) return 0;
    watcher->teacher = &run->teacher[run->last].net;
    watcher->last = run->last;
    if (!report->detector) make_answers(watcher->teacher, report->set);
    watcher->maps = report_maps_begin(model, report->set);
    if (report->detector) watcher->boxes = report_boxes_begin(model, report, (int)(run - report->run), d);
    return report->detector && !watcher->boxes ? -1 : 0;
}

/* Makers are ended in any case. */
static int end_parts(const weighing *weighing, watcher *watcher, int failed, diag *d)
{
    report_run *run = weighing->run;
    const report *report = weighing->report;
    if (watcher->maps) failed |= report_maps_end(watcher->maps, failed ? NULL : report, &run->maps, d);
    if (watcher->boxes) failed |= report_boxes_end(watcher->boxes, failed ? NULL : report, &run->disagreements, d);
    else if (watcher->teacher && !failed) failed = report_disagree(report, run, &run->disagreements, d);
    return failed ? -1 : 0;
}

/* One network of a run from its opening to its numbers. */
static int weigh(const weighing *weighing, diag *d)
{
    report *report = weighing->report;
    report_run *run = weighing->run;
    report_network *student = weighing->from_labels ? &run->labels : &run->student;
    watcher watcher = { .student = student, .classes = dataset_classes(report->set) };
    const evaluate_watch watch = { look, &watcher };
    model *model = open_model(weighing, d);
    if (!model) return -1;
    int failed = begin_parts(weighing, model, &watcher, d);
    if (!failed)
        failed = (report->detector ? measure_detector : measure_classifier)(report, run, student, model, &watch, d);
    failed = end_parts(weighing, &watcher, failed, d);
    model_close(model);
    return failed;
}

int report_measure(report *report, int i, cpu_backend backend, diag *d)
{
    report_run *run = &report->run[i];
    weighing weighing = { .report = report, .run = run, .backend = backend };
    fprintf(report->options.out, "%s: %s on %zu images\n", run->name,
            report_is_distilled(run) ? "student and teacher" : "the network", dataset_count(report->set));
    fflush(report->options.out);
    if (weigh(&weighing, d)) return -1;
    if (!report_is_distilled(run) || !run->labels_weights) return 0;
    fprintf(report->options.out, "%s: the same network from labels\n", run->name);
    fflush(report->options.out);
    weighing.from_labels = 1;
    return weigh(&weighing, d);
}

/* ---- time ---- */

/* A teacher that another run has, too, is timed once; NaN: it is the first. */
static double known_time(const report *report, const report_teacher *teacher)
{
    for (int i = 0; i < report->runs; ++i)
        for (int k = 0; k < report->run[i].teachers; ++k) {
            const report_teacher *other = &report->run[i].teacher[k];
            if (!strcmp(other->cfg, teacher->cfg) && !isnan(other->net.seconds)) return other->net.seconds;
        }
    return NAN;
}

static int time_teacher(const report *report, const teacher_spec *spec, report_teacher *teacher, diag *d)
{
    teacher->net.seconds = known_time(report, teacher);
    if (!isnan(teacher->net.seconds)) return 0;
    lowered *low = lower_cfg(cfg_copy(spec->cfg), LOWER_DEPLOY, d);
    if (low) teacher->net.seconds = bench_alone(low, BACKEND_DNNL, report->options.seconds, d);
    int failed = !low || teacher->net.seconds < 0;
    lower_free(low);
    return failed ? -1 : 0;
}

int report_time(report *report, diag *d)
{
    for (int i = 0; report->options.seconds > 0 && i < report->runs; ++i) {
        report_run *run = &report->run[i];
        run->student.seconds = bench_alone(run->low, BACKEND_DNNL, report->options.seconds, d);
        if (run->student.seconds < 0) return -1;
        run->labels.seconds = run->student.seconds;
        for (int k = 0; k < run->teachers; ++k)
            if (time_teacher(report, &run->low->teacher[k], &run->teacher[k], d)) return -1;
    }
    return 0;
}
