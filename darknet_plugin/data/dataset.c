/* Datasets behind one face (see dataset.h): finds a split's files, decides their format by content, and hands on to the
 * format's row. Small images (IDX, CIFAR) are kept in memory as bytes; lists keep paths and decode when asked. */
#include "dataset.h"

#include "dataset_internal.h"
#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/base/mem.h"

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

static int is_detector(const data_request *q) { return q->need & (DATA_DETECTOR | DATA_BOXES); }

static const data_format *find_format(const data_request *q, diag *d)
{
    const char *name = q->f->format;
    if (is_detector(q)) {
        if (!name || !strcmp(name, "auto") || !strcmp(name, "list")) return &data_list;
        diag_error(d, q->f->path, 0, NULL, "format=%s has no boxes: a detector's images stand in a list", name);
        return NULL;
    }
    if (name && strcmp(name, "auto")) {
        const data_format *f = format_by_name(name);
        if (!f) diag_error(d, q->f->path, 0, NULL, "format=%s is not one of auto, idx, cifar10, cifar100, list", name);
        return f;
    }
    for (int i = 0; i < FORMATS - 1; ++i)
        if (formats[i]->probe(q->file[0], q->f->classes)) return formats[i];
    return formats[FORMATS - 1];
}

/* The files of one split; 0 or -1 after reporting each that is not there. */
static int find_files(data_request *q, const char *value, diag *d)
{
    q->file = data_split_commas(value, &q->files);
    int bad = 0;
    for (int i = 0; i < q->files; ++i) {
        char *path = data_resolve(q->f->path, q->file[i]);
        free(q->file[i]);
        q->file[i] = path;
        const char *problem = data_problem(path);
        if (problem) diag_error(d, path, 0, NULL, "%s (%s= in %s)", problem, q->key, q->f->path);
        bad |= problem != NULL;
    }
    if (!q->files) diag_error(d, q->f->path, 0, NULL, "%s= names no file", q->key);
    return bad || !q->files ? -1 : 0;
}

static dataset *open_request(const data_request *q, size_t limit, diag *d)
{
    const data_format *format = find_format(q, d);
    if (!format) return NULL;
    dataset *s = mem_calloc(1, sizeof *s);
    s->format = format;
    s->classes = q->f->classes;
    int bad = format->open(s, q, d);
    s->listed = s->count;
    if (!bad && !s->count) {
        diag_error(d, q->file[0], 0, NULL, "no images (%s= in %s)", q->key, q->f->path);
        bad = -1;
    }
    if (limit && limit < s->count) s->count = limit;
    if (!bad && q->need & DATA_BOXES) bad = data_read_boxes(s, q, d);
    if (!bad && is_detector(q)) bad = data_report_left_out(s, q, d);
    if (!bad) return s;
    dataset_free(s);
    return NULL;
}

dataset *dataset_open(const data_file *f, data_split split, size_t limit, int need, diag *d)
{
    data_request q = { .f = f, .key = split == DATA_TRAIN ? "train" : "valid", .need = need };
    q.labels = split == DATA_TRAIN ? f->train_labels : f->valid_labels;
    const char *value = split == DATA_TRAIN ? f->train : f->valid;
    if (!value) {
        diag_error(d, f->path, 0, NULL, "%s= is missing", q.key);
        diag_hint(d, "add a line `%s = FILE`: an IDX or CIFAR file, or a list of images", q.key);
        return NULL;
    }
    dataset *s = find_files(&q, value, d) ? NULL : open_request(&q, limit, d);
    data_free_strings(q.file, (size_t)q.files);
    return s;
}

void dataset_free(dataset *s)
{
    if (!s) return;
    for (int i = 0; i < s->parts; ++i) free(s->part[i].file);
    data_free_strings(s->path, s->listed);
    free(s->part);
    free(s->left_out);
    free(s->box);
    free(s->box_at);
    free(s->label);
    free(s->pixels);
    free(s);
}

size_t dataset_count(const dataset *s) { return s->count; }
int dataset_classes(const dataset *s) { return s->classes; }

uint64_t dataset_identity(const dataset *s)
{
    uint64_t h = HASH_START;
    if (s->pixels) return hash_bytes(s->pixels, s->count * (size_t)s->w * (size_t)s->h * (size_t)s->c, h);
    for (size_t i = 0; i < s->count; ++i) {
        struct stat st = { 0 };
        if (stat(s->path[i], &st)) st.st_size = -1;
        h = hash_bytes(s->path[i], strlen(s->path[i]) + 1, h);
        h = hash_bytes(&st.st_size, sizeof st.st_size, h);
    }
    return h;
}

int dataset_label(const dataset *s, size_t i) { return i < s->count && s->label[i] >= 0 ? s->label[i] : -1; }
int dataset_ambiguous(const dataset *s, size_t i) { return i < s->count && s->label[i] == DATA_SEVERAL_CLASSES; }

int dataset_has_boxes(const dataset *s) { return s->box_at != NULL; }

const data_box *dataset_boxes(const dataset *s, size_t i, int *n)
{
    *n = 0;
    if (!s->box_at || i >= s->count) return NULL;
    *n = (int)(s->box_at[i + 1] - s->box_at[i]);
    return *n ? s->box + s->box_at[i] : NULL;   /* nothing may be added to a NULL */
}

const char *dataset_left_out(const dataset *s, size_t i)
{
    static const char *const why[] = { NULL, "not there or not readable", "no label file" };
    return s->left_out && i < s->count ? why[s->left_out[i]] : NULL;
}

const char *dataset_name(const dataset *s, size_t i, char *buf, size_t len)
{
    if (s->path) {
        snprintf(buf, len, "%s", i < s->count ? s->path[i] : "?");
        return buf;
    }
    int p = s->parts - 1;
    while (p > 0 && s->part[p].first > i) --p;
    snprintf(buf, len, "%s#%zu", data_base_name(s->part[p].file), i - s->part[p].first);
    return buf;
}

int dataset_read(const dataset *s, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why, size_t why_len)
{
    *pixels = NULL;
    if (channels != 1 && channels != 3) snprintf(why, why_len, "images have 1 or 3 channels, not %d", channels);
    else if (i >= s->count) snprintf(why, why_len, "image %zu of %zu", i, s->count);
    else if (dataset_left_out(s, i)) snprintf(why, why_len, "%s", dataset_left_out(s, i));
    else return s->format->read(s, i, channels, pixels, w, h, why, why_len);
    return -1;
}
