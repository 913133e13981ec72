/* Datasets behind one face (see dataset.h): decides a split's format, finds its files, and hands on to the row of the
 * format. Small images (IDX, CIFAR) are kept in memory as bytes; lists keep paths and decode when asked. */
#include "dataset.h"

#include "dataset_internal.h"
#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/base/words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In the order they are tried. A list may be any file, so formats of files stand before it. */
extern const data_format data_idx, data_cifar10, data_cifar100, data_list, data_folders, data_images;
static const data_format *const formats[] = { &data_idx, &data_cifar10, &data_cifar100, &data_list, &data_folders,
                                              &data_images };
enum { FORMATS = sizeof formats / sizeof *formats };

static const data_format *format_by_name(const char *name)
{
    for (int i = 0; i < FORMATS; ++i)
        if (!strcmp(formats[i]->name, name)) return formats[i];
    return NULL;
}

static const char *path_missing(const char *path) { return access(path, F_OK) ? "not there" : NULL; }

static int is_detector(const data_request *request) { return request->need & (DATA_DETECTOR | DATA_BOXES); }

/* Is the first of the paths there, as something that this format opens? */
static int fits(const data_format *format, const data_request *request)
{
    char *path = path_found_in(request->data->path, request->path[0], format->problem);
    int fits = !format->problem(path) && (!format->probe || format->probe(path, request->data->classes));
    free(path);
    return fits;
}

/* Images without labels lie in folders of any name. */
static int wants_no_class(const data_request *request) { return !strcmp(request->key, "unlabelled"); }

/* The first format that fits, of all or of those with boxes; NULL if none does. */
static const data_format *format_by_content(const data_request *request, int boxes)
{
    for (int i = 0; i < FORMATS; ++i)
        if ((formats[i]->boxes || !boxes) && !(formats[i]->by_class && wants_no_class(request)) &&
            fits(formats[i], request))
            return formats[i];
    return NULL;
}

static void unknown_format(const data_request *request, diag *d)
{
    char *known = NULL;
    int words = 0;
    words_list(&known, &words, FORMATS + 1, "auto");
    for (int i = 0; i < FORMATS; ++i) words_list(&known, &words, FORMATS + 1, formats[i]->name);
    diag_error(d, request->data->path, 0, NULL, "format=%s is not one of %s", request->data->format, known);
    free(known);
}

/* What to do where a folder stands for a file. */
static void hint_folder(const data_request *request, const char *name, diag *d)
{
    struct stat st;
    char *path = path_found_in(request->data->path, name, path_missing);
    const char *format = request->data->format;
    int folder = !stat(path, &st) && S_ISDIR(st.st_mode);
    if (folder && format && strcmp(format, "auto")) diag_hint(d, "it is a folder: format=%s is for files", format);
    else if (folder) diag_hint(d, "it is a folder: what %s= names is all folders or all files", request->key);
    free(path);
}

/* By name, or else by content; what is not there at all counts as a list, which says so. NULL after reporting. */
static const data_format *find_format(const data_request *request, diag *d)
{
    const char *name = request->data->format;
    int named = name && strcmp(name, "auto"), boxes = is_detector(request);
    const data_format *format = named ? format_by_name(name) : format_by_content(request, boxes);
    if (named && !format) {
        unknown_format(request, d);
        return NULL;
    }
    if (!format && boxes) format = format_by_content(request, 0);
    if (!format) format = &data_list;
    if (format->by_class && wants_no_class(request)) format = &data_images;
    if (format->boxes || !boxes) return format;
    diag_error(d, request->data->path, 0, NULL, "format=%s has no boxes: a detector's images stand in a list or lie in "
               "a folder", format->name);
    if (format->by_class) diag_hint(d, "format=images takes all images in a folder");
    else if (!named) diag_hint(d, "%s= names %s", request->key, format->what);
    return NULL;
}

/* Looks the split's paths up; 0 or -1 after reporting each that is not there. */
static int find_paths(data_request *request, const data_format *format, diag *d)
{
    int bad = 0;
    for (int i = 0; i < request->paths; ++i) {
        char *path = path_found_in(request->data->path, request->path[i], format->problem);
        free(request->path[i]);
        request->path[i] = path;
        const char *problem = format->problem(path);
        in_file_note(path, d);
        if (problem) diag_error(d, path, 0, NULL, "%s (%s= in %s)", problem, request->key, request->data->path);
        if (problem) hint_folder(request, path, d);
        bad |= problem != NULL;
    }
    return bad ? -1 : 0;
}

