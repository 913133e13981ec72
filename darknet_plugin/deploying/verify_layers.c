/* Which layer is the first to differ, once an answer does: the training network on the plain reference backend, whose
 * layers all leave their outputs plain, beside the reader, on the image with the largest difference. Layers without a
 * counterpart (put in, or made of two) are passed over. A layer differs if it is off by more than 1e-4 of its largest
 * value (at least 1). */
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/model/model.h"
#include "verify_internal.h"

#include <math.h>
#include <stdlib.h>

#define LAYER_BOUND 1e-4

typedef struct walk {
    const verify_job *job;
    model *model;            /* the training network after its run */
    network *host;           /* the deployed one in the host's library after its run */
    dnn_net *dnn;            /* or in OpenCV */
    int onnx;                /* where layer 7 is called layer_7 */
    const float *x;
    float *buffer;           /* the largest layer */
    double difference, largest;
} walk;

static const float *host_layer(walk *walk, int i) { return walk->host->layers[i].output; }

/* NULL where OpenCV has no such layer, or lays its output out in another way. */
static const float *dnn_layer(walk *walk, int i)
{
    char name[64], why[64];
    const verify_job *job = walk->job;
    int n = walk->host->layers[i].outputs;
    if (walk->onnx) snprintf(name, sizeof name, "layer_%d", i);
    else if (dnn_darknet_name(walk->dnn, i, name, sizeof name)) return NULL;
    int got = dnn_forward_layer(walk->dnn, name, walk->x, job->c, job->h, job->w, walk->buffer, n, why, sizeof why);
    return got == n ? walk->buffer : NULL;
}

/* Fills difference and largest of layer i; 1 if they are too far apart. */
static int differs(walk *walk, int i)
{
    const layer *want = &walk->model->net->layers[walk->job->source.from[i]];
    const float *got = walk->dnn ? dnn_layer(walk, i) : host_layer(walk, i);
    walk->difference = walk->largest = 0;
    for (int k = 0; got && k < want->outputs; ++k) {
        double e = fabs((double)got[k] - (double)want->output[k]);
        if (!(e <= walk->difference)) walk->difference = isfinite(e) ? e : INFINITY;
        walk->largest = fmax(walk->largest, fabs((double)want->output[k]));
    }
    return walk->difference > LAYER_BOUND * fmax(1, walk->largest);
}

/* Has the deployed layer i a counterpart of the same size, and an output that is a map? */
static int can_be_compared(const walk *walk, int i)
{
    const layer *l = &walk->host->layers[i];
    int from = walk->job->source.from[i];
    return from >= 0 && !host_is_boxes(l) && l->outputs == walk->model->net->layers[from].outputs;
}

/* The hint: the first layer that differs. */
static void say(walk *walk, diag *d)
{
    for (int i = 0; i < walk->host->n; ++i) {
        if (!can_be_compared(walk, i) || !differs(walk, i)) continue;
        const cfg_section *s = cfg_layer(walk->model->low->cfg, walk->job->source.from[i]);
        diag_hint(d, "the first layer that differs is layer %d [%s] (%s:%d), by %.3g where its largest value is %.3g",
                  i, s->name, s->file, s->line, walk->difference, walk->largest);
        return;
    }
    diag_hint(d, "no layer differs alone: small differences add up");
}

static int largest_layer(const network *net)
{
    int n = 1;
    for (int i = 0; i < net->n; ++i) n = net->layers[i].outputs > n ? net->layers[i].outputs : n;
    return n;
}

static model *open_training(const verify_source *source, diag *d)
{
    model_options options = { .backend = BACKEND_REFERENCE, .mode = source->mode };
    model *training = model_open(source->cfg, &options, d);
    if (!training || !model_load_whole(training, source->weights, d)) return training;
    model_close(training);
    return NULL;
}

/* Runs everything on the worst image, at the start of `input`: the training network may want more at a time. */
static void run_all(walk *walk, float *input, int image, diag *d)
{
    const verify_job *job = walk->job;
    verify_planar(job->pixels + (size_t)image * verify_image_bytes(job), job->c, job->h, job->w, input);
    model_predict(walk->model, input);
    network_predict(walk->host, input);
    walk->x = input;
    walk->buffer = mem_calloc((size_t)largest_layer(walk->host), sizeof *walk->buffer);
    say(walk, d);
    free(walk->buffer);
}

static void open_reader(walk *walk, int reader)
{
    char why[64];
    walk->onnx = reader == VERIFY_ONNX;
    if (reader == VERIFY_OPENCV) walk->dnn = dnn_read_darknet(walk->job->cfg, walk->job->weights, why, sizeof why);
    if (reader == VERIFY_ONNX) walk->dnn = dnn_read_onnx(walk->job->onnx, why, sizeof why);
}

void verify_name_layer(const verify_job *job, int reader, const verify_result *result, diag *d)
{
    diag *unsaid = diag_new();
    walk w = { .job = job };
    if (reader != VERIFY_STOCK && !job->not_darknet && job->source.cfg) {
        w.model = open_training(&job->source, unsaid);
        w.host = w.model ? verify_open_host(job, unsaid) : NULL;
        if (w.host) open_reader(&w, reader);
    }
    float *x = mem_calloc(verify_image_bytes(job) * (size_t)(w.model ? w.model->net->batch : 1), sizeof *x);
    if (w.host && (w.dnn || reader == VERIFY_HOST)) run_all(&w, x, result->worst, d);
    else diag_hint(d, "%s does not let us look at its layers", result->reader);
    free(x);
    if (w.dnn) dnn_free(w.dnn);
    if (w.host) host_free(w.host);
    model_close(w.model);
    diag_free(unsaid);
}
