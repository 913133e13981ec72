/* Convolution: golden values, every gradient, strides, groups, odd sizes; oneDNN against the plain loops against the host. */
#include "layers/network.h"
#include "check_layers.h"

#include "layers/cpu/parallel.h"

#include <pthread.h>
#include <unistd.h>

int resize_network(network *net, int w, int h);

static const cpu_backend backends[] = { BACKEND_DNNL, BACKEND_REFERENCE };

static const conv_case cases[] = {
    { "3x3", 2, 3, 5, 6, 4, 3, 1, 1, 1, 0, "linear", 0 },
    { "3x3 relu", 2, 3, 6, 5, 8, 3, 1, 1, 1, 0, "relu", 0 },
    { "3x3 unpadded", 2, 2, 5, 5, 3, 3, 1, 0, 1, 0, "leaky", 0 },
    { "3x3 stride 2", 2, 8, 7, 5, 4, 3, 2, 1, 1, 0, "leaky", 0 },
    { "3x3 stride 3", 1, 3, 8, 9, 5, 3, 3, 1, 1, 0, "linear", 0 },
    { "stride leaves a rest", 2, 2, 8, 8, 3, 3, 2, 1, 1, 0, "linear", 0 },
    { "1x1", 2, 5, 4, 3, 7, 1, 1, 0, 1, 0, "logistic", 0 },
    { "1x1 stride 2", 2, 5, 7, 6, 7, 1, 2, 0, 1, 0, "linear", 0 },
    { "1x1 stride 3", 1, 16, 7, 7, 16, 1, 3, 0, 1, 0, "tanh", 0 },
    { "1x1 padded", 1, 2, 3, 3, 2, 1, 1, 1, 1, 0, "linear", 0 },
    { "1x1 on 1x1", 3, 9, 1, 1, 5, 1, 1, 0, 1, 0, "relu", 0 },
    { "2x2 stride 2", 2, 3, 6, 6, 4, 2, 2, 0, 1, 0, "linear", 0 },
    { "5x5 on less", 1, 2, 3, 4, 2, 5, 1, 2, 1, 0, "linear", 0 },
    { "two groups", 2, 6, 5, 5, 4, 3, 1, 1, 2, 0, "linear", 0 },
    { "groups of 8 with stride", 2, 16, 6, 6, 16, 3, 2, 1, 2, 0, "linear", 0 },
    { "grouped 1x1", 2, 6, 4, 4, 9, 1, 1, 0, 3, 0, "linear", 0 },
    { "depthwise", 2, 5, 6, 7, 5, 3, 1, 1, 5, 0, "relu", 0 },
    { "depthwise stride 2", 2, 16, 7, 7, 16, 3, 2, 1, 16, 0, "linear", 0 },
    { "depthwise twice as many", 1, 4, 5, 5, 8, 3, 1, 1, 4, 0, "linear", 0 },
    { "pooling 2x2 depthwise", 1, 4, 6, 6, 4, 2, 2, 0, 4, 0, "linear", 0 },
    { "one pixel", 1, 1, 1, 1, 1, 3, 1, 1, 1, 0, "linear", 0 },
};

static void gradients(void **unused)
{
    (void)unused;
    for (size_t b = 0; b < 2; ++b)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) conv_case_check(&cases[i], backends[b], CPU_TRAINED, 1);
}

static void frozen_weights_pass_gradients(void **unused)
{
    (void)unused;
    for (size_t b = 0; b < 2; ++b)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
            conv_case_check(&cases[i], backends[b], CPU_FROZEN_WEIGHTS, 1);
}

