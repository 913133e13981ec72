/* IDX files, the format of MNIST and Fashion-MNIST (Y. LeCun, C. Cortes, C. Burges, yann.lecun.com/exdb/mnist),
 * plain or gzipped. Big-endian words:
 *   images  0x00000803, count, rows, columns, then count*rows*columns bytes
 *   labels  0x00000801, count, then count bytes
 * Only unsigned bytes. The header is believed only as far as there are bytes to match: memory grows with what is
 * read. */
#include "dataset_internal.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum { MAGIC_LABELS = 0x801, MAGIC_IMAGES = 0x803, MAX_SIDE = 16384 };

typedef struct idx_header {
    uint32_t magic, n, h, w;   /* h and w are 1 for labels */
} idx_header;

static int read_word(gzFile zip, uint32_t *word)
{
    uint8_t b[4];
    if (gzread(zip, b, 4) != 4) return -1;
    *word = (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
    return 0;
}

/* Nothing else may be gzipped, so a gzip file that cannot even be read is one of these, damaged. */
static int idx_probe(const char *path, int classes)
{
    (void)classes;
    uint32_t magic = 0;
    gzFile zip = gzopen(path, "rb");
    if (!zip) return 0;
    int read = read_word(zip, &magic) == 0, ok = (read && magic == MAGIC_IMAGES) || !gzdirect(zip);
    gzclose(zip);
    return ok;
}

/* The magic number must be `want`; sizes are within reason. */
static int read_header(gzFile zip, const char *path, uint32_t want, idx_header *header, diag *d)
{
    *header = (idx_header){ .h = 1, .w = 1 };
    if (read_word(zip, &header->magic)) {
        diag_error(d, path, 0, NULL, "too short for an IDX file, or damaged");
        return -1;
    }
    if (header->magic != want) {
        diag_error(d, path, 0, NULL, "not an IDX %s file: magic number 0x%08x, expected 0x%08x",
                   want == MAGIC_IMAGES ? "image" : "label", header->magic, want);
        return -1;
    }
    int cut = read_word(zip, &header->n);
    if (!cut && want == MAGIC_IMAGES) cut = read_word(zip, &header->h) || read_word(zip, &header->w);
    if (cut) {
        diag_error(d, path, 0, NULL, "the IDX header is cut short");
        return -1;
    }
    if (header->h < 1 || header->h > MAX_SIDE || header->w < 1 || header->w > MAX_SIDE) {
        diag_error(d, path, 0, NULL, "images of %ux%u, expected sides from 1 to %d", header->h, header->w, MAX_SIDE);
        return -1;
    }
    return 0;
}

/* Appends up to `want` bytes to *buf, which holds `used`; returns how many came. */
static size_t read_bytes(gzFile zip, uint8_t **buf, size_t used, size_t want)
{
    size_t got = 0, room = 0;
    while (got < want) {
        if (got == room) {
            room = room ? 2 * room : (size_t)1 << 20;
            if (room > want) room = want;
            *buf = mem_realloc(*buf, used + room, 1);
        }
        size_t piece = room - got < (size_t)1 << 20 ? room - got : (size_t)1 << 20;
        int n = gzread(zip, *buf + used + got, (unsigned)piece);
        if (n <= 0) break;
        got += (size_t)n;
    }
    return got;
}

/* The body: exactly n*h*w bytes, no more and no less. 0 or -1 after reporting. */
static int read_body(gzFile zip, const char *path, const idx_header *header, uint8_t **buf, size_t used, diag *d)
{
    size_t size = (size_t)header->h * header->w, want = size * header->n, got = read_bytes(zip, buf, used, want);
    const char *what = header->magic == MAGIC_IMAGES ? "images" : "labels";
    if (got < want) {
        diag_error(d, path, 0, NULL, "truncated or damaged: %zu of %u %s", got / size, header->n, what);
        return -1;
    }
    uint8_t more;
    int rest = gzread(zip, &more, 1), code = Z_OK;
    if (rest <= 0) gzerror(zip, &code);
    if (rest == 0 && code == Z_OK) return 0;
    if (rest > 0) diag_error(d, path, 0, NULL, "longer than its header says: bytes follow the %u %s", header->n, what);
    else diag_error(d, path, 0, NULL, "damaged after the %u %s: the gzip check failed", header->n, what);
    return -1;
}

/* Opens, reads header and body, closes. */
static int read_idx(const char *path, uint32_t magic, idx_header *header, uint8_t **buf, size_t used, diag *d)
{
    gzFile zip = gzopen(path, "rb");
    if (!zip) {
        diag_error(d, path, 0, NULL, "cannot be opened");
        return -1;
    }
    in_file_note(path, d);
    gzbuffer(zip, 1 << 17);
    int bad = read_header(zip, path, magic, header, d);
    if (!bad) bad = read_body(zip, path, header, buf, used, d);
    gzclose(zip);
    return bad;
}

/* The label file that goes with an image file: images-idx3 -> labels-idx1 in its base name; NULL if it has no such. */
static char *labels_beside(const char *images)
{
    const char *at = strstr(path_base_name(images), "images-idx3");
    if (!at) return NULL;
    return mem_printf("%.*slabels-idx1%s", (int)(at - images), images, at + strlen("images-idx3"));
}

/* Where part i's labels are. NULL: none; *bad is set if that is an error. */
static char *find_labels(const data_request *request, int i, int *bad, diag *d)
{
    const char *images = request->path[i];
    int named = 0;
    char *path = NULL, **name = request->labels ? data_split_commas(request->labels, &named) : NULL;
    if (request->labels && named != request->paths) {
        if (i == 0)
            diag_error(d, request->data->path, 0, NULL, "%s_labels= names %d files, %s= %d", request->key, named,
                       request->key, request->paths);
        *bad = -1;
    } else {
        path = named ? path_named_in(request->data->path, name[i]) : labels_beside(images);
    }
    data_free_strings(name, (size_t)named);
    if (*bad || (path && !path_problem(path))) return path;
    if (request->labels || (request->need & DATA_CLASSES)) {
        *bad = -1;
        if (path) diag_error(d, path, 0, NULL, "label file is not there or not readable (images: %s)", images);
        else diag_error(d, images, 0, NULL, "no label file known for these images");
        diag_hint(d, "name it with %s_labels= in %s", request->key, request->data->path);
    }
    free(path);
    return NULL;
}

/* Labels of the n images from set->count on; -1 each where there is no file. */
static int add_labels(dataset *set, const data_request *request, int i, size_t n, diag *d)
{
    int bad = 0;
    char *path = find_labels(request, i, &bad, d);
    uint8_t *byte = NULL;
    idx_header h = { 0 };
    if (!bad && path) bad = read_idx(path, MAGIC_LABELS, &h, &byte, 0, d);
    if (!bad && path && h.n != n) {
        diag_error(d, path, 0, NULL, "%u labels, but %s holds %zu images", h.n, request->path[i], n);
        bad = -1;
    }
    if (!bad) {
        set->label = mem_realloc(set->label, set->count + n, sizeof *set->label);
        for (size_t k = 0; k < n; ++k) set->label[set->count + k] = path ? byte[k] : -1;
        if (path) bad = data_check_labels(set, set->count, n, path, d);
    }
    free(byte);
    free(path);
    return bad;
}

/* Adds part i, images and labels. */
static int add_file(dataset *set, const data_request *request, int i, diag *d)
{
    idx_header h;
    const char *path = request->path[i];
    size_t used = set->count * (size_t)set->w * (size_t)set->h;
    if (read_idx(path, MAGIC_IMAGES, &h, &set->pixels, used, d)) return -1;
    if (set->count && ((int)h.w != set->w || (int)h.h != set->h)) {
        diag_error(d, path, 0, NULL, "images of %ux%u, but %s has %dx%d", h.w, h.h, request->path[0], set->w, set->h);
        return -1;
    }
    set->w = (int)h.w;
    set->h = (int)h.h;
    data_add_part(set, path);
    int bad = add_labels(set, request, i, h.n, d);
    if (!bad) set->count += h.n;
    return bad;
}

static int idx_open(dataset *set, const data_request *request, diag *d)
{
    set->c = 1;
    int bad = 0;
    for (int i = 0; i < request->paths; ++i) bad |= add_file(set, request, i, d);
    return bad;
}

const data_format data_idx = {
    .name = "idx", .what = "an IDX file", .problem = path_problem, .probe = idx_probe, .open = idx_open,
    DATA_IN_MEMORY
};
