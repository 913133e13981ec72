/* Adding up what a training says (see record.h).
 *
 * A step's line has the mean loss of all sub-batches since the line before, so that few lines lose nothing. These sums,
 * and those of the epoch's parts, go along with a checkpoint: a run that goes on writes the lines of one that was never
 * interrupted, but for times. A chart is drawn after an epoch unless that would take more than a twentieth of the time,
 * and at the end. */
#include "record.h"

#include "chart.h"
#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/model/model_parts.h"
#include "progress.h"
#include "record_lines.h"
#include "darknet_plugin/base/run_lock.h"
#include "run_log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CHART_SHARE .05    /* of the time, at most */

/* A loss and its parts, added up. */
typedef struct sum {
    double count, loss, part[MOST_PARTS];
} sum;

struct record {
    const trainer_options *options;     /* borrowed */
    record_plan plan;
    model_parts *parts;      /* owned */
    int n;                   /* how many */
    const char *name[MOST_PARTS];       /* borrowed from parts */
    progress *progress;      /* owned, as the two below; NULL: this rank does not tell */
    run_log *log;
    char *chart;             /* its path */
    curve curve;
    sum window, epoch;       /* since the last step's line; of the epoch, parts only */
    double seconds;          /* that the run took before it was resumed */
    double began, lap;       /* on the clock */
    double taught;           /* model->teaching at the last lap */
    double spent[WORKS];     /* in this epoch, seconds */
    double window_seconds, epoch_images, window_images;
    double average[MOST_PARTS];         /* running means, as run_progress.average */
    double rate;
    double drawn, cost;      /* when the last chart was, what it took */
    int undrawable;          /* that was said */
};

/* ---- opening ---- */

char *record_path(const char *folder, const char *name) { return mem_printf("%s/%s.jsonl", folder, name); }

char *record_chart_path(const char *folder, const char *name) { return mem_printf("%s/chart_%s.png", folder, name); }

static uint64_t step_of(const record *record, uint64_t seen) { return seen / record->plan.per_step; }

static uint64_t seen_now(const record *record) { return *record->options->model->net->seen; }

/* The sums of a state in one row: the window's, the epoch's parts. No times: a run that repeats has the same state. */
enum { SUM_COUNT, SUM_LOSS, SUM_PARTS };

static void take_sums(record *record, const run_sums *sums)
{
    size_t bytes = (size_t)record->n * sizeof(double);
    if (sums->n != (uint64_t)(SUM_PARTS + 2 * record->n)) return;   /* of another cfg (-force), or an older version */
    record->window.count = sums->value[SUM_COUNT];
    record->window.loss = sums->value[SUM_LOSS];
    memcpy(record->window.part, sums->value + SUM_PARTS, bytes);
    memcpy(record->epoch.part, sums->value + SUM_PARTS + record->n, bytes);
}

run_sums record_sums(record *record)
{
    size_t bytes = (size_t)record->n * sizeof(double);
    run_sums sums = { .n = (uint64_t)(SUM_PARTS + 2 * record->n) };
    sums.value[SUM_COUNT] = record->window.count;
    sums.value[SUM_LOSS] = record->window.loss;
    memcpy(sums.value + SUM_PARTS, record->window.part, bytes);
    memcpy(sums.value + SUM_PARTS + record->n, record->epoch.part, bytes);
    if (record->log) run_log_sync(record->log);
    return sums;
}

static void take_line(void *ctx, const char *text, const cJSON *line)
{
    (void)text;
    curve_take(ctx, line);
}

/* The files of the rank that tells. */
static int open_files(record *record, diag *d)
{
    const trainer_options *o = record->options;
    const record_plan *plan = &record->plan;
    record_start start = { .options = o, .images = plan->images, .per_step = plan->per_step, .end = plan->end,
                           .from = plan->from };
    run_log_place place = { .step = step_of(record, plan->from), .epoch_due = plan->progress->epoch_due != 0 };
    char *path = record_path(o->folder, o->name);
    record->progress = progress_new(o->out, o->quiet);
    record->chart = record_chart_path(o->folder, o->name);
    record->log = run_log_open(path, record_line_start(&start), plan->resumed ? &place : NULL, d);
    record->seconds = place.seconds;
    int failed = !record->log || run_log_read(path, take_line, &record->curve, d);
    free(path);
    return failed;
}

record *record_open(const trainer_options *options, const record_plan *plan, diag *d)
{
    record *r = mem_calloc(1, sizeof *r);
    r->options = options;
    r->plan = *plan;
    r->parts = model_parts_new(options->model);
    r->n = model_parts_count(r->parts);
    for (int i = 0; i < r->n; ++i) r->name[i] = model_parts_name(r->parts, i);
    for (int i = 0; i < r->n; ++i) r->average[i] = NAN;
    r->rate = NAN;
    r->began = clock_now();
    take_sums(r, plan->sums);
    r->plan.sums = NULL;
    if (!ranks_leads(options->model->ranks) || !open_files(r, d)) return r;
    record_close(r);
    return NULL;
}