/* Loaders open images later, in threads of their own. */
static void note_images(const dataset *set, diag *d)
{
    for (size_t i = 0; set->path && i < set->listed; ++i) in_file_note(set->path[i], d);
}

/* Leaves the set the images of its side: all but the last, or the last. 0 or -1 after reporting. */
static int hold_out(dataset *set, const data_request *request, diag *d)
{
    size_t n = strcmp(request->key, "unlabelled") ? request->data->held_out : 0;
    if (!n) return 0;
    if (n >= set->count) {
        diag_error(d, request->path[0], 0, NULL, "%zu images are to be held out of %zu (%s= in %s)", n, set->count,
                   request->key, request->data->path);
        return -1;
    }
    if (request->held_out) data_keep_last(set, n);
    else set->count -= n;
    return 0;
}

/* How many of the images may have labels. */
static size_t labelled_images(const dataset *set, const data_request *request)
{
    const data_file *file = request->data;
    int few = file->few_labels && is_detector(request) && !strcmp(request->key, "train") && !request->held_out;
    return few && file->labelled < set->count ? file->labelled : set->count;
}

/* Fills the set: images and labels, then what a detector's images want besides. 0 or -1 after reporting. */
static int fill(dataset *set, const data_request *request, diag *d)
{
    int bad = set->format->open(set, request, d);
    set->listed = set->count;
    note_images(set, d);
    if (!bad && !set->count) {
        diag_error(d, request->path[0], 0, NULL, "no images (%s= in %s)", request->key, request->data->path);
        bad = -1;
    }
    if (!bad) bad = hold_out(set, request, d);
    if (!bad && request->limit && request->limit < set->count) set->count = request->limit;
    set->labelled = labelled_images(set, request);
    if (!set->format->identity) set->prints = data_prints_new(set->count);
    if (!bad && request->need & DATA_BOXES) bad = data_read_boxes(set, request, d);
    if (!bad && is_detector(request) && !(request->need & DATA_LOOK)) bad = data_report_left_out(set, request, d);
    return bad;
}

/* Format, paths, images, in this order; NULL after reporting. */
static dataset *open_request(data_request *request, diag *d)
{
    if (!request->paths) {
        diag_error(d, request->data->path, 0, NULL, "%s= names no file", request->key);
        return NULL;
    }
    const data_format *format = find_format(request, d);
    if (!format || find_paths(request, format, d)) return NULL;
    dataset *set = mem_calloc(1, sizeof *set);
    set->format = format;
    set->classes = request->data->classes;
    if (!fill(set, request, d)) return set;
    dataset_free(set);
    return NULL;
}

static void missing_key(const data_request *request, diag *d)
{
    char *known = NULL;
    int words = 0;
    for (int i = 0; i < FORMATS; ++i) words_list(&known, &words, FORMATS, formats[i]->what);
    diag_error(d, request->data->path, 0, NULL, "%s= is missing", request->key);
    diag_hint(d, "add a line `%s = PATH`, the path of one of these: %s", request->key, known);
    free(known);
}

/* No label files are read and no classes kept; a detector's list is one here, too. */
static dataset *open_unlabelled(const data_file *file, size_t limit, int need, diag *d)
{
    int boxes = need & (DATA_DETECTOR | DATA_BOXES) ? DATA_DETECTOR : DATA_IMAGES;
    data_request request = { .data = file, .key = "unlabelled", .need = boxes | (need & DATA_LOOK), .limit = limit };
    if (!file->unlabelled) {
        missing_key(&request, d);
        return NULL;
    }
    request.path = data_split_commas(file->unlabelled, &request.paths);
    dataset *set = open_request(&request, d);
    data_free_strings(request.path, (size_t)request.paths);
    if (set) dataset_forget_labels(set, 0);
    return set;
}

