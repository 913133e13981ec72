/* Reading a cfg: lines to sections, each checked against its row in cfg_keys.c as it comes.
 *
 * A line is read as Darknet reads it: blanks are dropped wherever they stand, '#' and ';' begin a comment line,
 * '[' a section, the first '=' ends the key. Beyond that a value ends at blank + '#', lines may end in CR LF, a
 * byte-order mark is passed over, and texts of our own sections keep the blanks inside them (file names).
 * What Darknet passes over in silence or dies of is an error here; reading goes on, so one run reports all.
 *
 * In stock sections a key no Darknet of this kind knows is a warning, since forks have many; one that looks like a
 * misspelling is an error. Keys of AlexeyAB's that change what is computed are errors, those that do not are named in
 * one line. */
#include "cfg.h"
#include "cfg_keys.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_FILE = 16 << 20, MAX_LINE = 65536, MAX_KEYS = 1000, MAX_SECTIONS = 10000, MAX_ERRORS = 100,
       MAX_WARNINGS = 1000, MAX_CHOICES = 32 };

typedef struct reader {
    cfg_file *cfg;
    diag *d;
    int line;
    const section_row *row;   /* of the section being read; NULL if unknown or none yet */
    int errors, warnings;     /* in `d` when reading began */
    char *elsewhere;          /* keys of another Darknet that were met, owned; NULL = none */
} reader;

static int blank(char text)
{
    return text == ' ' || text == '\t' || text == '\r' || text == '\n' || text == '\v' || text == '\f';
}

/* Drops every blank, as Darknet does. */
static void strip_blanks(char *text)
{
    char *to = text;
    for (; *text; ++text)
        if (!blank(*text)) *to++ = *text;
    *to = 0;
}

static char *trim(char *text)
{
    size_t n = strlen(text);
    while (n && blank(text[n - 1])) text[--n] = 0;
    while (blank(*text)) ++text;
    return text;
}

static void cut_comment(char *text)
{
    for (size_t i = 1; text[i - 1] && text[i]; ++i)
        if (text[i] == '#' && blank(text[i - 1])) text[i] = 0;
}

static cfg_section *current(const reader *reader)
{
    return reader->cfg->n ? &reader->cfg->section[reader->cfg->n - 1] : NULL;
}

/* ---- values ---- */

static int is_whole(const char *text)
{
    if (*text == '-' || *text == '+') ++text;
    size_t digits = strspn(text, "0123456789");
    return digits && !text[digits];
}

/* A plain decimal number; strtod alone would take "nan", "inf" and hexadecimal too. */
static int is_number(const char *text)
{
    char *end;
    if (!*text || text[strspn(text, "0123456789+-.eE")]) return 0;
    (void)strtod(text, &end);
    return !*end && end != text;
}

static int is_list(const key_row *row) { return row->type == KEY_INTS || row->type == KEY_FLOATS; }

static const char *expected(const key_row *row)
{
    switch (row->type) {
    case KEY_INT: return "a whole number";
    case KEY_FLOAT: return "a number";
    case KEY_INTS: return "whole numbers separated by commas";
    default: return "numbers separated by commas";
    }
}

/* What the row allows, as told to someone who gave v. */
static void range_text(const key_row *row, double v, char *out, size_t size)
{
    if (row->min == row->max) snprintf(out, size, "%.10g", row->min);
    else if (row->max >= 2147483647.0 && v < row->min) snprintf(out, size, "at least %.10g", row->min);
    else snprintf(out, size, "%.10g to %.10g", row->min, row->max);
}

static void value_error(reader *reader, const cfg_pair *pair, const key_row *row, const char *what, const char *wanted)
{
    const cfg_section *s = current(reader);
    diag_error(reader->d, s->file, pair->line, s->name, "'%s' is %s, expected %s", pair->key, what, wanted);
    if (row->hint) diag_hint(reader->d, "%s", row->hint);
}

static void malformed(reader *reader, const cfg_pair *pair, const key_row *row)
{
    char *what = mem_printf("'%s'", pair->value);
    char *wanted = mem_printf("%s%s%s%s", expected(row), row->choices ? " or '" : "", row->choices ? row->choices : "",
                              row->choices ? "'" : "");
    value_error(reader, pair, row, what, wanted);
    free(what);
    free(wanted);
}

/* One number of the value, already cut out of its list. 0 = good. */
static int check_number(reader *reader, const cfg_pair *pair, const key_row *row, const char *text)
{
    int whole = row->type == KEY_INT || row->type == KEY_INTS;
    if (whole ? !is_whole(text) : !is_number(text)) {
        malformed(reader, pair, row);
        return -1;
    }
    double v = strtod(text, NULL);
    if (v >= row->min && v <= row->max) return 0;
    char wanted[64];
    range_text(row, v, wanted, sizeof wanted);
    value_error(reader, pair, row, text, wanted);
    return -1;
}

