/* What the dataset formats share (see dataset_internal.h): texts, names of classes, and the last functions of a
 * row, for pixels kept in memory and for images kept in files. */
#include "dataset_internal.h"

#include "image_io.h"
#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- texts ---- */

enum { MOST_LINE = 1 << 20 };

ssize_t data_getline(char **text, size_t *room, FILE *in)
{
    size_t n = 0;
    for (int c = 1; c && c != '\n' && n < MOST_LINE && (c = getc(in)) != EOF; (*text)[n++] = (char)c) {
        if (n + 1 < *room) continue;
        *room = *room ? 2 * *room : 256;
        *text = mem_realloc(*text, *room, 1);
    }
    if (!n) return -1;
    if (n == MOST_LINE) (*text)[0] = 0;
    (*text)[n] = 0;
    return (ssize_t)n;
}

int data_read_whole(FILE *in, const char *path, diag *d)
{
    if (!ferror(in)) return 0;
    diag_error(d, path, 0, NULL, "cannot be read to its end: %s", strerror(errno));
    return -1;
}

void data_free_strings(char **text, size_t count)
{
    for (size_t i = 0; text && i < count; ++i) free(text[i]);
    free(text);
}

char **data_split_commas(const char *text, int *n)
{
    char **item = NULL;
    *n = 0;
    while (*text) {
        size_t len = strcspn(text, ","), skip = strspn(text, " \t");
        size_t end = len;
        while (end > skip && strchr(" \t", text[end - 1])) --end;
        if (end > skip) {
            item = mem_realloc(item, (size_t)*n + 1, sizeof *item);
            item[(*n)++] = mem_printf("%.*s", (int)(end - skip), text + skip);
        }
        text += len;
        if (*text) ++text;
    }
    return item;
}

/* ---- classes ---- */

static int by_name(const void *left, const void *right)
{
    const named_class *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : a->class - b->class;
}

void data_names_add(data_names *names, char *const *name, int classes)
{
    if (!name) return;
    names->entry = mem_realloc(names->entry, names->n + (size_t)classes, sizeof *names->entry);
    for (int i = 0; i < classes; ++i) names->entry[names->n++] = (named_class){ name[i], i };
    qsort(names->entry, names->n, sizeof *names->entry, by_name);
}

/* A search by halves, then a look at all of that name. */
int data_class_named(const data_names *names, const char *name)
{
    size_t lo = 0, hi = names->n;
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        if (strcmp(names->entry[mid].name, name) < 0) lo = mid + 1;
        else hi = mid;
    }
    int class = DATA_NO_CLASS;
    for (; lo < names->n && !strcmp(names->entry[lo].name, name); ++lo) {
        if (class >= 0 && class != names->entry[lo].class) return DATA_SEVERAL_CLASSES;
        class = names->entry[lo].class;
    }
    return class;
}

int data_class_written(const data_names *names, const char *text, int classes)
{
    size_t digits = strspn(text, "0123456789");
    int class = data_class_named(names, text);
    if (class != DATA_NO_CLASS || !digits || text[digits] || digits > 9) return class;
    long n = strtol(text, NULL, 10);
    return n < classes ? (int)n : DATA_NO_CLASS;
}

int data_check_labels(const dataset *set, size_t first, size_t n, const char *file, diag *d)
{
    size_t bad = 0, at = 0;
    for (size_t i = first; i < first + n; ++i)
        if (set->label[i] < 0 || set->label[i] >= set->classes) {
            if (!bad++) at = i;
        }
    if (!bad) return 0;
    diag_error(d, file, 0, NULL, "label %d of image %zu is not in 0..%d (%zu such labels)", set->label[at], at - first,
               set->classes - 1, bad);
    diag_hint(d, "set classes= in the .data file to the number of classes of these labels");
    return -1;
}

/* ---- all formats ---- */

