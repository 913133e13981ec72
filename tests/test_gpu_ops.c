/* The kernels' element and thread functions over whole grids on the CPU: every block and thread of a launch in turn, the
 * blocks' tree sums included, against the plain implementation. No device is needed, and no CUDA. */
#include "layers/network.h"
#include "check_layers.h"

#include "layers/cpu/batchnorm.h"
#include "layers/cpu/state.h"
#include "layers/feature_l2.h"
#include "layers/feature_l2_internal.h"
#include "layers/feature_l2_ops.h"
#include "layers/gpu/arrays_ops.h"
#include "layers/optimiser_ops.h"
#include "layers/gpu/batchnorm_ops.h"

enum { THREADS = 256, MOST_BLOCKS = 3 };   /* few blocks, so that threads go on in strides */

typedef void (*thread_fn)(void *ctx, size_t thread, size_t threads);

static size_t blocks_of(size_t n)
{
    size_t blocks = (n + THREADS - 1) / THREADS;
    return blocks < MOST_BLOCKS ? blocks : MOST_BLOCKS;
}

/* kernel<<<blocks, THREADS>>> */
static void on_grid(size_t blocks, thread_fn kernel, void *ctx)
{
    for (size_t b = 0; b < blocks; ++b)
        for (size_t t = 0; t < THREADS; ++t) kernel(ctx, b * THREADS + t, blocks * THREADS);
}

typedef double (*sum_fn)(const void *ctx, size_t thread, size_t threads);

/* A block's tree over what its threads have summed. */
static double block_sum(sum_fn mine, const void *ctx, size_t block, size_t threads)
{
    double sum[THREADS];
    for (size_t t = 0; t < THREADS; ++t) sum[t] = mine(ctx, block * THREADS + t, threads);
    for (size_t half = THREADS / 2; half > 0; half /= 2)
        for (size_t t = 0; t < half; ++t) sum[t] += sum[t + half];
    return sum[0];
}

/* ---- feature_l2 ---- */

typedef struct l2_case {
    int batch, c, h, w, k;
    feature_type type;
} l2_case;

typedef struct l2_run {
    l2_case of;
    feature_l2_job job;
    float *student, *above, *delta, *teacher;   /* teacher: what the stored maps mean */
    char *stored;
} l2_run;

static l2_run l2_open(l2_case k)
{
    size_t n = (size_t)(k.batch * k.c * k.h * k.w), tn = n * (size_t)(k.k * k.k), per = tn / (size_t)k.batch;
    size_t stride = feature_bytes(k.type, k.c, per / (size_t)k.c);
    l2_run r = { .of = k, .student = mem_calloc(n, sizeof(float)), .above = mem_calloc(n, sizeof(float)), .delta = mem_calloc(n, sizeof(float)),
                 .teacher = mem_calloc(tn, sizeof(float)), .stored = mem_aligned((size_t)k.batch, stride) };
    check_fill(r.student, n, 1);
    check_fill(r.above, n, 2);
    check_fill(r.delta, n, 3);
    check_fill(r.teacher, tn, 4);
    for (size_t b = 0; b < (size_t)k.batch; ++b) {
        void *to = r.stored + b * stride;
        assert_int_equal(feature_store(k.type, r.teacher + b * per, k.c, per / (size_t)k.c, to), 0);
        feature_map m = feature_stored(k.type, k.c, to);
        for (size_t i = 0; i < per; ++i) r.teacher[b * per + i] = feature_value(m.values, m.range, k.type, i / (per / (size_t)k.c), i);
        r.job.values = (size_t)((const char *)m.values - (const char *)to);
    }
    r.job = (feature_l2_job){ .student = r.student, .above = r.above, .target = r.stored, .stride = stride, .values = r.job.values, .type = k.type,
                              .h = k.h, .w = k.w, .k = k.k, .c = (size_t)k.c, .n = n, .factor = .3f };
    return r;
}

static void l2_close(l2_run *r)
{
    free(r->student);
    free(r->above);
    free(r->delta);
    free(r->teacher);
    free(r->stored);
}

