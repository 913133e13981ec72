/* Small kernels on plain arrays, x (maps, h, w) or (n): strided pixels, masks, updates of weights (see bind.h; elements
 * in arrays_ops.h). */
#include "cuda_call.h"

extern "C" {
#include "bind.h"
}
#include "layers/activation_ops.h"
#include "layers/optimiser_ops.h"
#include "arrays_ops.h"

__global__ void pick_kernel(const float *x, size_t n, int h, int w, int stride, float *out, int out_h, int out_w)
{
    FOR_MINE(i, n) out[i] = x[picked_at(i, h, w, stride, out_h, out_w)];
}

__global__ void put_kernel(const float *x, size_t n, int h, int w, int stride, float *out, int out_h, int out_w)
{
    FOR_MINE(i, n) out[picked_at(i, h, w, stride, out_h, out_w)] += x[i];
}

/* y = or += x, masked. */
__global__ void masked_kernel(const float *x, const float *mask, float *y, size_t n, int add)
{
    FOR_MINE(i, n) y[i] = (add ? y[i] : 0) + (mask ? masked(x[i], mask[i]) : x[i]);
}

/* out = sloped(alpha * x + beta * y, slope) */
__global__ void sum_kernel(const float *x, float alpha, const float *y, float beta, float slope, float *out, size_t n)
{
    FOR_MINE(i, n) out[i] = sloped(alpha * x[i] + beta * y[i], slope);
}

/* y = act(y); before = y as it was, where it is wanted. */
__global__ void activate_kernel(float *y, float *before, size_t n, int act)
{
    FOR_MINE(i, n) {
        float x = y[i];
        if (before) before[i] = x;
        y[i] = fork_act_value(x, act);
    }
}

__global__ void slope_kernel(const float *v, float *delta, size_t n, int act)
{
    FOR_MINE(i, n) delta[i] *= fork_act_slope(v[i], act);
}

/* n numbers of each image, whose x and y start that far apart. */
__global__ void part_kernel(const float *x, size_t x_image, float *y, size_t y_image, size_t n, size_t images, int add)
{
    FOR_MINE(i, n * images) {
        size_t from = i / n * x_image + i % n, to = i / n * y_image + i % n;
        y[to] = (add ? y[to] : 0) + x[from];
    }
}

#define KERNEL(name, moments)                                                                   \
    __global__ void name##_kernel(update_job job)                                               \
    {                                                                                           \
        FOR_MINE(i, job.n) update_##name(&job.step, job.w, job.u, job.m, job.v, i);             \
    }
OPTIMISERS(KERNEL)

/* Many threads may write, all the same. */
__global__ void find_infinite_kernel(const float *x, size_t n, float *bad)
{
    FOR_MINE(i, n) if (!is_finite_at(x, i)) *bad = 1;
}

extern "C" void gpu_find_infinite(const float *x, size_t n, float *bad)
{
    int blocks = cuda_blocks(n);
    find_infinite_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(x, n, bad);
    CUDA_LAUNCHED(find_infinite_kernel);
}

extern "C" void gpu_pick(const float *x, int maps, int h, int w, int stride, float *out, int out_h, int out_w)
{
    size_t n = (size_t)maps * (size_t)out_h * (size_t)out_w;
    int blocks = cuda_blocks(n);
    BUG_UNLESS((out_h - 1) * stride < h && (out_w - 1) * stride < w, "pixels outside the map");
    pick_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(x, n, h, w, stride, out, out_h, out_w);
    CUDA_LAUNCHED(pick_kernel);
}

extern "C" void gpu_put(const float *x, int maps, int h, int w, int stride, float *out, int out_h, int out_w)
{
    size_t n = (size_t)maps * (size_t)out_h * (size_t)out_w;
    int blocks = cuda_blocks(n);
    BUG_UNLESS((out_h - 1) * stride < h && (out_w - 1) * stride < w, "pixels outside the map");
    put_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(x, n, h, w, stride, out, out_h, out_w);
    CUDA_LAUNCHED(put_kernel);
}

extern "C" void gpu_mask(const float *x, const float *mask, float *y, size_t n, int add)
{
    int blocks = cuda_blocks(n);
    masked_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(x, mask, y, n, add);
    CUDA_LAUNCHED(masked_kernel);
}

extern "C" void gpu_sum(const float *x, float alpha, const float *y, float beta, float slope, float *out, size_t n)
{
    int blocks = cuda_blocks(n);
    sum_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(x, alpha, y, beta, slope, out, n);
    CUDA_LAUNCHED(sum_kernel);
}

extern "C" void gpu_activate(float *y, float *before, size_t n, int act)
{
    int blocks = cuda_blocks(n);
    activate_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(y, before, n, act);
    CUDA_LAUNCHED(activate_kernel);
}

extern "C" void gpu_slope_at(const float *v, float *delta, size_t n, int act)
{
    int blocks = cuda_blocks(n);
    slope_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(v, delta, n, act);
    CUDA_LAUNCHED(slope_kernel);
}

extern "C" void gpu_part(const float *x, size_t x_image, float *y, size_t y_image, size_t n, size_t images, int add)
{
    int blocks = cuda_blocks(n * images);
    part_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(x, x_image, y, y_image, n, images, add);
    CUDA_LAUNCHED(part_kernel);
}

#define KERNEL_OF(name, moments) name##_kernel,
static void (*const kernels[])(update_job job) = { OPTIMISERS(KERNEL_OF) };

extern "C" void gpu_update_array(const update_job *job, int optimiser)
{
    int blocks = cuda_blocks(job->n);
    void (*update_kernel)(update_job) = kernels[optimiser];
    update_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(*job);
    CUDA_LAUNCHED(update_kernel);
}
