/* [feature_l2] on a CUDA device. The formulae are in feature_l2.h and, an element and a thread at a time, in
 * feature_l2_ops.h, which the CPU's loops and its test of whole grids call too.
 *
 *   forward    output = input;  a block adds up its threads' squared errors as a tree, the host adds up the blocks in
 *              order: the same sum every time
 *   backward   net.delta += 2*scale/D * (t - s) + delta
 *
 * With pooled=1, normalise=channel or metric=head the arithmetic is feature_l2_metric.cu's.
 *
 * A live teacher's map is read where the teacher left it. Stored maps go up as they are stored (16 or 8 bits an
 * element), from pinned memory on a stream of their own, while the student's encoder computes; the default stream waits
 * for them. */
#include "layers/gpu/cuda_call.h"

#include <stdlib.h>

extern "C" {
#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "feature_l2_internal.h"
}
#include "feature_l2_ops.h"

struct feature_l2_device {
    double *part;              /* (CUDA_BLOCKS) on the device */
    float *weight;             /* (batch) what each image counts, on the device */
    char *maps, *pinned;       /* (batch) stored maps: on the device, on their way there */
    size_t room;               /* bytes of each */
    cudaStream_t stream;
    cudaEvent_t copied, read;  /* maps have arrived; the last kernel that reads them is done */
    feature_l2_job job;        /* `target`, `stride`, `values`, `type` of what is in `maps` */
    int uploaded;              /* the targets are in `maps` */
};

/* ---- kernels ---- */

