/* The teacher as a judge of images: three losses and their gradient by every pixel (formulae in synthesis.h).
 *
 * All its layers are bound CPU_FROZEN_WEIGHTS: batch norm normalises by the running statistics, gradients pass, nothing
 * is learnt. That of the statistics is added by batch norm itself (cpu_options.statistics), that of the classes is put
 * where the softmax would begin, and that of smoothness is added to what comes out below. */
#include "synthesis_internal.h"

#include "darknet_plugin/base/argmax.h"
#include "darknet_plugin/base/mem.h"
#include "layers/cpu/parallel.h"
#include "layers/network.h"
#include "weights_tools/file/fold_epsilon.h"
#include "weights_tools/file/weights_file.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- opening ---- */

/* A cfg that names a plain one as teacher does; takes `plain`. */
static cfg_file *asking_for(cfg_file *plain, const synthesis_job *job)
{
    cfg_file *cfg = cfg_new(job->cfg);
    cfg_append_copy(cfg, cfg_net(plain));
    cfg_section *teacher = cfg_append(cfg, "teacher", job->cfg, 0);
    cfg_set(teacher, "cfg", "%s", job->cfg);
    cfg_set(teacher, "weights", "%s", job->weights);
    cfg_free(plain);
    return cfg;
}

static int refuse(const char *file, const char *hint, diag *d, const char *what)
{
    diag_error(d, file, 0, NULL, "%s", what);
    if (hint) diag_hint(d, "%s", hint);
    return -1;
}

/* What names the teacher: the distillation cfg, or one made for a plain one. NULL with messages. */
static cfg_file *read_source(const synthesis_job *job, diag *d)
{
    int before = diag_errors(d);
    cfg_file *cfg = cfg_read(job->cfg, d);
    int named = cfg && cfg_first(cfg, "teacher") != NULL, failed = !cfg || diag_errors(d) > before || !cfg_net(cfg);
    if (!failed && named && job->weights)
        failed = refuse(job->cfg, "leave the weights out", d, "is a distillation: its [teacher] names the weights");
    else if (!failed && !named && !job->weights)
        failed = refuse(job->cfg, "synthesize CFG WEIGHTS OUT", d, "has no [teacher], so its weights must be named");
    if (!failed) return named ? cfg : asking_for(cfg, job);
    cfg_free(cfg);
    return NULL;
}

/* Is it a classifier by one softmax over all classes? */
static int check_answer(const judge *judge, diag *d)
{
    const teacher_spec *spec = judge->spec;
    if (spec->outs)
        return refuse(spec->cfg_path, "its images have classes; a detector's would need boxes", d,
                      "is a detector: images are synthesised for classifiers only");
    const cfg_section *softmax = spec->answer >= 0 ? cfg_layer(spec->cfg, spec->answer + 1) : NULL;
    if (!softmax)
        return refuse(spec->cfg_path, "a classifier ends on [softmax]", d, "does not end on class scores");
    if (cfg_int(softmax, "groups", 1) == 1 && !cfg_find(softmax, "tree")) return 0;
    diag_error(d, spec->cfg_path, softmax->line, softmax->name, "has groups or a tree: not one class for an image");
    return -1;
}

/* Images that can be written, and statistics that were kept. */
static int check_layers(const judge *judge, diag *d)
{
    const teacher_spec *spec = judge->spec;
    int normalised = 0;
    if (judge->h < 1 || judge->w < 1 || (judge->c != 1 && judge->c != 3))
        return refuse(spec->cfg_path, NULL, d, "its input is no grey or colour image");
    for (int i = 0; i <= spec->answer; ++i) {
        const cfg_section *section = cfg_layer(spec->cfg, i);
        int has = cfg_int(section, "batch_normalize", 0);
        normalised += has;
        if (!has || cfg_is(section, "convolutional") || cfg_is(section, "connected")) continue;
        diag_error(d, section->file, section->line, section->name, "no gradient passes its batch norm");
        return -1;
    }
    if (normalised) return 0;
    return refuse(spec->cfg_path, "if batch norm was folded into its weights, name the network as it was trained", d,
                  "has no batch norm: nothing tells what its images were like");
}

/* The host counts in ints. */
static int check_room(const judge *judge, int batch, diag *d)
{
    const net_shape *shape = judge->spec->shape;
    int most = shape->inputs;
    for (int i = 0; i < shape->n; ++i) {
        const layer_shape *l = &shape->layer[i];
        if (l->outputs > most) most = l->outputs;
    }
    if (batch <= INT_MAX / 4 / most) return 0;
    diag_error(d, NULL, 0, NULL, "'-batch %d': a layer of %s has %d numbers an image, so %d images at most", batch,
               judge->spec->cfg_path, most, INT_MAX / 4 / most);
    return -1;
}

