/* Label files of detectors: which there is for an image, and what is said of all of them together. Darknet's own are
 * read here: a text an image, a line an object, `class x y w h`, centre and size relative to the image. Where it is,
 * dataset_label_path.c says. An empty file is an image without objects; a file that is not there is not. VOC's XML and
 * COCO's JSON have files of their own.
 *
 * AlexeyAB's Darknet drops what it cannot use and goes on; so does this, with their number and the places of the
 * first of each kind: lines that are not five numbers, classes out of range, boxes of no size or beside the image.
 * Where not one of all boxes is of use that is an error. Boxes that reach beyond the image stay as they are. */
#include "dataset_boxes.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/words.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { SHOWN = 10, MAX_BYTES = 1 << 24 };

/* ---- Darknet's texts ---- */

static const char *const NO_BOX = "expected `class x y w h`, five numbers";

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

/* What is wrong with a line, or NULL. Whatever is a box counts in what all look like. */
static const char *parse_box(box_reader *reader, char *text, data_box *box)
{
    float v[4];
    long class;
    if (parse_class(&text, &class) || parse_numbers(text, v)) return NO_BOX;
    *box = (data_box){ v[0], v[1], v[2], v[3], (int)class };
    const char *wrong = box_check(box);
    box_statistics_add(&reader->statistics, class, reader->set->classes, box);
    return class < 0 || class >= reader->set->classes ? BOX_NO_CLASS : wrong;
}

/* All boxes of one label file. */
static void read_text(box_reader *reader, const char *path, FILE *in)
{
    char *text = NULL;
    size_t room = 0;
    int line = 0;
    data_box b;
    for (ssize_t n; (n = mem_getline(&text, &room, in)) >= 0;) {
        ++line;
        char *entry = text + (line == 1 && !strncmp(text, "\xef\xbb\xbf", 3) ? 3 : 0);
        if (!memchr(text, 0, (size_t)n) && !entry[strspn(entry, " \t\r\n")]) continue;
        const char *wrong = memchr(text, 0, (size_t)n) ? "not a text" : parse_box(reader, entry, &b);
        if (!wrong) wrong = box_add(reader, &b);
        if (wrong) box_drop(reader, path, line, entry, wrong);
    }
    free(text);
}

/* ---- all kinds ---- */

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
    for (int i = 0; i < BOX_KINDS && reader->kind[i].wrong; ++i) {
        char *kind = mem_printf("%zu: %s", reader->kind[i].n, reader->kind[i].wrong);
        words_list(&kinds, &words, BOX_KINDS, kind);
        free(kind);
    }
    if (reader->dropped > SHOWN)
        diag_warn(reader->d, list, 0, NULL, "%zu of %zu boxes were dropped (%s); the first %d follow", reader->dropped,
                  reader->dropped + reader->boxes, kinds, SHOWN);
    diag_append(reader->d, reader->first, 0);
    free(kinds);
}

/* Classes that names= does not have: which, how many boxes, and what names= may have meant. */
static void report_unknown(const box_reader *reader)
{
    const data_file *data = reader->request->data;
    char *list = NULL;
    int words = 0;
    if (!reader->unknowns) return;
    for (size_t i = 0; i < reader->unknowns; ++i) {
        char *one = mem_printf("%s (%zu)", reader->unknown[i].name, reader->unknown[i].n);
        words_list(&list, &words, SHOWN, one);
        free(one);
    }
    diag_warn(reader->d, reader->request->path[0], 0, NULL,
              "%zu boxes are left out, of classes that are not in names=: %s", reader->of_unknown, list);
    const char *near = data->name ? nearest_name(reader->unknown[0].name, (const char *const *)data->name,
                                                 data->classes) : NULL;
    if (near) diag_hint(reader->d, "%s has \"%s\"", data->names_path, near);
    free(list);
}

