/* Named float32 tensors from other programs' files: what every reader gives and all that importing sees.
 *
 *   PyTorch .pt .pth    zip or legacy pickle (torch_read.c, pickle.c)      safetensors   safetensors_read.c
 *   ONNX                onnx_read.cpp, onnx_external.cpp, graph_weights.c
 *
 * A file is read into memory whole; no size or count in it leads beyond that, nor to more values than it has bytes.
 * To add a format: write its reader, declare it below, add its row to the table in named_tensors_read.c. */
#ifndef DISTILL_NAMED_TENSORS_H
#define DISTILL_NAMED_TENSORS_H
#ifdef __cplusplus
extern "C" {
#endif
#include "darknet_plugin/base/diag.h"

#include <stddef.h>

enum { TENSOR_MAX_DIMS = 8, TENSOR_MAX = 65536, TENSOR_TEXT = 200 };

/* What a tensor is to its layer; scale to variance are batch norm's. */
typedef enum { PART_WEIGHT, PART_BIAS, PART_SCALE, PART_SHIFT, PART_MEAN, PART_VARIANCE, PARTS } tensor_part;

typedef struct named_tensor {
    char *name;                    /* printable, owned */
    int dims;                      /* 0 = one number */
    size_t dim[TENSOR_MAX_DIMS];
    size_t n;                      /* product of dim */
    float *data;                   /* n, owned */
    int integer;                   /* stored as whole numbers: a counter, no weight */
    int layer;                     /* readers that know the graph: which layer it belongs to, from 0; else -1 */
    tensor_part part;              /* where layer >= 0 */
    double epsilon;                /* of the batch norm it belongs to; -1 = the file does not say */
} named_tensor;

typedef struct named_tensors {
    const char *path, *format;     /* borrowed; format is the row's name */
    int n, room;
    named_tensor *tensor;          /* n in file order, owned */
    size_t values, limit;          /* floats so far, and how many the file can hold at most */
    size_t letters;                /* of names so far: made of parts that stand in the file once, they may be more */
    int folded;                    /* the format's exporters fold batch norm: a layer without may stand for one with */
    struct model_graph *graph;     /* of formats that have one, else NULL; owned */
    int asides;                    /* what the file has beside the model: an optimiser, a second copy */
    struct aside { char *name; int tensors; } *aside;      /* names printable; owned */
} named_tensors;

/* A file in memory; a zip archive, of which only some entries are wanted, may be on disk still. */
typedef struct file_image {
    const char *path;              /* borrowed */
    const unsigned char *byte;     /* n, owned by whoever read it; NULL: `fd` has them */
    size_t n;
    int fd;                        /* where byte is NULL; whoever opened it closes it */
} file_image;

/* Reads a model by what it contains. NULL with messages in `d`; the caller frees. `path` must live as long. */
named_tensors *named_tensors_read(const char *path, diag *d);
void named_tensors_free(named_tensors *tensors);
/* An empty list for a file of `bytes` bytes. */
named_tensors *named_tensors_new(const char *path, size_t bytes);

/* For readers: appends a tensor with room for its values, which the caller fills; borrowed until the next call. Its
 * name is copied, unprintable bytes become '?'. NULL after reporting where it is larger than the file allows. */
named_tensor *named_tensors_add(named_tensors *tensors, const char *name, int dims, const size_t *dim, diag *d);
/* (named_order.c) Where all names stand in order: numbers in them by value. */
void named_tensors_restore_order(named_tensors *tensors);
/* Notes something that is not taken; its name is copied, and made printable. */
void named_tensors_aside(named_tensors *tensors, const char *name, int count);
/* Product of `dims` sizes; -1 where it does not fit a size_t. */
int tensor_count(int dims, const size_t *dim, size_t *count);
/* "16x16x3x3", "number" where dims = 0; into out[TENSOR_TEXT], which is returned. */
const char *tensor_text(int dims, const size_t *dim, char *out);
/* Makes unprintable bytes '?': names come from files and go to terminals. */
void printable(char *text);

/* Readers: append to `tensors` in the file's order. 0, or -1 with messages. */
int torch_zip_read(const file_image *file, named_tensors *tensors, diag *d);
int torch_legacy_read(const file_image *file, named_tensors *tensors, diag *d);
int safetensors_read(const file_image *file, named_tensors *tensors, diag *d);
int onnx_read(const file_image *file, named_tensors *tensors, diag *d);

#ifdef __cplusplus
}
#endif
#endif
