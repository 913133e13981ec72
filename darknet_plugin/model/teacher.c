/* Live teacher features (see teacher.h). The tap's values are read from that layer's own `output`, never from
 * net->output, because only layers 0..cut-1 run. Input: the student's pixels, (x - mean) / std where the teacher wants
 * normalised input, resized (Darknet's bilinear) where it wants another size. */
#include "layers/network.h"
#include "teacher.h"

#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/base/mem.h"
#include "weights_tools/file/weights_file.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>

static int bind_frozen(network *net, const teacher_spec *spec, cpu_backend backend, diag *d)
{
    cpu_mode *mode = mem_calloc((size_t)net->n, sizeof *mode);
    for (int i = 0; i < net->n; ++i) mode[i] = CPU_FROZEN;
    char *keep = mem_calloc((size_t)net->n, 1);
    for (int i = 0; i < spec->taps; ++i) keep[spec->tap[i]] = 1;
    for (int i = 0; i < spec->outs; ++i) keep[spec->out[i]] = 1;
    cpu_options o = { .backend = backend, .mode = mode, .layouts = 1, .keep = keep };
    int failed = cpu_bind(net, &o, d) || gpu_bind(net, d);
    free(keep);
    free(mode);
    return failed;
}

static int load_weights_of(teacher *t, diag *d)
{
    const teacher_spec *s = t->spec;
    weights_info info;
    if (!s->weights_path) {
        diag_error(d, s->section->file, s->section->line, "teacher", "no weights= for the teacher");
        return -1;
    }
    if (weights_load(t->net, s->shape, s->weights_path, &info, d)) return -1;
    if (info.layers < t->net->n) {
        diag_error(d, s->weights_path, 0, NULL, "holds %d of the teacher's %d layers", info.layers, t->net->n);
        return -1;
    }
    return 0;
}

/* Images the teacher runs at a time: the largest divisor of the batch up to PART. */
enum { PART = 16 };

static int part_of(int batch, cpu_backend backend)
{
    int n = batch;
    while (backend == BACKEND_DNNL && n > 1 && (n > PART || batch % n)) --n;
    return n;
}

/* The host has allocated for the whole batch; what is never touched costs nothing. */
static void divide_batch(teacher *t, cpu_backend backend)
{
    network *net = t->net;
    const teacher_spec *s = t->spec;
    size_t batch = (size_t)net->batch;
    net->batch = part_of(net->batch, backend);   /* set_batch_network asks cuDNN for a device, where the host has that */
    for (int i = 0; i < net->n; ++i) net->layers[i].batch = net->batch;
    t->parts = (int)batch / net->batch;
    t->feature = mem_calloc((size_t)s->taps, sizeof *t->feature);
    t->out = mem_calloc((size_t)s->outs + 1, sizeof *t->out);
}

/* Room for what parts answer, by the layers' present sizes; none where the whole batch is one part. */
static void make_room(teacher *t)
{
    const network *net = t->net;
    const teacher_spec *s = t->spec;
    size_t batch = (size_t)net->batch * (size_t)t->parts;
    if (s->normalise || s->resize) t->prepared = mem_realloc(t->prepared, (size_t)net->batch * (size_t)net->inputs, sizeof(float));
    if (t->parts == 1) return;
    for (int i = 0; i < s->taps; ++i) t->feature[i] = mem_realloc(t->feature[i], batch * (size_t)net->layers[s->tap[i]].outputs, sizeof(float));
    for (int i = 0; i < s->outs; ++i) t->out[i] = mem_realloc(t->out[i], batch * (size_t)net->layers[s->out[i]].outputs, sizeof(float));
    t->answer = mem_realloc(t->answer, batch * (size_t)net->outputs, sizeof(float));
}

teacher *teacher_open(const teacher_spec *spec, int c, int h, int w, cpu_backend backend, diag *d)
{
    size_t len;
    char *text = cfg_text(spec->cfg, &len);
    network *net = host_parse(text, len, spec->cfg_path, d);
    free(text);
    if (!net) return NULL;
    teacher *t = mem_calloc(1, sizeof *t);
    *t = (teacher){ .net = net, .spec = spec, .host_input = net->input, .c = c, .h = h, .w = w };
    divide_batch(t, backend);
    make_room(t);
    if (bind_frozen(net, spec, backend, d) || load_weights_of(t, d)) {
        teacher_close(t);
        return NULL;
    }
    cpu_statistics_loaded(net, 0, net->n);
    gpu_push(net);
    return t;
}