/* A block adds up its threads' shares as a tree. */
__global__ void feature_l2_loss_kernel(feature_l2_job job, double *part)
{
    __shared__ double sum[CUDA_THREADS];
    size_t threads = (size_t)gridDim.x * blockDim.x;
    sum[threadIdx.x] = feature_l2_thread_loss(&job, (size_t)blockIdx.x * blockDim.x + threadIdx.x, threads);
    __syncthreads();
    for (int half = CUDA_THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sum[threadIdx.x] += sum[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) part[blockIdx.x] = sum[0];
}

__global__ void feature_l2_delta_kernel(feature_l2_job job, float *delta)
{
    feature_l2_thread_delta(&job, (size_t)blockIdx.x * blockDim.x + threadIdx.x, (size_t)gridDim.x * blockDim.x, delta);
}

/* ---- launchers ---- */

static double launch_loss(const feature_l2_job *job, double *part)
{
    double host[CUDA_BLOCKS], sum = 0;
    int blocks = cuda_blocks(job->n);
    feature_l2_loss_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(*job, part);
    CUDA_LAUNCHED(feature_l2_loss_kernel);
    CUDA_CALL(cudaMemcpy(host, part, (size_t)blocks * sizeof *part, cudaMemcpyDeviceToHost));
    for (int i = 0; i < blocks; ++i) sum += host[i];
    return sum;
}

static void launch_delta(const feature_l2_job *job, float *delta)
{
    int blocks = cuda_blocks(job->n);
    feature_l2_delta_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(*job, delta);
    CUDA_LAUNCHED(feature_l2_delta_kernel);
}

/* ---- targets ---- */

static void make_room(feature_l2_device *device, size_t bytes)
{
    if (bytes <= device->room) return;
    CUDA_CALL(cudaFree(device->maps));
    CUDA_CALL(cudaFreeHost(device->pinned));
    CUDA_CALL(cudaMalloc((void **)&device->maps, bytes));
    CUDA_CALL(cudaMallocHost((void **)&device->pinned, bytes));
    device->room = bytes;
}

static void copy_map(char *to, const feature_map *map, size_t values, size_t map_bytes)
{
    if (values) memcpy(to, map->range, values);
    memcpy(to + values, map->values, map_bytes);
}

/* All maps of a batch are of one type: they come from one cache. */
static void upload_feature_l2_maps(layer *l)
{
    feature_l2_state *s = feature_l2_state_of(l);
    feature_l2_device *v = s->device;
    static const size_t element[FEATURE_TYPES] = { 2, 4, 1 };   /* as feature_type counts: f16, f32, u8 */
    size_t k = (size_t)s->p.target_pool, n = s->means ? (size_t)l->out_c : (size_t)l->outputs * k * k;
    v->job.type = s->target[0].type;
    v->job.values = v->job.type == FEATURE_U8 ? (size_t)l->out_c * 2 * sizeof(float) : 0;
    v->job.stride = (v->job.values + n * element[v->job.type] + 63) / 64 * 64;
    CUDA_CALL(cudaEventSynchronize(v->copied));   /* `pinned` is free again */
    CUDA_CALL(cudaEventSynchronize(v->read));     /* and so is `maps` */
    make_room(v, v->job.stride * (size_t)l->batch);
    for (size_t b = 0; b < (size_t)l->batch; ++b) {
        BUG_UNLESS(s->target[b].type == v->job.type, "maps of two types in one batch");
        copy_map(v->pinned + b * v->job.stride, &s->target[b], v->job.values, n * element[v->job.type]);
    }
    CUDA_CALL(cudaMemcpyAsync(v->maps, v->pinned, v->job.stride * (size_t)l->batch, cudaMemcpyHostToDevice, v->stream));
    CUDA_CALL(cudaEventRecord(v->copied, v->stream));
    v->job.target = v->maps;
    v->uploaded = 1;
}

/* What the kernels need of the layer: live targets are floats without ranges. */
static feature_l2_job job_of(const layer *l)
{
    const feature_l2_state *s = feature_l2_state_of(l);
    feature_l2_job j = s->device->job;
    if (!s->device->uploaded) {
        j.type = FEATURE_F32;
        j.target = (const char *)s->target[0].values;
        j.values = 0;
        j.stride = (size_t)l->outputs * (size_t)(s->p.target_pool * s->p.target_pool) * sizeof(float);
    }
    j.weight = s->weight ? s->device->weight : NULL;
    j.student = l->output_gpu;
    j.above = l->delta_gpu;
    j.c = (size_t)l->out_c;
    j.h = l->out_h;
    j.w = l->out_w;
    j.k = s->p.target_pool;
    j.n = (size_t)l->outputs * (size_t)l->batch;
    j.factor = (float)(s->p.scale / (s->p.mean ? (double)l->outputs : 1.0));
    return j;
}

/* ---- the layer ---- */

/* Passes the input through; while training waits for the maps and takes the loss. */
static void forward_feature_l2_layer_gpu(layer l, network net)
{
    feature_l2_state *s = feature_l2_state_of(&l);
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    BUG_UNLESS(!net.train || s->has_target, "feature_l2 is trained without a target");
    CUDA_CALL(cudaMemcpyAsync(l.output_gpu, net.input_gpu, n * sizeof(float), cudaMemcpyDeviceToDevice, 0));
    if (!net.train) return;
    if (s->weight)
        CUDA_CALL(cudaMemcpy(s->device->weight, s->weight, (size_t)l.batch * sizeof(float), cudaMemcpyHostToDevice));
    if (s->device->uploaded) CUDA_CALL(cudaStreamWaitEvent(0, s->device->copied, 0));
    feature_l2_job j = job_of(&l);
    if (s->metric) {
        *l.cost = (float)feature_l2_metric_forward_gpu(&l, &j);
        return;
    }
    double sum = launch_loss(&j, s->device->part);
    *l.cost = (float)(sum * (s->p.scale / (s->p.mean ? (double)l.outputs : 1.0)));
}

static void backward_feature_l2_layer_gpu(layer l, network net)
{
    feature_l2_state *s = feature_l2_state_of(&l);
    BUG_UNLESS(s->has_target, "feature_l2 is trained without a target");
    if (!net.delta_gpu) return;
    feature_l2_job j = job_of(&l);
    if (s->metric) feature_l2_metric_backward_gpu(&l, &j, net.delta_gpu);
    else launch_delta(&j, net.delta_gpu);
    CUDA_CALL(cudaEventRecord(s->device->read, 0));
    s->device->uploaded = 0;
}

extern "C" void bind_feature_l2_layer_gpu(layer *l)
{
    feature_l2_state *s = feature_l2_state_of(l);
    feature_l2_device *v = (feature_l2_device *)mem_calloc(1, sizeof *v);
    CUDA_CALL(cudaMalloc((void **)&v->part, CUDA_BLOCKS * sizeof *v->part));
    CUDA_CALL(cudaMalloc((void **)&v->weight, (size_t)l->batch * sizeof(float)));
    CUDA_CALL(cudaStreamCreateWithFlags(&v->stream, cudaStreamNonBlocking));
    CUDA_CALL(cudaEventCreateWithFlags(&v->copied, cudaEventDisableTiming));
    CUDA_CALL(cudaEventCreateWithFlags(&v->read, cudaEventDisableTiming));
    s->device = v;
    s->upload = upload_feature_l2_maps;
    l->forward_gpu = forward_feature_l2_layer_gpu;
    l->backward_gpu = backward_feature_l2_layer_gpu;
    l->update_gpu = NULL;
}

/* Nothing may still be under way when memory and streams go. */
extern "C" void unbind_feature_l2_layer_gpu(layer *l)
{
    feature_l2_device *v = feature_l2_state_of(l)->device;
    if (!v) return;
    CUDA_CALL(cudaDeviceSynchronize());
    feature_l2_metric_free_gpu(l);
    CUDA_CALL(cudaFree(v->part));
    CUDA_CALL(cudaFree(v->weight));
    CUDA_CALL(cudaFree(v->maps));
    CUDA_CALL(cudaFreeHost(v->pinned));
    CUDA_CALL(cudaStreamDestroy(v->stream));
    CUDA_CALL(cudaEventDestroy(v->copied));
    CUDA_CALL(cudaEventDestroy(v->read));
    free(v);
    feature_l2_state_of(l)->device = NULL;
}
