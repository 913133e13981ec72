/* Darknet's image lists: a path a line, looked up as it stands, then relative to the list's folder.
 *
 * A line may end on a class: a label's name, or a number in range; whatever else follows a space is part of the path.
 * Without one Darknet's rule holds, the class whose label is a substring of the path as written; but where Darknet
 * takes none, or several, for an answer ("man" in "woman", "train" in ".../train/..."), that is an error here.
 * A detector's line is a path, whatever it holds. */
#include "dataset_internal.h"
#include "image_io.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { UNKNOWN = -1, AMBIGUOUS = -2, SHOWN = 10 };

typedef struct named_class {
    const char *name;            /* borrowed from the data_file */
    int class;
} named_class;

/* How often something was wrong; the first SHOWN are reported one by one. */
typedef struct complaints {
    size_t missing, classless;
} complaints;

typedef struct list_reader list_reader;

struct list_reader {
    dataset *s;
    void (*entry)(list_reader *reader, char *text, int line);   /* adds a line's image */
    const data_request *q;
    const char *list;            /* the file being read, borrowed */
    diag *d;
    named_class *known;          /* every name of a class, sorted, owned */
    named_class *label;          /* what the substring rule looks for, sorted, owned */
    size_t knowns, labels;
    complaints bad;
};

static int by_name(const void *a, const void *b)
{
    const named_class *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : x->class - y->class;
}

static void sort_names(list_reader *reader)
{
    const data_file *f = reader->q->f;
    char *const *label = f->tag ? f->tag : f->name;
    if (!label) return;          /* classes= alone is a number anyone can write */
    reader->known = mem_calloc(2 * (size_t)f->classes, sizeof *reader->known);
    reader->label = mem_calloc((size_t)f->classes, sizeof *reader->label);
    for (int i = 0; i < f->classes; ++i) {
        if (f->name) reader->known[reader->knowns++] = (named_class){ f->name[i], i };
        if (f->tag) reader->known[reader->knowns++] = (named_class){ f->tag[i], i };
        if (label) reader->label[reader->labels++] = (named_class){ label[i], i };
    }
    qsort(reader->known, reader->knowns, sizeof *reader->known, by_name);
    qsort(reader->label, reader->labels, sizeof *reader->label, by_name);
}

static int class_by_name(const list_reader *reader, const char *name)
{
    size_t lo = 0, hi = reader->knowns;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(reader->known[mid].name, name) < 0) lo = mid + 1;
        else hi = mid;
    }
    int class = UNKNOWN;
    for (; lo < reader->knowns && !strcmp(reader->known[lo].name, name); ++lo) {
        if (class >= 0 && class != reader->known[lo].class) return AMBIGUOUS;
        class = reader->known[lo].class;
    }
    return class;
}

static int class_by_number(const list_reader *reader, const char *text)
{
    size_t digits = strspn(text, "0123456789");
    if (!digits || text[digits] || digits > 9) return UNKNOWN;
    long n = strtol(text, NULL, 10);
    return n < reader->s->classes ? (int)n : UNKNOWN;
}

/* The first label in [lo, hi), which agree in their first k bytes, whose byte k is at least c. */
static size_t first_from(const named_class *label, size_t lo, size_t hi, size_t k, int c)
{
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if ((unsigned char)label[mid].name[k] < c) lo = mid + 1;
        else hi = mid;
    }
    return lo;
}

/* Adds class c to the one or two found. */
static void found_class(int found[2], int c)
{
    if (found[0] == UNKNOWN) found[0] = c;
    else if (found[0] != c && found[1] == UNKNOWN) found[1] = c;
}

/* Darknet's rule: the classes (the first two) whose label is in `path`. At each place the sorted labels are narrowed
 * down byte by byte, so that a thousand labels cost little more than one. */
static void classes_by_substring(const list_reader *reader, const char *path, int found[2])
{
    found[0] = found[1] = UNKNOWN;
    for (; *path && found[1] == UNKNOWN; ++path) {
        size_t lo = 0, hi = reader->labels;
        for (size_t k = 0; lo < hi; ++k) {
            for (; lo < hi && !reader->label[lo].name[k]; ++lo) found_class(found, reader->label[lo].class);
            int c = (unsigned char)path[k];
            if (!c) break;
            lo = first_from(reader->label, lo, hi, k, c);
            hi = first_from(reader->label, lo, hi, k, c + 1);
        }
    }
}

static char *find_image(const list_reader *reader, const char *name)
{
    char *path = path_named_in(reader->list, name);
    if (!path_problem(path)) return path;
    free(path);
    return NULL;
}

static void add_image(list_reader *reader, char *path, int label)
{
    dataset *s = reader->s;
    if (s->room == s->count) {
        s->room = s->room ? 2 * s->room : 1024;
        s->path = mem_realloc(s->path, s->room, sizeof *s->path);
        s->label = mem_realloc(s->label, s->room, sizeof *s->label);
        s->left_out = mem_realloc(s->left_out, s->room, sizeof *s->left_out);
    }
    s->left_out[s->count] = DATA_USED;
    s->label[s->count] = label;
    s->path[s->count++] = path;
}

/* "path class", split at the leftmost blank that leaves a known class behind an existing file. Cuts `text` and returns
 * the file (the caller frees) and its class; NULL if there is no such split. */
static char *split_class(const list_reader *reader, char *text, int *class)
{
    for (char *p = text + strcspn(text, " \t"); *p; p += strcspn(p, " \t")) {
        char *gap = p, blank = *p;
        p += strspn(p, " \t");
        *class = class_by_name(reader, p);
        if (*class == UNKNOWN) *class = class_by_number(reader, p);
        if (*class == UNKNOWN) continue;
        *gap = 0;
        char *path = find_image(reader, text);
        if (path) return path;
        *gap = blank;
    }
    return NULL;
}

