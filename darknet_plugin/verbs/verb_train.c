/* `darknet distill train DATA CFG [WEIGHTS]`: trains a distillation, or a plain cfg (teachers, baselines). */
#include "device.h"

#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/model/evaluate_detect.h"
#include "darknet_plugin/model/precision.h"
#include "darknet_plugin/training/checkpoint.h"
#include "darknet_plugin/training/preflight.h"
#include "darknet_plugin/training/teacher_check.h"
#include "darknet_plugin/training/together.h"
#include "darknet_plugin/training/trainer.h"
#include "layers/cpu/parallel.h"

#include <math.h>
#include <stdlib.h>

typedef struct training {
    data_file *file;
    dataset *train, *valid;
    model *model;
    image_cache *images;     /* decoded; NULL: none is kept */
    const char *backend;     /* as the user would name it; NULL = the default */
    cpu_precision precision;
    char *plan;              /* of -precision auto; NULL: none */
    run_lock lock;
    run_teacher teacher[MAX_TEACHERS];   /* their scores */
} training;

/* Teacher i of a classifier, which fails where its score is no better than guessing. */
static int judge_teacher(const options *options, training *training, const evaluation *evaluation, int i, diag *d)
{
    const teacher_spec *spec = &training->model->low->teacher[i];
    const top_comparison *scores = &evaluation->of[i];
    size_t rated = scores->rated ? evaluation->labelled : 0;
    int classes = teacher_outputs(training->model->teacher[i]);
    if (rated) {
        training->teacher[i].top1 = scores->teacher.top1;
        training->teacher[i].top5 = scores->teacher.top5;
        fprintf(options->out, "teacher %s: top-1 %.2f %%", spec->cfg_path, scores->teacher.top1);
        if (!isnan(scores->teacher.top5)) fprintf(options->out, ", top-5 %.2f %%", scores->teacher.top5);
        fprintf(options->out, " of %zu images\n", rated);
    }
    return teacher_refuse(spec, evaluate_suspicious(&scores->teacher, rated, classes), options->force, d);
}

/* The same of a detector. */
static int judge_detector(const options *options, training *training, const detect_evaluation *evaluation, int i,
                          diag *d)
{
    const teacher_spec *spec = &training->model->low->teacher[i];
    const map_class *all = &evaluation->of[i].teacher.all;
    const char *why = evaluation->truths && all->ap50 < .5 ? "finds next to nothing" : NULL;
    training->teacher[i].map50 = all->ap50;
    training->teacher[i].map = all->ap;
    fprintf(options->out, "teacher %s: mAP@0.5 %.2f %%, mAP@[.5:.95] %.2f %% of %zu images\n", spec->cfg_path,
            all->ap50, all->ap, evaluation->images);
    return teacher_refuse(spec, why, options->force, d);
}

static int check_detectors(const options *options, training *training, diag *d)
{
    detect_evaluation evaluation;
    int bad = evaluate_detector(training->model, training->valid, parallel_threads(), EVALUATE_TEACHER, &evaluation, d);
    for (int i = 0; !bad && i < evaluation.n; ++i) bad |= judge_detector(options, training, &evaluation, i, d);
    detect_evaluation_free(&evaluation);
    return bad;
}

/* The teacher's own score first: nobody should wait hours to learn that the teacher was broken. */
static int check_teacher(const options *options, training *training, diag *d)
{
    if (!training->model->teacher || !training->valid) return 0;
    evaluation evaluation;
    int bad = 0;
    if (model_is_detector(training->model)) return check_detectors(options, training, d);
    if (evaluate(training->model, training->valid, 1, EVALUATE_TEACHER, &evaluation, d)) return -1;
    for (int i = 0; i < evaluation.n - evaluation.combined; ++i)
        bad |= judge_teacher(options, training, &evaluation, i, d);
    return bad;
}

/* A whole network that begins anew is a student that was distilled before: its reused classifier is the teacher's. */
static void warn_of_student(const model *model, const char *weights, diag *d)
{
    if (!model->teacher || !model->low->heads || !*model->net->seen) return;
    diag_warn(d, weights, 0, NULL, "is a whole student of this cfg, trained on %zu images; to distil it once more from "
              "the start was not measured to help", *model->net->seen);
    diag_hint(d, "'%s weights extract' makes an encoder of it; -resume or no -clear goes on with it", command_name());
}

