/* `darknet distill weights import CFG MODEL OUT.weights`: other programs' weights for a cfg.
 *
 *   tensors   read from MODEL, whatever its format (named_tensors.h)
 *   groups    brought together layer by layer (tensor_groups.h)
 *   layers    matched by order and shape, or by -map (import_match.c)
 *   values    copied, batch norm adjusted (import_fill.c)
 *
 * OUT is written when all of that has worked, and not before. A distillation cfg takes its encoder's weights: the
 * layers before its first [projector]; what the model has beyond them is named and not used. */
#include "weights_view.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/sections/cfg_keys.h"
#include "weights_tools/import/import.h"

#include <stdlib.h>
#include <string.h>

static int is_plugin(const cfg_section *section)
{
    const section_row *row = cfg_section_row(section->name);
    return row && row->kind == SECTION_PLUGIN;
}

/* [net] and the layers before the first plugin section. */
static cfg_file *encoder_of(const cfg_file *whole)
{
    cfg_file *encoder = cfg_new(whole->path);
    for (int i = 0; i < whole->n && !is_plugin(&whole->section[i]); ++i) {
        const cfg_section *section = &whole->section[i];
        if (cfg_is(section, "net") || section->index >= 0) cfg_append_copy(encoder, section);
    }
    return encoder;
}

static int has_plugin(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (is_plugin(&cfg->section[i])) return 1;
    return 0;
}

/* Reads and lowers the cfg, or what of it is an encoder. */
static int open_cfg(import_job *job, diag *d)
{
    int before = diag_errors(d);
    cfg_file *cfg = cfg_read(job->cfg, d);
    if (!cfg || diag_errors(d) > before) {
        cfg_free(cfg);
        return -1;
    }
    job->encoder = has_plugin(cfg);
    if (job->encoder) {
        cfg_file *encoder = encoder_of(cfg);
        cfg_free(cfg);
        cfg = encoder;
    }
    job->low = lower_cfg(cfg, LOWER_TRAIN, d);
    return job->low ? 0 : -1;
}

/* The network with memory for one image. */
static int open_network(import_job *job, diag *d)
{
    cfg_set(&job->low->cfg->section[0], "batch", "1");
    cfg_set(&job->low->cfg->section[0], "subdivisions", "1");
    job->net = host_parse_cfg(job->low->cfg, job->cfg, d);
    if (!job->net) return -1;
    if (job->low->shape->stored) return 0;
    const char *where = job->encoder ? " before its first [projector]" : "";
    diag_error(d, job->cfg, 0, NULL, "has no layer with weights%s", where);
    return -1;
}

/* A file of weights alone does not say how its model adds maps of unlike channels: ResNet's option A pads on both
 * sides. */
static void warn_of_shortcuts(const import_job *job, diag *d)
{
    int first = -1, n = 0;
    for (int i = 0; i < job->net->n; ++i) {
        const layer *l = &job->net->layers[i];
        if (l->type != SHORTCUT || l->c == l->out_c) continue;
        if (!n++) first = i;
    }
    if (!n || job->tensors->graph) return;
    const cfg_section *at = cfg_layer(job->low->cfg, first);
    const layer *l = &job->net->layers[first];
    diag_warn(d, at->file, at->line, at->name,
              "%d of these add maps of unlike channels, here %d to %d: Darknet adds to the first channels", n, l->c,
              l->out_c);
    diag_hint(d, "a ResNet with option A adds to the middle ones (F.pad with planes//4 on both sides): its answers "
              "differ");
}

static int fill_all(const import_job *job, diag *d)
{
    for (int g = 0; g < job->groups.n; ++g)
        if (job->layer[g] >= 0 && import_fill(job, g, d)) return -1;
    *job->net->seen = 0;
    return 0;
}