dataset *dataset_open(const data_file *file, data_split split, size_t limit, int need, diag *d)
{
    if (split == DATA_UNLABELLED) return open_unlabelled(file, limit, need, d);
    int training = split == DATA_TRAIN || file->held_out;
    data_request request = { .data = file, .key = training ? "train" : "valid", .need = need, .limit = limit };
    request.held_out = split == DATA_VALID && file->held_out;
    request.labels = training ? file->train_labels : file->valid_labels;
    const char *value = training ? file->train : file->valid;
    if (!value) {
        missing_key(&request, d);
        return NULL;
    }
    request.path = data_split_commas(value, &request.paths);
    dataset *set = open_request(&request, d);
    data_free_strings(request.path, (size_t)request.paths);
    return set;
}

void dataset_free(dataset *set)
{
    if (!set) return;
    set->format->free(set);
    data_prints_free(set->prints);
    free(set->box);
    free(set->box_at);
    free(set->label);
    free(set);
}

size_t dataset_count(const dataset *set) { return set->count; }
int dataset_classes(const dataset *set) { return set->classes; }
const char *dataset_format(const dataset *set) { return set->format->name; }
int dataset_channels(const dataset *set) { return set->c; }

int dataset_size(const dataset *set, size_t i, int *w, int *h)
{
    return i < set->count && !dataset_left_out(set, i) ? set->format->size(set, i, w, h) : -1;
}

uint64_t dataset_identity(const dataset *set)
{
    static const char files[] = "images in files, which have prints";
    if (set->format->identity) return set->format->identity(set);
    uint64_t hash = hash_bytes(files, sizeof files, HASH_START);
    return set->side ? hash_bytes(&set->side, sizeof set->side, hash) : hash;
}

void dataset_use_cache(dataset *set, image_cache *cache, int side)
{
    if (set->format->identity) return;
    set->cache = cache;
    set->side = side;
}

void dataset_cache_trouble(const dataset *set, diag *d)
{
    if (set->cache) image_cache_trouble(set->cache, d);
}

int dataset_label(const dataset *set, size_t i) { return i < set->count && set->label[i] >= 0 ? set->label[i] : -1; }
int dataset_ambiguous(const dataset *set, size_t i) { return i < set->count && set->label[i] == DATA_SEVERAL_CLASSES; }

void dataset_forget_labels(dataset *set, size_t from)
{
    for (size_t i = from; i < set->count; ++i) set->label[i] = DATA_NO_CLASS;
    if (from < set->labelled) set->labelled = from;
}

size_t dataset_labelled(const dataset *set) { return set->labelled; }

size_t dataset_passed_over(const dataset *set) { return set->passed_over; }
int dataset_has_boxes(const dataset *set) { return set->box_at != NULL; }

const data_box *dataset_boxes(const dataset *set, size_t i, int *n)
{
    *n = 0;
    if (!set->box_at || i >= set->count) return NULL;
    if (i >= set->labelled) {
        *n = -1;
        return NULL;
    }
    *n = (int)(set->box_at[i + 1] - set->box_at[i]);
    return *n ? set->box + set->box_at[i] : NULL;   /* nothing may be added to a NULL */
}

const char *dataset_left_out(const dataset *set, size_t i)
{
    static const char *const why[] = { NULL, "not there or not readable", "no label file", "not in the file of labels",
                                       "a label file that cannot be read" };
    return set->left_out && i < set->count ? why[set->left_out[i]] : NULL;
}

int dataset_lacks_labels(const dataset *set, size_t i)
{
    return set->left_out && i < set->count &&
           (set->left_out[i] == DATA_NO_LABELS || set->left_out[i] == DATA_NO_ENTRY);
}

const char *dataset_name(const dataset *set, size_t i, char *buf, size_t len)
{
    set->format->name_of(set, i, buf, len);
    return buf;
}

int dataset_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                 size_t why_len)
{
    *pixels = NULL;
    if (channels != 1 && channels != 3) snprintf(why, why_len, "images have 1 or 3 channels, not %d", channels);
    else if (i >= set->count) snprintf(why, why_len, "image %zu of %zu", i, set->count);
    else if (dataset_left_out(set, i)) snprintf(why, why_len, "%s", dataset_left_out(set, i));
    else return set->format->read(set, i, channels, pixels, w, h, why, why_len);
    return -1;
}
