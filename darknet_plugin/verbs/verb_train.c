/* `darknet distill train DATA CFG [WEIGHTS]`: trains a distillation, or a plain classifier cfg (teachers, baselines). */
#include "layers/cpu/parallel.h"
#include "darknet_plugin/training/checkpoint.h"
#include "device.h"
#include "darknet_plugin/model/evaluate_detect.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/training/preflight.h"
#include "darknet_plugin/training/teacher_check.h"
#include "darknet_plugin/training/trainer.h"
#include "verbs.h"

#include <stdlib.h>

typedef struct training {
    data_file *file;
    dataset *train, *valid;
    model *m;
    const char *backend;     /* as the user would name it; NULL = the default */
    run_lock lock;
} training;

static int judge_teacher(const options *o, const teacher_spec *t, const top_comparison *c, size_t labelled, int classes, diag *d)
{
    if (c->rated && labelled)
        fprintf(o->out, "teacher %s: top-1 %.2f %%, top-5 %.2f %% of %zu images\n", t->cfg_path, c->teacher.top1, c->teacher.top5, labelled);
    return teacher_refuse(t, evaluate_suspicious(&c->teacher, c->rated ? labelled : 0, classes), o->force, d);
}

static int check_detector(const options *o, training *t, diag *d)
{
    detect_evaluation e;
    int bad = evaluate_detector(t->m, t->valid, parallel_threads(), EVALUATE_TEACHER, &e, d);
    for (int i = 0; !bad && i < e.n; ++i) {
        const teacher_spec *s = &t->m->low->teacher[i];
        const map_class *all = &e.of[i].teacher.all;
        fprintf(o->out, "teacher %s: mAP@0.5 %.2f %%, mAP@[.5:.95] %.2f %% of %zu images\n", s->cfg_path, all->ap50, all->ap, e.images);
        bad |= teacher_refuse(s, e.truths && all->ap50 < .5 ? "finds next to nothing" : NULL, o->force, d);
    }
    detect_evaluation_free(&e);
    return bad;
}

/* The teacher's own score first: nobody should wait hours to learn that the teacher was broken. */
static int check_teacher(const options *o, training *t, diag *d)
{
    if (!t->m->teacher || !t->valid) return 0;
    evaluation e;
    int bad = 0;
    if (model_is_detector(t->m)) return check_detector(o, t, d);
    if (evaluate(t->m, t->valid, 1, EVALUATE_TEACHER, &e, d)) return -1;
    for (int i = 0; i < e.n; ++i) bad |= judge_teacher(o, &t->m->low->teacher[i], &e.of[i], e.labelled, teacher_outputs(t->m->teacher[i]), d);
    return bad;
}

/* An encoder starts a new training; a whole network goes on where it was. */
static int load_start(const options *o, training *t, diag *d)
{
    weights_info info;
    network *net = t->m->net;
    if (o->n < 3) return 0;
    if (model_load(t->m, o->arg[2], &info, d)) return -1;
    if (info.layers < net->n) {
        fprintf(o->out, "%s: start of %d of %d layers loaded, the rest is new\n", o->arg[2], info.layers, net->n);
        *net->seen = 0;
        return 0;
    }
    if (o->clear) *net->seen = 0;
    fprintf(o->out, "%s: whole network loaded, %zu images seen\n", o->arg[2], *net->seen);
    return 0;
}

/* What training and measuring read besides pixels: SimKD itself needs no labels. */
static int needs(const model *m, int labels)
{
    if (model_is_detector(m)) return labels ? DATA_BOXES : DATA_DETECTOR;
    return labels ? DATA_CLASSES : DATA_IMAGES;
}

