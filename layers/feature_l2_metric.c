/* [feature_l2] with pooled=1, normalise=channel, metric=head or weight=teacher, on the CPU, an image at a time
 * (feature_l2.h has the formulae, feature_l2_metric_ops.h one element of them). Forward keeps the errors, so that
 * backward needs no target. */
#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "feature_l2_loops.h"
#include "layers/cpu/parallel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- what it is made of ---- */

/* How many numbers `p` has to know. */
static size_t facts_of(const feature_l2_params *p)
{
    if (!p->channel && !p->head) return 0;
    return (size_t)p->c + (p->channel && p->head);
}

feature_l2_metric *feature_l2_metric_new(const feature_l2_params *p)
{
    if (!p->pooled && !p->channel && !p->head && !p->by_teacher) return NULL;
    feature_l2_metric *m = mem_calloc(1, sizeof *m);
    m->boxes = p->boxes;
    m->facts.n = facts_of(p);
    if (m->facts.n) m->facts.value = mem_calloc(m->facts.n, sizeof *m->facts.value);
    m->weigh = mem_calloc((size_t)p->c, sizeof *m->weigh);
    return m;
}

/* All but the device's. */
void feature_l2_metric_free(feature_l2_metric *metric)
{
    if (!metric) return;
    feature_l2_sums_free(metric);
    free(metric->facts.value);
    free(metric->head);
    free(metric->weigh);
    free(metric->scaled);
    free(metric->turned);
    free(metric->error);
    free(metric->means);
    free(metric->seen);
    free(metric->sum);
    box_head_free(&metric->boxes);
    free(metric->map);
    free(metric->raw);
    free(metric->place);
    free(metric);
}

loss_facts *feature_l2_facts(const layer *l)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    return m && m->facts.n ? &m->facts : NULL;
}

void set_feature_l2_head(layer *l, const float *head, size_t rows, size_t width)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    m->head = mem_realloc(m->head, rows * width, sizeof *m->head);
    m->scaled = mem_realloc(m->scaled, rows * width, sizeof *m->scaled);
    m->turned = mem_realloc(m->turned, rows * width, sizeof *m->turned);
    memcpy(m->head, head, rows * width * sizeof *head);
    m->rows = rows;
    m->width = width;
    m->ready = 0;
}

static double mean_of(const double *x, size_t n)
{
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += x[i];
    return sum / (double)n;
}

/* What a channel's squared error is multiplied by. */
static void weigh_channels(feature_l2_metric *metric, const feature_l2_params *p)
{
    size_t n = (size_t)p->c;
    const double *v = metric->facts.value;
    double mean = metric->facts.n ? mean_of(v, n) : 0, share = 1;
    if (p->head) share = (p->channel ? 1 : mean) / 20;
    for (size_t c = 0; c < n; ++c)
        metric->weigh[c] = metric->facts.n ? (float)(share / (v[c] + mean / 100)) : 1;
}

/* H and H' of W. */
static void scale_head(feature_l2_metric *metric, const layer *l, const feature_l2_params *p)
{
    size_t width = metric->width;
    double trace = 0;
    BUG_UNLESS(width == (size_t)(p->head == HEAD_MAP ? l->outputs : l->out_c), "W reads something else than the map");
    for (size_t i = 0; i < metric->rows * width; ++i) trace += (double)metric->head[i] * metric->head[i];
    if (p->channel) trace = metric->facts.value[p->c];
    double factor = trace > 0 ? sqrt((double)width / trace) : 0;
    for (size_t i = 0; i < metric->rows * width; ++i) {
        metric->scaled[i] = (float)(factor * metric->head[i]);
        metric->turned[i % width * metric->rows + i / width] = metric->scaled[i];
    }
}

static void make_ready(feature_l2_metric *metric, const layer *l, const feature_l2_params *p)
{
    if (metric->ready) return;
    BUG_UNLESS(metric->facts.known || !metric->facts.n, "feature_l2 is trained before its channels are measured");
    BUG_UNLESS(metric->head || !p->head, "feature_l2 is trained before it has seen the teacher's weights");
    BUG_UNLESS(metric->boxes.weights || !p->by_teacher, "feature_l2 is trained before it has seen the teacher's head");
    weigh_channels(metric, p);
    if (p->head) scale_head(metric, l, p);
    metric->ready = 1;
}

