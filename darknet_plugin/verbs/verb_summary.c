/* `darknet distill summary CFG`: what the deployed network will be, and what distilling it saves.
 * Pruning ratio = 1 - parameters(student, projector, classifier) / parameters(teachers). */
#include "device.h"
#include "results.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/lowering/lower.h"
#include "darknet_plugin/model/model.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>

static const char *const ROLE_NAME[] = {
    [ROLE_STUDENT] = "student", [ROLE_POOL] = "pooling", [ROLE_PROJECTOR] = "projector", [ROLE_LOSS] = "loss",
        [ROLE_TAIL] = "classifier",
};

typedef struct summary {
    size_t projector, teacher;        /* parameters; of all teachers */
    double teacher_macs, pruning, share;
    cpu_backend backend;
} summary;

static summary sum_up(const lowered *low)
{
    summary s = { 0 };
    for (int i = 0; i < low->shape->n; ++i)
        if (low->role[i] == ROLE_PROJECTOR) s.projector += low->shape->layer[i].params;
    for (int i = 0; i < low->teachers; ++i) {
        s.teacher += low->teacher[i].shape->params;
        s.teacher_macs += low->teacher[i].shape->macs;
    }
    s.share = low->shape->params ? (double)s.projector / (double)low->shape->params : 0;
    if (low->teacher) s.pruning = 1 - (double)low->shape->params / (double)s.teacher;
    return s;
}

/* Who computes this layer when the network runs. */
static const char *runs_on(const network *net, int i, cpu_backend backend)
{
    const layer *l = &net->layers[i];
    return backend == BACKEND_GPU ? gpu_runs_on(l) : cpu_layer_runs_on(l);
}

static cJSON *layer_json(const lowered *low, const network *net, int i, cpu_backend backend)
{
    const layer_shape *s = &low->shape->layer[i];
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "index", i);
    cJSON_AddStringToObject(o, "type", cfg_layer(low->cfg, i)->name);
    cJSON_AddStringToObject(o, "role", ROLE_NAME[low->role[i]]);
    cJSON_AddNumberToObject(o, "h", s->h);
    cJSON_AddNumberToObject(o, "w", s->w);
    cJSON_AddNumberToObject(o, "c", s->c);
    cJSON_AddNumberToObject(o, "outputs", s->outputs);
    cJSON_AddNumberToObject(o, "parameters", (double)s->params);
    cJSON_AddNumberToObject(o, "multiply_adds", s->macs);
    cJSON_AddStringToObject(o, "runs_on", runs_on(net, i, backend));
    return o;
}

static cJSON *summary_json(const lowered *low, const network *net, const summary *summary)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddNumberToObject(o, "parameters", (double)low->shape->params);
    cJSON_AddNumberToObject(o, "multiply_adds", low->shape->macs);
    cJSON_AddNumberToObject(o, "file_bytes", (double)shapes_file_bytes(low->shape, low->shape->n));
    if (low->teacher) {
        cJSON_AddNumberToObject(o, "teacher_parameters", (double)summary->teacher);
        cJSON_AddNumberToObject(o, "teacher_multiply_adds", summary->teacher_macs);
        cJSON_AddNumberToObject(o, "pruning_ratio", summary->pruning);
        cJSON_AddNumberToObject(o, "projector_parameters", (double)summary->projector);
        cJSON_AddNumberToObject(o, "projector_share", summary->share);
    }
    cJSON *list = cJSON_AddArrayToObject(o, "layers");
    for (int i = 0; i < low->shape->n; ++i) cJSON_AddItemToArray(list, layer_json(low, net, i, summary->backend));
    return o;
}

static void print_layer(const lowered *low, const network *net, int i, cpu_backend backend, FILE *out)
{
    const layer_shape *s = &low->shape->layer[i];
    char map[48];
    if (s->c) snprintf(map, sizeof map, "%d x %d x %d", s->c, s->h, s->w);
    else snprintf(map, sizeof map, "%d", s->outputs);
    fprintf(out, "%4d  %-14s %-10s %18s %12zu %12.3f  %s\n", i, cfg_layer(low->cfg, i)->name, ROLE_NAME[low->role[i]],
            map, s->params, s->macs / 1e6, runs_on(net, i, backend));
}

static void print_summary(const lowered *low, const network *net, const summary *summary, FILE *out)
{
    fprintf(out, "   #  type           role               output c x h x w   parameters  M mult-adds  runs on\n");
    for (int i = 0; i < low->shape->n; ++i) print_layer(low, net, i, summary->backend, out);
    fprintf(out, "\nparameters     %12zu\nmultiply-adds  %12.3f M\nweights file   %12zu bytes\n", low->shape->params,
            low->shape->macs / 1e6, shapes_file_bytes(low->shape, low->shape->n));
    if (!low->teacher) return;
    fprintf(out, "teacher%s       %12zu parameters, %.3f M multiply-adds\n", low->teachers > 1 ? "s" : " ",
            summary->teacher, summary->teacher_macs / 1e6);
    fprintf(out, "pruning ratio  %12.2f %%\n", 100 * summary->pruning);
    fprintf(out, "projector      %12zu parameters, %.1f %% of the student\n", summary->projector, 100 * summary->share);
}

/* Parsed with batch 1 and bound as training would bind it, to say who computes what. */
static network *bound_network(const options *options, lowered *low, cpu_backend backend, diag *d)
{
    cpu_options c = { .layouts = 1, .backend = backend };
    size_t len;
    cfg_section *net = &low->cfg->section[0];
    cfg_set(net, "batch", "1");
    cfg_set(net, "subdivisions", "1");
    char *text = cfg_text(low->cfg, &len);
    network *n = host_parse(text, len, options->arg[0], d);
    free(text);
    if (n && cpu_bind(n, &c, d)) {
        host_free(n);
        n = NULL;
    }
    return n;
}

static int run(options *options, diag *d)
{
    cpu_backend backend;
    lowered *l = device_named(options, &backend, d) ? NULL : lower_read(options->arg[0], LOWER_DEPLOY, d);
    network *net = l ? bound_network(options, l, backend, d) : NULL;
    int failed = !net;
    if (net) {
        summary s = sum_up(l);
        s.backend = backend;
        if (options->json) failed = json_print(summary_json(l, net, &s), options->out, d);
        else print_summary(l, net, &s, options->out);
        cpu_unbind(net);
        host_free(net);
    }
    lower_free(l);
    return failed;
}

const verb verb_summary = {
    .name = "summary", .arguments = "CFG", .min = 1, .max = 1, .run = run,
    .help = "layers, shapes, parameters, multiply-adds",
    .flags = { "json", "backend", "nogpu" },
};
