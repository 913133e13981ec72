/* Darknet's .data files: "key = value" lines; lines that begin with # or ; are comments, as is what follows a # after
 * white space. Stock Darknet takes any text for a number, the first of two equal keys, and never says that a key is
 * unknown; here each of these is reported with its line. Keys that only other commands read are accepted. */
#include "darknet_plugin/sections/cfg_keys.h"
#include "dataset_internal.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/words.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_CLASSES = 1000000, MAX_LINES = 10000, MAX_NAME = 1000 };

/* What a value becomes: a number at `at`, a string at `at`, or nothing (read by other commands). */
typedef struct data_key {
    const char *name;
    enum { NUMBER, STRING, OTHERS } type;
    size_t at;
} data_key;

typedef struct data_lines {
    data_file f;                  /* first, so that `at` counts from here too */
    char *names, *labels, *test;
} data_lines;

/* To add a key, add its row; there is nothing else to do. */
static const data_key keys[] = {
    { "classes", NUMBER, offsetof(data_lines, f.classes) },
    { "top", NUMBER, offsetof(data_lines, f.top) },
    { "names", STRING, offsetof(data_lines, names) },
    { "labels", STRING, offsetof(data_lines, labels) },
    { "train", STRING, offsetof(data_lines, f.train) },
    { "valid", STRING, offsetof(data_lines, f.valid) },
    { "test", STRING, offsetof(data_lines, test) },
    { "train_labels", STRING, offsetof(data_lines, f.train_labels) },
    { "valid_labels", STRING, offsetof(data_lines, f.valid_labels) },
    { "format", STRING, offsetof(data_lines, f.format) },
    { "backup", STRING, offsetof(data_lines, f.backup) },
    { "eval", OTHERS, 0 }, { "results", OTHERS, 0 }, { "map", OTHERS, 0 }, { "leaves", OTHERS, 0 },
    { "tree", OTHERS, 0 }, { "difficult", OTHERS, 0 }, { "prefix", OTHERS, 0 }, { "hierarchy", OTHERS, 0 },
};
enum { KEYS = sizeof keys / sizeof *keys };

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) ++text;
    size_t n = strlen(text);
    while (n && isspace((unsigned char)text[n - 1])) text[--n] = 0;
    return text;
}

/* Cuts a comment off: a whole line's, or # after white space. */
static void strip_comment(char *line)
{
    if (line[0] == '#' || line[0] == ';') line[0] = 0;
    for (char *p = line; *p; ++p)
        if (p > line && *p == '#' && isspace((unsigned char)p[-1])) *p = 0;
}

static int find_key(const char *name)
{
    for (int i = 0; i < KEYS; ++i)
        if (!strcmp(keys[i].name, name)) return i;
    return -1;
}

static int set_number(int *to, const char *key, const char *value, const char *path, int line, diag *d)
{
    char *end;
    errno = 0;
    long n = strtol(value, &end, 10);
    if (errno || end == value || *end || n < 1 || n > MAX_CLASSES) {
        diag_error(d, path, line, NULL, "%s=%s is not a whole number from 1 to %d", key, value, MAX_CLASSES);
        return -1;
    }
    *to = (int)n;
    return 0;
}

static int unknown_key(const char *name, const char *path, int line, diag *d)
{
    const char *known[KEYS];
    for (int i = 0; i < KEYS; ++i) known[i] = keys[i].name;
    diag_warn(d, path, line, NULL, "unknown key \"%s\"", name);
    const char *near = nearest_name(name, known, KEYS);
    if (near) diag_hint(d, "did you mean \"%s\"?", near);
    return 0;
}

static int set_key(data_lines *lines, int *seen, const char *name, const char *value, const char *path, int line,
                   diag *d)
{
    int i = find_key(name);
    if (i < 0) return unknown_key(name, path, line, d);
    if (seen[i]) {
        diag_error(d, path, line, NULL, "%s= stands twice, first in line %d", name, seen[i]);
        return -1;
    }
    seen[i] = line;
    void *at = (char *)lines + keys[i].at;
    if (keys[i].type == OTHERS) return 0;
    if (!*value) {
        diag_error(d, path, line, NULL, "%s= has no value", name);
        return -1;
    }
    if (keys[i].type == NUMBER) return set_number(at, name, value, path, line, d);
    *(char **)at = mem_strdup(value);
    return 0;
}

static int read_line(data_lines *lines, int *seen, char *text, const char *path, int line, diag *d)
{
    text = trim(text);
    strip_comment(text);
    if (!*text) return 0;
    char *equals = strchr(text, '=');
    if (!equals || equals == text) {
        diag_error(d, path, line, NULL, "expected \"key = value\", not \"%.60s\"", text);
        return -1;
    }
    *equals = 0;
    return set_key(lines, seen, trim(text), trim(equals + 1), path, line, d);
}