/* Reads all, matches all, fills all; then writes. */
static int import_all(import_job *job, const options *options, diag *d)
{
    job->epsilon = options->eps;
    if (options->map && import_map_read(options->map, &job->map, d)) return -1;
    if (open_cfg(job, d) || open_network(job, d)) return -1;
    in_file_note(job->model, d);
    if (out_file_check(&options->arg[3], 1, d)) return -1;
    job->tensors = named_tensors_read(job->model, d);
    if (!job->tensors || out_file_check(&options->arg[3], 1, d)) return -1;   /* it may name files beside it */
    if (tensor_groups_make(job->tensors, &job->map, &job->groups, d) || import_match(job, d) ||
        import_check_graph(job, d)) return -1;
    warn_of_shortcuts(job, d);
    return fill_all(job, d) || weights_save(job->net, options->arg[3], d) ? -1 : 0;
}

static int filled(const import_job *job)
{
    int layers = 0;
    for (int g = 0; g < job->groups.n; ++g) layers += job->layer[g] >= 0;
    return layers;
}

/* What the map left out, and what the file has beside the model. */
static void print_rest(const import_job *job)
{
    for (int i = 0; i < job->map.n; ++i) {
        const map_row *row = &job->map.row[i];
        if (row->layer != MAP_NONE) continue;
        fprintf(job->out, "%s%s -> left out, as %s:%d says", row->name, row->prefix ? "*" : "", job->map.path,
                row->line);
        if (row->used > 1) fprintf(job->out, ", tensors: %d", row->used);
        fprintf(job->out, "\n");
    }
    for (int i = 0; i < job->tensors->asides; ++i)
        fprintf(job->out, "'%s' -> not taken: it is beside the model, tensors: %d\n", job->tensors->aside[i].name,
                job->tensors->aside[i].tensors);
}

/* The result as one object. */
static int print_json(const import_job *job, const char *path, cJSON *layers, diag *d)
{
    cJSON *o = cJSON_CreateObject(), *rest = cJSON_CreateArray();
    cJSON_AddStringToObject(o, "weights", path);
    cJSON_AddStringToObject(o, "format", job->tensors->format);
    cJSON_AddNumberToObject(o, "layers", filled(job));
    cJSON_AddNumberToObject(o, "values", (double)job->low->shape->stored);
    cJSON_AddItemToObject(o, "tensors", layers);
    for (int i = 0; i < job->tensors->asides; ++i) {
        cJSON *aside = cJSON_CreateObject();
        cJSON_AddStringToObject(aside, "name", job->tensors->aside[i].name);
        cJSON_AddNumberToObject(aside, "tensors", job->tensors->aside[i].tensors);
        cJSON_AddItemToArray(rest, aside);
    }
    cJSON_AddItemToObject(o, "not_taken", rest);
    cJSON_AddItemToObject(o, "messages", json_messages(d));
    return json_print(o, job->out, d);
}

static void print_summary(const import_job *job, const char *path)
{
    int layers = filled(job);
    fprintf(job->out, "%s: %d layers, %zu values%s, read from %s\n", path, layers, job->low->shape->stored,
            job->encoder ? ", the encoder alone" : "", job->tensors->format);
    print_rest(job);
}

static void free_job(import_job *job)
{
    free(job->layer);
    tensor_groups_free(&job->groups);
    import_map_free(&job->map);
    named_tensors_free(job->tensors);
    host_free(job->net);
    lower_free(job->low);
}

/* Imports, then says what went where. */
static int run(options *options, diag *d)
{
    cJSON *list = options->json ? cJSON_CreateArray() : NULL;
    import_job job = { .cfg = options->arg[1], .model = options->arg[2], .out = options->out, .list = list };
    int failed = import_all(&job, options, d);
    if (!failed && list) failed = print_json(&job, options->arg[3], list, d);
    else if (!failed) print_summary(&job, options->arg[3]);
    else cJSON_Delete(list);
    free_job(&job);
    return failed;
}

const verb weights_import = {
    .name = "import", .arguments = "CFG MODEL OUT.weights", .min = 3, .max = 3, .run = run,
    .help = "from PyTorch, safetensors or ONNX",
    .example = "weights import teacher.cfg resnet.pth teacher.weights",
    .flags = { "json", "map", "eps" },
};
