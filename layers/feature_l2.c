/* [feature_l2] on the CPU (see feature_l2.h for the formulae, feature_l2_ops.h for one element of them). The layer
 * begins as a stand-in (stand_in.h); all sizes are read from it, and not from the parameters it was made with.
 * With pooled=1, normalise=channel, metric=head or weight=teacher the loss is feature_l2_metric.c's.
 *
 * Left out: a label-based loss. SimKD has none. */
#include "feature_l2.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/cpu/parallel.h"
#include "feature_l2_loops.h"
#include "map_loss.h"
#include "stand_in.h"

#include <stdlib.h>
#include <string.h>

static feature_l2_state *state_of(const layer *l) { return feature_l2_state_of(l); }

static int valid(const layer *l, const feature_l2_params *p, diag *d)
{
    if (p->c > 0 && p->h > 0 && p->w > 0 && p->target_pool > 0)
        return stand_in_fits(l, "feature_l2", p->c, p->h, p->w, d);
    diag_error(d, NULL, 0, "feature_l2", "impossible map of %dx%dx%d, teacher pooled by %d", p->c, p->h, p->w,
               p->target_pool);
    return 0;
}

static void backward_feature_l2_layer(layer l, host_state net);

int make_feature_l2_layer(layer *l, feature_l2_params p, diag *d)
{
    if (!valid(l, &p, d)) return -1;
    feature_l2_state *s = mem_calloc(1, sizeof *s);
    s->p = p;
    s->part = mem_calloc((size_t)l->batch, sizeof *s->part);
    s->target = mem_calloc((size_t)l->batch, sizeof *s->target);
    s->metric = feature_l2_metric_new(&p);
    stand_in_take(l, p.c, p.h, p.w, s, forward_feature_l2_layer, backward_feature_l2_layer);
    return 0;
}

int make_feature_l2_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    feature_l2_params p = { .scale = cfg_float(section, "scale", 1),
                            .mean = strcmp(cfg_str(section, "reduction", "mean"), "sum") != 0,
                            .target_pool = map_loss_pool(place), .c = place->c, .h = place->h, .w = place->w,
                            .pooled = feature_l2_reads_means(section),
                            .channel = !strcmp(cfg_str(section, "normalise", "none"), "channel"),
                            .floor = cfg_float(section, "floor", FEATURE_L2_FLOOR) };
    if (feature_l2_find_head(section, place, &p, d) || feature_l2_find_boxes(section, place, &p, d)) return -1;
    return make_feature_l2_layer(l, p, d);
}

void free_feature_l2_layer(layer *l)
{
    free(state_of(l)->part);
    free(state_of(l)->target);
    feature_l2_metric_free(state_of(l)->metric);
    free(state_of(l));
    l->self_layer = NULL;
}

/* Numbers in one image's target: they follow the layer's size. */
static size_t target_size(const layer *l)
{
    size_t k = (size_t)state_of(l)->p.target_pool;
    return (size_t)l->outputs * k * k;
}

void set_feature_l2_target(layer *l, const float *target)
{
    feature_l2_state *s = state_of(l);
    s->has_target = target != NULL;
    for (int b = 0; target && b < l->batch; ++b)
        s->target[b] = (feature_map){ .type = FEATURE_F32, .values = target + (size_t)b * target_size(l) };
}

void set_feature_l2_maps(layer *l, const feature_map *maps)
{
    feature_l2_state *s = state_of(l);
    s->has_target = 1;
    memcpy(s->target, maps, (size_t)l->batch * sizeof *maps);
    if (s->upload) s->upload(l);
}

double *scale_of_feature_l2_layer(const layer *l) { return &state_of(l)->p.scale; }

void teach_feature_l2_layer(layer *l, const teaching *teaching)
{
    state_of(l)->means = teaching->means;
    state_of(l)->weight = teaching->weight;
    if (teaching->live) set_feature_l2_target(l, teaching->live);
    else set_feature_l2_maps(l, teaching->stored);
}

/* scale/D */
static double factor_of(const layer *l)
{
    const feature_l2_params *p = &state_of(l)->p;
    return p->scale / (p->mean ? (double)l->outputs : 1.0);
}

