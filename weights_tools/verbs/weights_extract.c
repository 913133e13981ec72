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

#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/options.h"

#include <stdlib.h>

static void keep_encoder(weights_cut *cut, int last)
{
    for (int i = last + 1; i < cut->view->low->shape->n; ++i) {
        cut->keep[i] = 0;
        cut->stands[i] = CUT_NOTHING;
    }
}

/* An error: layer `reader` wants `from` besides the one input. */
static int second_input(const weights_cut *cut, int reader, int from, int input, int first, diag *d)
{
    const cfg_section *section = cfg_layer(cut->view->low->cfg, reader);
    diag_error(d, section->file, section->line, section->name,
               "layer %d reads layer %d, behind the cut: the tail from layer %d has one input, layer %d", reader, from,
               first, input);
    diag_hint(d, "cut where all that follows reads one layer only");
    return -1;
}

/* The one layer before `first` that the tail reads, in *input; whether it is named, in cut->entrance. */
static int find_input(weights_cut *cut, int first, int *input, diag *d)
{
    const cfg_file *whole = cut->view->low->cfg;
    *input = weights_cut_reads_before(whole, first) ? first - 1 : -1;
    for (int i = first; i < cut->view->low->shape->n; ++i) {
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

/* Once, for the first [yolo]. */
static void warn_of_anchors(const weights_cut *cut, int first, diag *d)
{
    const lowered *low = cut->view->low;
    for (int i = first; i < low->shape->n; ++i) {
        const cfg_section *section = cfg_layer(low->cfg, i);
        if (!cfg_is(section, "yolo")) continue;
        diag_warn(d, section->file, section->line, section->name,
                  "its anchors are in pixels of a %dx%d input, the tail's is %dx%d: boxes come out wrong",
                  low->shape->w, low->shape->h, cut->w, cut->h);
        return;
    }
}

/* The new network's input is what a layer gives: a map, or plain numbers. */
static void take_input(weights_cut *cut, const layer_shape *from)
{
    int is_map = from->c > 0 && from->h > 0 && from->w > 0;
    cut->c = is_map ? from->c : 0;
    cut->h = is_map ? from->h : 0;
    cut->w = is_map ? from->w : 0;
    cut->inputs = from->outputs;
}

/* Layers from `first` on; -1 with a message where they cannot stand alone. */
static int keep_tail(weights_cut *cut, int first, diag *d)
{
    int input;
    if (!first) return 0;
    if (find_input(cut, first, &input, d)) return -1;
    const cfg_section *section = cfg_layer(cut->view->low->cfg, first);
    for (int i = 0; i < first; ++i) {
        cut->keep[i] = 0;
        cut->stands[i] = i == input ? CUT_INPUT : CUT_NOTHING;
    }
    if (cfg_is(section, "dropout")) cut->entrance = 1;   /* works in place on a layer before it */
    take_input(cut, &cut->view->low->shape->layer[input]);
    warn_of_anchors(cut, first, d);
    if (cut->c || !cut->entrance) return 0;
    diag_error(d, section->file, section->line, section->name,
               "the tail from layer %d names its input, layer %d, which is no map", first, input);
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
    diag_hint(d, "'%s summary' lists the deployed network's layers", command_name());
    return -1;
}

static cJSON *cut_json(const weights_cut *cut)
{
    const struct { const char *name; int value; } rows[] = {
        { "layers", cfg_layers(cut->cfg) }, { "entrance", cut->entrance },
        { "c", cut->c }, { "h", cut->h }, { "w", cut->w }, { "inputs", cut->inputs },
    };
    cJSON *object = cJSON_CreateObject();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        cJSON_AddNumberToObject(object, rows[i].name, rows[i].value);
    return object;
}

static int report(const weights_cut *cut, const options *options, diag *d)
{
    int to = options_given(options, "to"), first = to ? 0 : options->from;
    int last = to ? options->to : cut->view->net->n - 1;
    if (options->json) return json_print(cut_json(cut), options->out, d);
    fprintf(options->out, "%s.cfg: layers %d to %d, now 0 to %d%s\n", options->arg[3], first, last,
            cfg_layers(cut->cfg) - 1, cut->entrance ? ", behind an entrance layer" : "");
    fprintf(options->out, "input %d x %d x %d\n%s.weights\n", cut->c, cut->h, cut->w, options->arg[3]);
    return 0;
}

/* What is written is what the cut keeps of the file. */
static int write_cut(weights_cut *cut, const options *options, diag *d)
{
    weights_contents contents = { .x = NULL };
    cut_files files = { .cfg = options->arg[1], .weights = options->arg[2], .out = options->arg[3] };
    int failed = weights_cut_build(cut, d) || weights_read(files.weights, cut->view->low->shape, &contents, d);
    files.seen = contents.info.seen;
    failed = failed || weights_cut_write(cut, &contents, &files, d) || report(cut, options, d);
    weights_drop(&contents);
    return failed;
}

static int extract(const weights_view *view, const options *options, diag *d)
{
    weights_cut cut;
    if (check_flags(options, view->low->shape, options->arg[1], d)) return -1;
    weights_cut_begin(&cut, view);
    if (options_given(options, "to")) keep_encoder(&cut, options->to);
    int failed = options_given(options, "from") && keep_tail(&cut, options->from, d);
    failed = failed || write_cut(&cut, options, d);
    weights_cut_free(&cut);
    return failed ? -1 : 0;
}

static int run(options *options, diag *d) { return weights_cut_run(options, extract, d); }

const verb weights_extract = {
    .name = "extract", .arguments = "CFG WEIGHTS OUT", .min = 3, .max = 3, .run = run,
    .help = "an encoder or a tail, as OUT.cfg and OUT.weights",
    .example = "weights extract net.cfg net.weights encoder -to 12",
    .flags = { "json", "to", "from" },
};