void record_close(record *record)
{
    if (!record) return;
    progress_free(record->progress);
    run_log_close(record->log);
    curve_free(&record->curve);
    model_parts_free(record->parts);
    free(record->chart);
    free(record);
}

/* ---- time ---- */

void record_begin(record *record)
{
    record->lap = clock_now();
    record->taught = record->options->model->teaching;
}

/* Teachers' part is model->teaching; alone nobody waits for ranks. */
void record_spent(record *record, record_work work)
{
    const model *model = record->options->model;
    double now = clock_now(), took = now - record->lap, taught = model->teaching;
    if (work == WORK_RANKS && !model->ranks) work = WORK_STUDENT;
    record->spent[work] += took;
    record->window_seconds += took;
    if (work == WORK_STUDENT) {
        record->spent[WORK_TEACHER] += taught - record->taught;
        record->spent[WORK_STUDENT] -= taught - record->taught;
    }
    record->taught = taught;
    record->lap = now;
}

static double epoch_seconds(const record *record)
{
    double sum = 0;
    for (int i = 0; i < WORKS; ++i) sum += fmax(0, record->spent[i]);
    return sum;
}

static record_shares shares_of(const record *record)
{
    const model *model = record->options->model;
    double all = epoch_seconds(record), share[WORKS];
    for (int i = 0; i < WORKS; ++i) share[i] = all > 0 ? fmax(0, record->spent[i]) / all : NAN;
    return (record_shares){ .data = share[WORK_DATA], .teacher = model->teacher ? share[WORK_TEACHER] : NAN,
                            .student = share[WORK_STUDENT], .ranks = model->ranks ? share[WORK_RANKS] : NAN };
}

/* ---- progress ---- */

/* Seconds that the rest takes at the pace since the start. */
static double time_left(const record *record)
{
    double done = (double)(seen_now(record) - record->plan.from), took = clock_now() - record->began;
    return done > 0 ? (double)(record->plan.end - seen_now(record)) * took / done : NAN;
}

/* What there is to see now, where it is time to. */
static void show(record *record)
{
    const record_plan *plan = &record->plan;
    const run_progress *p = plan->progress;
    uint64_t seen = seen_now(record);
    record_shares shares = shares_of(record);
    if (!record->progress || !progress_is_due(record->progress)) return;
    progress_show(record->progress, &(progress_view){
        .epoch = (double)seen / (double)plan->images, .epochs = (double)plan->end / (double)plan->images,
        .step = step_of(record, seen), .steps = step_of(record, plan->end),
        .loss = p->average < 0 ? NAN : p->average, .parts = isfinite(record->average[0]) ? record->n : 0,
        .name = record->name, .part = record->average, .rate = record->rate, .left = time_left(record),
        .images_per_s = (double)(seen - plan->from) / (clock_now() - record->began),
        .data = shares.data, .teacher = shares.teacher, .student = shares.student });
}

void record_say(record *record, const char *text)
{
    if (record->progress) progress_say(record->progress, text);
}

void record_hush(record *record)
{
    if (record && record->progress) progress_hide(record->progress);
}

int record_is_live(const record *record) { return record->progress && progress_is_live(record->progress); }

/* ---- steps ---- */

size_t record_width(const record *record) { return (size_t)(1 + record->n); }

void record_sub_batch(record *record, double *numbers)
{
    model_parts_read(record->parts, numbers + 1);
    if (record_is_live(record)) show(record);
}

/* One sub-batch's numbers to the sums. */
static void add_row(record *record, const double *numbers)
{
    record->window.count++;
    record->window.loss += numbers[0];
    for (int i = 0; i < record->n; ++i) {
        double now = numbers[1 + i], before = record->average[i];
        record->window.part[i] += now;
        record->epoch.part[i] += now;
        record->average[i] = isfinite(before) ? .9 * before + .1 * now : now;
    }
}

/* A warning is said when it is known, not hours later. */
static void tell(record *record, int warnings, diag *d)
{
    if (diag_warnings(d) == warnings) return;
    record_hush(record);
    diag_flush(d, stderr);
}

/* To the file and to the chart. */
static void add_line(record *record, cJSON *line, diag *d)
{
    int warnings = diag_warnings(d);
    curve_take(&record->curve, line);
    run_log_add(record->log, line, d);
    tell(record, warnings, d);
}

static record_loss loss_of(const record *record, const sum *sum)
{
    return (record_loss){ .loss = sum->loss, .parts = record->n, .name = record->name, .part = sum->part,
                          .count = sum->count > 0 ? sum->count : NAN };
}

static void write_step(record *record, uint64_t seen, diag *d)
{
    record_numbers numbers = {
        .step = step_of(record, seen), .epoch = (seen - 1) / record->plan.images + 1, .rate = record->rate,
        .loss = loss_of(record, &record->window),
        .images_per_s = record->window_seconds > 0 ? record->window_images / record->window_seconds : NAN };
    add_line(record, record_line_step(&numbers), d);
}