/* The pooled target of element i, in doubles. */
static double plain_target(const l2_run *r, size_t i)
{
    size_t w = (size_t)r->of.w, h = (size_t)r->of.h, k = (size_t)r->of.k, x = i % w, y = i / w % h, map = i / (w * h);
    double sum = 0;
    for (size_t a = 0; a < k * k; ++a) sum += r->teacher[(map * h * k + y * k + a / k) * w * k + x * k + a % k];
    return sum / (double)(k * k);
}

static double l2_mine(const void *ctx, size_t thread, size_t threads) { return feature_l2_thread_loss(ctx, thread, threads); }

static void l2_delta(void *ctx, size_t thread, size_t threads)
{
    l2_run *r = ctx;
    feature_l2_thread_delta(&r->job, thread, threads, r->delta);
}

static void check_l2(l2_case k)
{
    l2_run r = l2_open(k);
    size_t n = r.job.n, blocks = blocks_of(n);
    float *before = mem_calloc(n, sizeof *before);
    double want = 0, got = 0;
    memcpy(before, r.delta, n * sizeof *before);
    for (size_t i = 0; i < n; ++i) want += pow(r.student[i] - plain_target(&r, i), 2);
    for (size_t b = 0; b < blocks; ++b) got += block_sum(l2_mine, &r.job, b, blocks * THREADS);
    check_close(got / want, 1, 1e-6, "loss", n);
    on_grid(blocks, l2_delta, &r);
    for (size_t i = 0; i < n; ++i)
        check_close(r.delta[i], before[i] + 2 * .3 * (plain_target(&r, i) - r.student[i]) + r.above[i], 1e-6, "delta", i);
    free(before);
    l2_close(&r);
}

static void test_feature_l2(void **state)
{
    (void)state;
    static const l2_case sizes[] = {
        { 1, 1, 1, 1, 1, 0 }, { 1, 5, 3, 17, 1, 0 }, { 1, 1, 16, 16, 1, 0 }, { 1, 1, 1, 257, 1, 0 },   /* 1, 255, 256, 257 threads */
        { 3, 4, 5, 6, 2, 0 }, { 2, 7, 11, 13, 1, 0 }, { 2, 3, 4, 5, 3, 0 },
    };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i)
        for (int t = 0; t < FEATURE_TYPES; ++t) {
            l2_case k = sizes[i];
            k.type = (feature_type)t;
            check_l2(k);
        }
}

/* ---- feature_l2 with pooled, normalise and metric ---- */

typedef struct metric_grid {
    feature_l2_metric_job job;
    feature_l2_job maps;
    size_t plane;
    float *delta;
} metric_grid;

static void grid_errors(void *ctx, size_t thread, size_t threads)
{
    metric_grid *g = ctx;
    if (!g->job.pooled) feature_l2_thread_errors(&g->job, &g->maps, thread, threads);
}
static void grid_means(void *ctx, size_t thread, size_t threads)
{
    metric_grid *g = ctx;
    feature_l2_thread_means(&g->job, &g->maps, g->plane, thread, threads);
}
static void grid_seen(void *ctx, size_t thread, size_t threads)
{
    feature_l2_thread_seen(&((metric_grid *)ctx)->job, thread, threads);
}
static void grid_pull(void *ctx, size_t thread, size_t threads)
{
    feature_l2_thread_pull(&((metric_grid *)ctx)->job, thread, threads);
}
static void grid_delta(void *ctx, size_t thread, size_t threads)
{
    metric_grid *g = ctx;
    feature_l2_thread_metric_delta(&g->job, g->maps.above, thread, threads, g->delta);
}
static double metric_mine(const void *ctx, size_t thread, size_t threads)
{
    return feature_l2_thread_metric(ctx, thread, threads);
}

