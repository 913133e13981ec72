/* Cached targets (see features.h). A batch of which anything is missing runs through the teacher whole: that is every
 * batch while the cache is filled and next to none afterwards. What was computed is used as it is stored, rounded to
 * the cache's type, so that a run does not depend on what the cache held before. */
#include "features.h"

#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/base/mem.h"
#include "weights_tools/file/weights_file.h"
#include "darknet_plugin/base/path.h"
#include "layers/cpu/parallel.h"

#include <ctype.h>
#include <dirent.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct features {
    teacher *teacher;          /* borrowed */
    const dataset *data;       /* borrowed */
    feature_cache *cache;      /* owned; NULL: a rank's host has none */
    feature_cache *shard;      /* of a rank but the first, owned; NULL: the cache is written to */
    char *path, *key;          /* of the cache, owned */
    feature_cache_spec spec;
    int batch;
    char *staging;             /* (batch) records' maps, owned */
    char *packed;              /* (batch) as they go to the file, owned */
    size_t *bytes;             /* (batch) of them, owned */
    feature_map *maps;         /* (taps, batch), owned */
    uint64_t *image, *view;    /* (batch) of those that were read from the file, owned */
    signed char *hit, *bad;    /* (batch), owned; hit: feature_cache_get's answer */
    const float *live[FEATURE_TAPS];   /* the teacher's maps of this batch, borrowed from it */
    features_count count;
};

static feature_cache *written_to(const features *features)
{
    return features->shard ? features->shard : features->cache;
}

/* ---- what the maps depend on ---- */

static uint64_t hash_text(const char *text, uint64_t h) { return hash_bytes(text, strlen(text), h); }

/* Of the sections behind [net], whose keys but the input's size do not matter to a frozen network. */
static uint64_t hash_layers(const cfg_file *cfg)
{
    uint64_t h = HASH_START;
    for (int i = 1; i < cfg->n; ++i) {
        h = hash_text(cfg->section[i].name, h);
        for (int k = 0; k < cfg->section[i].n; ++k) {
            h = hash_text(cfg->section[i].pair[k].key, h);
            h = hash_text(cfg->section[i].pair[k].value, h);
        }
    }
    return h;
}

/* Are channels' means all that is kept of a tap? Class scores, behind the taps, are whole. */
static int only_means(const teacher_spec *spec, int i) { return i < spec->taps && spec->means[i]; }

/* Which layers, and what is kept of them. The caller frees. */
static char *taps_text(const teacher_spec *spec)
{
    char *text = mem_strdup("");
    for (int i = 0; i < teacher_kept(spec); ++i) {
        int at = teacher_kept_layer(spec, i);
        const layer_shape *l = &spec->shape->layer[at];
        char *more = mem_printf("%s%slayer %d of %dx%dx%d%s", text, i ? ", " : "", at, l->c, l->h, l->w,
                                only_means(spec, i) ? " (means)" : "");
        free(text);
        text = more;
    }
    return text;
}

/* Of what came later: nothing where it is off, so that caches from before stay right. */
static char *mixing_text(const augment_spec *augment)
{
    char mixup[40] = "", cutout[40] = "";
    const char *mosaic = augment->mosaic ? ", mosaic" : "";
    if (augment->mixup > 0) snprintf(mixup, sizeof mixup, ", mixup %g", augment->mixup);
    if (augment->cutout > 0) snprintf(cutout, sizeof cutout, ", cutout %d", augment->cutout);
    return mem_printf("%s%s%s", mosaic, mixup, cutout);
}

