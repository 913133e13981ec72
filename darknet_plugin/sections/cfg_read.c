/* Reading a cfg: lines to sections, each checked against its row in cfg_keys.c as it comes.
 *
 * A line is read as Darknet reads it: blanks are dropped wherever they stand, '#' and ';' begin a comment line,
 * '[' a section, the first '=' ends the key. Beyond that a value ends at blank + '#', lines may end in CR LF, a
 * byte-order mark is passed over, and texts of our own sections keep the blanks inside them (file names).
 * What Darknet passes over in silence or dies of is an error here; reading goes on, so one run reports all.
 *
 * In stock sections a key no Darknet of this kind knows is a warning, since forks have many; one that looks like a
 * misspelling is an error. */
#include "cfg.h"
#include "cfg_keys.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 16 << 20, MAX_LINE = 65536, MAX_KEYS = 1000, MAX_SECTIONS = 10000, MAX_ERRORS = 100, MAX_WARNINGS = 1000, MAX_CHOICES = 32 };

typedef struct reader {
    cfg_file *c;
    diag *d;
    int line;
    const section_row *row;   /* of the section being read; NULL if unknown or none yet */
    int errors, warnings;     /* in `d` when reading began */
    char *elsewhere;          /* keys of another Darknet that were met, owned; NULL = none */
} reader;

static int blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'; }

/* Drops every blank, as Darknet does. */
static void strip_blanks(char *s)
{
    char *to = s;
    for (; *s; ++s)
        if (!blank(*s)) *to++ = *s;
    *to = 0;
}

static char *trim(char *s)
{
    size_t n = strlen(s);
    while (n && blank(s[n - 1])) s[--n] = 0;
    while (blank(*s)) ++s;
    return s;
}

static void cut_comment(char *s)
{
    for (size_t i = 1; s[i - 1] && s[i]; ++i)
        if (s[i] == '#' && blank(s[i - 1])) s[i] = 0;
}

static cfg_section *current(const reader *r) { return r->c->n ? &r->c->section[r->c->n - 1] : NULL; }

/* ---- values ---- */

static int is_whole(const char *s)
{
    if (*s == '-' || *s == '+') ++s;
    size_t digits = strspn(s, "0123456789");
    return digits && !s[digits];
}

/* A plain decimal number; strtod alone would take "nan", "inf" and hexadecimal too. */
static int is_number(const char *s)
{
    char *end;
    if (!*s || s[strspn(s, "0123456789+-.eE")]) return 0;
    (void)strtod(s, &end);
    return !*end && end != s;
}

static int one_of(const char *word, const char *choices)
{
    size_t n = strlen(word);
    for (const char *p = choices; n && p; p = strchr(p, '|') ? strchr(p, '|') + 1 : NULL)
        if (!strncmp(p, word, n) && (p[n] == '|' || !p[n])) return 1;
    return 0;
}

static int is_list(const key_row *k) { return k->type == KEY_INTS || k->type == KEY_FLOATS; }

static const char *expected(const key_row *k)
{
    switch (k->type) {
    case KEY_INT: return "a whole number";
    case KEY_FLOAT: return "a number";
    case KEY_INTS: return "whole numbers separated by commas";
    default: return "numbers separated by commas";
    }
}

/* What the row allows, as told to someone who gave v. */
static void range_text(const key_row *k, double v, char *out, size_t size)
{
    if (k->min == k->max) snprintf(out, size, "%.10g", k->min);
    else if (k->max >= 2147483647.0 && v < k->min) snprintf(out, size, "at least %.10g", k->min);
    else snprintf(out, size, "%.10g to %.10g", k->min, k->max);
}

static void value_error(reader *r, const cfg_pair *p, const key_row *k, const char *what, const char *wanted)
{
    const cfg_section *s = current(r);
    diag_error(r->d, s->file, p->line, s->name, "'%s' is %s, expected %s", p->key, what, wanted);
    if (k->hint) diag_hint(r->d, "%s", k->hint);
}

