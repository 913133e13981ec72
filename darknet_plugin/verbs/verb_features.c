/* `darknet distill features DATA CFG`: fills the teacher-feature cache for every view of every training image, going on where
 * an earlier run stopped. `train` would fill it as it goes; this does it without a student. */
#include "device.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/model/model.h"
#include "layers/cpu/parallel.h"

#include <stdlib.h>
#include <unistd.h>

typedef struct filling {
    data_file *file;
    dataset *train;
    model *m;
    uint64_t views, images;
    uint64_t left_out;       /* images that cannot be read: they have no records */
} filling;

static int open_all(const options *o, filling *f, diag *d)
{
    model_options mo = { .threads = o->threads, .seed = (uint64_t)o->seed };
    if (device_backend(o, &mo.backend, d)) return -1;
    f->m = model_open(o->arg[1], &mo, d);
    f->file = f->m ? data_file_read(o->arg[0], d) : NULL;
    f->train = f->file ? dataset_open(f->file, DATA_TRAIN, (size_t)o->limit, model_is_detector(f->m) ? DATA_DETECTOR : DATA_IMAGES, d) : NULL;
    if (!f->train) return -1;
    f->images = dataset_count(f->train);
    model_cache c = { .path = o->cache_out, .type = o->type, .views = o->views, .seed = (uint64_t)o->seed, .images = f->images,
                      .data = dataset_identity(f->train) };
    if (model_open_cache(f->m, &c, &f->views, d)) return -1;
    if (model_cached(f->m)) return 0;
    diag_error(d, o->arg[1], 0, NULL, "no cache is named");
    diag_hint(d, "give -out FILE, or write cache=FILE in [teacher]");
    return -1;
}

/* The cache of teacher i; NULL if it has none. */
static feature_cache *cache_of(const filling *f, int i)
{
    return f->m->features[i] ? features_cache(f->m->features[i]) : NULL;
}

static int all_have(const filling *f, uint64_t view, uint64_t image)
{
    for (int i = 0; i < f->m->low->teachers; ++i)
        if (cache_of(f, i) && !feature_cache_has(cache_of(f, i), view, image)) return 0;
    return 1;
}

/* The first record that is not there, in any cache. */
static uint64_t first_missing(const filling *f)
{
    uint64_t all = f->views * f->images, at = 0;
    while (at < all && all_have(f, at / f->images, at % f->images)) ++at;
    return at;
}

static int sync_all(const filling *f, diag *d)
{
    int failed = 0;
    for (int i = 0; i < f->m->low->teachers; ++i)
        if (cache_of(f, i)) failed |= feature_cache_sync(cache_of(f, i), d);
    return failed;
}

static int fill(const options *o, filling *f, uint64_t start, uint64_t *computed, diag *d)
{
    const net_shape *s = f->m->low->shape;
    loader_options lo = { .data = f->train, .how = LOAD_VIEWS, .batch = f->m->net->batch, .c = s->c, .h = s->h, .w = s->w,
                          .augment = f->m->low->augment, .seed = (uint64_t)o->seed, .views = (int)f->views, .start = start,
                          .threads = parallel_threads() };
    loader *l = loader_start(&lo, d);
    if (!l) return -1;
    double began = clock_now(), printed = began, pause = isatty(fileno(o->out)) ? .5 : 10;
    uint64_t done = 0, all = f->views * f->images;
    int failed = 0, before = diag_errors(d);
    for (const batch *b; !failed && (b = loader_next(l, d)); ) {
        failed = model_teach(f->m, b->x, b->index, b->view, d);
        model_taught(f->m);
        done += (uint64_t)b->n;
        if (o->quiet || clock_now() - printed < pause) continue;
        printed = clock_now();
        fprintf(o->out, "%llu of %llu  %.0f images/s\n", (unsigned long long)(start + done), (unsigned long long)all, (double)done / (printed - began));
        fflush(o->out);
    }
    if (f->m->low->augment.detector) f->left_out = loader_left_out(l, d);
    loader_stop(l);
    *computed = done;
    return failed || diag_errors(d) > before ? -1 : sync_all(f, d);
}

static void report(const options *o, const filling *f, feature_cache *cache, const char *name, uint64_t computed, diag *d)
{
    uint64_t all = f->views * f->images, missing = feature_cache_missing(cache);
    fprintf(o->out, "%s%s%llu images, %llu views: %llu records, %llu computed now; %.1f MB in the file, %.1f MB unpacked\n", name, *name ? ": " : "",
            (unsigned long long)f->images, (unsigned long long)f->views, (unsigned long long)all, (unsigned long long)computed,
            (double)feature_cache_file_bytes(cache) / 1e6, (double)all * (double)feature_cache_maps_bytes(cache) / 1e6);
    if (missing > f->views * f->left_out) diag_error(d, NULL, 0, NULL, "%llu records could not be stored", (unsigned long long)missing);
}

/* Whether what is there is whole is seen when it is read; this skips what has an index entry. */
static int fill_missing(const options *o, filling *f, diag *d)
{
    uint64_t start = first_missing(f), all = f->views * f->images, computed = 0;
    if (start < all && fill(o, f, start, &computed, d)) return -1;
    for (int i = 0; i < f->m->low->teachers; ++i)
        if (cache_of(f, i)) report(o, f, cache_of(f, i), f->m->low->teacher[i].name, computed, d);
    return diag_errors(d) > 0;
}

static int run(options *o, diag *d)
{
    filling f = { 0 };
    int failed = open_all(o, &f, d) || fill_missing(o, &f, d);
    dataset_free(f.train);
    data_file_free(f.file);
    model_close(f.m);
    return failed;
}

const verb verb_features = {
    .name = "features", .arguments = "DATA CFG", .min = 2, .max = 2, .run = run,
    .help = "compute the teacher's features once, into a cache",
    .flags = { "threads", "backend", "out", "views", "type", "seed", "limit", "quiet", "gpus", "nogpu" },
};
