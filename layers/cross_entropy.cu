/* [cross_entropy] on a CUDA device, a thread an image: the formulae are in cross_entropy.h and cross_entropy_ops.h. The
 * host counts the labels, in its own copy of them, and adds up the images' losses in order, the same sum every time. */
#include "layers/gpu/cuda_call.h"

#include <stdlib.h>

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "cross_entropy.h"
}
#include "cross_entropy_ops.h"

__global__ void cross_entropy_loss_kernel(const float *scores, const float *truth, size_t batch, size_t n, double *part)
{
    FOR_MINE(b, batch) part[b] = cross_entropy_loss(scores + b * n, truth + b * n, n);
}

__global__ void cross_entropy_delta_kernel(const float *scores, const float *truth, size_t batch, size_t n,
                                           double weight, const float *above, float *below)
{
    FOR_MINE(b, batch)
    cross_entropy_delta(scores + b * n, truth + b * n, n, weight, above + b * n, below + b * n);
}

/* Passes the input through; while training brings each image's loss back and adds up. */
static void forward_cross_entropy_layer_gpu(layer l, network net)
{
    cross_entropy_state *s = cross_entropy_state_of(&l);
    size_t n = (size_t)l.outputs, batch = (size_t)l.batch;
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, batch * n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    cross_entropy_weigh(&l, net.truth);
    *l.cost = 0;
    if (s->weight == 0) return;
    cross_entropy_loss_kernel<<<cuda_blocks(batch), CUDA_THREADS, 0, 0>>>(l.output_gpu, net.truth_gpu, batch, n,
                                                                          s->part_gpu);
    CUDA_LAUNCHED(cross_entropy_loss_kernel);
    CUDA_CALL(cudaMemcpy(s->part, s->part_gpu, batch * sizeof *s->part, cudaMemcpyDeviceToHost));
    cross_entropy_add_up(&l);
}

static void backward_cross_entropy_layer_gpu(layer l, network net)
{
    BUG_UNLESS(net.truth, "cross_entropy is trained without labels");
    if (!net.delta_gpu) return;
    cross_entropy_delta_kernel<<<cuda_blocks((size_t)l.batch), CUDA_THREADS, 0, 0>>>(
        l.output_gpu, net.truth_gpu, (size_t)l.batch, (size_t)l.outputs, cross_entropy_state_of(&l)->weight,
        l.delta_gpu, net.delta_gpu);
    CUDA_LAUNCHED(cross_entropy_delta_kernel);
}

extern "C" void bind_cross_entropy_layer_gpu(layer *l)
{
    CUDA_CALL(cudaMalloc((void **)&cross_entropy_state_of(l)->part_gpu, (size_t)l->batch * sizeof(double)));
    l->forward_gpu = forward_cross_entropy_layer_gpu;
    l->backward_gpu = backward_cross_entropy_layer_gpu;
    l->update_gpu = NULL;
}

extern "C" void unbind_cross_entropy_layer_gpu(layer *l)
{
    CUDA_CALL(cudaDeviceSynchronize());
    CUDA_CALL(cudaFree(cross_entropy_state_of(l)->part_gpu));
    cross_entropy_state_of(l)->part_gpu = NULL;
}
