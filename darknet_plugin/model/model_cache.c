/* The feature caches of a model: which teachers have one, by flag or cfg, and what a step asks of them. */
#include "darknet_plugin/base/mem.h"
#include "model.h"

#include <stdlib.h>

int model_wants_cache(const model *m, const char *path)
{
    for (int i = 0; m->teacher && i < m->low->teachers; ++i)
        if (path || cfg_find(m->low->teacher[i].section, "cache")) return 1;
    return 0;
}

int model_cached(const model *m)
{
    for (int i = 0; m->teacher && i < m->low->teachers; ++i)
        if (m->features[i]) return 1;
    return 0;
}

/* Views that a flag or a [teacher] asks for; 0 = none. Two that ask for different ones cannot both be had. */
static int views_asked(const model *m, const model_cache *c, uint64_t *views, diag *d)
{
    *views = (uint64_t)c->views;
    for (int i = 0; m->teacher && !c->views && i < m->low->teachers; ++i) {
        const cfg_section *t = m->low->teacher[i].section;
        uint64_t asked = (uint64_t)cfg_int(t, "views", 0);
        if (asked && *views && asked != *views) {
            diag_error(d, t->file, cfg_line(t, "views"), t->name, "views=%llu, but another teacher has %llu", (unsigned long long)asked,
                       (unsigned long long)*views);
            return -1;
        }
        if (asked) *views = asked;
    }
    return 0;
}

/* Where teacher i's features are kept: the caller's to free; NULL = nowhere. */
static char *cache_path(const model *m, const model_cache *c, int i)
{
    const teacher_spec *t = &m->low->teacher[i];
    const char *own = cfg_str(t->section, "cache", NULL);
    if (c->path) return m->low->teachers > 1 ? mem_printf("%s.%s", c->path, t->name) : mem_strdup(c->path);
    return own ? mem_strdup(own) : NULL;
}

static int open_cache(model *m, const model_cache *c, int i, uint64_t views, diag *d)
{
    const char *name = c->type ? c->type : cfg_str(m->low->teacher[i].section, "cache_type", "f16");
    int type = feature_type_of(name);
    char *path = cache_path(m, c, i);
    if (type < 0) diag_error(d, NULL, 0, NULL, "'-type %s': expected f16, f32 or u8", name);
    features_options o = { .path = path, .type = (feature_type)type, .views = views, .seed = c->seed, .images = c->images, .data = c->data,
                           .augment = &m->low->augment };
    if (path && type >= 0) m->features[i] = features_open(m->teacher[i], &o, d);
    int failed = path && !m->features[i];
    free(path);
    return failed;
}

int model_open_cache(model *m, const model_cache *c, uint64_t *views, diag *d)
{
    if (views_asked(m, c, views, d)) return -1;
    if (c->path && !m->teacher) {
        diag_error(d, m->low->source->path, 0, NULL, "has no [teacher] whose features could be cached");
        return -1;
    }
    if (!model_wants_cache(m, c->path)) return 0;
    if (m->low->augment.random > 0) {
        diag_error(d, m->low->source->path, 0, NULL, "a cache holds features of one size, random=1 changes the input's");
        diag_hint(d, "train without a cache, or write random=0 in [augment]");
        return -1;
    }
    if (!*views) *views = m->low->augment.any ? 4 : 1;
    for (int i = 0; i < m->low->teachers; ++i)
        if (open_cache(m, c, i, *views, d)) return -1;
    return 0;
}

int model_teach(model *m, const float *x, const uint64_t *image, const uint64_t *view, diag *d)
{
    for (int i = 0; m->teacher && i < m->low->teachers; ++i)
        if (m->features[i] && features_of_batch(m->features[i], x, image, view, d)) return -1;
    return 0;
}

void model_taught(model *m)
{
    for (int i = 0; m->teacher && i < m->low->teachers; ++i)
        if (m->features[i]) features_done(m->features[i]);
}

features_count model_features_counts(const model *m)
{
    features_count sum = { 0 };
    for (int i = 0; m->teacher && i < m->low->teachers; ++i) {
        if (!m->features[i]) continue;
        features_count c = features_counts(m->features[i]);
        sum.read += c.read;
        sum.computed += c.computed;
        sum.damaged += c.damaged;
    }
    return sum;
}