/* Sizes are read from the layer, as everywhere in [feature_l2]. */
feature_l2_metric_job feature_l2_metric_job_of(const layer *l)
{
    const feature_l2_params *p = &feature_l2_state_of(l)->p;
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    size_t map = (size_t)l->out_h * (size_t)l->out_w, values = (size_t)l->out_c * (p->pooled || p->head == HEAD_MEANS
        ? 1 : map);
    make_ready(m, l, p);
    feature_l2_metric_job j = {
        .batch = (size_t)l->batch, .c = (size_t)l->out_c, .map = map, .pooled = p->pooled,
        .head_means = p->head == HEAD_MEANS, .rows = m->rows, .width = m->width,
        .places = p->head == HEAD_PLACES ? map : 1, .factor = p->scale / (p->mean ? (double)values : 1.0),
        .weigh = m->weigh, .head = m->scaled, .turned = m->turned,
    };
    j.rest = j.head_means && !j.pooled ? j.factor / (double)map : j.factor;
    return j;
}

feature_l2_places feature_l2_places_of(const layer *l)
{
    const feature_l2_metric *m = feature_l2_state_of(l)->metric;
    return (feature_l2_places){ .form = m->boxes.form, .weights = m->boxes.weights, .biases = m->boxes.biases,
                                .floor = feature_l2_state_of(l)->p.floor, .raw = m->raw, .place = m->place,
                                .batch = (size_t)l->batch, .map = (size_t)l->out_h * (size_t)l->out_w };
}

static void make_place_room(feature_l2_metric *metric, const feature_l2_metric_job *job)
{
    size_t n = job->batch * job->map;
    if (metric->place_room >= n) return;
    metric->map = mem_realloc(metric->map, n * job->c, sizeof *metric->map);
    metric->raw = mem_realloc(metric->raw, n * metric->boxes.rows, sizeof *metric->raw);
    metric->place = mem_realloc(metric->place, n, sizeof *metric->place);
    metric->place_room = n;
}

/* Room grows with the layer. */
static feature_l2_metric_job job_with_room(const layer *l)
{
    feature_l2_metric *m = feature_l2_state_of(l)->metric;
    feature_l2_metric_job j = feature_l2_metric_job_of(l);
    size_t values = j.batch * j.c * j.map;
    if (m->room < values) {
        m->error = mem_realloc(m->error, values, sizeof *m->error);
        m->means = mem_realloc(m->means, j.batch * j.c, sizeof *m->means);
        m->seen = mem_realloc(m->seen, j.batch * j.rows * j.places + 1, sizeof *m->seen);
        m->sum = mem_realloc(m->sum, j.batch * j.places, sizeof *m->sum);
        m->room = values;
    }
    j.error = m->error;
    j.means = m->means;
    j.seen = m->seen;
    if (!feature_l2_state_of(l)->p.by_teacher) return j;
    make_place_room(m, &j);
    j.place = m->place;
    return j;
}

/* ---- an image ---- */

typedef struct metric_run {
    const layer *l;
    const feature_l2_state *s;
    feature_l2_metric_job job;
    float *delta;
} metric_run;

INLINE void take_errors(const metric_run *run, size_t b, feature_type type, int k)
{
    const layer *l = run->l;
    size_t map = run->job.map, first = b * (size_t)l->outputs;
    for (size_t c = 0; c < run->job.c; ++c, first += map)
        for (size_t i = 0; i < map; ++i)
            run->job.error[first + i] = l->output[first + i] - target_at(l, &run->s->target[b], type, k, c, i);
}

/* weight=teacher: the weights of image b's places, and its errors times them. */
static void weigh_places(const metric_run *run, size_t b)
{
    const feature_l2_metric *m = run->s->metric;
    feature_l2_places places = feature_l2_places_of(run->l);
    size_t c = run->job.c, map = run->job.map;
    float *plain = m->map + b * c * map, *raw = m->raw + b * m->boxes.rows * map, *place = run->job.place + b * map;
    feature_unpack(&run->s->target[b], c, map, plain);
    box_head_answer(&m->boxes, plain, map, raw);
    feature_l2_weigh_places(&places, raw, place);
    float *error = run->job.error + b * c * map;
    for (size_t i = 0; i < c; ++i, error += map)
        for (size_t at = 0; at < map; ++at) error[at] *= place[at];
}

static void take_means(const metric_run *run, size_t b)
{
    const feature_map *t = &run->s->target[b];
    size_t k = (size_t)run->s->p.target_pool, c = run->job.c, map = run->job.map;
    size_t plane = run->s->means ? 1 : map * k * k;
    for (size_t i = 0; i < c; ++i)
        run->job.means[b * c + i] = feature_l2_mean_error(run->l->output + (b * c + i) * map, map, t->values, t->range,
                                                          t->type, i, plane);
}

/* sum[place] of row a's product with each column of x (n, places): feature_l2_product, all places at once. */
static void products(const float *a, size_t n, const float *x, size_t places, double *sum)
{
    memset(sum, 0, places * sizeof *sum);
    for (size_t i = 0; i < n; ++i, x += places)
        for (size_t place = 0; place < places; ++place) sum[place] += (double)a[i] * (double)x[place];
}