static void report_missing(list_reader *reader, char *text, int line)
{
    if (reader->bad.missing++ >= SHOWN) return;
    char *last = text + strlen(text);
    while (last > text && !isspace((unsigned char)last[-1])) --last;
    char *gap = last;
    while (gap > text && isspace((unsigned char)gap[-1])) --gap;
    char *name = mem_printf("%.*s", (int)(gap - text), text), *path = gap > text ? find_image(reader, name) : NULL;
    if (path)
        diag_error(reader->d, reader->list, line, NULL,
                   "class \"%.100s\" of %s is neither a label nor a number from 0 to %d", last, name,
                   reader->s->classes - 1);
    else
        diag_error(reader->d, reader->list, line, NULL, "image %s is not there or not readable", text);
    free(path);
    free(name);
}

static void report_class(list_reader *reader, const char *text, const int found[2], int line)
{
    if (reader->bad.classless++ >= SHOWN) return;
    const data_file *f = reader->q->f;
    char *const *label = f->tag ? f->tag : f->name;
    if (!label) {
        diag_error(reader->d, reader->list, line, NULL, "image %s has no class", text);
        diag_hint(reader->d, "write the class behind the path, or name the labels with names= in %s", f->path);
        return;
    }
    if (found[0] == UNKNOWN)
        diag_error(reader->d, reader->list, line, NULL, "image %s has no class: none of the %d labels is in its path",
                   text, f->classes);
    else
        diag_error(reader->d, reader->list, line, NULL,
                   "image %s has several classes: labels \"%s\" and \"%s\" are both in its path", text,
                   label[found[0]], label[found[1]]);
    diag_hint(reader->d, "write the class behind the path");
}

/* A line without a class of its own; takes `path`. */
static void add_by_substring(list_reader *reader, const char *text, char *path, int line)
{
    int found[2];
    classes_by_substring(reader, text, found);
    int single = found[0] != UNKNOWN && found[1] == UNKNOWN;
    if (single || !(reader->q->need & DATA_CLASSES)) {
        add_image(reader, path, single ? found[0] : found[0] == UNKNOWN ? DATA_NO_CLASS : DATA_SEVERAL_CLASSES);
        return;
    }
    report_class(reader, text, found, line);
    free(path);
}

static void read_entry(list_reader *reader, char *text, int line)
{
    int class;
    char *path = split_class(reader, text, &class);
    if (path && class == AMBIGUOUS) {
        diag_error(reader->d, reader->list, line, NULL,
                   "the class of image %s is a name that stands twice among the labels", text);
        free(path);
    } else if (path) {
        add_image(reader, path, class);
    } else if ((path = find_image(reader, text))) {
        add_by_substring(reader, text, path, line);
    } else {
        report_missing(reader, text, line);
    }
}

/* A detector's image; one that is not there keeps its number, so that numbers do not depend on what is. */
static void read_detector_entry(list_reader *reader, char *text, int line)
{
    (void)line;
    char *path = path_named_in(reader->list, text);
    int there = !path_problem(path);
    add_image(reader, path, -1);
    if (!there) reader->s->left_out[reader->s->count - 1] = DATA_NO_IMAGE;
}

static char *trim(char *text, size_t n)
{
    while (n && isspace((unsigned char)text[n - 1])) text[--n] = 0;
    while (isspace((unsigned char)*text)) ++text;
    return text;
}

static void read_lines(list_reader *reader, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    int line = 0;
    for (ssize_t n; (n = mem_getline(&text, &room, in)) >= 0;) {
        ++line;
        if (memchr(text, 0, (size_t)n)) {
            diag_error(reader->d, reader->list, line, NULL, "neither IDX, CIFAR nor a list of images: not a text file");
            break;
        }
        char *entry = trim(text, (size_t)n);
        if (line == 1 && !strncmp(entry, "\xef\xbb\xbf", 3)) entry += 3;
        if (*entry) reader->entry(reader, entry, line);
    }
    free(text);
}

static void sum_up(const list_reader *reader)
{
    if (reader->bad.missing > SHOWN)
        diag_error(reader->d, reader->list, 0, NULL, "%zu images are missing; the first %d follow", reader->bad.missing,
                   SHOWN);
    if (reader->bad.classless > SHOWN)
        diag_error(reader->d, reader->list, 0, NULL, "%zu images have no single class; the first %d follow",
                   reader->bad.classless, SHOWN);
}

static void read_list(list_reader *reader)
{
    FILE *in = fopen(reader->list, "r");
    if (!in) {
        diag_error(reader->d, reader->list, 0, NULL, "%s", strerror(errno));
        return;
    }
    reader->bad = (complaints){ 0 };
    read_lines(reader, in);
    data_read_whole(in, reader->list, reader->d);
    sum_up(reader);
    fclose(in);
}

static int list_probe(const char *path, int classes)
{
    (void)path, (void)classes;
    return 1;
}

static int list_open(dataset *set, const data_request *request, diag *d)
{
    int detector = request->need & (DATA_DETECTOR | DATA_BOXES), errors = diag_errors(d);
    list_reader r = { .s = set, .q = request, .d = d, .entry = detector ? read_detector_entry : read_entry };
    if (!detector) sort_names(&r);
    for (int i = 0; i < request->files; ++i) {
        r.list = request->file[i];
        read_list(&r);
    }
    free(r.known);
    free(r.label);
    return diag_errors(d) > errors ? -1 : 0;
}

static int list_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                     size_t why_len)
{
    return image_decode(set->path[i], channels, pixels, w, h, why, why_len);
}

const data_format data_list = { "list", list_probe, list_open, list_read };
