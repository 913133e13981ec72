/* The feature caches of a model: which teachers have one, by flag or cfg, and what a step asks of them. */
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/base/path.h"
#include "model.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>

/* Is a cache asked for, by `path` or by a [teacher]? */
static int wants_cache(const model *model, const char *path)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i)
        if (path || cfg_find(model->low->teacher[i].section, "cache")) return 1;
    return 0;
}

int model_cached(const model *model)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i)
        if (model->features[i]) return 1;
    return 0;
}

/* Views that a flag or a [teacher] asks for; 0 = none. Two that ask for different ones cannot both be had. */
static int views_asked(const model *model, const model_cache *cache, uint64_t *views, diag *d)
{
    *views = (uint64_t)cache->views;
    for (int i = 0; model->teacher && !cache->views && i < model->low->teachers; ++i) {
        const cfg_section *t = model->low->teacher[i].section;
        uint64_t asked = (uint64_t)cfg_int(t, "views", 0);
        if (asked && *views && asked != *views) {
            diag_error(d, t->file, cfg_line(t, "views"), t->name, "views=%llu, but another teacher has %llu",
                       (unsigned long long)asked, (unsigned long long)*views);
            return -1;
        }
        if (asked) *views = asked;
    }
    return 0;
}

/* Where teacher i's features are kept: the caller's to free; NULL = nowhere. */
static char *cache_path(const model *model, const model_cache *cache, int i)
{
    const teacher_spec *t = &model->low->teacher[i];
    const char *own = cfg_str(t->section, "cache", NULL);
    if (cache->path) return model->low->teachers > 1 ? mem_printf("%s.%s", cache->path, t->name)
        : mem_strdup(cache->path);
    return own ? mem_strdup(own) : NULL;
}

/* Opens teacher i's cache where one is asked for. */
static int open_cache(model *model, const model_cache *cache, int i, uint64_t views, diag *d)
{
    const char *name = cache->type ? cache->type : cfg_str(model->low->teacher[i].section, "cache_type", "f16");
    int type = feature_type_of(name);
    char *path = cache_path(model, cache, i);
    if (type < 0) diag_error(d, NULL, 0, NULL, "'-type %s': expected f16, f32 or u8", name);
    features_options o = { .path = path, .type = (feature_type)type, .views = views, .seed = cache->seed,
                           .images = cache->images, .data = cache->data,
                           .augment = &model->low->augment, .ranks = model->ranks, .force = cache->force };
    if (path && type >= 0) model->features[i] = features_open(model->teacher[i], &o, d);
    int failed = path && !model->features[i];
    free(path);
    return failed;
}

static int open_caches(model *model, const model_cache *cache, uint64_t views, diag *d)
{
    for (int i = 0; i < model->low->teachers; ++i) {
        if (model->low->teacher[i].answer >= 0) teacher_ask_answer(&model->low->teacher[i]);
        if (open_cache(model, cache, i, views, d)) return -1;
    }
    return 0;
}

static int make_folder_of(const char *path, diag *d)
{
    char *folder = path_folder(path);
    int failed = *folder ? weights_make_folder(folder, d) : 0;
    free(folder);
    return failed;
}

/* A cache is read and written; no two teachers have one, and it is nothing else that the command reads. Their folders
 * are made, as those of checkpoints are. */
static int own_caches(const model *model, const model_cache *cache, diag *d)
{
    int n = model->low->teachers, bad = 0;
    char **path = mem_calloc((size_t)n, sizeof *path);
    for (int i = 0; i < n; ++i) path[i] = cache_path(model, cache, i);
    for (int i = 0; i < n && !bad; ++i) bad = path[i] ? make_folder_of(path[i], d) : 0;
    bad = bad || out_file_own((const char *const *)path, n, d) ? -1 : 0;
    for (int i = 0; i < n; ++i) free(path[i]);
    free(path);
    return bad;
}

int model_open_cache(model *model, const model_cache *cache, uint64_t *views, diag *d)
{
    if (views_asked(model, cache, views, d)) return -1;
    if (cache->path && !model->teacher) {
        diag_error(d, model->low->source->path, 0, NULL, "has no [teacher] whose features could be cached");
        return -1;
    }
    if (!wants_cache(model, cache->path)) return 0;
    if (model->low->augment.random > 0) {
        diag_error(d, model->low->source->path, 0, NULL,
                   "a cache holds features of one size, random=1 changes the input's");
        diag_hint(d, "train without a cache, or write random=0 in [augment]");
        return -1;
    }
    if (own_caches(model, cache, d)) return -1;
    if (!*views) *views = model->low->augment.any ? 4 : 1;
    int leads = ranks_leads(model->ranks);
    if (leads && open_caches(model, cache, *views, d)) return -1;
    if (ranks_meet(model->ranks, RANKS_FEATURES, d)) return -1;   /* then all find what the first has made */
    return leads ? 0 : open_caches(model, cache, *views, d);
}

int model_teach(model *model, const float *x, const uint64_t *image, const uint64_t *view, diag *d)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i)
        if (model->features[i] && features_of_batch(model->features[i], x, image, view, d)) return -1;
    return 0;
}

void model_taught(model *model)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i)
        if (model->features[i]) features_done(model->features[i]);
}

int model_merge_caches(model *model, features_count *counts, diag *d)
{
    size_t n = (size_t)ranks_count(model->ranks);
    features_count mine = model_features_counts(model), *all = mem_calloc(n, sizeof *all);
    for (int i = 0; i < model->low->teachers; ++i)
        if (model->features[i]) features_let_go(model->features[i]);
    int failed = ranks_exchange(model->ranks, RANKS_FEATURES, &mine, sizeof mine, all, d);
    *counts = (features_count){ 0 };
    for (size_t i = 0; i < n && !failed; ++i) {
        counts->read += all[i].read;
        counts->computed += all[i].computed;
        counts->damaged += all[i].damaged;
    }
    for (int i = 0; i < model->low->teachers && !failed && model->ranks && ranks_leads(model->ranks); ++i)
        if (model->features[i]) features_take_shards(model->features[i], d);
    free(all);
    return failed;
}

features_count model_features_counts(const model *model)
{
    features_count sum = { 0 };
    for (int i = 0; model->teacher && i < model->low->teachers; ++i) {
        if (!model->features[i]) continue;
        features_count c = features_counts(model->features[i]);
        sum.read += c.read;
        sum.computed += c.computed;
        sum.damaged += c.damaged;
    }
    return sum;
}
