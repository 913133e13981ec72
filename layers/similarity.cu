/* [similarity] on a CUDA device: a thread a pair of images, then a row, then an element (see similarity.h and
 * similarity_ops.h). */
#include "layers/gpu/cuda_call.h"

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "similarity.h"
}
#include "similarity_ops.h"

__global__ void similarity_pair_kernel(similarity_job job)
{
    FOR_MINE(i, job.batch * job.batch) similarity_pair(&job, i);
}

__global__ void similarity_row_kernel(similarity_job job)
{
    FOR_MINE(i, job.batch) similarity_row(&job, i);
}

__global__ void similarity_delta_kernel(similarity_job job, const float *above, float *below)
{
    FOR_MINE(i, job.batch * job.n)
    {
        size_t b = i / job.n, at = i % job.n;
        float sum = below[i] + above[i];
        for (size_t j = 0; j < job.batch; ++j)
            sum = similarity_add(sum, similarity_weight(&job, b, j), job.student[j * job.n + at]);
        below[i] = sum;
    }
}

/* Passes the input on; while training takes the loss. */
static void forward_similarity_layer_gpu(layer l, network net)
{
    similarity_job job;
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    BUG_UNLESS(map_loss_of(&l)->target, "similarity is trained without a target");
    similarity_job_of(&l, &job);
    job.student = l.output_gpu;
    similarity_pair_kernel<<<cuda_blocks(job.batch * job.batch), CUDA_THREADS, 0, 0>>>(job);
    CUDA_LAUNCHED(similarity_pair_kernel);
    similarity_row_kernel<<<cuda_blocks(job.batch), CUDA_THREADS, 0, 0>>>(job);
    CUDA_LAUNCHED(similarity_row_kernel);
    *l.cost = (float)(job.factor * map_loss_sum(&l, job.batch));
}

/* Adds its delta to what comes from above. */
static void backward_similarity_layer_gpu(layer l, network net)
{
    similarity_job job;
    if (!net.delta_gpu) return;
    similarity_job_of(&l, &job);
    job.student = l.output_gpu;
    similarity_delta_kernel<<<cuda_blocks(job.batch * job.n), CUDA_THREADS, 0, 0>>>(job, l.delta_gpu, net.delta_gpu);
    CUDA_LAUNCHED(similarity_delta_kernel);
}

extern "C" void bind_similarity_layer_gpu(layer *l)
{
    map_loss_to_device(l, forward_similarity_layer_gpu, backward_similarity_layer_gpu);
}
