/* Inside the GPU backend: what batch norm asks of a layer's state, and the small kernels. */
#ifndef DISTILL_GPU_BIND_H
#define DISTILL_GPU_BIND_H
#include "darknet_plugin/base/bug.h"
#include "gpu.h"
#include "layers/update_ops.h"

/* The library's, in none of its installed headers: delta *= act'(x), x the output (host_cuda.c stands before it). */
void gradient_array_gpu(float *x, int count, ACTIVATION act, float *delta);
void activate_array_gpu(float *x, int count, ACTIVATION act);   /* x = act(x); ours, too, stands before it */
/* The library calls them by name, and means ours (batchnorm.cu). */
void forward_batchnorm_layer_gpu(layer l, network net);
void backward_batchnorm_layer_gpu(layer l, network net);

/* Weight of the next batch in layer l's running statistics, as on the CPU: a true average at first. Counts it. */
double gpu_statistics_rate(const layer *l);

/* Of layer l's activation, as sloped() in arrays_ops.h has it, where batch norm is to apply it; else 1. */
float gpu_slope(const layer *l);

/* Its activation where it is one of layers/fork_layers.h, else 0; *keeps: backward will want what batch norm was given,
 * whatever the layer's mode. */
int gpu_fork(const layer *l, int *keeps);

/* Of the library, in none of its installed headers. */
void add_bias_gpu(float *output, float *biases, int batch, int channels, int map);
void backward_bias_gpu(float *bias_updates, float *delta, int batch, int channels, int map);
void gemm_gpu(int turn_left, int turn_right, int rows, int columns, int depth, float alpha, float *left, int left_row,
              float *right, int right_row, float beta, float *out, int out_row);

/* Kernels on plain arrays of the device (arrays.cu). */
/* Every stride-th pixel of x (maps, h, w): out is (maps, out_h, out_w). */
void gpu_pick(const float *x, int maps, int h, int w, int stride, float *out, int out_h, int out_w);
/* The opposite: adds x (maps, out_h, out_w) to those pixels of out (maps, h, w). */
void gpu_put(const float *x, int maps, int h, int w, int stride, float *out, int out_h, int out_w);
/* n times y = x * mask, or x where mask is NULL; += if add. */
void gpu_mask(const float *x, const float *mask, float *y, size_t n, int add);
/* n times out = sloped(alpha * x + beta * y, slope) */
void gpu_sum(const float *x, float alpha, const float *y, float beta, float slope, float *out, size_t n);
/* n times y = act(y), act of layers/fork_layers.h; what y was goes to `before` unless that is NULL. */
void gpu_activate(float *y, float *before, size_t n, int act);
/* n times delta *= act', from what act_slope (layers/cpu/activate.h) takes. */
void gpu_slope_at(const float *v, float *delta, size_t n, int act);
/* The first n numbers of each image from x, where images are x_image numbers apart, to y, where they are y_image apart;
 * += if add. */
void gpu_part(const float *x, size_t x_image, float *y, size_t y_image, size_t n, size_t images, int add);
/* *bad = 1 where one of the n numbers x is NaN or infinity, else it stays. */
void gpu_find_infinite(const float *x, size_t n, float *bad);
/* A step of an array of the device by this optimiser, see layers/optimiser.h. */
void gpu_update_array(const update_job *job, int optimiser);

#endif
