/* The kernels of fork.h, one number a thread; a gradient that is a sum is one thread's, in doubles, so that runs repeat. */
#include "cuda_call.h"

extern "C" {
#include "fork.h"
}

__global__ void multiply_kernel(product_shape shape, const float *z, const float *s, float *out)
{
    FOR_MINE(i, shape.n) out[i] = z[i] * s[product_factor_at(shape, i)];
}

__global__ void multiply_back_kernel(product_shape shape, const float *d, const float *s, float *dz)
{
    FOR_MINE(i, shape.n) dz[i] += d[i] * s[product_factor_at(shape, i)];
}

__global__ void factors_back_kernel(product_shape shape, const float *d, const float *z, float *ds, size_t factors)
{
    FOR_MINE(j, factors) ds[j] += (float)product_factor_sum(shape, d, z, j);
}

__global__ void reorg3d_kernel(const float *from, size_t n, size_t c, size_t h, size_t w, size_t stride, float *to,
                               int back)
{
    FOR_MINE(i, n) {
        size_t at = reorg3d_from(i, c, h, w, stride);
        if (back) to[at] += from[i];
        else to[i] = from[at];
    }
}

__global__ void add_operand_kernel(sum_shape shape, const float *z, const float *v, float *out, int first)
{
    FOR_MINE(i, shape.n) {
        size_t at, weight;
        float own = sum_operand_at(shape, i, &at, &weight) ? v[weight] * z[at] : 0;
        out[i] = first ? own : out[i] + own;
    }
}

__global__ void operand_back_kernel(sum_shape shape, const float *d, const float *v, float *dz)
{
    FOR_MINE(i, shape.n) {
        size_t at, weight;
        if (sum_operand_at(shape, i, &at, &weight)) dz[at] += v[weight] * d[i];
    }
}

__global__ void operand_gradient_kernel(sum_shape shape, const float *d, const float *z, float *g)
{
    FOR_MINE(c, shape.c) g[c] = (float)sum_weight_gradient(shape, d, z, c);
}

extern "C" void gpu_multiply(product_shape shape, const float *z, const float *s, float *out)
{
    int blocks = cuda_blocks(shape.n);
    multiply_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, z, s, out);
    CUDA_LAUNCHED(multiply_kernel);
}

extern "C" void gpu_multiply_back(product_shape shape, const float *d, const float *s, float *dz)
{
    int blocks = cuda_blocks(shape.n);
    multiply_back_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, d, s, dz);
    CUDA_LAUNCHED(multiply_back_kernel);
}

extern "C" void gpu_factors_back(product_shape shape, const float *d, const float *z, float *ds, size_t factors)
{
    int blocks = cuda_blocks(factors);
    factors_back_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, d, z, ds, factors);
    CUDA_LAUNCHED(factors_back_kernel);
}

extern "C" void gpu_reorg3d(const float *from, size_t n, int c, int h, int w, int stride, float *to, int back)
{
    int blocks = cuda_blocks(n);
    size_t channels = (size_t)c, rows = (size_t)h, columns = (size_t)w, step = (size_t)stride;
    reorg3d_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(from, n, channels, rows, columns, step, to, back);
    CUDA_LAUNCHED(reorg3d_kernel);
}

extern "C" void gpu_add_operand(sum_shape shape, const float *z, const float *v, float *out, int first)
{
    int blocks = cuda_blocks(shape.n);
    add_operand_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, z, v, out, first);
    CUDA_LAUNCHED(add_operand_kernel);
}

extern "C" void gpu_operand_back(sum_shape shape, const float *d, const float *v, float *dz)
{
    int blocks = cuda_blocks(shape.n);
    operand_back_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, d, v, dz);
    CUDA_LAUNCHED(operand_back_kernel);
}

extern "C" void gpu_operand_gradient(sum_shape shape, const float *d, const float *z, float *g)
{
    int blocks = cuda_blocks(shape.c);
    operand_gradient_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(shape, d, z, g);
    CUDA_LAUNCHED(operand_gradient_kernel);
}
