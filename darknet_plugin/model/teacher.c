/* Live teacher features (see teacher.h). The tap's values are read from that layer's own `output`, never from
 * net->output, because only layers 0..cut-1 run. Input: the student's pixels, (x - mean) / std where the teacher wants
 * normalised input, resized (Darknet's bilinear) where it wants another size. */
#include "layers/network.h"
#include "teacher.h"

#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/base/mem.h"
#include "weights_tools/file/fold_epsilon.h"
#include "weights_tools/file/weights_file.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>

/* All layers in inference; those whose outputs are read keep them plain. */
static int bind_frozen(network *net, const teacher_spec *spec, const teacher_options *options, diag *d)
{
    cpu_mode *mode = mem_calloc((size_t)net->n, sizeof *mode);
    for (int i = 0; i < net->n; ++i) mode[i] = CPU_FROZEN;
    char *keep = mem_calloc((size_t)net->n, 1);
    for (int i = 0; i < teacher_kept(spec); ++i) keep[teacher_kept_layer(spec, i)] = 1;
    for (int i = 0; i < spec->outs; ++i) keep[spec->out[i]] = 1;
    cpu_options o = { .backend = options->backend, .precision = options->precision, .products = options->products,
                      .mode = mode, .layouts = 1, .keep = keep };
    int failed = cpu_bind(net, &o, d) || gpu_bind(net, d);
    free(keep);
    free(mode);
    return failed;
}