/* The layers of a plain network, heads or not, start the student. */
static int load_start_of(const options *options, training *training, diag *d)
{
    int layers;
    if (options->n < 3) {
        diag_error(d, NULL, 0, NULL, "'-weights-of %s' says what WEIGHTS are of, which is missing",
                   options->weights_of);
        return -1;
    }
    if (model_start_from(training->model, options->weights_of, options->arg[2], &layers, d)) return -1;
    fprintf(options->out, "%s: %d layers of %s start the student, the rest is new\n", options->arg[2], layers,
            options->weights_of);
    *training->model->net->seen = 0;
    return 0;
}

/* An encoder starts a new training; a whole network goes on where it was. */
static int load_start(const options *options, training *training, diag *d)
{
    weights_info info;
    network *net = training->model->net;
    if (options->weights_of) return load_start_of(options, training, d);
    if (options->n < 3) return 0;
    if (model_load(training->model, options->arg[2], &info, d)) return -1;
    if (info.layers < net->n) {
        fprintf(options->out, "%s: start of %d of %d layers loaded, the rest is new\n", options->arg[2], info.layers,
                net->n);
        *net->seen = 0;
        return 0;
    }
    if (options->clear) warn_of_student(training->model, options->arg[2], d);
    if (options->clear) *net->seen = 0;
    fprintf(options->out, "%s: whole network loaded, %zu images seen\n", options->arg[2], *net->seen);
    return 0;
}

/* What training and measuring read besides pixels: SimKD itself needs no labels. */
static int needs(const model *model, int labels)
{
    if (model_is_detector(model)) return labels ? DATA_BOXES : DATA_DETECTOR;
    return labels ? DATA_CLASSES : DATA_IMAGES;
}

static int few_labels(const options *options) { return options_given(options, "labelled"); }

/* An output that would take images without labels for images of no class, or without objects; NULL: there is none. */
static const char *takes_for_empty(const lowered *low)
{
    static const char *const names[] = { "logistic", "cost", "region" };
    for (size_t i = 0; low->labels && i < sizeof names / sizeof *names; ++i)
        if (cfg_first(low->cfg, names[i]) && (!low->heads || low->outs)) return names[i];
    return NULL;
}

/* Images that only a teacher teaches on join those of train=; -limit trains on the first of these alone. */
static int join_unlabelled(const options *options, training *training, int need, diag *d)
{
    const data_file *file = training->file;
    const char *bad = takes_for_empty(training->model->low);
    size_t n = dataset_count(training->train);
    if (!file->unlabelled || !training->model->teacher || options->limit) {
        if (file->unlabelled && !options->quiet)
            fprintf(options->out, "images of unlabelled= are left out: %s\n",
                    options->limit ? "-limit trains on the first of train=" : "there is no teacher to teach on them");
        return 0;
    }
    if (bad) {
        diag_error(d, file->path, 0, NULL, "unlabelled=: [%s] would take its images for empty ones", bad);
        diag_hint(d, "leave unlabelled= out, or the labels");
        return -1;
    }
    if (dataset_join_unlabelled(training->train, file, need, d)) return -1;
    if (!options->quiet)
        fprintf(options->out, "%zu images of unlabelled= teach beside %zu of train=\n",
                dataset_count(training->train) - n, n);
    return 0;
}

/* -labelled N is refused for `why`. */
static int refuse_labelled(const options *options, const char *why, const char *hint, diag *d)
{
    diag_error(d, NULL, 0, NULL, "'-labelled %d': %s", options->labelled, why);
    if (hint) diag_hint(d, "%s", hint);
    return -1;
}

/* Would something take images without labels for empty ones? Then why -labelled is refused. */
static int refuse_empty_ones(const options *options, const model *model, diag *d)
{
    const char *bad = model_is_detector(model) ? takes_for_empty(model->low) : NULL;
    char *why = bad ? mem_printf("[%s] would take the others for images without objects", bad) : NULL;
    if (why) refuse_labelled(options, why, "[yolo] leaves them out", d);
    free(why);
    if (bad) return -1;
    if (!model->low->heads && (cfg_first(model->low->cfg, "logistic") || cfg_first(model->low->cfg, "cost")))
        return refuse_labelled(options, "[logistic] and [cost] would take the others for images of no class",
                               "[softmax] leaves them out", d);
    return 0;
}

