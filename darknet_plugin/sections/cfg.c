/* A cfg as sections: building, looking up, writing (see cfg.h). The reader is in cfg_read.c. */
#include "cfg.h"

#include "cfg_keys.h"
#include "darknet_plugin/base/mem.h"

#include <limits.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

cfg_file *cfg_new(const char *path)
{
    cfg_file *cfg = mem_calloc(1, sizeof *cfg);
    cfg->path = mem_strdup(path);
    return cfg;
}

static void free_pair(cfg_pair *pair)
{
    free(pair->key);
    free(pair->value);
}

static void free_section_of(cfg_section *section)
{
    for (int i = 0; i < section->n; ++i) free_pair(&section->pair[i]);
    free(section->pair);
    free(section->name);
    free(section->file);
}

void cfg_free(cfg_file *cfg)
{
    if (!cfg) return;
    for (int i = 0; i < cfg->n; ++i) free_section_of(&cfg->section[i]);
    free(cfg->section);
    free(cfg->path);
    free(cfg);
}

/* Number of the next layer: one more than the last that has one. */
static int next_index(const cfg_file *cfg)
{
    for (int i = cfg->n - 1; i >= 0; --i)
        if (cfg->section[i].index >= 0) return cfg->section[i].index + 1;
    return 0;
}

cfg_section *cfg_append(cfg_file *cfg, const char *name, const char *file, int line)
{
    const section_row *row = cfg_section_row(name);
    int preamble = row && row->kind == SECTION_PREAMBLE;
    cfg_section s = { .name = mem_strdup(row ? row->name : name), .file = mem_strdup(file), .line = line,
                      .index = preamble ? -1 : next_index(cfg) };
    cfg->section = mem_realloc(cfg->section, (size_t)cfg->n + 1, sizeof s);
    cfg->section[cfg->n] = s;
    return &cfg->section[cfg->n++];
}

cfg_section *cfg_append_copy(cfg_file *cfg, const cfg_section *section)
{
    cfg_pair *pair = mem_calloc((size_t)section->n, sizeof *pair);
    for (int i = 0; i < section->n; ++i)
        pair[i] = (cfg_pair){ mem_strdup(section->pair[i].key), mem_strdup(section->pair[i].value),
                              section->pair[i].line };
    int n = section->n;   /* `section` may lie in cfg and move */
    char *name = mem_strdup(section->name), *file = mem_strdup(section->file);
    cfg_section *copy = cfg_append(cfg, name, file, section->line);
    copy->pair = pair;
    copy->n = n;
    free(name);
    free(file);
    return copy;
}

cfg_file *cfg_copy(const cfg_file *cfg)
{
    cfg_file *copy = cfg_new(cfg->path);
    for (int i = 0; i < cfg->n; ++i) cfg_append_copy(copy, &cfg->section[i]);
    return copy;
}

void cfg_rename(cfg_section *section, const char *name)
{
    char *renamed = mem_strdup(name);   /* `name` may be what is replaced */
    free(section->name);
    section->name = renamed;
}

void cfg_set(cfg_section *section, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *value = mem_vprintf(fmt, ap);
    va_end(ap);
    for (int i = 0; i < section->n; ++i)
        if (!strcmp(section->pair[i].key, key)) {
            free(section->pair[i].value);
            section->pair[i].value = value;
            return;
        }
    section->pair = mem_realloc(section->pair, (size_t)section->n + 1, sizeof *section->pair);
    section->pair[section->n++] = (cfg_pair){ mem_strdup(key), value, section->line };
}

void cfg_set_ints(cfg_section *section, const char *key, const int *number, int n)
{
    char *text = mem_calloc((size_t)n + 1, 12), *end = text;
    for (int i = 0; i < n; ++i) end += sprintf(end, "%s%d", i ? "," : "", number[i]);
    cfg_set(section, key, "%s", text);
    free(text);
}

void cfg_unset(cfg_section *section, const char *key)
{
    int kept = 0;
    for (int i = 0; i < section->n; ++i)
        if (strcmp(section->pair[i].key, key)) section->pair[kept++] = section->pair[i];
        else free_pair(&section->pair[i]);
    section->n = kept;
}

const cfg_pair *cfg_find(const cfg_section *section, const char *key)
{
    for (int i = 0; i < section->n; ++i)
        if (!strcmp(section->pair[i].key, key)) return &section->pair[i];
    return NULL;
}

const char *cfg_str(const cfg_section *section, const char *key, const char *def)
{
    const cfg_pair *p = cfg_find(section, key);
    return p ? p->value : def;
}

/* As atoi where that is defined; held within int elsewhere. */
static int to_int(const char *text)
{
    long v = strtol(text, NULL, 10);
    if (v > INT_MAX) return INT_MAX;
    return v < INT_MIN ? INT_MIN : (int)v;
}

int cfg_int(const cfg_section *section, const char *key, int def)
{
    const cfg_pair *p = cfg_find(section, key);
    return p ? to_int(p->value) : def;
}

