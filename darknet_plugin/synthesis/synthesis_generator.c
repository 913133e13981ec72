/* Way 1: a small network makes the images out of noise, and learns with it. It is a cfg like any other, trained by the
 * same engine:
 *
 *   z (16 channels, h / 2^k, w / 2^k), normal
 *   conv 3x3 + batch norm + leaky, k times: upsample 2, conv 3x3 + batch norm + leaky;   conv 3x3 + logistic -> image
 *
 * k halvings leave about four pixels of the shorter side. A batch begins with new z; for a few steps z, ten times as
 * fast, and the network go down the judge's gradient by Adam, and the images of the best step are kept. The network
 * goes on from batch to batch, which is what makes a few steps enough; before the first it has WARM_ROUNDS batches
 * whose images are dropped. Adam begins anew with each batch: what goes on is the network's weights alone.
 *
 * Fang et al., "Up to 100x faster data-free knowledge distillation", AAAI 2022, algorithm 1 without the outer loop.
 * Left out: their meta-learning of where z and network begin. In a few steps z hardly learns which class is meant, so
 * that few images are of the class that was drawn; a pattern of the class's own in z mended that, and the student
 * learnt less: what it wants of images is that they differ. */
#include "synthesis_internal.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"
#include "layers/network.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>
#include <string.h>

enum { NOISE = 16, NARROWEST = 16, WIDEST = 64, SHORT_SIDE = 4, MOST_DOUBLINGS = 6, WARM_ROUNDS = 20 };
static const uint64_t warm_from = (uint64_t)1 << 40;   /* numbers of rounds that no batch has */
static const double z_rate = 10;   /* times the network's */

typedef struct generator {
    cfg_file *cfg;           /* owned */
    net_shape *shape;        /* of it, owned */
    network *net;            /* owned */
    float *host_input;
    float *z, *z_delta;      /* (batch, NOISE, h / 2^k, w / 2^k), owned */
    float *image, *delta;    /* (batch, c, h, w): what the judge sees of the network's output; owned */
    adam adam;               /* z's */
} generator;

/* ---- the cfg ---- */

static int doublings_of(const judge *judge)
{
    int side = judge->h < judge->w ? judge->h : judge->w, k = 0;
    while (k < MOST_DOUBLINGS && side >> (k + 1) >= SHORT_SIDE) ++k;
    return k;
}

/* A 3x3 convolution, normalised unless it is the last. */
static void append_conv(cfg_file *cfg, int filters, const char *activation, int last)
{
    cfg_section *s = cfg_append(cfg, "convolutional", "generator", 0);
    if (!last) cfg_set(s, "batch_normalize", "1");
    cfg_set(s, "filters", "%d", filters);
    cfg_set(s, "size", "3");
    cfg_set(s, "stride", "1");
    cfg_set(s, "pad", "1");
    cfg_set(s, "activation", "%s", activation);
}

/* Channels at a map halved so many times. */
static int filters_at(int halvings)
{
    int filters = NARROWEST << halvings;
    return filters > WIDEST ? WIDEST : filters;
}

static int halved(int side, int k) { return (side + (1 << k) - 1) >> k; }

/* All of it. */
static cfg_file *write_cfg(const judge *judge, double rate)
{
    int k = doublings_of(judge);
    cfg_file *cfg = cfg_new("generator");
    cfg_section *net = cfg_append(cfg, "net", "generator", 0);
    cfg_set(net, "batch", "%d", judge->batch);
    cfg_set(net, "subdivisions", "1");
    cfg_set(net, "channels", "%d", NOISE);
    cfg_set(net, "height", "%d", halved(judge->h, k));
    cfg_set(net, "width", "%d", halved(judge->w, k));
    cfg_set(net, "learning_rate", "%.9g", rate);
    cfg_set(net, "policy", "constant");
    cfg_set(net, "decay", "0");
    cfg_set(net, "adam", "1");
    cfg_set(net, "B1", "0.5");
    cfg_set(net, "B2", "0.999");
    append_conv(cfg, filters_at(k), "leaky", 0);
    while (k-- > 0) {
        cfg_set(cfg_append(cfg, "upsample", "generator", 0), "stride", "2");
        append_conv(cfg, filters_at(k), "leaky", 0);
    }
    append_conv(cfg, judge->c, "logistic", 1);
    return cfg;
}

/* ---- opening ---- */

/* What there is of it, after a failure, too. */
static void close_generator(void *state)
{
    generator *maker = state;
    if (maker->net) {
        maker->net->input = maker->host_input;
        cpu_unbind(maker->net);
        host_free(maker->net);
    }
    shapes_free(maker->shape);
    cfg_free(maker->cfg);
    adam_free(&maker->adam);
    free(maker->z);
    free(maker->z_delta);
    free(maker->image);
    free(maker->delta);
    free(maker);
}

