/* Finding what is not finite, and undoing the step that made it (see numbers.h). A look at all weights and their updates costs
 * about half a percent of a small net's step, and less of a large one's. */
#include "numbers.h"

#include "layers/gpu/gpu.h"
#include "darknet_plugin/base/mem.h"
#include "run_state.h"

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
static void report(const model *m, int i, const char *what, diag *d)
{
    const cfg_section *s = cfg_layer(m->low->cfg, i);
    diag_error(d, s->file, s->line, m->low->role[i] == ROLE_LOSS ? "feature_l2" : s->name, "layer %d: %s", i, what);
}

/* ---- the loss ---- */

static int bad_teacher(const model *m, diag *d)
{
    for (int i = 0; m->teacher && i < m->low->teachers; ++i) {
        const teacher_spec *t = &m->low->teacher[i];
        if (m->features[i]) continue;   /* they are looked at when they are stored */
        for (int k = 0; k < t->taps; ++k) {
            size_t n = (size_t)m->net->batch * (size_t)m->teacher[i]->net->layers[t->tap[k]].outputs;
            if (numbers_finite(teacher_feature(m->teacher[i], t->tap[k]), n)) continue;
            diag_error(d, t->weights_path, 0, NULL, "the teacher's feature (its layer %d) is not finite", t->tap[k]);
            return 1;
        }
    }
    return 0;
}

static int bad_output(const model *m, diag *d)
{
    for (int i = 0; i < m->low->trained; ++i) {
        size_t n;
        gpu_pull_output(m->net, i);
        const float *y = cpu_layer_output(m->net, i, &n);
        if (!y || numbers_finite(y, n)) continue;
        report(m, i, "the first whose output is not finite", d);
        return 1;
    }
    return 0;
}

void numbers_explain_loss(const model *m, const float *x, double loss, diag *d)
{
    size_t n = (size_t)m->net->batch * (size_t)m->net->inputs;
    if (!numbers_finite(x, n)) diag_error(d, NULL, 0, NULL, "an image's values are not finite");
    else if (!bad_teacher(m, d) && !bad_output(m, d)) report(m, m->low->trained - 1, "its outputs are finite, their loss is not", d);
    diag_hint(d, "the loss is %g", loss);
}

/* ---- updates and weights ---- */

static void look(void *ctx, float *x, size_t n)
{
    int *good = ctx;
    *good = *good && numbers_finite(x, n);
}

/* On a device a kernel looks; only where it finds something the arrays come back to be looked at one by one. */
static int fine_on_device(const model *m, gpu_half half)
{
    if (!gpu_has(m->net)) return 0;
    if (gpu_finite(m->net, m->low->trained, half)) return 1;
    gpu_pull(m->net);
    return 0;
}

int numbers_check_updates(const model *m, diag *d)
{
    int good = 1;
    if (fine_on_device(m, GPU_UPDATES)) return 0;
    run_state_arrays(m->net, 0, m->low->trained, look, &good);
    if (good) return 0;
    for (int i = m->low->trained - 1; i >= 0; --i) {
        good = 1;
        run_state_arrays(m->net, i, i + 1, look, &good);
        if (good) continue;
        report(m, i, "its gradient is not finite", d);
        return -1;
    }
    return -1;
}

int numbers_check_weights(const model *m, diag *d)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    if (fine_on_device(m, GPU_WEIGHTS)) return 0;
    for (int i = 0; i < m->low->trained; ++i) {
        int n = weights_tensors(&m->net->layers[i], t);
        for (int k = 0; k < n; ++k) {
            if (numbers_finite(t[k].data, t[k].n)) continue;
            char *what = mem_printf("not all of its %s is finite any more", t[k].name);
            report(m, i, what, d);
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

static void walk_all(walk *w, const model *m)
{
    run_state_arrays(m->net, 0, m->low->trained, visit, w);
    for (int i = 0; i < m->low->trained; ++i) {
        const layer *l = &m->net->layers[i];
        if (!l->update || !l->batch_normalize) continue;
        visit(w, l->rolling_mean, (size_t)l->out_c);
        visit(w, l->rolling_variance, (size_t)l->out_c);
    }
}

step_copy *step_copy_new(const model *m)
{
    step_copy *c = mem_calloc(1, sizeof *c);
    walk w = { 0 };
    walk_all(&w, m);
    c->n = w.n;
    c->x = mem_calloc(w.n, sizeof *c->x);
    c->statistics = mem_calloc((size_t)m->net->n, sizeof *c->statistics);
    return c;
}

void step_copy_keep(step_copy *c, const model *m)
{
    walk w = { .at = c->x };
    gpu_pull(m->net);
    walk_all(&w, m);
    for (int i = 0; i < m->net->n; ++i) c->statistics[i] = cpu_statistics_count(&m->net->layers[i]);
}

void step_copy_undo(const step_copy *c, model *m)
{
    walk w = { .at = c->x, .undo = 1 };
    walk_all(&w, m);
    gpu_push(m->net);
    for (int i = 0; i < m->net->n; ++i) cpu_set_statistics_count(&m->net->layers[i], c->statistics[i]);
}

void step_copy_free(step_copy *c)
{
    if (!c) return;
    free(c->x);
    free(c->statistics);
    free(c);
}
