/* `darknet distill weights fold CFG WEIGHTS OUT`: OUT.cfg and OUT.weights without batch norm, verified. An export with -fold of
 * the network as it is deployed, so that a distillation cfg needs no teacher's weights for it. */
#include "darknet_plugin/deploying/export.h"
#include "weights_verbs.h"

int weights_fold(options *o, diag *d)
{
    o->fold = 1;
    return export_network(o, &o->arg[1], LOWER_DEPLOY, d);
}