static void malformed(reader *r, const cfg_pair *p, const key_row *k)
{
    char *what = mem_printf("'%s'", p->value);
    char *wanted = mem_printf("%s%s%s%s", expected(k), k->choices ? " or '" : "", k->choices ? k->choices : "",
                              k->choices ? "'" : "");
    value_error(r, p, k, what, wanted);
    free(what);
    free(wanted);
}

/* One number of the value, already cut out of its list. 0 = good. */
static int check_number(reader *r, const cfg_pair *p, const key_row *k, const char *text)
{
    int whole = k->type == KEY_INT || k->type == KEY_INTS;
    if (whole ? !is_whole(text) : !is_number(text)) {
        malformed(r, p, k);
        return -1;
    }
    double v = strtod(text, NULL);
    if (v >= k->min && v <= k->max) return 0;
    char wanted[64];
    range_text(k, v, wanted, sizeof wanted);
    value_error(r, p, k, text, wanted);
    return -1;
}

static void check_count(reader *r, const cfg_pair *p, const key_row *k, int n)
{
    char wanted[64] = "";
    if (!k->counts || (n < 32 && k->counts >> n & 1)) return;
    for (int i = 0; i < 32; ++i)
        if (k->counts >> i & 1)
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%d", wanted[0] ? " or " : "", i);
    const cfg_section *s = current(r);
    diag_error(r->d, s->file, p->line, s->name, "'%s' has %d numbers, expected %s", p->key, n, wanted);
}

static void check_list(reader *r, const cfg_pair *p, const key_row *k)
{
    char *copy = mem_strdup(p->value), *rest = copy;
    int n = 0, bad = 0;
    while (rest && !bad) {
        char *item = strsep(&rest, ",");
        bad = check_number(r, p, k, item);
        ++n;
    }
    if (!bad) check_count(r, p, k, n);
    free(copy);
}

static void check_choice(reader *r, const cfg_pair *p, const key_row *k)
{
    if (one_of(p->value, k->choices)) return;
    const char *name[MAX_CHOICES];
    char *copy = mem_strdup(k->choices), *rest = copy, *what = mem_printf("'%s'", p->value), wanted[512] = "one of: ";
    int n = 0;
    while (rest && n < MAX_CHOICES) {
        size_t at = strlen(wanted);
        name[n] = strsep(&rest, "|");
        snprintf(wanted + at, sizeof wanted - at, "%s%s", n ? ", " : "", name[n]);
        ++n;
    }
    value_error(r, p, k, what, wanted);
    const char *near = nearest_name(p->value, name, n);
    if (near) diag_hint(r->d, "did you mean '%s'?", near);
    free(what);
    free(copy);
}

static void check_value(reader *r, const cfg_pair *p, const key_row *k)
{
    if (k->type == KEY_STR) return;
    if (k->type == KEY_CHOICE) check_choice(r, p, k);
    else if (k->choices && one_of(p->value, k->choices)) return;
    else if (is_list(k)) check_list(r, p, k);
    else (void)check_number(r, p, k, p->value);
}

/* ---- keys ---- */

static int of_stock(const reader *r)
{
    return r->row->kind == SECTION_STOCK || !strcmp(r->row->name, "net");
}

static void unknown_key(reader *r, const char *key)
{
    const cfg_section *s = current(r);
    const char *near = cfg_nearest_key(r->row, key);
    if (!near && of_stock(r)) {
        diag_warn(r->d, s->file, r->line, s->name, "key '%.60s' is unknown to this Darknet and ignored", key);
        return;
    }
    diag_error(r->d, s->file, r->line, s->name, "unknown key '%.60s'", key);
    if (near) diag_hint(r->d, "did you mean '%s'?", near);
}

/* The first counts, as in Darknet; OpenCV would take the last. Darknet's own cfgs do this in [net]. */
static void given_twice(reader *r, const cfg_pair *first)
{
    static const char text[] = "'%s' is given twice, the first on line %d counts";
    const cfg_section *s = current(r);
    if (cfg_is(s, "net")) diag_warn(r->d, s->file, r->line, s->name, text, first->key, first->line);
    else diag_error(r->d, s->file, r->line, s->name, text, first->key, first->line);
}

