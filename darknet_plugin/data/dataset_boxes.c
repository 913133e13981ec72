/* Label files of detectors: a text an image, a line an object, `class x y w h`, centre and size relative to the image.
 * Where it is, dataset_label_path.c says. An empty file is an image without objects; a file that is not there is not.
 *
 * AlexeyAB's Darknet drops what it cannot use and goes on; so does this, with their number and the places of the first
 * of each kind: lines that are not five numbers, classes out of range, boxes of no size or beside the image. Where not
 * one of all boxes is of use that is an error. Boxes that reach beyond the image stay as they are. */
#include "boxes_statistics.h"
#include "dataset_internal.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/words.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SHOWN = 10, MAX_BYTES = 1 << 24 };

/* Lines that are dropped for one reason. */
typedef struct dropped_kind {
    const char *wrong;           /* borrowed; NULL: none so far */
    size_t n;
} dropped_kind;

enum { KINDS = 8 };
typedef struct box_reader {
    dataset *set;
    diag *d;
    size_t boxes, room, dropped;
    dropped_kind kind[KINDS];
    diag *first;                 /* messages of the first SHOWN, owned: they come behind what is said of all */
    box_statistics statistics;
} box_reader;

/* ---- what a file holds ---- */

static const char *const NO_BOX = "expected `class x y w h`, five numbers";
static const char *const NO_CLASS = "the class is out of range";

/* The class at *text, which moves behind it; -1: there is none. */
static int parse_class(char **text, long *class)
{
    char *end;
    *class = strtol(*text, &end, 10);    /* what is too large stays out of range */
    if (end == *text || !strchr(" \t", *end) || !*end) return -1;
    *text = end;
    return 0;
}

static int parse_numbers(char *text, float number[4])
{
    for (int i = 0; i < 4; ++i) {
        char *end;
        number[i] = (float)strtod(text, &end);
        if (end == text || !isfinite(number[i])) return -1;
        text = end;
    }
    return text[strspn(text, " \t\r\n")] ? -1 : 0;
}

/* What is wrong with a box, or NULL. */
static const char *check_box(const data_box *box)
{
    if (!(box->w > 0 && box->h > 0)) return "the box has no size";
    if (fabsf(box->x) > 2 || fabsf(box->y) > 2 || box->w > 2 || box->h > 2)
        return "x y w h are not relative to the image, 0 to 1";
    if (box->x + box->w / 2 <= 0 || box->x - box->w / 2 >= 1 || box->y + box->h / 2 <= 0 || box->y - box->h / 2 >= 1)
        return "the box lies beside the image";
    return NULL;
}

/* What is wrong with a line, or NULL. Whatever is a box counts in what all look like. */
static const char *parse_box(box_reader *reader, char *text, data_box *box)
{
    float v[4];
    long class;
    if (parse_class(&text, &class) || parse_numbers(text, v)) return NO_BOX;
    *box = (data_box){ v[0], v[1], v[2], v[3], (int)class };
    const char *wrong = check_box(box);
    box_statistics_add(&reader->statistics, class, reader->set->classes, box);
    return class < 0 || class >= reader->set->classes ? NO_CLASS : wrong;
}

static void add_box(box_reader *reader, const data_box *box)
{
    if (reader->boxes == reader->room) {
        reader->room = reader->room ? 2 * reader->room : 1024;
        reader->set->box = mem_realloc(reader->set->box, reader->room, sizeof *reader->set->box);
    }
    reader->set->box[reader->boxes++] = *box;
}

/* Counts a line that is no box of use, and keeps the message of the first. */
static void drop_box(box_reader *reader, const char *path, int line, const char *text, const char *wrong)
{
    size_t length = strcspn(text, "\r\n");
    int i = 0;
    while (i < KINDS - 1 && reader->kind[i].wrong && strcmp(reader->kind[i].wrong, wrong)) ++i;
    reader->kind[i].wrong = wrong;
    ++reader->kind[i].n;
    if (reader->dropped++ >= SHOWN) return;
    diag_warn(reader->first, path, line, NULL, "box dropped: %s: \"%.*s\"", wrong, (int)(length < 60 ? length : 60),
              text);
    if (wrong == NO_CLASS)
        diag_hint(reader->first, "classes=%d, so a class is 0 to %d", reader->set->classes, reader->set->classes - 1);
}

/* All boxes of one label file. */
static void read_boxes_of(box_reader *reader, const char *path, FILE *in)
{
    char *text = NULL;
    size_t room = 0, first = reader->boxes;
    int line = 0;
    data_box b;
    for (ssize_t n; (n = mem_getline(&text, &room, in)) >= 0;) {
        ++line;
        char *entry = text + (line == 1 && !strncmp(text, "\xef\xbb\xbf", 3) ? 3 : 0);
        if (!memchr(text, 0, (size_t)n) && !entry[strspn(entry, " \t\r\n")]) continue;
        const char *wrong = memchr(text, 0, (size_t)n) ? "not a text" : parse_box(reader, entry, &b);
        if (!wrong && reader->boxes - first == INT_MAX / 8) wrong = "too many boxes";
        if (wrong) drop_box(reader, path, line, entry, wrong);
        else add_box(reader, &b);
    }
    free(text);
}

