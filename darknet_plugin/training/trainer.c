/* One loop for distilling and for training from labels (see trainer.h).
 *
 * Length: -epochs N (passes over the images, rounded up to whole updates) or the cfg's max_batches. Darknet's counting
 * holds: *net->seen rises by the sub-batch before its forward pass, an update follows every `subdivisions` of them, and
 * the learning rate is a function of the updates counted so.
 *
 * Everything that decides what comes next is in the network and in run_progress, and goes to disk with every checkpoint: after
 * each epoch, before and after it is measured, every few minutes, and when a signal asks for an end. */
#include "layers/network.h"
#include "trainer.h"

#include "layers/gpu/gpu.h"
#include "checkpoint.h"
#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/model/evaluate_detect.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/model/numbers.h"
#include "darknet_plugin/base/out_file.h"
#include "stop.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct run {
    const trainer_options *o;
    model *m;
    network *net;
    checkpoint *disk;        /* owned */
    run_progress p;
    uint64_t images;         /* in the training set */
    uint64_t end;            /* `seen` at which training stops */
    uint64_t started_at;     /* `seen` at the start */
    double began, printed;   /* seconds */
    int resumed;
    double saved;            /* when the last checkpoint was, seconds */
    uint64_t *step_image;    /* of the current step, owned */
    step_copy *before;       /* what the current step changes, owned; NULL without -skip-nan */
} run;

char *trainer_name(const char *cfg)
{
    const char *slash = strrchr(cfg, '/');
    char *name = mem_strdup(slash ? slash + 1 : cfg), *dot = strrchr(name, '.');
    if (dot && dot != name) *dot = 0;
    return name;
}

static uint64_t per_update(const network *net)
{
    return (uint64_t)net->batch * (uint64_t)net->subdivisions;
}

/* Where training ends, in images seen. */
static int find_end(run *r, diag *d)
{
    uint64_t step = per_update(r->net), want = (uint64_t)r->o->epochs * r->images;
    const char *cfg = r->m->low->source->path;
    r->end = r->o->epochs ? (want + step - 1) / step * step : (uint64_t)r->net->max_batches * step;
    if (!r->end) {
        diag_error(d, cfg, 0, "net", "no length: max_batches is not set");
        diag_hint(d, "write max_batches= in [net], or give -epochs N");
        return -1;
    }
    if (r->net->policy == POLY && r->end > (uint64_t)r->net->max_batches * step) {
        diag_error(d, cfg, 0, "net", "policy=poly ends at max_batches=%d, -epochs %d goes on to %llu", r->net->max_batches, r->o->epochs,
                   (unsigned long long)(r->end / step));
        diag_hint(d, "raise max_batches, or choose another policy");
        return -1;
    }
    if (r->started_at >= r->end && !r->resumed) {
        diag_error(d, cfg, 0, NULL, "already trained on %llu of %llu images", (unsigned long long)r->started_at, (unsigned long long)r->end);
        diag_hint(d, "-clear starts counting from 0 again");
        return -1;
    }
    return 0;
}

static void print_time(double seconds, FILE *out)
{
    int s = (int)(seconds + .5);
    if (s >= 3600) fprintf(out, "%dh%02dm", s / 3600, s / 60 % 60);
    else if (s >= 60) fprintf(out, "%dm%02ds", s / 60, s % 60);
    else fprintf(out, "%ds", s);
}

/* On a terminal the line is rewritten twice a second, in a log one is added every ten seconds. */
static void print_progress(run *r, double rate)
{
    FILE *out = r->o->out;
    int tty = isatty(fileno(out));
    double t = clock_now(), pause = tty ? .5 : 10;
    if (r->o->quiet || t - r->printed < pause) return;
    r->printed = t;
    uint64_t seen = *r->net->seen, step = per_update(r->net);
    double speed = (double)(seen - r->started_at) / (t - r->began);
    fprintf(out, "%sepoch %.2f/%.4g  step %llu/%llu  loss %.6f  rate %.5g  %.0f images/s  left ", tty ? "\r\033[K" : "",
            (double)seen / (double)r->images, (double)r->end / (double)r->images, (unsigned long long)(seen / step),
            (unsigned long long)(r->end / step), r->p.average, rate, speed);
    print_time((double)(r->end - seen) / speed, out);
    fprintf(out, "%s", tty ? "" : "\n");
    fflush(out);
}