/* How many of the first n images have no label; a detector's data set has counted those that lack a label file. */
static size_t count_bare(const training *training, size_t n)
{
    size_t bare = 0;
    if (model_is_detector(training->model)) return 0;
    for (size_t i = 0; i < n; ++i) bare += dataset_label(training->train, i) < 0;
    return bare;
}

/* All images but the first N lose their labels; `count` are those of train=. 0, or -1 with a message where that would
 * be of no use. */
static int forget_labels(const options *options, training *training, size_t count, diag *d)
{
    const model *model = training->model;
    size_t n = (size_t)options->labelled;
    if (!few_labels(options)) return 0;
    if (!model->teacher)
        return refuse_labelled(options, "without a teacher unlabelled images are of no use",
                               "-limit N trains on the first N images alone", d);
    if (refuse_empty_ones(options, model, d)) return -1;
    if (n > count) {
        diag_error(d, NULL, 0, NULL, "'-labelled %zu': there are %zu training images", n, count);
        return -1;
    }
    if (!model->low->labels && !model->low->combine.confidence)
        diag_warn(d, NULL, 0, NULL, "'-labelled %zu': nothing in %s learns from labels", n, options->arg[1]);
    dataset_forget_labels(training->train, n);
    size_t bare = count_bare(training, n);
    if (!bare || !model->low->labels) return 0;
    diag_error(d, NULL, 0, NULL, "'-labelled %zu': %zu of these images have no label", n, bare);
    return -1;
}

/* Where image_cache= names one; of several ranks the first fills it. Images are measured as large as they are. */
static int open_image_cache(const options *options, training *training, diag *d)
{
    const data_file *file = training->file;
    if (!file->image_cache) return 0;
    if (!dataset_prints(training->train) && !options->quiet)
        fprintf(options->out, "image_cache= keeps nothing: these images lie in memory\n");
    training->images = image_cache_open(file->image_cache, ranks_leads(options->ranks), d);
    if (!training->images) return -1;
    dataset_use_cache(training->train, training->images, file->image_cache_side);
    if (training->valid) dataset_use_cache(training->valid, training->images, 0);
    if (file->image_cache_side && !options->quiet)
        fprintf(options->out, "training images are shrunk to %d pixels on their shorter side (image_cache_side=)\n",
                file->image_cache_side);
    return 0;
}

/* What came from the image cache, and what it holds now. */
static void report_images(const options *options, const training *training)
{
    if (!training->images || options->quiet) return;
    image_cache_count count = image_cache_counts(training->images);
    fprintf(options->out, "images: %llu read from %s, %llu decoded", (unsigned long long)count.read,
            training->file->image_cache, (unsigned long long)count.missed);
    if (count.damaged)
        fprintf(options->out, " (of these %llu that were damaged there)", (unsigned long long)count.damaged);
    fprintf(options->out, "; it holds %llu, %.1f MB\n", (unsigned long long)count.images, (double)count.bytes / 1e6);
}

/* valid= may be missing; train= may not. */
static int open_data(const options *options, training *training, diag *d)
{
    const model *model = training->model;
    int detector = model_is_detector(model);
    data_file *file = training->file = data_file_read(options->arg[0], d);
    if (!file) return -1;
    file->held_out = (size_t)options->holdout;
    file->few_labels = few_labels(options);
    file->labelled = (size_t)options->labelled;
    int measured = file->valid || file->held_out;
    int read = needs(model, model->low->labels && (detector || !few_labels(options)));
    training->train = dataset_open(file, DATA_TRAIN, (size_t)options->limit, read, d);
    if (!training->train && (data_file_one_list(file) || file->held_out)) return -1;   /* valid= would say the same */
    if (measured) training->valid = dataset_open(file, DATA_VALID, 0, needs(model, detector), d);
    if (!training->train || (measured && !training->valid)) return -1;
    size_t images = dataset_count(training->train);
    if (join_unlabelled(options, training, read, d) || forget_labels(options, training, images, d)) return -1;
    if (open_image_cache(options, training, d)) return -1;
    if (detector && model->low->labels) host_hush();
    return model_fits_classes(model, file, d);
}

/* [crop] draws from the host's hidden generator while training: such a run could not be repeated. */
static int refuse_crop(const cfg_file *cfg, diag *d)
{
    const cfg_section *crop = cfg_first(cfg, "crop");
    if (!crop) return 0;
    diag_error(d, crop->file, crop->line, "crop", "cannot be trained reproducibly");
    diag_hint(d, "[augment] pad= and flip=, or [net] min_crop= and max_crop=, do the same outside the network");
    return -1;
}

