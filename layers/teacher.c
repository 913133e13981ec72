/* Live teacher features (see teacher.h). The tap's values are read from that layer's own `output`, never from
 * net->output, because only layers 0..cut-1 run. Input: the student's pixels, (x - mean) / std where the teacher wants
 * normalised input, resized (Darknet's bilinear) where it wants another size. */
#include "teacher.h"

#include "../darknet_plugin/augment.h"
#include "../darknet_plugin/mem.h"
#include "../weights_tools/weights_file.h"

#include <stdlib.h>
#include <string.h>

static int bind_frozen(network *net, cpu_backend backend, diag *d)
{
    cpu_mode *mode = mem_calloc((size_t)net->n, sizeof *mode);
    for (int i = 0; i < net->n; ++i) mode[i] = CPU_FROZEN;
    cpu_options o = { .backend = backend, .mode = mode };
    int failed = cpu_bind(net, &o, d);
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

teacher *teacher_open(const teacher_spec *spec, int c, int h, int w, cpu_backend backend, diag *d)
{
    size_t len;
    char *text = cfg_text(spec->cfg, &len);
    network *net = host_parse(text, len, spec->cfg_path, d);
    free(text);
    if (!net) return NULL;
    teacher *t = mem_calloc(1, sizeof *t);
    *t = (teacher){ .net = net, .spec = spec, .host_input = net->input, .c = c, .h = h, .w = w };
    if (spec->normalise || spec->resize) t->prepared = mem_calloc((size_t)net->batch * (size_t)net->inputs, sizeof(float));
    if (bind_frozen(net, backend, d) || load_weights_of(t, d)) {
        teacher_close(t);
        return NULL;
    }
    cpu_statistics_loaded(net, 0, net->n);
    return t;
}

void teacher_close(teacher *t)
{
    if (!t) return;
    t->net->input = t->host_input;
    cpu_unbind(t->net);
    host_free(t->net);
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

void teacher_forward(teacher *t, const float *x, int whole)
{
    network *net = t->net;
    size_t in = (size_t)t->c * (size_t)t->h * (size_t)t->w;
    if (t->prepared)
        for (int b = 0; b < net->batch; ++b) prepare_image(t, x + (size_t)b * in, t->prepared + (size_t)b * (size_t)net->inputs);
    net->input = t->prepared ? t->prepared : (float *)x;   /* layers only read their input */
    host_forward(net, whole ? net->n : t->spec->cut, 0);
}

const float *teacher_feature(const teacher *t, int tap) { return t->net->layers[tap].output; }
const float *teacher_answer(const teacher *t) { return t->net->output; }
int teacher_outputs(const teacher *t) { return t->net->outputs; }