double cfg_float(const cfg_section *section, const char *key, double def)
{
    const cfg_pair *p = cfg_find(section, key);
    return p ? strtod(p->value, NULL) : def;
}

int cfg_line(const cfg_section *section, const char *key)
{
    const cfg_pair *p = cfg_find(section, key);
    return p && p->line ? p->line : section->line;
}

int cfg_is(const cfg_section *section, const char *name) { return !strcmp(section->name, name); }

int cfg_is_boxes(const cfg_section *section)
{
    return cfg_is(section, "yolo") || cfg_is(section, "Gaussian_yolo") || cfg_is(section, "region");
}

int cfg_classes(const cfg_section *boxes) { return cfg_int(boxes, "classes", CFG_CLASSES); }

static int is_fork_pair(const section_row *row, const cfg_pair *pair)
{
    const key_row *key = cfg_key_row(row, pair->key);
    return key && cfg_is_fork_value(key, pair->value);
}

const cfg_section *cfg_fork_sign(const cfg_file *cfg, const char **what)
{
    for (int i = 0; i < cfg->n; ++i) {
        const cfg_section *section = &cfg->section[i];
        const section_row *row = cfg_section_row(section->name);
        *what = NULL;
        if (cfg_is_fork_section(section->name)) return section;
        for (int k = 0; row && k < section->n; ++k) {
            *what = section->pair[k].key;
            if (is_fork_pair(row, &section->pair[k])) return section;
        }
    }
    *what = NULL;
    return NULL;
}

int cfg_strides(const cfg_section *section, int *x, int *y)
{
    int stride = cfg_int(section, "stride", 1);
    *x = cfg_int(section, "stride_x", 0);
    *y = cfg_int(section, "stride_y", 0);
    if (*x < 1) *x = stride;
    if (*y < 1) *y = stride;
    return *x != *y;
}

int cfg_dilation(const cfg_section *section)
{
    return cfg_int(section, "size", 1) > 1 ? cfg_int(section, "dilation", 1) : 1;
}

int cfg_is_shortcut_sum(const cfg_section *section)
{
    return cfg_is(section, "shortcut") && (strchr(cfg_str(section, "from", ""), ',')
        || strcmp(cfg_str(section, "weights_type", "none"), "none"));
}

static int list_length(const char *text)
{
    int n = 1;
    for (; *text; ++text) n += *text == ',';
    return n;
}

static const char *list_next(const char *text)
{
    const char *comma = strchr(text, ',');
    return comma ? comma + 1 : text + strlen(text);
}

int cfg_ints(const cfg_section *section, const char *key, int **out)
{
    const char *text = cfg_str(section, key, NULL);
    *out = NULL;
    if (!text) return 0;
    int n = list_length(text);
    *out = mem_calloc((size_t)n, sizeof **out);
    for (int i = 0; i < n; ++i, text = list_next(text)) (*out)[i] = to_int(text);
    return n;
}

int cfg_floats(const cfg_section *section, const char *key, float **out)
{
    const char *text = cfg_str(section, key, NULL);
    *out = NULL;
    if (!text) return 0;
    int n = list_length(text);
    *out = mem_calloc((size_t)n, sizeof **out);
    for (int i = 0; i < n; ++i, text = list_next(text)) (*out)[i] = (float)strtod(text, NULL);
    return n;
}

const cfg_section *cfg_first(const cfg_file *cfg, const char *name)
{
    for (int i = 0; i < cfg->n; ++i)
        if (cfg_is(&cfg->section[i], name)) return &cfg->section[i];
    return NULL;
}

const cfg_section *cfg_net(const cfg_file *cfg) { return cfg_first(cfg, "net"); }

const cfg_section *cfg_layer(const cfg_file *cfg, int index)
{
    if (index < 0) return NULL;
    for (int i = index < cfg->n ? index : cfg->n; i < cfg->n; ++i)   /* layer i is never before section i */
        if (cfg->section[i].index == index) return &cfg->section[i];
    return NULL;
}

int cfg_layers(const cfg_file *cfg) { return next_index(cfg); }

int cfg_is_distillation(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i) {
        const section_row *row = cfg_section_row(cfg->section[i].name);
        if (row && (row->kind == SECTION_PLUGIN || (row->kind == SECTION_PREAMBLE && strcmp(row->name, "net"))))
            return 1;
    }
    return 0;
}

char *cfg_text(const cfg_file *cfg, size_t *len)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = mem_stream(&text, &size);
    for (int i = 0; i < cfg->n; ++i) {
        const cfg_section *s = &cfg->section[i];
        fprintf(f, "%s[%s]\n", i ? "\n" : "", s->name);
        for (int k = 0; k < s->n; ++k) fprintf(f, "%s=%s\n", s->pair[k].key, s->pair[k].value);
    }
    mem_stream_end(f);
    if (len) *len = size;
    return text;
}
