/* `darknet distill weights import CFG MODEL OUT.weights`: other programs' weights for a cfg.
 *
 *   tensors   read from MODEL, whatever its format (named_tensors.h)
 *   groups    brought together layer by layer (tensor_groups.h)
 *   layers    matched by order and shape, or by -map (import_match.c)
 *   values    copied, batch norm adjusted (import_fill.c)
 *
 * OUT is written when all of that has worked, and not before. A distillation cfg takes its encoder's weights: the
 * layers before its first [projector]; what the model has beyond them is named and not used. Such a file starts a
 * training. */
#include "darknet_plugin/base/mem.h"
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
static cfg_file *encoder_of(const cfg_file *cfg)
{
    cfg_file *out = cfg_new(cfg->path);
    for (int i = 0; i < cfg->n && !is_plugin(&cfg->section[i]); ++i)
        if (cfg_is(&cfg->section[i], "net") || cfg->section[i].index >= 0) cfg_append_copy(out, &cfg->section[i]);
    return out;
}

static int has_plugin(const cfg_file *cfg)
{
    for (int i = 0; i < cfg->n; ++i)
        if (is_plugin(&cfg->section[i])) return 1;
    return 0;
}

static int open_cfg(import_job *job, diag *d)
{
    int before = diag_errors(d);
    cfg_file *c = cfg_read(job->cfg, d);
    if (!c || diag_errors(d) > before) {
        cfg_free(c);
        return -1;
    }
    job->encoder = has_plugin(c);
    if (job->encoder) {
        cfg_file *whole = c;
        c = encoder_of(whole);
        cfg_free(whole);
    }
    job->low = lower_cfg(c, LOWER_TRAIN, d);
    return job->low ? 0 : -1;
}

/* The network with memory for one image. */
static int open_network(import_job *job, diag *d)
{
    size_t len;
    cfg_set(&job->low->cfg->section[0], "batch", "1");
    cfg_set(&job->low->cfg->section[0], "subdivisions", "1");
    char *text = cfg_text(job->low->cfg, &len);
    job->net = host_parse(text, len, job->cfg, d);
    free(text);
    if (!job->net) return -1;
    if (job->low->shape->stored) return 0;
    diag_error(d, job->cfg, 0, NULL, "has no layer with weights%s", job->encoder ? " before its first [projector]"
               : "");
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
    if (read_epsilon(options->eps, &job->epsilon, d) || (options->map && import_map_read(options->map, &job->map, d)))
        return -1;
    if (open_cfg(job, d) || open_network(job, d)) return -1;
    if (!(job->tensors = named_tensors_read(job->model, d))) return -1;
    if (tensor_groups_make(job->tensors, &job->map, &job->groups, d) || import_match(job, d) ||
        import_check_graph(job, d)) return -1;
    return fill_all(job, d) || weights_save(job->net, options->arg[3], d) ? -1 : 0;
}

static void print_summary(const import_job *job, const char *path)
{
    int layers = 0;
    for (int g = 0; g < job->groups.n; ++g) layers += job->layer[g] >= 0;
    fprintf(job->out, "%s: %d layers, %zu values%s, read from %s\n", path, layers, job->low->shape->stored,
            job->encoder ? ", the encoder alone" : "", job->tensors->format);
}

static int run(options *options, diag *d)
{
    import_job j = { .cfg = options->arg[1], .model = options->arg[2], .out = options->out };
    int failed = import_all(&j, options, d);
    if (!failed) print_summary(&j, options->arg[3]);
    free(j.layer);
    tensor_groups_free(&j.groups);
    import_map_free(&j.map);
    named_tensors_free(j.tensors);
    if (j.net) host_free(j.net);
    lower_free(j.low);
    return failed;
}

const verb weights_import = {
    .name = "import", .arguments = "CFG MODEL OUT.weights", .min = 3, .max = 3, .run = run,
    .help = "from PyTorch, safetensors or ONNX",
    .flags = { "map", "eps" },
};