/* 1 2 3 / 4 5 6 / 7 8 9 with the filter 1 0 / 0 -1: each output is x - (its lower right neighbour) = -4. */
static void golden(void **unused)
{
    (void)unused;
    const char *cfg = "[net]\nbatch=1\nwidth=3\nheight=3\nchannels=1\n"
                      "[convolutional]\nfilters=2\nsize=2\nstride=1\nactivation=leaky\n";
    const float filters[] = { 1, 0, 0, -1, 0, 0, 0, 1 };
    const float y[] = { -.35f, -.35f, -.35f, -.35f, 6, 7, 9, 10 };
    for (size_t b = 0; b < 2; ++b) {
        network *net = check_bound(cfg, backends[b], NULL);
        layer *l = &net->layers[0];
        for (int i = 0; i < 9; ++i) net->input[i] = (float)(i + 1);
        memcpy(l->weights, filters, sizeof filters);
        l->biases[0] = .5f, l->biases[1] = 1;
        check_forward(net, 0, 0);
        check_close_n(l->output, y, 8, 1e-6, "output");
        for (int i = 0; i < 8; ++i) l->delta[i] = 1;
        check_backward(net, 0, 1);   /* first layer: no delta to pass to */
        const float dw[] = { 1.2f, 1.6f, 2.4f, 2.8f, 12, 16, 24, 28 }, db[] = { .4f, 4 };
        check_close_n(l->weight_updates, dw, 8, 1e-6, "weight updates");
        check_close_n(l->bias_updates, db, 2, 1e-6, "bias updates");
        check_release(net);
    }
}

/* The host ignores the stride of 1x1 convolutions. */
static void strided_1x1_golden(void **unused)
{
    (void)unused;
    const char *cfg = "[net]\nbatch=1\nwidth=3\nheight=3\nchannels=1\n"
                      "[convolutional]\nfilters=1\nsize=1\nstride=2\nactivation=linear\n";
    const float y[] = { 2, 6, 14, 18 };
    for (size_t b = 0; b < 2; ++b) {
        network *net = check_bound(cfg, backends[b], NULL);
        for (int i = 0; i < 9; ++i) net->input[i] = (float)(i + 1);
        net->layers[0].weights[0] = 2;
        check_forward(net, 0, 0);
        check_close_n(net->layers[0].output, y, 4, 1e-6, "output");
        check_release(net);
    }
}

/* A 1x1 convolution and a shortcut read the same layer: both gradients must arrive. */
static void two_readers(void **unused)
{
    (void)unused;
    const char *cfg = "[net]\nbatch=1\nwidth=1\nheight=1\nchannels=1\n[activation]\nactivation=linear\n"
                      "[convolutional]\nfilters=1\nsize=1\nstride=1\nactivation=linear\n"
                      "[shortcut]\nfrom=-2\nactivation=linear\n";
    for (size_t b = 0; b < 2; ++b) {
        network *net = check_bound(cfg, backends[b], NULL);
        net->layers[1].weights[0] = .5f;
        net->input[0] = 3;
        network_forward(net, 3, 1);
        check_close(net->layers[2].output[0], 4.5, 1e-6, "sum", 0);
        net->layers[2].delta[0] = 1;
        network_backward(net, 3);
        check_close(net->layers[0].delta[0], 1.5, 1e-6, "delta", 0);
        check_release(net);
    }
}

static const conv_case larger[] = {
    { "first", 4, 3, 32, 32, 16, 3, 1, 1, 1, 1, "relu", 0 },
    { "wide", 4, 32, 16, 16, 64, 3, 2, 1, 1, 1, "leaky", 0 },
    { "odd", 3, 13, 17, 15, 21, 3, 1, 1, 1, 0, "relu", 0 },
    { "1x1", 4, 64, 8, 8, 32, 1, 1, 0, 1, 1, "relu", 0 },
    { "1x1 stride", 4, 24, 9, 9, 40, 1, 2, 0, 1, 1, "linear", 0 },
    { "depthwise", 4, 32, 14, 14, 32, 3, 1, 1, 32, 1, "relu", 0 },
    { "depthwise 5x5", 4, 32, 14, 14, 32, 5, 1, 2, 32, 1, "leaky", 0 },
    { "grouped", 4, 32, 14, 14, 32, 3, 1, 1, 4, 0, "logistic", 0 },
    { "odd, whole", 3, 40, 5, 5, 48, 3, 1, 1, 1, 0, "leaky", 0 },
    { "connected", 16, 7, 3, 3, 50, 0, 0, 0, 0, 0, "linear", 0 },
};
#define LARGER (sizeof larger / sizeof *larger)

