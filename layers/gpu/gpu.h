/* The GPU backend, as the rest of the plugin sees it: networks that Darknet has put on a CUDA device
 * (net->gpu_index >= 0).
 *
 * Darknet's own layers run there, between callbacks of ours that mend what is wrong with them (conv.c), with our own
 * batch norm (batchnorm.cu), and with [feature_l2] (../feature_l2.cu). Arithmetic stands in element functions (*_ops.h)
 * which kernels and the CPU share. Weights are the host arrays' where a network is opened, loaded or saved, and the
 * device's while it trains: gpu_push and gpu_pull at those borders. In a build without GPU=1 (none.c) no network is
 * ever on a device and everything here does nothing, so that callers need not ask. */
#ifndef DISTILL_GPU_H
#define DISTILL_GPU_H
#include "darknet_plugin/host/host.h"

/* Was the plugin built with GPU=1? */
int gpu_built(void);
/* The device that "-gpus LIST" names (NULL: device 0), for all networks parsed from now on. 0, or -1 with a message: no
 * such device, more than one, no device or driver at all, a build without GPU=1. */
int gpu_choose(const char *list, diag *d);
/* A network just parsed for the CPU: a library built with GPU=1 leaves activations out of [yolo] and [region] there. */
void gpu_mend_cpu(network *net);
/* How many devices there are; where none is `why` says what CUDA says. */
int gpu_present(char *why, size_t len);

/* Is this network on a device? */
static inline int gpu_has(const network *net) { return net->gpu_index >= 0; }
/* After cpu_bind, whose modes, seed and statistics count here too: replaces the layers' *_gpu functions. 0, or -1 with
 * a message where a layer cannot run there. Call gpu_unbind before cpu_unbind. */
int gpu_bind(network *net, diag *d);
void gpu_unbind(network *net);
/* The host has changed the layers' sizes (host_resize). */
void gpu_resized(network *net);
/* Who computes layer l of a network on a device. */
const char *gpu_runs_on(const layer *l);

/* host.c's loops, for a network on a device. `input` goes up from net->input. After inference of all layers net->output
 * is in host memory. */
void gpu_forward(network *net, int end, int train);
void gpu_backward(network *net, int end, int begin);
/* A layer of such a network by a function for the CPU: input down to net->input, output and delta up. */
void gpu_forward_by_host(const layer *l, const network *net, host_callback forward);
void gpu_update(network *net, int end, update_args args);
/* Until the device has done all that it was given. */
void gpu_wait(void);
/* Device memory that free_network leaves behind. */
void gpu_free_workspace(network *net);

/* Weights, batch norm's running values, gradients and momentum: host arrays to the device's and back. */
void gpu_push(network *net);
void gpu_pull(const network *net);
/* Is all finite of layers 0..end-1 that are trained: weights and running values, or gradients and momentum? */
typedef enum { GPU_WEIGHTS, GPU_UPDATES } gpu_half;
int gpu_finite(const network *net, int end, gpu_half half);
/* For layers that are made or resized by us (layers/fork_rows.c, fork_resize.c); each does nothing to a layer that is
 * not on a device. */
void gpu_remake_maps(layer *l);         /* output_gpu and delta_gpu anew, as large as the layer's outputs */
void gpu_share_maps(layer *l, const layer *before);   /* those of the layer before are its own */
void gpu_drop_weights(layer *l);        /* frees weights, biases and what updates keep with them */
void gpu_make_weights(layer *l);        /* the arrays on the device of the host arrays that it has */
void gpu_renew_network(network *net, size_t workspace);   /* input, truth and workspace of a network on a device */
/* Brings layer i's output to l.output; where the device may read it: l.output_gpu, or l.output of a CPU network. */
void gpu_pull_output(const network *net, int i);
const float *gpu_output(const network *net, int i);
/* Multiplies layer i's delta there; 0 clears it. */
void gpu_weigh_delta(network *net, int i, float factor);
/* Brings layer i's delta to l.delta. */
void gpu_pull_delta(const network *net, int i);

#endif