/* The CPU's layer, with facts and weights that are made up. */
static network *metric_net(const l2_case *k, feature_l2_params p, const l2_run *run, feature_map *maps)
{
    char *cfg = mem_printf("[net]\nbatch=%d\nheight=%d\nwidth=%d\nchannels=%d\n[activation]\nactivation=linear\n"
                           "stopbackward=1\n[activation]\nactivation=linear\n", k->batch, k->h, k->w, k->c);
    network *net = check_parse(cfg);
    layer *l = &net->layers[1];
    diag *d = diag_new();
    assert_int_equal(make_feature_l2_layer(l, p, d), 0);
    check_no_errors(d);
    diag_free(d);
    free(cfg);
    size_t width = (size_t)(p.head == HEAD_MAP ? l->outputs : k->c);
    float *head = mem_calloc(5 * width, sizeof *head);
    check_fill(head, 5 * width, 9);
    if (p.head) set_feature_l2_head(l, head, 5, width);
    free(head);
    loss_facts *facts = feature_l2_facts(l);
    for (size_t i = 0; facts && i < facts->n; ++i) facts->value[i] = .2 + (double)(i % 3);
    if (facts) facts->known = 1;
    memcpy(net->input, run->student, run->job.n * sizeof(float));
    teach_feature_l2_layer(l, &(teaching){ .stored = maps });
    return net;
}

/* All steps over whole grids beside the CPU's layer, which test_feature_l2_metric.c holds against numpy. */
static void check_metric(l2_case k, feature_l2_params p)
{
    l2_run r = l2_open(k);
    feature_map maps[8];
    for (int b = 0; b < k.batch; ++b)
        maps[b] = feature_stored(k.type, k.c, r.stored + (size_t)b * r.job.stride);
    network *net = metric_net(&k, p, &r, maps);
    layer *l = &net->layers[1];
    size_t n = r.job.n, map = (size_t)(k.h * k.w);
    metric_grid g = { .job = feature_l2_metric_job_of(l), .maps = r.job, .plane = map * (size_t)(k.k * k.k), .delta = r.delta };
    float *room[4] = { mem_calloc(n, 4), mem_calloc(n, 4), mem_calloc(5 * n, 4), mem_calloc(n, 4) };
    g.job.error = room[0];
    g.job.means = room[1];
    g.job.seen = room[2];
    g.job.pull = room[3];
    network_forward(net, 2, 1);
    memcpy(l->delta, r.above, n * sizeof(float));
    memcpy(net->layers[0].delta, r.delta, n * sizeof(float));
    network at = *net;
    at.input = net->layers[0].output;
    at.delta = net->layers[0].delta;
    l->backward(*l, at);
    on_grid(blocks_of(n), grid_errors, &g);
    if (p.pooled || p.head == HEAD_MEANS) on_grid(blocks_of(g.job.batch * g.job.c), grid_means, &g);
    if (p.head) on_grid(blocks_of(g.job.batch * g.job.rows * g.job.places), grid_seen, &g);
    if (p.head) on_grid(blocks_of(g.job.batch * g.job.width * g.job.places), grid_pull, &g);
    double got = 0;
    size_t blocks = blocks_of(feature_l2_weighed(&g.job) + g.job.batch * g.job.rows * g.job.places);
    for (size_t b = 0; b < blocks; ++b) got += block_sum(metric_mine, &g.job, b, blocks * THREADS);
    on_grid(blocks_of(n), grid_delta, &g);
    check_close(got / *l->cost, 1, 1e-6, "loss", n);
    check_close_n(r.delta, net->layers[0].delta, n, 1e-6, "delta");
    for (int i = 0; i < 4; ++i) free(room[i]);
    free_feature_l2_layer(l);
    host_free(net);
    l2_close(&r);
}

