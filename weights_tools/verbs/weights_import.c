/* `darknet distill weights import CFG MODEL OUT.weights`: other programs' weights for a cfg.
 *
 *   tensors   read from MODEL, whatever its format (named_tensors.h)
 *   groups    brought together layer by layer (tensor_groups.h)
 *   layers    matched by order and shape, or by -map (import_match.c)
 *   values    copied, batch norm adjusted (import_fill.c)
 *
 * OUT is written when all of that has worked, and not before. A distillation cfg takes its encoder's weights: the layers
 * before its first [projector]; what the model has beyond them is named and not used. Such a file starts a training. */
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/sections/cfg_keys.h"
#include "weights_tools/import/import.h"

#include <stdlib.h>
#include <string.h>

static int is_plugin(const cfg_section *s)
{
    const section_row *row = cfg_section_row(s->name);
    return row && row->kind == SECTION_PLUGIN;
}

/* [net] and the layers before the first plugin section. */
static cfg_file *encoder_of(const cfg_file *c)
{
    cfg_file *out = cfg_new(c->path);
    for (int i = 0; i < c->n && !is_plugin(&c->section[i]); ++i)
        if (cfg_is(&c->section[i], "net") || c->section[i].index >= 0) cfg_append_copy(out, &c->section[i]);
    return out;
}

static int has_plugin(const cfg_file *c)
{
    for (int i = 0; i < c->n; ++i)
        if (is_plugin(&c->section[i])) return 1;
    return 0;
}

static int open_cfg(import_job *j, diag *d)
{
    int before = diag_errors(d);
    cfg_file *c = cfg_read(j->cfg, d);
    if (!c || diag_errors(d) > before) {
        cfg_free(c);
        return -1;
    }
    j->encoder = has_plugin(c);
    if (j->encoder) {
        cfg_file *whole = c;
        c = encoder_of(whole);
        cfg_free(whole);
    }
    j->low = lower_cfg(c, LOWER_TRAIN, d);
    return j->low ? 0 : -1;
}

/* The network with memory for one image. */
static int open_network(import_job *j, diag *d)
{
    size_t len;
    cfg_set(&j->low->cfg->section[0], "batch", "1");
    cfg_set(&j->low->cfg->section[0], "subdivisions", "1");
    char *text = cfg_text(j->low->cfg, &len);
    j->net = host_parse(text, len, j->cfg, d);
    free(text);
    if (!j->net) return -1;
    if (j->low->shape->stored) return 0;
    diag_error(d, j->cfg, 0, NULL, "has no layer with weights%s", j->encoder ? " before its first [projector]" : "");
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

static int fill_all(const import_job *j, diag *d)
{
    for (int g = 0; g < j->groups.n; ++g)
        if (j->layer[g] >= 0 && import_fill(j, g, d)) return -1;
    *j->net->seen = 0;
    return 0;
}

static int import_all(import_job *j, const options *o, diag *d)
{
    if (read_epsilon(o->eps, &j->epsilon, d) || (o->map && import_map_read(o->map, &j->map, d))) return -1;
    if (open_cfg(j, d) || open_network(j, d)) return -1;
    if (!(j->tensors = named_tensors_read(j->model, d))) return -1;
    if (tensor_groups_make(j->tensors, &j->map, &j->groups, d) || import_match(j, d)) return -1;
    return fill_all(j, d) || weights_save(j->net, o->arg[3], d) ? -1 : 0;
}

static void print_summary(const import_job *j, const char *path)
{
    int layers = 0;
    for (int g = 0; g < j->groups.n; ++g) layers += j->layer[g] >= 0;
    fprintf(j->out, "%s: %d layers, %zu values%s, read from %s\n", path, layers, j->low->shape->stored,
            j->encoder ? ", the encoder alone" : "", j->tensors->format);
}

static int run(options *o, diag *d)
{
    import_job j = { .cfg = o->arg[1], .model = o->arg[2], .out = o->out };
    int failed = import_all(&j, o, d);
    if (!failed) print_summary(&j, o->arg[3]);
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