static void check_count(reader *reader, const cfg_pair *pair, const key_row *row, int count)
{
    char wanted[64] = "";
    if (!row->counts || (count < 32 && row->counts >> count & 1)) return;
    for (int i = 0; i < 32; ++i)
        if (row->counts >> i & 1)
            snprintf(wanted + strlen(wanted), sizeof wanted - strlen(wanted), "%s%d", wanted[0] ? " or " : "", i);
    const cfg_section *s = current(reader);
    diag_error(reader->d, s->file, pair->line, s->name, "'%s' has %d numbers, expected %s", pair->key, count, wanted);
}

/* Each number of "1,2,3", and how many there are. */
static void check_list(reader *reader, const cfg_pair *pair, const key_row *row)
{
    char *copy = mem_strdup(pair->value), *rest = copy;
    int n = 0, bad = 0;
    while (rest && !bad) {
        char *item = strsep(&rest, ",");
        bad = check_number(reader, pair, row, item);
        ++n;
    }
    if (!bad) check_count(reader, pair, row, n);
    free(copy);
}

/* A word of the row's; another one is told what there is, and the nearest of it. */
static void check_choice(reader *reader, const cfg_pair *pair, const key_row *row)
{
    if (words_one_of(pair->value, row->choices)) return;
    const char *name[MAX_CHOICES];
    char *copy = mem_strdup(row->choices), *rest = copy, *what = mem_printf("'%s'", pair->value), *list = NULL;
    int words = 0;
    while (rest && words < MAX_CHOICES) {
        name[words] = strsep(&rest, "|");
        words_list(&list, &words, MAX_CHOICES, name[words]);
    }
    char *wanted = mem_printf("one of: %s", list);
    value_error(reader, pair, row, what, wanted);
    const char *near = nearest_name(pair->value, name, words);
    if (near) diag_hint(reader->d, "did you mean '%s'?", near);
    free(wanted);
    free(list);
    free(what);
    free(copy);
}

/* A key that is another Darknet's: it would be another network with it. */
static void refuse_key(reader *reader, const cfg_pair *pair, const key_row *row)
{
    const cfg_section *s = current(reader);
    diag_error(reader->d, s->file, pair->line, s->name, "'%s' is AlexeyAB's", pair->key);
    if (row->hint) diag_hint(reader->d, "%s", row->hint);
}

static void warn_of_value(reader *reader, const cfg_pair *pair, const key_row *row)
{
    const cfg_section *s = current(reader);
    if (row->warn && strtod(pair->value, NULL) != 0)
        diag_warn(reader->d, s->file, pair->line, s->name, "%s=%s: %s", pair->key, pair->value, row->warn);
}

static void check_value(reader *reader, const cfg_pair *pair, const key_row *row)
{
    warn_of_value(reader, pair, row);
    if (row->never) refuse_key(reader, pair, row);
    if (row->type == KEY_STR) return;
    if (row->type == KEY_CHOICE) check_choice(reader, pair, row);
    else if (row->choices && words_one_of(pair->value, row->choices)) return;
    else if (is_list(row)) check_list(reader, pair, row);
    else (void)check_number(reader, pair, row, pair->value);
}

/* ---- keys ---- */

static int of_stock(const reader *reader)
{
    return reader->row->kind == SECTION_STOCK || !strcmp(reader->row->name, "net");
}

static void unknown_key(reader *reader, const char *key)
{
    const cfg_section *s = current(reader);
    const char *near = cfg_nearest_key(reader->row, key);
    if (!near && of_stock(reader)) {
        diag_warn(reader->d, s->file, reader->line, s->name, "key '%.60s' is unknown to this Darknet and ignored", key);
        return;
    }
    diag_error(reader->d, s->file, reader->line, s->name, "unknown key '%.60s'", key);
    if (near) diag_hint(reader->d, "did you mean '%s'?", near);
}

/* The first counts, as in Darknet; OpenCV would take the last. Darknet's own cfgs do this in [net]. */
static void given_twice(reader *reader, const cfg_pair *first)
{
    static const char text[] = "'%s' is given twice, the first on line %d counts";
    const cfg_section *s = current(reader);
    if (cfg_is(s, "net")) diag_warn(reader->d, s->file, reader->line, s->name, text, first->key, first->line);
    else diag_error(reader->d, s->file, reader->line, s->name, text, first->key, first->line);
}