/* "none", or the seed and what it moves. */
static char *augment_text(const features_options *options)
{
    const augment_spec *a = options->augment;
    char *text, *mixing = mixing_text(a);
    char *colours = mem_printf("hue %g, saturation %g, exposure %g", a->hue, a->saturation, a->exposure);
    if (a->detector)
        text = mem_printf("seed %" PRIu64 ", %s, pad %d, flip %d, jitter %g, %s%s", options->seed,
                          a->fit == FIT_STRETCH ? "stretched" : "letterboxed", a->pad, a->flip, a->jitter, colours,
                          mixing);
    else if (a->any)
        text = mem_printf("seed %" PRIu64 ", pad %d, flip %d, crop %d to %d, angle %g, aspect %g, %s%s", options->seed,
                          a->pad, a->flip, a->min_crop, a->max_crop, a->angle, a->aspect, colours, mixing);
    else
        text = mem_strdup("none");
    free(colours);
    free(mixing);
    if (a->detector || a->fit == FIT_CROP) return text;
    char *fitted = mem_printf("%s, %s", a->fit == FIT_STRETCH ? "stretched" : "letterboxed", text);
    free(text);
    return fitted;
}

/* All that a stored map depends on, a line for each: a cache with another key is refused. */
static char *key_of(const teacher *teacher, const features_options *options, cpu_precision precision)
{
    const teacher_spec *spec = teacher->spec;
    char *key, *taps = taps_text(spec), *augment = augment_text(options);
    size_t len;
    FILE *out = mem_stream(&key, &len);
    fprintf(out, "teacher weights=%016" PRIx64 "\n", weights_hash(teacher->net, 0, spec->cut));
    fprintf(out, "teacher layers=%016" PRIx64 "\n", hash_layers(spec->cfg));
    fprintf(out, "taps=%s\n", taps);
    fprintf(out, "student's input=%dx%dx%d\n", teacher->c, teacher->h, teacher->w);
    fprintf(out, "teacher's input=%dx%dx%d, ", spec->shape->c, spec->shape->h, spec->shape->w);
    fprintf(out, "mean %.9g %.9g %.9g, ", spec->mean[0], spec->mean[1], spec->mean[2]);
    fprintf(out, "std %.9g %.9g %.9g\n", spec->std[0], spec->std[1], spec->std[2]);
    fprintf(out, "type=%s%s\n", feature_type_name(options->type),
            precision == PRECISION_BF16 ? ", computed in bf16" : "");
    fprintf(out, "data set=%016" PRIx64 "\n", options->data ? dataset_identity(options->data) : 0);
    fprintf(out, "images=%" PRIu64 "\nviews=%" PRIu64 "\n", options->images, options->views);
    fprintf(out, "augmentation=%s\n", augment);
    mem_stream_end(out);
    free(taps);
    free(augment);
    return key;
}

/* Of an image in a file; else nothing is known. */
static data_print print_of(const features *features, uint64_t image)
{
    return features->data ? dataset_print(features->data, image) : (data_print){ 0 };
}

/* ---- opening ---- */

/* What the cache will hold of this teacher: its taps and class scores, as many images and views. 0, or -1 after
 * reporting. */
static int describe(features *features, const features_options *options, diag *d)
{
    const teacher_spec *s = features->teacher->spec;
    if (teacher_kept(s) > FEATURE_TAPS) {
        diag_error(d, options->path, 0, NULL, "a cache holds up to %d maps an image, this teacher has %d", FEATURE_TAPS,
                   teacher_kept(s));
        return -1;
    }
    features->spec = (feature_cache_spec){ .type = options->type, .taps = teacher_kept(s), .count = options->images,
                                           .views = options->views,
                                           .prints = options->data && dataset_prints(options->data) };
    for (int i = 0; i < teacher_kept(s); ++i) {
        const layer_shape *l = &s->shape->layer[teacher_kept_layer(s, i)];
        features->spec.tap[i].c = l->c ? l->c : l->outputs;
        features->spec.tap[i].h = l->h && !only_means(s, i) ? l->h : 1;
        features->spec.tap[i].w = l->w && !only_means(s, i) ? l->w : 1;
    }
    return 0;
}