/* Statistics that were never gathered are all zero. */
static int check_statistics(const judge *judge, diag *d)
{
    for (int i = 0; i <= judge->answer; ++i) {
        const layer *l = &judge->net->layers[i];
        for (int c = 0; l->batch_normalize && c < l->out_c; ++c)
            if (l->rolling_variance[c] != 0) return 0;
    }
    return refuse(judge->spec->weights_path, NULL, d, "its batch norms have no running statistics: it was not trained");
}

/* A teacher must be whole, and trained. */
static int load_teacher(judge *judge, diag *d)
{
    const teacher_spec *spec = judge->spec;
    weights_info info;
    if (weights_load(judge->net, spec->shape, spec->weights_path, &info, d)) return -1;
    if (info.layers < judge->net->n) {
        diag_error(d, spec->weights_path, 0, NULL, "holds %d of the teacher's %d layers", info.layers, judge->net->n);
        return -1;
    }
    if (spec->epsilon > 0) fold_epsilon(judge->net, spec->epsilon);
    cpu_weights_changed(judge->net);
    return check_statistics(judge, d);
}

/* Parses it for that many images and binds it. */
static int open_network(judge *judge, const synthesis_job *job, diag *d)
{
    cfg_file *cfg = cfg_copy(judge->spec->cfg);
    cfg_set(&cfg->section[0], "batch", "%d", job->batch);
    judge->net = host_parse_cfg(cfg, judge->spec->cfg_path, d);
    cfg_free(cfg);
    if (!judge->net) return -1;
    judge->host_input = judge->net->input;
    cpu_mode *mode = mem_calloc((size_t)judge->net->n, sizeof *mode);
    char *keep = mem_calloc((size_t)judge->net->n, 1);
    for (int i = 0; i < judge->net->n; ++i) mode[i] = CPU_FROZEN_WEIGHTS;
    keep[judge->answer] = 1;
    cpu_options how = { .backend = job->backend, .mode = mode, .layouts = 1, .keep = keep, .input_delta = 1,
                        .statistics = (float)job->bn };
    int failed = cpu_bind(judge->net, &how, d);
    free(keep);
    free(mode);
    return failed || load_teacher(judge, d) ? -1 : 0;
}

/* Reads and checks which teacher it is. */
static int read_teacher(judge *judge, const synthesis_job *job, diag *d)
{
    judge->source = read_source(job, d);
    if (!judge->source) return -1;
    judge->spec = teachers_read(judge->source, TEACHERS_WEIGHTS, &judge->specs, d);
    if (!judge->spec) return -1;
    const teacher_spec *spec = judge->spec;
    if (judge->specs > 1)
        return refuse(job->cfg, "name one by itself: synthesize TEACHER.cfg TEACHER.weights OUT", d,
                      "has several teachers: images are made for one");
    if (!spec->weights_path) return refuse(job->cfg, NULL, d, "no weights= for the teacher");
    judge->c = spec->shape->c;
    judge->h = spec->shape->h;
    judge->w = spec->shape->w;
    judge->answer = spec->answer;
    if (check_answer(judge, d) || check_layers(judge, d) || check_room(judge, job->batch, d)) return -1;
    judge->classes = spec->shape->layer[spec->answer].outputs;
    return 0;
}

judge *judge_open(const synthesis_job *job, diag *d)
{
    judge *j = mem_calloc(1, sizeof *j);
    j->batch = job->batch;
    j->bn = job->bn;
    j->ce = job->ce;
    j->tv = job->tv;
    if (read_teacher(j, job, d) || open_network(j, job, d)) {
        judge_close(j);
        return NULL;
    }
    j->x = mem_calloc(judge_floats(j), sizeof *j->x);
    return j;
}

/* The host frees the input that it has made, so that goes back first. */
void judge_close(judge *judge)
{
    if (!judge) return;
    if (judge->net) {
        judge->net->input = judge->host_input;
        cpu_unbind(judge->net);
        host_free(judge->net);
    }
    teachers_free(judge->spec, judge->specs);
    cfg_free(judge->source);
    free(judge->x);
    free(judge);
}

size_t judge_image(const judge *judge) { return (size_t)judge->c * (size_t)judge->h * (size_t)judge->w; }
size_t judge_floats(const judge *judge) { return (size_t)judge->batch * judge_image(judge); }

uint64_t judge_identity(const judge *judge) { return weights_hash(judge->net, 0, judge->net->n); }

/* ---- judging ---- */

typedef struct look_job {
    const judge *judge;
    const float *images;
    float *delta;
} look_job;

