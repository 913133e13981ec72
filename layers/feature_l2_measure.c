/* [feature_l2] normalise=channel and metric=head: the variances of the teacher's channels, and with both those of what
 * W makes of them, from views that the model shows before step 1 (model/model_prepare.c).
 *
 * Each channel and each row of W is added up by itself, in the order of the views: its result does not depend on
 * threads. Its first value is taken off all of them, so that a channel that never changes has a variance of exactly 0,
 * and one that does loses nothing to a large mean. */
#include "darknet_plugin/base/command.h"
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
    channel_sums *channel;   /* (c) of elements, or of means; owned */
    channel_sums *row;       /* (rows) of W's outputs, owned */
    float *seen;             /* (batch, width, places) what W reads, owned */
};

void feature_l2_sums_free(feature_l2_metric *metric)
{
    if (!metric->sums) return;
    free(metric->sums->channel);
    free(metric->sums->row);
    free(metric->sums->seen);
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

static int reads_rows(const feature_l2_params *p) { return p->channel && p->head; }

/* Channel c of image b: counts its elements, and puts them where W reads. */
static void look_at_places(const looking *at, int b, size_t c)
{
    const layer *l = at->l;
    int k = at->s->p.target_pool, w = l->out_w, places = l->out_h * w;
    struct feature_l2_sums *sums = at->s->metric->sums;
    feature_map map = map_of(at, b);
    size_t plane = (size_t)places * (size_t)(k * k);
    float *seen = sums->seen + ((size_t)b * (size_t)l->out_c + c) * (size_t)places;
    for (int i = 0; i < places; ++i) {
        float t = feature_l2_target(map.values, map.range, map.type, c, plane, w, k, i / w, i % w);
        count(&sums->channel[c], t);
        if (reads_rows(&at->s->p) && at->s->p.head != HEAD_MEANS) seen[i] = t;
    }
}

/* The same of its mean. */
static void look_at_mean(const looking *at, int b, size_t c)
{
    const layer *l = at->l;
    const feature_l2_params *p = &at->s->p;
    struct feature_l2_sums *sums = at->s->metric->sums;
    feature_map map = map_of(at, b);
    size_t plane = (size_t)l->out_h * (size_t)l->out_w * (size_t)(p->target_pool * p->target_pool);
    float t = feature_mean(map.values, map.range, map.type, c, at->views->means ? 1 : plane);
    if (p->pooled) count(&sums->channel[c], t);
    if (reads_rows(p)) sums->seen[(size_t)b * (size_t)l->out_c + c] = t;
}

static void look_at_channels(void *ctx, size_t begin, size_t end)
{
    const looking *at = ctx;
    for (int b = 0; b < at->images; ++b)
        for (size_t c = begin; c < end; ++c) {
            if (!at->s->p.pooled) look_at_places(at, b, c);
            if (feature_l2_takes_means(&at->s->p)) look_at_mean(at, b, c);
        }
}

/* What some rows of W make of it. */
static void look_at_rows(void *ctx, size_t begin, size_t end)
{
    const looking *at = ctx;
    const feature_l2_metric *m = at->s->metric;
    size_t places = at->s->p.head == HEAD_PLACES ? (size_t)at->l->out_h * (size_t)at->l->out_w : 1;
    for (size_t row = begin; row < end; ++row)
        for (size_t i = 0; i < (size_t)at->images * places; ++i) {
            const float *x = m->sums->seen + i / places * m->width * places + i % places;
            count(&m->sums->row[row], feature_l2_product(m->head + row * m->width, m->width, x, places));
        }
}

static struct feature_l2_sums *new_sums(const layer *l, const feature_l2_metric *metric)
{
    struct feature_l2_sums *sums = mem_calloc(1, sizeof *sums);
    sums->channel = mem_calloc((size_t)l->out_c, sizeof *sums->channel);
    sums->row = mem_calloc(metric->rows + 1, sizeof *sums->row);
    sums->seen = mem_calloc((size_t)l->batch * (size_t)l->outputs, sizeof *sums->seen);
    return sums;
}

void feature_l2_look(layer *l, const teaching *views, int images)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    looking at = { .l = l, .s = feature_l2_state_of(l), .views = views, .images = images };
    if (!m->sums) m->sums = new_sums(l, m);
    parallel_for((size_t)l->out_c, look_at_channels, &at);
    if (reads_rows(&at.s->p)) parallel_for(m->rows, look_at_rows, &at);
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
    fprintf(out, "teacher's channel variances from %llu views: least %.3g, median %.3g, largest %.3g; "
            "%d dead channel%s\n", (unsigned long long)views, sorted[0], sorted[n / 2], sorted[n - 1], dead,
            dead == 1 ? "" : "s");
    fflush(out);
    free(sorted);
}

/* From sums to variances, and a line that tells of them. */
int feature_l2_looked(layer *l, FILE *out, diag *d)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    size_t n = (size_t)l->out_c;
    double *v = m->facts.value, sum = 0, seen = 0;
    for (size_t c = 0; c < n; ++c) {
        v[c] = variance(&m->sums->channel[c]);
        sum += v[c];
    }
    for (size_t row = 0; m->facts.n > n && row < m->rows; ++row) seen += variance(&m->sums->row[row]);
    if (m->facts.n > n) v[n] = seen;
    if (!(sum > 0) || isinf(sum) || (m->facts.n > n && !(seen > 0))) {
        diag_error(d, NULL, 0, "feature_l2", "the teacher's channels have no variance: its map is the same for %llu "
                   "views, or not finite", (unsigned long long)m->sums->views);
        diag_hint(d, "look at the teacher with '%s valid', or leave out normalise= and metric=", command_name());
        return -1;
    }
    tell(v, n, sum / (double)n, m->sums->views, out);
    feature_l2_sums_free(m);
    m->facts.known = 1;
    m->ready = 0;
    return 0;
}