/* The name is still ours, and the weights are where they can be written from. */
static int before_saving(run *r, diag *d)
{
    if (r->o->lock && run_lock_check(r->o->lock, d)) return -1;
    gpu_pull(r->net);
    return 0;
}

static int save(run *r, const char *suffix, diag *d)
{
    if (before_saving(r, d)) return -1;
    char *path = mem_printf("%s/%s_%s.weights", r->o->folder, r->o->name, suffix);
    int failed = weights_save(r->net, path, d);
    free(path);
    return failed;
}

static int save_all(run *r, diag *d)
{
    r->p.seen = *r->net->seen;
    r->p.updates = (uint64_t)*r->net->t;
    r->saved = clock_now();
    if (before_saving(r, d)) return -1;
    return checkpoint_save(r->disk, r->m, &r->p, d);
}

static int measure_classifier(run *r, double *score, char *text, size_t room, diag *d)
{
    evaluation e;
    if (evaluate(r->m, r->o->valid, r->o->threads, EVALUATE_STUDENT, &e, d)) return -1;
    const top_comparison *c = &e.of[e.last];
    if (!e.labelled || !c->rated) return 0;
    *score = c->student.top1;
    snprintf(text, room, "  top-1 %.2f %%  top-5 %.2f %%", c->student.top1, c->student.top5);
    return 0;
}

static int measure_detector(run *r, double *score, char *text, size_t room, diag *d)
{
    detect_evaluation e;
    int failed = evaluate_detector(r->m, r->o->valid, r->o->threads, EVALUATE_STUDENT, &e, d);
    const map_class *all = &e.of[e.last].student.all;
    if (!failed) {
        *score = all->ap50;
        snprintf(text, room, "  mAP@0.5 %.2f %%  mAP %.2f %%", all->ap50, all->ap);
    }
    detect_evaluation_free(&e);
    return failed;
}

/* What the student is worth now: *score stays where there is nothing to measure it with. A detector, which tends to have few
 * images, is measured only when four times as many have been trained on as are looked at, and at the end. */
static int measure(run *r, double *score, char *text, size_t room, diag *d)
{
    int detector = model_is_detector(r->m);
    uint64_t seen = *r->net->seen;
    if (!r->o->valid || (detector && seen - r->p.measured_at < 4 * dataset_count(r->o->valid) && seen < r->end)) return 0;
    r->p.measured_at = seen;
    if (model_resize(r->m, r->m->low->shape->w, r->m->low->shape->h, d)) return -1;
    return detector ? measure_detector(r, score, text, room, d) : measure_classifier(r, score, text, room, d);
}

static void print_epoch(run *r, uint64_t epoch, const char *text)
{
    FILE *out = r->o->out;
    double speed = (double)(*r->net->seen - r->started_at) / (clock_now() - r->began);
    fprintf(out, "%sepoch %llu  loss %.6f  rate %.5g  %.0f images/s%s\n", !r->o->quiet && isatty(fileno(out)) ? "\r\033[K" : "",
            (unsigned long long)epoch, r->p.epoch_sum / (double)(r->p.epoch_steps ? r->p.epoch_steps : 1), r->p.epoch_rate, speed, text);
    fflush(out);
}

/* Measures and saves. The best weights are on disk before the state that speaks of them. */
static int end_epoch(run *r, diag *d)
{
    uint64_t epoch = (uint64_t)fmax(1, round((double)*r->net->seen / (double)r->images));
    double score = -1;
    char text[80] = "";
    if (measure(r, &score, text, sizeof text, d)) return -1;
    print_epoch(r, epoch, text);
    r->p.epoch_sum = 0;
    r->p.epoch_steps = r->p.epoch_due = 0;
    if (score > r->p.best) {
        r->p.best = score;
        r->p.best_epoch = epoch;
        if (save(r, "best", d)) return -1;
    }
    return save_all(r, d);
}

/* The images of the step that was not finite, one a line: as many as can be trained on to see it again. */
static void list_images(const run *r, diag *d)
{
    char *path = mem_printf("%s/%s_nan.list", r->o->folder, r->o->name), name[1024];
    out_file f;
    if (!out_file_open(&f, path, d)) {
        for (uint64_t i = 0; i < per_update(r->net); ++i) {
            dataset_name(r->o->train, r->step_image[i], name, sizeof name);
            fprintf(f.file, "%s\n", name);
        }
        if (!out_file_close(&f, 0, d)) diag_warn(d, path, 0, NULL, "lists the images of that step");
    }
    free(path);
}

