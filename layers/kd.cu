/* [kd] on a CUDA device, a thread an image: the formulae are in kd.h and kd_ops.h. The host adds up the images' losses
 * in order, the same sum every time. */
#include "layers/gpu/cuda_call.h"

#include <stdlib.h>

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "kd.h"
}
#include "kd_ops.h"

__global__ void kd_loss_kernel(const float *student, const float *teacher, int batch, size_t n, double T,
                               double *part)
{
    size_t b = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (b < (size_t)batch) part[b] = kd_loss(student + b * n, teacher + b * n, n, T);
}

__global__ void kd_delta_kernel(const float *student, const float *teacher, int batch, size_t n, double T,
                                double factor, const float *above, float *below)
{
    size_t b = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (b < (size_t)batch) kd_delta(student + b * n, teacher + b * n, n, T, factor, above + b * n, below + b * n);
}

static int blocks_of(const layer *l) { return (l->batch + CUDA_THREADS - 1) / CUDA_THREADS; }

/* Passes the input through; while training brings each image's loss back and adds up. */
static void forward_kd_layer_gpu(layer l, network net)
{
    kd_state *s = kd_state_of(&l);
    size_t n = (size_t)l.outputs, batch = (size_t)l.batch;
    BUG_UNLESS(!net.train || s->target, "kd is trained without a target");
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, batch * n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    kd_loss_kernel<<<blocks_of(&l), CUDA_THREADS, 0, 0>>>(l.output_gpu, s->target, l.batch, n, s->temperature,
                                                          s->part_gpu);
    CUDA_LAUNCHED(kd_loss_kernel);
    CUDA_CALL(cudaMemcpy(s->part, s->part_gpu, batch * sizeof *s->part, cudaMemcpyDeviceToHost));
    kd_add_up(&l);
}

static void backward_kd_layer_gpu(layer l, network net)
{
    kd_state *s = kd_state_of(&l);
    BUG_UNLESS(s->target, "kd is trained without a target");
    if (!net.delta_gpu) return;
    kd_delta_kernel<<<blocks_of(&l), CUDA_THREADS, 0, 0>>>(l.output_gpu, s->target, l.batch, (size_t)l.outputs,
                                                           s->temperature, s->scale * s->temperature, l.delta_gpu,
                                                           net.delta_gpu);
    CUDA_LAUNCHED(kd_delta_kernel);
}

extern "C" void bind_kd_layer_gpu(layer *l)
{
    CUDA_CALL(cudaMalloc((void **)&kd_state_of(l)->part_gpu, (size_t)l->batch * sizeof(double)));
    l->forward_gpu = forward_kd_layer_gpu;
    l->backward_gpu = backward_kd_layer_gpu;
    l->update_gpu = NULL;
}

extern "C" void unbind_kd_layer_gpu(layer *l)
{
    CUDA_CALL(cudaDeviceSynchronize());
    CUDA_CALL(cudaFree(kd_state_of(l)->part_gpu));
    kd_state_of(l)->part_gpu = NULL;
}
