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
#include "trainer_length.h"

#include "layers/gpu/gpu.h"
#include "checkpoint.h"
#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/model/numbers.h"
#include "darknet_plugin/base/out_file.h"
#include "measure.h"
#include "progress.h"
#include "record.h"
#include "stop.h"
#include "together.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct run {
    const trainer_options *options;
    model *model;
    network *net;
    checkpoint *disk;        /* owned */
    run_progress progress;
    uint64_t images;         /* in the training set */
    uint64_t end;            /* `seen` at which training stops */
    uint64_t started_at;     /* `seen` at the start */
    uint64_t every;          /* epochs from one measuring to the next */
    double began;            /* seconds */
    int resumed;
    together *together;      /* owned; NULL: alone */
    int stop;                /* the signal that all ranks end for after this step */
    record *record;          /* owned; what is printed and drawn of it */
    run_sums sums;           /* the record's, of the state that was resumed */
    double *loss;            /* of a step's sub-batches, record_width numbers each, the first the loss; owned */
    double saved;            /* when the last checkpoint was, seconds */
    uint64_t *step_image;    /* of the current step, owned */
    step_copy *before;       /* what the current step changes, owned; NULL without -skip-nan */
} run;

static uint64_t per_update(const network *net)
{
    return (uint64_t)net->batch * (uint64_t)net->subdivisions;
}

static int leads(const run *run) { return ranks_leads(run->model->ranks); }

/* Of a step, how many images are this rank's. */
static size_t own_images(const run *run)
{
    return (size_t)per_update(run->net) / (size_t)ranks_count(run->model->ranks);
}

/* Ranks agree at every step: a signal that one has got since must not part them. */
static int stopping(const run *run) { return run->together ? run->stop : stop_asked(); }

/* Where training ends, in images seen. */
static int find_end(run *run, diag *d)
{
    uint64_t step = per_update(run->net), most = (uint64_t)run->net->max_batches * step;
    uint64_t want = (uint64_t)run->options->epochs * run->images;
    const char *cfg = run->model->low->source->path;
    run->end = run->options->epochs ? (want + step - 1) / step * step : most;
    if (!run->end) {
        diag_error(d, cfg, 0, "net", "no length: max_batches is not set");
        diag_hint(d, "write max_batches= in [net], or give -epochs N");
        return -1;
    }
    if (run->net->policy == POLY && run->end > most) {
        diag_error(d, cfg, 0, "net", "policy=poly ends at max_batches=%d, -epochs %d goes on to %llu",
                   run->net->max_batches, run->options->epochs, (unsigned long long)(run->end / step));
        diag_hint(d, "raise max_batches, or choose another policy");
        return -1;
    }
    if (run->started_at >= run->end && !run->resumed) {
        diag_error(d, cfg, 0, NULL, "already trained on %" PRIu64 " of %" PRIu64 " images", run->started_at, run->end);
        diag_hint(d, "-clear starts counting from 0 again");
        return -1;
    }
    if (!leads(run)) return 0;
    trainer_look_at_length(run->model, run->end / step, d);
    diag_flush(d, stderr);   /* now, not hours later */
    return 0;
}

static uint64_t epoch_of(const run *run, uint64_t seen)
{
    return (uint64_t)round((double)seen / (double)run->images);
}

/* The name is still ours, and the weights are where they can be written from. */
static int before_saving(run *run, diag *d)
{
    if (run->options->lock && run_lock_check(run->options->lock, d)) return -1;
    gpu_pull(run->net);
    return 0;
}

static int save(run *run, const char *suffix, diag *d)
{
    if (!leads(run)) return 0;
    if (before_saving(run, d)) return -1;
    char *path = mem_printf("%s/%s_%s.weights", run->options->folder, run->options->name, suffix);
    int failed = weights_save(run->net, path, d);
    free(path);
    return failed;
}

static int save_all(run *run, diag *d)
{
    run->progress.seen = *run->net->seen;
    run->progress.updates = (uint64_t)*run->net->t;
    run->saved = clock_now();
    if (!leads(run)) return 0;
    run_sums sums = record_sums(run->record);   /* waits for the disk */
    if (before_saving(run, d)) return -1;
    return checkpoint_save(run->disk, run->model, &run->progress, &sums, d);
}

