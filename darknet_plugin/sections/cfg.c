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
    cfg_file *c = mem_calloc(1, sizeof *c);
    c->path = mem_strdup(path);
    return c;
}

static void free_pair(cfg_pair *p)
{
    free(p->key);
    free(p->value);
}

static void free_section_of(cfg_section *s)
{
    for (int i = 0; i < s->n; ++i) free_pair(&s->pair[i]);
    free(s->pair);
    free(s->name);
    free(s->file);
}

void cfg_free(cfg_file *c)
{
    if (!c) return;
    for (int i = 0; i < c->n; ++i) free_section_of(&c->section[i]);
    free(c->section);
    free(c->path);
    free(c);
}

/* Number of the next layer: one more than the last that has one. */
static int next_index(const cfg_file *c)
{
    for (int i = c->n - 1; i >= 0; --i)
        if (c->section[i].index >= 0) return c->section[i].index + 1;
    return 0;
}

cfg_section *cfg_append(cfg_file *c, const char *name, const char *file, int line)
{
    const section_row *row = cfg_section_row(name);
    int preamble = row && row->kind == SECTION_PREAMBLE;
    cfg_section s = { .name = mem_strdup(row ? row->name : name), .file = mem_strdup(file), .line = line,
                      .index = preamble ? -1 : next_index(c) };
    c->section = mem_realloc(c->section, (size_t)c->n + 1, sizeof s);
    c->section[c->n] = s;
    return &c->section[c->n++];
}

cfg_section *cfg_append_copy(cfg_file *c, const cfg_section *s)
{
    cfg_pair *pair = mem_calloc((size_t)s->n, sizeof *pair);
    for (int i = 0; i < s->n; ++i)
        pair[i] = (cfg_pair){ mem_strdup(s->pair[i].key), mem_strdup(s->pair[i].value), s->pair[i].line };
    int n = s->n;   /* `s` may lie in c and move */
    char *name = mem_strdup(s->name), *file = mem_strdup(s->file);
    cfg_section *copy = cfg_append(c, name, file, s->line);
    copy->pair = pair;
    copy->n = n;
    free(name);
    free(file);
    return copy;
}

void cfg_set(cfg_section *s, const char *key, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *value = mem_vprintf(fmt, ap);
    va_end(ap);
    for (int i = 0; i < s->n; ++i)
        if (!strcmp(s->pair[i].key, key)) {
            free(s->pair[i].value);
            s->pair[i].value = value;
            return;
        }
    s->pair = mem_realloc(s->pair, (size_t)s->n + 1, sizeof *s->pair);
    s->pair[s->n++] = (cfg_pair){ mem_strdup(key), value, s->line };
}

void cfg_set_ints(cfg_section *section, const char *key, const int *number, int n)
{
    char *text = mem_calloc((size_t)n + 1, 12), *end = text;
    for (int i = 0; i < n; ++i) end += sprintf(end, "%s%d", i ? "," : "", number[i]);
    cfg_set(section, key, "%s", text);
    free(text);
}

void cfg_unset(cfg_section *s, const char *key)
{
    int kept = 0;
    for (int i = 0; i < s->n; ++i)
        if (strcmp(s->pair[i].key, key)) s->pair[kept++] = s->pair[i];
        else free_pair(&s->pair[i]);
    s->n = kept;
}

const cfg_pair *cfg_find(const cfg_section *s, const char *key)
{
    for (int i = 0; i < s->n; ++i)
        if (!strcmp(s->pair[i].key, key)) return &s->pair[i];
    return NULL;
}

const char *cfg_str(const cfg_section *s, const char *key, const char *def)
{
    const cfg_pair *p = cfg_find(s, key);
    return p ? p->value : def;
}

/* As atoi where that is defined; held within int elsewhere. */
static int to_int(const char *text)
{
    long v = strtol(text, NULL, 10);
    return v > INT_MAX ? INT_MAX : v < INT_MIN ? INT_MIN : (int)v;
}

int cfg_int(const cfg_section *s, const char *key, int def)
{
    const cfg_pair *p = cfg_find(s, key);
    return p ? to_int(p->value) : def;
}

double cfg_float(const cfg_section *s, const char *key, double def)
{
    const cfg_pair *p = cfg_find(s, key);
    return p ? strtod(p->value, NULL) : def;
}

int cfg_line(const cfg_section *s, const char *key)
{
    const cfg_pair *p = cfg_find(s, key);
    return p && p->line ? p->line : s->line;
}

int cfg_is(const cfg_section *s, const char *name) { return !strcmp(s->name, name); }

static int list_length(const char *text)
{
    int n = 1;
    for (; *text; ++text) n += *text == ',';
    return n;
}

int cfg_is_boxes(const cfg_section *section) { return cfg_is(section, "yolo") || cfg_is(section, "region"); }

static const char *list_next(const char *text)
{
    const char *comma = strchr(text, ',');
    return comma ? comma + 1 : text + strlen(text);
}

int cfg_ints(const cfg_section *s, const char *key, int **out)
{
    const char *text = cfg_str(s, key, NULL);
    *out = NULL;
    if (!text) return 0;
    int n = list_length(text);
    *out = mem_calloc((size_t)n, sizeof **out);
    for (int i = 0; i < n; ++i, text = list_next(text)) (*out)[i] = to_int(text);
    return n;
}

int cfg_floats(const cfg_section *s, const char *key, float **out)
{
    const char *text = cfg_str(s, key, NULL);
    *out = NULL;
    if (!text) return 0;
    int n = list_length(text);
    *out = mem_calloc((size_t)n, sizeof **out);
    for (int i = 0; i < n; ++i, text = list_next(text)) (*out)[i] = (float)strtod(text, NULL);
    return n;
}

const cfg_section *cfg_first(const cfg_file *c, const char *name)
{
    for (int i = 0; i < c->n; ++i)
        if (cfg_is(&c->section[i], name)) return &c->section[i];
    return NULL;
}

const cfg_section *cfg_net(const cfg_file *c) { return cfg_first(c, "net"); }

const cfg_section *cfg_layer(const cfg_file *c, int index)
{
    if (index < 0) return NULL;
    for (int i = index < c->n ? index : c->n; i < c->n; ++i)   /* layer i is never before section i */
        if (c->section[i].index == index) return &c->section[i];
    return NULL;
}

int cfg_layers(const cfg_file *c) { return next_index(c); }

int cfg_is_distillation(const cfg_file *c)
{
    for (int i = 0; i < c->n; ++i) {
        const section_row *row = cfg_section_row(c->section[i].name);
        if (row && (row->kind == SECTION_PLUGIN || (row->kind == SECTION_PREAMBLE && strcmp(row->name, "net")))) return 1;
    }
    return 0;
}

char *cfg_text(const cfg_file *c, size_t *len)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = mem_stream(&text, &size);
    for (int i = 0; i < c->n; ++i) {
        const cfg_section *s = &c->section[i];
        fprintf(f, "%s[%s]\n", i ? "\n" : "", s->name);
        for (int k = 0; k < s->n; ++k) fprintf(f, "%s=%s\n", s->pair[k].key, s->pair[k].value);
    }
    mem_stream_end(f);
    if (len) *len = size;
    return text;
}
