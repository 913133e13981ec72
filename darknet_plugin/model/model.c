/* From cfg to a network that trains (see model.h). */
#include "layers/network.h"
#include "model_internal.h"
#include "precision_plan.h"
#include "darknet_plugin/data/augment.h"

#include "layers/cpu/parallel.h"
#include "layers/gpu/gpu.h"
#include "layers/reused_classifier.h"
#include "weights_tools/file/fold_epsilon.h"
#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/path.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* What each role means to the CPU backend. */
static const cpu_mode MODE_OF[] = {
    [ROLE_STUDENT] = CPU_TRAINED, [ROLE_OUTPUT] = CPU_FROZEN, [ROLE_LABELS] = CPU_TRAINED,
    [ROLE_POOL] = CPU_FROZEN_WEIGHTS,
    [ROLE_PROJECTOR] = CPU_TRAINED, [ROLE_LOSS] = CPU_TRAINED, [ROLE_TAIL] = CPU_FROZEN,
};

int model_backend(const char *text, cpu_backend *backend, diag *d)
{
    static const struct { const char *name; cpu_backend value; } rows[] = {
        { "dnnl", BACKEND_DNNL }, { "reference", BACKEND_REFERENCE }, { "host", BACKEND_HOST },
    };
    *backend = BACKEND_DNNL;
    if (!text) return 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (!strcmp(rows[i].name, text)) {
            *backend = rows[i].value;
            return 0;
        }
    diag_error(d, NULL, 0, NULL, "unknown backend '%s', expected dnnl, reference or host", text);
    return -1;
}

/* The layer that answers. */
static int end_of_tail(const lower_head *head) { return head->tail + head->tails - 1; }

/* Losses behind a tail: gradients pass it. Boxes behind them learn from labels or are not run. */
static void let_through(const model *model, const lower_head *head, cpu_mode *mode)
{
    for (int k = 0; head->scores >= 0 && k < head->tails; ++k) {
        int i = head->tail + k, boxes = cfg_is_boxes(cfg_layer(model->low->cfg, i));
        if (head->tail_of[k] < 0) continue;
        mode[i] = boxes ? CPU_FROZEN : CPU_FROZEN_WEIGHTS;
        if (boxes && head->labels > 0) mode[i] = CPU_TRAINED;
    }
}

/* Puts our functions on the network's layers, by their roles. */
static int bind_layers(model *model, const model_options *options, diag *d)
{
    size_t n = (size_t)model->net->n;
    cpu_mode *mode = mem_calloc(n, sizeof *mode);
    char *keep = mem_calloc(n, 1);
    for (size_t i = 0; i < n; ++i) mode[i] = MODE_OF[model->low->role[i]];
    for (int i = 0; i < model->low->heads; ++i) let_through(model, &model->low->head[i], mode);
    for (int i = 0; i < model->low->heads; ++i)
        if (model->low->head[i].tails) keep[end_of_tail(&model->low->head[i])] = 1;
    for (int i = 0; i < model->low->outs; ++i) keep[model->low->out[i]] = 1;
    cpu_options c = { .backend = options->backend, .seed = options->seed, .mode = mode, .layouts = 1, .keep = keep };
    char *products = NULL;
    int failed = precision_of(options, 0, model->net->n, &c.precision, &products, d);
    c.products = products;
    failed = failed || cpu_bind(model->net, &c, d) || gpu_bind(model->net, d);
    free(products);
    free(keep);
    free(mode);
    return failed;
}

static int make_losses(model *model, diag *d)
{
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        if (loss->type->make(&model->net->layers[loss->layer], loss->section, &loss->place, d)) return -1;
    }
    return 0;
}

static void free_losses(model *model)
{
    for (int i = 0; i < model->low->losses; ++i) {
        layer *l = &model->net->layers[model->low->loss[i].layer];
        const section_type *made = section_type_of_layer(l);
        if (made) made->free(l);
    }
}

/* The frozen pooling before a projector: a depthwise convolution whose weights are all 1/k^2. */
static void fill_pools(model *model)
{
    for (int i = 0; i < model->net->n; ++i) {
        if (model->low->role[i] != ROLE_POOL) continue;
        layer *l = &model->net->layers[i];
        float weight = 1.f / (float)(l->size * l->size);
        for (int j = 0; j < l->nweights; ++j) l->weights[j] = weight;
        memset(l->biases, 0, (size_t)l->n * sizeof *l->biases);
    }
}

