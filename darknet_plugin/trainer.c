/* One loop for distilling and for training from labels (see trainer.h).
 *
 * Length: -epochs N (passes over the images, rounded up to whole updates) or the cfg's max_batches. Darknet's counting
 * holds: *net->seen rises by the sub-batch before its forward pass, an update follows every `subdivisions` of them, and
 * the learning rate is a function of the updates counted so. */
#include "trainer.h"

#include "../layers/gpu/gpu.h"
#include "clock.h"
#include "evaluate_detect.h"
#include "loader.h"
#include "mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct run {
    const trainer_options *o;
    model *m;
    network *net;
    uint64_t images;         /* in the training set */
    uint64_t end;            /* `seen` at which training stops */
    uint64_t started_at;     /* `seen` at the start */
    double began, printed;   /* seconds */
    double average;          /* Darknet's running loss: .9 old + .1 new */
    double epoch_sum;        /* of losses since the last epoch's end */
    uint64_t epoch_steps;
    uint64_t measured_at;    /* `seen` then */
    double best;             /* top-1 or mAP@0.5, -1 = none yet */
    uint64_t best_epoch;
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
    if (r->started_at >= r->end) {
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
            (unsigned long long)(r->end / step), r->average, rate, speed);
    print_time((double)(r->end - seen) / speed, out);
    fprintf(out, "%s", tty ? "" : "\n");
    fflush(out);
}

static int save(run *r, const char *suffix, diag *d)
{
    char *path = mem_printf("%s/%s_%s.weights", r->o->folder, r->o->name, suffix);
    gpu_pull(r->net);
    int failed = weights_save(r->net, path, d);
    free(path);
    return failed;
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
    if (!r->o->valid || (detector && seen - r->measured_at < 4 * dataset_count(r->o->valid) && seen < r->end)) return 0;
    r->measured_at = seen;
    if (model_resize(r->m, r->m->low->shape->w, r->m->low->shape->h, d)) return -1;
    return detector ? measure_detector(r, score, text, room, d) : measure_classifier(r, score, text, room, d);
}

static int end_epoch(run *r, double rate, diag *d)
{
    FILE *out = r->o->out;
    uint64_t epoch = (uint64_t)fmax(1, round((double)*r->net->seen / (double)r->images));
    double speed = (double)(*r->net->seen - r->started_at) / (clock_now() - r->began);
    double score = -1;
    char text[80] = "";
    if (measure(r, &score, text, sizeof text, d)) return -1;
    fprintf(out, "%sepoch %llu  loss %.6f  rate %.5g  %.0f images/s", !r->o->quiet && isatty(fileno(out)) ? "\r\033[K" : "",
            (unsigned long long)epoch, r->epoch_sum / (double)(r->epoch_steps ? r->epoch_steps : 1), rate, speed);
    fprintf(out, "%s\n", text);
    fflush(out);
    r->epoch_sum = 0;
    r->epoch_steps = 0;
    if (save(r, "last", d)) return -1;
    if (score <= r->best) return 0;
    r->best = score;
    r->best_epoch = epoch;
    return save(r, "best", d);
}

static int count_loss(run *r, double loss, const batch *b, diag *d)
{
    if (!isfinite(loss)) {
        char first[256];
        dataset_name(r->o->train, b->index[0], first, sizeof first);
        diag_error(d, NULL, 0, NULL, "loss is %g after %llu images (batch that begins with %s)", loss, (unsigned long long)*r->net->seen, first);
        diag_hint(d, "a lower learning_rate or a burn_in often helps; checkpoints on disk are from before");
        return -1;
    }
    r->average = r->average < 0 ? loss : .9 * r->average + .1 * loss;
    r->epoch_sum += loss;
    r->epoch_steps++;
    return 0;
}

/* One update: `subdivisions` sub-batches, then the step. */
static int step(run *r, loader *l, diag *d)
{
    double before = (double)(*r->net->seen / r->images);
    for (int s = 0; s < r->net->subdivisions; ++s) {
        const batch *b = loader_next(l, d);
        if (!b) return -1;
        if (model_resize(r->m, b->w, b->h, d) || model_teach(r->m, b->x, b->index, b->view, d)) return -1;
        if (count_loss(r, model_train_step(r->m, b->x, b->label, b->truth), b, d)) return -1;
    }
    double rate = host_rate(r->net);
    host_update(r->net, r->m->low->trained);
    print_progress(r, rate);
    double after = (double)(*r->net->seen / r->images);
    return after > before || *r->net->seen >= r->end ? end_epoch(r, rate, d) : 0;
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

int trainer_run(const trainer_options *o, diag *d)
{
    run r = { .o = o, .m = o->model, .net = o->model->net, .images = dataset_count(o->train), .average = -1, .best = -1 };
    r.started_at = r.measured_at = *r.net->seen;
    if (find_end(&r, d) || weights_make_folder(o->folder, d)) return -1;
    loader *l = start_loader(&r, d);
    if (!l) return -1;
    r.began = r.printed = clock_now();
    int failed = 0;
    while (!failed && *r.net->seen < r.end) failed = step(&r, l, d);
    if (r.m->low->augment.detector) (void)loader_left_out(l, d);
    loader_stop(l);
    if (model_cached(r.m)) report_features(&r, d);
    if (failed || save(&r, "final", d)) return -1;
    if (r.best >= 0)
        fprintf(o->out, "best %s %.2f %% after epoch %llu; ", model_is_detector(r.m) ? "mAP@0.5" : "top-1", r.best, (unsigned long long)r.best_epoch);
    fprintf(o->out, "weights in %s/%s_final.weights, ", o->folder, o->name);
    print_time(clock_now() - r.began, o->out);
    fprintf(o->out, "\n");
    return 0;
}
