/* Darknet's .weights file.
 *
 *   int32 major, minor, revision
 *   seen: 64-bit if major*10 + minor >= 2, else 32-bit      images trained on so far
 *   then float32, layer by layer:
 *     convolutional   biases n, [scales n, mean n, variance n], weights n x c/groups x k x k
 *     connected       biases out, weights out x in, [scales, mean, variance]
 *     local           biases, weights;  batchnorm scales, mean, variance;  rnn/gru/lstm/crnn: their parts (tensors.c)
 * This Darknet writes 0.2.0, its forks 0.2.5. There is no checksum and no length: sizes come from the cfg. */
#ifndef DISTILL_WEIGHTS_FILE_H
#define DISTILL_WEIGHTS_FILE_H
#include "darknet_plugin/host/host.h"
#include "darknet_plugin/sections/shapes.h"

#include <stdint.h>

typedef struct weights_info {
    int major, minor, revision;
    uint64_t seen;
    size_t header_bytes;     /* 16 or 20 */
    size_t floats;           /* behind the header */
    int layers;              /* how many whole layers of the cfg it holds: net->n means a whole network; a part ends
                                behind its last layer with weights */
    int trained;             /* it is a training run's, of whose layers the cfg has not all: theirs were skipped */
} weights_info;

/* One array of a layer, in file order, and what training keeps with it. All arrays have n values and are borrowed from
 * the layer; NULL where it has none. Those on a device are NULL in a build without GPU=1, too. */
enum { KEPT_SUM, KEPT_M, KEPT_V, WEIGHTS_KEPT };
typedef struct weights_tensor {
    const char *name;        /* "biases", "scales", "mean", "variance", "weights"; "input biases", ... in an rnn */
    float *data;
    size_t n;
    float *kept[WEIGHTS_KEPT];   /* the sum of gradients, moments; "mean": the last batch's, instead of a sum */
    float *device, *device_kept[WEIGHTS_KEPT];
    int trained, decays;     /* is it moved by updates, and drawn to 0 by decay? */
    int nested;              /* it is an inner layer's */
} weights_tensor;

enum { WEIGHTS_MAX_TENSORS = 40 };
/* The arrays of one layer in file order; returns how many (0: none stored). `out` has room for WEIGHTS_MAX_TENSORS. */
int weights_tensors(const layer *l, weights_tensor *out);
/* The same, but none of a layer that is in no file: dontsave=1 and dontload=1. */
int weights_stored(const layer *l, weights_tensor *out);

/* The arrays of one layer, n of them, become another's m. -1, and nothing is changed, where those are not as large. */
int weights_copy(const weights_tensor *from, int n, const weights_tensor *to, int m);

/* Is this an array that may not be negative? */
int weights_is_variance(const char *name);

/* 0, or -1 after reporting the first NaN, infinity or negative variance of an array of layer `layer` of `path`. */
int weights_check_values(const weights_tensor *tensor, int layer, const char *path, diag *d);
/* The host's layers must be as large as the shapes a file is held against; `path` is blamed where they are not. */
int weights_check_layers(const network *net, const net_shape *shape, const char *path, diag *d);

/* Reads the header and measures the file against the shapes: exactly whole, or ending on a layer's border; of a
 * deployed cfg's shapes a whole file of its training run will do, too.
 * -1 with a message saying both sizes otherwise (too short, too long, empty, not there, not a file). */
int weights_inspect(const char *path, const net_shape *shape, weights_info *info, diag *d);
/* What a file holds, whether or not it fits its cfg and whatever its values are: for looking at it. */
typedef struct weights_contents {
    weights_info info;
    float *x;                /* info.floats: the arrays of the whole layers, one after the other in file order; owned */
    size_t bytes, expected;  /* the file's size, and that of the whole network's */
} weights_contents;
enum { WEIGHTS_FIT, WEIGHTS_PARTLY };
/* WEIGHTS_PARTLY: it is cut short or too long (weights_inspect's message is in `d`), *contents has the whole layers.
 * -1 with a message: nothing could be read. weights_drop frees the array in every case. */
int weights_read(const char *path, const net_shape *shape, weights_contents *contents, diag *d);
void weights_drop(weights_contents *contents);
/* Loads as many whole layers as the file holds (inspected first); *info may be NULL. Sets *net->seen.
 * Nothing is changed in `net` if the file does not fit or holds NaN, infinity or a negative variance. */
int weights_load(network *net, const net_shape *shape, const char *path, weights_info *info, diag *d);
/* Writes layers 0..net->n-1 beside `path`, fsyncs, renames. The old file stays intact on any error. */
int weights_save(const network *net, const char *path, diag *d);
/* Writes the same to an open file: 0, or -1 with the file's error flag set. */
int weights_write(const network *net, FILE *file);
/* 64-bit FNV-1a over all weights of layers begin..end-1. */
uint64_t weights_hash(const network *net, int begin, int end);
/* Creates `folder` and its parents where they do not exist. */
int weights_make_folder(const char *folder, diag *d);

#endif