static int copy_tails(model *model, diag *d)
{
    int failed = 0;
    for (int i = 0; model->teacher && i < model->low->heads; ++i) {
        const lower_head *h = &model->low->head[i];
        failed |= copy_reused_classifier(model->net, h->tail, h->tails, model->teacher[h->teacher]->net, h->tail_of, d);
    }
    if (!failed) model_fill_combined(model);
    cpu_weights_changed(model->net);
    return failed;
}

/* Parses and binds the lowered cfg, with first weights. */
static int open_network(model *model, const char *cfg, const model_options *options, diag *d)
{
    model->net = host_parse_cfg(model->low->cfg, cfg, d);
    if (!model->net) return -1;
    model->net->adam = model->low->optimiser;
    model->host_input = model->net->input;
    model->host_truth = model->net->truth;
    model->classes = model->net->outputs;
    if (make_losses(model, d) || bind_layers(model, options, d)) return -1;
    cpu_init_weights(model->net, 0, model->net->n, options->seed);
    return 0;
}

static teacher *open_teacher(const lowered *low, int i, const model_options *options, diag *d)
{
    char *products;
    teacher_options how = { .c = low->shape->c, .h = low->shape->h, .w = low->shape->w, .backend = options->backend };
    if (precision_of(options, 1 + i, low->teacher[i].shape->n, &how.precision, &products, d)) return NULL;
    how.products = products;
    teacher *opened = teacher_open(&low->teacher[i], &how, d);
    free(products);
    return opened;
}

/* Opens them all, gives the tails their weights, and lets losses see them. */
static int open_teachers(model *model, const model_options *options, diag *d)
{
    const lowered *low = model->low;
    model->teacher = mem_calloc((size_t)low->teachers, sizeof *model->teacher);
    model->features = mem_calloc((size_t)low->teachers, sizeof *model->features);
    for (int i = 0; i < low->teachers; ++i) {
        model->teacher[i] = open_teacher(low, i, options, d);
        if (!model->teacher[i]) return -1;
    }
    for (int i = 0; i < low->losses; ++i) {
        const taught_loss *loss = &low->loss[i];
        if (loss->type->see_teacher)
            loss->type->see_teacher(&model->net->layers[loss->layer], model->teacher[loss->teacher]->net);
    }
    return copy_tails(model, d);
}

static void close_teachers(model *model)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i) {
        features_close(model->features[i]);
        teacher_close(model->teacher[i]);
    }
    free(model->features);
    free(model->teacher);
}

model *model_open(const char *cfg, const model_options *options, diag *d)
{
    lowered *low = options->shared ? lower_read_shared(cfg, options->mode, ranks_count(options->ranks), d)
        : lower_read_batch(cfg, options->mode, options->batch, d);
    if (!low) return NULL;
    model *m = mem_calloc(1, sizeof *m);
    m->low = low;
    m->ranks = options->ranks;
    parallel_set_threads(options->threads ? options->threads : ranks_threads(options->ranks));
    int failed = open_network(m, cfg, options, d);
    if (!failed && low->teacher && options->mode == LOWER_TRAIN) failed = open_teachers(m, options, d);
    if (failed) {
        model_close(m);
        return NULL;
    }
    fill_pools(m);
    gpu_push(m->net);
    return m;
}

/* Networks go before the cfg that their parts point into. */
void model_close(model *model)
{
    if (!model) return;
    if (model->net) {
        model->net->input = model->host_input;
        model->net->truth = model->host_truth;
        gpu_unbind(model->net);
        free_losses(model);
        cpu_unbind(model->net);
        host_free(model->net);
    }
    close_teachers(model);
    free(model->confidence);
    lower_free(model->low);
    free(model);
}

/* Is the frozen classifier in a whole weights file the teacher's? 0 with a message if not. */
static int tails_are_the_teachers(const model *model, const char *weights, diag *d)
{
    for (int i = 0; model->teacher && i < model->low->heads; ++i) {
        const lower_head *h = &model->low->head[i];
        int differs = compare_reused_classifier(model->net, h->tail, h->tails, model->teacher[h->teacher]->net,
                                                h->tail_of);
        if (!differs) continue;
        diag_error(d, weights, 0, NULL, "layer %d, part of the reused classifier, is not the teacher's", differs - 1);
        if (strstr(path_base_name(weights), MODEL_FROM_LABELS "_"))
            diag_hint(d, "it was trained from labels: -from-labels reads it");
        else
            diag_hint(d, "these weights were trained with another teacher than %s, or another [teacher] eps=",
                      model->low->teacher[h->teacher].weights_path);
        return -1;
    }
    return 0;
}

