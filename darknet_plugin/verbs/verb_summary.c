/* `darknet distill summary CFG`: what the deployed network will be, and what distilling it saves. Of several projectors
 * each one's share is told, of parameters and of multiply-adds. */
#include "device.h"
#include "results.h"

#include "darknet_plugin/base/options.h"
#include "darknet_plugin/lowering/lower_savings.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>

static const char *const ROLE_NAME[] = {
    [ROLE_STUDENT] = "student", [ROLE_POOL] = "pooling", [ROLE_PROJECTOR] = "projector", [ROLE_LOSS] = "loss",
    [ROLE_TAIL] = "classifier", [ROLE_OUTPUT] = "untrained", [ROLE_LABELS] = "labels",
};

/* One of several projectors. */
typedef struct share {
    const char *teacher;              /* borrowed */
    size_t parameters;
    double macs, of_parameters, of_macs;   /* parts of all the deployed network's */
} share;

static share share_of(const lowered *low, const lower_head *head)
{
    share share = { .teacher = low->teacher[head->teacher].name };
    for (int i = 0; i < head->projectors; ++i) {
        share.parameters += low->shape->layer[head->projector + i].params;
        share.macs += low->shape->layer[head->projector + i].macs;
    }
    share.of_parameters = low->shape->params ? (double)share.parameters / (double)low->shape->params : 0;
    share.of_macs = low->shape->macs > 0 ? share.macs / low->shape->macs : 0;
    return share;
}

/* Who computes this layer when the network runs. */
static const char *runs_on(const network *net, int i, cpu_backend backend)
{
    const layer *l = &net->layers[i];
    return backend == BACKEND_GPU ? gpu_runs_on(l) : cpu_layer_runs_on(l);
}

/* One layer of the list. */
static cJSON *layer_json(const lowered *low, const network *net, int i, cpu_backend backend)
{
    const layer_shape *shape = &low->shape->layer[i];
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "index", i);
    cJSON_AddStringToObject(object, "type", cfg_layer(low->cfg, i)->name);
    cJSON_AddStringToObject(object, "role", ROLE_NAME[low->role[i]]);
    cJSON_AddNumberToObject(object, "h", shape->h);
    cJSON_AddNumberToObject(object, "w", shape->w);
    cJSON_AddNumberToObject(object, "c", shape->c);
    cJSON_AddNumberToObject(object, "outputs", shape->outputs);
    cJSON_AddNumberToObject(object, "parameters", (double)shape->params);
    cJSON_AddNumberToObject(object, "multiply_adds", shape->macs);
    cJSON_AddStringToObject(object, "runs_on", runs_on(net, i, backend));
    return object;
}

static void add_savings(cJSON *object, const lower_savings *savings)
{
    cJSON_AddNumberToObject(object, "teacher_parameters", (double)savings->teacher);
    cJSON_AddNumberToObject(object, "teacher_multiply_adds", savings->teacher_macs);
    cJSON_AddNumberToObject(object, "pruning_ratio", savings->pruning);
    cJSON_AddNumberToObject(object, "projector_parameters", (double)savings->projector);
    cJSON_AddNumberToObject(object, "projector_share", savings->share);
}

/* Each triple's, where it has one. */
static void add_projectors(cJSON *object, const lowered *low)
{
    cJSON *list = cJSON_AddArrayToObject(object, "projectors");
    for (int i = 0; i < low->heads; ++i) {
        share share = share_of(low, &low->head[i]);
        cJSON *one = cJSON_CreateObject();
        cJSON_AddStringToObject(one, "teacher", share.teacher);
        cJSON_AddNumberToObject(one, "parameters", (double)share.parameters);
        cJSON_AddNumberToObject(one, "share", share.of_parameters);
        cJSON_AddNumberToObject(one, "multiply_adds", share.macs);
        cJSON_AddNumberToObject(one, "multiply_adds_share", share.of_macs);
        cJSON_AddItemToArray(list, one);
    }
}

