/* `darknet distill weights SUB ...`: the list of what can be done with weights files, a file weights_SUB.c each. */
#include "darknet_plugin/base/command.h"
#include "darknet_plugin/base/options.h"

extern const verb weights_import, weights_show, weights_compare, weights_extract, weights_classes, weights_fold,
    weights_strip;

static const verb *const SUBS[] = {
    &weights_import, &weights_show, &weights_compare, &weights_extract, &weights_classes, &weights_fold,
    &weights_strip, NULL,
};

static int unknown_sub(const char *name, diag *d)
{
    const char *near = verb_nearest(SUBS, name);
    diag_error(d, NULL, 0, NULL, "unknown: weights %s", name);
    if (near) diag_hint(d, "did you mean 'weights %s'?", near);
    else diag_hint(d, "'%s weights -help' lists what there is", command_name());
    return VERB_USAGE;
}

static int run(options *options, diag *d)
{
    const verb *sub = verb_named(SUBS, options->arg[0]);
    if (!sub) return unknown_sub(options->arg[0], d);
    if (options_check_sub(options, sub, d)) return VERB_USAGE;
    if (options->n - 1 >= sub->min && options->n - 1 <= sub->max) return sub->run(options, d);
    diag_error(d, NULL, 0, NULL, "'weights %s' takes %s", sub->name, sub->arguments);
    return VERB_USAGE;
}

const verb verb_weights = {
    .name = "weights", .arguments = "SUB ...", .min = 1, .max = 6, .run = run,
    .help = "show, compare, convert weights files",
    .example = "weights show deployed.cfg deployed.weights",
    .subs = SUBS,
};
