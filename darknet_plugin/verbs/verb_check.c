/* `darknet distill check CFG`: every mistake in one go, and what will surprise later. */
#include "results.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/lowering/lower.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>

/* The method's trap: with a wide teacher the default projector can eat the whole compression. */
static void warn_heavy_projector(const lowered *low, diag *d)
{
    size_t projector = 0, teachers = 0;
    for (int i = 0; i < low->teachers; ++i) teachers += low->teacher[i].shape->params;
    for (int i = 0; i < low->shape->n; ++i)
        if (low->role[i] == ROLE_PROJECTOR) projector += low->shape->layer[i].params;
    const cfg_section *section = cfg_first(low->source, "projector");
    if (!section || !low->teacher || projector * 4 < teachers) return;
    diag_warn(d, section->file, section->line, section->name,
              "the projector has %zu parameters, %.0f %% of the teacher's %zu", projector,
              100. * (double)projector / (double)teachers, teachers);
    diag_hint(d, "reduction=8 or stack=depthwise is smaller, stack=linear costs nothing once merged");
}

static void check_teacher_weights(const teacher_spec *spec, diag *d)
{
    weights_info info;
    if (!spec->weights_path) {
        diag_warn(d, spec->section->file, spec->section->line, "teacher",
                  "no weights= : this can be checked, not trained");
        return;
    }
    if (!weights_inspect(spec->weights_path, spec->shape, &info, d) && info.layers < spec->shape->n)
        diag_error(d, spec->weights_path, 0, NULL, "holds %d of the teacher's %d layers", info.layers, spec->shape->n);
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
static int run(options *options, diag *d)
{
    lowered *low = lower_read(options->arg[0], LOWER_TRAIN, d), *deployed = NULL;
    if (low) deployed = lower_read(options->arg[0], LOWER_DEPLOY, d);
    if (deployed) warn_heavy_projector(deployed, d);
    for (int i = 0; low && i < low->teachers; ++i) check_teacher_weights(&low->teacher[i], d);
    int failed = diag_errors(d) > 0;
    if (options->json) failed |= json_print(check_json(d), options->out, d) != 0;
    else if (!failed) print_sizes(options->arg[0], low, deployed, options->out);
    lower_free(deployed);
    lower_free(low);
    return failed;
}

const verb verb_check = {
    .name = "check", .arguments = "CFG", .min = 1, .max = 1, .run = run,
    .help = "report every mistake in a cfg",
    .flags = { "json" },
};
