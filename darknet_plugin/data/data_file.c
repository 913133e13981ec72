/* Darknet's .data files: "key = value" lines; lines that begin with # or ; are comments, as is what follows a # after
 * white space. Stock Darknet takes any text for a number, the first of two equal keys, and never says that a key is
 * unknown; here each of these is reported with its line. Keys that only other commands read are accepted. */
#include "dataset_internal.h"
#include "darknet_plugin/base/in_file.h"
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
    data_file file;               /* first, so that `at` counts from here too */
    char *names, *labels, *test;
} data_lines;

/* To add a key, add its row; there is nothing else to do. */
static const data_key keys[] = {
    { "classes", NUMBER, offsetof(data_lines, file.classes) },
    { "top", NUMBER, offsetof(data_lines, file.top) },
    { "names", STRING, offsetof(data_lines, names) },
    { "labels", STRING, offsetof(data_lines, labels) },
    { "train", STRING, offsetof(data_lines, file.train) },
    { "valid", STRING, offsetof(data_lines, file.valid) },
    { "test", STRING, offsetof(data_lines, test) },
    { "train_labels", STRING, offsetof(data_lines, file.train_labels) },
    { "valid_labels", STRING, offsetof(data_lines, file.valid_labels) },
    { "unlabelled", STRING, offsetof(data_lines, file.unlabelled) },
    { "format", STRING, offsetof(data_lines, file.format) },
    { "backup", STRING, offsetof(data_lines, file.backup) },
    { "image_cache", STRING, offsetof(data_lines, file.image_cache) },
    { "image_cache_side", NUMBER, offsetof(data_lines, file.image_cache_side) },
    { "eval", OTHERS, 0 }, { "results", OTHERS, 0 }, { "map", OTHERS, 0 }, { "leaves", OTHERS, 0 },
    { "tree", OTHERS, 0 }, { "difficult", OTHERS, 0 }, { "prefix", OTHERS, 0 }, { "hierarchy", OTHERS, 0 },
};
enum { KEYS = sizeof keys / sizeof *keys };

/* What stands behind a mark of byte order, which some editors put before the first line. */
static char *after_mark(char *text, int line)
{
    return line == 1 && !strncmp(text, "\xef\xbb\xbf", 3) ? text + 3 : text;
}

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

/* A number of classes or places, 1 to MAX_CLASSES, to *to. */
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

/* One "key = value" to its place; `seen` has the line of each key met so far. */
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

/* One line, already without its end: a comment, nothing, or a key. */
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
    FILE *in = problem ? NULL : in_file_stream(path, d);
    if (!in) diag_error(d, path, 0, NULL, "cannot be read: %s", problem ? problem : strerror(errno));
    return in;
}

/* All lines; mistakes in them are reported and read past. -1 where the file cannot be read or is no text. */
static int read_lines(data_lines *lines, const char *path, diag *d)
{
    FILE *in = open_text(path, d);
    if (!in) return -1;
    char *text = NULL;
    size_t room = 0;
    int bad = 0, line = 0, seen[KEYS] = { 0 };
    for (ssize_t n; !bad && (n = data_getline(&text, &room, in)) >= 0;) {
        if (memchr(text, 0, (size_t)n) || ++line > MAX_LINES) {
            diag_error(d, path, 0, NULL, "not a .data file: not a text, or too long");
            bad = -1;
        } else {
            read_line(lines, seen, after_mark(text, line), path, line, d);
        }
    }
    if (!bad) bad = data_read_whole(in, path, d);
    free(text);
    fclose(in);
    return bad;
}

/* What is wrong with names, all lines of one kind together. */
typedef struct names_reader {
    char **name;                  /* kept, owned */
    size_t kept, lines, named;    /* up to the last line that holds a name */
    data_flood empty, long_ones;
} names_reader;

/* One line, `classes` of which are kept. */
static void read_name(names_reader *reader, char *text, int classes, const char *path)
{
    char *word = trim(after_mark(text, reader->lines == 0));
    if (*word) reader->named = ++reader->lines;
    else ++reader->lines;
    if (reader->lines > (size_t)classes) return;
    size_t letters = strlen(word);
    if (!letters) data_flood_add(&reader->empty, path, (int)reader->lines, NULL, mem_strdup("empty name"));
    if (letters > MAX_NAME)
        data_flood_add(&reader->long_ones, path, (int)reader->lines, NULL,
                       mem_printf("a name of %zu letters, expected at most %d", letters, MAX_NAME));
    reader->name = mem_realloc(reader->name, reader->kept + 1, sizeof *reader->name);
    reader->name[reader->kept++] = mem_strdup(word);
}

/* All lines. -1 after reporting. */
static int read_name_lines(names_reader *reader, FILE *in, const char *path, int classes, diag *d)
{
    char *text = NULL;
    size_t room = 0;
    int bad = 0;
    for (ssize_t n; !bad && (n = data_getline(&text, &room, in)) >= 0;) {
        if (memchr(text, 0, (size_t)n)) {
            diag_error(d, path, (int)reader->lines + 1, NULL, "not a file of names: not a text");
            bad = -1;
        } else {
            read_name(reader, text, classes, path);
        }
    }
    free(text);
    data_flood_end(&reader->empty, DIAG_ERROR, path, "names are empty", NULL, d);
    data_flood_end(&reader->long_ones, DIAG_ERROR, path, "names are longer than 1000 letters", NULL, d);
    return bad || data_read_whole(in, path, d) ? -1 : 0;
}

