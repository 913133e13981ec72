/* [yolo] while it learns from labels on a CUDA device, a thread a place: the formulae are in layers/yolo_loss.h, the
 * arithmetic of a place in yolo_loss_ops.h. Inference is the host's. Costs come back place by place and are added up in
 * order, the same sum every time. */
#include "cuda_call.h"

extern "C" {
#include "darknet_plugin/base/mem.h"
#include "layers/fork_heads.h"
#include "layers/yolo_loss.h"
#include "state.h"
}

/* What hangs on gpu_state.plan: copies of the layer's arrays on the device, owned; a cost a place, on both sides. */
typedef struct yolo_plan {
    float *size;
    int *mask, *map;
    double *part_gpu, *part;
} yolo_plan;

__global__ void yolo_activate_kernel(const float *x, float *y, size_t n, size_t map, int entries, int activated)
{
    FOR_MINE(i, n)
    y[i] = yolo_value(x[i], activated ? -1 : (int)(i / map % (size_t)entries));
}

/* Place i of the batch; `images`: numbers of an image in output and truth. */
typedef struct yolo_images {
    const float *output, *truth;
    float *delta;
    size_t outputs, truths;
} yolo_images;

__global__ void yolo_loss_kernel(yolo_loss_how how, yolo_images images, size_t n, double *part)
{
    size_t cells = (size_t)how.w * (size_t)how.h, places = cells * (size_t)how.anchors;
    FOR_MINE(i, n)
    {
        size_t image = i / places, from = image * images.outputs;
        yolo_place place = yolo_place_at(&how, (int)(i % places / cells), (int)(i % cells), images.output + from,
                                         images.delta + from, images.truth + image * images.truths);
        part[i] = yolo_loss_at(&place);
    }
}

static size_t places_of(const layer *l) { return (size_t)l->batch * (size_t)l->n * (size_t)l->w * (size_t)l->h; }

static void *copied(const void *from, size_t bytes)
{
    void *array = NULL;
    if (!from) return NULL;
    CUDA_CALL(cudaMalloc(&array, bytes));
    CUDA_CALL(cudaMemcpy(array, from, bytes, cudaMemcpyHostToDevice));
    return array;
}

static void make_parts(const layer *l, yolo_plan *plan)
{
    CUDA_CALL(cudaMalloc((void **)&plan->part_gpu, places_of(l) * sizeof(double)));
    plan->part = (double *)mem_calloc(places_of(l), sizeof(double));
}

static void free_parts(yolo_plan *plan)
{
    CUDA_CALL(cudaFree(plan->part_gpu));
    free(plan->part);
}

extern "C" int accepts_gpu_yolo(const layer *l) { return l->coords != HEAD_GAUSSIAN; }

extern "C" int make_gpu_yolo(layer *l, gpu_state *state, diag *d)
{
    (void)d;
    yolo_plan *plan = (yolo_plan *)mem_calloc(1, sizeof *plan);
    plan->size = (float *)copied(l->biases, 2 * (size_t)l->total * sizeof(float));
    plan->mask = (int *)copied(l->mask, (size_t)l->n * sizeof(int));
    plan->map = (int *)copied(l->map, (size_t)l->classes * sizeof(int));
    make_parts(l, plan);
    state->plan = plan;
    return 0;
}

extern "C" void free_gpu_yolo(layer *l, gpu_state *state)
{
    (void)l;
    yolo_plan *plan = (yolo_plan *)state->plan;
    CUDA_CALL(cudaDeviceSynchronize());
    CUDA_CALL(cudaFree(plan->size));
    CUDA_CALL(cudaFree(plan->mask));
    CUDA_CALL(cudaFree(plan->map));
    free_parts(plan);
    free(plan);
}

extern "C" void resized_gpu_yolo(layer *l, gpu_state *state)
{
    free_parts((yolo_plan *)state->plan);
    make_parts(l, (yolo_plan *)state->plan);
}

/* Each image's places in order, then the images, as on the CPU. */
static double cost_of(const layer *l, const yolo_plan *plan)
{
    size_t image = places_of(l) / (size_t)l->batch;
    double cost = 0;
    for (int b = 0; b < l->batch; ++b) {
        double sum = 0;
        for (size_t i = 0; i < image; ++i) sum += plan->part[(size_t)b * image + i];
        cost += sum;
    }
    return cost;
}

/* All of l->delta_gpu and *l->cost, for the output that is there. */
static void learn(const layer *l, const yolo_plan *plan, const network *net)
{
    size_t n = places_of(l);
    yolo_images images = { l->output_gpu, net->truth_gpu, l->delta_gpu, (size_t)l->outputs, (size_t)l->truths };
    yolo_loss_how how = yolo_loss_how_of(l, net->w, net->h);
    how.size = plan->size;
    how.mask = plan->mask;
    how.map = plan->map;
    yolo_loss_kernel<<<cuda_blocks(n), CUDA_THREADS, 0, 0>>>(how, images, n, plan->part_gpu);
    CUDA_LAUNCHED(yolo_loss_kernel);
    CUDA_CALL(cudaMemcpy(plan->part, plan->part_gpu, n * sizeof(double), cudaMemcpyDeviceToHost));
    *l->cost = (float)cost_of(l, plan);
}

/* Where nothing is to be learnt the host's own, which leaves the output in host memory, too. */
extern "C" void forward_gpu_yolo(const layer *l, gpu_state *state, const layer_call *call)
{
    size_t n = cpu_floats(l), map = (size_t)l->w * (size_t)l->h;
    if (l->cost) *l->cost = 0;
    if (!call->train || !call->net->truth) {
        layer_call quiet = *call;
        quiet.train = 0;
        gpu_run_host(state->host_forward, l, &quiet);
        return;
    }
    yolo_activate_kernel<<<cuda_blocks(n), CUDA_THREADS, 0, 0>>>(call->input, l->output_gpu, n, map,
                                                                 YOLO_CLASSES + l->classes,
                                                                 l->coords == HEAD_NEW_COORDS);
    CUDA_LAUNCHED(yolo_activate_kernel);
    learn(l, (const yolo_plan *)state->plan, call->net);
}