static FILE *open_text(const char *path, diag *d)
{
    const char *problem = path_problem(path);
    FILE *in = problem ? NULL : fopen(path, "r");
    if (!in) diag_error(d, path, 0, NULL, "cannot be read: %s", problem ? problem : strerror(errno));
    return in;
}

static int read_lines(data_lines *lines, const char *path, diag *d)
{
    FILE *in = open_text(path, d);
    if (!in) return -1;
    char *text = NULL;
    size_t room = 0;
    int bad = 0, line = 0, seen[KEYS] = { 0 };
    for (ssize_t n; !bad && (n = mem_getline(&text, &room, in)) >= 0;) {
        if (memchr(text, 0, (size_t)n) || ++line > MAX_LINES) {
            diag_error(d, path, 0, NULL, "not a .data file: not a text, or too long");
            bad = -1;
        } else {
            read_line(lines, seen, text, path, line, d);
        }
    }
    if (!bad) bad = data_read_whole(in, path, d);
    free(text);
    fclose(in);
    return bad;
}

/* The first `classes` lines of a names file; NULL after reporting. Lists look for names at every letter of a path, so
 * their length is limited. */
static char **read_names(const char *path, const char *from, int classes, diag *d)
{
    FILE *in = open_text(path, d);
    if (!in) {
        diag_hint(d, "named in %s", from);
        return NULL;
    }
    char *text = NULL, **name = NULL;
    size_t room = 0, lines = 0, kept = 0;
    while (mem_getline(&text, &room, in) >= 0) {
        char *s = trim(text);
        ++lines;
        if (lines > (size_t)classes) continue;
        if (!*s) diag_error(d, path, (int)lines, NULL, "empty name");
        if (strlen(s) > MAX_NAME) diag_error(d, path, (int)lines, NULL, "a name of %zu letters, expected at most %d",
                                             strlen(s), MAX_NAME);
        name = mem_realloc(name, kept + 1, sizeof *name);
        name[kept++] = mem_strdup(s);
    }
    int bad = data_read_whole(in, path, d);
    free(text);
    fclose(in);
    if (kept == (size_t)classes && !bad) return name;
    if (!bad) diag_error(d, path, 0, NULL, "%zu names, but classes=%d in %s", lines, classes, from);
    data_free_strings(name, kept);
    return NULL;
}

static void load_names(data_lines *lines, diag *d)
{
    data_file *f = &lines->f;
    const char *value = lines->names ? lines->names : lines->labels;
    if (!value || f->classes < 1) return;
    f->names_path = path_named_in(f->path, value);
    f->name = read_names(f->names_path, f->path, f->classes, d);
    if (!lines->names || !lines->labels || !strcmp(lines->names, lines->labels)) return;
    char *path = path_named_in(f->path, lines->labels);
    f->tag = read_names(path, f->path, f->classes, d);
    free(path);
}

static void check_whole(data_lines *lines, int errors, diag *d)
{
    data_file *f = &lines->f;
    if (!f->classes && diag_errors(d) == errors) {
        diag_error(d, f->path, 0, NULL, "classes= is missing");
        diag_hint(d, "add a line `classes = 10` (the number of classes)");
    }
    if (!f->top) f->top = f->classes < 5 ? f->classes : 5;
    if (f->classes && f->top > f->classes)
        diag_error(d, f->path, 0, NULL, "top=%d is more than classes=%d", f->top, f->classes);
    if (!f->backup) f->backup = mem_strdup("backup");
    if (!f->valid && lines->test) f->valid = mem_strdup(lines->test);
}

data_file *data_file_read(const char *path, diag *d)
{
    int errors = diag_errors(d);
    data_lines t = { .f = { .path = mem_strdup(path) } };
    if (!read_lines(&t, path, d)) {
        check_whole(&t, errors, d);
        load_names(&t, d);
    }
    free(t.names);
    free(t.labels);
    free(t.test);
    data_file *f = mem_calloc(1, sizeof *f);
    *f = t.f;
    if (diag_errors(d) == errors) return f;
    data_file_free(f);
    return NULL;
}

void data_file_free(data_file *file)
{
    if (!file) return;
    data_free_strings(file->name, file->name ? (size_t)file->classes : 0);
    data_free_strings(file->tag, file->tag ? (size_t)file->classes : 0);
    char *text[] = { file->path, file->names_path, file->train, file->valid, file->train_labels, file->valid_labels,
                     file->format, file->backup };
    for (size_t i = 0; i < sizeof text / sizeof *text; ++i) free(text[i]);
    free(file);
}

const char *data_file_class(const data_file *file, int i, char *buf, size_t len)
{
    if (file->name && i < file->classes) return file->name[i];
    snprintf(buf, len, "%d", i);
    return buf;
}