/* Are the images still those that the records are of? What is known of them now is kept. 0, or -1 with a message. */
static int check_images(features *features, feature_cache *cache, const char *path, diag *d)
{
    if (!features->spec.prints || !cache) return 0;
    size_t n = dataset_prints(features->data);
    data_print *kept = mem_calloc(n, sizeof *kept);
    feature_cache_prints(cache, kept);
    char *differ = dataset_trust(features->data, kept, n);
    for (size_t i = 0; !differ && i < n; ++i) {
        data_print print = print_of(features, i);
        feature_cache_keep_print(cache, i, &print, d);
    }
    if (differ) {
        diag_error(d, path, 0, NULL, "was made from other images: %s", differ);
        diag_hint(d, "name another file, or remove this one");
    }
    free(kept);
    free(differ);
    return differ ? -1 : 0;
}

static feature_cache *open_part(const features *features, const char *path, feature_cache_use use, diag *d)
{
    feature_cache_spec spec = features->spec;
    spec.key = features->key;
    spec.use = use;
    return feature_cache_open(path, &spec, d);
}

/* The first rank's cache, or the only one's. */
static int open_cache(features *features, diag *d)
{
    features->cache = open_part(features, features->path, CACHE_OWN, d);
    if (!features->cache || check_images(features, features->cache, features->path, d)) return -1;
    features_take_shards(features, d);
    return 0;
}

/* Another rank's: its host may have none. */
static int open_shard(features *features, int rank, diag *d)
{
    char *path = mem_printf("%s.rank%d", features->path, rank);
    int there = !access(features->path, F_OK);
    if (there) features->cache = open_part(features, features->path, CACHE_READ, d);
    if (!there || features->cache) features->shard = open_part(features, path, CACHE_SHARD, d);
    int bad = !features->shard || check_images(features, features->cache, features->path, d) ||
              check_images(features, features->shard, path, d);
    free(path);
    return bad ? -1 : 0;
}

/* A cache like this one, but computed in the other precision, is read if the user insists, and not written to. */
static void open_other_precision(features *features, const features_options *options, diag *d)
{
    const cpu_precision other = features->teacher->precision == PRECISION_BF16 ? PRECISION_FP32 : PRECISION_BF16;
    if (options->ranks || access(features->path, F_OK)) return;
    diag *unsaid = diag_aside(d);
    feature_cache_spec spec = features->spec;
    char *key = key_of(features->teacher, options, other);
    spec.key = key;
    spec.use = CACHE_READ;
    features->cache = feature_cache_open(features->path, &spec, unsaid);
    if (features->cache && check_images(features, features->cache, features->path, unsaid)) {
        feature_cache_close(features->cache);
        features->cache = NULL;
    }
    if (features->cache)
        diag_warn(d, features->path, 0, NULL, "was computed in %s, this run computes in %s: it is read, and what is "
                  "missing is not stored", cpu_precision_name(other), cpu_precision_name(features->teacher->precision));
    free(key);
    diag_free(unsaid);
}

features *features_open(teacher *teacher, const features_options *options, diag *d)
{
    features *f = mem_calloc(1, sizeof *f);
    size_t batch = (size_t)teacher->net->batch * (size_t)teacher->parts;
    f->teacher = teacher;
    f->data = options->data;
    f->batch = (int)batch;
    f->path = mem_strdup(options->path);
    int bad = describe(f, options, d);
    if (!bad) f->key = key_of(teacher, options, teacher->precision);
    if (!bad && options->force) open_other_precision(f, options, d);
    if (!bad && !f->cache)
        bad = ranks_leads(options->ranks) ? open_cache(f, d) : open_shard(f, ranks_mine(options->ranks), d);
    if (bad) {
        features_close(f);
        return NULL;
    }
    f->staging = mem_aligned(batch, feature_cache_maps_bytes(written_to(f)));
    f->packed = mem_aligned(batch, feature_cache_packed_room(written_to(f)));
    f->bytes = mem_calloc(batch, sizeof *f->bytes);
    f->maps = mem_calloc(batch * (size_t)f->spec.taps, sizeof *f->maps);
    f->image = mem_calloc(batch, sizeof *f->image);
    f->view = mem_calloc(batch, sizeof *f->view);
    f->hit = mem_calloc(batch, 1);
    f->bad = mem_calloc(batch, 1);
    return f;
}

