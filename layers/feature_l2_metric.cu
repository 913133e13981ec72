/* [feature_l2] with pooled=1, normalise=channel, metric=head or weight=teacher on a CUDA device: the steps of
 * feature_l2_metric_ops.h, a kernel each, in the order forward takes them. Errors and what H sees of them stay there
 * for backward. Weights go up when they are known, before the first step. The host adds up the blocks' losses in
 * order: the same sum every time. */
#include "layers/gpu/cuda_call.h"

#include <stdlib.h>

extern "C" {
#include "darknet_plugin/base/mem.h"
#include "feature_l2_internal.h"
}

struct feature_l2_metric_device {
    float *weigh, *head, *turned;            /* weights, on the device */
    float *error, *means, *seen, *pull;      /* as in feature_l2_metric_job */
    float *box_weights, *box_biases;         /* weight=teacher: the head's, */
    float *raw, *place;                      /* and as in feature_l2_places */
    double *part;                            /* (CUDA_BLOCKS) */
    size_t room;                             /* values of the layer's output that there is room for */
};

/* ---- kernels ---- */

#define THREAD ((size_t)blockIdx.x * blockDim.x + threadIdx.x)
#define THREADS ((size_t)gridDim.x * blockDim.x)

__global__ void feature_l2_errors_kernel(feature_l2_metric_job job, feature_l2_job maps)
{
    feature_l2_thread_errors(&job, &maps, THREAD, THREADS);
}

__global__ void feature_l2_answers_kernel(feature_l2_places places, feature_l2_job maps)
{
    feature_l2_thread_answers(&places, &maps, THREAD, THREADS);
}

__global__ void feature_l2_places_kernel(feature_l2_places places)
{
    feature_l2_thread_places(&places, THREAD, THREADS);
}

__global__ void feature_l2_means_kernel(feature_l2_metric_job job, feature_l2_job maps, size_t plane)
{
    feature_l2_thread_means(&job, &maps, plane, THREAD, THREADS);
}

__global__ void feature_l2_seen_kernel(feature_l2_metric_job job)
{
    feature_l2_thread_seen(&job, THREAD, THREADS);
}

__global__ void feature_l2_pull_kernel(feature_l2_metric_job job)
{
    feature_l2_thread_pull(&job, THREAD, THREADS);
}

/* A block adds up its threads' shares as a tree. */
__global__ void feature_l2_metric_kernel(feature_l2_metric_job job, double *part)
{
    __shared__ double sum[CUDA_THREADS];
    sum[threadIdx.x] = feature_l2_thread_metric(&job, THREAD, THREADS);
    __syncthreads();
    for (int half = CUDA_THREADS / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) sum[threadIdx.x] += sum[threadIdx.x + half];
        __syncthreads();
    }
    if (threadIdx.x == 0) part[blockIdx.x] = sum[0];
}

__global__ void feature_l2_metric_delta_kernel(feature_l2_metric_job job, const float *above, float *delta)
{
    feature_l2_thread_metric_delta(&job, above, THREAD, THREADS, delta);
}

/* ---- what is there ---- */

static float *sent(const float *host, size_t n)
{
    float *device = NULL;
    CUDA_CALL(cudaMalloc((void **)&device, n * sizeof *device));
    CUDA_CALL(cudaMemcpy(device, host, n * sizeof *device, cudaMemcpyHostToDevice));
    return device;
}

static void renew(float **array, size_t n)
{
    CUDA_CALL(cudaFree(*array));
    CUDA_CALL(cudaMalloc((void **)array, n * sizeof **array));
}

/* What stays as it is while the layer lives. */
static feature_l2_metric_device *make_device(const feature_l2_metric *metric, const feature_l2_metric_job *job)
{
    feature_l2_metric_device *device = (feature_l2_metric_device *)mem_calloc(1, sizeof *device);
    device->weigh = sent(job->weigh, job->c);
    if (job->rows) device->head = sent(job->head, job->rows * job->width);
    if (job->rows) device->turned = sent(job->turned, job->rows * job->width);
    if (metric->boxes.rows) device->box_weights = sent(metric->boxes.weights, metric->boxes.rows * metric->boxes.width);
    if (metric->boxes.rows) device->box_biases = sent(metric->boxes.biases, metric->boxes.rows);
    CUDA_CALL(cudaMalloc((void **)&device->part, CUDA_BLOCKS * sizeof *device->part));
    return device;
}

/* Room for a batch of maps, which may have grown. */
static void make_room(const feature_l2_metric *metric, const feature_l2_metric_job *job)
{
    feature_l2_metric_device *device = metric->device;
    if (device->room >= job->batch * job->c * job->map) return;
    device->room = job->batch * job->c * job->map;
    renew(&device->error, device->room);
    renew(&device->means, job->batch * job->c);
    if (job->rows) renew(&device->seen, job->batch * job->rows * job->places);
    if (job->rows) renew(&device->pull, job->batch * job->width * job->places);
    if (metric->boxes.rows) renew(&device->raw, job->batch * metric->boxes.rows * job->map);
    if (metric->boxes.rows) renew(&device->place, job->batch * job->map);
}