/* What print_summary says, for scripts. */
static cJSON *summary_json(const lowered *low, const network *net, cpu_backend backend)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "parameters", (double)low->shape->params);
    cJSON_AddNumberToObject(object, "multiply_adds", low->shape->macs);
    cJSON_AddNumberToObject(object, "file_bytes", (double)shapes_file_bytes(low->shape, low->shape->n));
    lower_savings savings = lower_saves(low);
    if (low->teacher) add_savings(object, &savings);
    if (low->teacher) add_projectors(object, low);
    cJSON *list = cJSON_AddArrayToObject(object, "layers");
    for (int i = 0; i < low->shape->n; ++i) cJSON_AddItemToArray(list, layer_json(low, net, i, backend));
    return object;
}

static void print_layer(const lowered *low, const network *net, int i, cpu_backend backend, FILE *out)
{
    const layer_shape *shape = &low->shape->layer[i];
    char map[48];
    if (shape->c) snprintf(map, sizeof map, "%d x %d x %d", shape->c, shape->h, shape->w);
    else snprintf(map, sizeof map, "%d", shape->outputs);
    fprintf(out, "%4d  %-14s %-10s %18s %12zu %12.3f  %s\n", i, cfg_layer(low->cfg, i)->name, ROLE_NAME[low->role[i]],
            map, shape->params, shape->macs / 1e6, runs_on(net, i, backend));
}

static void print_projectors(const lowered *low, FILE *out)
{
    for (int i = 0; i < low->heads && low->heads > 1; ++i) {
        share share = share_of(low, &low->head[i]);
        fprintf(out, "  %d %-10s %12zu parameters, %.1f %%, %.3f M multiply-adds, %.1f %%\n", i + 1, share.teacher,
                share.parameters, 100 * share.of_parameters, share.macs / 1e6, 100 * share.of_macs);
    }
}

/* The layers, then sums, and what distilling saves. */
static void print_summary(const lowered *low, const network *net, cpu_backend backend, FILE *out)
{
    const net_shape *shape = low->shape;
    lower_savings savings = lower_saves(low);
    fprintf(out, "   #  type           role               output c x h x w   parameters  M mult-adds  runs on\n");
    for (int i = 0; i < shape->n; ++i) print_layer(low, net, i, backend, out);
    fprintf(out, "\nparameters     %12zu\nmultiply-adds  %12.3f M\nweights file   %12zu bytes\n", shape->params,
            shape->macs / 1e6, shapes_file_bytes(shape, shape->n));
    if (!low->teacher) return;
    fprintf(out, "teacher%s       %12zu parameters, %.3f M multiply-adds\n", low->teachers > 1 ? "s" : " ",
            savings.teacher, savings.teacher_macs / 1e6);
    fprintf(out, "pruning ratio  %12.2f %%\n", 100 * savings.pruning);
    fprintf(out, "projector      %12zu parameters, %.1f %% of the student\n", savings.projector, 100 * savings.share);
    print_projectors(low, out);
}

/* Parsed with batch 1 and bound as training would bind it, to say who computes what. */
static network *bound_network(const char *path, lowered *low, cpu_backend backend, diag *d)
{
    cpu_options how = { .layouts = 1, .backend = backend };
    cfg_section *section = &low->cfg->section[0];
    cfg_set(section, "batch", "1");
    cfg_set(section, "subdivisions", "1");
    network *net = host_parse_cfg(low->cfg, path, d);
    if (!net || !cpu_bind(net, &how, d)) return net;
    host_free(net);
    return NULL;
}

static int tell(const options *options, lowered *low, cpu_backend backend, diag *d)
{
    network *net = bound_network(options->arg[0], low, backend, d);
    int failed = !net;
    if (net && options->json) failed = json_print(summary_json(low, net, backend), options->out, d);
    else if (net) print_summary(low, net, backend, options->out);
    if (net) cpu_unbind(net);
    host_free(net);
    return failed;
}

static int run(options *options, diag *d)
{
    cpu_backend backend;
    if (device_named(options, &backend, d)) return -1;
    lowered *low = lower_read(options->arg[0], LOWER_DEPLOY, d);
    int failed = !low || tell(options, low, backend, d);
    lower_free(low);
    return failed;
}

const verb verb_summary = {
    .name = "summary", .arguments = "CFG", .min = 1, .max = 1, .run = run,
    .help = "layers, shapes, parameters, multiply-adds",
    .example = "summary student.cfg",
    .flags = { "json", "backend", "nogpu" },
};