/* Closes a half-made one too. */
void features_close(features *features)
{
    if (!features) return;
    feature_cache_close(features->cache);
    feature_cache_close(features->shard);
    free(features->path);
    free(features->key);
    free(features->staging);
    free(features->packed);
    free(features->bytes);
    free(features->maps);
    free(features->image);
    free(features->view);
    free(features->hit);
    free(features->bad);
    free(features);
}

/* ---- batches ---- */

static char *maps_of(const features *features, size_t b)
{
    return features->staging + b * feature_cache_maps_bytes(written_to(features));
}
static char *packed_of(const features *features, size_t b)
{
    return features->packed + b * feature_cache_packed_room(written_to(features));
}

/* feature_cache_get of record b: 1 where the cache or this rank's shard has it as it was written. */
static int find_record(const features *features, size_t b, feature_map *maps)
{
    uint64_t view = features->view[b], image = features->image[b], contents = print_of(features, image).hash;
    void *room = maps_of(features, b);
    int got = features->cache ? feature_cache_get(features->cache, view, image, contents, room, maps) : 0;
    if (got > 0 || !features->shard) return got;
    int own = feature_cache_get(features->shard, view, image, contents, room, maps);
    return own ? own : got;
}

static void read_images(void *ctx, size_t begin, size_t end)
{
    features *f = ctx;
    feature_map maps[FEATURE_TAPS];
    for (size_t b = begin; b < end; ++b) {
        f->hit[b] = (signed char)find_record(f, b, maps);
        for (int i = 0; f->hit[b] > 0 && i < f->spec.taps; ++i) f->maps[(size_t)i * (size_t)f->batch + b] = maps[i];
    }
}

/* Fills in `hit`; how many are missing. */
static int read_records(features *features, const uint64_t *image, const uint64_t *view)
{
    int missing = 0;
    memcpy(features->image, image, (size_t)features->batch * sizeof *image);
    memcpy(features->view, view, (size_t)features->batch * sizeof *view);
    parallel_for((size_t)features->batch, read_images, features);
    for (int b = 0; b < features->batch; ++b) {
        missing += features->hit[b] < 1;
        features->count.damaged += features->hit[b] < 0;
    }
    return missing;
}

/* Stores what is kept of tap i, or of the class scores, of image b; not 0 where it is not finite. */
static int store_tap(const features *features, size_t b, int i, void *to)
{
    const teacher_spec *spec = features->teacher->spec;
    const layer_shape *l = &spec->shape->layer[teacher_kept_layer(spec, i)];
    feature_type type = features->spec.type;
    int c = features->spec.tap[i].c;
    size_t hw = l->c ? (size_t)l->h * (size_t)l->w : 1;
    const float *x = features->live[i] + b * (size_t)c * hw;
    if (!only_means(spec, i)) return feature_store(type, x, c, hw, to);
    float *means = mem_calloc((size_t)c, sizeof *means);
    for (size_t k = 0; k < (size_t)c; ++k) means[k] = feature_mean(x, NULL, FEATURE_F32, k, hw);
    int bad = feature_store(type, means, c, 1, to);
    free(means);
    return bad;
}

/* The live teacher's maps in the stored form, for the loss and for the file. */
static void store_images(void *ctx, size_t begin, size_t end)
{
    features *f = ctx;
    const feature_cache_spec *s = &f->spec;
    for (size_t b = begin; b < end; ++b) {
        f->bad[b] = 0;
        if (f->hit[b] > 0) continue;
        for (int i = 0; i < s->taps; ++i) {
            void *to = maps_of(f, b) + feature_cache_at(written_to(f), i);
            if (store_tap(f, b, i, to)) f->bad[b] = 1;
            f->maps[(size_t)i * (size_t)f->batch + b] = feature_stored(s->type, s->tap[i].c, to);
        }
        f->bytes[b] = feature_cache_pack(written_to(f), f->view[b], f->image[b], print_of(f, f->image[b]).hash,
                                         maps_of(f, b), packed_of(f, b));
    }
}

