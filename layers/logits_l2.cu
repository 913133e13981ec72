/* [logits_l2] on a CUDA device: a thread an image, then a score (see logits_l2.h and logits_l2_ops.h). */
#include "layers/gpu/cuda_call.h"

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "logits_l2.h"
}
#include "logits_l2_ops.h"

__global__ void logits_l2_loss_kernel(const float *student, const float *teacher, size_t batch, size_t n, double *part)
{
    FOR_MINE(b, batch) part[b] = logits_l2_loss(student + b * n, teacher + b * n, n);
}

__global__ void logits_l2_delta_kernel(const float *student, const float *teacher, size_t n, double factor,
                                       const float *above, float *below)
{
    FOR_MINE(i, n) below[i] += logits_l2_delta(student[i], teacher[i], factor) + above[i];
}

/* Passes the input on; while training takes the loss. */
static void forward_logits_l2_layer_gpu(layer l, network net)
{
    const map_loss *state = map_loss_of(&l);
    size_t classes = (size_t)l.outputs, batch = (size_t)l.batch, n = classes * batch;
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    BUG_UNLESS(state->target, "logits_l2 is trained without a target");
    logits_l2_loss_kernel<<<cuda_blocks(batch), CUDA_THREADS, 0, 0>>>(l.output_gpu, state->target, batch, classes,
                                                                      state->work);
    CUDA_LAUNCHED(logits_l2_loss_kernel);
    *l.cost = (float)(state->scale / (double)classes * map_loss_sum(&l, batch));
}

/* Adds its delta to what comes from above. */
static void backward_logits_l2_layer_gpu(layer l, network net)
{
    const map_loss *state = map_loss_of(&l);
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    if (!net.delta_gpu) return;
    logits_l2_delta_kernel<<<cuda_blocks(n), CUDA_THREADS, 0, 0>>>(l.output_gpu, state->target, n,
                                                                   state->scale / (double)l.outputs, l.delta_gpu,
                                                                   net.delta_gpu);
    CUDA_LAUNCHED(logits_l2_delta_kernel);
}

extern "C" void bind_logits_l2_layer_gpu(layer *l)
{
    map_loss_to_device(l, forward_logits_l2_layer_gpu, backward_logits_l2_layer_gpu);
}
