/* Kernels that move windows, on plain arrays of the device (window.cu; elements in window_ops.h). */
#ifndef DISTILL_GPU_WINDOW_H
#define DISTILL_GPU_WINDOW_H
#include "window_ops.h"

/* columns (maps, taps, windows) of x (maps, h, w); back: x += what each pixel's columns sum to. */
void gpu_columns(window_shape shape, size_t maps, const float *x, float *columns);
void gpu_columns_back(window_shape shape, size_t maps, const float *columns, float *x);
/* The largest number of each of the windows of x, and where it was; back: dx += the deltas of those it was. */
void gpu_largest(window_shape shape, size_t maps, const float *x, float *out, int *largest);
void gpu_largest_back(window_shape shape, size_t maps, const float *delta, const int *largest, float *dx);

#endif