/* A label file that can be read, at a sane size; NULL if it is none. */
static FILE *open_labels(const char *path, diag *d)
{
    struct stat st;
    if (path_problem(path) || stat(path, &st) || st.st_size > MAX_BYTES) return NULL;
    return in_file_stream(path, d);
}

/* How many, of which kinds, then the first. */
static void report_dropped(const box_reader *reader, const char *list)
{
    char *kinds = NULL;
    int words = 0;
    for (int i = 0; i < KINDS && reader->kind[i].wrong; ++i) {
        char *kind = mem_printf("%zu: %s", reader->kind[i].n, reader->kind[i].wrong);
        words_list(&kinds, &words, KINDS, kind);
        free(kind);
    }
    if (reader->dropped > SHOWN)
        diag_warn(reader->d, list, 0, NULL, "%zu of %zu boxes were dropped (%s); the first %d follow", reader->dropped,
                  reader->dropped + reader->boxes, kinds, SHOWN);
    diag_append(reader->d, reader->first, 0);
    free(kinds);
}

/* What all of them look like, then what was dropped. None of use is an error, but for who only looks. */
static int sum_up(const box_reader *reader, const data_request *request)
{
    int look = request->need & DATA_LOOK;
    int bad = box_statistics_judge(&reader->statistics, request->path[0], reader->set->classes, reader->d);
    report_dropped(reader, request->path[0]);
    if (!reader->dropped || reader->boxes || look) return look ? 0 : bad;
    diag_error(reader->d, request->path[0], 0, NULL, "none of the %zu boxes of its images is of use", reader->dropped);
    return -1;
}

int data_read_boxes(dataset *set, const data_request *request, diag *d)
{
    box_reader reader = { .set = set, .d = d, .first = diag_new() };
    int unread = 0;
    set->box_at = mem_calloc(set->count + 1, sizeof *set->box_at);
    for (size_t i = 0; i < set->count; ++i) {
        set->box_at[i] = reader.boxes;
        if (set->left_out[i] || i >= set->labelled) continue;
        char *path = data_label_path(set->path[i]);
        FILE *in = open_labels(path, d);
        if (in) read_boxes_of(&reader, path, in);
        unread |= in && data_read_whole(in, path, d);
        if (!in) set->left_out[i] = DATA_NO_LABELS;
        if (in) fclose(in);
        free(path);
    }
    set->box_at[set->count] = reader.boxes;
    int bad = sum_up(&reader, request) || unread;
    diag_free(reader.first);
    return bad ? -1 : 0;
}

/* ---- images without a file ---- */

/* "a.jpg, b.jpg, ..."; the caller frees. */
static char *first_names(const dataset *set, data_left_out kind)
{
    char *list = NULL;
    int words = 0;
    for (size_t i = 0; i < set->count && words <= SHOWN; ++i) {
        if (set->left_out[i] != kind) continue;
        char *label = kind == DATA_NO_LABELS ? data_label_path(set->path[i]) : NULL;
        words_list(&list, &words, SHOWN, label ? label : set->path[i]);
        free(label);
    }
    return list;
}

/* One message on the images that are left out for one reason, `count` of them. */
static void report_kind(const dataset *set, const data_request *request, data_left_out kind, size_t count, int too_many,
                        diag *d)
{
    if (!count) return;
    const char *what = kind == DATA_NO_IMAGE ? "images are not there or not readable" : "images have no label file";
    const char *then = too_many ? "; up to 1 % are left out" : " and are left out";
    char *names = first_names(set, kind);
    (too_many ? diag_error : diag_warn)(d, request->path[0], 0, NULL, "%zu of %zu %s%s: %s", count, set->count, what,
                                        then, names);
    if (kind == DATA_NO_LABELS) diag_hint(d, "an image without objects has an empty label file");
    free(names);
}

int data_report_left_out(const dataset *set, const data_request *request, diag *d)
{
    size_t n[3] = { 0 };
    for (size_t i = 0; i < set->count; ++i) n[set->left_out[i]]++;
    int too_many = dataset_too_many_left_out(set, n[DATA_NO_IMAGE], n[DATA_NO_LABELS]);
    report_kind(set, request, DATA_NO_IMAGE, n[DATA_NO_IMAGE], too_many, d);
    report_kind(set, request, DATA_NO_LABELS, n[DATA_NO_LABELS], too_many, d);
    return too_many ? -1 : 0;
}
