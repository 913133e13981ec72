/* `darknet distill check CFG`: every mistake in one go, and what will surprise later. */
#include "results.h"
#include "verb_check.h"

#include "darknet_plugin/base/options.h"
#include "darknet_plugin/base/path.h"
#include "darknet_plugin/lowering/lower.h"
#include "darknet_plugin/model/teacher.h"
#include "weights_tools/file/fold_epsilon.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>

/* Reads all of a teacher's weights. */
static void check_epsilon(const teacher_spec *spec, diag *d)
{
    weights_info info;
    cfg_set(&spec->cfg->section[0], "batch", "1");
    network *net = spec->epsilon > 0 ? NULL : host_parse_cfg(spec->cfg, spec->cfg_path, d);
    if (net && !weights_load(net, spec->shape, spec->weights_path, &info, d))
        fold_notice_epsilon(net, spec->weights_path, TEACHER_EPSILON_REMEDY, d);
    if (net) host_free(net);
}

/* Are they there, whole, and of this Darknet's epsilon? Without them everything else is checked. */
static void check_teacher_weights(const teacher_spec *spec, diag *d)
{
    weights_info info;
    const char *problem = spec->weights_path ? path_problem(spec->weights_path) : NULL;
    if (problem) {
        diag_warn(d, spec->section->file, cfg_line(spec->section, "weights"), "teacher",
                  "cannot read the teacher's weights %s: %s; all else is checked", spec->weights_path, problem);
        return;
    }
    if (!spec->weights_path) {
        diag_warn(d, spec->section->file, spec->section->line, "teacher",
                  "no weights= : this can be checked, not trained");
        return;
    }
    if (weights_inspect(spec->weights_path, spec->shape, &info, d)) return;
    if (info.layers < spec->shape->n)
        diag_error(d, spec->weights_path, 0, NULL, "holds %d of the teacher's %d layers", info.layers, spec->shape->n);
    else if (info.layers == spec->shape->n) check_epsilon(spec, d);
}

static cJSON *check_json(const diag *d)
{
    cJSON *object = cJSON_CreateObject();
    cJSON_AddBoolToObject(object, "ok", !diag_errors(d));
    cJSON_AddNumberToObject(object, "errors", diag_errors(d));
    cJSON_AddNumberToObject(object, "warnings", diag_warnings(d));
    cJSON_AddItemToObject(object, "messages", json_messages(d));
    return object;
}

/* Sizes; those of the deployed network where layers that only feed losses are not there any more. */
static void print_sizes(const char *path, const lowered *low, const lowered *deployed, FILE *out)
{
    fprintf(out, "%s: ok, %d layers, %zu parameters%s", path, low->shape->n, low->shape->params,
            low->teacher ? ", a distillation" : "");
    if (deployed->shape->params != low->shape->params)
        fprintf(out, "; deployed %d layers, %zu parameters", deployed->shape->n, deployed->shape->params);
    fprintf(out, "\n");
}

/* Lowered for training and for deploying: each may find mistakes of its own. */
int check_whole_cfg(const char *path, FILE *out, diag *d)
{
    lowered *low = lower_read_alone(path, d), *deployed = NULL;
    if (low) {
        (void)lower_check_loss(low, 1, d);
        if (low->teacher) lower_warn_training(low, d);
        for (int i = 0; i < low->teachers; ++i) check_teacher_weights(&low->teacher[i], d);
        deployed = lower_read(path, LOWER_DEPLOY, d);
    }
    if (deployed) lower_warn_projector(deployed, d);
    int failed = diag_errors(d) > 0;
    if (out && !failed) print_sizes(path, low, deployed, out);
    lower_free(deployed);
    lower_free(low);
    return failed;
}

static int run(options *options, diag *d)
{
    int failed = check_whole_cfg(options->arg[0], options->json ? NULL : options->out, d);
    if (options->json) failed |= json_print(check_json(d), options->out, d) != 0;
    return failed;
}

const verb verb_check = {
    .name = "check", .arguments = "CFG", .min = 1, .max = 1, .run = run,
    .help = "report every mistake in a cfg",
    .example = "check student.cfg",
    .flags = { "json" },
};