/* Maps [begin, end) of all images and channels as the teacher wants them. */
static void prepare_maps(void *context, size_t begin, size_t end)
{
    const look_job *job = context;
    const judge *judge = job->judge;
    size_t map = (size_t)judge->h * (size_t)judge->w, c = (size_t)judge->c;
    for (size_t i = begin; i < end; ++i) {
        float mean = judge->spec->mean[i % c % 3], inv = 1 / judge->spec->std[i % c % 3];
        for (size_t k = i * map; k < (i + 1) * map; ++k) judge->x[k] = (job->images[k] - mean) * inv;
    }
}

static size_t maps(const judge *judge) { return (size_t)judge->batch * (size_t)judge->c; }
static size_t map_size(const judge *judge) { return (size_t)judge->h * (size_t)judge->w; }

/* Runs it on images up to the class scores, (batch, classes), borrowed. */
static const float *run(judge *judge, const float *images)
{
    look_job job = { .judge = judge, .images = images };
    parallel_for_work(maps(judge), map_size(judge), prepare_maps, &job);
    judge->net->input = judge->x;
    cpu_statistics_forget(judge->net);
    network_forward(judge->net, judge->answer + 1, 1);
    return judge->net->layers[judge->answer].output;
}

/* The logarithm of the sum of n exponentials. */
static double log_sum(const float *score, int n)
{
    double most = score[argmax(score, n)], sum = 0;
    for (int i = 0; i < n; ++i) sum += exp(score[i] - most);
    return most + log(sum);
}

/* Cross-entropy, a mean over images; puts minus its weighted gradient, softmax - 1 at the class, over the batch. */
static double lose_classes(judge *judge, const float *score, const int *class)
{
    double sum = 0;
    for (int b = 0; b < judge->batch; ++b, score += judge->classes) {
        double all = log_sum(score, judge->classes);
        float *delta = judge->net->layers[judge->answer].delta + (size_t)b * (size_t)judge->classes;
        for (int k = 0; k < judge->classes; ++k)
            delta[k] = (float)(judge->ce / judge->batch * ((k == class[b]) - exp(score[k] - all)));
        sum += all - score[class[b]];
    }
    return sum / judge->batch;
}

/* Undoes the normalisation of maps [begin, end) of the delta. */
static void unprepare_maps(void *context, size_t begin, size_t end)
{
    const look_job *job = context;
    const judge *judge = job->judge;
    size_t map = map_size(judge), c = (size_t)judge->c;
    for (size_t i = begin; i < end; ++i) {
        float inv = 1 / judge->spec->std[i % c % 3];
        for (size_t k = i * map; k < (i + 1) * map; ++k) job->delta[k] *= inv;
    }
}

/* One difference of two neighbours, squared, and minus its gradient times `factor`. */
static double smooth_pair(const float *x, float *delta, size_t step, double factor)
{
    float off = x[step] - *x, pull = (float)(factor * 2 * off);
    *delta += pull;
    delta[step] -= pull;
    return (double)off * off;
}

/* The loss of roughness, a mean over all numbers; its gradient is added. */
static double smooth(const judge *judge, const float *x, float *delta)
{
    size_t w = (size_t)judge->w, n = judge_floats(judge), map = map_size(judge);
    double sum = 0, factor = judge->tv / (double)n;
    for (size_t i = 0; i < n; ++i) {
        if (i % w + 1 < w) sum += smooth_pair(x + i, delta + i, 1, factor);
        if (i % map + w < map) sum += smooth_pair(x + i, delta + i, w, factor);
    }
    return sum / (double)n;
}

judgement judge_look(judge *judge, const float *images, const int *class, float *delta)
{
    judgement of = { 0 };
    const float *score = run(judge, images);
    of.ce = lose_classes(judge, score, class);
    of.bn = cpu_statistics_loss(judge->net, NULL);
    memset(delta, 0, judge_floats(judge) * sizeof *delta);
    network_backward_input(judge->net, judge->answer + 1, delta);
    look_job job = { .judge = judge, .delta = delta };
    parallel_for_work(maps(judge), map_size(judge), unprepare_maps, &job);
    of.tv = smooth(judge, images, delta);
    of.all = judge->bn * of.bn + judge->ce * of.ce + judge->tv * of.tv;
    return of;
}

void judge_answer(judge *judge, const float *images, int *label, float *sure)
{
    const float *score = run(judge, images);
    for (int b = 0; b < judge->batch; ++b, score += judge->classes) {
        label[b] = argmax(score, judge->classes);
        sure[b] = (float)exp(score[label[b]] - log_sum(score, judge->classes));
    }
}