void data_keep_last(dataset *set, size_t n)
{
    size_t skip = set->count - n, size = (size_t)set->w * (size_t)set->h * (size_t)set->c;
    memmove(set->label, set->label + skip, n * sizeof *set->label);
    if (set->pixels) memmove(set->pixels, set->pixels + skip * size, n * size);
    for (size_t i = 0; set->path && i < skip; ++i) free(set->path[i]);
    if (set->path) {
        memmove(set->path, set->path + skip, n * sizeof *set->path);
        memmove(set->left_out, set->left_out + skip, n * sizeof *set->left_out);
    }
    set->skipped = skip;
    set->count = set->listed = n;
}

/* ---- formats kept in memory ---- */

void data_add_part(dataset *set, const char *file)
{
    set->part = mem_realloc(set->part, (size_t)set->parts + 1, sizeof *set->part);
    set->part[set->parts++] = (data_part){ mem_strdup(file), set->count };
}

size_t data_wanted(const dataset *set, const data_request *request, size_t there)
{
    if (!request->limit || request->data->held_out) return there;    /* those that are held out are the last ones */
    size_t more = set->count < request->limit ? request->limit - set->count : 0;
    return there < more ? there : more;
}

/* n pixels of c channels become ones of `channels`. Grey as OpenCV has it: .299 R + .587 G + .114 B in 14-bit fixed
 * point. */
static void convert_pixels(const uint8_t *in, int c, uint8_t *out, int channels, size_t n)
{
    if (c == channels) memcpy(out, in, n * (size_t)c);
    else if (c == 1)
        for (size_t i = 0; i < n; ++i) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = in[i];
    else
        for (size_t i = 0; i < n; ++i)
            out[i] = (uint8_t)((in[3 * i] * 4899 + in[3 * i + 1] * 9617 + in[3 * i + 2] * 1868 + 8192) >> 14);
}

/* Images are (h, w, c); the answer is (h, w, channels). */
int data_memory_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                     size_t why_len)
{
    size_t n = (size_t)set->w * (size_t)set->h;
    uint8_t *out = set->pixels ? malloc(n * (size_t)channels) : NULL;
    if (!set->pixels) {
        snprintf(why, why_len, "the pixels were not kept");
        return DATA_UNREADABLE;
    }
    if (!out) {
        snprintf(why, why_len, "out of memory for %zu pixels", n);
        return -1;
    }
    convert_pixels(set->pixels + i * n * (size_t)set->c, set->c, out, channels, n);
    *pixels = out;
    *w = set->w;
    *h = set->h;
    return 0;
}

int data_memory_size(const dataset *set, size_t i, int *w, int *h)
{
    (void)i;
    *w = set->w;
    *h = set->h;
    return 0;
}

uint64_t data_memory_identity(const dataset *set)
{
    if (!set->pixels) return 0;
    return hash_bytes(set->pixels, set->count * (size_t)set->w * (size_t)set->h * (size_t)set->c, HASH_START);
}

void data_memory_name(const dataset *set, size_t i, char *buf, size_t len)
{
    int p = set->parts - 1;
    size_t at = set->skipped + i;
    while (p > 0 && set->part[p].first > at) --p;
    snprintf(buf, len, "%s#%zu", path_base_name(set->part[p].file), at - set->part[p].first);
}

void data_memory_free(dataset *set)
{
    for (int i = 0; i < set->parts; ++i) free(set->part[i].file);
    free(set->part);
    free(set->pixels);
}

/* ---- formats kept in files ---- */

void data_add_image(dataset *set, char *path, int label)
{
    if (set->room == set->count) {
        set->room = set->room ? 2 * set->room : 1024;
        set->path = mem_realloc(set->path, set->room, sizeof *set->path);
        set->label = mem_realloc(set->label, set->room, sizeof *set->label);
        set->left_out = mem_realloc(set->left_out, set->room, sizeof *set->left_out);
    }
    set->left_out[set->count] = DATA_USED;
    set->label[set->count] = label;
    set->path[set->count++] = path;
}