typedef struct run {
    size_t ny, nx, nw, nc;
    float *y, *dx, *dw, *db, *inference;
} run;

static float *copied(const float *x, size_t n)
{
    float *y = mem_calloc(n, sizeof *y);
    memcpy(y, x, n * sizeof *y);
    return y;
}

/* A share for each of two threads: how many of them the caller has, and what the other one waits for, in microseconds. */
typedef struct shares { pthread_t caller; useconds_t waits; int mine[2]; } shares;

static void take_share(void *ctx, size_t begin, size_t end)
{
    shares *all = ctx;
    int mine = pthread_equal(pthread_self(), all->caller);
    if (!mine && all->waits) usleep(all->waits);
    for (size_t i = begin; i < end; ++i) all->mine[i] = mine;
}

static int caller_alone(useconds_t waits)
{
    shares all = { .caller = pthread_self(), .waits = waits };
    parallel_for(2, take_share, &all);
    return all.mine[0] && all.mine[1];
}

/* From here on the caller computes everything itself, for some milliseconds, twice as long for each of `longer`: the other
 * thread has kept it waiting. */
static void go_alone(int longer)
{
    for (int k = 0; k <= longer; ++k) {
        while (k && caller_alone(0)) usleep(1000);
        for (int i = 0; i < 200 && !caller_alone(0); ++i) caller_alone(5000);
    }
}

/* `alone`, in: that the other thread keeps the caller waiting before each pass, 1 and how much longer; out: that it was alone
 * after each. */
static run run_case(const conv_case *k, cpu_backend backend, int threads, int *alone)
{
    int wanted = alone && *alone;
    parallel_set_threads(threads);
    network *net = conv_case_net(k, backend, CPU_TRAINED);
    layer *l = &net->layers[1];
    run r = { .ny = check_size(net, 1), .nx = check_size(net, 0), .nc = (size_t)l->out_c,
              .nw = (size_t)(k->size ? l->nweights : l->inputs * l->outputs) };
    check_fill(net->layers[0].output, r.nx, 40);
    for (int pass = 0; pass < 3; ++pass) {
        if (pass == 2) check_fill(l->delta, r.ny, 41);
        if (wanted) go_alone(wanted - 1);
        if (pass < 2) check_forward(net, 1, pass);
        else check_backward(net, 1, 1);
        if (wanted && !caller_alone(0)) *alone = 0;
        if (pass < 2) *(pass ? &r.y : &r.inference) = copied(l->output, r.ny);
    }
    r.dx = copied(net->layers[0].delta, r.nx);
    r.dw = copied(l->weight_updates, r.nw);
    r.db = copied(l->bias_updates, r.nc);
    check_release(net);
    parallel_set_threads(0);
    return r;
}

static void free_run(run *r)
{
    float *all[] = { r->y, r->dx, r->dw, r->db, r->inference };
    for (size_t i = 0; i < 5; ++i) free(all[i]);
}

/* Largest difference relative to the largest value. */
static void check_alike(const float *a, const float *b, size_t n, double tol, const char *name, const char *what)
{
    double largest = 0, apart = 0;
    for (size_t i = 0; i < n; ++i) {
        assert_false(isnan(a[i]));
        largest = fmax(largest, fabs(b[i]));
        apart = fmax(apart, fabs((double)a[i] - b[i]));
    }
    assert_true(largest > 0);
    if (!(apart <= tol * largest)) fail_msg("%s, %s: %g apart, largest %g", name, what, apart, largest);
}

static void check_runs(const run *a, const run *b, double tol, const char *name)
{
    check_alike(a->inference, b->inference, a->ny, tol, name, "inference");
    check_alike(a->y, b->y, a->ny, tol, name, "output");
    check_alike(a->dx, b->dx, a->nx, tol, name, "input gradient");
    check_alike(a->dw, b->dw, a->nw, tol, name, "weight gradient");
    check_alike(a->db, b->db, a->nc, tol, name, "bias gradient");
}