int model_load(model *model, const char *weights, weights_info *info, diag *d)
{
    weights_info own;
    if (!info) info = &own;
    if (weights_load(model->net, model->low->shape, weights, info, d)) return -1;
    int whole = info->layers >= model->net->n;
    if (whole && (tails_are_the_teachers(model, weights, d) || model_check_combined(model, weights, d))) return -1;
    if (!whole && copy_tails(model, d)) return -1;
    fill_pools(model);
    cpu_statistics_loaded(model->net, 0, info->layers);
    gpu_push(model->net);
    return 0;
}

int model_load_whole(model *model, const char *weights, diag *d)
{
    weights_info info;
    if (model_load(model, weights, &info, d)) return -1;
    if (info.layers >= model->net->n) return 0;
    diag_error(d, weights, 0, NULL, "holds %d of the network's %d layers", info.layers, model->net->n);
    return -1;
}

void model_set_epsilon(model *model, double epsilon)
{
    fold_epsilon(model->net, epsilon);
    cpu_weights_changed(model->net);
    gpu_push(model->net);
}

void model_notice_epsilon(const model *model, const char *weights, diag *d)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i) {
        const teacher_spec *spec = model->teacher[i]->spec;
        if (spec->epsilon > 0) continue;
        fold_notice_epsilon(model->teacher[i]->net, spec->weights_path, TEACHER_EPSILON_REMEDY, d);
    }
    if (model->low->teacher || !weights) return;
    char *remedy = mem_printf("if it was trained there, '%s weights fold CFG WEIGHTS OUT -eps .00001' makes a network "
                              "of it that is the same everywhere", command_name());
    fold_notice_epsilon(model->net, weights, remedy, d);
    free(remedy);
}

int model_is_detector(const model *model) { return model->low->outs > 0; }

int model_fit(model *model, const char *text, diag *d)
{
    int fit = text ? augment_fit_named(text) : -1;
    if (text && fit < 0) {
        diag_error(d, NULL, 0, NULL, "'-fit %s': expected crop, letterbox or stretch", text);
        return -1;
    }
    if (text && fit == FIT_CROP && model_is_detector(model)) {
        diag_error(d, NULL, 0, NULL, "'-fit crop' is for classifiers: boxes would be cut off");
        return -1;
    }
    if (text) lower_set_fit(model->low, (image_fit)fit);
    return 0;
}

const char *model_fit_text(const model *model)
{
    static const char *const stock[] = {
        [FIT_CROP] = "cropped to the square in the middle (stock 'classifier predict': -fit letterbox)",
        [FIT_LETTERBOX] = "letterboxed, as stock 'classifier predict' does",
    };
    image_fit fit = model->low->augment.fit;
    return fit == FIT_STRETCH || model_is_detector(model) ? augment_fit_text(fit) : stock[fit];
}

int model_fits_classes(const model *model, const data_file *file, diag *d)
{
    const char *cfg = model->low->source->path;
    if (!model_is_detector(model) && file->classes == model->classes) return 0;
    if (!model_is_detector(model))
        diag_error(d, cfg, 0, NULL, "network has %d outputs, %s has %d classes", model->classes, file->path,
                   file->classes);
    for (int i = 0; i < model->low->shape->n; ++i) {
        const cfg_section *s = cfg_layer(model->low->cfg, i);
        if (!cfg_is_boxes(s)) continue;
        int classes = cfg_classes(s);
        if (classes == file->classes) continue;
        diag_error(d, s->file, cfg_line(s, "classes"), s->name, "%d classes, %s has %d", classes, file->path,
                   file->classes);
        return -1;
    }
    return model_is_detector(model) ? 0 : -1;
}

teaching model_teaching_of(const model *model, const taught_loss *loss)
{
    const features *cached = model->features[loss->teacher];
    teaching now = { 0 };
    if (cached) now = features_teaching(cached, loss->tap_index);
    else now.live = teacher_target(model->teacher[loss->teacher], loss->taught);
    if (model->confidence) now.weight = model->confidence + loss->teacher * model->net->batch;
    return now;
}

void model_run_live(const model *model, const float *x)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i)
        if (!model->features[i]) teacher_forward(model->teacher[i], x, 0);
}

void model_ask_teachers(model *model, const float *x, const mixed_labels *labels)
{
    model_run_live(model, x);
    model_weigh_images(model, labels);
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        if (!loss->type->set_target) continue;
        teaching now = model_teaching_of(model, loss);
        loss->type->set_target(&model->net->layers[loss->layer], &now);
    }
}