/* What all of them look like, then what was dropped. None of use is an error, but for who only looks. */
static int sum_up(box_reader *reader)
{
    const data_request *request = reader->request;
    int look = request->need & DATA_LOOK, errors = diag_errors(reader->d);
    size_t useless = reader->dropped + reader->of_unknown;
    (void)box_statistics_judge(&reader->statistics, request->path[0], reader->set->classes, reader->d);
    report_unknown(reader);
    report_dropped(reader, request->path[0]);
    data_flood_end(&reader->unread, DIAG_WARNING, request->path[0], "label files cannot be read", NULL, reader->d);
    data_flood_end(&reader->shapes, DIAG_ERROR, request->path[0], "images have another shape than their labels say",
                   "boxes in pixels mean nothing there: was the image rotated or cut?", reader->d);
    if (look) return 0;
    if (!useless || reader->boxes) return diag_errors(reader->d) > errors ? -1 : 0;
    diag_error(reader->d, request->path[0], 0, NULL, "none of the %zu boxes of its images is of use", useless);
    return -1;
}

/* The boxes of an image in a file of its own. */
static data_left_out read_file(box_reader *reader, size_t image, const char *path)
{
    FILE *in = open_labels(path, reader->d);
    const char *dot = strrchr(path, '.');
    data_left_out left_out = DATA_USED;
    if (!in) return DATA_NO_LABELS;
    if (!strcmp(dot, ".xml") && voc_read(reader, image, path, in)) left_out = DATA_BAD_LABELS;
    if (strcmp(dot, ".xml")) read_text(reader, path, in);
    if (data_read_whole(in, path, reader->d)) left_out = DATA_BAD_LABELS;
    fclose(in);
    return left_out;
}

static void read_image(box_reader *reader, size_t i)
{
    dataset *set = reader->set;
    if (reader->coco) {
        if (coco_read(reader, i)) set->left_out[i] = DATA_NO_ENTRY;
        return;
    }
    char *path = data_label_path(set->path[i], reader->labels, reader->n_labels);
    set->left_out[i] = (uint8_t)read_file(reader, i, path);
    free(path);
}

/* All images; what was wrong with them. */
static int read_images(box_reader *reader)
{
    dataset *set = reader->set;
    int errors = diag_errors(reader->d);
    for (size_t i = 0; i < set->count; ++i) {
        set->box_at[i] = reader->first_of_image = reader->boxes;
        if (!set->left_out[i] && i < set->labelled) read_image(reader, i);
    }
    set->box_at[set->count] = reader->boxes;
    int unread = diag_errors(reader->d) > errors, bad = reader->coco && coco_end(reader);
    return sum_up(reader) || unread || bad ? -1 : 0;
}

/* ---- what train_labels= or valid_labels= names ---- */

static const char *problem_with_labels(const char *path)
{
    return data_is_folder(path) ? data_folder_problem(path) : path_problem(path);
}

/* All folders, or all JSON files. 0 or -1 after reporting. */
static int find_labels(box_reader *reader)
{
    const data_request *request = reader->request;
    int errors = diag_errors(reader->d), folders = 0;
    char **path = reader->labels = request->labels ? data_split_commas(request->labels, &reader->n_labels) : NULL;
    for (int i = 0; i < reader->n_labels; ++i) {
        char *found = path_found_in(request->data->path, path[i], problem_with_labels);
        const char *problem = problem_with_labels(found);
        if (problem)
            diag_error(reader->d, found, 0, NULL, "%s (%s_labels= in %s)", problem, request->key, request->data->path);
        folders += data_is_folder(found);
        free(path[i]);
        path[i] = found;
    }
    if (diag_errors(reader->d) == errors && folders && folders < reader->n_labels)
        diag_error(reader->d, request->data->path, 0, NULL, "%s_labels= names folders and files: a split's labels are "
                   "of one kind", request->key);
    if (diag_errors(reader->d) > errors) return -1;
    if (!reader->n_labels || folders) return 0;
    reader->coco = coco_open(reader);
    return reader->coco ? 0 : -1;
}

