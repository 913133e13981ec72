/* The binary versions of CIFAR-10 and CIFAR-100 (A. Krizhevsky, www.cs.toronto.edu/~kriz/cifar.html). A record is
 *   CIFAR-10    label,               then 3 planes (red, green, blue) of 32x32 bytes: 3073 bytes
 *   CIFAR-100   coarse, fine label,  then the same:                                  3074 bytes
 * A file is nothing but records, so its size and the number of classes tell which it is. The coarse label is
 * ignored. */
#include "dataset_internal.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 32, AREA = SIDE * SIDE, BODY = 3 * AREA };

static size_t file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && st.st_size > 0 ? (size_t)st.st_size : 0;
}

static int probe(const char *path, size_t record)
{
    size_t len = strlen(path), size = file_size(path);
    return len > 4 && !strcmp(path + len - 4, ".bin") && size && size % record == 0;
}

static int probe10(const char *path, int classes) { return classes == 10 && probe(path, 1 + BODY); }
static int probe100(const char *path, int classes) { return classes == 100 && probe(path, 2 + BODY); }

const char *data_cifar_format(const char *path, size_t *records, int *classes)
{
    size_t size = file_size(path), labels = size % (1 + BODY) ? 2 : 1;
    if (!size || size % (labels + BODY)) return NULL;
    *records = size / (labels + BODY);
    *classes = labels == 1 ? 10 : 100;
    return labels == 1 ? "cifar10" : "cifar100";
}

/* To image i of the set: planes become pixels, where these are kept. */
static void add_record(dataset *set, size_t i, const uint8_t *record, int labels)
{
    const uint8_t *plane = record + labels;
    uint8_t *out = set->pixels ? set->pixels + i * BODY : NULL;
    set->label[i] = record[labels - 1];
    for (size_t p = 0; out && p < AREA; ++p)
        for (size_t k = 0; k < 3; ++k) out[3 * p + k] = plane[k * AREA + p];
}

/* Adds the first n records, each of `labels` bytes and an image. */
static int read_records(dataset *set, FILE *in, const char *path, size_t n, int labels, int keep, diag *d)
{
    uint8_t record[2 + BODY];
    size_t size = (size_t)labels + BODY;
    if (keep) set->pixels = mem_realloc(set->pixels, set->count + n, BODY);
    set->label = mem_realloc(set->label, set->count + n, sizeof *set->label);
    for (size_t i = 0; i < n; ++i) {
        if (fread(record, 1, size, in) != size) {
            diag_error(d, path, 0, NULL, "cannot be read beyond record %zu of %zu", i, n);
            return -1;
        }
        add_record(set, set->count + i, record, labels);
    }
    return data_check_labels(set, set->count, n, path, d);
}

/* Adds a file, which is whole records and nothing else; of these what is wanted. */
static int add_file(dataset *set, const data_request *request, const char *path, int labels, diag *d)
{
    size_t size = file_size(path), record = (size_t)labels + BODY, other = (size_t)(3 - labels) + BODY;
    if (!size || size % record) {
        diag_error(d, path, 0, NULL, "%zu bytes are not a whole number of %zu-byte records", size, record);
        if (size && size % other == 0)
            diag_hint(d, "they would be records of format=%s", labels == 1 ? "cifar100" : "cifar10");
        return -1;
    }
    FILE *in = in_file_stream(path, d);
    if (!in) {
        diag_error(d, path, 0, NULL, "%s", strerror(errno));
        return -1;
    }
    size_t n = data_wanted(set, request, size / record);
    data_add_part(set, path);
    int bad = read_records(set, in, path, n, labels, !(request->need & DATA_LOOK), d);
    fclose(in);
    if (!bad) set->count += n;
    return bad;
}

static int open_files(dataset *set, const data_request *request, int labels, diag *d)
{
    int bad = 0;
    set->w = set->h = SIDE;
    set->c = 3;
    for (int i = 0; i < request->paths; ++i) bad |= add_file(set, request, request->path[i], labels, d);
    return bad;
}

static int open10(dataset *set, const data_request *request, diag *d) { return open_files(set, request, 1, d); }
static int open100(dataset *set, const data_request *request, diag *d) { return open_files(set, request, 2, d); }

const data_format data_cifar10 = {
    .name = "cifar10", .what = "a CIFAR-10 file", .problem = path_problem, .probe = probe10, .open = open10,
    DATA_IN_MEMORY
};
const data_format data_cifar100 = {
    .name = "cifar100", .what = "a CIFAR-100 file", .problem = path_problem, .probe = probe100, .open = open100,
    DATA_IN_MEMORY
};