/* Keys that mean nothing here are named once, all together (finish_elsewhere). */
static void note_elsewhere(reader *r, const char *section, const char *key)
{
    char *name = mem_printf("[%s] %s", section, key), *said = r->elsewhere ? strstr(r->elsewhere, name) : NULL;
    size_t n = strlen(name);
    if (said && (!said[n] || said[n] == ',')) {
        free(name);
        return;
    }
    char *all = r->elsewhere ? mem_printf("%s, %s", r->elsewhere, name) : mem_strdup(name);
    free(r->elsewhere);
    free(name);
    r->elsewhere = all;
}

static void finish_elsewhere(reader *r)
{
    if (!r->elsewhere) return;
    diag_warn(r->d, r->c->path, 0, NULL, "keys that steer training or box suppression in AlexeyAB's Darknet mean nothing here: %s", r->elsewhere);
    free(r->elsewhere);
}

static void add_pair(reader *r, const char *key, const char *value)
{
    cfg_section *s = current(r);
    const cfg_pair *twin = cfg_find(s, key);
    if (twin) {
        given_twice(r, twin);
        return;
    }
    if (s->n >= MAX_KEYS) {
        if (s->n == MAX_KEYS) diag_error(r->d, s->file, r->line, s->name, "more than %d keys in one section", MAX_KEYS);
        return;
    }
    s->pair = mem_realloc(s->pair, (size_t)s->n + 1, sizeof *s->pair);
    s->pair[s->n++] = (cfg_pair){ mem_strdup(key), mem_strdup(value), r->line };
    if (!r->row) return;
    const key_row *k = cfg_key_row(r->row, key);
    if (k && k->elsewhere) note_elsewhere(r, s->name, key);
    else if (k) check_value(r, &s->pair[s->n - 1], k);
    else unknown_key(r, key);
}

static void read_pair(reader *r, char *text)
{
    cfg_section *s = current(r);
    char *equals = strchr(text, '=');
    const char *name = s ? s->name : NULL;
    if (!equals) {
        diag_error(r->d, r->c->path, r->line, name, "'%.60s' is neither a [section] nor key=value", text);
        return;
    }
    *equals = 0;
    char *value = trim(equals + 1);
    strip_blanks(text);
    const key_row *k = r->row ? cfg_key_row(r->row, text) : NULL;
    if (!k || k->type != KEY_STR || of_stock(r)) strip_blanks(value);
    if (!s) diag_error(r->d, r->c->path, r->line, NULL, "'%.60s' stands before any section", text);
    else if (!*text) diag_error(r->d, r->c->path, r->line, name, "no key before '='");
    else if (!*value) diag_error(r->d, r->c->path, r->line, name, "'%.60s' has no value", text);
    else add_pair(r, text, value);
}

/* ---- sections ---- */

static void finish_section(reader *r)
{
    const cfg_section *s = current(r);
    if (!s || !r->row) return;
    for (const key_row *k = r->row->keys; k->name; ++k)
        if (k->required && !cfg_find(s, k->name))
            diag_error(r->d, s->file, s->line, s->name, "'%s' is missing", k->name);
}

static void check_preamble(reader *r, const section_row *row)
{
    const cfg_file *c = r->c;
    const cfg_section *twin = strcmp(row->name, "teacher") ? cfg_first(c, row->name) : NULL;
    if (twin) {
        diag_error(r->d, c->path, r->line, row->name, "is given twice, first on line %d", twin->line);
    } else if (c->n && !strcmp(row->name, "net")) {
        diag_error(r->d, c->path, r->line, row->name, "must be the first section");
    } else if (cfg_layers(c)) {
        diag_error(r->d, c->path, r->line, row->name, "must stand before the first layer");
    }
}