static int open_cache(const options *options, training *training, uint64_t *views, diag *d)
{
    model_cache cache = {
        .path = options->cache, .type = options->type, .views = options->views, .seed = options_view_seed(options),
        .images = dataset_count(training->train), .data = training->train, .force = options->force,
    };
    return model_open_cache(training->model, &cache, views, d);
}

/* Everything that could go wrong hours later, and what is odd, before the first step. Of several ranks the first looks
 * at disk and images; all measure the teacher. */
static int look_ahead(const options *options, training *training, const preflight_job *job, diag *d)
{
    int leads = ranks_leads(options->ranks);
    int judged = options->resume && checkpoint_exists(job->folder, job->name);   /* when the run was started */
    if ((leads && preflight(job, &training->lock, d)) || ranks_meet(options->ranks, RANKS_BEGIN, d) ||
        ranks_broadcast(options->ranks, &judged, sizeof judged, d))
        return -1;
    int bad = !judged && check_teacher(options, training, d);
    if (!bad) diag_flush(d, leads ? stderr : options->out);
    return bad;
}

/* Do all ranks train the same? */
static int compare_ranks(const options *options, const training *training, uint64_t views, diag *d)
{
    if (!options->ranks) return 0;
    checkpoint_run run = { .model = training->model, .train = training->train, .valid = training->valid,
                           .backend = training->backend, .seed = (uint64_t)options->seed,
                           .view_seed = options_view_seed(options), .views = views, .rate = options->rate,
                           .precision = training->precision };
    char *key = checkpoint_key(&run);
    char *all = mem_printf("%sflags=%d epochs, %d left out, %s\n", key, options->epochs, options->skip_nan,
                           options->fast_reduce ? "-fast-reduce" : "in order");
    int bad = together_compare(options->ranks, all, d);
    free(all);
    free(key);
    return bad;
}

/* Where everything is open: the last checks, and the loop. */
static int train(const options *options, training *training, const preflight_job *job, uint64_t views, diag *d)
{
    trainer_options how = {
        .model = training->model, .train = training->train, .valid = training->valid, .folder = job->folder,
        .name = job->name, .lock = &training->lock, .backend = training->backend, .threads = parallel_threads(),
        .names = training->file, .teachers = training->teacher, .measure = options->measure,
        .views = views, .epochs = options->epochs, .seed = (uint64_t)options->seed,
        .view_seed = options_view_seed(options), .resume = options->resume, .force = options->force,
        .precision = training->precision, .plan = training->plan, .rate = options->rate, .pause = options->checkpoint,
        .skip_nan = options->skip_nan, .quiet = options->quiet, .out = options->out,
    };
    if (look_ahead(options, training, job, d)) return -1;
    int status = trainer_run(&how, d);
    if (status >= 0) report_images(options, training);
    return status;
}

/* What its files are called; the caller frees. */
static char *run_name(const options *options)
{
    char *stem = path_stem(options->arg[1]);
    char *name = mem_printf("%s%s", stem, options->from_labels ? MODEL_FROM_LABELS : "");
    free(stem);
    return name;
}

/* All that a training reads; whose files it would write; then the training itself. */
static int run_training(const options *options, training *training, diag *d)
{
    uint64_t views;
    const lowered *low = training->model->low;
    lower_warn_training(low, d);
    if (model_fit(training->model, options->fit, d)) return -1;
    if (options->rate > 0) training->model->net->learning_rate = (float)options->rate;
    if (refuse_crop(low->cfg, d) || lower_check_loss(low, 0, d) || open_data(options, training, d)) return -1;
    char *name = run_name(options);
    preflight_job job = {
        .model = training->model, .train = training->train, .valid = training->valid, .cfg = options->arg[1],
        .folder = options->backup ? options->backup : training->file->backup, .name = name,
        .threads = parallel_threads(), .force = options->force, .view_seed = options_view_seed(options),
        .held_out = options->holdout,
        .one_list = !options->limit && data_file_one_list(training->file),
    };
    int failed = preflight_files(&job, options->n > 2 ? options->arg[2] : NULL, d) ||
                 load_start(options, training, d) || open_cache(options, training, &views, d) ||
                 compare_ranks(options, training, views, d);
    if (!failed && !options->quiet) fprintf(options->out, "images are %s\n", augment_fit_text(low->augment.fit));
    if (!failed) failed = train(options, training, &job, views, d);
    free(name);
    return failed;
}