static float weight_of(const feature_l2_state *state, size_t b) { return state->weight ? state->weight[b] : 1; }

typedef struct l2_job {
    const layer *l;
    const feature_l2_state *s;
    float *delta, factor;
} l2_job;

/* Sum of squared errors of image b. */
INLINE void square_image(const l2_job *j, size_t b, feature_type type, int k)
{
    const layer *l = j->l;
    const feature_map *m = &j->s->target[b];
    const float *s = l->output + b * (size_t)l->outputs;
    size_t map = (size_t)l->out_h * (size_t)l->out_w;
    double sum = 0;
    for (size_t c = 0; c < (size_t)l->out_c; ++c, s += map) {
        L2_SIMD(reduction(+ : sum))
        for (size_t i = 0; i < map; ++i) sum += feature_l2_loss(s[i], target_at(l, m, type, k, c, i));
    }
    j->s->part[b] = sum;
}

static void square_images(void *ctx, size_t begin, size_t end)
{
    const l2_job *j = ctx;
    for (size_t b = begin; b < end; ++b) FOR_TYPES(square_image, j, b);
}

/* Passes its input on; training, adds up the squared errors. */
void forward_feature_l2_layer(layer l, host_state net)
{
    feature_l2_state *s = state_of(&l);
    size_t n = (size_t)l.outputs * (size_t)l.batch;
    memcpy(l.output, net.input, n * sizeof *l.output);
    if (!net.train) return;
    BUG_UNLESS(s->has_target, "feature_l2 is trained without a target");
    if (s->metric) {
        *l.cost = (float)feature_l2_metric_forward(&l);
        return;
    }
    l2_job j = { .l = &l, .s = s };
    double sum = 0;
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, square_images, &j);
    for (size_t b = 0; b < (size_t)l.batch; ++b) sum += s->part[b] * weight_of(s, b);
    *l.cost = (float)(sum * factor_of(&l));
}

/* What layers above sent down (l.delta) passes through: the layer's output is its input. */
INLINE void pass_image(const l2_job *j, size_t b, feature_type type, int k)
{
    const layer *l = j->l;
    const feature_map *m = &j->s->target[b];
    size_t map = (size_t)l->out_h * (size_t)l->out_w, first = b * (size_t)l->outputs;
    float factor = j->factor * weight_of(j->s, b);
    for (size_t c = 0; c < (size_t)l->out_c; ++c, first += map) {
        const float *s = l->output + first, *above = l->delta + first;
        float *delta = j->delta + first;
        L2_SIMD()
        for (size_t i = 0; i < map; ++i)
            delta[i] += feature_l2_delta(s[i], target_at(l, m, type, k, c, i), factor) + above[i];
    }
}

static void pass_images(void *ctx, size_t begin, size_t end)
{
    const l2_job *j = ctx;
    for (size_t b = begin; b < end; ++b) FOR_TYPES(pass_image, j, b);
}

/* Adds minus the gradient, and what came from above, to what lies below. */
static void backward_feature_l2_layer(layer l, host_state net)
{
    if (!net.delta) return;
    const feature_l2_state *s = state_of(&l);
    BUG_UNLESS(s->has_target, "feature_l2 is trained without a target");
    if (s->metric) {
        feature_l2_metric_backward(&l, net.delta);
        return;
    }
    l2_job j = { .l = &l, .s = s, .delta = net.delta, .factor = (float)factor_of(&l) };
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, pass_images, &j);
}

double feature_l2_error(const layer *l, const float *target, int n)
{
    const float *s = l->output;
    size_t maps = (size_t)n * (size_t)l->out_c, plane = target_size(l) / (size_t)l->out_c;
    int k = state_of(l)->p.target_pool;
    double sum = 0;
    for (size_t map = 0; map < maps; ++map)
        for (int y = 0; y < l->out_h; ++y)
            for (int x = 0; x < l->out_w; ++x) {
                float t = feature_l2_target(target, NULL, FEATURE_F32, map, plane, l->out_w, k, y, x);
                sum += feature_l2_loss(*s++, t);
            }
    return sum / (double)(maps * (size_t)l->out_h * (size_t)l->out_w);
}
