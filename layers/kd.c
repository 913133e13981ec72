/* [kd] on the CPU, an image at a time (see kd.h for the formulae, kd_ops.h for one image of them). */
#include "kd.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/cpu/parallel.h"

#include <stdlib.h>
#include <string.h>

/* Its keys, and one score a class of as many classes as the teacher knows. */
int check_kd_section(const cfg_section *section, const loss_place *place, diag *d)
{
    static const char *const detectors[][2] = {
        { "focal", "objectness" }, { "iou_loss", "boxes" }, { "iou_normalizer", "boxes" } };
    int taught = place->teacher_c * place->teacher_h * place->teacher_w;
    for (size_t i = 0; i < sizeof detectors / sizeof *detectors; ++i) {
        const char *key = detectors[i][0];
        if (!cfg_find(section, key)) continue;
        diag_error(d, section->file, cfg_line(section, key), section->name,
                   "%s= is for a detector's %s, and this one stands on class scores", key, detectors[i][1]);
        diag_hint(d, "decouple= weighs the classes apart");
        return -1;
    }
    if (place->h != 1 || place->w != 1) {
        diag_error(d, section->file, section->line, section->name, "reads a map of %dx%dx%d, not one score a class",
                   place->c, place->h, place->w);
        diag_hint(d, "[avgpool] before it makes one of a map; [connected] has no map");
        return -1;
    }
    if (place->c == taught && place->c > 1) return 0;
    diag_error(d, section->file, section->line, section->name, "the student has %d class scores, the teacher %d",
               place->c, taught);
    diag_hint(d, "both must know the same classes: filters= or output= of the layer before is their number");
    return -1;
}

static void backward_kd_layer(layer l, host_state net);

/* Takes the stand-in, with the keys' defaults. */
int make_kd_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    if (!stand_in_fits(l, "kd", place->c, place->h, place->w, d)) return -1;
    kd_state *s = mem_calloc(1, sizeof *s);
    s->how = (kd_how){ .T = cfg_float(section, "temperature", 4), .standardise = cfg_int(section, "standardise", 0),
                       .beta = cfg_float(section, "decouple", 0) };
    s->scale = cfg_float(section, "scale", 1);
    s->part = mem_calloc((size_t)l->batch, sizeof *s->part);
    s->held = mem_calloc((size_t)l->batch * (size_t)l->outputs, sizeof *s->held);
    stand_in_take(l, place->c, place->h, place->w, s, forward_kd_layer, backward_kd_layer);
    return 0;
}

void free_kd_layer(layer *l)
{
    free(kd_state_of(l)->part);
    free(kd_state_of(l)->held);
    free(kd_state_of(l));
    l->self_layer = NULL;
}

double *scale_of_kd_layer(const layer *l) { return &kd_state_of(l)->scale; }

int kd_weighs(const cfg_section *section)
{
    (void)section;
    return 1;
}

/* Class scores out of a cache, as floats. */
static void hold(kd_state *state, const layer *l, const feature_map *stored)
{
    size_t n = (size_t)l->outputs;
    for (size_t b = 0; b < (size_t)l->batch; ++b) feature_unpack(&stored[b], n, 1, state->held + b * n);
    state->target = state->held;
}

void teach_kd_layer(layer *l, const teaching *teaching)
{
    kd_state *state = kd_state_of(l);
    state->target = teaching->live;
    state->weight = teaching->weight;
    if (teaching->live) return;
    hold(state, l, teaching->stored);
    if (state->upload) state->upload(l);
}

typedef struct kd_job {
    const layer *l;
    const float *truth;     /* (batch, outputs), or NULL */
    float *delta;
} kd_job;

/* Labels, where the network has any that speak of these classes. */
static const float *truth_of(const layer *l, const host_state *net)
{
    return net->truths == l->outputs ? net->truth : NULL;
}

static size_t target_of(const kd_job *job, size_t b)
{
    size_t n = (size_t)job->l->outputs;
    return kd_target(job->truth ? job->truth + b * n : NULL, kd_state_of(job->l)->target + b * n, n);
}

static void lose_images(void *ctx, size_t begin, size_t end)
{
    const kd_job *job = ctx;
    const layer *l = job->l;
    const kd_state *s = kd_state_of(l);
    size_t n = (size_t)l->outputs;
    for (size_t b = begin; b < end; ++b)
        s->part[b] = kd_loss(l->output + b * n, s->target + b * n, n, target_of(job, b), &s->how);
}

void kd_add_up(layer *l)
{
    const kd_state *s = kd_state_of(l);
    double sum = 0;
    for (int b = 0; b < l->batch; ++b) sum += s->part[b] * kd_weight_of(s->weight, (size_t)b);
    *l->cost = (float)(s->scale * s->how.T * s->how.T * sum);
}

void forward_kd_layer(layer l, host_state net)
{
    memcpy(l.output, net.input, (size_t)l.outputs * (size_t)l.batch * sizeof *l.output);
    if (!net.train) return;
    BUG_UNLESS(kd_state_of(&l)->target, "kd is trained without a target");
    kd_job job = { .l = &l, .truth = truth_of(&l, &net) };
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, lose_images, &job);
    kd_add_up(&l);
}

static void pass_images(void *ctx, size_t begin, size_t end)
{
    const kd_job *job = ctx;
    const layer *l = job->l;
    const kd_state *s = kd_state_of(l);
    size_t n = (size_t)l->outputs;
    for (size_t b = begin; b < end; ++b)
        kd_delta(l->output + b * n, s->target + b * n, n, target_of(job, b), &s->how,
                 s->scale * s->how.T * kd_weight_of(s->weight, b), l->delta + b * n, job->delta + b * n);
}

static void backward_kd_layer(layer l, host_state net)
{
    if (!net.delta) return;
    BUG_UNLESS(kd_state_of(&l)->target, "kd is trained without a target");
    kd_job job = { .l = &l, .truth = truth_of(&l, &net), .delta = net.delta };
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, pass_images, &job);
}