static void free_training(training *training)
{
    run_lock_release(&training->lock);
    free(training->plan);
    dataset_free(training->train);
    dataset_free(training->valid);
    image_cache_close(training->images);
    data_file_free(training->file);
    model_close(training->model);
}

/* -resume goes on where the run was, -clear would forget it; a cache is a teacher's. */
static int refuse_both(const options *options, diag *d)
{
    int cache = options->from_labels && options->cache, few = options->from_labels && few_labels(options);
    int clear = options->resume && options->clear;
    if (clear) diag_error(d, NULL, 0, NULL, "'-resume' and '-clear' contradict each other");
    if (cache) diag_error(d, NULL, 0, NULL, "'-from-labels' has no teacher whose features '-cache' could hold");
    if (few) refuse_labelled(options, "unlabelled images are of no use '-from-labels'",
                             "-limit N trains on the first N images alone", d);
    return clear || cache || few;
}

static int refuse_host(diag *d)
{
    diag_error(d, NULL, 0, NULL, "the host backend is for inference: its gradients are wrong");
    return -1;
}

/* The plan that the run to be resumed began with; NULL: there is none. */
static char *plan_before(const options *options)
{
    diag *unsaid = diag_new();
    data_file *file = options->backup ? NULL : data_file_read(options->arg[0], unsaid);
    const char *folder = file ? file->backup : options->backup;
    char *name = run_name(options), *plan = folder ? checkpoint_plan(folder, name) : NULL;
    free(name);
    data_file_free(file);
    diag_free(unsaid);
    return plan;
}

/* What -precision auto chooses, or chose when the run began. */
static int make_plan(const options *options, training *training, model_options *how, diag *d)
{
    FILE *say = options->quiet ? NULL : options->out;
    if (!device_plans(options)) return 0;
    training->plan = options->resume ? plan_before(options) : NULL;
    if (training->plan && say) fprintf(say, "auto: as when the run began\n");
    if (!training->plan) training->plan = precision_choose(options->arg[1], how, say, d);
    how->plan = training->plan;
    return training->plan ? 0 : -1;
}

/* Opens the model on its device; the rest is run_training's. */
static int run(options *options, diag *d)
{
    training training = { 0 };
    for (int i = 0; i < MAX_TEACHERS; ++i) training.teacher[i] = (run_teacher){ NAN, NAN, NAN, NAN };
    model_options how = { .threads = options->threads, .seed = (uint64_t)options->seed,
                          .mode = options->from_labels ? LOWER_LABELS : LOWER_TRAIN, .ranks = options->ranks,
                          .shared = 1 };
    if (refuse_both(options, d) || device_backend(options, &how.backend, d) ||
        device_precision(options, &how.precision, d))
        return -1;
    if (how.backend == BACKEND_HOST) return refuse_host(d);
    training.backend = how.backend == BACKEND_GPU ? "gpu" : options->backend;
    training.precision = how.precision;
    device_say_precision(options, how.precision);
    int failed = make_plan(options, &training, &how, d);
    if (!failed) training.model = model_open(options->arg[1], &how, d);
    failed = failed || !training.model || run_training(options, &training, d);
    free_training(&training);
    return failed;
}

const verb verb_train = {
    .name = "train", .arguments = "DATA CFG [WEIGHTS]", .min = 2, .max = 3, .run = run, .by_ranks = 1,
    .help = "train a distillation, or a plain classifier cfg",
    .example = "train my.data student.cfg -epochs 30 -cache features",
    .flags = { "threads", "backend", "precision", "epochs", "rate", "cache", "views", "type", "seed", "view-seed",
               "limit", "holdout", "labelled", "from-labels", "weights-of", "clear", "force", "resume", "checkpoint",
               "skip-nan", "fast-reduce", "quiet", "backup", "gpus", "nogpu", "fit", "measure" },
    .notes = "learning_rate= that did best on images held out, SGD with momentum: Fashion-MNIST .1 distilled, .05\n"
             "from labels; CIFAR-100 .05 distilled (.1 and .02 were worse), .1 from labels. A detector as init\n"
             "writes it wants the rate that labels like: drawn shapes .02, photographs of fruit .01.\n",
};