/* A teacher must be whole. */
static int load_weights_of(teacher *teacher, diag *d)
{
    const teacher_spec *s = teacher->spec;
    weights_info info;
    if (!s->weights_path) {
        diag_error(d, s->section->file, s->section->line, "teacher", "no weights= for the teacher");
        return -1;
    }
    if (weights_load(teacher->net, s->shape, s->weights_path, &info, d)) return -1;
    if (info.layers < teacher->net->n) {
        diag_error(d, s->weights_path, 0, NULL, "holds %d of the teacher's %d layers", info.layers, teacher->net->n);
        return -1;
    }
    if (s->epsilon > 0) fold_epsilon(teacher->net, s->epsilon);
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
static void divide_batch(teacher *teacher, cpu_backend backend)
{
    network *net = teacher->net;
    const teacher_spec *s = teacher->spec;
    size_t batch = (size_t)net->batch;
    /* set_batch_network asks cuDNN for a device, where the host has that */
    net->batch = part_of(net->batch, backend);
    for (int i = 0; i < net->n; ++i) net->layers[i].batch = net->batch;
    teacher->parts = (int)batch / net->batch;
    teacher->feature = mem_calloc((size_t)teacher_kept(s) + 1, sizeof *teacher->feature);
    teacher->out = mem_calloc((size_t)s->outs + 1, sizeof *teacher->out);
}

/* Room for what parts answer, by the layers' present sizes; none where the whole batch is one part. */
static void make_room(teacher *teacher)
{
    const network *net = teacher->net;
    const teacher_spec *s = teacher->spec;
    size_t batch = (size_t)net->batch * (size_t)teacher->parts;
    if (s->normalise || s->resize) teacher->prepared = mem_realloc(teacher->prepared,
                                                                   (size_t)net->batch * (size_t)net->inputs,
                                                                       sizeof(float));
    if (teacher->parts == 1) return;
    for (int i = 0; i < teacher_kept(s); ++i) {
        size_t n = batch * (size_t)net->layers[teacher_kept_layer(s, i)].outputs;
        teacher->feature[i] = mem_realloc(teacher->feature[i], n, sizeof(float));
    }
    for (int i = 0; i < s->outs; ++i) teacher->out[i] = mem_realloc(teacher->out[i],
                                                                    batch * (size_t)net->layers[s->out[i]].outputs,
                                                                        sizeof(float));
    teacher->answer = mem_realloc(teacher->answer, batch * (size_t)net->outputs, sizeof(float));
}

teacher *teacher_open(const teacher_spec *spec, const teacher_options *options, diag *d)
{
    network *net = host_parse_cfg(spec->cfg, spec->cfg_path, d);
    if (!net) return NULL;
    teacher *t = mem_calloc(1, sizeof *t);
    *t = (teacher){ .net = net, .spec = spec, .host_input = net->input, .c = options->c, .h = options->h,
                     .w = options->w, .precision = options->precision };
    divide_batch(t, options->backend);
    make_room(t);
    if (bind_frozen(net, spec, options, d) || load_weights_of(t, d)) {
        teacher_close(t);
        return NULL;
    }
    cpu_statistics_loaded(net, 0, net->n);
    gpu_push(net);
    return t;
}

/* The host frees the input that it has made, so that goes back first. */
void teacher_close(teacher *teacher)
{
    if (!teacher) return;
    teacher->net->input = teacher->host_input;
    gpu_unbind(teacher->net);
    cpu_unbind(teacher->net);
    host_free(teacher->net);
    for (int i = 0; i < teacher_kept(teacher->spec); ++i) free(teacher->feature[i]);
    for (int i = 0; i < teacher->spec->outs; ++i) free(teacher->out[i]);
    free(teacher->feature);
    free(teacher->out);
    free(teacher->answer);
    free(teacher->prepared);
    free(teacher);
}

/* One image as the teacher wants it: resized, then normalised. */
static void prepare_image(const teacher *teacher, const float *x, float *out)
{
    const network *net = teacher->net;
    size_t plane = (size_t)net->h * (size_t)net->w;
    if (teacher->spec->resize) augment_resize(x, teacher->c, teacher->h, teacher->w, out, net->h, net->w);
    else memcpy(out, x, plane * (size_t)teacher->c * sizeof *out);
    if (!teacher->spec->normalise) return;
    for (int c = 0; c < teacher->c; ++c) {
        float mean = teacher->spec->mean[c % 3], inv = 1 / teacher->spec->std[c % 3];
        for (size_t i = 0; i < plane; ++i) out[(size_t)c * plane + i] = (out[(size_t)c * plane + i] - mean) * inv;
    }
}

static void forward_part(teacher *teacher, const float *x, int whole)
{
    network *net = teacher->net;
    size_t in = (size_t)teacher->c * (size_t)teacher->h * (size_t)teacher->w;
    if (teacher->prepared)
        for (int b = 0; b < net->batch; ++b) prepare_image(teacher, x + (size_t)b * in, teacher->prepared + (size_t)b *
                                                           (size_t)net->inputs);
    net->input = teacher->prepared ? teacher->prepared : (float *)x;   /* layers only read their input */
    network_forward(net, whole ? net->n : teacher->spec->cut, 0);
}

/* Part number `part` of an array over the whole batch, `n` numbers an image. */
static void keep_part(float *whole, int part, const float *of, size_t n)
{
    memcpy(whole + (size_t)part * n, of, n * sizeof *of);
}

void teacher_forward(teacher *teacher, const float *x, int whole)
{
    const network *net = teacher->net;
    size_t batch = (size_t)net->batch, in = batch * (size_t)teacher->c * (size_t)teacher->h * (size_t)teacher->w;
    for (int part = 0; part < teacher->parts; ++part) {
        forward_part(teacher, x + (size_t)part * in, whole);
        if (teacher->parts == 1) return;
        for (int i = 0; i < teacher_kept(teacher->spec); ++i) {
            const layer *l = &net->layers[teacher_kept_layer(teacher->spec, i)];
            keep_part(teacher->feature[i], part, l->output, batch * (size_t)l->outputs);
        }
        for (int i = 0; whole && i < teacher->spec->outs; ++i) {
            const layer *l = &net->layers[teacher->spec->out[i]];
            keep_part(teacher->out[i], part, l->output, batch * (size_t)l->outputs);
        }
        if (whole) keep_part(teacher->answer, part, net->output, batch * (size_t)net->outputs);
    }
}

const float *teacher_feature(const teacher *teacher, int layer)
{
    for (int i = 0; teacher->parts > 1 && i < teacher_kept(teacher->spec); ++i)
        if (teacher_kept_layer(teacher->spec, i) == layer) return teacher->feature[i];
    gpu_pull_output(teacher->net, layer);
    return teacher->net->layers[layer].output;
}

const float *teacher_target(const teacher *teacher, int layer)
{
    return gpu_has(teacher->net) ? gpu_output(teacher->net, layer) : teacher_feature(teacher, layer);
}

const float *teacher_answer(const teacher *teacher) { return teacher->answer ? teacher->answer : teacher->net->output; }
int teacher_outputs(const teacher *teacher) { return teacher->net->outputs; }

const float *teacher_detections(const teacher *teacher, int k)
{
    return teacher->parts > 1 ? teacher->out[k] : teacher->net->layers[teacher->spec->out[k]].output;
}

int teacher_resize(teacher *teacher, int w, int h, diag *d)
{
    if (teacher->spec->resize) {
        diag_error(d, teacher->spec->section->file, teacher->spec->section->line, "teacher",
                   "its input has a size of its own, so the student's cannot change");
        diag_hint(d, "random=1 needs a teacher that runs at the student's size");
        return -1;
    }
    teacher->net->input = teacher->host_input;
    if (network_resize(teacher->net, w, h, d)) return -1;
    teacher->host_input = teacher->net->input;
    teacher->w = w;
    teacher->h = h;
    make_room(teacher);
    return 0;
}
