/* Batch norm on a CUDA device, the same as on the CPU (layers/cpu/batchnorm.c, batchnorm_ops.h), for every layer of Darknet's
 * that has it: its own forward divides by the root of the N-1 variance plus 1e-5 and its backward is not the gradient of that,
 * and deployed on a CPU the same weights are divided by other numbers. The library's convolutions and connected layers call
 * these two by name, which resolve to the executable's. A channel's sums are a block's, added up as a tree, in doubles; a
 * convolution's relu or leaky comes with it. */
#include "cuda_call.h"

extern "C" {
#include "bind.h"
}
#include "batchnorm_ops.h"

/* ---- kernels ---- */

/* Threads of a block that sums: as many as there can be, since small networks have fewer channels than devices can run blocks. */
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

/* A block a channel. */
__global__ void bn_statistics_kernel(bn_arrays a)
{
    double mean = block_sum(bn_thread_sum(&a, BN_SUM_X, blockIdx.x, 0, threadIdx.x, SUM_THREADS)) / ((double)a.batch * (double)a.map);
    double squares = block_sum(bn_thread_sum(&a, BN_SUM_SQUARES, blockIdx.x, mean, threadIdx.x, SUM_THREADS));
    if (threadIdx.x == 0) bn_keep_statistics(&a, blockIdx.x, mean, squares);
}

__global__ void bn_sums_kernel(bn_arrays a)
{
    double sum = block_sum(bn_thread_sum(&a, BN_SUM_DELTA, blockIdx.x, 0, threadIdx.x, SUM_THREADS));
    double with_x = block_sum(bn_thread_sum(&a, BN_SUM_WITH_X, blockIdx.x, a.mean[blockIdx.x], threadIdx.x, SUM_THREADS));
    if (threadIdx.x == 0) bn_keep_sums(&a, blockIdx.x, sum, with_x);
}

__global__ void bn_forward_kernel(bn_arrays a, int train)
{
    bn_thread_forward(&a, (size_t)blockIdx.x * blockDim.x + threadIdx.x, (size_t)gridDim.x * blockDim.x, train);
}

__global__ void bn_backward_kernel(bn_arrays a, int train)
{
    bn_thread_backward(&a, (size_t)blockIdx.x * blockDim.x + threadIdx.x, (size_t)gridDim.x * blockDim.x, train);
}

/* ---- launchers ---- */

static void launch_statistics(bn_arrays a)
{
    a.x = a.y;   /* the convolution's result is still there */
    bn_statistics_kernel<<<(int)a.c, SUM_THREADS, 0, 0>>>(a);
    CUDA_LAUNCHED(bn_statistics_kernel);
}

static void launch_sums(bn_arrays a)
{
    bn_sums_kernel<<<(int)a.c, SUM_THREADS, 0, 0>>>(a);
    CUDA_LAUNCHED(bn_sums_kernel);
}

static void launch_forward(bn_arrays a, int train)
{
    int blocks = cuda_blocks(a.batch * a.c * a.map);
    bn_forward_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(a, train);
    CUDA_LAUNCHED(bn_forward_kernel);
}

static void launch_backward(bn_arrays a, int train)
{
    int blocks = cuda_blocks(a.batch * a.c * a.map);
    bn_backward_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(a, train);
    CUDA_LAUNCHED(bn_backward_kernel);
}

/* ---- what the library calls ---- */

static bn_arrays arrays_of(const layer *l)
{
    bn_arrays a = {};
    a.batch = (size_t)l->batch;
    a.c = (size_t)l->out_c;
    a.map = (size_t)l->out_h * (size_t)l->out_w;
    a.x = l->x_gpu;
    a.y = l->output_gpu;
    a.delta = l->delta_gpu;
    a.scales = l->scales_gpu;
    a.biases = l->biases_gpu;
    a.scale_updates = l->scale_updates_gpu;
    a.bias_updates = l->bias_updates_gpu;
    a.mean = l->mean_gpu;
    a.variance = l->variance_gpu;
    a.rolling_mean = l->rolling_mean_gpu;
    a.rolling_variance = l->rolling_variance_gpu;
    a.delta_mean = l->mean_delta_gpu;
    a.delta_slope = l->variance_delta_gpu;
    a.slope = gpu_slope(l);
    return a;
}

extern "C" void forward_batchnorm_layer_gpu(layer l, network net)
{
    bn_arrays a = arrays_of(&l);
    BUG_UNLESS(l.type != BATCHNORM && a.x && a.mean, "a layer without batch norm's arrays");
    if (net.train) {
        a.rate = gpu_statistics_rate(&l);
        launch_statistics(a);
    }
    launch_forward(a, net.train);
}

extern "C" void backward_batchnorm_layer_gpu(layer l, network net)
{
    bn_arrays a = arrays_of(&l);
    BUG_UNLESS(l.type != BATCHNORM && a.x && a.mean, "a layer without batch norm's arrays");
    if (net.train) launch_sums(a);
    launch_backward(a, net.train);
}
