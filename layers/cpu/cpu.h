/* The plugin's CPU backend: replaces forward/backward/update of layers that Darknet parsed.
 *
 * Bound: convolutional (BN, groups, every stride), connected, shortcut, activation, avgpool, dropout,
 * updates by SGD and Adam. What it does not know (and binary/xnor) stays on the host's own code.
 * Weights and their updates stay Darknet's; what is ours hangs on l.self_layer. With `layouts`, outputs and deltas of
 * convolutional maps live in memory of ours, blocked for the processor's vectors (vec.h), from layer to layer; l.output
 * and l.delta are then used only where something that wants them plain reads a layer.
 * Gradients accumulate into net.delta; l.delta is minus the gradient, summed over the batch. */
#ifndef DISTILL_CPU_H
#define DISTILL_CPU_H
#include "darknet_plugin/host/host.h"

#include <stdint.h>

/* BACKEND_GPU: the network is on a device, and gpu_bind (layers/gpu/gpu.h) follows; cpu_bind binds the reference. */
typedef enum { BACKEND_DNNL, BACKEND_REFERENCE, BACKEND_HOST, BACKEND_GPU } cpu_backend;

/* What convolutions and connected layers multiply: operands as they are, or rounded to bfloat16 and summed in fp32. */
typedef enum { PRECISION_FP32, PRECISION_BF16 } cpu_precision;
/* In bf16: which of two that can do a convolution does, or, for all layers of a network alike, oneDNN on maps that
 * are NHWC ("channels last"), as AMX likes them. */
enum { CPU_PRODUCTS_WINOGRAD = 'w', CPU_PRODUCTS_DNNL = 'd', CPU_PRODUCTS_LAST = 'l' };

typedef enum {
    CPU_TRAINED,          /* forward, backward, update */
    CPU_FROZEN_WEIGHTS,   /* gradient passes to the input, weights never move, BN in inference mode */
    CPU_FROZEN            /* inference only: skipped while the network trains */
} cpu_mode;

/* Blocks of as many channels as are fast for the network; the last two are what tests ask for. */
typedef enum { LAYOUTS_PLAIN, LAYOUTS_BLOCKED, LAYOUTS_WIDE, LAYOUTS_NARROW } cpu_layouts;

typedef struct cpu_options {
    cpu_backend backend;
    cpu_precision precision;  /* BACKEND_DNNL and BACKEND_REFERENCE */
    const char *products;     /* in bf16 net->n letters of those above; NULL: what is faster on such a processor */
    uint64_t seed;            /* for dropout */
    const cpu_mode *mode;     /* net->n modes, or NULL = all trained */
    cpu_layouts layouts;      /* blocked maps from layer to layer where that is faster (BACKEND_DNNL only) */
    const char *keep;         /* net->n marks, or NULL: layers whose l.output is read from outside, besides the last */
    int input_delta;          /* network_backward_input will ask for the gradient of the network's input */
    /* Not 0: batch norm of CPU_FROZEN_WEIGHTS layers measures what it is given and pulls it towards what it was trained
     * on, by the loss of cpu_statistics_loss times this; channels whose scale is 0 are left out. */
    float statistics;
} cpu_options;

/* Who multiplies bfloat16 numbers here: "AMX", "AVX512_BF16" or "AVX-512", which makes two products of one; NULL:
 * nobody, they are fp32 products of rounded numbers. */
const char *cpu_bf16_products(void);
const char *cpu_precision_name(cpu_precision precision);   /* as "-precision" has it */

/* From now on each bound layer's forward and backward add what they take to seconds[its number], borrowed; NULL: no
 * more. */
void cpu_time_layers(const network *net, double *seconds);

/* Binds layers of a freshly parsed network. Returns 0, or -1 with a message. BACKEND_HOST binds nothing
 * but the frozen modes. Call cpu_unbind before host_free. */
int cpu_bind(network *net, const cpu_options *options, diag *d);
void cpu_unbind(network *net);

/* The host has changed the layers' sizes and buffers (host_resize). Convolutions plan anew by themselves. */
void cpu_resized(network *net);

/* "Winograd", "oneDNN", "plugin", "reference" or "host": who computes layer l. */
const char *cpu_layer_runs_on(const layer *l);

/* Layer i's output after a forward, in whichever layout it is: n numbers, borrowed until the next run, floats or
 * bfloat16 (bf16.h). Both NULL: it is kept nowhere. */
typedef struct cpu_numbers {
    const float *floats;
    const uint16_t *halves;
    size_t n;
} cpu_numbers;
cpu_numbers cpu_layer_output(const network *net, int i);

/* "name=value" lines that say who computes: library, kernels, processor. The same text: the same bits. Owned. */
char *cpu_identity(void);

/* Initialises every trainable weight as Darknet would (He normal for convolutions, uniform for connected),
 * keyed by (seed, layer): BN scales 1, biases 0, running statistics 0. */
void cpu_init_weights(network *net, int begin, int end, uint64_t seed);

/* To be called when weights of frozen layers have been changed by anything but the above and cpu_statistics_loaded:
 * what was derived from them is made anew. */
void cpu_weights_changed(network *net);

/* Batch norm's running statistics are a true average of the first hundred batches, then move by 1 %.
 * Sets the count of batches already averaged: 0 = fresh. cpu_statistics_loaded() sets it to 10 for layers whose loaded
 * statistics are not all zero, so that training soon has its own, 0 otherwise; call it after loading weights. */
void cpu_statistics_loaded(network *net, int begin, int end);
int cpu_statistics_count(const layer *l);
void cpu_set_statistics_count(layer *l, int count);
/* How much is left of running statistics that average `count` batches when `batches` more have come, 1..0; *count is
 * then what they average. */
double cpu_statistics_left(int *count, int batches);

/* With options.statistics, after a forward of the whole batch: the sum over layers of
 *
 *   ||m - M|| + ||v - V||     m, v: each channel's mean and variance (over N) of batch norm's input in this batch;
 *                             M, V: the running ones
 *
 * whose gradient, times options.statistics, the layers' backward adds (Yin et al., "Dreaming to distill", CVPR 2020,
 * equation 4). *layers is how many such layers there are; may be NULL. */
double cpu_statistics_loss(const network *net, int *layers);
/* Forgets the last batch: what is measured next does not depend on it, not even in its rounding. */
void cpu_statistics_forget(network *net);

#endif