/* Stores what was computed; -1 with a message where a map is not finite. */
static int write_records(features *features, diag *d)
{
    for (int b = 0; b < features->batch; ++b) {
        if (features->bad[b]) {
            diag_error(d, features->teacher->spec->weights_path, 0, NULL,
                       "the teacher's feature of image %" PRIu64 " is not finite", features->image[b]);
            return -1;
        }
        if (features->hit[b] > 0) continue;
        data_print print = print_of(features, features->image[b]);
        feature_cache_keep_print(written_to(features), features->image[b], &print, d);
        feature_cache_put(written_to(features), features->view[b], features->image[b], packed_of(features, (size_t)b),
                          features->bytes[b], d);
    }
    return 0;
}

int features_of_batch(features *features, const float *x, const uint64_t *image, const uint64_t *view, diag *d)
{
    int missing = read_records(features, image, view);
    features->count.read += (uint64_t)(features->batch - missing);
    features->count.computed += (uint64_t)missing;
    if (!missing) return 0;
    teacher_forward(features->teacher, x, 0);
    for (int i = 0; i < features->spec.taps; ++i)
        features->live[i] = teacher_feature(features->teacher, teacher_kept_layer(features->teacher->spec, i));
    parallel_for((size_t)features->batch, store_images, features);
    return write_records(features, d);
}

teaching features_teaching(const features *features, int tap)
{
    return (teaching){ .stored = features->maps + (size_t)tap * (size_t)features->batch,
                       .means = only_means(features->teacher->spec, tap) };
}

void features_done(features *features)
{
    if (features->cache) feature_cache_done(features->cache, features->batch);
    if (features->shard) feature_cache_done(features->shard, features->batch);
}

features_count features_counts(const features *features) { return features->count; }

feature_cache *features_cache(const features *features) { return written_to(features); }

int features_have(const features *features, uint64_t view, uint64_t image)
{
    return (features->cache && feature_cache_has(features->cache, view, image)) ||
           (features->shard && feature_cache_has(features->shard, view, image));
}

/* ---- shards ---- */

void features_let_go(features *features)
{
    feature_cache_close(features->shard);
    features->shard = NULL;
}

/* Is this file a shard of the cache named `base`? */
static int is_shard(const char *name, const char *base)
{
    size_t n = strlen(base);
    return !strncmp(name, base, n) && !strncmp(name + n, ".rank", 5) && isdigit((unsigned char)name[n + 5]);
}

/* Its records, then it is gone; one that another process still writes to, or that is of something else, stays. */
static void take_shard(features *features, const char *path, diag *d)
{
    diag *aside = diag_aside(d);
    feature_cache *shard = open_part(features, path, CACHE_SHARD, aside);
    if (shard && feature_cache_writes(shard) && !check_images(features, shard, path, aside)) {
        feature_cache_take(features->cache, shard, d);
        /* a disk that is full leaves some in the shard */
        if (feature_cache_writes(features->cache) && !feature_cache_sync(features->cache, d)) unlink(path);
    }
    feature_cache_close(shard);
    diag_free(aside);
}

/* All that lie beside the cache, a killed run's, too. */
void features_take_shards(features *features, diag *d)
{
    if (features->shard || !features->cache || !feature_cache_writes(features->cache)) return;
    char *folder = path_folder(features->path);
    const char *where = *folder ? folder : ".";
    DIR *dir = opendir(where);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (!is_shard(entry->d_name, path_base_name(features->path))) continue;
        char *path = mem_printf("%s/%s", where, entry->d_name);
        take_shard(features, path, d);
        free(path);
    }
    if (dir) closedir(dir);
    free(folder);
}

const char *features_type(const features *features) { return feature_type_name(features->spec.type); }
