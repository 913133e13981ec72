/* [kd] behind a detector's head on a CUDA device: the teacher's answer a thread a number, then a thread an anchor at a
 * place (see kd_boxes.h and kd_boxes_ops.h). */
#include "layers/gpu/cuda_call.h"

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "kd_boxes.h"
}

__global__ void kd_boxes_answer_kernel(kd_boxes_answer job)
{
    FOR_MINE(i, job.batch * job.rows * job.places) kd_boxes_answer_at(&job, i);
}

__global__ void kd_boxes_loss_kernel(kd_boxes_job job) { FOR_MINE(i, kd_boxes_elements(&job)) kd_boxes_lose(&job, i); }

__global__ void kd_boxes_delta_kernel(kd_boxes_job job) { FOR_MINE(i, kd_boxes_elements(&job)) kd_boxes_pass(&job, i); }

/* Passes the input on; while training asks the teacher's head and takes the loss. */
static void forward_kd_boxes_layer_gpu(layer l, network net)
{
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    BUG_UNLESS(kd_boxes_of(&l)->base.target, "kd is trained without a target");
    kd_boxes_answer_kernel<<<cuda_blocks(n), CUDA_THREADS, 0, 0>>>(kd_boxes_answer_of(&l));
    CUDA_LAUNCHED(kd_boxes_answer_kernel);
    kd_boxes_job job = kd_boxes_job_of(&l, &net);
    job.student = l.output_gpu;
    kd_boxes_loss_kernel<<<cuda_blocks(kd_boxes_elements(&job)), CUDA_THREADS, 0, 0>>>(job);
    CUDA_LAUNCHED(kd_boxes_loss_kernel);
    kd_boxes_add_up(&l);
}

/* Adds its delta, and what came from above, to what lies below. */
static void backward_kd_boxes_layer_gpu(layer l, network net)
{
    kd_boxes_job job = kd_boxes_job_of(&l, &net);
    if (!net.delta_gpu) return;
    BUG_UNLESS(job.teacher, "kd is trained without a target");
    job.student = l.output_gpu;
    job.above = l.delta_gpu;
    job.below = net.delta_gpu;
    kd_boxes_delta_kernel<<<cuda_blocks(kd_boxes_elements(&job)), CUDA_THREADS, 0, 0>>>(job);
    CUDA_LAUNCHED(kd_boxes_delta_kernel);
}

extern "C" void bind_kd_boxes_layer_gpu(layer *l)
{
    map_loss_to_device(l, forward_kd_boxes_layer_gpu, backward_kd_boxes_layer_gpu);
}

/* What free_kd_boxes_layer frees must be the host's again; map_loss_from_device has waited. */
extern "C" void unbind_kd_boxes_layer_gpu(layer *l)
{
    kd_boxes_state *state = kd_boxes_of(l);
    map_loss_from_device(l);
    CUDA_CALL(cudaFree(state->weights));
    CUDA_CALL(cudaFree(state->biases));
    CUDA_CALL(cudaFree(state->answer));
    CUDA_CALL(cudaFree(state->anchor));
    state->weights = state->biases = state->answer = state->anchor = NULL;
    state->answer_room = 0;
}
