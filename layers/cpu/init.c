/* First weights, as Darknet draws them but from (seed, layer):
 *
 *   convolutional   sqrt(2 / fan-in) * normal      He et al., "Delving Deep into Rectifiers", 2015
 *   connected       sqrt(2 / inputs) * uniform(-1, 1)
 *   shortcut        1, as AlexeyAB's
 *   deconvolutional 0.02 * normal,   local   sqrt(2 / fan-in) * uniform(-1, 1)
 *
 * The host's generator keeps hidden state, so two parses after one srand differ. Recurrent layers keep what the host
 * drew. One row a type. */
#include "cpu.h"

#include "darknet_plugin/base/rng.h"
#include "darknet_plugin/host/host_fork.h"

#include <string.h>

static size_t conv_weights(const layer *l) { return (size_t)l->nweights; }
static size_t connected_weights(const layer *l) { return (size_t)l->inputs * (size_t)l->outputs; }
static size_t local_weights(const layer *l)
{
    return (size_t)l->size * (size_t)l->size * (size_t)l->c * (size_t)l->n * (size_t)l->out_h * (size_t)l->out_w;
}
static double conv_scale(const layer *l) { return sqrt(2.0 * l->groups / ((double)l->size * l->size * l->c)); }
static double connected_scale(const layer *l) { return sqrt(2.0 / l->inputs); }
static double local_scale(const layer *l) { return sqrt(2.0 / ((double)l->size * l->size * l->c)); }
static double deconv_scale(const layer *l) { return (void)l, 0.02; }

typedef struct init_row {
    LAYER_TYPE type;
    size_t (*weights)(const layer *l);
    double (*scale)(const layer *l);
    int normal;                              /* else uniform in [-1, 1) */
    int biases_outputs;                      /* as many biases as outputs, else as filters */
} init_row;

static const init_row rows[] = {
    { CONVOLUTIONAL, conv_weights, conv_scale, 1, 0 },
    { DECONVOLUTIONAL, conv_weights, deconv_scale, 1, 0 },
    { CONNECTED, connected_weights, connected_scale, 0, 1 },
    { LOCAL, local_weights, local_scale, 0, 1 },
};

/* x of n numbers, or NULL. */
static void fill(float *x, size_t n, float value)
{
    if (x)
        for (size_t i = 0; i < n; ++i) x[i] = value;
}

/* Draws the weights of one layer; all else of it starts as Darknet's does. */
static void init_layer(layer *l, const init_row *row, rng stream)
{
    double scale = row->scale(l);
    size_t n = row->weights(l), channels = (size_t)(row->biases_outputs ? l->outputs : l->n);
    for (size_t i = 0; i < n; ++i)
        l->weights[i] = (float)(scale * (row->normal ? rng_normal(&stream) : rng_uniform(&stream, -1, 1)));
    fill(l->biases, channels, 0);
    if (!l->batch_normalize) return;
    fill(l->scales, channels, 1);
    fill(l->rolling_mean, channels, 0);
    fill(l->rolling_variance, channels, 0);
    cpu_set_statistics_count(l, 0);
}

void cpu_init_weights(network *net, int begin, int end, uint64_t seed)
{
    for (int i = begin; i < end && i < net->n; ++i)
        if ((int)net->layers[i].type == LAYER_SHORTCUT_SUM)
            fill(net->layers[i].weights, (size_t)net->layers[i].nweights, 1);
    for (int i = begin; i < end && i < net->n; ++i)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; ++k)
            if (rows[k].type == net->layers[i].type && net->layers[i].weights)
                init_layer(&net->layers[i], &rows[k], rng_make(seed, (uint64_t)i, 0, RNG_INIT));
}