static void test_feature_l2_keys(void **state)
{
    (void)state;
    static const l2_case sizes[] = { { 1, 1, 1, 1, 1, 0 }, { 3, 4, 5, 6, 2, 0 }, { 2, 7, 11, 13, 1, 0 }, { 5, 60, 1, 1, 1, 0 } };
    for (size_t i = 0; i < 4 * (size_t)FEATURE_TYPES * 16; ++i) {
        l2_case k = sizes[i % 4];
        k.type = (feature_type)(i / 4 % FEATURE_TYPES);
        size_t keys = i / 4 / FEATURE_TYPES;
        feature_l2_params p = { .scale = 2, .mean = k.h != 5, .target_pool = k.k, .c = k.c, .h = k.h, .w = k.w,
                                .pooled = keys & 1, .channel = keys >> 1 & 1, .head = (feature_l2_head)(keys >> 2) };
        if (!p.pooled && !p.channel && !p.head) continue;
        if (!p.pooled || p.head == HEAD_NONE || p.head == HEAD_MEANS) check_metric(k, p);
    }
}

/* ---- batch norm ---- */

typedef struct bn_run {
    bn_arrays a;
    layer l;           /* the same arrays, as the CPU's functions want them */
    int train;
} bn_run;

static float *filled(size_t n, uint64_t stream)
{
    float *x = mem_calloc(n, sizeof *x);
    check_fill(x, n, stream);
    return x;
}

