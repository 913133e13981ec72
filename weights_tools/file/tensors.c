/* Which arrays of a layer a weights file holds, in which order, and what training keeps with each: read by everything
 * that loads, saves, copies, compares or updates weights, keeps the state of a run or moves it to a device and back.
 *
 * A layer type has one row for each part that is stored: the layer itself, or, for recurrent types, the layers nested
 * in it. The order is that of Darknet's save_weights. Not obvious: a connected layer's weights come before its batch
 * norm, a convolution's after it; [batchnorm] stores no biases although it has them; [gru] and [lstm] store all w
 * before all u.
 *
 * To add a type: one row per part. To add what updates keep: one column of fields. */
#include "weights_file.h"

#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/host/host_fork.h"

#include <string.h>

typedef int (*part_lister)(const layer *l, const char *const *name, weights_tensor *out);
enum { BIASES, SCALES, MEAN, VARIANCE, WEIGHTS, NAMES };

typedef struct part {
    LAYER_TYPE type;
    part_lister list;
    size_t nested;              /* offset of the pointer to the nested layer + 1; 0 = the layer itself */
    const char *name[NAMES];
} part;

#ifdef GPU
#define ON_DEVICE(name) offsetof(layer, name##_gpu)
#else
#define ON_DEVICE(name) 0
#endif
#define FIELD(name) { offsetof(layer, name), ON_DEVICE(name) }

/* Where a layer has a pointer to an array, and to the same on a device; 0 = nowhere. */
typedef struct field {
    size_t host, device;
} field;

static const struct {
    field data, kept[WEIGHTS_KEPT];
    int trained, decays;
} FIELDS[NAMES] = {
    [BIASES] = { FIELD(biases), { FIELD(bias_updates), FIELD(bias_m), FIELD(bias_v) }, .trained = 1 },
    [SCALES] = { FIELD(scales), { FIELD(scale_updates), FIELD(scale_m), FIELD(scale_v) }, .trained = 1 },
    /* on the CPU the next batch's mean is summed relative to the last one's */
    [MEAN] = { .data = FIELD(rolling_mean), .kept = { { offsetof(layer, mean), 0 } } },
    [VARIANCE] = { .data = FIELD(rolling_variance) },
    [WEIGHTS] = { FIELD(weights), { FIELD(weight_updates), FIELD(m), FIELD(v) }, .trained = 1, .decays = 1 },
};

static float *array_at(const layer *l, size_t offset)
{
    float *x = NULL;
    if (offset) memcpy(&x, (const char *)l + offset, sizeof x);
    return x;
}

/* The array that is `which` of this layer, with all that belongs to it. */
static weights_tensor tensor(const layer *l, const char *const *name, int which, size_t n)
{
    weights_tensor t = { .name = name[which], .n = n };
    t.trained = FIELDS[which].trained;
    t.decays = FIELDS[which].decays;
    t.data = array_at(l, FIELDS[which].data.host);
    t.device = array_at(l, FIELDS[which].data.device);
    for (int k = 0; k < WEIGHTS_KEPT; ++k) {
        t.kept[k] = array_at(l, FIELDS[which].kept[k].host);
        t.device_kept[k] = array_at(l, FIELDS[which].kept[k].device);
    }
    return t;
}

static int batch_norm(const layer *l, size_t filters, const char *const *name, weights_tensor *out)
{
    out[0] = tensor(l, name, SCALES, filters);
    out[1] = tensor(l, name, MEAN, filters);
    out[2] = tensor(l, name, VARIANCE, filters);
    return 3;
}

static int convolution(const layer *l, const char *const *name, weights_tensor *out)
{
    int k = 0;
    out[k++] = tensor(l, name, BIASES, (size_t)l->n);
    if (l->batch_normalize) k += batch_norm(l, (size_t)l->n, name, out + k);
    out[k++] = tensor(l, name, WEIGHTS, (size_t)l->nweights);
    return k;
}

static int connected(const layer *l, const char *const *name, weights_tensor *out)
{
    int k = 0;
    out[k++] = tensor(l, name, BIASES, (size_t)l->outputs);
    out[k++] = tensor(l, name, WEIGHTS, (size_t)l->outputs * (size_t)l->inputs);
    if (l->batch_normalize) k += batch_norm(l, (size_t)l->outputs, name, out + k);
    return k;
}