/* Parses, binds and draws its network. */
static int open_network(generator *maker, const making *making, diag *d)
{
    maker->shape = shapes_infer(maker->cfg, d);
    if (!maker->shape) return -1;
    maker->net = host_parse_cfg(maker->cfg, "the generator", d);
    if (!maker->net) return -1;
    maker->host_input = maker->net->input;
    cpu_options how = { .backend = making->job->backend, .seed = making->job->seed, .layouts = 1, .input_delta = 1 };
    if (cpu_bind(maker->net, &how, d)) return -1;
    cpu_init_weights(maker->net, 0, maker->net->n, making->job->seed);
    return 0;
}

/* The network and room for a batch. */
static void *open_generator(making *making, diag *d)
{
    generator *maker = mem_calloc(1, sizeof *maker);
    size_t pixels = judge_floats(making->judge);
    maker->cfg = write_cfg(making->judge, making->job->rate);
    if (open_network(maker, making, d)) {
        close_generator(maker);
        return NULL;
    }
    size_t noise = (size_t)maker->net->batch * (size_t)maker->net->inputs;
    maker->z = mem_calloc(noise, sizeof *maker->z);
    maker->z_delta = mem_calloc(noise, sizeof *maker->z_delta);
    maker->image = mem_calloc(pixels, sizeof *maker->image);
    maker->delta = mem_calloc(pixels, sizeof *maker->delta);
    maker->adam = adam_new(noise, z_rate * making->job->rate, .5, .999);
    return maker;
}

/* ---- making ---- */

/* Copies the middle of the output's maps to images, or, `back`, their delta to the middle of the output's. */
static void cut_out(const generator *maker, const judge *judge, int back)
{
    const layer *l = &maker->net->layers[maker->net->n - 1];
    size_t h = (size_t)judge->h, w = (size_t)judge->w, out_h = (size_t)l->out_h, out_w = (size_t)l->out_w;
    size_t first = (out_h - h) / 2 * out_w + (out_w - w) / 2, rows = (size_t)judge->batch * (size_t)judge->c * h;
    for (size_t row = 0; row < rows; ++row) {
        size_t at = row / h * out_h * out_w + first + row % h * out_w;
        if (!back) memcpy(maker->image + row * w, l->output + at, w * sizeof(float));
        for (size_t i = 0; back && i < w; ++i) l->delta[at + i] = (float)judge->batch * maker->delta[row * w + i];
    }
}

/* New noise, and moments of none. */
static void begin_round(generator *maker, uint64_t seed, uint64_t at)
{
    rng draw = rng_make(seed, at, 0, RNG_SYNTHESIS);
    for (size_t i = 0; i < maker->adam.n; ++i) maker->z[i] = (float)rng_normal(&draw);
    adam_restart(&maker->adam);
    *maker->net->t = 0;
    for (int i = 0; i < maker->net->n; ++i) {
        weights_tensor tensor[WEIGHTS_MAX_TENSORS];
        int n = weights_tensors(&maker->net->layers[i], tensor);
        for (int k = 0; k < n; ++k)
            for (int kept = KEPT_SUM; kept <= KEPT_V; ++kept)
                if (tensor[k].trained && tensor[k].kept[kept])
                    memset(tensor[k].kept[kept], 0, tensor[k].n * sizeof(float));
    }
}

/* Noise to images, what the judge says of them, and a step of noise and network. -1: no number any more. */
static int step(generator *maker, making *making, const int *class)
{
    maker->net->input = maker->z;
    network_forward(maker->net, maker->net->n, 1);
    cut_out(maker, making->judge, 0);
    if (making_look(making, maker->image, class, maker->delta)) return -1;
    cut_out(maker, making->judge, 1);
    memset(maker->z_delta, 0, maker->adam.n * sizeof *maker->z_delta);
    network_backward_input(maker->net, maker->net->n, maker->z_delta);
    network_update(maker->net, maker->net->n);
    float share = 1 / (float)making->judge->batch;    /* the network's deltas are sums over the batch */
    for (size_t i = 0; i < maker->adam.n; ++i) maker->z_delta[i] *= share;
    adam_step(&maker->adam, maker->z, maker->z_delta);
    return 0;
}

static int make(void *state, making *making, uint64_t at, const int *class, diag *d)
{
    generator *maker = state;
    begin_round(maker, making->job->seed, at);
    making_restart(making);
    for (int i = 0; i < making->job->steps; ++i)
        if (step(maker, making, class)) return making_lost(making, d);
    return 0;
}

/* Classes as evenly as those of batches. */
static int warm(void *state, making *making, diag *d)
{
    int batch = making->judge->batch, failed = 0;
    int *class = mem_calloc((size_t)batch, sizeof *class);
    for (int i = 0; i < batch; ++i) class[i] = i % making->judge->classes;
    for (uint64_t round = 0; round < WARM_ROUNDS && !failed; ++round)
        failed = make(state, making, warm_from + round, class, d);
    free(class);
    return failed;
}

static network *network_of(void *state) { return ((generator *)state)->net; }
static const net_shape *shape_of(void *state) { return ((generator *)state)->shape; }

const synthesis_way synthesis_generator = {
    .name = "generator", .steps = 10, .rate = .005, .bn = 10, .ce = 1, .tv = 0, .open = open_generator,
    .close = close_generator, .begin = warm, .make = make, .network = network_of, .shape = shape_of,
};
