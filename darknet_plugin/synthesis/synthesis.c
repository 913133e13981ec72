/* Making a set of images: batch after batch by one of the ways, rounded to bytes as PNG has them, labelled by the
 * teacher's answer to just those bytes, written and noted (formulae in synthesis.h). */
#include "synthesis_internal.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static const synthesis_way *const ways[] = { &synthesis_generator, &synthesis_pixels };
enum { WAYS = sizeof ways / sizeof *ways };

const synthesis_way *synthesis_way_named(const char *name, diag *d)
{
    const char *names[WAYS];
    for (int i = 0; i < WAYS; ++i) names[i] = ways[i]->name;
    if (!name) return ways[0];
    for (int i = 0; i < WAYS; ++i)
        if (!strcmp(names[i], name)) return ways[i];
    const char *near = nearest_name(name, names, WAYS);
    diag_error(d, NULL, 0, NULL, "'-method %s': expected generator or pixels", name);
    if (near) diag_hint(d, "did you mean '%s'?", near);
    return NULL;
}

/* ---- a set ---- */

typedef struct set {
    synthesis_job job;       /* with the way's defaults in place */
    making making;
    synthesis_folder folder;
    void *way;               /* its state, owned by it */
    int *class;              /* (batch) drawn, owned */
    int *label;              /* (batch) answered, owned */
    float *sure;             /* (batch), owned */
    uint8_t *bytes;          /* (batch, h, w, c), owned */
    double as_drawn, surety, began;   /* sums over the images of this run */
    int made;
} set;

static void take_defaults(synthesis_job *job)
{
    const synthesis_way *way = job->way;
    if (!job->steps) job->steps = way->steps;
    if (job->rate < 0) job->rate = way->rate;
    if (job->bn < 0) job->bn = way->bn;
    if (job->ce < 0) job->ce = way->ce;
    if (job->tv < 0) job->tv = way->tv;
}

/* Classes in turn: of n images no two classes differ by more than one, in no part of the set either. */
static void draw_classes(set *set, uint64_t at)
{
    int batch = set->job.batch, classes = set->making.judge->classes;
    for (int i = 0; i < batch; ++i) set->class[i] = (int)((at * (uint64_t)batch + (uint64_t)i) % (uint64_t)classes);
}

/* The best images as bytes, and as those bytes will be read again. */
static void round_images(set *set)
{
    const judge *judge = set->making.judge;
    size_t map = (size_t)judge->h * (size_t)judge->w, c = (size_t)judge->c, n = judge_floats(judge);
    for (size_t i = 0; i < n; ++i) {
        size_t image = i / (c * map), channel = i / map % c, at = i % map;
        uint8_t byte = (uint8_t)lrintf(255 * set->making.best[i]);
        set->bytes[(image * map + at) * c + channel] = byte;
        set->making.best[i] = (float)byte / 255;
    }
}

static void count(set *set, int n)
{
    for (int i = 0; i < n; ++i) {
        set->as_drawn += set->label[i] == set->class[i];
        set->surety += set->sure[i];
    }
    set->made += n;
}

static void print_batch(const set *set, int first, int n, double seconds)
{
    const judgement *of = &set->making.of_best;
    int as_drawn = 0;
    for (int i = 0; i < n; ++i) as_drawn += set->label[i] == set->class[i];
    fprintf(set->job.print, "%d of %d  statistics %.4g  classes %.4g  as drawn %.1f %%  %.1f images/s\n", first + n,
            set->job.n, of->bn, of->ce, 100. * as_drawn / n, n / seconds);
    fflush(set->job.print);
}

/* Batch number `at`, of which `n` images are wanted. */
static int make_batch(set *set, int at, int n, diag *d)
{
    double began = clock_now();
    int first = at * set->job.batch;
    network *net = set->job.way->network ? set->job.way->network(set->way) : NULL;
    draw_classes(set, (uint64_t)at);
    if (set->job.way->make(set->way, &set->making, (uint64_t)at, set->class, d)) return -1;
    round_images(set);
    judge_answer(set->making.judge, set->making.best, set->label, set->sure);
    memcpy(set->folder.label + first, set->label, (size_t)n * sizeof *set->label);
    if (folder_put(&set->folder, set->bytes, first, n, set->making.judge, d)) return -1;
    if (folder_note(&set->folder, first + n, at + (n == set->job.batch), net, d)) return -1;
    count(set, n);
    if (!set->job.quiet) print_batch(set, first, n, clock_now() - began);
    return 0;
}

/* What goes from batch to batch, as it was, or as it begins. */
static int begin(set *set, diag *d)
{
    const synthesis_way *way = set->job.way;
    if (set->folder.done && way->network)
        return folder_load(&set->folder, way->network(set->way), way->shape(set->way), d);
    return !set->folder.done && way->begin ? way->begin(set->way, &set->making, d) : 0;
}

/* All that is missing. */
static int make_set(set *set, diag *d)
{
    int batch = set->job.batch, n = set->job.n;
    if (set->folder.images >= n) return folder_note(&set->folder, n, n / batch, NULL, d);
    if (set->folder.done && !set->job.quiet)
        fprintf(set->job.print, "%d of %d images are there already\n", set->folder.done * batch, n);
    if (begin(set, d)) return -1;
    for (int at = set->folder.done; at * batch < n; ++at)
        if (make_batch(set, at, n - at * batch < batch ? n - at * batch : batch, d)) return -1;
    return 0;
}

static void print_end(const set *set)
{
    double seconds = clock_now() - set->began;
    FILE *out = set->job.print;
    fprintf(out, "%d images in %s", set->job.n, set->folder.out);
    if (set->made)
        fprintf(out, ", %d of them made now, in %.1f s (%.1f s for 1,000); the teacher answers what was drawn for "
                "%.1f %%, sure by %.1f %%", set->made, seconds, 1000 * seconds / set->made,
                100 * set->as_drawn / set->made, 100 * set->surety / set->made);
    fprintf(out, "\nlook at %s; next: %s train %s STUDENT.cfg\n", set->folder.sheet, command_name(), set->folder.data);
}

/* Memory for a batch. */
static void make_room(set *set)
{
    size_t batch = (size_t)set->job.batch, floats = judge_floats(set->making.judge);
    set->making.job = &set->job;
    set->making.best = mem_calloc(floats, sizeof(float));
    set->bytes = mem_calloc(floats, 1);
    set->class = mem_calloc(batch, sizeof *set->class);
    set->label = mem_calloc(batch, sizeof *set->label);
    set->sure = mem_calloc(batch, sizeof *set->sure);
}

static int run(set *set, diag *d)
{
    judge *judge = set->making.judge = judge_open(&set->job, d);
    if (!judge || folder_open(&set->folder, &set->job, judge_identity(judge), judge->classes, d)) return -1;
    make_room(set);
    set->way = set->job.way->open(&set->making, d);
    if (!set->way || make_set(set, d) || folder_finish(&set->folder, set->job.n, judge->classes, d) ||
        folder_sheet(&set->folder, set->job.n, judge, d)) return -1;
    print_end(set);
    return 0;
}

int synthesize(const synthesis_job *job, diag *d)
{
    set set = { .job = *job, .began = clock_now() };
    take_defaults(&set.job);
    int failed = run(&set, d);
    if (set.way) set.job.way->close(set.way);
    judge_close(set.making.judge);
    folder_close(&set.folder);
    free(set.making.best);
    free(set.bytes);
    free(set.class);
    free(set.label);
    free(set.sure);
    return failed;
}
