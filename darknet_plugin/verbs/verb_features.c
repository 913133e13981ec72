/* `darknet distill features DATA CFG`: fills the teacher-feature cache for every view of every training image, going on
 * where an earlier run stopped. `train` would fill it as it goes; this does it without a student. */
#include "device.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/model/precision.h"
#include "layers/cpu/parallel.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct filling {
    data_file *file;
    dataset *train;
    image_cache *decoded;    /* NULL: none */
    model *model;
    uint64_t views, images;
    uint64_t left_out;       /* images that cannot be read: they have no records */
} filling;

/* On its device, in its precision. */
static int open_model(const options *options, filling *filling, diag *d)
{
    model_options how = { .ranks = options->ranks, .threads = options->threads, .seed = (uint64_t)options->seed };
    if (device_backend(options, &how.backend, d) || device_precision(options, &how.precision, d)) return -1;
    device_say_precision(options, how.precision);
    char *plan = NULL;
    if (device_plans(options)) {
        how.plan = plan = precision_choose(options->arg[1], &how, options->quiet ? NULL : options->out, d);
        if (!plan) return -1;
    }
    filling->model = model_open(options->arg[1], &how, d);
    free(plan);
    return filling->model ? model_fit(filling->model, options->fit, d) : -1;
}

/* Those that train would see. */
static int open_images(const options *options, filling *filling, diag *d)
{
    int need = model_is_detector(filling->model) ? DATA_DETECTOR : DATA_IMAGES;
    filling->file = data_file_read(options->arg[0], d);
    if (!filling->file) return -1;
    filling->file->held_out = (size_t)options->holdout;
    filling->train = dataset_open(filling->file, DATA_TRAIN, (size_t)options->limit, need, d);
    if (!filling->train) return -1;
    if (!options->limit && dataset_join_unlabelled(filling->train, filling->file, need, d)) return -1;
    filling->images = dataset_count(filling->train);
    const data_file *file = filling->file;
    if (!file->image_cache) return 0;
    filling->decoded = image_cache_open(file->image_cache, ranks_leads(options->ranks), d);
    if (filling->decoded) dataset_use_cache(filling->train, filling->decoded, file->image_cache_side);
    return filling->decoded ? 0 : -1;
}

/* -1 with a message where neither flags nor cfg name one. */
static int open_cache(const options *options, filling *filling, diag *d)
{
    model_cache cache = {
        .path = options->cache_out, .type = options->type, .views = options->views, .seed = options_view_seed(options),
        .images = filling->images, .data = filling->train,
    };
    if (model_open_cache(filling->model, &cache, &filling->views, d)) return -1;
    if (model_cached(filling->model)) return 0;
    diag_error(d, options->arg[1], 0, NULL, "no cache is named");
    diag_hint(d, "give -out FILE, or write cache=FILE in [teacher]");
    return -1;
}

/* The cache of teacher i; NULL if it has none. */
static feature_cache *cache_of(const filling *filling, int i)
{
    return filling->model->features[i] ? features_cache(filling->model->features[i]) : NULL;
}

static int all_have(const filling *filling, uint64_t view, uint64_t image)
{
    for (int i = 0; i < filling->model->low->teachers; ++i)
        if (filling->model->features[i] && !features_have(filling->model->features[i], view, image)) return 0;
    return 1;
}

/* The first record from `at` on, and before `all`, that is not there, in any cache. */
static uint64_t first_missing(const filling *filling, uint64_t at, uint64_t all)
{
    while (at < all && all_have(filling, at / filling->images, at % filling->images)) ++at;
    return at;
}

static int sync_all(const filling *filling, diag *d)
{
    int failed = 0;
    for (int i = 0; i < filling->model->low->teachers; ++i)
        if (cache_of(filling, i)) failed |= feature_cache_sync(cache_of(filling, i), d);
    return failed;
}

static loader *start_loader(const options *options, const filling *filling, uint64_t start, uint64_t end, diag *d)
{
    const net_shape *shape = filling->model->low->shape;
    loader_options how = {
        .data = filling->train, .how = LOAD_VIEWS, .batch = filling->model->net->batch, .start = start,
        .end = end,
        .c = shape->c, .h = shape->h, .w = shape->w, .augment = filling->model->low->augment,
        .view_seed = options_view_seed(options), .views = (int)filling->views, .threads = parallel_threads(),
    };
    return loader_start(&how, d);
}

/* Computes the records from `start` on and before `all`, telling every now and then how far it is; *computed says how
 * many. */