/* What the student is worth now: measured at every run->every-th epoch's end, and at the end. */
static int measure(run *run, uint64_t epoch, measured *found, diag *d)
{
    const trainer_options *o = run->options;
    uint64_t seen = *run->net->seen, before = epoch_of(run, run->progress.measured_at);
    int due = epoch / run->every > before / run->every || seen >= run->end;
    if (!o->valid || !due) return 0;
    run->progress.measured_at = seen;
    record_say(run->record, "measuring ...");
    return measure_student(run->model, o->valid, o->names, o->threads, found, d);
}

static void print_epoch(run *run, uint64_t epoch, const char *text)
{
    const run_progress *p = &run->progress;
    FILE *out = run->options->out;
    double speed = (double)(*run->net->seen - run->started_at) / (clock_now() - run->began);
    record_hush(run->record);
    fprintf(out, "epoch %llu  loss %.6f  rate %.5g  %.0f images/s%s\n", (unsigned long long)epoch,
            p->epoch_sum / (double)(p->epoch_steps ? p->epoch_steps : 1), p->epoch_rate, speed, text);
    fflush(out);
}

/* Measures and saves. The best weights are on disk before the state that speaks of them. */
static int end_epoch(run *run, diag *d)
{
    uint64_t epoch = epoch_of(run, *run->net->seen);
    measured found = measured_nothing();
    if (!epoch) epoch = 1;
    if (together_check(run->model, d) || measure(run, epoch, &found, d)) return -1;
    int best = found.score > run->progress.best;
    print_epoch(run, epoch, found.text);
    record_epoch(run->record, epoch, &found, best, d);
    if (found.classes && *run->net->seen >= run->end && !run->options->quiet) fputs(found.classes, run->options->out);
    free(found.classes);
    run->progress.epoch_sum = 0;
    run->progress.epoch_steps = run->progress.epoch_due = 0;
    if (best) {
        run->progress.best = found.score;
        run->progress.best_epoch = epoch;
        if (save(run, "best", d)) return -1;
    }
    return save_all(run, d);
}