void teacher_close(teacher *t)
{
    if (!t) return;
    t->net->input = t->host_input;
    gpu_unbind(t->net);
    cpu_unbind(t->net);
    host_free(t->net);
    for (int i = 0; i < t->spec->taps; ++i) free(t->feature[i]);
    for (int i = 0; i < t->spec->outs; ++i) free(t->out[i]);
    free(t->feature);
    free(t->out);
    free(t->answer);
    free(t->prepared);
    free(t);
}

static void prepare_image(const teacher *t, const float *x, float *out)
{
    const network *net = t->net;
    size_t plane = (size_t)net->h * (size_t)net->w;
    if (t->spec->resize) augment_resize(x, t->c, t->h, t->w, out, net->h, net->w);
    else memcpy(out, x, plane * (size_t)t->c * sizeof *out);
    if (!t->spec->normalise) return;
    for (int c = 0; c < t->c; ++c) {
        float mean = t->spec->mean[c % 3], inv = 1 / t->spec->std[c % 3];
        for (size_t i = 0; i < plane; ++i) out[(size_t)c * plane + i] = (out[(size_t)c * plane + i] - mean) * inv;
    }
}

static void forward_part(teacher *t, const float *x, int whole)
{
    network *net = t->net;
    size_t in = (size_t)t->c * (size_t)t->h * (size_t)t->w;
    if (t->prepared)
        for (int b = 0; b < net->batch; ++b) prepare_image(t, x + (size_t)b * in, t->prepared + (size_t)b * (size_t)net->inputs);
    net->input = t->prepared ? t->prepared : (float *)x;   /* layers only read their input */
    network_forward(net, whole ? net->n : t->spec->cut, 0);
}

/* Part number `part` of an array over the whole batch, `n` numbers an image. */
static void keep_part(float *whole, int part, const float *of, size_t n)
{
    memcpy(whole + (size_t)part * n, of, n * sizeof *of);
}

void teacher_forward(teacher *t, const float *x, int whole)
{
    const network *net = t->net;
    size_t batch = (size_t)net->batch, in = batch * (size_t)t->c * (size_t)t->h * (size_t)t->w;
    for (int part = 0; part < t->parts; ++part) {
        forward_part(t, x + (size_t)part * in, whole);
        if (t->parts == 1) return;
        for (int i = 0; i < t->spec->taps; ++i) {
            const layer *l = &net->layers[t->spec->tap[i]];
            keep_part(t->feature[i], part, l->output, batch * (size_t)l->outputs);
        }
        for (int i = 0; whole && i < t->spec->outs; ++i) {
            const layer *l = &net->layers[t->spec->out[i]];
            keep_part(t->out[i], part, l->output, batch * (size_t)l->outputs);
        }
        if (whole) keep_part(t->answer, part, net->output, batch * (size_t)net->outputs);
    }
}

const float *teacher_feature(const teacher *t, int tap)
{
    for (int i = 0; t->parts > 1 && i < t->spec->taps; ++i)
        if (t->spec->tap[i] == tap) return t->feature[i];
    gpu_pull_output(t->net, tap);
    return t->net->layers[tap].output;
}

const float *teacher_target(const teacher *t, int tap)
{
    return gpu_has(t->net) ? gpu_output(t->net, tap) : teacher_feature(t, tap);
}

const float *teacher_answer(const teacher *t) { return t->answer ? t->answer : t->net->output; }
int teacher_outputs(const teacher *t) { return t->net->outputs; }

const float *teacher_detections(const teacher *t, int k)
{
    return t->parts > 1 ? t->out[k] : t->net->layers[t->spec->out[k]].output;
}

int teacher_resize(teacher *t, int w, int h, diag *d)
{
    if (t->spec->resize) {
        diag_error(d, t->spec->section->file, t->spec->section->line, "teacher", "its input has a size of its own, so the student's cannot change");
        diag_hint(d, "random=1 needs a teacher that runs at the student's size");
        return -1;
    }
    t->net->input = t->host_input;
    if (network_resize(t->net, w, h, d)) return -1;
    t->host_input = t->net->input;
    t->w = w;
    t->h = h;
    make_room(t);
    return 0;
}