static int open_data(const options *o, training *t, diag *d)
{
    int detector = model_is_detector(t->m);
    t->file = data_file_read(o->arg[0], d);
    if (!t->file) return -1;
    t->train = dataset_open(t->file, DATA_TRAIN, (size_t)o->limit, needs(t->m, t->m->low->labels), d);
    if (t->file->valid) t->valid = dataset_open(t->file, DATA_VALID, 0, needs(t->m, detector), d);
    if (!t->train || (t->file->valid && !t->valid)) return -1;
    if (detector && !t->m->teacher) host_hush();
    return model_fits_classes(t->m, t->file, d);
}

/* [crop] draws from the host's hidden generator while training: such a run could not be repeated. */
static int refuse_crop(const cfg_file *c, diag *d)
{
    const cfg_section *crop = cfg_first(c, "crop");
    if (!crop) return 0;
    diag_error(d, crop->file, crop->line, "crop", "cannot be trained reproducibly");
    diag_hint(d, "[augment] pad= and flip=, or [net] min_crop= and max_crop=, do the same outside the network");
    return -1;
}

static int open_cache(const options *o, training *t, uint64_t *views, diag *d)
{
    int cached = model_wants_cache(t->m, o->cache);
    model_cache c = { .path = o->cache, .type = o->type, .views = o->views, .seed = (uint64_t)o->seed, .images = dataset_count(t->train),
                      .data = cached ? dataset_identity(t->train) : 0 };
    return model_open_cache(t->m, &c, views, d);
}

/* Everything that could go wrong hours later, and what is odd, before the first step. */
static int look_ahead(const options *o, training *t, const char *folder, const char *name, diag *d)
{
    preflight_job p = { .m = t->m, .train = t->train, .valid = t->valid, .cfg = o->arg[1], .folder = folder, .name = name,
                        .threads = parallel_threads(), .force = o->force, .seed = (uint64_t)o->seed };
    int judged = o->resume && checkpoint_exists(folder, name);   /* when the run was started */
    int bad = preflight(&p, &t->lock, d) || (!judged && check_teacher(o, t, d));
    if (!bad) diag_flush(d, stderr);
    return bad;
}

static int run_training(const options *o, training *t, diag *d)
{
    uint64_t views;
    if (refuse_crop(t->m->low->cfg, d) || open_data(o, t, d) || load_start(o, t, d) || open_cache(o, t, &views, d)) return -1;
    char *name = trainer_name(o->arg[1]);
    const char *folder = o->backup ? o->backup : t->file->backup;
    trainer_options to = {
        .model = t->m, .train = t->train, .valid = t->valid, .folder = folder, .name = name, .lock = &t->lock,
        .epochs = o->epochs, .threads = parallel_threads(), .seed = (uint64_t)o->seed, .views = views, .backend = t->backend,
        .resume = o->resume, .force = o->force, .pause = o->checkpoint, .skip_nan = o->skip_nan, .quiet = o->quiet, .out = o->out,
    };
    int failed = look_ahead(o, t, folder, name, d) || trainer_run(&to, d);
    free(name);
    return failed;
}

/* -resume goes on where the run was, -clear would forget it. */
static int refuse_both(const options *o, diag *d)
{
    if (o->resume && o->clear) diag_error(d, NULL, 0, NULL, "'-resume' and '-clear' contradict each other");
    return o->resume && o->clear;
}

int verb_train(options *o, diag *d)
{
    training t = { 0 };
    model_options mo = { .threads = o->threads, .seed = (uint64_t)o->seed };
    if (refuse_both(o, d) || device_backend(o, &mo.backend, d)) return -1;
    if (mo.backend == BACKEND_HOST) {
        diag_error(d, NULL, 0, NULL, "the host backend is for inference: its gradients are wrong");
        return -1;
    }
    t.backend = mo.backend == BACKEND_GPU ? "gpu" : o->backend;
    t.m = model_open(o->arg[1], &mo, d);
    int failed = !t.m || run_training(o, &t, d);
    run_lock_release(&t.lock);
    dataset_free(t.train);
    dataset_free(t.valid);
    data_file_free(t.file);
    model_close(t.m);
    return failed;
}
