/* `darknet distill export CFG WEIGHTS OUT`: OUT.cfg and OUT.weights, plain Darknet, and FILE.onnx, verified (export.h). */
#include "darknet_plugin/deploying/export.h"
#include "verbs.h"

int verb_export(options *o, diag *d)
{
    return export_network(o, o->arg, LOWER_TRAIN, d);
}
