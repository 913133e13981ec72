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

#include "darknet_plugin/base/options.h"
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
    job->net = weights_view_parse(job->low->cfg, job->cfg, d);
    if (!job->net) return -1;
    if (job->low->shape->stored) return 0;
    const char *where = job->encoder ? " before its first [projector]" : "";
    diag_error(d, job->cfg, 0, NULL, "has no layer with weights%s", where);
    return -1;
}

static int read_epsilon(const char *text, double *epsilon, diag *d)
{
    char *end;
    *epsilon = 1e-5;
    if (!text) return 0;
    *epsilon = strtod(text, &end);
    if (end != text && !*end && *epsilon >= 0 && *epsilon <= 1) return 0;
    diag_error(d, NULL, 0, NULL, "'-eps %s': expected a number from 0 to 1", text);
    return -1;
}

static int fill_all(const import_job *job, diag *d)
{
    for (int g = 0; g < job->groups.n; ++g)
        if (job->layer[g] >= 0 && import_fill(job, g, d)) return -1;
    *job->net->seen = 0;
    return 0;
}

static int import_all(import_job *job, const options *options, diag *d)
{
    if (read_epsilon(options->eps, &job->epsilon, d)) return -1;
    if (options->map && import_map_read(options->map, &job->map, d)) return -1;
    if (open_cfg(job, d) || open_network(job, d)) return -1;
    job->tensors = named_tensors_read(job->model, d);
    if (!job->tensors) return -1;
    if (tensor_groups_make(job->tensors, &job->map, &job->groups, d) || import_match(job, d)) return -1;
    return fill_all(job, d) || weights_save(job->net, options->arg[3], d) ? -1 : 0;
}

static void print_summary(const import_job *job, const char *path)
{
    int layers = 0;
    for (int g = 0; g < job->groups.n; ++g) layers += job->layer[g] >= 0;
    fprintf(job->out, "%s: %d layers, %zu values%s, read from %s\n", path, layers, job->low->shape->stored,
            job->encoder ? ", the encoder alone" : "", job->tensors->format);
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

static int run(options *options, diag *d)
{
    import_job job = { .cfg = options->arg[1], .model = options->arg[2], .out = options->out };
    int failed = import_all(&job, options, d);
    if (!failed) print_summary(&job, options->arg[3]);
    free_job(&job);
    return failed;
}

const verb weights_import = {
    .name = "import", .arguments = "CFG MODEL OUT.weights", .min = 3, .max = 3, .run = run,
    .help = "from PyTorch, safetensors or ONNX",
    .flags = { "map", "eps" },
};
