/* `weights strip CFG WEIGHTS OUT`: the same network without what only training needs. [dropout] passes its input on in
 * inference and [cost] has no part in an answer: both go, and numbers are rewritten; the keys of [net] and of layers
 * that only training asks for go as in every deployed cfg (lower_deploy.c); `seen` becomes 0. Answers stay the same to
 * the last bit. */
#include "weights_cut.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/options.h"

/* Of a layer that goes its input stands for it, or nothing: a cost's output is no map of anything. How many go. */
static int drop_training_layers(weights_cut *cut)
{
    int dropped = 0;
    for (int i = 0; i < cut->view->low->shape->n; ++i) {
        const cfg_section *section = cfg_layer(cut->view->low->cfg, i);
        int dropout = cfg_is(section, "dropout");
        if (!dropout && !cfg_is(section, "cost")) continue;
        cut->keep[i] = 0;
        cut->stands[i] = dropout && i ? cut->stands[i - 1] : CUT_NOTHING;
        ++dropped;
    }
    return dropped;
}

/* What is left. */
static int report(const weights_cut *cut, int dropped, const options *options, diag *d)
{
    int layers = cfg_layers(cut->cfg);
    const char *name = options->arg[3];
    if (!options->json) {
        fprintf(options->out, "%s.cfg: %d layers, %d taken out\n%s.weights\n", name, layers, dropped, name);
        return 0;
    }
    cJSON *object = cJSON_CreateObject();
    cJSON_AddNumberToObject(object, "layers", layers);
    cJSON_AddNumberToObject(object, "dropped", dropped);
    return json_print(object, options->out, d);
}

/* Cuts, checks and writes. */
static int strip_network(const weights_view *view, const options *options, diag *d)
{
    weights_contents contents = { .x = NULL };
    weights_cut cut;
    cut_files files = { .cfg = options->arg[1], .weights = options->arg[2], .out = options->arg[3] };
    weights_cut_begin(&cut, view);
    int dropped = drop_training_layers(&cut);
    int failed = weights_cut_build(&cut, d) || weights_read(files.weights, view->low->shape, &contents, d) ||
                 weights_cut_write(&cut, &contents, &files, d) || report(&cut, dropped, options, d);
    weights_drop(&contents);
    weights_cut_free(&cut);
    return failed;
}

static int run(options *options, diag *d) { return weights_cut_run(options, strip_network, d); }

const verb weights_strip = {
    .name = "strip", .arguments = "CFG WEIGHTS OUT", .min = 3, .max = 3, .run = run,
    .help = "without what only training needs",
    .example = "weights strip student.cfg backup/student_final.weights small",
    .flags = { "json" },
};