/* The layer's job, all of it on the device. */
static feature_l2_metric_job job_there(layer *l)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    feature_l2_metric_job j = feature_l2_metric_job_of(l);
    if (!m->device) m->device = make_device(m, &j);
    make_room(m, &j);
    const feature_l2_metric_device *v = m->device;
    j.weigh = v->weigh;
    j.head = v->head;
    j.turned = v->turned;
    j.error = v->error;
    j.means = v->means;
    j.seen = v->seen;
    j.pull = v->pull;
    j.place = v->place;
    return j;
}

/* All that job_there has made. */
extern "C" void feature_l2_metric_free_gpu(layer *l)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    feature_l2_metric_device *v = m ? m->device : NULL;
    if (!v) return;
    float *const array[] = { v->weigh, v->head, v->turned, v->error, v->means, v->seen, v->pull,
                             v->box_weights, v->box_biases, v->raw, v->place };
    for (size_t i = 0; i < sizeof array / sizeof *array; ++i) CUDA_CALL(cudaFree(array[i]));
    CUDA_CALL(cudaFree(v->part));
    free(v);
    m->device = NULL;
}

/* ---- the layer ---- */

static double launch_metric(const feature_l2_metric_job *job, double *part)
{
    double host[CUDA_BLOCKS], sum = 0;
    int blocks = cuda_blocks(feature_l2_weighed(job) + job->batch * job->rows * job->places);
    feature_l2_metric_kernel<<<blocks, CUDA_THREADS, 0, 0>>>(*job, part);
    CUDA_LAUNCHED(feature_l2_metric_kernel);
    CUDA_CALL(cudaMemcpy(host, part, (size_t)blocks * sizeof *part, cudaMemcpyDeviceToHost));
    for (int i = 0; i < blocks; ++i) sum += host[i];
    return sum;
}

static void launch_means(const feature_l2_metric_job *job, const feature_l2_job *maps, size_t plane)
{
    feature_l2_means_kernel<<<cuda_blocks(job->batch * job->c), CUDA_THREADS, 0, 0>>>(*job, *maps, plane);
    CUDA_LAUNCHED(feature_l2_means_kernel);
}

/* weight=teacher: sqrt(u) of all places. */
static void launch_places(const layer *l, const feature_l2_job *maps)
{
    const feature_l2_metric_device *v = feature_l2_state_of(l)->metric->device;
    feature_l2_places places = feature_l2_places_of(l);
    places.weights = v->box_weights;
    places.biases = v->box_biases;
    places.raw = v->raw;
    places.place = v->place;
    feature_l2_answers_kernel<<<cuda_blocks(places.batch * box_rows(&places.form) * places.map), CUDA_THREADS, 0, 0>>>(
        places, *maps);
    CUDA_LAUNCHED(feature_l2_answers_kernel);
    feature_l2_places_kernel<<<cuda_blocks(places.batch), CUDA_THREADS, 0, 0>>>(places);
    CUDA_LAUNCHED(feature_l2_places_kernel);
}

extern "C" double feature_l2_metric_forward_gpu(layer *l, const feature_l2_job *maps)
{
    const feature_l2_state *s = feature_l2_state_of(l);
    feature_l2_metric_job j = job_there(l);
    size_t plane = s->means ? 1 : j.map * (size_t)(maps->k * maps->k);
    if (j.place) launch_places(l, maps);
    if (!j.pooled) {
        feature_l2_errors_kernel<<<cuda_blocks(maps->n), CUDA_THREADS, 0, 0>>>(j, *maps);
        CUDA_LAUNCHED(feature_l2_errors_kernel);
    }
    if (feature_l2_takes_means(&s->p)) launch_means(&j, maps, plane);
    if (j.rows) {
        feature_l2_seen_kernel<<<cuda_blocks(j.batch * j.rows * j.places), CUDA_THREADS, 0, 0>>>(j);
        CUDA_LAUNCHED(feature_l2_seen_kernel);
    }
    return launch_metric(&j, s->metric->device->part);
}

extern "C" void feature_l2_metric_backward_gpu(layer *l, const feature_l2_job *maps, float *delta)
{
    feature_l2_metric_job j = job_there(l);
    if (j.rows) {
        feature_l2_pull_kernel<<<cuda_blocks(j.batch * j.width * j.places), CUDA_THREADS, 0, 0>>>(j);
        CUDA_LAUNCHED(feature_l2_pull_kernel);
    }
    feature_l2_metric_delta_kernel<<<cuda_blocks(maps->n), CUDA_THREADS, 0, 0>>>(j, maps->above, delta);
    CUDA_LAUNCHED(feature_l2_metric_delta_kernel);
}
