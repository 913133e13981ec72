/* `weights extract CFG WEIGHTS OUT -to N | -from N`: an encoder or a tail as a network of its own.
 *
 *   -to N     layers 0..N. Its weights file is also a start for the whole network: it ends on a layer's border.
 *   -from N   layers N..end. The input becomes the map of the one layer before N that they read, most often N-1; a
 *             second one is an error, since a network has one input. Where a [route] or [shortcut] names that layer,
 *             an entrance layer is put first to be named instead, and numbers rise by one.
 *
 * Layers are numbered as the deployed network's are, which `summary` lists: for a plain cfg as the user wrote it. A
 * tail's [yolo] would give boxes of another size, since its anchors are in pixels of the network's input: warned of. */
#include "weights_cut.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/options.h"

#include <stdlib.h>

static void keep_encoder(weights_cut *cut, int last)
{
    for (int i = last + 1; i < cut->v->low->shape->n; ++i) {
        cut->keep[i] = 0;
        cut->stands[i] = CUT_NOTHING;
    }
}

static int second_input(const weights_cut *cut, int reader, int from, int input, int first, diag *d)
{
    const cfg_section *s = cfg_layer(cut->v->low->cfg, reader);
    diag_error(d, s->file, s->line, s->name,
               "layer %d reads layer %d, behind the cut: the tail from layer %d has one input, layer %d", reader,
               from, first, input);
    diag_hint(d, "cut where all that follows reads one layer only");
    return -1;
}

/* The one layer before `first` that the tail reads, in *input; whether it is named, in cut->entrance. */
static int find_input(weights_cut *cut, int first, int *input, diag *d)
{
    const cfg_file *whole = cut->v->low->cfg;
    *input = weights_cut_reads_before(whole, first) ? first - 1 : -1;
    for (int i = first; i < cut->v->low->shape->n; ++i) {
        int *from, n = weights_cut_names(whole, i, &from), bad = 0;
        for (int j = 0; j < n && !bad; ++j) {
            if (from[j] >= first) continue;
            if (*input < 0) *input = from[j];
            bad = from[j] != *input && second_input(cut, i, from[j], *input, first, d);
            cut->entrance = 1;
        }
        free(from);
        if (bad) return -1;
    }
    return 0;
}

static int has_map(const layer_shape *layer_shape)
{
    return layer_shape->c > 0 && layer_shape->h > 0 && layer_shape->w > 0;
}

static void warn_of_anchors(const weights_cut *cut, int first, diag *d)
{
    for (int i = first; i < cut->v->low->shape->n; ++i) {
        const cfg_section *s = cfg_layer(cut->v->low->cfg, i);
        if (!cfg_is(s, "yolo")) continue;
        diag_warn(d, s->file, s->line, s->name,
                  "its anchors are in pixels of a %dx%d input, the tail's is %dx%d: boxes come out wrong",
                  cut->v->low->shape->w, cut->v->low->shape->h, cut->w, cut->h);
        return;
    }
}

static int keep_tail(weights_cut *cut, int first, diag *d)
{
    int input;
    if (!first) return 0;
    if (find_input(cut, first, &input, d)) return -1;
    const layer_shape *map = &cut->v->low->shape->layer[input];
    const cfg_section *s = cfg_layer(cut->v->low->cfg, first);
    for (int i = 0; i < first; ++i) {
        cut->keep[i] = 0;
        cut->stands[i] = i == input ? CUT_INPUT : CUT_NOTHING;
    }
    if (cfg_is(s, "dropout")) cut->entrance = 1;   /* works in place on a layer before it */
    int flat = !has_map(map);
    cut->c = flat ? 0 : map->c;
    cut->h = flat ? 0 : map->h;
    cut->w = flat ? 0 : map->w;
    cut->inputs = map->outputs;
    warn_of_anchors(cut, first, d);
    if (!flat || !cut->entrance) return 0;
    diag_error(d, s->file, s->line, s->name, "the tail from layer %d names its input, layer %d, which is no map", first,
               input);
    return -1;
}

/* -to or -from, one of them, within the network. */
static int check_flags(const options *options, const net_shape *shape, const char *cfg, diag *d)
{
    int to = options_given(options, "to"), n = to ? options->to : options->from;
    if (to == options_given(options, "from")) {
        diag_error(d, NULL, 0, NULL, "'weights extract' takes one of -to N, an encoder, and -from N, a tail");
        return -1;
    }
    if (n < shape->n) return 0;
    diag_error(d, cfg, 0, NULL, "'-%s %d': expected a layer from 0 to %d", to ? "to" : "from", n, shape->n - 1);
    diag_hint(d, "'darknet distill summary' lists the deployed network's layers");
    return -1;
}

static int report(const weights_cut *cut, const options *options, diag *d)
{
    int n = cfg_layers(cut->cfg), from = options_given(options, "from");
    if (!options->json) {
        fprintf(options->out, "%s.cfg: layers %d to %d, now 0 to %d%s\n", options->arg[3], from ? options->from : 0,
                from ? cut->v->net->n - 1 : options->to, n - 1, cut->entrance ? ", behind an entrance layer" : "");
        fprintf(options->out, "input %d x %d x %d\n%s.weights\n", cut->c, cut->h, cut->w, options->arg[3]);
        return 0;
    }
    cJSON *j = cJSON_CreateObject();
    const struct { const char *name; int value; } rows[] = {
        { "layers", n }, { "entrance", cut->entrance }, { "c", cut->c }, { "h", cut->h }, { "w", cut->w },
            { "inputs", cut->inputs },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) cJSON_AddNumberToObject(j, rows[i].name, rows[i].value);
    return json_print(j, options->out, d);
}

static int extract(const weights_view *view, const options *options, diag *d)
{
    weights_contents c = { .x = NULL };
    weights_cut k;
    weights_cut_begin(&k, view);
    if (options_given(options, "to")) keep_encoder(&k, options->to);
    int failed = options_given(options, "from") && keep_tail(&k, options->from, d);
    failed = failed || weights_cut_build(&k, d) || weights_read(options->arg[2], view->low->shape, &c, d);
    cut_files f = { .cfg = options->arg[1], .weights = options->arg[2], .out = options->arg[3], .seen = c.info.seen };
    failed = failed || weights_cut_write(&k, &c, &f, d) || report(&k, options, d);
    weights_drop(&c);
    weights_cut_free(&k);
    return failed ? -1 : 0;
}

static int run(options *options, diag *d)
{
    weights_view *v = weights_view_open(options->arg[1], d);
    if (!v) return -1;
    int failed = check_flags(options, v->low->shape, options->arg[1], d) || extract(v, options, d);
    weights_view_close(v);
    return failed ? -1 : 0;
}

const verb weights_extract = {
    .name = "extract", .arguments = "CFG WEIGHTS OUT", .min = 3, .max = 3, .run = run,
    .help = "an encoder or a tail, as OUT.cfg and OUT.weights",
    .flags = { "json", "to", "from" },
};
