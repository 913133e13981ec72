/* [feature_l2] normalise=channel and metric=head: the variances of the teacher's channels, from views that the model
 * shows before step 1 (model/model_prepare.c).
 *
 * Each channel is added up by itself, in the order of the views: its result does not depend on threads. Its first value
 * is taken off all of them, so that a channel that never changes has a variance of exactly 0, and one that does loses
 * nothing to a large mean. */
#include "darknet_plugin/base/mem.h"
#include "feature_l2_internal.h"
#include "layers/cpu/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct channel_sums {
    double first, sum, squares;
    uint64_t n;
} channel_sums;

struct feature_l2_sums {
    uint64_t views;
    channel_sums *map, *means;   /* (c) of elements, and of the channels' means; owned */
};

void feature_l2_sums_free(feature_l2_metric *metric)
{
    if (!metric->sums) return;
    free(metric->sums->map);
    free(metric->sums->means);
    free(metric->sums);
    metric->sums = NULL;
}

static void count(channel_sums *sums, double x)
{
    if (!sums->n++) sums->first = x;
    double d = x - sums->first;
    sums->sum += d;
    sums->squares += d * d;
}

static double variance(const channel_sums *sums)
{
    double n = (double)sums->n, mean = sums->sum / n, v = sums->squares / n - mean * mean;
    return v > 0 || isnan(v) ? v : 0;
}

/* Some channels of some views. */
typedef struct looking {
    const layer *l;
    const feature_l2_state *s;
    const teaching *views;
    int images;
} looking;

static feature_map map_of(const looking *at, int b)
{
    size_t k = (size_t)at->s->p.target_pool, n = (size_t)at->l->outputs * k * k;
    if (at->views->stored) return at->views->stored[b];
    return (feature_map){ .type = FEATURE_F32, .values = at->views->live + (size_t)b * n };
}

static void count_places(const looking *at, const feature_map *map, size_t c, channel_sums *sums)
{
    const layer *l = at->l;
    int k = at->s->p.target_pool;
    size_t plane = (size_t)l->out_h * (size_t)l->out_w * (size_t)(k * k);
    for (int y = 0; y < l->out_h; ++y)
        for (int x = 0; x < l->out_w; ++x)
            count(sums, feature_l2_target(map->values, map->range, map->type, c, plane, l->out_w, k, y, x));
}

static void look_at_channels(void *ctx, size_t begin, size_t end)
{
    const looking *at = ctx;
    const feature_l2_params *p = &at->s->p;
    struct feature_l2_sums *sums = at->s->metric->sums;
    size_t k = (size_t)p->target_pool, plane = (size_t)at->l->out_h * (size_t)at->l->out_w * k * k;
    for (int b = 0; b < at->images; ++b) {
        feature_map map = map_of(at, b);
        for (size_t c = begin; c < end; ++c) {
            if (!p->pooled) count_places(at, &map, c, &sums->map[c]);
            if (feature_l2_takes_means(p))
                count(&sums->means[c], feature_mean(map.values, map.range, map.type, c, at->views->means ? 1 : plane));
        }
    }
}

void feature_l2_look(layer *l, const teaching *views, int images)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    size_t c = (size_t)l->out_c;
    if (!m->sums) {
        m->sums = mem_calloc(1, sizeof *m->sums);
        m->sums->map = mem_calloc(c, sizeof *m->sums->map);
        m->sums->means = mem_calloc(c, sizeof *m->sums->means);
    }
    looking at = { .l = l, .s = feature_l2_state_of(l), .views = views, .images = images };
    parallel_for(c, look_at_channels, &at);
    m->sums->views += (uint64_t)images;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* One line: v are the variances that errors are divided by. */
static void tell(const double *v, size_t n, double mean, uint64_t views, FILE *out)
{
    double *sorted = mem_calloc(n, sizeof *sorted);
    int dead = 0;
    memcpy(sorted, v, n * sizeof *v);
    qsort(sorted, n, sizeof *sorted, by_size);
    for (size_t i = 0; i < n; ++i) dead += v[i] < 1e-6 * mean;
    fprintf(out, "teacher's channel variances from %llu views: least %.3g, median %.3g, largest %.3g; %d dead channel%s\n",
            (unsigned long long)views, sorted[0], sorted[n / 2], sorted[n - 1], dead, dead == 1 ? "" : "s");
    fflush(out);
    free(sorted);
}

int feature_l2_looked(layer *l, FILE *out, diag *d)
{
    const feature_l2_params *p = &feature_l2_state_of(l)->p;
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    size_t n = (size_t)l->out_c;
    double *v = m->facts.value, sum = 0;
    for (size_t c = 0; c < n; ++c) {
        v[c] = variance(p->pooled ? &m->sums->means[c] : &m->sums->map[c]);
        if (m->facts.n > n) v[n + c] = variance(&m->sums->means[c]);
        sum += v[c];
    }
    if (!(sum > 0) || isinf(sum)) {
        diag_error(d, NULL, 0, "feature_l2", "the teacher's channels have no variance: its map is the same for %llu views, "
                   "or not finite", (unsigned long long)m->sums->views);
        diag_hint(d, "look at the teacher with 'darknet distill valid', or leave out normalise= and metric=");
        return -1;
    }
    tell(v, n, sum / (double)n, m->sums->views, out);
    feature_l2_sums_free(m);
    m->facts.known = 1;
    m->ready = 0;
    return 0;
}