static int fill(const options *options, filling *filling, uint64_t start, uint64_t all, uint64_t *computed, diag *d)
{
    loader *loader = start_loader(options, filling, start, all, d);
    if (!loader) return -1;
    double began = clock_now(), printed = began, pause = isatty(fileno(options->out)) ? .5 : 10;
    uint64_t done = 0;
    int failed = 0, before = diag_errors(d);
    for (const batch *batch; !failed && (batch = loader_next(loader, d)); ) {
        failed = model_teach(filling->model, batch->x, batch->index, batch->view, d);
        model_taught(filling->model);
        done += (uint64_t)batch->n;
        if (options->quiet || clock_now() - printed < pause) continue;
        printed = clock_now();
        fprintf(options->out, "%" PRIu64 " of %" PRIu64 "  %.0f images/s\n", start + done, all,
                (double)done / (printed - began));
        fflush(options->out);
    }
    if (filling->model->low->augment.detector) filling->left_out = loader_left_out(loader, d);
    loader_stop(loader);
    *computed = done;
    return failed || diag_errors(d) > before ? -1 : sync_all(filling, d);
}

/* What the cache of teacher i holds now. */
static void report(const options *options, const filling *filling, int i, uint64_t computed, diag *d)
{
    feature_cache *cache = cache_of(filling, i);
    const char *name = filling->model->low->teacher[i].name;
    uint64_t all = filling->views * filling->images, missing = feature_cache_missing(cache);
    double file_bytes = (double)feature_cache_file_bytes(cache), map_bytes = (double)feature_cache_maps_bytes(cache);
    fprintf(options->out, "%s%s%" PRIu64 " images, %" PRIu64 " views: %" PRIu64 " records, %" PRIu64 " computed now; "
            "%.1f MB in the file, %.1f MB unpacked\n", name, *name ? ": " : "", filling->images, filling->views, all,
            computed, file_bytes / 1e6, (double)all * map_bytes / 1e6);
    if (missing > filling->views * filling->left_out)
        diag_error(d, NULL, 0, NULL, "%" PRIu64 " records could not be stored", missing);
}

/* What all ranks have done becomes one cache; the number of records and of images left out is all ranks'. */
static int merge(filling *filling, uint64_t *computed, diag *d)
{
    ranks *ranks = filling->model->ranks;
    size_t n = (size_t)ranks_count(ranks);
    uint64_t mine[2] = { *computed, filling->left_out }, *all = mem_calloc(n, sizeof mine);
    features_count unsaid;
    int failed = ranks_exchange(ranks, RANKS_FEATURES, mine, sizeof mine, all, d) ||
                 model_merge_caches(filling->model, &unsaid, d);
    *computed = filling->left_out = 0;
    for (size_t i = 0; i < n; ++i) {
        *computed += all[2 * i];
        filling->left_out += all[2 * i + 1];
    }
    free(all);
    return failed;
}

/* Whether what is there is whole is seen when it is read; this skips what has an index entry. Of several ranks each
 * computes a stretch of the records. */
static int fill_missing(const options *options, filling *filling, diag *d)
{
    uint64_t records = filling->views * filling->images, computed = 0;
    uint64_t end = ranks_share(options->ranks, records, 1),
        start = first_missing(filling, ranks_share(options->ranks, records, 0), end);
    if (start < end && fill(options, filling, start, end, &computed, d)) return -1;
    if (merge(filling, &computed, d)) return -1;
    if (!ranks_leads(options->ranks)) return 0;
    for (int i = 0; i < filling->model->low->teachers; ++i)
        if (cache_of(filling, i)) report(options, filling, i, computed, d);
    return diag_errors(d) > 0;
}

static int run(options *options, diag *d)
{
    filling filling = { 0 };
    int failed = open_model(options, &filling, d) || open_images(options, &filling, d) ||
                 open_cache(options, &filling, d) || fill_missing(options, &filling, d);
    dataset_free(filling.train);
    image_cache_close(filling.decoded);
    data_file_free(filling.file);
    model_close(filling.model);
    return failed;
}

const verb verb_features = {
    .name = "features", .arguments = "DATA CFG", .min = 2, .max = 2, .run = run, .by_ranks = 1,
    .help = "compute the teacher's features once, into a cache",
    .example = "features my.data student.cfg -out features -type u8",
    .flags = { "threads", "backend", "precision", "out", "views", "type", "seed", "view-seed", "limit", "holdout",
               "quiet", "gpus", "nogpu", "fit" },
};