/* What H reads of image b. */
static const float *read_by_head(const feature_l2_metric_job *job, size_t b)
{
    return job->head_means ? job->means + b * job->c : job->error + b * job->c * job->map;
}

/* y of image b, and the sum of its squares. */
static double see(const metric_run *run, size_t b)
{
    const feature_l2_metric_job *j = &run->job;
    double *sum = run->s->metric->sum + b * j->places, squares = 0;
    float *y = j->seen + b * j->rows * j->places;
    for (size_t row = 0; row < j->rows; ++row, y += j->places) {
        products(j->head + row * j->width, j->width, read_by_head(j, b), j->places, sum);
        for (size_t place = 0; place < j->places; ++place) {
            y[place] = (float)sum[place];
            squares += (double)y[place] * y[place];
        }
    }
    return squares;
}

/* The weighed part of image b's loss, without `rest`. */
static double weigh_image(const feature_l2_metric_job *job, size_t b)
{
    size_t n = job->pooled ? 1 : job->map;
    const float *e = (job->pooled ? job->means : job->error) + b * job->c * n;
    double all = 0;
    for (size_t c = 0; c < job->c; ++c, e += n) {
        double sum = 0;
        L2_SIMD(reduction(+ : sum))
        for (size_t i = 0; i < n; ++i) sum += (double)e[i] * e[i];
        all += job->weigh[c] * sum;
    }
    return all;
}

static void lose_images(void *ctx, size_t begin, size_t end)
{
    const metric_run *run = ctx;
    for (size_t b = begin; b < end; ++b) {
        if (!run->job.pooled) FOR_TYPES(take_errors, run, b);
        if (run->job.place) weigh_places(run, b);
        if (feature_l2_takes_means(&run->s->p)) take_means(run, b);
        double seen = run->job.rows ? see(run, b) : 0;
        run->s->part[b] = run->job.rest * weigh_image(&run->job, b) + run->job.factor * seen;
    }
}

/* Steps of one image, for parallel_for_work. */
static size_t work_of(const feature_l2_metric_job *job)
{
    return job->c * job->map * (job->place ? 10 : 1) + job->rows * job->width * job->places;
}

double feature_l2_metric_forward(layer *l)
{
    metric_run run = { .l = l, .s = feature_l2_state_of(l), .job = job_with_room(l) };
    double sum = 0;
    parallel_for_work((size_t)l->batch, work_of(&run.job), lose_images, &run);
    for (int b = 0; b < l->batch; ++b) sum += run.s->part[b];
    return sum;
}

/* One channel of image b, its H'y in `pull` for each element, or for its mean. */
static void pass_channel(const metric_run *run, size_t channel, const double *pull)
{
    const feature_l2_metric_job *j = &run->job;
    size_t first = channel * j->map;
    const float *above = run->l->delta + first;
    for (size_t i = 0; i < j->map; ++i) {
        double e = j->pooled ? j->means[channel] : j->error[first + i], seen = 0;
        if (j->rows) seen = pull[j->places > 1 ? i : 0];
        run->delta[first + i] += feature_l2_metric_delta(j, channel % j->c, e, seen) *
            feature_l2_place(j, first + i) + above[i];
    }
}

/* The same where H reads the whole map, an element a row of H'. */
static void pass_elements(const metric_run *run, size_t b, const float *y)
{
    const feature_l2_metric_job *j = &run->job;
    size_t first = b * j->width;
    for (size_t i = 0; i < j->width; ++i) {
        double pull = feature_l2_product(j->turned + i * j->rows, j->rows, y, 1);
        run->delta[first + i] += feature_l2_metric_delta(j, i / j->map, j->error[first + i], pull) +
            run->l->delta[first + i];
    }
}

/* Some images: H'y a channel at a time, or an element where H reads the whole map. */
static void pass_images(void *ctx, size_t begin, size_t end)
{
    const metric_run *run = ctx;
    const feature_l2_metric_job *j = &run->job;
    for (size_t b = begin; b < end; ++b) {
        const float *y = j->seen + b * j->rows * j->places;
        double *pull = run->s->metric->sum + b * j->places;
        if (run->s->p.head == HEAD_MAP) pass_elements(run, b, y);
        for (size_t c = 0; run->s->p.head != HEAD_MAP && c < j->c; ++c) {
            if (j->rows) products(j->turned + c * j->rows, j->rows, y, j->places, pull);
            pass_channel(run, b * j->c + c, pull);
        }
    }
}

/* What layers above sent down passes through. */
void feature_l2_metric_backward(layer *l, float *delta)
{
    metric_run run = { .l = l, .s = feature_l2_state_of(l), .job = job_with_room(l), .delta = delta };
    parallel_for_work((size_t)l->batch, work_of(&run.job), pass_images, &run);
}
