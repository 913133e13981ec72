/* IDX files, the format of MNIST and Fashion-MNIST (Y. LeCun, C. Cortes, C. Burges, yann.lecun.com/exdb/mnist),
 * plain or gzipped. Big-endian words:
 *   images  0x00000803, count, rows, columns, then count*rows*columns bytes
 *   labels  0x00000801, count, then count bytes
 * Only unsigned bytes. The header is believed only as far as there are bytes to match, and where no more than some
 * images are wanted no more are read: memory grows with what is used. */
#include "dataset_internal.h"
#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* A file whose header has been read. */
typedef struct idx_file {
    const char *path;          /* borrowed */
    gzFile zip;
    idx_header header;
} idx_file;

static const char *items(const idx_header *header) { return header->magic == MAGIC_IMAGES ? "images" : "labels"; }

/* Bytes behind the header that a file can stand for: gzip makes 1032 of one at best. */
static size_t most_bytes(const idx_file *file)
{
    struct stat st;
    size_t bytes = stat(file->path, &st) || st.st_size < 0 ? 0 : (size_t)st.st_size;
    size_t header = file->header.magic == MAGIC_IMAGES ? 16 : 8;
    bytes = gzdirect(file->zip) ? bytes : 1032 * bytes;
    return bytes > header ? bytes - header : 0;
}

/* Does the header declare more than there can be? */
static int check_length(const idx_file *file, diag *d)
{
    const idx_header *h = &file->header;
    size_t size = (size_t)h->h * h->w, most = most_bytes(file) / size;
    if (h->n <= most) return 0;
    diag_error(d, file->path, 0, NULL, "truncated or damaged: %s%zu of %u %s", gzdirect(file->zip) ? "" : "at most ",
               most, h->n, items(h));
    return -1;
}

static void close_idx(idx_file *file)
{
    if (file->zip) gzclose(file->zip);
    file->zip = NULL;
}

/* Opens a file and reads its header. -1 after reporting, then it is closed. */
static int open_idx(idx_file *file, const char *path, uint32_t magic, diag *d)
{
    *file = (idx_file){ .path = path, .zip = gzopen(path, "rb") };
    if (!file->zip) {
        diag_error(d, path, 0, NULL, "cannot be opened");
        return -1;
    }
    in_file_note(path, d);
    gzbuffer(file->zip, 1 << 17);
    if (!read_header(file->zip, path, magic, &file->header, d) && !check_length(file, d)) return 0;
    close_idx(file);
    return -1;
}

enum { PIECE = 1 << 20 };

/* Appends up to `want` bytes to *buf, which holds `used`; returns how many came. Memory grows as they come. */
static size_t read_bytes(gzFile zip, uint8_t **buf, size_t used, size_t want)
{
    size_t got = 0, room = 0;
    while (got < want) {
        if (got == room) {
            room = room ? 2 * room : PIECE;
            if (room > want) room = want;
            *buf = mem_realloc(*buf, used + room, 1);
        }
        size_t piece = room - got < PIECE ? room - got : PIECE;
        int n = gzread(zip, *buf + used + got, (unsigned)piece);
        if (n <= 0) break;
        got += (size_t)n;
    }
    return got;
}

/* The same, kept nowhere. */
static size_t pass_bytes(gzFile zip, size_t want)
{
    uint8_t *piece = mem_calloc(PIECE, 1);
    size_t got = 0;
    for (int n = 1; got < want && n > 0; got += n > 0 ? (size_t)n : 0)
        n = gzread(zip, piece, (unsigned)(want - got < PIECE ? want - got : PIECE));
    free(piece);
    return got;
}

/* Behind the last item: nothing, and a right checksum. */
static int check_end(const idx_file *file, diag *d)
{
    const idx_header *h = &file->header;
    uint8_t more;
    int rest = gzread(file->zip, &more, 1), code = Z_OK;
    if (rest <= 0) gzerror(file->zip, &code);
    if (rest == 0 && code == Z_OK) return 0;
    if (rest > 0)
        diag_error(d, file->path, 0, NULL, "longer than its header says: bytes follow the %u %s", h->n, items(h));
    else diag_error(d, file->path, 0, NULL, "damaged after the %u %s: the gzip check failed", h->n, items(h));
    return -1;
}

/* The first n items to *buf behind the `used` bytes there, or, without a buf, nowhere; all of them are no more and no
 * less than the header says. 0 or -1 after reporting. */
static int read_body(const idx_file *file, size_t n, uint8_t **buf, size_t used, diag *d)
{
    const idx_header *h = &file->header;
    size_t size = (size_t)h->h * h->w, want = size * n;
    size_t got = buf ? read_bytes(file->zip, buf, used, want) : pass_bytes(file->zip, want);
    if (got == want) return n < h->n ? 0 : check_end(file, d);
    diag_error(d, file->path, 0, NULL, "truncated or damaged: %zu of %u %s", got / size, h->n, items(h));
    return -1;
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

/* Opens the labels that go with `images`, part i, where there are any: labels->path is the caller's to free. 0, or -1
 * after reporting. */
static int open_labels(idx_file *labels, const data_request *request, int i, const idx_file *images, diag *d)
{
    int bad = 0;
    char *path = find_labels(request, i, &bad, d);
    *labels = (idx_file){ .path = path };
    if (!bad && path) bad = open_idx(labels, path, MAGIC_LABELS, d);
    if (bad || !path || labels->header.n == images->header.n) return bad;
    diag_error(d, path, 0, NULL, "%u labels, but %s holds %u images", labels->header.n, images->path, images->header.n);
    return -1;
}

/* Labels of the n images from set->count on; -1 each where there is no file. */
static int add_labels(dataset *set, const idx_file *labels, size_t n, diag *d)
{
    uint8_t *byte = NULL;
    int bad = labels->zip ? read_body(labels, n, &byte, 0, d) : 0;
    if (!bad) {
        set->label = mem_realloc(set->label, set->count + n, sizeof *set->label);
        for (size_t k = 0; k < n; ++k) set->label[set->count + k] = labels->zip ? byte[k] : -1;
        if (labels->zip) bad = data_check_labels(set, set->count, n, labels->path, d);
    }
    free(byte);
    return bad;
}

/* Part i, its headers read: the images that are wanted, and their labels. */
static int add_images(dataset *set, const data_request *request, const idx_file *images, const idx_file *labels,
                      diag *d)
{
    const idx_header *h = &images->header;
    size_t used = set->count * (size_t)set->w * (size_t)set->h, n = data_wanted(set, request, h->n);
    if (set->count && ((int)h->w != set->w || (int)h->h != set->h)) {
        diag_error(d, images->path, 0, NULL, "images of %ux%u, but %s has %dx%d", h->w, h->h, request->path[0], set->w,
                   set->h);
        return -1;
    }
    set->w = (int)h->w;
    set->h = (int)h->h;
    data_add_part(set, images->path);
    if (read_body(images, n, request->need & DATA_LOOK ? NULL : &set->pixels, used, d)) return -1;
    if (add_labels(set, labels, n, d)) return -1;
    set->count += n;
    return 0;
}

/* Adds part i, images and labels: how many there are of both is known before either is read. */
static int add_file(dataset *set, const data_request *request, int i, diag *d)
{
    idx_file images, labels = { 0 };
    if (open_idx(&images, request->path[i], MAGIC_IMAGES, d)) return -1;
    int bad = open_labels(&labels, request, i, &images, d) || add_images(set, request, &images, &labels, d);
    close_idx(&images);
    close_idx(&labels);
    free((char *)(uintptr_t)labels.path);
    return bad ? -1 : 0;
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
