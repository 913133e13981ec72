/* The kernels of window.h, one number a thread; a sum is one thread's, in doubles, so that runs repeat. */
#include "cuda_call.h"

#include <float.h>

extern "C" {
#include "window.h"
}

__global__ void columns_kernel(window_shape shape, const float *x, float *columns, size_t n)
{
    FOR_MINE(i, n) columns[i] = window_column_at(shape, x, i);
}

__global__ void columns_back_kernel(window_shape shape, const float *columns, float *x, size_t n)
{
    FOR_MINE(i, n) x[i] += (float)window_pixel_sum(shape, columns, i);
}

__global__ void largest_kernel(window_shape shape, const float *x, float *out, int *largest, size_t n)
{
    FOR_MINE(i, n) {
        int at = window_largest(shape, x, i);
        largest[i] = at;
        out[i] = at < 0 ? -FLT_MAX : x[at];
    }
}

__global__ void largest_back_kernel(window_shape shape, const float *delta, const int *largest, float *dx, size_t n)
{
    FOR_MINE(i, n) dx[i] += (float)window_largest_sum(shape, delta, largest, i);
}

extern "C" void gpu_columns(window_shape shape, size_t maps, const float *x, float *columns)
{
    size_t n = maps * window_taps(shape) * window_count(shape);
    int blocks = cuda_blocks(n);
    columns_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, x, columns, n);
    CUDA_LAUNCHED(columns_kernel);
}

extern "C" void gpu_columns_back(window_shape shape, size_t maps, const float *columns, float *x)
{
    size_t n = maps * window_pixels(shape);
    int blocks = cuda_blocks(n);
    columns_back_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, columns, x, n);
    CUDA_LAUNCHED(columns_back_kernel);
}

extern "C" void gpu_largest(window_shape shape, size_t maps, const float *x, float *out, int *largest)
{
    size_t n = maps * window_count(shape);
    int blocks = cuda_blocks(n);
    largest_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, x, out, largest, n);
    CUDA_LAUNCHED(largest_kernel);
}

extern "C" void gpu_largest_back(window_shape shape, size_t maps, const float *delta, const int *largest, float *dx)
{
    size_t n = maps * window_pixels(shape);
    int blocks = cuda_blocks(n);
    largest_back_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, delta, largest, dx, n);
    CUDA_LAUNCHED(largest_back_kernel);
}
