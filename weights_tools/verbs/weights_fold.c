/* `darknet distill weights fold CFG WEIGHTS OUT`: OUT.cfg and OUT.weights without batch norm, verified. An export with
 * -fold of the network as it is deployed, so that a distillation cfg needs no teacher's weights for it. */
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/deploying/export.h"

static int run(options *options, diag *d)
{
    options->fold = 1;
    return export_network(options, &options->arg[1], LOWER_DEPLOY, d);
}

const verb weights_fold = {
    .name = "fold", .arguments = "CFG WEIGHTS OUT", .min = 3, .max = 3, .run = run,
    .help = "batch norm into the weights before it",
    .example = "weights fold deployed.cfg deployed.weights folded",
    .flags = { "json", "eps" },
};
