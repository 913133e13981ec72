/* `darknet distill export CFG WEIGHTS OUT`: OUT.cfg and OUT.weights, plain Darknet, and FILE.onnx, verified
 * (export.h). */
#include "verb_fit.h"
#include "darknet_plugin/deploying/export.h"

static int run(options *options, diag *d)
{
    verb_take_fit(options, options->arg[0], options->arg[1]);
    return export_network(options, options->arg, options->from_labels ? LOWER_LABELS : LOWER_TRAIN, d);
}

const verb verb_export = {
    .name = "export", .arguments = "CFG WEIGHTS OUT", .min = 3, .max = 3, .run = run,
    .help = "write plain OUT.cfg + OUT.weights, verified",
    .example = "export student.cfg backup/student_final.weights deployed -data my.data -fold",
    .flags = { "json", "threads", "backend", "data", "verify", "fold", "merge", "teacher", "onnx", "fp16",
               "from-labels", "fit" },
};
