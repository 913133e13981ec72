/* Datasets behind one face (see dataset.h): finds a split's files, decides their format by content, and hands on to the
 * format's row. Small images (IDX, CIFAR) are kept in memory as bytes; lists keep paths and decode when asked. */
#include "dataset.h"

#include "dataset_internal.h"
#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* In the order they are tried; the last takes what none of the others knows. */
static const data_format *const formats[] = { &data_idx, &data_cifar10, &data_cifar100, &data_list };
enum { FORMATS = sizeof formats / sizeof *formats };

static const data_format *format_by_name(const char *name)
{
    for (int i = 0; i < FORMATS; ++i)
        if (!strcmp(formats[i]->name, name)) return formats[i];
    return NULL;
}

static int is_detector(const data_request *request) { return request->need & (DATA_DETECTOR | DATA_BOXES); }

static const data_format *find_format(const data_request *request, diag *d)
{
    const char *name = request->f->format;
    if (is_detector(request)) {
        if (!name || !strcmp(name, "auto") || !strcmp(name, "list")) return &data_list;
        diag_error(d, request->f->path, 0, NULL, "format=%s has no boxes: a detector's images stand in a list", name);
        return NULL;
    }
    if (name && strcmp(name, "auto")) {
        const data_format *f = format_by_name(name);
        if (!f) diag_error(d, request->f->path, 0, NULL, "format=%s is not one of auto, idx, cifar10, cifar100, list",
                           name);
        return f;
    }
    for (int i = 0; i < FORMATS - 1; ++i)
        if (formats[i]->probe(request->file[0], request->f->classes)) return formats[i];
    return formats[FORMATS - 1];
}

/* The files of one split; 0 or -1 after reporting each that is not there. */
static int find_files(data_request *request, const char *value, diag *d)
{
    request->file = data_split_commas(value, &request->files);
    int bad = 0;
    for (int i = 0; i < request->files; ++i) {
        char *path = path_named_in(request->f->path, request->file[i]);
        free(request->file[i]);
        request->file[i] = path;
        const char *problem = path_problem(path);
        if (problem) diag_error(d, path, 0, NULL, "%s (%s= in %s)", problem, request->key, request->f->path);
        bad |= problem != NULL;
    }
    if (!request->files) diag_error(d, request->f->path, 0, NULL, "%s= names no file", request->key);
    return bad || !request->files ? -1 : 0;
}

static dataset *open_request(const data_request *request, size_t limit, diag *d)
{
    const data_format *format = find_format(request, d);
    if (!format) return NULL;
    dataset *s = mem_calloc(1, sizeof *s);
    s->format = format;
    s->classes = request->f->classes;
    int bad = format->open(s, request, d);
    s->listed = s->count;
    if (!bad && !s->count) {
        diag_error(d, request->file[0], 0, NULL, "no images (%s= in %s)", request->key, request->f->path);
        bad = -1;
    }
    if (limit && limit < s->count) s->count = limit;
    if (!bad && request->need & DATA_BOXES) bad = data_read_boxes(s, request, d);
    if (!bad && is_detector(request)) bad = data_report_left_out(s, request, d);
    if (!bad) return s;
    dataset_free(s);
    return NULL;
}

dataset *dataset_open(const data_file *file, data_split split, size_t limit, int need, diag *d)
{
    data_request q = { .f = file, .key = split == DATA_TRAIN ? "train" : "valid", .need = need };
    q.labels = split == DATA_TRAIN ? file->train_labels : file->valid_labels;
    const char *value = split == DATA_TRAIN ? file->train : file->valid;
    if (!value) {
        diag_error(d, file->path, 0, NULL, "%s= is missing", q.key);
        diag_hint(d, "add a line `%s = FILE`: an IDX or CIFAR file, or a list of images", q.key);
        return NULL;
    }
    dataset *s = find_files(&q, value, d) ? NULL : open_request(&q, limit, d);
    data_free_strings(q.file, (size_t)q.files);
    return s;
}

void dataset_free(dataset *set)
{
    if (!set) return;
    for (int i = 0; i < set->parts; ++i) free(set->part[i].file);
    data_free_strings(set->path, set->listed);
    free(set->part);
    free(set->left_out);
    free(set->box);
    free(set->box_at);
    free(set->label);
    free(set->pixels);
    free(set);
}

size_t dataset_count(const dataset *set) { return set->count; }
int dataset_classes(const dataset *set) { return set->classes; }

uint64_t dataset_identity(const dataset *set)
{
    uint64_t h = HASH_START;
    if (set->pixels) return hash_bytes(set->pixels, set->count * (size_t)set->w * (size_t)set->h * (size_t)set->c, h);
    for (size_t i = 0; i < set->count; ++i) {
        struct stat st = { 0 };
        if (stat(set->path[i], &st)) st.st_size = -1;
        h = hash_bytes(set->path[i], strlen(set->path[i]) + 1, h);
        h = hash_bytes(&st.st_size, sizeof st.st_size, h);
    }
    return h;
}

int dataset_label(const dataset *set, size_t i) { return i < set->count && set->label[i] >= 0 ? set->label[i] : -1; }
int dataset_ambiguous(const dataset *set, size_t i) { return i < set->count && set->label[i] == DATA_SEVERAL_CLASSES; }

int dataset_has_boxes(const dataset *set) { return set->box_at != NULL; }

const data_box *dataset_boxes(const dataset *set, size_t i, int *n)
{
    *n = 0;
    if (!set->box_at || i >= set->count) return NULL;
    *n = (int)(set->box_at[i + 1] - set->box_at[i]);
    return *n ? set->box + set->box_at[i] : NULL;   /* nothing may be added to a NULL */
}

const char *dataset_left_out(const dataset *set, size_t i)
{
    static const char *const why[] = { NULL, "not there or not readable", "no label file" };
    return set->left_out && i < set->count ? why[set->left_out[i]] : NULL;
}

const char *dataset_name(const dataset *set, size_t i, char *buf, size_t len)
{
    if (set->path) {
        snprintf(buf, len, "%s", i < set->count ? set->path[i] : "?");
        return buf;
    }
    int p = set->parts - 1;
    while (p > 0 && set->part[p].first > i) --p;
    snprintf(buf, len, "%s#%zu", path_base_name(set->part[p].file), i - set->part[p].first);
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
