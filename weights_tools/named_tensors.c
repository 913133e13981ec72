/* The list of named tensors and the choice of a reader. A format is known by its first bytes; ONNX, a bare protobuf,
 * has no mark of its own but begins with a small version number, and its file name is taken as a hint besides. */
#include "named_tensors.h"

#include "../darknet_plugin/in_file.h"
#include "../darknet_plugin/mem.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Zip archives begin with a local file header. */
static int is_zip(const file_image *f)
{
    return f->n >= 4 && !memcmp(f->byte, "PK\3\4", 4);
}

/* torch.save before 1.6: a pickle (protocol 2) of the number 0x1950a86a20f9469cfc6c. */
static int is_torch_legacy(const file_image *f)
{
    static const unsigned char magic[] = { 0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50, 0x19, '.' };
    return f->n >= sizeof magic && !memcmp(f->byte, magic, sizeof magic);
}

/* The header's length as 64 bits, then JSON. */
static int is_safetensors(const file_image *f)
{
    uint64_t header;
    if (f->n < 10 || f->byte[8] != '{') return 0;
    memcpy(&header, f->byte, sizeof header);
    return header <= f->n - 8;
}

/* Field 1, ir_version, is a small number (8 in 2022); protobuf writes fields in their order. */
static int is_onnx(const file_image *f)
{
    size_t n = strlen(f->path);
    return f->n >= 2 && ((f->byte[0] == 8 && f->byte[1] < 64) || (n > 5 && !strcmp(f->path + n - 5, ".onnx")));
}

static const struct format_row {
    const char *name;
    int (*known)(const file_image *f);
    int (*read)(const file_image *f, named_tensors *t, diag *d);
    int folded;
} FORMATS[] = {
    { "PyTorch checkpoint (zip)", is_zip, torch_zip_read, 0 },
    { "PyTorch checkpoint (legacy)", is_torch_legacy, torch_legacy_read, 0 },
    { "safetensors", is_safetensors, safetensors_read, 0 },
    { "ONNX", is_onnx, onnx_read, 1 },
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof *FORMATS };

static const struct format_row *format_of(const file_image *f, diag *d)
{
    for (int i = 0; i < FORMAT_COUNT; ++i)
        if (FORMATS[i].known(f)) return &FORMATS[i];
    diag_error(d, f->path, 0, NULL, "is no PyTorch checkpoint, no safetensors and no ONNX file");
    diag_hint(d, "in PyTorch: torch.save(model.state_dict(), 'model.pt')");
    return NULL;
}

static int load_image(const char *path, file_image *f, diag *d)
{
    *f = (file_image){ .path = path };
    int fd = in_file_open(path, "this model", &f->n, d);
    if (fd < 0) return -1;
    f->byte = in_file_take(fd, f->n);
    if (!f->byte) diag_error(d, path, 0, NULL, "cannot read this model: %s", strerror(errno));
    close(fd);
    return f->byte ? 0 : -1;
}

named_tensors *named_tensors_new(const char *path, size_t bytes)
{
    named_tensors *t = mem_calloc(1, sizeof *t);
    t->path = path;
    t->limit = bytes;
    return t;
}

void named_tensors_free(named_tensors *t)
{
    if (!t) return;
    for (int i = 0; i < t->n; ++i) {
        free(t->tensor[i].name);
        free(t->tensor[i].data);
    }
    free(t->tensor);
    free(t);
}

static int read_format(const struct format_row *row, const file_image *f, named_tensors *t, diag *d)
{
    t->format = row->name;
    t->folded = row->folded;
    if (row->read(f, t, d)) return -1;
    if (t->n) return 0;
    diag_error(d, f->path, 0, NULL, "%s without any tensor in it", row->name);
    return -1;
}

named_tensors *named_tensors_read(const char *path, diag *d)
{
    file_image f;
    if (load_image(path, &f, d)) return NULL;
    named_tensors *t = named_tensors_new(path, f.n);
    const struct format_row *row = format_of(&f, d);
    int failed = !row || read_format(row, &f, t, d);
    free((void *)(uintptr_t)f.byte);
    if (!failed) return t;
    named_tensors_free(t);
    return NULL;
}

void printable(char *text)
{
    for (; *text; ++text)
        if ((unsigned char)*text < 32 || (unsigned char)*text == 127) *text = '?';
}

int tensor_count(int dims, const size_t *dim, size_t *n)
{
    *n = 1;
    for (int i = 0; i < dims; ++i)
        if (__builtin_mul_overflow(*n, dim[i], n)) return -1;
    return 0;
}

const char *tensor_text(int dims, const size_t *dim, char *out)
{
    size_t at = 0;
    if (!dims) snprintf(out, TENSOR_TEXT, "number");
    for (int i = 0; i < dims && i < TENSOR_MAX_DIMS; ++i)
        at += (size_t)snprintf(out + at, TENSOR_TEXT - at, "%s%zu", i ? "x" : "", dim[i]);
    return out;
}

/* The tensor's place in the list, with no values yet. */
static named_tensor *append(named_tensors *t, const char *name, int dims, const size_t *dim, size_t n)
{
    if (t->n == t->room) {
        t->room = 2 * t->room + 64;
        t->tensor = mem_realloc(t->tensor, (size_t)t->room, sizeof *t->tensor);
    }
    named_tensor *x = &t->tensor[t->n++];
    *x = (named_tensor){ .name = mem_strdup(name), .dims = dims, .n = n, .layer = -1, .epsilon = -1 };
    if (dims) memcpy(x->dim, dim, (size_t)dims * sizeof *dim);
    printable(x->name);
    return x;
}

enum { SHARED_LETTERS = 8 };     /* of each letter in the file */

/* Why there is no room for this tensor; NULL if there is. */
static const char *no_room(const named_tensors *t, size_t letters, int dims, const size_t *dim, size_t *n)
{
    if (dims < 0 || dims > TENSOR_MAX_DIMS || tensor_count(dims, dim, n) || *n > t->limit - t->values) return "values";
    return letters > SHARED_LETTERS * t->limit - t->letters ? "names" : NULL;
}

named_tensor *named_tensors_add(named_tensors *t, const char *name, int dims, const size_t *dim, diag *d)
{
    size_t n, letters = strlen(name);
    const char *lacks = no_room(t, letters, dims, dim, &n);
    if (lacks || t->n == TENSOR_MAX) {
        char *clean = mem_printf("%.200s", name);
        printable(clean);
        if (!lacks) diag_error(d, t->path, 0, NULL, "more than %d tensors", TENSOR_MAX);
        else if (*lacks == 'n') diag_error(d, t->path, 0, NULL, "longer names than a file of %zu bytes explains, up to tensor '%s'", t->limit, clean);
        else diag_error(d, t->path, 0, NULL, "tensor '%s' is larger than a file of %zu bytes can hold", clean, t->limit);
        free(clean);
        return NULL;
    }
    named_tensor *x = append(t, name, dims, dim, n);
    x->data = mem_calloc(n, sizeof *x->data);
    t->values += n;
    t->letters += letters;
    return x;
}
