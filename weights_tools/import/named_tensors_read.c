/* The choice of a reader. A format is known by its first bytes; ONNX, a bare protobuf, has no mark of its own but
 * begins with a small version number, and its file name is taken as a hint besides. */
#include "named_tensors.h"

#include "darknet_plugin/base/in_file.h"

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Zip archives begin with a local file header. */
static const char zip_mark[] = "PK\3\4";

static int is_zip(const file_image *file)
{
    return !file->byte || (file->n >= 4 && !memcmp(file->byte, zip_mark, 4));
}

/* torch.save before 1.6: a pickle (protocol 2) of the number 0x1950a86a20f9469cfc6c. */
static int is_torch_legacy(const file_image *file)
{
    static const unsigned char magic[] = { 0x80, 2, 0x8a, 10, 0x6c, 0xfc, 0x9c, 0x46, 0xf9, 0x20, 0x6a, 0xa8, 0x50,
                                           0x19, '.' };
    return file->n >= sizeof magic && !memcmp(file->byte, magic, sizeof magic);
}

/* The header's length as 64 bits, then JSON. */
static int is_safetensors(const file_image *file)
{
    uint64_t header;
    if (file->n < 10 || file->byte[8] != '{') return 0;
    memcpy(&header, file->byte, sizeof header);
    return header <= file->n - 8;
}

/* Field 1, ir_version, is a small number (8 in 2022); protobuf writes fields in their order. */
static int is_onnx(const file_image *file)
{
    size_t n = strlen(file->path);
    return file->n >= 2 && ((file->byte[0] == 8 && file->byte[1] < 64) ||
                            (n > 5 && !strcmp(file->path + n - 5, ".onnx")));
}

static const struct format_row {
    const char *name;
    int (*known)(const file_image *file);
    int (*read)(const file_image *file, named_tensors *tensors, diag *d);
    int folded;
} FORMATS[] = {
    { "PyTorch checkpoint (zip)", is_zip, torch_zip_read, 0 },
    { "PyTorch checkpoint (legacy)", is_torch_legacy, torch_legacy_read, 0 },
    { "safetensors", is_safetensors, safetensors_read, 0 },
    { "ONNX", is_onnx, onnx_read, 1 },
};
enum { FORMAT_COUNT = sizeof FORMATS / sizeof *FORMATS };

static const struct format_row *format_of(const file_image *file, diag *d)
{
    for (int i = 0; i < FORMAT_COUNT; ++i)
        if (FORMATS[i].known(file)) return &FORMATS[i];
    diag_error(d, file->path, 0, NULL, "is no PyTorch checkpoint, no safetensors and no ONNX file");
    diag_hint(d, "in PyTorch: torch.save(model.state_dict(), 'model.pt')");
    return NULL;
}

/* Opens the file, and reads it whole unless it is an archive. */
static int load_image(const char *path, file_image *file, diag *d)
{
    char mark[4];
    *file = (file_image){ .path = path, .fd = -1 };
    int fd = in_file_open(path, "this model", &file->n, d);
    if (fd < 0) return -1;
    if (pread(fd, mark, sizeof mark, 0) == sizeof mark && !memcmp(mark, zip_mark, sizeof mark)) {
        file->fd = fd;      /* its entries are read one by one */
        return 0;
    }
    file->byte = in_file_take(fd, file->n);
    if (!file->byte) diag_error(d, path, 0, NULL, "cannot read this model: %s", strerror(errno));
    close(fd);
    return file->byte ? 0 : -1;
}

static int read_format(const struct format_row *row, const file_image *file, named_tensors *tensors, diag *d)
{
    tensors->format = row->name;
    tensors->folded = row->folded;
    if (row->read(file, tensors, d)) return -1;
    if (!tensors->graph) named_tensors_restore_order(tensors);
    if (tensors->n) return 0;
    diag_error(d, file->path, 0, NULL, "%s without any tensor in it", row->name);
    return -1;
}

named_tensors *named_tensors_read(const char *path, diag *d)
{
    file_image file;
    if (load_image(path, &file, d)) return NULL;
    named_tensors *tensors = named_tensors_new(path, file.n);
    const struct format_row *row = format_of(&file, d);
    int failed = !row || read_format(row, &file, tensors, d);
    free((void *)(uintptr_t)file.byte);
    if (file.fd >= 0) close(file.fd);
    if (!failed) return tensors;
    named_tensors_free(tensors);
    return NULL;
}