static double total_cost(const network *net, int end)
{
    double sum = 0;
    for (int i = 0; i < end; ++i)
        if (net->layers[i].cost) sum += net->layers[i].cost[0];
    return sum / net->batch;
}

int model_resize(model *model, int w, int h, diag *d)
{
    network *net = model->net;
    if (net->w == w && net->h == h) return 0;
    for (int i = 0; model->teacher && i < model->low->teachers; ++i)
        if (teacher_resize(model->teacher[i], w, h, d)) return -1;
    net->input = model->host_input;
    net->truth = model->host_truth;
    if (network_resize(net, w, h, d)) return -1;
    model->host_input = net->input;
    model->host_truth = net->truth;
    return 0;
}

/* Teachers answer, and how long that takes is added up. A device goes on by itself: to wait for it each time would cost
 * what is measured. */
static void ask_and_time(model *model, const float *x, const mixed_labels *labels)
{
    const network *net = model->net;
    int waits = gpu_has(net), one_of = waits ? 16 : 1, timed = !(*net->seen / (size_t)net->batch % (size_t)one_of);
    if (waits && timed) gpu_wait();
    double began = clock_now();
    model_ask_teachers(model, x, labels);
    if (waits && timed) gpu_wait();
    if (timed) model->teaching += one_of * (clock_now() - began);
}

double model_train_mixed(model *model, const float *x, const mixed_labels *labels, const float *boxes)
{
    network *net = model->net;
    double *scales = model_fade_losses(model);
    ask_and_time(model, x, labels);
    if (boxes && model->low->labels)
        memcpy(net->truth, boxes, (size_t)net->truths * (size_t)net->batch * sizeof *boxes);
    else if (labels->first && model->low->labels)
        model_fill_truth(net, labels, model->low->augment.label_smoothing);
    net->input = (float *)x;     /* layers only read their input */
    *net->seen += (size_t)net->batch;
    network_forward(net, model->low->trained, 1);
    model_weigh_boxes(model, boxes, 1);
    double cost = total_cost(net, model->low->trained);
    if (isfinite(cost)) network_backward(net, model->low->trained);
    model_taught(model);
    model_put_scales(model, scales);
    return cost;
}

void model_run_teachers(model *model, const float *x, int whole)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i) teacher_forward(model->teacher[i], x, whole);
}

const float *model_answer(const model *model)
{
    int outputs;
    if (!model->teacher || model->low->combine.kind != COMBINE_ONE || model->low->outs) return model->net->output;
    return model_answer_as(model, model->low->combine.one, &outputs);
}

const float *model_predict(model *model, const float *x)
{
    network *net = model->net;
    float *truth = net->truth;
    net->input = (float *)x;
    net->truth = NULL;           /* no loss wanted */
    network_forward(net, net->n, 0);
    net->truth = truth;
    return model_answer(model);
}

/* Does this triple learn teacher t's map itself, and not just something of it? */
static int learns_map(const model *model, const lower_head *head, int t)
{
    return head->teacher == t && model->low->type[head->loss]->error;
}

static double head_mse(const model *model, const lower_head *head, int n)
{
    const float *target = teacher_feature(model->teacher[head->teacher], head->tap);
    gpu_pull_output(model->net, head->loss);
    return model->low->type[head->loss]->error(&model->net->layers[head->loss], target, n);
}

int model_learns_features(const model *model, int t)
{
    for (int i = 0; i < model->low->heads; ++i)
        if (learns_map(model, &model->low->head[i], t)) return 1;
    return 0;
}

int model_features_mse(const model *model, int t, int n, double *of, int most)
{
    int heads = 0;
    for (int i = 0; i < model->low->heads && heads < most; ++i)
        if (learns_map(model, &model->low->head[i], t)) of[heads++] = head_mse(model, &model->low->head[i], n);
    return heads;
}

double model_feature_mse(const model *model, int t, int n)
{
    double sum = 0, of[MAX_LEARNT_MAPS];
    int heads = model_features_mse(model, t, n, of, MAX_LEARNT_MAPS);
    for (int i = 0; i < heads; ++i) sum += of[i];
    return heads ? sum / heads : 0;
}

const float *model_answer_as(const model *model, int t, int *outputs)
{
    int end = -1;
    for (int i = 0; i < model->low->heads; ++i)
        if (model->low->head[i].teacher == t && model->low->head[i].answers) end = end_of_tail(&model->low->head[i]);
    if (end < 0) {                /* an output of its own */
        *outputs = model->classes;
        return model->net->output;
    }
    const layer *l = &model->net->layers[end];
    gpu_pull_output(model->net, end);
    *outputs = l->outputs;
    return l->output;
}