static float *copied(const float *x, size_t n)
{
    float *y = mem_calloc(n, sizeof *y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

enum { BN_C_ARRAYS = 8 };

static void bn_lists(bn_run *r, float **ours[BN_C_ARRAYS], float **theirs[BN_C_ARRAYS])
{
    bn_arrays *a = &r->a;
    layer *l = &r->l;
    float **x[] = { &a->scales, &a->biases, &a->scale_updates, &a->bias_updates, &a->mean, &a->variance, &a->rolling_mean, &a->rolling_variance };
    float **y[] = { &l->scales, &l->biases, &l->scale_updates, &l->bias_updates, &l->mean, &l->variance, &l->rolling_mean, &l->rolling_variance };
    memcpy(ours, x, sizeof x);
    memcpy(theirs, y, sizeof y);
}

static bn_run bn_open(int batch, int c, int h, int w, int train)
{
    size_t n = (size_t)(batch * c * h * w);
    bn_run r = { .a = { .batch = (size_t)batch, .c = (size_t)c, .map = (size_t)(h * w), .rate = .1 }, .train = train };
    float **ours[BN_C_ARRAYS], **theirs[BN_C_ARRAYS];
    r.l = (layer){ .batch = batch, .out_c = c, .out_h = h, .out_w = w, .outputs = c * h * w, .n = c, .activation = LINEAR, .batch_normalize = 1 };
    bn_lists(&r, ours, theirs);
    for (int i = 0; i < BN_C_ARRAYS; ++i) {
        *ours[i] = filled((size_t)c, 20 + (uint64_t)i);
        for (int k = 0; i == BN_C_ARRAYS - 1 && k < c; ++k) (*ours[i])[k] = fabsf((*ours[i])[k]) + .2f;
        *theirs[i] = copied(*ours[i], (size_t)c);
    }
    r.a.delta_mean = filled((size_t)c, 30);
    r.a.delta_slope = filled((size_t)c, 31);
    r.a.y = filled(n, 32);
    r.a.x = mem_calloc(n, sizeof(float));
    r.a.delta = filled(n, 33);
    r.l.x = copied(r.a.y, n);
    r.l.output = mem_calloc(n, sizeof(float));
    r.l.delta = copied(r.a.delta, n);
    return r;
}

static void bn_close(bn_run *r)
{
    float **ours[BN_C_ARRAYS], **theirs[BN_C_ARRAYS];
    bn_lists(r, ours, theirs);
    for (int i = 0; i < BN_C_ARRAYS; ++i) free(*ours[i]), free(*theirs[i]);
    float *rest[] = { r->a.delta_mean, r->a.delta_slope, r->a.x, r->a.y, r->a.delta, r->l.x, r->l.output, r->l.delta };
    for (size_t i = 0; i < sizeof rest / sizeof *rest; ++i) free(rest[i]);
}

typedef struct channel_sum {
    const bn_arrays *a;
    bn_sum what;
    size_t c;
    double mean;
} channel_sum;

static double bn_mine(const void *ctx, size_t thread, size_t threads)
{
    const channel_sum *s = ctx;
    return bn_thread_sum(s->a, s->what, s->c, s->mean, thread, threads);
}

static double sum_of(const bn_arrays *a, bn_sum what, size_t c, double mean)
{
    channel_sum s = { a, what, c, mean };
    return block_sum(bn_mine, &s, 0, THREADS);
}

static void run_forward(void *ctx, size_t thread, size_t threads) { bn_run *r = ctx; bn_thread_forward(&r->a, thread, threads, r->train); }
static void run_backward(void *ctx, size_t thread, size_t threads) { bn_run *r = ctx; bn_thread_backward(&r->a, thread, threads, r->train); }

static void bn_statistics(bn_arrays a)
{
    a.x = a.y;
    for (size_t c = 0; c < a.c; ++c) {
        double mean = sum_of(&a, BN_SUM_X, c, 0) / (double)(a.batch * a.map);
        bn_keep_statistics(&a, c, mean, sum_of(&a, BN_SUM_SQUARES, c, mean));
    }
}

static void check_bn(int batch, int c, int h, int w, int train, float slope)
{
    bn_run r = bn_open(batch, c, h, w, train);
    size_t n = r.a.batch * r.a.c * r.a.map;
    float **ours[BN_C_ARRAYS], **theirs[BN_C_ARRAYS];
    r.a.slope = slope;
    if (train) bn_statistics(r.a);
    on_grid(blocks_of(n), run_forward, &r);
    if (train) batchnorm_forward_train(&r.l, r.l.x, r.l.output, .1f);
    else batchnorm_forward_inference(&r.l, r.l.x, r.l.output);
    for (size_t i = 0; i < n; ++i)
        if (r.l.output[i] < 0) r.l.output[i] *= slope;
    check_close_n(r.a.y, r.l.output, n, 2e-6, "batch norm's output, activated");
    if (train) check_close_n(r.a.x, r.l.x, n, 0, "its input is kept");
    for (size_t k = 0; train && k < r.a.c; ++k) bn_keep_sums(&r.a, k, sum_of(&r.a, BN_SUM_DELTA, k, 0), sum_of(&r.a, BN_SUM_WITH_X, k, r.a.mean[k]));
    on_grid(blocks_of(n), run_backward, &r);
    batchnorm_backward(&r.l, NULL, train, train);
    check_close_n(r.a.delta, r.l.delta, n, 5e-6, "batch norm's delta");
    bn_lists(&r, ours, theirs);
    for (int i = 0; i < BN_C_ARRAYS; ++i) check_close_n(*ours[i], *theirs[i], (size_t)c, 5e-6, "batch norm's arrays");
    bn_close(&r);
}

static void run_slope(void *ctx, size_t thread, size_t threads) { bn_run *r = ctx; bn_thread_slope(&r->a, thread, threads, r->train); }

/* An activation that the host lacks, which batch norm's kernels apply: the same from the same numbers. */
static void check_bn_activation(int train, int act)
{
    bn_run r = bn_open(2, 3, 4, 5, train);
    size_t n = r.a.batch * r.a.c * r.a.map;
    r.a.fork = act;
    r.a.keeps = 1;
    r.l.activation = (ACTIVATION)act;
    if (train) bn_statistics(r.a);
    on_grid(blocks_of(n), run_forward, &r);
    if (train) batchnorm_forward_train(&r.l, r.l.x, r.l.output, .1f);
    else batchnorm_forward_inference(&r.l, r.l.x, r.l.output);
    check_close_n(r.a.y, r.l.output, n, 2e-6, "batch norm's output, activated");
    check_close_n(r.a.x, r.l.x, n, 0, "its input is kept");
    on_grid(blocks_of(n), run_slope, &r);
    for (size_t k = 0; train && k < r.a.c; ++k) bn_keep_sums(&r.a, k, sum_of(&r.a, BN_SUM_DELTA, k, 0), sum_of(&r.a, BN_SUM_WITH_X, k, r.a.mean[k]));
    on_grid(blocks_of(n), run_backward, &r);
    batchnorm_backward(&r.l, NULL, train, train);
    check_close_n(r.a.delta, r.l.delta, n, 5e-6, "batch norm's delta");
    bn_close(&r);
}

static void test_batchnorm_activations(void **state)
{
    (void)state;
    for (int act = ACTIVATION_MISH; act <= ACTIVATION_GELU; ++act)
        for (int train = 0; train < 2; ++train) check_bn_activation(train, act);
}

static void test_batchnorm(void **state)
{
    (void)state;
    for (int train = 0; train < 2; ++train) {
        check_bn(2, 3, 4, 5, train, 0);
        check_bn(4, 5, 16, 16, train, .1f);   /* a channel has whole blocks of threads */
        check_bn(3, 2, 1, 257, train, 1);   /* and a tail */
        check_bn(5, 9, 1, 1, train, 1);
    }
}

/* One value a channel: no variance, and no NaN. */
static void test_batchnorm_of_one(void **state)
{
    (void)state;
    check_bn(1, 3, 1, 1, 1, 1);
}

/* ---- arrays ---- */

static void test_picked_pixels(void **state)
{
    (void)state;
    enum { MAPS = 3, H = 7, W = 5, S = 2, OH = 4, OW = 3 };
    size_t i = 0;
    for (int m = 0; m < MAPS; ++m)
        for (int y = 0; y < OH; ++y)
            for (int x = 0; x < OW; ++x) assert_int_equal(picked_at(i++, H, W, S, OH, OW), (m * H + y * S) * W + x * S);
}

/* Against the CPU's update, which test_update.c checks by hand. */
static void check_update(int optimiser)
{
    static void (*const element[])(const update_step *, float *, float *, float *, float *, size_t) = { update_sgd, update_adam, update_adamw };
    network *net = check_bound(optimiser ? "[net]\nbatch=4\nwidth=3\nheight=1\nchannels=1\nadam=1\n[convolutional]\nfilters=5\nsize=1\nstride=1\nactivation=linear\n"
                                         : "[net]\nbatch=4\nwidth=3\nheight=1\nchannels=1\n[convolutional]\nfilters=5\nsize=1\nstride=1\nactivation=linear\n",
                               BACKEND_REFERENCE, NULL);
    layer *l = &net->layers[0];
    update_args a = { .batch = 4, .learning_rate = .1f, .momentum = .9f, .decay = .5f, .adam = optimiser, .B1 = .9f, .B2 = .999f, .eps = 1e-3f, .t = 3 };
    update_step s = { .rate = .1f, .decay = .5f, .momentum = .9f, .batch = 4, .b1 = .9f, .b2 = .999f, .eps = 1e-3f,
                      .unbiased_rate = (float)(.1f / (1 - pow(.9, 3))), .unbias = (float)(1 / (1 - pow(.999, 3))) };
    float w[5], u[5], m[5] = { 0 }, v[5] = { 0 };
    check_fill(w, 5, 1);
    check_fill(u, 5, 2);
    memcpy(l->weights, w, sizeof w);
    memcpy(l->weight_updates, u, sizeof u);
    l->update(*l, a);
    for (size_t i = 0; i < 5; ++i) element[optimiser](&s, w, u, m, v, i);
    check_close_n(w, l->weights, 5, 1e-6, "updated weights");
    check_close_n(u, l->weight_updates, 5, 1e-6, "momentum");
    if (optimiser) check_close_n(v, l->v, 5, 1e-6, "second moment");
    check_release(net);
}

static void test_updates(void **state)
{
    (void)state;
    for (int optimiser = 0; optimiser < 3; ++optimiser) check_update(optimiser);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feature_l2),     cmocka_unit_test(test_feature_l2_keys),
        cmocka_unit_test(test_batchnorm), cmocka_unit_test(test_batchnorm_activations), cmocka_unit_test(test_batchnorm_of_one),
        cmocka_unit_test(test_picked_pixels),  cmocka_unit_test(test_updates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
