/* `darknet distill train DATA CFG [WEIGHTS]`: trains a distillation, or a plain classifier cfg (teachers,
 * baselines). */
#include "device.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/model/evaluate_detect.h"
#include "darknet_plugin/training/checkpoint.h"
#include "darknet_plugin/training/preflight.h"
#include "darknet_plugin/training/teacher_check.h"
#include "darknet_plugin/training/trainer.h"
#include "layers/cpu/parallel.h"

#include <stdlib.h>

typedef struct training {
    data_file *file;
    dataset *train, *valid;
    model *model;
    const char *backend;     /* as the user would name it; NULL = the default */
    run_lock lock;
} training;

static int judge_teacher(const options *options, const teacher_spec *spec, const top_comparison *comparison,
                         size_t labelled, int classes, diag *d)
{
    if (comparison->rated && labelled)
        fprintf(options->out, "teacher %s: top-1 %.2f %%, top-5 %.2f %% of %zu images\n", spec->cfg_path,
                comparison->teacher.top1, comparison->teacher.top5, labelled);
    return teacher_refuse(spec, evaluate_suspicious(&comparison->teacher, comparison->rated ? labelled : 0, classes),
                          options->force, d);
}

static int check_detector(const options *options, training *training, diag *d)
{
    detect_evaluation e;
    int bad = evaluate_detector(training->model, training->valid, parallel_threads(), EVALUATE_TEACHER, &e, d);
    for (int i = 0; !bad && i < e.n; ++i) {
        const teacher_spec *s = &training->model->low->teacher[i];
        const map_class *all = &e.of[i].teacher.all;
        fprintf(options->out, "teacher %s: mAP@0.5 %.2f %%, mAP@[.5:.95] %.2f %% of %zu images\n", s->cfg_path,
                all->ap50, all->ap, e.images);
        bad |= teacher_refuse(s, e.truths && all->ap50 < .5 ? "finds next to nothing" : NULL, options->force, d);
    }
    detect_evaluation_free(&e);
    return bad;
}

/* The teacher's own score first: nobody should wait hours to learn that the teacher was broken. */
static int check_teacher(const options *options, training *training, diag *d)
{
    if (!training->model->teacher || !training->valid) return 0;
    evaluation e;
    int bad = 0;
    if (model_is_detector(training->model)) return check_detector(options, training, d);
    if (evaluate(training->model, training->valid, 1, EVALUATE_TEACHER, &e, d)) return -1;
    for (int i = 0; i < e.n; ++i) bad |= judge_teacher(options, &training->model->low->teacher[i], &e.of[i], e.labelled,
                                                       teacher_outputs(training->model->teacher[i]), d);
    return bad;
}

/* An encoder starts a new training; a whole network goes on where it was. */
static int load_start(const options *options, training *training, diag *d)
{
    weights_info info;
    network *net = training->model->net;
    if (options->n < 3) return 0;
    if (model_load(training->model, options->arg[2], &info, d)) return -1;
    if (info.layers < net->n) {
        fprintf(options->out, "%s: start of %d of %d layers loaded, the rest is new\n", options->arg[2], info.layers,
                net->n);
        *net->seen = 0;
        return 0;
    }
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

static int open_data(const options *options, training *training, diag *d)
{
    int detector = model_is_detector(training->model);
    training->file = data_file_read(options->arg[0], d);
    if (!training->file) return -1;
    training->train = dataset_open(training->file, DATA_TRAIN, (size_t)options->limit,
                                   needs(training->model, !training->model->teacher), d);
    if (training->file->valid) training->valid = dataset_open(training->file, DATA_VALID, 0,
                                                              needs(training->model, detector), d);
    if (!training->train || (training->file->valid && !training->valid)) return -1;
    if (detector && !training->model->teacher) host_hush();
    return model_fits_classes(training->model, training->file, d);
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
    int cached = model_wants_cache(training->model, options->cache);
    model_cache c = { .path = options->cache, .type = options->type, .views = options->views,
                      .seed = (uint64_t)options->seed, .images = dataset_count(training->train),
                      .data = cached ? dataset_identity(training->train) : 0 };
    return model_open_cache(training->model, &c, views, d);
}

/* Everything that could go wrong hours later, and what is odd, before the first step. */
static int look_ahead(const options *options, training *training, const char *folder, const char *name, diag *d)
{
    preflight_job p = { .m = training->model, .train = training->train, .valid = training->valid, .cfg = options->arg[1],
                        .folder = folder, .name = name,
                        .threads = parallel_threads(), .force = options->force, .seed = (uint64_t)options->seed };
    int judged = options->resume && checkpoint_exists(folder, name);   /* when the run was started */
    int bad = preflight(&p, &training->lock, d) || (!judged && check_teacher(options, training, d));
    if (!bad) diag_flush(d, stderr);
    return bad;
}

static int run_training(const options *options, training *training, diag *d)
{
    uint64_t views;
    if (refuse_crop(training->model->low->cfg, d) || open_data(options, training, d) || load_start(options, training, d) ||
        open_cache(options, training, &views, d)) return -1;
    char *name = trainer_name(options->arg[1]);
    const char *folder = options->backup ? options->backup : training->file->backup;
    trainer_options to = {
        .model = training->model, .train = training->train, .valid = training->valid, .folder = folder, .name = name,
            .lock = &training->lock,
        .epochs = options->epochs, .threads = parallel_threads(), .seed = (uint64_t)options->seed, .views = views,
            .backend = training->backend,
        .resume = options->resume, .force = options->force, .pause = options->checkpoint, .skip_nan = options->skip_nan,
            .quiet = options->quiet, .out = options->out,
    };
    int failed = look_ahead(options, training, folder, name, d) || trainer_run(&to, d);
    free(name);
    return failed;
}

/* -resume goes on where the run was, -clear would forget it. */
static int refuse_both(const options *options, diag *d)
{
    if (options->resume && options->clear) diag_error(d, NULL, 0, NULL, "'-resume' and '-clear' contradict each other");
    return options->resume && options->clear;
}

static int run(options *options, diag *d)
{
    training t = { 0 };
    model_options mo = { .threads = options->threads, .seed = (uint64_t)options->seed };
    if (refuse_both(options, d) || device_backend(options, &mo.backend, d)) return -1;
    if (mo.backend == BACKEND_HOST) {
        diag_error(d, NULL, 0, NULL, "the host backend is for inference: its gradients are wrong");
        return -1;
    }
    t.backend = mo.backend == BACKEND_GPU ? "gpu" : options->backend;
    t.model = model_open(options->arg[1], &mo, d);
    int failed = !t.model || run_training(options, &t, d);
    run_lock_release(&t.lock);
    dataset_free(t.train);
    dataset_free(t.valid);
    data_file_free(t.file);
    model_close(t.model);
    return failed;
}

const verb verb_train = {
    .name = "train", .arguments = "DATA CFG [WEIGHTS]", .min = 2, .max = 3, .run = run,
    .help = "train a distillation, or a plain classifier cfg",
    .flags = { "threads", "backend", "epochs", "cache", "views", "type", "seed", "limit", "clear", "force",
               "resume", "checkpoint", "skip-nan", "quiet", "backup", "gpus", "nogpu" },
};