void record_step(record *record, const double *numbers, int rows, double rate, diag *d)
{
    uint64_t seen = seen_now(record);
    record->rate = rate;
    record->window_images += (double)record->plan.per_step;
    record->epoch_images += (double)record->plan.per_step;
    for (int i = 0; i < rows; ++i)
        if (isfinite(numbers[(size_t)i * record_width(record)]))
            add_row(record, numbers + (size_t)i * record_width(record));
    if (run_log_wants(step_of(record, seen))) {
        if (record->log) write_step(record, seen, d);
        record->window = (sum){ .count = 0 };
        record->window_images = record->window_seconds = 0;
    }
    show(record);
}

/* ---- epochs and the end ---- */

/* The run beside it that was trained from labels; *curve is the caller's to free. */
static const curve *labels_curve(const record *record, curve *curve)
{
    char *name = mem_printf("%s%s", record->options->name, MODEL_FROM_LABELS);
    char *path = record_path(record->options->folder, name);
    curve_read(curve, path);
    free(path);
    free(name);
    return curve->score.n ? curve : NULL;
}

/* Is the folder the one that the run began in, and the name the run's? Where not, saving says so. */
static int is_at_home(const record *record, diag *d)
{
    diag *why = diag_aside(d);
    int gone = record->options->lock && run_lock_check(record->options->lock, why);
    diag_free(why);
    return !gone;
}

/* Asked before it is written and before it gets its name. In between the folder may have become another one: it cannot
 * get its name there, since it lies beside it. 0, or -1 with a message. */
static int write_chart(const record *record, const uint8_t *png, size_t n, diag *d)
{
    out_file file;
    if (!is_at_home(record, d)) return 0;
    if (out_file_open(&file, record->chart, d)) return -1;
    int failed = out_file_finish(&file, fwrite(png, 1, n, file.file) != n, d);
    if (!failed && is_at_home(record, d)) failed = out_file_keep(&file, 1, d);
    out_file_drop(&file);
    return failed;
}

/* 0, or -1 with a message. */
static int draw_chart(const record *record, const curve *labels, diag *d)
{
    uint8_t *pixels = chart_draw(&record->curve, labels, d), *png = NULL;
    char why[256] = "";
    size_t n = 0;
    int failed = !pixels;
    if (pixels && image_encode(".png", pixels, CHART_W, CHART_H, 3, 0, &png, &n, why, sizeof why)) {
        diag_error(d, record->chart, 0, NULL, "cannot write this picture: %s", why);
        failed = -1;
    }
    if (!failed) failed = write_chart(record, png, n, d);
    free(pixels);
    free(png);
    return failed;
}

/* A picture that cannot be written is no reason to end. */
static void draw(record *record, diag *d)
{
    curve labels = { .name = NULL };
    int warnings = diag_warnings(d);
    diag *why = diag_aside(d);
    double began = clock_now();
    int failed = draw_chart(record, labels_curve(record, &labels), why);
    record->drawn = clock_now();
    record->cost = record->drawn - began;
    if (failed && !record->undrawable) diag_append(d, why, 1);
    record->undrawable |= failed;
    diag_free(why);
    curve_free(&labels);
    tell(record, warnings, d);
}

static double seconds_so_far(const record *record) { return record->seconds + clock_now() - record->began; }

void record_epoch(record *record, uint64_t epoch, const measured *found, int best, diag *d)
{
    const run_progress *p = record->plan.progress;
    record_shares shares = shares_of(record);
    double steps = epoch_seconds(record), count = (double)(p->epoch_steps ? p->epoch_steps : 1);
    record->epoch.loss = p->epoch_sum;
    record->epoch.count = count;
    record_numbers numbers = {
        .step = step_of(record, seen_now(record)), .epoch = epoch, .rate = p->epoch_rate,
        .loss = loss_of(record, &record->epoch), .images_per_s = steps > 0 ? record->epoch_images / steps : NAN,
        .seconds = seconds_so_far(record) };
    if (record->log) add_line(record, record_line_epoch(&numbers, found, best, &shares), d);
    record->epoch = (sum){ .count = 0 };
    record->epoch_images = 0;
    memset(record->spent, 0, sizeof record->spent);
    int last = seen_now(record) >= record->plan.end;   /* record_end draws it */
    if (record->log && !last && clock_now() - record->drawn >= record->cost / CHART_SHARE) draw(record, d);
}

void record_end(record *record, const char *weights, int stopped, diag *d)
{
    uint64_t seen = seen_now(record);
    if (!record->log) return;
    add_line(record, record_line_end(step_of(record, seen), (double)seen / (double)record->plan.images,
                                     seconds_so_far(record), weights, stopped), d);
    draw(record, d);
}
