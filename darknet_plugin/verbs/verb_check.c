/* `darknet distill check CFG`: every mistake in one go, and what will surprise later. */
#include "darknet_plugin/lowering/lower.h"
#include "darknet_plugin/base/mem.h"
#include "results.h"
#include "verbs.h"
#include "weights_tools/file/weights_file.h"

#include <stdlib.h>

/* The method's trap: with a wide teacher the default projector can eat the whole compression. */
static void warn_heavy_projector(const lowered *l, diag *d)
{
    size_t projector = 0, teachers = 0;
    for (int i = 0; i < l->teachers; ++i) teachers += l->teacher[i].shape->params;
    for (int i = 0; i < l->shape->n; ++i)
        if (l->role[i] == ROLE_PROJECTOR) projector += l->shape->layer[i].params;
    const cfg_section *p = cfg_first(l->source, "projector");
    if (!p || !l->teacher || projector * 4 < teachers) return;
    diag_warn(d, p->file, p->line, p->name, "the projector has %zu parameters, %.0f %% of the teacher's %zu", projector,
              100. * (double)projector / (double)teachers, teachers);
    diag_hint(d, "reduction=8 or stack=depthwise is smaller, stack=linear costs nothing once merged");
}

static void check_teacher_weights(const teacher_spec *t, diag *d)
{
    weights_info info;
    if (!t->weights_path) {
        diag_warn(d, t->section->file, t->section->line, "teacher", "no weights= : this can be checked, not trained");
        return;
    }
    if (!weights_inspect(t->weights_path, t->shape, &info, d) && info.layers < t->shape->n)
        diag_error(d, t->weights_path, 0, NULL, "holds %d of the teacher's %d layers", info.layers, t->shape->n);
}

int verb_check(options *o, diag *d)
{
    lowered *l = lower_read(o->arg[0], LOWER_TRAIN, d);
    if (l) {
        warn_heavy_projector(l, d);
        for (int i = 0; i < l->teachers; ++i) check_teacher_weights(&l->teacher[i], d);
        lowered *deployed = lower_read(o->arg[0], LOWER_DEPLOY, d);
        lower_free(deployed);
    }
    int failed = diag_errors(d) > 0;
    if (o->json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddBoolToObject(j, "ok", !failed);
        cJSON_AddNumberToObject(j, "errors", diag_errors(d));
        cJSON_AddNumberToObject(j, "warnings", diag_warnings(d));
        cJSON_AddItemToObject(j, "messages", json_messages(d));
        failed |= json_print(j, o->out, d) != 0;
    } else if (!failed) {
        fprintf(o->out, "%s: ok, %d layers, %zu parameters%s\n", o->arg[0], l->shape->n, l->shape->params, l->teacher ? ", a distillation" : "");
    }
    lower_free(l);
    return failed;
}
