/* Batch norm on a CUDA device, the same as on the CPU (layers/cpu/batchnorm.c, batchnorm_ops.h), for every layer of
 * Darknet's that has it: its own forward divides by the root of the N-1 variance plus 1e-5 and its backward is not the
 * gradient of that, and deployed on a CPU the same weights are divided by other numbers. The library's convolutions and
 * connected layers call these two by name, which resolve to the executable's. A channel's sums are a block's, added up
 * as a tree, in doubles; a convolution's relu or leaky comes with it, and so do the activations that the host lacks. */
#include "cuda_call.h"

extern "C" {
#include "bind.h"
}
#include "batchnorm_ops.h"

/* ---- kernels ---- */

/* Threads of a block that sums: as many as there can be, since small networks have fewer channels than devices can run
 * blocks. */
enum { SUM_THREADS = 1024 };

/* Every thread of the block gets the sum of all `mine`. */
__device__ static double block_sum(double mine)
{
    __shared__ double sum[SUM_THREADS];
    __syncthreads();   /* the last sum has been read */
    sum[threadIdx.x] = mine;
    __syncthreads();
    for (int half = SUM_THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sum[threadIdx.x] += sum[threadIdx.x + half];
        __syncthreads();
    }
    return sum[0];
}

/* A block a channel: its sum over batch and map. */
__device__ static double channel_sum(const bn_arrays *bn, bn_sum what, double mean)
{
    return block_sum(bn_thread_sum(bn, what, blockIdx.x, mean, threadIdx.x, SUM_THREADS));
}

__global__ void bn_statistics_kernel(bn_arrays bn)
{
    double mean = channel_sum(&bn, BN_SUM_X, 0) / ((double)bn.batch * (double)bn.map);
    double squares = channel_sum(&bn, BN_SUM_SQUARES, mean);
    if (threadIdx.x == 0) bn_keep_statistics(&bn, blockIdx.x, mean, squares);
}

__global__ void bn_sums_kernel(bn_arrays bn)
{
    double sum = channel_sum(&bn, BN_SUM_DELTA, 0);
    double with_x = channel_sum(&bn, BN_SUM_WITH_X, bn.mean[blockIdx.x]);
    if (threadIdx.x == 0) bn_keep_sums(&bn, blockIdx.x, sum, with_x);
}

__global__ void bn_forward_kernel(bn_arrays bn, int train)
{
    bn_thread_forward(&bn, (size_t)blockIdx.x * blockDim.x + threadIdx.x, (size_t)gridDim.x * blockDim.x, train);
}

__global__ void bn_slope_kernel(bn_arrays bn, int train)
{
    bn_thread_slope(&bn, (size_t)blockIdx.x * blockDim.x + threadIdx.x, (size_t)gridDim.x * blockDim.x, train);
}

__global__ void bn_backward_kernel(bn_arrays bn, int train)
{
    bn_thread_backward(&bn, (size_t)blockIdx.x * blockDim.x + threadIdx.x, (size_t)gridDim.x * blockDim.x, train);
}

/* ---- launchers ---- */

static void launch_statistics(bn_arrays bn)
{
    bn.x = bn.y;   /* the convolution's result is still there */
    bn_statistics_kernel<<<(int)bn.c, SUM_THREADS, 0, 0>>>(bn);
    CUDA_LAUNCHED(bn_statistics_kernel);
}

static void launch_sums(bn_arrays bn)
{
    bn_sums_kernel<<<(int)bn.c, SUM_THREADS, 0, 0>>>(bn);
    CUDA_LAUNCHED(bn_sums_kernel);
}

static void launch_forward(bn_arrays bn, int train)
{
    int blocks = cuda_blocks(bn.batch * bn.c * bn.map);
    bn_forward_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(bn, train);
    CUDA_LAUNCHED(bn_forward_kernel);
}

static void launch_slope(bn_arrays bn, int train)
{
    int blocks = cuda_blocks(bn.batch * bn.c * bn.map);
    bn_slope_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(bn, train);
    CUDA_LAUNCHED(bn_slope_kernel);
}

static void launch_backward(bn_arrays bn, int train)
{
    int blocks = cuda_blocks(bn.batch * bn.c * bn.map);
    bn_backward_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(bn, train);
    CUDA_LAUNCHED(bn_backward_kernel);
}

/* ---- what the library calls ---- */

/* The layer's arrays on the device. */
static bn_arrays arrays_of(const layer *l)
{
    bn_arrays bn = {};
    bn.batch = (size_t)l->batch;
    bn.c = (size_t)l->out_c;
    bn.map = (size_t)l->out_h * (size_t)l->out_w;
    bn.x = l->x_gpu;
    bn.y = l->output_gpu;
    bn.delta = l->delta_gpu;
    bn.scales = l->scales_gpu;
    bn.biases = l->biases_gpu;
    bn.scale_updates = l->scale_updates_gpu;
    bn.bias_updates = l->bias_updates_gpu;
    bn.mean = l->mean_gpu;
    bn.variance = l->variance_gpu;
    bn.rolling_mean = l->rolling_mean_gpu;
    bn.rolling_variance = l->rolling_variance_gpu;
    bn.delta_mean = l->mean_delta_gpu;
    bn.delta_slope = l->variance_delta_gpu;
    bn.slope = gpu_slope(l);
    bn.fork = gpu_fork(l, &bn.keeps);
    return bn;
}

extern "C" void forward_batchnorm_layer_gpu(layer l, network net)
{
    bn_arrays bn = arrays_of(&l);
    BUG_UNLESS(l.type != BATCHNORM && bn.x && bn.mean, "a layer without batch norm's arrays");
    if (net.train) {
        bn.rate = gpu_statistics_rate(&l);
        launch_statistics(bn);
    }
    launch_forward(bn, net.train);
}

extern "C" void backward_batchnorm_layer_gpu(layer l, network net)
{
    bn_arrays bn = arrays_of(&l);
    BUG_UNLESS(l.type != BATCHNORM && bn.x && bn.mean, "a layer without batch norm's arrays");
    if (bn.fork) launch_slope(bn, net.train);
    if (net.train) launch_sums(bn);
    launch_backward(bn, net.train);
}
