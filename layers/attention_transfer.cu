/* [attention_transfer] on a CUDA device: a thread a pixel, then an image, then an element (see attention_transfer.h and
 * attention_transfer_ops.h). */
#include "layers/gpu/cuda_call.h"

extern "C" {
#include "attention_transfer.h"
#include "darknet_plugin/base/bug.h"
}
#include "attention_transfer_ops.h"

__global__ void attention_pixel_kernel(attention_job job, size_t n)
{
    FOR_MINE(i, n) attention_pixel(&job, i);
}

__global__ void attention_image_kernel(attention_job job)
{
    FOR_MINE(b, job.batch) attention_image(&job, b);
}

__global__ void attention_delta_kernel(attention_job job, size_t n, const float *above, float *below)
{
    FOR_MINE(i, n) below[i] += attention_delta(&job, i) + above[i];
}

/* Passes the input on; while training takes the loss. */
static void forward_attention_transfer_layer_gpu(layer l, network net)
{
    attention_job job;
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    BUG_UNLESS(map_loss_of(&l)->target, "attention_transfer is trained without a target");
    attention_transfer_job(&l, &job);
    job.student = l.output_gpu;
    size_t pixels = job.batch * job.h * job.w;
    attention_pixel_kernel<<<cuda_blocks(pixels), CUDA_THREADS, 0, 0>>>(job, pixels);
    CUDA_LAUNCHED(attention_pixel_kernel);
    attention_image_kernel<<<cuda_blocks(job.batch), CUDA_THREADS, 0, 0>>>(job);
    CUDA_LAUNCHED(attention_image_kernel);
    *l.cost = (float)(job.factor * map_loss_sum(&l, job.batch));
}

/* Adds its delta to what comes from above. */
static void backward_attention_transfer_layer_gpu(layer l, network net)
{
    attention_job job;
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    if (!net.delta_gpu) return;
    attention_transfer_job(&l, &job);
    job.student = l.output_gpu;
    attention_delta_kernel<<<cuda_blocks(n), CUDA_THREADS, 0, 0>>>(job, n, l.delta_gpu, net.delta_gpu);
    CUDA_LAUNCHED(attention_delta_kernel);
}

extern "C" void bind_attention_transfer_layer_gpu(layer *l)
{
    map_loss_to_device(l, forward_attention_transfer_layer_gpu, backward_attention_transfer_layer_gpu);
}