/* The first `classes` lines of a names file; NULL after reporting. More of them are an error but where they may be
 * `surplus`: ImageNet's labels= are one file for 1000 and for 21842 classes. Lists look for names at every letter of a
 * path, so their length is limited. */
static char **read_names(const char *path, const char *from, int classes, int surplus, diag *d)
{
    FILE *in = open_text(path, d);
    if (!in) {
        diag_hint(d, "named in %s", from);
        return NULL;
    }
    names_reader reader = { 0 };
    int bad = read_name_lines(&reader, in, path, classes, d);
    fclose(in);
    int right = reader.kept == (size_t)classes && (surplus || reader.named <= (size_t)classes);
    if (!bad && right) return reader.name;
    if (!bad) diag_error(d, path, 0, NULL, "%zu names, but classes=%d in %s", reader.named, classes, from);
    data_free_strings(reader.name, reader.kept);
    return NULL;
}

char **data_names_read(const char *path, const char *from, int classes, diag *d)
{
    return read_names(path, from, classes, 0, d);
}

void data_names_free(char **name, int classes) { data_free_strings(name, name ? (size_t)classes : 0); }

/* The names of classes, and the labels where they are others. */
static void load_names(data_lines *lines, diag *d)
{
    data_file *file = &lines->file;
    const char *value = lines->names ? lines->names : lines->labels;
    if (!value || file->classes < 1) return;
    file->names_path = path_named_in(file->path, value);
    file->name = read_names(file->names_path, file->path, file->classes, !lines->names, d);
    if (!lines->names || !lines->labels || !strcmp(lines->names, lines->labels)) return;
    char *path = path_named_in(file->path, lines->labels);
    file->tag = read_names(path, file->path, file->classes, 1, d);
    free(path);
}

/* What a line alone does not tell: what is missing, and defaults. */
static void check_whole(data_lines *lines, int errors, diag *d)
{
    data_file *file = &lines->file;
    if (!file->classes && diag_errors(d) == errors) {
        diag_error(d, file->path, 0, NULL, "classes= is missing");
        diag_hint(d, "add a line `classes = 10` (the number of classes)");
    }
    if (!file->top) file->top = file->classes < 5 ? file->classes : 5;
    if (file->classes && file->top > file->classes)
        diag_error(d, file->path, 0, NULL, "top=%d is more than classes=%d", file->top, file->classes);
    if (file->image_cache_side && !file->image_cache) {
        diag_error(d, file->path, 0, NULL, "image_cache_side=%d without image_cache=", file->image_cache_side);
        diag_hint(d, "it says how large the images are that an image cache keeps: name one");
    }
    if (!file->backup) file->backup = mem_strdup("backup");
    if (!file->valid && lines->test) file->valid = mem_strdup(lines->test);
}

/* Not every verb opens what the file names, and none may write it. */
static void note_named(const data_file *file, diag *d)
{
    const char *const value[] = { file->train, file->valid, file->train_labels, file->valid_labels,
                                  file->unlabelled };
    for (size_t i = 0; i < sizeof value / sizeof *value; ++i) {
        int n = 0;
        char **name = value[i] ? data_split_commas(value[i], &n) : NULL;
        for (int k = 0; k < n; ++k) {
            char *path = path_named_in(file->path, name[k]);
            in_file_note(path, d);
            free(path);
        }
        data_free_strings(name, (size_t)n);
    }
}

data_file *data_file_read(const char *path, diag *d)
{
    int errors = diag_errors(d);
    data_lines lines = { .file = { .path = mem_strdup(path) } };
    if (!read_lines(&lines, path, d)) {
        check_whole(&lines, errors, d);
        load_names(&lines, d);
        note_named(&lines.file, d);
    }
    free(lines.names);
    free(lines.labels);
    free(lines.test);
    data_file *file = mem_calloc(1, sizeof *file);
    *file = lines.file;
    if (diag_errors(d) == errors) return file;
    data_file_free(file);
    return NULL;
}

void data_file_free(data_file *file)
{
    if (!file) return;
    data_free_strings(file->name, file->name ? (size_t)file->classes : 0);
    data_free_strings(file->tag, file->tag ? (size_t)file->classes : 0);
    char *text[] = { file->path, file->names_path, file->train, file->valid, file->train_labels, file->valid_labels,
                     file->unlabelled, file->format, file->backup, file->image_cache };
    for (size_t i = 0; i < sizeof text / sizeof *text; ++i) free(text[i]);
    free(file);
}

static int same_value(const char *one, const char *other)
{
    return one && other ? !strcmp(one, other) : one == other;
}

int data_file_one_list(const data_file *file)
{
    return file->train && !file->held_out && same_value(file->train, file->valid) &&
           same_value(file->train_labels, file->valid_labels);
}

const char *data_file_class(const data_file *file, int i, char *buf, size_t len)
{
    if (file->name && i < file->classes) return file->name[i];
    snprintf(buf, len, "%d", i);
    return buf;
}