/* Keys that mean nothing here are named once, all together (finish_elsewhere). */
static void note_elsewhere(reader *reader, const char *section, const char *key)
{
    char *name = mem_printf("[%s] %s", section, key);
    const char *said = reader->elsewhere ? strstr(reader->elsewhere, name) : NULL;
    size_t n = strlen(name);
    if (said && (!said[n] || said[n] == ',')) {
        free(name);
        return;
    }
    char *all = reader->elsewhere ? mem_printf("%s, %s", reader->elsewhere, name) : mem_strdup(name);
    free(reader->elsewhere);
    free(name);
    reader->elsewhere = all;
}

static void finish_elsewhere(reader *reader)
{
    if (!reader->elsewhere) return;
    diag_warn(reader->d, reader->cfg->path, 0, NULL,
              "keys that steer training or speed in AlexeyAB's Darknet mean nothing here: %s",
              reader->elsewhere);
    free(reader->elsewhere);
}

static int is_beyond(const key_row *row, const char *value)
{
    return row->elsewhere_above > 0 && is_whole(value) && strtod(value, NULL) > row->elsewhere_above;
}

/* The key just kept goes: the host would take its value for its own. */
static void leave_elsewhere(reader *reader, const char *key)
{
    note_elsewhere(reader, current(reader)->name, key);
    cfg_unset(current(reader), key);
}

/* Keeps a key and its value, whatever is wrong with them, once it is checked. */
static void add_pair(reader *reader, const char *key, const char *value)
{
    cfg_section *s = current(reader);
    const cfg_pair *twin = cfg_find(s, key);
    if (twin) {
        given_twice(reader, twin);
        return;
    }
    if (s->n >= MAX_KEYS) {
        if (s->n == MAX_KEYS) diag_error(reader->d, s->file, reader->line, s->name, "more than %d keys in one section",
                                         MAX_KEYS);
        return;
    }
    s->pair = mem_realloc(s->pair, (size_t)s->n + 1, sizeof *s->pair);
    s->pair[s->n++] = (cfg_pair){ mem_strdup(key), mem_strdup(value), reader->line };
    if (!reader->row) return;
    const key_row *k = cfg_key_row(reader->row, key);
    if (k && k->elsewhere) note_elsewhere(reader, s->name, key);
    else if (k && is_beyond(k, value)) leave_elsewhere(reader, key);
    else if (k) check_value(reader, &s->pair[s->n - 1], k);
    else unknown_key(reader, key);
}

/* A line "key=value". */
static void read_pair(reader *reader, char *text)
{
    cfg_section *s = current(reader);
    char *equals = strchr(text, '=');
    const char *name = s ? s->name : NULL;
    if (!equals) {
        diag_error(reader->d, reader->cfg->path, reader->line, name, "'%.60s' is neither a [section] nor key=value",
                   text);
        return;
    }
    *equals = 0;
    char *value = trim(equals + 1);
    strip_blanks(text);
    const key_row *k = reader->row ? cfg_key_row(reader->row, text) : NULL;
    if (!k || k->type != KEY_STR || of_stock(reader)) strip_blanks(value);
    if (!s) diag_error(reader->d, reader->cfg->path, reader->line, NULL, "'%.60s' stands before any section", text);
    else if (!*text) diag_error(reader->d, reader->cfg->path, reader->line, name, "no key before '='");
    else if (!*value) diag_error(reader->d, reader->cfg->path, reader->line, name, "'%.60s' has no value", text);
    else add_pair(reader, text, value);
}

/* ---- sections ---- */

/* Old names of what another section says. */
static const struct { const char *section, *means, *key[2], *value[2]; } old_names[] = {
    { "route_lhalf", "route", { "groups", "group_id" }, { "2", "0" } },
};

/* The section that has just been read gets the name that is in use today. */
static void rename_section(cfg_section *section)
{
    for (size_t i = 0; i < sizeof old_names / sizeof *old_names; ++i) {
        if (!cfg_is(section, old_names[i].section)) continue;
        free(section->name);
        section->name = mem_strdup(old_names[i].means);
        for (int k = 0; k < 2; ++k) cfg_set(section, old_names[i].key[k], "%s", old_names[i].value[k]);
    }
}

/* What can be said when all keys of the section are there. */
static void finish_section(reader *reader)
{
    const cfg_section *s = current(reader);
    if (!s || !reader->row) return;
    for (const key_row *k = reader->row->keys; k->name; ++k) {
        if (k->required && !cfg_find(s, k->name))
            diag_error(reader->d, s->file, s->line, s->name, "'%s' is missing", k->name);
    }
    rename_section(&reader->cfg->section[reader->cfg->n - 1]);
}

