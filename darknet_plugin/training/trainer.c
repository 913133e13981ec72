/* One loop for distilling and for training from labels (see trainer.h).
 *
 * Length: -epochs N (passes over the images, rounded up to whole updates) or the cfg's max_batches. Darknet's counting
 * holds: *net->seen rises by the sub-batch before its forward pass, an update follows every `subdivisions` of them, and
 * the learning rate is a function of the updates counted so.
 *
 * Everything that decides what comes next is in the network and in run_progress, and goes to disk with every
 * checkpoint: after each epoch, before and after it is measured, every few minutes, and when a signal asks for an
 * end. */
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

static uint64_t per_update(const network *net)
{
    return (uint64_t)net->batch * (uint64_t)net->subdivisions;
}

/* Where training ends, in images seen. */
static int find_end(run *run, diag *d)
{
    uint64_t step = per_update(run->net), want = (uint64_t)run->o->epochs * run->images;
    const char *cfg = run->m->low->source->path;
    run->end = run->o->epochs ? (want + step - 1) / step * step : (uint64_t)run->net->max_batches * step;
    if (!run->end) {
        diag_error(d, cfg, 0, "net", "no length: max_batches is not set");
        diag_hint(d, "write max_batches= in [net], or give -epochs N");
        return -1;
    }
    if (run->net->policy == POLY && run->end > (uint64_t)run->net->max_batches * step) {
        diag_error(d, cfg, 0, "net", "policy=poly ends at max_batches=%d, -epochs %d goes on to %llu",
                   run->net->max_batches, run->o->epochs, (unsigned long long)(run->end / step));
        diag_hint(d, "raise max_batches, or choose another policy");
        return -1;
    }
    if (run->started_at >= run->end && !run->resumed) {
        diag_error(d, cfg, 0, NULL, "already trained on %llu of %llu images", (unsigned long long)run->started_at,
                   (unsigned long long)run->end);
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
static void print_progress(run *run, double rate)
{
    FILE *out = run->o->out;
    int tty = isatty(fileno(out));
    double t = clock_now(), pause = tty ? .5 : 10;
    if (run->o->quiet || t - run->printed < pause) return;
    run->printed = t;
    uint64_t seen = *run->net->seen, step = per_update(run->net);
    double speed = (double)(seen - run->started_at) / (t - run->began);
    fprintf(out, "%sepoch %.2f/%.4g  step %llu/%llu  loss %.6f  rate %.5g  %.0f images/s  left ", tty ? "\r\033[K" : "",
            (double)seen / (double)run->images, (double)run->end / (double)run->images,
                (unsigned long long)(seen / step), (unsigned long long)(run->end / step), run->p.average, rate, speed);
    print_time((double)(run->end - seen) / speed, out);
    fprintf(out, "%s", tty ? "" : "\n");
    fflush(out);
}

/* The name is still ours, and the weights are where they can be written from. */
static int before_saving(run *run, diag *d)
{
    if (run->o->lock && run_lock_check(run->o->lock, d)) return -1;
    gpu_pull(run->net);
    return 0;
}

static int save(run *run, const char *suffix, diag *d)
{
    if (before_saving(run, d)) return -1;
    char *path = mem_printf("%s/%s_%s.weights", run->o->folder, run->o->name, suffix);
    int failed = weights_save(run->net, path, d);
    free(path);
    return failed;
}

static int save_all(run *run, diag *d)
{
    run->p.seen = *run->net->seen;
    run->p.updates = (uint64_t)*run->net->t;
    run->saved = clock_now();
    if (before_saving(run, d)) return -1;
    return checkpoint_save(run->disk, run->m, &run->p, d);
}

static int measure_classifier(run *run, double *score, char *text, size_t room, diag *d)
{
    evaluation e;
    if (evaluate(run->m, run->o->valid, run->o->threads, EVALUATE_STUDENT, &e, d)) return -1;
    const top_comparison *c = &e.of[e.last];
    if (!e.labelled || !c->rated) return 0;
    *score = c->student.top1;
    snprintf(text, room, "  top-1 %.2f %%  top-5 %.2f %%", c->student.top1, c->student.top5);
    return 0;
}

static int measure_detector(run *run, double *score, char *text, size_t room, diag *d)
{
    detect_evaluation e;
    int failed = evaluate_detector(run->m, run->o->valid, run->o->threads, EVALUATE_STUDENT, &e, d);
    const map_class *all = &e.of[e.last].student.all;
    if (!failed) {
        *score = all->ap50;
        snprintf(text, room, "  mAP@0.5 %.2f %%  mAP %.2f %%", all->ap50, all->ap);
    }
    detect_evaluation_free(&e);
    return failed;
}

/* What the student is worth now: *score stays where there is nothing to measure it with. A detector, which tends to
 * have few images, is measured only when four times as many have been trained on as are looked at, and at the end. */
static int measure(run *run, double *score, char *text, size_t room, diag *d)
{
    int detector = model_is_detector(run->m);
    uint64_t seen = *run->net->seen;
    if (!run->o->valid || (detector && seen - run->p.measured_at < 4 * dataset_count(run->o->valid) && seen < run->end))
        return 0;
    run->p.measured_at = seen;
    if (model_resize(run->m, run->m->low->shape->w, run->m->low->shape->h, d)) return -1;
    return detector ? measure_detector(run, score, text, room, d) : measure_classifier(run, score, text, room, d);
}

static void print_epoch(run *run, uint64_t epoch, const char *text)
{
    FILE *out = run->o->out;
    double speed = (double)(*run->net->seen - run->started_at) / (clock_now() - run->began);
    fprintf(out, "%sepoch %llu  loss %.6f  rate %.5g  %.0f images/s%s\n", !run->o->quiet && isatty(fileno(out))
            ? "\r\033[K" : "",
            (unsigned long long)epoch, run->p.epoch_sum / (double)(run->p.epoch_steps ? run->p.epoch_steps : 1),
                run->p.epoch_rate, speed, text);
    fflush(out);
}

/* Measures and saves. The best weights are on disk before the state that speaks of them. */
static int end_epoch(run *run, diag *d)
{
    uint64_t epoch = (uint64_t)fmax(1, round((double)*run->net->seen / (double)run->images));
    double score = -1;
    char text[80] = "";
    if (measure(run, &score, text, sizeof text, d)) return -1;
    print_epoch(run, epoch, text);
    run->p.epoch_sum = 0;
    run->p.epoch_steps = run->p.epoch_due = 0;
    if (score > run->p.best) {
        run->p.best = score;
        run->p.best_epoch = epoch;
        if (save(run, "best", d)) return -1;
    }
    return save_all(run, d);
}

/* The images of the step that was not finite, one a line: as many as can be trained on to see it again. */
static void list_images(const run *run, diag *d)
{
    char *path = mem_printf("%s/%s_nan.list", run->o->folder, run->o->name), name[1024];
    out_file f;
    if (!out_file_open(&f, path, d)) {
        for (uint64_t i = 0; i < per_update(run->net); ++i) {
            dataset_name(run->o->train, run->step_image[i], name, sizeof name);
            fprintf(f.file, "%s\n", name);
        }
        if (!out_file_close(&f, 0, d)) diag_warn(d, path, 0, NULL, "lists the images of that step");
    }
    free(path);
}

/* A step came to nothing: leaves it out if it can be undone and -skip-nan allows one more, else ends the run. `why` has
 * the messages. */
static int leave_out(run *run, int undo, const diag *why, diag *d)
{
    unsigned long long step = *run->net->seen / per_update(run->net);
    int skip = undo && (int)run->p.left_out < run->o->skip_nan;
    diag_append(d, why, skip);
    list_images(run, d);
    if (skip) {
        run->p.left_out++;
        step_copy_undo(run->before, run->m);
        fprintf(run->o->out, "step %llu left out, it was not finite (%llu of %d)\n", step,
                (unsigned long long)run->p.left_out, run->o->skip_nan);
        return 0;
    }
    diag_error(d, NULL, 0, NULL, "step %llu is not finite; checkpoints on disk are from before it", step);
    diag_hint(d, "a lower learning_rate or a burn_in often helps; -skip-nan N leaves up to N such steps out");
    return -1;
}

static void count_loss(run *run, double loss)
{
    run->p.average = run->p.average < 0 ? loss : .9 * run->p.average + .1 * loss;
    run->p.epoch_sum += loss;
    run->p.epoch_steps++;
}

/* One sub-batch. -1 with a message; 1: its loss is not finite, `why` says where from. */
static int learn(run *run, const batch *batch, diag *why, diag *d)
{
    if (model_resize(run->m, batch->w, batch->h, d) || model_teach(run->m, batch->x, batch->index, batch->view, d))
        return -1;
    double loss = model_train_step(run->m, batch->x, batch->label, batch->truth);
    if (!isfinite(loss)) return numbers_explain_loss(run->m, batch->x, loss, why), 1;
    count_loss(run, loss);
    return 0;
}

/* `subdivisions` sub-batches and their update; as learn(). */
static int learn_step(run *run, loader *loader, diag *why, diag *d)
{
    int bad = 0;
    if (run->before) step_copy_keep(run->before, run->m);
    for (int s = 0; s < run->net->subdivisions && bad >= 0; ++s) {
        const batch *b = loader_next(loader, d);
        if (!b) return -1;
        memcpy(run->step_image + (size_t)s * (size_t)run->net->batch, b->index, (size_t)run->net->batch *
               sizeof *b->index);
        if (bad) *run->net->seen += (size_t)run->net->batch;   /* the rest of a step that will be left out */
        else bad = learn(run, b, why, d);
    }
    if (!bad && numbers_check_updates(run->m, why)) bad = 1;
    return bad;
}

/* A whole step that was fine so far: its update. 1: a weight is not finite any more. */
static int update(run *run, diag *why)
{
    network_update(run->net, run->m->low->trained);
    return numbers_check_weights(run->m, why) ? 1 : 0;
}

/* One update, and what is due after it. */
static int step(run *run, loader *loader, diag *d)
{
    uint64_t epochs = *run->net->seen / run->images;
    diag *why = diag_new();
    int bad = learn_step(run, loader, why, d), undo = bad > 0;
    double rate = network_rate(run->net);
    if (!bad) bad = update(run, why);
    if (bad > 0) bad = leave_out(run, undo, why, d);
    diag_free(why);
    if (bad) return -1;
    print_progress(run, rate);
    run->p.epoch_due = *run->net->seen / run->images > epochs || *run->net->seen >= run->end;
    run->p.epoch_rate = rate;
    return 0;
}

/* After a step: an epoch's end is saved before it is measured, which may take long. */
static int after_step(run *run, diag *d)
{
    int ends = run->p.epoch_due && !stop_asked();
    if ((!ends || run->o->valid) && (run->p.epoch_due || stop_asked() || clock_now() - run->saved >= run->o->pause) &&
        save_all(run, d)) return -1;
    return ends ? end_epoch(run, d) : 0;
}

static loader *start_loader(run *run, diag *d)
{
    const net_shape *s = run->m->low->shape;
    loader_options lo = {
        .data = run->o->train, .how = LOAD_TRAIN, .batch = run->net->batch, .c = s->c, .h = s->h, .w = s->w,
        .augment = run->m->low->augment, .seed = run->o->seed, .views = (int)run->o->views, .start = run->started_at,
            .threads = run->o->threads > 0 ? run->o->threads : 1,
        .max_boxes = dataset_has_boxes(run->o->train) ? run->net->truths / 5 : 0,
            .step_images = (int)per_update(run->net),
    };
    return loader_start(&lo, d);
}

static void report_features(const run *run, diag *d)
{
    features_count c = model_features_counts(run->m);
    fprintf(run->o->out, "features: %llu read from the cache, %llu computed\n", (unsigned long long)c.read,
            (unsigned long long)c.computed);
    if (c.damaged)
        diag_warn(d, NULL, 0, NULL, "%llu records of the feature cache were damaged and have been computed again",
                  (unsigned long long)c.damaged);
}

/* Who forgets -resume should know before the old run's state is overwritten. */
static void mention_unfinished(const run *run)
{
    uint64_t seen = run->resumed ? 0 : checkpoint_seen(run->disk);
    if (!seen || seen >= run->end) return;
    fprintf(run->o->out,
            "starts anew, although %s/%s_last.state is of the same run after %llu of %llu images: -resume would go on with it\n",
            run->o->folder, run->o->name, (unsigned long long)seen, (unsigned long long)run->end);
    fflush(run->o->out);
}

/* 0 with *run ready to train, or -1 with messages. */
static int start(run *run, diag *d)
{
    const trainer_options *o = run->o;
    checkpoint_run c = { .m = run->m, .train = o->train, .valid = o->valid, .backend = o->backend,
                         .threads = o->threads, .seed = o->seed, .views = o->views };
    run->disk = checkpoint_open(o->folder, o->name, &c);
    run->resumed = o->resume ? checkpoint_resume(run->disk, run->m, &run->p, o->force, d) : 0;
    if (run->resumed < 0) return -1;
    if (run->resumed) fprintf(o->out, "resumed after %llu images\n", (unsigned long long)run->p.seen);
    else if (o->resume) fprintf(o->out, "nothing to resume in %s, training starts\n", o->folder);
    fflush(o->out);
    run->started_at = *run->net->seen;
    if (!run->resumed) run->p.measured_at = run->started_at;
    run->step_image = mem_calloc(per_update(run->net), sizeof *run->step_image);
    run->before = o->skip_nan ? step_copy_new(run->m) : NULL;
    if (find_end(run, d)) return -1;
    mention_unfinished(run);
    return 0;
}

/* All steps. 0: to the end; 1: a signal asked to stop, all is saved. */
static int run_steps(run *run, diag *d)
{
    loader *l = start_loader(run, d);
    if (!l) return -1;
    stop_catch();
    run->began = run->printed = run->saved = clock_now();
    int failed = run->p.epoch_due ? end_epoch(run, d) : 0;
    while (!failed && *run->net->seen < run->end && !stop_asked()) failed = step(run, l, d) || after_step(run, d);
    if (run->m->low->augment.detector) (void)loader_left_out(l, d);
    loader_stop(l);
    if (!failed && stop_asked() && run->p.seen != *run->net->seen) failed = save_all(run, d);
    return failed ? -1 : run->p.epoch_due || *run->net->seen < run->end;
}

static void print_stopped(const run *run)
{
    uint64_t step = per_update(run->net);
    fprintf(run->o->out, "%s: stopped after step %llu of %llu, all is saved; the same command with -resume goes on\n",
            stop_name(), (unsigned long long)(*run->net->seen / step), (unsigned long long)(run->end / step));
}

static void print_end(const run *run)
{
    const trainer_options *o = run->o;
    if (run->p.best >= 0)
        fprintf(o->out, "best %s %.2f %% after epoch %llu; ", model_is_detector(run->m) ? "mAP@0.5" : "top-1",
                run->p.best, (unsigned long long)run->p.best_epoch);
    fprintf(o->out, "weights in %s/%s_final.weights, ", o->folder, o->name);
    print_time(clock_now() - run->began, o->out);
    fprintf(o->out, "\n");
}

static int train(run *run, diag *d)
{
    if (start(run, d)) return -1;
    int stopped = run_steps(run, d);
    if (stopped >= 0 && model_cached(run->m)) report_features(run, d);
    if (stopped > 0) print_stopped(run);
    if (stopped) return stopped;
    if (save(run, "final", d)) return -1;
    print_end(run);
    return 0;
}

int trainer_run(const trainer_options *options, diag *d)
{
    run r = { .o = options, .m = options->model, .net = options->model->net, .images = dataset_count(options->train),
              .p = { .average = -1, .best = -1 } };
    int status = weights_make_folder(options->folder, d) ? -1 : train(&r, d);
    checkpoint_free(r.disk);
    free(r.step_image);
    step_copy_free(r.before);
    return status;
}
