/* [cross_entropy] on the CPU, an image at a time (see cross_entropy.h for the formulae, cross_entropy_ops.h for one
 * image of them). */
#include "cross_entropy.h"

#include "cross_entropy_ops.h"
#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/cpu/parallel.h"

#include <stdlib.h>
#include <string.h>

int check_cross_entropy_section(const cfg_section *section, const loss_place *place, diag *d)
{
    if (place->h == 1 && place->w == 1 && place->c > 1 && place->c == place->classes) return 0;
    if (place->h == 1 && place->w == 1) {
        diag_error(d, section->file, section->line, section->name, "reads %d class scores of a network of %d outputs",
                   place->c, place->classes);
        return -1;
    }
    diag_error(d, section->file, section->line, section->name, "reads a map of %dx%dx%d, not one score a class",
               place->c, place->h, place->w);
    diag_hint(d, "[avgpool] before it makes one of a map; [connected] has no map");
    return -1;
}

static void backward_cross_entropy_layer(layer l, host_state net);

/* Its own section says scale=, a [reused_classifier] labels=. */
static double scale_of(const cfg_section *section)
{
    return cfg_is(section, "cross_entropy") ? cfg_float(section, "scale", 1) : cfg_float(section, "labels", 0);
}

int make_cross_entropy_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    if (!stand_in_fits(l, "cross_entropy", place->c, place->h, place->w, d)) return -1;
    cross_entropy_state *s = mem_calloc(1, sizeof *s);
    s->scale = scale_of(section);
    s->part = mem_calloc((size_t)l->batch, sizeof *s->part);
    stand_in_take(l, place->c, place->h, place->w, s, forward_cross_entropy_layer, backward_cross_entropy_layer);
    return 0;
}

void free_cross_entropy_layer(layer *l)
{
    free(cross_entropy_state_of(l)->part);
    free(cross_entropy_state_of(l));
    l->self_layer = NULL;
}

double *scale_of_cross_entropy_layer(const layer *l) { return &cross_entropy_state_of(l)->scale; }

void cross_entropy_weigh(const layer *l, const float *truth)
{
    cross_entropy_state *s = cross_entropy_state_of(l);
    int labelled = truth ? cross_entropy_labelled(truth, l->batch, (size_t)l->outputs) : 0;
    s->weight = labelled ? s->scale * l->batch / labelled : 0;
}

void cross_entropy_add_up(const layer *l)
{
    const cross_entropy_state *s = cross_entropy_state_of(l);
    double sum = 0;
    for (int b = 0; b < l->batch; ++b) sum += s->part[b];
    *l->cost = (float)(s->weight * sum);
}

typedef struct entropy_job {
    const layer *l;
    const float *truth;     /* (batch, outputs) */
    float *delta;
} entropy_job;

static void lose_images(void *ctx, size_t begin, size_t end)
{
    const entropy_job *job = ctx;
    size_t n = (size_t)job->l->outputs;
    for (size_t b = begin; b < end; ++b)
        cross_entropy_state_of(job->l)->part[b] = cross_entropy_loss(job->l->output + b * n, job->truth + b * n, n);
}

void forward_cross_entropy_layer(layer l, host_state net)
{
    memcpy(l.output, net.input, (size_t)l.outputs * (size_t)l.batch * sizeof *l.output);
    if (!net.train) return;
    cross_entropy_weigh(&l, net.truth);
    *l.cost = 0;
    if (cross_entropy_state_of(&l)->weight == 0) return;
    entropy_job job = { .l = &l, .truth = net.truth };
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, lose_images, &job);
    cross_entropy_add_up(&l);
}

static void pass_images(void *ctx, size_t begin, size_t end)
{
    const entropy_job *job = ctx;
    const layer *l = job->l;
    size_t n = (size_t)l->outputs;
    for (size_t b = begin; b < end; ++b)
        cross_entropy_delta(l->output + b * n, job->truth + b * n, n, cross_entropy_state_of(l)->weight,
                            l->delta + b * n, job->delta + b * n);
}

/* Without any label, too, what came from above goes on. */
static void backward_cross_entropy_layer(layer l, host_state net)
{
    if (!net.delta) return;
    BUG_UNLESS(net.truth, "cross_entropy is trained without labels");
    entropy_job job = { .l = &l, .truth = net.truth, .delta = net.delta };
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, pass_images, &job);
}
