/* Which layer is the first to differ, once an answer does: the training network on the plain reference backend, whose layers
 * all leave their outputs plain, beside the reader, on the image with the largest difference. Layers without a counterpart
 * (put in, or made of two) are passed over. A layer differs if it is off by more than 1e-4 of its largest value (at least 1). */
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/model/model.h"
#include "verify_internal.h"

#include <math.h>
#include <stdlib.h>

#define LAYER_BOUND 1e-4

typedef struct walk {
    const verify_job *j;
    model *m;                /* the training network after its run */
    network *host;           /* the deployed one in the host's library after its run */
    dnn_net *dnn;            /* or in OpenCV */
    int onnx;                /* where layer 7 is called layer_7 */
    const float *x;
    float *buffer;           /* the largest layer */
    double difference, largest;
} walk;

static const float *host_layer(walk *w, int i) { return w->host->layers[i].output; }

/* NULL where OpenCV has no such layer, or lays its output out in another way. */
static const float *dnn_layer(walk *w, int i)
{
    char name[64], why[64];
    int n = w->host->layers[i].outputs;
    if (w->onnx) snprintf(name, sizeof name, "layer_%d", i);
    else if (dnn_darknet_name(w->dnn, i, name, sizeof name)) return NULL;
    return dnn_forward_layer(w->dnn, name, w->x, w->j->c, w->j->h, w->j->w, w->buffer, n, why, sizeof why) == n ? w->buffer : NULL;
}

/* Fills difference and largest of layer i; 1 if they are too far apart. */
static int differs(walk *w, int i)
{
    const layer *want = &w->m->net->layers[w->j->source.from[i]];
    const float *got = w->dnn ? dnn_layer(w, i) : host_layer(w, i);
    w->difference = w->largest = 0;
    for (int k = 0; got && k < want->outputs; ++k) {
        double e = fabs((double)got[k] - (double)want->output[k]);
        if (!(e <= w->difference)) w->difference = isfinite(e) ? e : INFINITY;
        w->largest = fmax(w->largest, fabs((double)want->output[k]));
    }
    return w->difference > LAYER_BOUND * fmax(1, w->largest);
}

static int is_box_layer(const layer *l) { return l->type == YOLO || l->type == REGION; }

static void say(walk *w, diag *d)
{
    for (int i = 0; i < w->host->n; ++i) {
        int from = w->j->source.from[i];
        if (from < 0 || is_box_layer(&w->host->layers[i]) || w->host->layers[i].outputs != w->m->net->layers[from].outputs) continue;
        if (!differs(w, i)) continue;
        const cfg_section *s = cfg_layer(w->m->low->cfg, from);
        diag_hint(d, "the first layer that differs is layer %d [%s] (%s:%d), by %.3g where its largest value is %.3g", i, s->name,
                  s->file, s->line, w->difference, w->largest);
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

static model *open_training(const verify_source *s, diag *d)
{
    model_options o = { .backend = BACKEND_REFERENCE, .mode = s->mode };
    model *m = model_open(s->cfg, &o, d);
    if (!m || !model_load_whole(m, s->weights, d)) return m;
    model_close(m);
    return NULL;
}

/* Runs everything on the worst image. The training network may want more than one image at a time: the rest are zeros. */
static void run_all(walk *w, float *x, int image, diag *d)
{
    const verify_job *j = w->j;
    verify_planar(j->pixels + (size_t)image * verify_image_bytes(j), j->c, j->h, j->w, x);
    model_predict(w->m, x);
    network_predict(w->host, x);
    w->x = x;
    w->buffer = mem_calloc((size_t)largest_layer(w->host), sizeof *w->buffer);
    say(w, d);
    free(w->buffer);
}

static void open_reader(walk *w, int reader)
{
    char why[64];
    w->onnx = reader == VERIFY_ONNX;
    if (reader == VERIFY_OPENCV) w->dnn = dnn_read_darknet(w->j->cfg, w->j->weights, why, sizeof why);
    if (reader == VERIFY_ONNX) w->dnn = dnn_read_onnx(w->j->onnx, why, sizeof why);
}

void verify_name_layer(const verify_job *j, int reader, const verify_result *r, diag *d)
{
    diag *unsaid = diag_new();
    walk w = { .j = j };
    if (reader != VERIFY_STOCK && j->source.cfg) {
        w.m = open_training(&j->source, unsaid);
        w.host = w.m ? verify_open_host(j, unsaid) : NULL;
        if (w.host) open_reader(&w, reader);
    }
    float *x = mem_calloc(verify_image_bytes(j) * (size_t)(w.m ? w.m->net->batch : 1), sizeof *x);
    if (w.host && (w.dnn || reader == VERIFY_HOST)) run_all(&w, x, r->worst, d);
    else diag_hint(d, "%s does not let us look at its layers", r->reader);
    free(x);
    if (w.dnn) dnn_free(w.dnn);
    if (w.host) host_free(w.host);
    model_close(w.m);
    diag_free(unsaid);
}