static void read_section(reader *r, char *text)
{
    finish_section(r);
    strip_blanks(text);
    size_t n = strlen(text);
    if (text[n - 1] == ']') text[n - 1] = 0;
    else diag_error(r->d, r->c->path, r->line, NULL, "'%.60s' is not closed by ']'", text);
    const char *name = text + 1;
    r->row = cfg_section_row(name);
    if (!r->row) {
        const char *near = cfg_nearest_section(name);
        diag_error(r->d, r->c->path, r->line, NULL, "unknown section [%.60s]", name);
        if (near) diag_hint(r->d, "did you mean [%s]?", near);
    } else if (r->row->kind == SECTION_PREAMBLE) {
        check_preamble(r, r->row);
    }
    if (!r->c->n && (!r->row || strcmp(r->row->name, "net")))
        diag_error(r->d, r->c->path, r->line, NULL, "the first section must be [net], not [%.60s]", name);
    (void)cfg_append(r->c, name, r->c->path, r->line);
}

/* ---- lines ---- */

static void read_line(reader *r, const char *line, size_t len)
{
    if (len > MAX_LINE) {
        diag_error(r->d, r->c->path, r->line, NULL, "line of %zu characters, expected at most %d", len, MAX_LINE);
        return;
    }
    char *copy = mem_calloc(len + 1, 1);
    memcpy(copy, line, len);
    char *text = trim(copy);
    if (*text && *text != '#' && *text != ';') {
        cut_comment(text);
        text = trim(text);
        if (*text == '[') read_section(r, text);
        else read_pair(r, text);
    }
    free(copy);
}

/* The first byte that no text has; `len` if there is none. */
static size_t binary_at(const char *text, size_t len)
{
    size_t i = 0;
    while (i < len && ((unsigned char)text[i] >= 32 || blank(text[i]))) ++i;
    return i;
}

/* Why reading ends here, NULL if it need not: what follows takes time with the square of these. */
static const char *too_much(const reader *r)
{
    if (r->c->n > MAX_SECTIONS) return "more sections than any network has";
    return diag_errors(r->d) - r->errors >= MAX_ERRORS || diag_warnings(r->d) - r->warnings >= MAX_WARNINGS ? "too many mistakes" : NULL;
}

cfg_file *cfg_parse(const char *path, const char *text, size_t len, diag *d)
{
    size_t bad = binary_at(text, len), at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    if (bad < len) {
        diag_error(d, path, 0, NULL, "not a text file: byte %zu is 0x%02x", bad, (unsigned char)text[bad]);
        return NULL;
    }
    reader r = { .c = cfg_new(path), .d = d, .errors = diag_errors(d), .warnings = diag_warnings(d) };
    while (at < len) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - (text + at)) : len - at;
        ++r.line;
        read_line(&r, text + at, n);
        at += n + 1;
        const char *limit = too_much(&r);
        if (limit) {
            diag_error(d, path, r.line, NULL, "%s, the rest is not read", limit);
            break;
        }
    }
    finish_section(&r);
    finish_elsewhere(&r);
    if (!r.c->n) diag_error(d, path, 0, NULL, "no sections in it");
    return r.c;
}

static char *read_all(FILE *f, size_t *len)
{
    char *text = NULL;
    size_t n = 0, room = 0, got;
    do {
        if (n + 65536 > room) text = mem_realloc(text, room = 2 * room + 65536, 1);
        n += got = fread(text + n, 1, 65536, f);
    } while (got && n <= MAX_FILE);
    *len = n;
    return text;
}

cfg_file *cfg_read(const char *path, diag *d)
{
    FILE *f = fopen(path, "rb");
    size_t len = 0;
    char *text = f ? read_all(f, &len) : NULL;
    cfg_file *c = NULL;
    if (!f || ferror(f)) diag_error(d, path, 0, NULL, "cannot read the cfg: %s", strerror(errno));
    else if (len > MAX_FILE) diag_error(d, path, 0, NULL, "larger than %d MB, this is no cfg", MAX_FILE >> 20);
    else c = cfg_parse(path, text, len, d);
    if (f) fclose(f);
    free(text);
    return c;
}
