/* [variational] on a CUDA device: a thread a channel of an image, then an element, a channel (see variational.h and
 * variational_ops.h). */
#include "layers/gpu/cuda_call.h"

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "variational.h"
}
#include "variational_ops.h"

__global__ void variational_channel_kernel(variational_job job)
{
    FOR_MINE(i, job.batch * job.c) variational_channel(&job, i);
}

__global__ void variational_delta_kernel(variational_job job, size_t n, const float *above, float *below)
{
    FOR_MINE(i, n) below[i] += variational_delta(&job, i) + above[i];
}

__global__ void variational_offset_kernel(variational_job job, float *offset_updates)
{
    FOR_MINE(c, job.c) offset_updates[c] += variational_offset_delta(&job, c);
}

static variational_job job_of(const layer *l)
{
    variational_job job;
    variational_job_of(l, &job);
    job.student = l->output_gpu;
    job.offset = l->biases_gpu;
    return job;
}

/* Passes the input on; while training takes the loss. */
static void forward_variational_layer_gpu(layer l, network net)
{
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    BUG_UNLESS(map_loss_of(&l)->target, "variational is trained without a target");
    variational_job job = job_of(&l);
    variational_channel_kernel<<<cuda_blocks(job.batch * job.c), CUDA_THREADS, 0, 0>>>(job);
    CUDA_LAUNCHED(variational_channel_kernel);
    *l.cost = (float)(job.factor * map_loss_sum(&l, job.batch * job.c));
}

/* Adds its delta to what comes from above. */
static void backward_variational_layer_gpu(layer l, network net)
{
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    variational_job job = job_of(&l);
    variational_offset_kernel<<<cuda_blocks(job.c), CUDA_THREADS, 0, 0>>>(job, l.bias_updates_gpu);
    CUDA_LAUNCHED(variational_offset_kernel);
    if (!net.delta_gpu) return;
    variational_delta_kernel<<<cuda_blocks(n), CUDA_THREADS, 0, 0>>>(job, n, l.delta_gpu, net.delta_gpu);
    CUDA_LAUNCHED(variational_delta_kernel);
}

extern "C" void bind_variational_layer_gpu(layer *l)
{
    map_loss_to_device(l, forward_variational_layer_gpu, backward_variational_layer_gpu);
}