static void dnnl_agrees_with_reference(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < LARGER; ++i) {
        run a = run_case(&larger[i], BACKEND_DNNL, 0, NULL), b = run_case(&larger[i], BACKEND_REFERENCE, 0, NULL);
        check_runs(&a, &b, 5e-6, larger[i].name);
        free_run(&a);
        free_run(&b);
    }
}

static void threads_change_nothing(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < LARGER; ++i)
        for (size_t b = 0; b < 2; ++b) {
            run one = run_case(&larger[i], backends[b], 1, NULL);
            for (int threads = 2; threads <= 3; ++threads) {   /* of three, shares are of one image and two */
                run more = run_case(&larger[i], backends[b], threads, NULL);
                check_runs(&one, &more, backends[b] == BACKEND_REFERENCE ? 0 : 2e-6, larger[i].name);
                free_run(&more);
            }
            free_run(&one);
        }
}

/* Beside a busy program one thread computes what two would have, oneDNN's part included: not a bit is another. */
static void alone_to_the_same_bits(void **unused)
{
    (void)unused;
    parallel_set_threads(2);
    if (parallel_threads() < 2) skip();   /* built without OpenMP */
    for (size_t i = 0; i < LARGER; ++i)
        for (size_t b = 0; b < 2; ++b) {
            run two = run_case(&larger[i], backends[b], 2, NULL), one = { 0 };
            int alone = 0;
            for (int tries = 0; tries < 200 && !alone; ++tries) {
                free_run(&one);
                alone = 1 + (tries < 6 ? tries : 6);
                one = run_case(&larger[i], backends[b], 2, &alone);
            }
            assert_true(alone);
            check_runs(&one, &two, 0, larger[i].name);
            free_run(&one);
            free_run(&two);
        }
}

/* Stock Darknet, where it is right. */
static void inference_agrees_with_host(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < LARGER; ++i) {
        if (larger[i].size == 1 && larger[i].stride > 1) continue;
        network *host = conv_case_net(&larger[i], BACKEND_HOST, CPU_TRAINED);
        assert_string_equal(cpu_layer_runs_on(&host->layers[1]), "host");
        for (size_t b = 0; b < 2; ++b) {
            network *ours = conv_case_net(&larger[i], backends[b], CPU_FROZEN);
            check_fill(host->layers[0].output, check_size(host, 0), 50);
            check_fill(ours->layers[0].output, check_size(ours, 0), 50);
            check_forward(host, 1, 0);
            memset(ours->layers[1].output, 0, check_size(ours, 1) * sizeof(float));
            check_forward(ours, 1, 1);
            for (size_t k = 0; k < check_size(ours, 1); ++k) assert_true(ours->layers[1].output[k] == 0);   /* frozen: skipped while training */
            check_forward(ours, 1, 0);
            check_alike(ours->layers[1].output, host->layers[1].output, check_size(ours, 1), 3e-6, larger[i].name, "host");
            check_release(ours);
        }
        check_release(host);
    }
}

static const char *resizable(int size)
{
    static char cfg[512];
    snprintf(cfg, sizeof cfg, "[net]\nbatch=2\nwidth=%d\nheight=%d\nchannels=3\n"
             "[convolutional]\nfilters=6\nsize=3\nstride=2\npad=1\nbatch_normalize=1\nactivation=relu\n"
             "[convolutional]\nfilters=5\nsize=3\nstride=1\npad=1\nactivation=leaky\n"
             "[shortcut]\nfrom=-1\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n[avgpool]\n", size, size);
    return cfg;
}

static void train_once(network *net, int w)
{
    cpu_init_weights(net, 0, net->n, 5);
    check_fill(net->input, (size_t)(net->batch * 3 * w * w), 51);
    network_forward(net, net->n, 1);
    check_fill(net->layers[4].delta, check_size(net, 4), 52);
    network_backward(net, net->n);
}

