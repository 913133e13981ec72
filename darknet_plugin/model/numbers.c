/* Finding what is not finite, and undoing the step that made it (see numbers.h). A look at all weights and their
 * updates costs about half a percent of a small net's step, and less of a large one's. */
#include "numbers.h"

#include "layers/cpu/bf16.h"
#include "layers/gpu/gpu.h"
#include "darknet_plugin/base/mem.h"
#include "run_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* An exponent of all ones is NaN or infinity; in blocks, to end early. */
int numbers_finite(const float *x, size_t n)
{
    enum { STRETCH = 1 << 12 };
    const uint32_t ones = 0x7f800000;
    for (size_t at = 0; at < n; at += STRETCH) {
        size_t end = at + STRETCH < n ? at + STRETCH : n;
        uint32_t bad = 0;
        for (size_t i = at; i < end; ++i) {
            uint32_t bits;
            memcpy(&bits, x + i, sizeof bits);
            bad |= (bits & ones) == ones;
        }
        if (bad) return 0;
    }
    return 1;
}

/* A message at layer i's section: "layer 7: <what>". */
static void report(const model *model, int i, const char *what, diag *d)
{
    const cfg_section *s = cfg_layer(model->low->cfg, i);
    const char *name = model->low->role[i] == ROLE_LOSS ? model->low->type[i]->name : s->name;
    diag_error(d, s->file, s->line, name, "layer %d: %s", i, what);
}

/* ---- the loss ---- */

/* Says which feature of a teacher that runs is not finite; 0: all are. */
static int bad_teacher(const model *model, diag *d)
{
    for (int i = 0; model->teacher && i < model->low->teachers; ++i) {
        const teacher_spec *t = &model->low->teacher[i];
        if (model->features[i]) continue;   /* they are looked at when they are stored */
        for (int k = 0; k < teacher_kept(t); ++k) {
            int at = teacher_kept_layer(t, k);
            size_t n = (size_t)model->net->batch * (size_t)model->teacher[i]->net->layers[at].outputs;
            if (numbers_finite(teacher_feature(model->teacher[i], at), n)) continue;
            diag_error(d, t->weights_path, 0, NULL, "the teacher's feature (its layer %d) is not finite", at);
            return 1;
        }
    }
    return 0;
}

/* What is kept nowhere is. */
static int output_finite(cpu_numbers output)
{
    if (output.halves) return bf16_finite(output.halves, output.n);
    return !output.floats || numbers_finite(output.floats, output.n);
}

/* Says which layer's output is the first that is not finite; 0: all are. */
static int bad_output(const model *model, diag *d)
{
    for (int i = 0; i < model->low->trained; ++i) {
        gpu_pull_output(model->net, i);
        if (output_finite(cpu_layer_output(model->net, i))) continue;
        report(model, i, "the first whose output is not finite", d);
        return 1;
    }
    return 0;
}

/* The first layer whose loss is not finite; the last where it is their sum. */
static int bad_loss(const model *model)
{
    for (int i = 0; i < model->low->trained; ++i) {
        const layer *l = &model->net->layers[i];
        if (l->cost && !isfinite(*l->cost)) return i;
    }
    return model->low->trained - 1;
}

void numbers_explain_loss(const model *model, const float *x, double loss, diag *d)
{
    size_t n = (size_t)model->net->batch * (size_t)model->net->inputs;
    if (!numbers_finite(x, n)) diag_error(d, NULL, 0, NULL, "an image's values are not finite");
    else if (!bad_teacher(model, d) && !bad_output(model, d))
        report(model, bad_loss(model), "its outputs are finite, their loss is not", d);
    diag_hint(d, "the loss is %g", loss);
}

/* ---- updates and weights ---- */

static void look(void *ctx, float *x, size_t n)
{
    int *good = ctx;
    *good = *good && numbers_finite(x, n);
}

/* On a device a kernel looks; only where it finds something the arrays come back to be looked at one by one. */
static int fine_on_device(const model *model, gpu_half half)
{
    if (!gpu_has(model->net)) return 0;
    if (gpu_finite(model->net, model->low->trained, half)) return 1;
    gpu_pull(model->net);
    return 0;
}

int numbers_check_updates(const model *model, diag *d)
{
    int good = 1;
    if (fine_on_device(model, GPU_UPDATES)) return 0;
    run_state_arrays(model->net, 0, model->low->trained, look, &good);
    if (good) return 0;
    for (int i = model->low->trained - 1; i >= 0; --i) {
        good = 1;
        run_state_arrays(model->net, i, i + 1, look, &good);
        if (good) continue;
        report(model, i, "its gradient is not finite", d);
        return -1;
    }
    return -1;
}

/* Stops at the first array with something that is not finite. */
int numbers_check_weights(const model *model, diag *d)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    if (fine_on_device(model, GPU_WEIGHTS)) return 0;
    for (int i = 0; i < model->low->trained; ++i) {
        int n = weights_tensors(&model->net->layers[i], t);
        for (int k = 0; k < n; ++k) {
            if (numbers_finite(t[k].data, t[k].n)) continue;
            char *what = mem_printf("not all of its %s is finite any more", t[k].name);
            report(model, i, what, d);
            free(what);
            return -1;
        }
    }
    return 0;
}

/* ---- undoing a step ---- */

struct step_copy {
    float *x;              /* all arrays one after the other, owned */
    int *statistics;       /* per layer, owned */
    size_t n;
};

/* A walk along the copy. */
typedef struct walk {
    float *at;             /* NULL: only counting */
    size_t n;
    int undo;
} walk;

static void visit(void *ctx, float *x, size_t n)
{
    walk *w = ctx;
    if (w->at) memcpy(w->undo ? x : w->at + w->n, w->undo ? w->at + w->n : x, n * sizeof *x);
    w->n += n;
}

static void walk_all(walk *walk, const model *model)
{
    run_state_arrays(model->net, 0, model->low->trained, visit, walk);
    for (int i = 0; i < model->low->trained; ++i) {
        const layer *l = &model->net->layers[i];
        weights_tensor t[WEIGHTS_MAX_TENSORS];
        int n = l->update ? weights_tensors(l, t) : 0;
        for (int k = 0; k < n; ++k)
            if (!t[k].trained) visit(walk, t[k].data, t[k].n);
    }
}

step_copy *step_copy_new(const model *model)
{
    step_copy *c = mem_calloc(1, sizeof *c);
    walk w = { 0 };
    walk_all(&w, model);
    c->n = w.n;
    c->x = mem_calloc(w.n, sizeof *c->x);
    c->statistics = mem_calloc((size_t)model->net->n, sizeof *c->statistics);
    return c;
}

void step_copy_keep(step_copy *copy, const model *model)
{
    walk w = { .at = copy->x };
    gpu_pull(model->net);
    walk_all(&w, model);
    for (int i = 0; i < model->net->n; ++i) copy->statistics[i] = cpu_statistics_count(&model->net->layers[i]);
}

void step_copy_undo(const step_copy *copy, model *model)
{
    walk w = { .at = copy->x, .undo = 1 };
    walk_all(&w, model);
    gpu_push(model->net);
    for (int i = 0; i < model->net->n; ++i) cpu_set_statistics_count(&model->net->layers[i], copy->statistics[i]);
}

void step_copy_free(step_copy *copy)
{
    if (!copy) return;
    free(copy->x);
    free(copy->statistics);
    free(copy);
}