static int batchnorm(const layer *l, const char *const *name, weights_tensor *out)
{
    return batch_norm(l, (size_t)l->c, name, out);
}

static int local(const layer *l, const char *const *name, weights_tensor *out)
{
    size_t window = (size_t)l->size * (size_t)l->size * (size_t)l->c;
    out[0] = tensor(l, name, BIASES, (size_t)l->outputs);
    out[1] = tensor(l, name, WEIGHTS, window * (size_t)l->outputs);
    return 2;
}

#define NAMED(p) { p "biases", p "scales", p "mean", p "variance", p "weights" }
#define NESTED(type, list, field, name) { type, list, offsetof(layer, field) + 1, NAMED(name " ") }

/* The weights of a [shortcut] of several layers. */
static int shortcut(const layer *l, const char *const *name, weights_tensor *out)
{
    if (l->nweights) out[0] = tensor(l, name, WEIGHTS, (size_t)l->nweights);
    return l->nweights > 0;
}

static const part parts[] = {
    { CONVOLUTIONAL, convolution, 0, NAMED("") },
    { DECONVOLUTIONAL, convolution, 0, NAMED("") },
    { CONNECTED, connected, 0, NAMED("") },
    { BATCHNORM, batchnorm, 0, NAMED("") },
    { LOCAL, local, 0, NAMED("") },
    { (LAYER_TYPE)LAYER_SHORTCUT_SUM, shortcut, 0, NAMED("") },
    NESTED(RNN, connected, input_layer, "input"),
    NESTED(RNN, connected, self_layer, "self"),
    NESTED(RNN, connected, output_layer, "output"),
    NESTED(CRNN, convolution, input_layer, "input"),
    NESTED(CRNN, convolution, self_layer, "self"),
    NESTED(CRNN, convolution, output_layer, "output"),
    NESTED(LSTM, connected, wi, "wi"), NESTED(LSTM, connected, wf, "wf"),
    NESTED(LSTM, connected, wo, "wo"), NESTED(LSTM, connected, wg, "wg"),
    NESTED(LSTM, connected, ui, "ui"), NESTED(LSTM, connected, uf, "uf"),
    NESTED(LSTM, connected, uo, "uo"), NESTED(LSTM, connected, ug, "ug"),
    NESTED(GRU, connected, wz, "wz"), NESTED(GRU, connected, wr, "wr"), NESTED(GRU, connected, wh, "wh"),
    NESTED(GRU, connected, uz, "uz"), NESTED(GRU, connected, ur, "ur"), NESTED(GRU, connected, uh, "uh"),
};

static const layer *part_of(const layer *l, const part *part)
{
    if (!part->nested) return l;
    return *(const layer *const *)(const void *)((const char *)l + part->nested - 1);
}

int weights_tensors(const layer *l, weights_tensor *out)
{
    int n = 0;
    for (size_t i = 0; i < sizeof parts / sizeof *parts; ++i) {
        if (parts[i].type != l->type) continue;
        int end = n + parts[i].list(part_of(l, &parts[i]), parts[i].name, out + n);
        for (; n < end; ++n) out[n].nested = parts[i].nested != 0;
    }
    return n;
}

int weights_stored(const layer *l, weights_tensor *out)
{
    return l->dontsave && l->dontload ? 0 : weights_tensors(l, out);
}

int weights_copy(const weights_tensor *from, int n, const weights_tensor *to, int m)
{
    int same = n == m;
    for (int j = 0; same && j < n; ++j) same = from[j].n == to[j].n;
    for (int j = 0; same && j < n; ++j) memcpy(to[j].data, from[j].data, from[j].n * sizeof *from[j].data);
    return same ? 0 : -1;
}

uint64_t weights_hash(const network *net, int begin, int end)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    uint64_t h = HASH_START;
    for (int i = begin; i < end; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j) h = hash_bytes(t[j].data, t[j].n * sizeof *t[j].data, h);
    }
    return h;
}