/* A step came to nothing: leaves it out if it can be undone and -skip-nan allows one more, else ends the run. `why` has the messages. */
static int leave_out(run *r, int undo, const diag *why, diag *d)
{
    unsigned long long step = *r->net->seen / per_update(r->net);
    int skip = undo && (int)r->p.left_out < r->o->skip_nan;
    diag_append(d, why, skip);
    list_images(r, d);
    if (skip) {
        r->p.left_out++;
        step_copy_undo(r->before, r->m);
        fprintf(r->o->out, "step %llu left out, it was not finite (%llu of %d)\n", step, (unsigned long long)r->p.left_out, r->o->skip_nan);
        return 0;
    }
    diag_error(d, NULL, 0, NULL, "step %llu is not finite; checkpoints on disk are from before it", step);
    diag_hint(d, "a lower learning_rate or a burn_in often helps; -skip-nan N leaves up to N such steps out");
    return -1;
}

static void count_loss(run *r, double loss)
{
    r->p.average = r->p.average < 0 ? loss : .9 * r->p.average + .1 * loss;
    r->p.epoch_sum += loss;
    r->p.epoch_steps++;
}

/* One sub-batch. -1 with a message; 1: its loss is not finite, `why` says where from. */
static int learn(run *r, const batch *b, diag *why, diag *d)
{
    if (model_resize(r->m, b->w, b->h, d) || model_teach(r->m, b->x, b->index, b->view, d)) return -1;
    double loss = model_train_step(r->m, b->x, b->label, b->truth);
    if (!isfinite(loss)) return numbers_explain_loss(r->m, b->x, loss, why), 1;
    count_loss(r, loss);
    return 0;
}

/* `subdivisions` sub-batches and their update; as learn(). */
static int learn_step(run *r, loader *l, diag *why, diag *d)
{
    int bad = 0;
    if (r->before) step_copy_keep(r->before, r->m);
    for (int s = 0; s < r->net->subdivisions && bad >= 0; ++s) {
        const batch *b = loader_next(l, d);
        if (!b) return -1;
        memcpy(r->step_image + (size_t)s * (size_t)r->net->batch, b->index, (size_t)r->net->batch * sizeof *b->index);
        if (bad) *r->net->seen += (size_t)r->net->batch;   /* the rest of a step that will be left out */
        else bad = learn(r, b, why, d);
    }
    if (!bad && numbers_check_updates(r->m, why)) bad = 1;
    return bad;
}

/* A whole step that was fine so far: its update. 1: a weight is not finite any more. */
static int update(run *r, diag *why)
{
    network_update(r->net, r->m->low->trained);
    return numbers_check_weights(r->m, why) ? 1 : 0;
}

/* One update, and what is due after it. */
static int step(run *r, loader *l, diag *d)
{
    uint64_t epochs = *r->net->seen / r->images;
    diag *why = diag_new();
    int bad = learn_step(r, l, why, d), undo = bad > 0;
    double rate = network_rate(r->net);
    if (!bad) bad = update(r, why);
    if (bad > 0) bad = leave_out(r, undo, why, d);
    diag_free(why);
    if (bad) return -1;
    print_progress(r, rate);
    r->p.epoch_due = *r->net->seen / r->images > epochs || *r->net->seen >= r->end;
    r->p.epoch_rate = rate;
    return 0;
}

/* After a step: an epoch's end is saved before it is measured, which may take long. */
static int after_step(run *r, diag *d)
{
    int ends = r->p.epoch_due && !stop_asked();
    if ((!ends || r->o->valid) && (r->p.epoch_due || stop_asked() || clock_now() - r->saved >= r->o->pause) && save_all(r, d)) return -1;
    return ends ? end_epoch(r, d) : 0;
}

static loader *start_loader(run *r, diag *d)
{
    const net_shape *s = r->m->low->shape;
    loader_options lo = {
        .data = r->o->train, .how = LOAD_TRAIN, .batch = r->net->batch, .c = s->c, .h = s->h, .w = s->w,
        .augment = r->m->low->augment, .seed = r->o->seed, .views = (int)r->o->views, .start = r->started_at, .threads = r->o->threads > 0 ? r->o->threads : 1,
        .max_boxes = dataset_has_boxes(r->o->train) ? r->net->truths / 5 : 0, .step_images = (int)per_update(r->net),
    };
    return loader_start(&lo, d);
}

