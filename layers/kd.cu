/* [kd] on a CUDA device, a thread an image: the formulae are in kd.h and kd_ops.h. The host adds up the images' losses
 * in order, the same sum every time. */
#include "layers/gpu/cuda_call.h"

#include <stdlib.h>

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "kd.h"
}

/* What both kernels read; `truth` may be NULL. */
typedef struct kd_batch {
    const float *student, *teacher, *truth;   /* (batch, n) */
    const float *weight;                      /* (batch), may be NULL */
    size_t batch, n;
    kd_how how;
} kd_batch;

static __device__ size_t target_of(const kd_batch *job, size_t b)
{
    return kd_target(job->truth ? job->truth + b * job->n : NULL, job->teacher + b * job->n, job->n);
}

__global__ void kd_loss_kernel(kd_batch job, double *part)
{
    FOR_MINE(b, job.batch)
    part[b] = kd_loss(job.student + b * job.n, job.teacher + b * job.n, job.n, target_of(&job, b), &job.how);
}

__global__ void kd_delta_kernel(kd_batch job, double factor, const float *above, float *below)
{
    FOR_MINE(b, job.batch)
    {
        size_t at = b * job.n;
        kd_delta(job.student + at, job.teacher + at, job.n, target_of(&job, b), &job.how,
                 factor * kd_weight_of(job.weight, b), above + at, below + at);
    }
}

static kd_batch batch_of(const layer *l, const network *net)
{
    const kd_state *s = kd_state_of(l);
    return { l->output_gpu, s->target, net->truths == l->outputs ? net->truth_gpu : NULL,
             s->weight ? s->weight_gpu : NULL, (size_t)l->batch, (size_t)l->outputs, s->how };
}

/* Passes the input through; while training brings each image's loss back and adds up. */
static void forward_kd_layer_gpu(layer l, network net)
{
    kd_state *s = kd_state_of(&l);
    size_t n = (size_t)l.outputs, batch = (size_t)l.batch;
    BUG_UNLESS(!net.train || s->target, "kd is trained without a target");
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, batch * n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    if (s->weight) CUDA_CALL(cudaMemcpy(s->weight_gpu, s->weight, batch * sizeof(float), cudaMemcpyHostToDevice));
    kd_loss_kernel<<<cuda_blocks((size_t)l.batch), CUDA_THREADS, 0, 0>>>(batch_of(&l, &net), s->part_gpu);
    CUDA_LAUNCHED(kd_loss_kernel);
    CUDA_CALL(cudaMemcpy(s->part, s->part_gpu, batch * sizeof *s->part, cudaMemcpyDeviceToHost));
    kd_add_up(&l);
}

static void backward_kd_layer_gpu(layer l, network net)
{
    kd_state *s = kd_state_of(&l);
    BUG_UNLESS(s->target, "kd is trained without a target");
    if (!net.delta_gpu) return;
    kd_delta_kernel<<<cuda_blocks((size_t)l.batch), CUDA_THREADS, 0, 0>>>(batch_of(&l, &net), s->scale * s->how.T,
                                                                          l.delta_gpu, net.delta_gpu);
    CUDA_LAUNCHED(kd_delta_kernel);
}

static void upload_held(layer *l)
{
    kd_state *s = kd_state_of(l);
    size_t bytes = (size_t)l->batch * (size_t)l->outputs * sizeof *s->held;
    CUDA_CALL(cudaMemcpy(s->held_gpu, s->held, bytes, cudaMemcpyHostToDevice));
    s->target = s->held_gpu;
}

extern "C" void bind_kd_layer_gpu(layer *l)
{
    kd_state *s = kd_state_of(l);
    CUDA_CALL(cudaMalloc((void **)&s->part_gpu, (size_t)l->batch * sizeof(double)));
    CUDA_CALL(cudaMalloc((void **)&s->weight_gpu, (size_t)l->batch * sizeof(float)));
    CUDA_CALL(cudaMalloc((void **)&s->held_gpu, (size_t)l->batch * (size_t)l->outputs * sizeof(float)));
    s->upload = upload_held;
    l->forward_gpu = forward_kd_layer_gpu;
    l->backward_gpu = backward_kd_layer_gpu;
    l->update_gpu = NULL;
}

extern "C" void unbind_kd_layer_gpu(layer *l)
{
    CUDA_CALL(cudaDeviceSynchronize());
    CUDA_CALL(cudaFree(kd_state_of(l)->part_gpu));
    CUDA_CALL(cudaFree(kd_state_of(l)->weight_gpu));
    CUDA_CALL(cudaFree(kd_state_of(l)->held_gpu));
    kd_state_of(l)->part_gpu = NULL;
    kd_state_of(l)->held_gpu = kd_state_of(l)->weight_gpu = NULL;
    kd_state_of(l)->upload = NULL;
}