/* The images of the step that was not finite, one a line: as many as can be trained on to see it again. */
static void list_images(const run *run, diag *d)
{
    char *path = mem_printf("%s/%s_nan.list", run->options->folder, run->options->name), name[1024];
    out_file f;
    if (!out_file_open(&f, path, d)) {
        for (uint64_t i = 0; i < per_update(run->net); ++i) {
            dataset_name(run->options->train, run->step_image[i], name, sizeof name);
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
    int skip = undo && (int)run->progress.left_out < run->options->skip_nan;
    record_hush(run->record);
    diag_append(d, why, skip);
    if (!leads(run) && skip) diag_print(why, stderr);   /* only this rank knows */
    if (together_images(run->model->ranks, run->step_image, own_images(run), d)) return -1;
    if (leads(run)) list_images(run, d);
    if (skip) {
        run->progress.left_out++;
        step_copy_undo(run->before, run->model);
        fprintf(run->options->out, "step %llu left out, it was not finite (%llu of %d)\n", step,
                (unsigned long long)run->progress.left_out, run->options->skip_nan);
        return 0;
    }
    diag_error(d, NULL, 0, NULL, "step %llu is not finite; checkpoints on disk are from before it", step);
    diag_hint(d, "a lower learning_rate or a burn_in often helps; -skip-nan N leaves up to N such steps out");
    return -1;
}

static void count_loss(run_progress *progress, double loss)
{
    progress->average = progress->average < 0 ? loss : .9 * progress->average + .1 * loss;
    progress->epoch_sum += loss;
    progress->epoch_steps++;
}

/* What came of a step, or of a part of one. */
enum { STEP_FAILED = -1, STEP_DONE, STEP_NOT_FINITE };   /* a message; nothing; `why` says what and where */

/* One sub-batch, its loss and the parts of that; *loss is not finite where nothing has come of it. */
static int learn(run *run, const batch *batch, double *loss, diag *why, diag *d)
{
    model *model = run->model;
    if (model_resize(model, batch->w, batch->h, d) || model_teach(model, batch->x, batch->index, batch->view, d))
        return STEP_FAILED;
    record_spent(run->record, WORK_TEACHER);
    mixed_labels labels = { .first = batch->label, .second = batch->label2, .factor = batch->mix };
    *loss = model_train_mixed(model, batch->x, &labels, batch->truth);
    record_spent(run->record, WORK_STUDENT);
    record_sub_batch(run->record, loss);
    if (isfinite(*loss)) return STEP_DONE;
    numbers_explain_loss(model, batch->x, *loss, why);
    return STEP_NOT_FINITE;
}

/* The sub-batches of this rank's share. *net->seen counts as if those of other ranks were learnt here, too. */
static int learn_share(run *run, loader *loader, diag *why, diag *d)
{
    size_t n = (size_t)run->net->batch, share = own_images(run), before = *run->net->seen,
        width = record_width(run->record);
    int status = STEP_DONE;
    *run->net->seen += share * (size_t)ranks_mine(run->model->ranks);
    for (size_t s = 0; s < share / n; ++s) run->loss[s * width] = NAN;
    for (size_t s = 0; s < share / n; ++s) {
        const batch *b = loader_next(loader, d);
        if (!b) return STEP_FAILED;
        record_spent(run->record, WORK_DATA);
        memcpy(run->step_image + s * n, b->index, n * sizeof *b->index);
        if (status == STEP_DONE) status = learn(run, b, run->loss + s * width, why, d);
        else *run->net->seen += n;   /* the rest of a step that will be left out */
        if (status == STEP_FAILED) return status;
    }
    *run->net->seen = before + per_update(run->net);
    return status;
}

/* `subdivisions` sub-batches, those of all ranks: all that comes before their update. A rank that has failed says
 * nothing here; the others learn it as it ends. */
static int learn_step(run *run, loader *loader, diag *why, diag *d)
{
    if (run->before) step_copy_keep(run->before, run->model);
    together_begin_step(run->together);
    step_news news = { .status = learn_share(run, loader, why, d), .stop = stop_asked() };
    int width = (int)record_width(run->record), own = width * (int)(own_images(run) / (size_t)run->net->batch);
    if (news.status == STEP_FAILED || together_tell(run->model->ranks, &news, run->loss, own, d)) return STEP_FAILED;
    run->stop = news.stop;
    if (run->stop) stop_ask(run->stop);
    for (int i = 0; i < run->net->subdivisions; ++i)
        if (isfinite(run->loss[i * width])) count_loss(&run->progress, run->loss[i * width]);
    if (news.status != STEP_DONE) return news.status;
    if (together_end_step(run->together, d)) return STEP_FAILED;
    record_spent(run->record, WORK_RANKS);
    return numbers_check_updates(run->model, why) ? STEP_NOT_FINITE : STEP_DONE;
}

/* The update of a whole step that was fine so far. */
static int update(run *run, diag *why)
{
    network_update(run->net, run->model->low->trained);
    return numbers_check_weights(run->model, why) ? STEP_NOT_FINITE : STEP_DONE;
}

/* One update, and what is due after it. 0, or -1 with messages. */
static int step(run *run, loader *loader, diag *d)
{
    uint64_t epochs = *run->net->seen / run->images;
    diag *why = diag_new();
    record_begin(run->record);
    int status = learn_step(run, loader, why, d), undo = status == STEP_NOT_FINITE;
    double rate = network_rate(run->net);
    if (status == STEP_DONE) status = update(run, why);
    if (status == STEP_NOT_FINITE) status = leave_out(run, undo, why, d);
    diag_free(why);
    if (status) return -1;
    record_spent(run->record, WORK_STUDENT);
    record_step(run->record, run->loss, run->net->subdivisions, rate, d);
    run->progress.epoch_due = *run->net->seen / run->images > epochs || *run->net->seen >= run->end;
    run->progress.epoch_rate = rate;
    return 0;
}

/* After a step: an epoch's end is saved before it is measured, which may take long. */
static int after_step(run *run, diag *d)
{
    int ends = run->progress.epoch_due && !stopping(run);
    int due = run->progress.epoch_due || stopping(run) || clock_now() - run->saved >= run->options->pause;
    if (due && (!ends || run->options->valid) && save_all(run, d)) return -1;
    return ends ? end_epoch(run, d) : 0;
}

/* Training images from where the run is. */
static loader_options training_images(const run *run)
{
    const trainer_options *o = run->options;
    const net_shape *s = run->model->low->shape;
    return (loader_options){
        .data = o->train, .how = LOAD_TRAIN, .batch = run->net->batch, .c = s->c, .h = s->h, .w = s->w,
        .augment = run->model->low->augment, .seed = o->seed, .view_seed = o->view_seed,
        .views = (int)o->views, .start = run->started_at, .threads = o->threads > 0 ? o->threads : 1,
        .step_images = (int)per_update(run->net), .share = ranks_mine(run->model->ranks),
        .shares = ranks_count(run->model->ranks),
        .max_boxes = dataset_has_boxes(o->train) ? run->net->truths / 5 : 0,
    };
}

static int report_features(const run *run, diag *d)
{
    features_count c;
    if (model_merge_caches(run->model, &c, d)) return -1;
    fprintf(run->options->out, "features: %llu read from the cache, %llu computed\n", (unsigned long long)c.read,
            (unsigned long long)c.computed);
    if (c.damaged)
        diag_warn(d, NULL, 0, NULL, "%" PRIu64 " damaged records of the feature cache were computed again", c.damaged);
    return 0;
}

/* Who forgets -resume, or another -backup, should know before an old run's files are overwritten. */
static void mention_old_run(const run *run)
{
    const trainer_options *o = run->options;
    uint64_t seen = run->resumed ? 0 : checkpoint_seen(run->disk);
    char *final = mem_printf("%s/%s_final.weights", o->folder, o->name);
    if (seen && seen < run->end)
        fprintf(o->out, "starts anew, although %s/%s_last.state is of the same run after %" PRIu64 " of %" PRIu64
                " images: -resume would go on with it\n", o->folder, o->name, seen, run->end);
    else if (!run->resumed && !access(final, F_OK))
        fprintf(o->out, "replaces %s of an earlier run; another -backup would keep it\n", final);
    fflush(o->out);
    free(final);
}

/* What losses have to know first: of whole batches, as one process reads them. */
static int prepare(run *run, diag *d)
{
    loader_options views = training_images(run);
    views.share = views.shares = 0;
    return model_prepare(run->model, &views, run->resumed, run->options->out, d);
}

static void plan_measuring(run *run)
{
    const trainer_options *o = run->options;
    run->every = o->measure > 0 ? (uint64_t)o->measure : measure_every(run->model, o->train, o->valid);
    if (o->valid && run->every > 1 && !o->quiet)
        fprintf(o->out, "measured every %llu epochs and at the end (-measure N)\n", (unsigned long long)run->every);
}

/* Where the run begins, or goes on; of several ranks the first alone does this. */
static int start_on_disk(run *run, diag *d)
{
    const trainer_options *o = run->options;
    checkpoint_run c = { .model = run->model, .train = o->train, .valid = o->valid, .backend = o->backend,
                         .precision = o->precision, .plan = o->plan, .threads = o->threads, .seed = o->seed,
                         .view_seed = o->view_seed,
                         .views = o->views, .rate = o->rate };
    run->disk = checkpoint_open(o->folder, o->name, &c);
    run->resumed = o->resume ? checkpoint_resume(run->disk, run->model, &run->progress, &run->sums, o->force, d) : 0;
    if (run->resumed < 0) return -1;
    if (run->resumed) fprintf(o->out, "resumed after %llu images\n", (unsigned long long)run->progress.seen);
    else if (o->resume) fprintf(o->out, "nothing to resume in %s, training starts\n", o->folder);
    fflush(o->out);
    run->started_at = *run->net->seen;
    if (!run->resumed) run->progress.measured_at = run->started_at;
    if (find_end(run, d)) return -1;
    mention_old_run(run);
    plan_measuring(run);
    return prepare(run, d);
}

static int open_record(run *run, diag *d)
{
    record_plan plan = { .images = run->images, .per_step = per_update(run->net), .end = run->end,
                         .from = run->started_at, .resumed = run->resumed, .progress = &run->progress,
                         .sums = &run->sums };
    run->record = record_open(run->options, &plan, d);
    if (!run->record) return -1;
    run->loss = mem_calloc((size_t)run->net->subdivisions * record_width(run->record), sizeof *run->loss);
    return 0;
}

/* 0 with *run ready to train, or -1 with messages. */
static int start(run *run, diag *d)
{
    int nested = run->model->ranks ? run_state_unsupported(run->net, run->model->low->trained) : -1;
    if (nested >= 0) {
        diag_error(d, run->model->low->source->path, 0, NULL, "layer %d cannot be trained by several ranks", nested);
        return -1;
    }
    if ((leads(run) && start_on_disk(run, d)) ||
        together_start(run->model, &run->progress, &run->resumed, d) ||
        together_introduce(run->model, run->options->threads, run->options->out, d))
        return -1;
    run->started_at = *run->net->seen;
    run->step_image = mem_calloc(per_update(run->net), sizeof *run->step_image);
    run->before = run->options->skip_nan ? step_copy_new(run->model) : NULL;
    run->together = together_new(run->model);
    return find_end(run, d) || open_record(run, d) ? -1 : 0;
}

/* All steps. 0: to the end; 1: a signal asked to stop, all is saved. */
static int run_steps(run *run, diag *d)
{
    loader_options images = training_images(run);
    loader *l = loader_start(&images, d);
    if (!l) return -1;
    stop_catch(!leads(run), record_is_live(run->record));
    run->began = run->saved = clock_now();
    int failed = run->progress.epoch_due ? end_epoch(run, d) : 0;
    while (!failed && *run->net->seen < run->end && !stopping(run)) failed = step(run, l, d) || after_step(run, d);
    if (run->model->low->augment.detector) (void)loader_left_out(l, d);
    loader_stop(l);
    if (!failed && stopping(run) && run->progress.seen != *run->net->seen) failed = save_all(run, d);
    record_hush(run->record);
    return failed ? -1 : run->progress.epoch_due || *run->net->seen < run->end;
}

static void print_stopped(const run *run)
{
    uint64_t step = per_update(run->net);
    fprintf(run->options->out,
            "%s: stopped after step %llu of %llu, all is saved; the same command with -resume goes on\n", stop_name(),
            (unsigned long long)(*run->net->seen / step), (unsigned long long)(run->end / step));
}

/* The best score, and where its weights and the last epoch's are. */
static void print_end(const run *run)
{
    const trainer_options *o = run->options;
    char took[32];
    int best = run->progress.best >= 0, last = run->progress.best_epoch == epoch_of(run, *run->net->seen);
    if (best)
        fprintf(o->out, "best %s %.2f %% after epoch %llu; ", model_is_detector(run->model) ? "mAP@0.5" : "top-1",
                run->progress.best, (unsigned long long)run->progress.best_epoch);
    if (best && !last) fprintf(o->out, "weights in %s/%s_best.weights, the last epoch's in ", o->folder, o->name);
    else fprintf(o->out, "weights in ");
    progress_time(clock_now() - run->began, took, sizeof took);
    fprintf(o->out, "%s/%s_final.weights, %s\n", o->folder, o->name, took);
}

/* The last words: to the record, too. */
static void say_end(run *run, int stopped, diag *d)
{
    const trainer_options *o = run->options;
    char *weights = mem_printf("%s/%s_%s.weights", o->folder, o->name, stopped ? "last" : "final");
    record_end(run->record, weights, stopped, d);
    free(weights);
    if (stopped) print_stopped(run);
    else print_end(run);
}

static int train(run *run, diag *d)
{
    if (start(run, d)) return -1;
    int stopped = run_steps(run, d);
    if (stopped >= 0 && model_cached(run->model) && report_features(run, d)) return -1;
    if (stopped < 0 || (!stopped && save(run, "final", d))) return -1;
    say_end(run, stopped, d);
    return stopped;
}

int trainer_run(const trainer_options *options, diag *d)
{
    run r = { .options = options, .every = 1, .model = options->model, .net = options->model->net,
              .images = dataset_count(options->train), .progress = { .average = -1, .best = -1 } };
    int status = leads(&r) && weights_make_folder(options->folder, d) ? -1 : train(&r, d);
    record_close(r.record);
    checkpoint_free(r.disk);
    free(r.step_image);
    free(r.loss);
    together_free(r.together);
    step_copy_free(r.before);
    return status;
}