static void follows_resize_and_batch(void **unused)
{
    (void)unused;
    for (size_t b = 0; b < 2; ++b) {
        network *a = check_bound(resizable(8), backends[b], NULL), *fresh = check_bound(resizable(14), backends[b], NULL);
        train_once(a, 8);
        memset(a->layers[0].weight_updates, 0, (size_t)a->layers[0].nweights * sizeof(float));
        resize_network(a, 14, 14);
        train_once(a, 14);
        train_once(fresh, 14);
        check_close_n(a->layers[4].output, fresh->layers[4].output, check_size(a, 4), 0, "output after resize");
        check_close_n(a->layers[0].weight_updates, fresh->layers[0].weight_updates, (size_t)a->layers[0].nweights, 1e-6,
                      "gradient after resize");
        float first[10];
        network_forward(a, 5, 0);
        memcpy(first, a->layers[4].output, sizeof first);
        set_batch_network(a, 1);
        network_forward(a, 5, 0);
        check_close_n(a->layers[4].output, first, 5, 1e-6, "output of a smaller batch");
        check_release(a);
        check_release(fresh);
    }
}

static void frozen_stays(void **unused)
{
    (void)unused;
    conv_case k = { "frozen", 2, 3, 5, 5, 4, 3, 1, 1, 1, 1, "relu", 0 };
    network *net = conv_case_net(&k, BACKEND_DNNL, CPU_FROZEN);
    layer *l = &net->layers[1];
    assert_null(l->update);
    check_fill(net->input, check_size(net, 0), 60);
    float *w = copied(l->weights, (size_t)l->nweights), *mean = copied(l->rolling_mean, 4);
    for (int i = 0; i < 5; ++i) {
        network_forward(net, 2, 1);
        check_fill(l->delta, check_size(net, 1), 61);
        network_backward(net, 2);
        network_update(net, 2);
    }
    assert_memory_equal(l->weights, w, (size_t)l->nweights * sizeof *w);
    assert_memory_equal(l->rolling_mean, mean, 4 * sizeof *mean);
    for (size_t i = 0; i < check_size(net, 0); ++i) assert_true(net->layers[0].delta[i] == 0);
    free(w);
    free(mean);
    check_release(net);
}

static void says_who_computes(void **unused)
{
    (void)unused;
    const char *cfg = "[net]\nbatch=1\nwidth=4\nheight=4\nchannels=1\n"
                      "[convolutional]\nfilters=2\nsize=3\npad=1\nstride=1\nactivation=relu\n"
                      "[convolutional]\nfilters=2\nsize=3\npad=1\nstride=1\nactivation=relu\nxnor=1\n"
                      "[upsample]\nstride=2\n[avgpool]\n";
    cpu_mode mode[] = { CPU_TRAINED, CPU_TRAINED, CPU_FROZEN, CPU_TRAINED };
    network *net = check_bound(cfg, BACKEND_DNNL, mode);
#ifdef DNNL
    assert_string_equal(cpu_layer_runs_on(&net->layers[0]), "oneDNN");
#else
    assert_string_equal(cpu_layer_runs_on(&net->layers[0]), "plugin");
#endif
    assert_string_equal(cpu_layer_runs_on(&net->layers[1]), "host");
    assert_string_equal(cpu_layer_runs_on(&net->layers[2]), "host");
    assert_string_equal(cpu_layer_runs_on(&net->layers[3]), "plugin");
    cpu_unbind(net);
    assert_string_equal(cpu_layer_runs_on(&net->layers[0]), "host");
    assert_null(net->layers[0].self_layer);
    host_free(net);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden), cmocka_unit_test(strided_1x1_golden), cmocka_unit_test(gradients),
        cmocka_unit_test(frozen_weights_pass_gradients), cmocka_unit_test(two_readers),
        cmocka_unit_test(dnnl_agrees_with_reference), cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(alone_to_the_same_bits),
        cmocka_unit_test(inference_agrees_with_host), cmocka_unit_test(follows_resize_and_batch),
        cmocka_unit_test(frozen_stays), cmocka_unit_test(says_who_computes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
