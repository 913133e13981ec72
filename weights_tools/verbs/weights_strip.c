/* `weights strip CFG WEIGHTS OUT`: the same network without what only training needs. [dropout] passes its input on in
 * inference and [cost] has no part in an answer: both go, and numbers are rewritten; the keys of [net] and of layers
 * that only training asks for go as in every deployed cfg (lower_deploy.c); `seen` becomes 0. Answers stay the same to
 * the last bit. */
#include "weights_cut.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/options.h"

/* Takes out layer i; its input stands for it, or nothing: a cost's output is no map of anything. */
static void drop(weights_cut *cut, int i, int stands)
{
    cut->keep[i] = 0;
    cut->stands[i] = stands;
}

static int drop_training_layers(weights_cut *cut)
{
    int dropped = 0;
    for (int i = 0; i < cut->v->low->shape->n; ++i) {
        const cfg_section *s = cfg_layer(cut->v->low->cfg, i);
        int dropout = cfg_is(s, "dropout");
        if (!dropout && !cfg_is(s, "cost")) continue;
        drop(cut, i, dropout && i ? cut->stands[i - 1] : CUT_NOTHING);
        ++dropped;
    }
    return dropped;
}

static int report(const weights_cut *cut, int dropped, const options *options, diag *d)
{
    if (!options->json) {
        fprintf(options->out, "%s.cfg: %d layers, %d taken out\n%s.weights\n", options->arg[3], cfg_layers(cut->cfg),
                dropped, options->arg[3]);
        return 0;
    }
    cJSON *j = cJSON_CreateObject();
    cJSON_AddNumberToObject(j, "layers", cfg_layers(cut->cfg));
    cJSON_AddNumberToObject(j, "dropped", dropped);
    return json_print(j, options->out, d);
}

static int run(options *options, diag *d)
{
    weights_contents c = { .x = NULL };
    weights_cut k;
    weights_view *v = weights_view_open(options->arg[1], d);
    if (!v) return -1;
    weights_cut_begin(&k, v);
    int dropped = drop_training_layers(&k);
    cut_files f = { .cfg = options->arg[1], .weights = options->arg[2], .out = options->arg[3] };
    int failed = weights_cut_build(&k, d) || weights_read(options->arg[2], v->low->shape, &c, d) ||
        weights_cut_write(&k, &c, &f, d) ||
                 report(&k, dropped, options, d);
    weights_drop(&c);
    weights_cut_free(&k);
    weights_view_close(v);
    return failed ? -1 : 0;
}

const verb weights_strip = {
    .name = "strip", .arguments = "CFG WEIGHTS OUT", .min = 3, .max = 3, .run = run,
    .help = "without what only training needs",
    .flags = { "json" },
};