/* [net], [teacher], [teachers] and [augment]: once but the teachers, in their place. */
static void check_preamble(reader *reader, const section_row *row)
{
    const cfg_file *cfg = reader->cfg;
    const cfg_section *twin = strcmp(row->name, "teacher") ? cfg_first(cfg, row->name) : NULL;
    if (twin) {
        diag_error(reader->d, cfg->path, reader->line, row->name, "is given twice, first on line %d", twin->line);
    } else if (cfg->n && !strcmp(row->name, "net")) {
        diag_error(reader->d, cfg->path, reader->line, row->name, "must be the first section");
    } else if (cfg_layers(cfg)) {
        diag_error(reader->d, cfg->path, reader->line, row->name, "must stand before the first layer");
    }
}

/* A line "[section]", which ends the one before. */
static void read_section(reader *reader, char *text)
{
    finish_section(reader);
    strip_blanks(text);
    size_t n = strlen(text);
    if (text[n - 1] == ']') text[n - 1] = 0;
    else diag_error(reader->d, reader->cfg->path, reader->line, NULL, "'%.60s' is not closed by ']'", text);
    const char *name = text + 1;
    reader->row = cfg_section_row(name);
    if (!reader->row) {
        const char *near = cfg_nearest_section(name);
        diag_error(reader->d, reader->cfg->path, reader->line, NULL, "unknown section [%.60s]", name);
        if (near) diag_hint(reader->d, "did you mean [%s]?", near);
    } else if (reader->row->kind == SECTION_PREAMBLE) {
        check_preamble(reader, reader->row);
    }
    if (!reader->cfg->n && (!reader->row || strcmp(reader->row->name, "net")))
        diag_error(reader->d, reader->cfg->path, reader->line, NULL, "the first section must be [net], not [%.60s]",
                   name);
    (void)cfg_append(reader->cfg, name, reader->cfg->path, reader->line);
}

/* ---- lines ---- */

/* A line of the file, which is not changed. */
static void read_line(reader *reader, const char *line, size_t len)
{
    if (len > MAX_LINE) {
        diag_error(reader->d, reader->cfg->path, reader->line, NULL, "line of %zu characters, expected at most %d", len,
                   MAX_LINE);
        return;
    }
    char *copy = mem_calloc(len + 1, 1);
    memcpy(copy, line, len);
    char *text = trim(copy);
    if (*text && *text != '#' && *text != ';') {
        cut_comment(text);
        text = trim(text);
        if (*text == '[') read_section(reader, text);
        else read_pair(reader, text);
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
static const char *too_much(const reader *reader)
{
    if (reader->cfg->n > MAX_SECTIONS) return "more sections than any network has";
    int errors = diag_errors(reader->d) - reader->errors, warnings = diag_warnings(reader->d) - reader->warnings;
    return errors >= MAX_ERRORS || warnings >= MAX_WARNINGS ? "too many mistakes" : NULL;
}

cfg_file *cfg_parse(const char *path, const char *text, size_t len, diag *d)
{
    size_t bad = binary_at(text, len), at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
    if (bad < len) {
        diag_error(d, path, 0, NULL, "not a text file: byte %zu is 0x%02x", bad, (unsigned char)text[bad]);
        return NULL;
    }
    reader reader = { .cfg = cfg_new(path), .d = d, .errors = diag_errors(d), .warnings = diag_warnings(d) };
    while (at < len) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end ? (size_t)(end - (text + at)) : len - at;
        ++reader.line;
        read_line(&reader, text + at, n);
        at += n + 1;
        const char *limit = too_much(&reader);
        if (limit) {
            diag_error(d, path, reader.line, NULL, "%s, the rest is not read", limit);
            break;
        }
    }
    finish_section(&reader);
    finish_elsewhere(&reader);
    if (!reader.cfg->n) {
        diag_error(d, path, 0, NULL, "no sections in it");
        diag_hint(d, "a cfg begins with [net]; a .data file is named before it");
    }
    return reader.cfg;
}

static char *read_all(FILE *file, size_t *len)
{
    char *text = NULL;
    size_t n = 0, room = 0, got;
    do {
        if (n + 65536 > room) text = mem_realloc(text, room = 2 * room + 65536, 1);
        n += got = fread(text + n, 1, 65536, file);
    } while (got && n <= MAX_FILE);
    *len = n;
    return text;
}

cfg_file *cfg_read(const char *path, diag *d)
{
    FILE *f = in_file_stream(path, d);
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