int dataset_names_boxes(const data_file *file, data_split split)
{
    const char *value = split == DATA_TRAIN || file->held_out ? file->train_labels : file->valid_labels;
    int n, boxes = 0;
    char **name = value && split != DATA_UNLABELLED ? data_split_commas(value, &n) : NULL;
    if (!name) return 0;
    const char *dot = strrchr(name[0], '.');
    char *path = path_found_in(file->path, name[0], problem_with_labels);
    boxes = data_is_folder(path) || (dot && !strcasecmp(dot, ".json"));
    free(path);
    data_free_strings(name, (size_t)n);
    return boxes;
}

static void free_reader(box_reader *reader)
{
    for (size_t i = 0; i < reader->unknowns; ++i) free(reader->unknown[i].name);
    free(reader->unknown);
    free(reader->known.entry);
    data_free_strings(reader->labels, (size_t)reader->n_labels);
    coco_free(reader->coco);
    diag_free(reader->first);
}

int data_read_boxes(dataset *set, const data_request *request, diag *d)
{
    box_reader reader = { .set = set, .request = request, .d = d, .first = diag_new() };
    set->box_at = mem_calloc(set->count + 1, sizeof *set->box_at);
    data_names_add(&reader.known, request->data->name, request->data->classes);
    data_names_add(&reader.known, request->data->tag, request->data->classes);
    int bad = find_labels(&reader) || read_images(&reader);
    free_reader(&reader);
    return bad ? -1 : 0;
}

/* ---- images without a file ---- */

/* "a.jpg, b.jpg, ..."; the caller frees. */
static char *first_names(const dataset *set, const data_request *request, data_left_out kind)
{
    char *list = NULL;
    int words = 0, folders = 0;
    char **folder = request->labels ? data_split_commas(request->labels, &folders) : NULL;
    for (size_t i = 0; i < set->count && words <= SHOWN; ++i) {
        if (set->left_out[i] != kind) continue;
        char *label = kind == DATA_NO_LABELS ? data_label_path(set->path[i], folder, folders) : NULL;
        words_list(&list, &words, SHOWN, label ? label : set->path[i]);
        free(label);
    }
    data_free_strings(folder, (size_t)folders);
    return list;
}

/* One message on the images that are left out for one reason, `count` of them. */
static void report_kind(const dataset *set, const data_request *request, data_left_out kind, size_t count, int too_many,
                        diag *d)
{
    if (!count) return;
    static const char *const what[] = { "", "images are not there or not readable", "images have no label file",
                                        "images are not in the file of labels",
                                        "images have a label file that cannot be read" };
    const char *then = too_many ? "; up to 1 % are left out" : " and are left out";
    char *names = first_names(set, request, kind);
    (too_many ? diag_error : diag_warn)(d, request->path[0], 0, NULL, "%zu of %zu %s%s: %s", count, set->count,
                                        what[kind], then, names);
    if (kind == DATA_NO_LABELS)
        diag_hint(d, "an image without objects has an empty label file; %s_labels= names labels that are elsewhere, a "
                  "folder or COCO's JSON", request->key);
    if (kind == DATA_NO_ENTRY) diag_hint(d, "an image is matched by \"file_name\" in its \"images\"");
    free(names);
}

int data_report_left_out(const dataset *set, const data_request *request, diag *d)
{
    size_t n[DATA_LEFT_OUT] = { 0 };
    for (size_t i = 0; i < set->count; ++i) n[set->left_out[i]]++;
    int too_many = dataset_too_many_left_out(set, n[DATA_NO_IMAGE] + n[DATA_BAD_LABELS],
                                             n[DATA_NO_LABELS] + n[DATA_NO_ENTRY]);
    for (data_left_out kind = DATA_NO_IMAGE; kind < DATA_LEFT_OUT; ++kind)
        report_kind(set, request, kind, n[kind], too_many, d);
    return too_many ? -1 : 0;
}