/* What a file that has been read held, against what it held before. */
static int check_print(const dataset *set, size_t i, data_print *print, const image_file *file)
{
    if (data_prints_know(set->prints, i, print)) return 0;
    print->hash = data_hash(file->byte, file->n);
    return data_prints_met(set->prints, i, print);
}

/* What cannot be read is remembered, too: a run that went on without it is another one once it can be. */
static void note_unreadable(const dataset *set, size_t i)
{
    data_print print;
    if (!data_print_read(set->path[i], &print)) (void)data_prints_met(set->prints, i, &print);
}

/* Is it known what the file of image i holds, without reading it? Then `print` has its hash. Less than 0: it held
 * something else before. */
static int know_print(const dataset *set, size_t i, data_print *print)
{
    struct stat st;
    if (!set->cache || stat(set->path[i], &st) || !S_ISREG(st.st_mode)) return 0;
    *print = data_print_of(&st);
    if (!data_prints_know(set->prints, i, print) && !image_cache_know(set->cache, print)) return 0;
    return data_prints_met(set->prints, i, print) ? DATA_CHANGED : 1;
}

/* Decodes a file, shrinks it where that is wanted, and stores what came of it. */
static int decode_file(const dataset *set, const image_file *file, image_kind kind, image_pixels *image, char *why,
                       size_t why_len)
{
    if (image_decode_file(file, kind.channels, &image->pixels, &image->w, &image->h, why, why_len)) return -1;
    if (kind.side && image_reduce(&image->pixels, &image->w, &image->h, kind.channels, kind.side, why, why_len)) {
        free(image->pixels);
        image->pixels = NULL;
        return -1;
    }
    if (set->cache) image_cache_put(set->cache, &file->print, kind, image);
    return 0;
}

/* Image i by its file; `known`: the cache was asked for it before, by its print. */
static int read_file(const dataset *set, size_t i, image_kind kind, int known, image_pixels *image, char *why,
                     size_t why_len)
{
    image_file file;
    if (image_file_read(set->path[i], &file, why, why_len)) {
        note_unreadable(set, i);
        return DATA_UNREADABLE;
    }
    int failed = check_print(set, i, &file.print, &file) ? DATA_CHANGED : 0;
    int cached = !failed && set->cache && !known && image_cache_get(set->cache, &file.print, kind, image);
    if (!failed && !cached) failed = decode_file(set, &file, kind, image, why, why_len);
    image_file_free(&file);
    return failed;
}

int data_files_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                    size_t why_len)
{
    image_kind kind = { channels, set->side };
    image_pixels image = { 0 };
    data_print print = { 0 };
    int known = know_print(set, i, &print), failed = known < 0 ? DATA_CHANGED : 0;
    if (!failed && !(known && image_cache_get(set->cache, &print, kind, &image)))
        failed = read_file(set, i, kind, known, &image, why, why_len);
    if (failed == DATA_CHANGED) snprintf(why, why_len, "holds something else than when it was first read");
    *pixels = image.pixels;
    *w = image.w;
    *h = image.h;
    return failed;
}

int data_files_size(const dataset *set, size_t i, int *w, int *h)
{
    image_size size = { 0 };
    int failed = image_file_size(set->path[i], &size) || size.w > INT_MAX || size.h > INT_MAX;
    *w = (int)size.w;
    *h = (int)size.h;
    return failed ? -1 : 0;
}

void data_files_name(const dataset *set, size_t i, char *buf, size_t len)
{
    snprintf(buf, len, "%s", i < set->count ? set->path[i] : "?");
}

void data_files_free(dataset *set)
{
    data_free_strings(set->path, set->listed);
    free(set->left_out);
}

int dataset_too_many_left_out(const dataset *set, size_t images, size_t unlabelled)
{
    enum { FEW = 5 };
    if (images + unlabelled == set->count) return 1;
    return images + (unlabelled < FEW ? 0 : unlabelled) > set->count / 100;
}