static void report_features(const run *r, diag *d)
{
    features_count c = model_features_counts(r->m);
    fprintf(r->o->out, "features: %llu read from the cache, %llu computed\n", (unsigned long long)c.read, (unsigned long long)c.computed);
    if (c.damaged) diag_warn(d, NULL, 0, NULL, "%llu records of the feature cache were damaged and have been computed again", (unsigned long long)c.damaged);
}

/* Who forgets -resume should know before the old run's state is overwritten. */
static void mention_unfinished(const run *r)
{
    uint64_t seen = r->resumed ? 0 : checkpoint_seen(r->disk);
    if (!seen || seen >= r->end) return;
    fprintf(r->o->out, "starts anew, although %s/%s_last.state is of the same run after %llu of %llu images: -resume would go on with it\n",
            r->o->folder, r->o->name, (unsigned long long)seen, (unsigned long long)r->end);
    fflush(r->o->out);
}

/* 0 with *r ready to train, or -1 with messages. */
static int start(run *r, diag *d)
{
    const trainer_options *o = r->o;
    checkpoint_run c = { .m = r->m, .train = o->train, .valid = o->valid, .backend = o->backend, .threads = o->threads, .seed = o->seed, .views = o->views };
    r->disk = checkpoint_open(o->folder, o->name, &c);
    r->resumed = o->resume ? checkpoint_resume(r->disk, r->m, &r->p, o->force, d) : 0;
    if (r->resumed < 0) return -1;
    if (r->resumed) fprintf(o->out, "resumed after %llu images\n", (unsigned long long)r->p.seen);
    else if (o->resume) fprintf(o->out, "nothing to resume in %s, training starts\n", o->folder);
    fflush(o->out);
    r->started_at = *r->net->seen;
    if (!r->resumed) r->p.measured_at = r->started_at;
    r->step_image = mem_calloc(per_update(r->net), sizeof *r->step_image);
    r->before = o->skip_nan ? step_copy_new(r->m) : NULL;
    if (find_end(r, d)) return -1;
    mention_unfinished(r);
    return 0;
}

/* All steps. 0: to the end; 1: a signal asked to stop, all is saved. */
static int run_steps(run *r, diag *d)
{
    loader *l = start_loader(r, d);
    if (!l) return -1;
    stop_catch();
    r->began = r->printed = r->saved = clock_now();
    int failed = r->p.epoch_due ? end_epoch(r, d) : 0;
    while (!failed && *r->net->seen < r->end && !stop_asked()) failed = step(r, l, d) || after_step(r, d);
    if (r->m->low->augment.detector) (void)loader_left_out(l, d);
    loader_stop(l);
    if (!failed && stop_asked() && r->p.seen != *r->net->seen) failed = save_all(r, d);
    return failed ? -1 : r->p.epoch_due || *r->net->seen < r->end;
}

static void print_stopped(const run *r)
{
    uint64_t step = per_update(r->net);
    fprintf(r->o->out, "%s: stopped after step %llu of %llu, all is saved; the same command with -resume goes on\n", stop_name(),
            (unsigned long long)(*r->net->seen / step), (unsigned long long)(r->end / step));
}

static void print_end(const run *r)
{
    const trainer_options *o = r->o;
    if (r->p.best >= 0)
        fprintf(o->out, "best %s %.2f %% after epoch %llu; ", model_is_detector(r->m) ? "mAP@0.5" : "top-1", r->p.best,
                (unsigned long long)r->p.best_epoch);
    fprintf(o->out, "weights in %s/%s_final.weights, ", o->folder, o->name);
    print_time(clock_now() - r->began, o->out);
    fprintf(o->out, "\n");
}

static int train(run *r, diag *d)
{
    if (start(r, d)) return -1;
    int stopped = run_steps(r, d);
    if (stopped >= 0 && model_cached(r->m)) report_features(r, d);
    if (stopped > 0) print_stopped(r);
    if (stopped) return stopped;
    if (save(r, "final", d)) return -1;
    print_end(r);
    return 0;
}

int trainer_run(const trainer_options *o, diag *d)
{
    run r = { .o = o, .m = o->model, .net = o->model->net, .images = dataset_count(o->train), .p = { .average = -1, .best = -1 } };
    int status = weights_make_folder(o->folder, d) ? -1 : train(&r, d);
    checkpoint_free(r.disk);
    free(r.step_image);
    step_copy_free(r.before);
    return status;
}
