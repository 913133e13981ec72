/* What a teacher answers to a few training images (see teacher_check.h).
 *
 * An element counts as the same in all images when its largest and smallest value differ by less than a hundred
 * thousandth of the larger: float noise, however small the values are (a sure softmax is 1 and 1e-12, and that 1e-12
 * varies). One element that varies is enough. Images that are all alike prove nothing. */
#include "teacher_check.h"

#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>

enum { IMAGES = 16 };
static const float NOISE = 1e-5f;

int teacher_refuse(const teacher_spec *spec, const char *why, int force, diag *d)
{
    if (!why) return 0;
    if (force) {
        diag_warn(d, spec->weights_path, 0, NULL, "this teacher %s", why);
        return 0;
    }
    diag_error(d, spec->weights_path, 0, NULL, "this teacher %s", why);
    diag_hint(d, "are these the weights of %s, and does it want [teacher] mean= std=? -force trains all the same",
              spec->cfg_path);
    return -1;
}

/* Extremes of each element of one array over the images seen. */
typedef struct watched {
    size_t n;
    float *low, *high;           /* n, owned */
    int odd;                     /* NaN or infinity among them */
} watched;

static watched watch(size_t n)
{
    watched w = { .n = n, .low = mem_calloc(n, sizeof(float)), .high = mem_calloc(n, sizeof(float)) };
    for (size_t i = 0; i < n; ++i) {
        w.low[i] = INFINITY;
        w.high[i] = -INFINITY;
    }
    return w;
}

static void unwatch(watched *watched)
{
    free(watched->low);
    free(watched->high);
}

/* x = (images, n). */
static void look(watched *watched, const float *x, int images)
{
    for (int b = 0; b < images; ++b)
        for (size_t i = 0; i < watched->n; ++i, ++x) {
            watched->odd |= !isfinite(*x);
            watched->low[i] = fminf(watched->low[i], *x);
            watched->high[i] = fmaxf(watched->high[i], *x);
        }
}

static int varies(const watched *watched)
{
    for (size_t i = 0; i < watched->n; ++i)
        if (watched->high[i] - watched->low[i] > NOISE * fmaxf(fabsf(watched->high[i]), fabsf(watched->low[i])))
            return 1;
    return 0;
}

static int is_zero(const watched *watched)
{
    for (size_t i = 0; i < watched->n; ++i)
        if (watched->low[i] != 0 || watched->high[i] != 0) return 0;
    return 1;
}

/* ---- one teacher ---- */

typedef struct teacher_view {
    watched *tap, *out;          /* spec->taps, max(1, spec->outs); owned */
    int outs;
} teacher_view;

/* Nothing seen yet. */
static teacher_view begin(const teacher *teacher)
{
    const teacher_spec *s = teacher->spec;
    teacher_view v = { .outs = s->outs ? s->outs : 1, .tap = mem_calloc((size_t)s->taps, sizeof(watched)) };
    v.out = mem_calloc((size_t)v.outs, sizeof(watched));
    for (int i = 0; i < s->taps; ++i) v.tap[i] = watch((size_t)teacher->net->layers[s->tap[i]].outputs);
    for (int i = 0; i < v.outs; ++i) {
        int outputs = s->outs ? teacher->net->layers[s->out[i]].outputs : teacher_outputs(teacher);
        v.out[i] = watch((size_t)outputs);
    }
    return v;
}

static void end(teacher_view *view, int taps)
{
    for (int i = 0; i < taps; ++i) unwatch(&view->tap[i]);
    for (int i = 0; i < view->outs; ++i) unwatch(&view->out[i]);
    free(view->tap);
    free(view->out);
}

static void look_at(teacher_view *view, const teacher *teacher, int images)
{
    const teacher_spec *s = teacher->spec;
    for (int i = 0; i < s->taps; ++i) look(&view->tap[i], teacher_feature(teacher, s->tap[i]), images);
    for (int i = 0; i < view->outs; ++i)
        look(&view->out[i], s->outs ? teacher_detections(teacher, i) : teacher_answer(teacher), images);
}

/* The caller frees; NULL if nothing is wrong. `alike`: the images themselves do not differ. */
static char *wrong_map(const watched *watched, int layer, int alike)
{
    if (watched->odd) return mem_printf("gives a feature map (layer %d) that is not finite", layer);
    if (is_zero(watched)) return mem_printf("gives a feature map (layer %d) that is all zeros", layer);
    if (!alike && !varies(watched)) return mem_printf("gives the same feature map (layer %d) for every image", layer);
    return NULL;
}

static char *wrong_answer(const watched *watched, int layer, int alike)
{
    if (watched->odd) return mem_printf("gives an answer (layer %d) that is not finite", layer);
    return alike || varies(watched) ? NULL : mem_printf("gives the same answer (layer %d) to every image", layer);
}

static char *wrong_with(const teacher_view *view, const teacher *teacher, int alike)
{
    const teacher_spec *s = teacher->spec;
    char *why = NULL;
    for (int i = 0; i < s->taps && !why; ++i) why = wrong_map(&view->tap[i], s->tap[i], alike);
    for (int i = 0; i < view->outs && !why; ++i)
        why = wrong_answer(&view->out[i], s->outs ? s->out[i] : teacher->net->n - 1, alike);
    return why;
}

/* ---- the images ---- */

/* A few batches' worth; *alike says whether the images are all the same. 0, or -1 with messages. */
static int show_images(model *model, loader *loader, teacher_view *view, int *alike, diag *d)
{
    watched pixels = { 0 };
    const batch *b = NULL;
    for (int seen = 0; seen < IMAGES; seen += b->n) {
        if (!(b = loader_next(loader, d))) break;
        if (!seen) pixels = watch((size_t)model->net->inputs);
        model_run_teachers(model, b->x, 1);
        look(&pixels, b->x, b->n);
        for (int i = 0; i < model->low->teachers; ++i) look_at(&view[i], model->teacher[i], b->n);
    }
    *alike = b && !varies(&pixels);
    unwatch(&pixels);
    return b ? 0 : -1;
}

static loader *start_images(const model *model, const dataset *data, int threads, uint64_t view_seed, diag *d)
{
    const net_shape *s = model->low->shape;
    loader_options lo = { .data = data, .how = LOAD_TRAIN, .batch = model->net->batch, .c = s->c, .h = s->h, .w = s->w,
                          .augment = model->low->augment, .seed = view_seed, .view_seed = view_seed,
                          .threads = threads > 0 ? threads : 1 };
    lo.augment.random = 0;   /* one size */
    return loader_start(&lo, d);
}

int teacher_check(model *model, const dataset *data, int threads, uint64_t view_seed, int force, diag *d)
{
    int alike = 0, bad, n = model->low->teachers;
    if (!model->teacher) return 0;
    loader *l = start_images(model, data, threads, view_seed, d);
    if (!l) return -1;
    teacher_view *v = mem_calloc((size_t)n, sizeof *v);
    for (int i = 0; i < n; ++i) v[i] = begin(model->teacher[i]);
    bad = show_images(model, l, v, &alike, d);
    loader_stop(l);
    for (int i = 0; i < n; ++i) {
        char *why = bad < 0 ? NULL : wrong_with(&v[i], model->teacher[i], alike);
        if (teacher_refuse(model->teacher[i]->spec, why, force, d)) bad |= 1;
        free(why);
        end(&v[i], model->teacher[i]->spec->taps);
    }
    free(v);
    return bad ? -1 : 0;
}
