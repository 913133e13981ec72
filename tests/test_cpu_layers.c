/* Connected, shortcut, activation, avgpool, maxpool and dropout on the CPU backend. */
#include "layers/network.h"
#include "check_layers.h"

#include "layers/cpu/parallel.h"

/* The host's, exported but not in its header. */
float activate(float x, ACTIVATION a);
float gradient(float x, ACTIVATION a);

static const cpu_backend backends[] = { BACKEND_DNNL, BACKEND_REFERENCE };

/* ---- connected ---- */

static void connected_golden(void **unused)
{
    (void)unused;
    const char *cfg = "[net]\nbatch=2\nwidth=1\nheight=1\nchannels=2\n[activation]\nactivation=linear\n"
                      "[connected]\noutput=3\nactivation=relu\n";
    const float x[] = { 1, 2, 3, -1 }, w[] = { 1, 0, 0, 1, 2, -1 }, b[] = { 0, -3, .5f };
    const float y[] = { 1, 0, .5f, 3, 0, 7.5f };
    const float dx[] = { 3, -1, 3, -1 }, dw[] = { 4, 1, 0, 0, 4, 1 }, db[] = { 2, 0, 2 };
    for (size_t k = 0; k < 2; ++k) {
        network *net = check_bound(cfg, backends[k], NULL);
        layer *l = &net->layers[1];
        memcpy(net->layers[0].output, x, sizeof x);
        memcpy(l->weights, w, sizeof w);
        memcpy(l->biases, b, sizeof b);
        check_forward(net, 1, 1);
        check_close_n(l->output, y, 6, 1e-6, "output");
        for (int i = 0; i < 6; ++i) l->delta[i] = 1;
        check_backward(net, 1, 1);
        check_close_n(net->layers[0].delta, dx, 4, 1e-6, "delta");
        check_close_n(l->weight_updates, dw, 6, 1e-6, "weight updates");
        check_close_n(l->bias_updates, db, 3, 1e-6, "bias updates");
        check_release(net);
    }
}

static void connected_gradients(void **unused)
{
    (void)unused;
    static const conv_case cases[] = {
        { "connected", 4, 7, 1, 1, 5, 0, 0, 0, 0, 0, "linear", 0 },
        { "connected on a map", 2, 3, 3, 2, 4, 0, 0, 0, 0, 0, "leaky", 0 },
        { "connected batch 1", 1, 5, 1, 1, 3, 0, 0, 0, 0, 0, "relu", 0 },
        { "connected to one", 3, 2, 2, 2, 1, 0, 0, 0, 0, 0, "logistic", 0 },
        { "connected with bn", 5, 3, 2, 2, 4, 0, 0, 0, 0, 1, "relu", 0 },
    };
    for (size_t k = 0; k < 2; ++k)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
            conv_case_check(&cases[i], backends[k], CPU_TRAINED, 1);
            conv_case_check(&cases[i], backends[k], CPU_FROZEN_WEIGHTS, 1);
        }
}

/* ---- gradients of layers without weights, by central differences of the layer itself ---- */

/* All these layers are piecewise linear or smooth; with values on a grid of 1/8 and h = 1/64 the piecewise linear ones
 * are exact in floats; alpha=0.5 keeps sums of two off the kink. */
static double weighted(const network *net, int i, const float *k)
{
    double sum = 0;
    for (size_t at = 0; at < check_size(net, i); ++at) sum += (double)k[at] * net->layers[i].output[at];
    return sum;
}

static void fill_grid(float *x, size_t n, uint64_t stream)
{
    rng r = rng_make(stream, 0, 0, RNG_TEST);
    for (size_t i = 0; i < n; ++i) x[i] = ((float)rng_below(&r, 32) - 15.5f) / 8;
}

/* Layer `at` reads layers at-1 and `other` (or only at-1: other = -1); deltas start at 0.5 and must grow. */
static void check_differences(network *net, int at, int other, double tol, const char *name)
{
    const float h = 1.0f / 64;
    size_t ny = check_size(net, at);
    float *k = mem_calloc(ny, sizeof *k);
    fill_grid(k, ny, 70);
    int from[] = { at - 1, other };
    for (int s = 0; s < (other < 0 ? 1 : 2); ++s) {
        fill_grid(net->layers[from[s]].output, check_size(net, from[s]), 71 + (uint64_t)s);
        for (size_t i = 0; i < check_size(net, from[s]); ++i) net->layers[from[s]].delta[i] = .5f;
    }
    check_forward(net, at, 1);
    memcpy(net->layers[at].delta, k, ny * sizeof *k);
    check_backward(net, at, 1);
    for (int s = 0; s < (other < 0 ? 1 : 2); ++s)
        for (size_t i = 0; i < check_size(net, from[s]); ++i) {
            float *x = &net->layers[from[s]].output[i], keep = *x;
            *x = keep + h;
            check_forward(net, at, 1);
            double up = weighted(net, at, k);
            *x = keep - h;
            check_forward(net, at, 1);
            double down = weighted(net, at, k);
            *x = keep;
            check_close(net->layers[from[s]].delta[i] - .5, (up - down) / (2 * h), tol, name, i);
        }
    free(k);
}

/* ---- shortcut ---- */

/* Layer 0 is 4 channels of 8x8; layer 1 the other reader, layer 2 the one before the shortcut. */
static network *shortcut_net(const char *first, const char *second, const char *keys, cpu_backend b)
{
    char *cfg = mem_printf("[net]\nbatch=2\nwidth=8\nheight=8\nchannels=4\n%s%s[shortcut]\nfrom=0\n%s", first, second, keys);
    network *net = check_bound(cfg, b, NULL);
    free(cfg);
    return net;
}

#define SAME "[activation]\nactivation=linear\n"
#define HALF "[maxpool]\nsize=2\nstride=2\npadding=0\n"
#define NARROW "[convolutional]\nfilters=2\nsize=1\nstride=1\nactivation=linear\n"
#define WIDE_HALF "[convolutional]\nfilters=6\nsize=1\nstride=2\nactivation=linear\n"

static const struct {
    const char *name, *first, *second, *keys;
} shortcuts[] = {
    { "same", SAME, SAME, "activation=linear\n" },
    { "same relu", SAME, SAME, "alpha=0.5\nactivation=relu\n" },
    { "same alpha beta", SAME, SAME, "alpha=0.5\nbeta=-2\nactivation=leaky\n" },
    { "fewer channels", SAME, NARROW, "alpha=2\nbeta=3\nactivation=linear\n" },
    { "from fewer channels", NARROW, "[convolutional]\nfilters=4\nsize=1\nstride=1\nactivation=linear\n",
      "alpha=0.5\nactivation=leaky\n" },
    { "from larger", SAME, HALF, "beta=0.5\nactivation=linear\n" },
    { "from larger and narrower", SAME, WIDE_HALF, "activation=leaky\nalpha=0.5\n" },
    { "from smaller", HALF, "[upsample]\nstride=2\n", "alpha=0.5\nbeta=2\nactivation=linear\n" },
};
#define SHORTCUTS (sizeof shortcuts / sizeof *shortcuts)

static void shortcut_gradients(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < SHORTCUTS; ++i)
        for (size_t b = 0; b < 2; ++b) {
            network *net = shortcut_net(shortcuts[i].first, shortcuts[i].second, shortcuts[i].keys, backends[b]);
            check_differences(net, 2, 0, 1e-5, shortcuts[i].name);
            check_release(net);
        }
}

static void shortcut_agrees_with_host(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < SHORTCUTS; ++i)
        for (size_t b = 0; b < 2; ++b) {
            network *ours = shortcut_net(shortcuts[i].first, shortcuts[i].second, shortcuts[i].keys, backends[b]);
            network *host = shortcut_net(shortcuts[i].first, shortcuts[i].second, shortcuts[i].keys, BACKEND_HOST);
            for (int k = 0; k < 2; ++k) {
                check_fill(ours->layers[k].output, check_size(ours, k), 80 + (uint64_t)k);
                check_fill(host->layers[k].output, check_size(host, k), 80 + (uint64_t)k);
            }
            check_forward(ours, 2, 0);
            check_forward(host, 2, 0);
            check_close_n(ours->layers[2].output, host->layers[2].output, check_size(ours, 2), 1e-6, shortcuts[i].name);
            check_release(ours);
            check_release(host);
        }
}

/* Both sides of the shortcut are one layer: it gets both gradients. */
static void shortcut_to_its_own_input(void **unused)
{
    (void)unused;
    network *net = check_bound("[net]\nbatch=1\nwidth=1\nheight=1\nchannels=2\n[activation]\nactivation=linear\n"
                               "[shortcut]\nfrom=-1\nactivation=linear\n", BACKEND_DNNL, NULL);
    net->layers[1].delta[0] = 1, net->layers[1].delta[1] = -3;
    check_backward(net, 1, 1);
    check_close(net->layers[0].delta[0], 2, 0, "delta", 0);
    check_close(net->layers[0].delta[1], -6, 0, "delta", 1);
    check_release(net);
}

/* ---- activation ---- */

/* In the order of the host's ACTIVATION. */
static const char *const names[] = { "logistic", "relu", "relie", "linear", "ramp", "tanh", "plse",
                                     "leaky", "elu", "loggy", "stair", "hardtan", "lhtan", "selu" };

static network *activation_net(const char *name, cpu_backend b)
{
    char *cfg = mem_printf("[net]\nbatch=1\nwidth=8\nheight=4\nchannels=1\n[activation]\nactivation=linear\n"
                           "[activation]\nactivation=%s\n", name);
    network *net = check_bound(cfg, b, NULL);
    free(cfg);
    return net;
}

static void every_activation_agrees_with_host(void **unused)
{
    (void)unused;
    for (size_t k = 0; k < sizeof names / sizeof *names; ++k) {
        network *net = activation_net(names[k], BACKEND_DNNL);
        layer *l = &net->layers[1];
        assert_int_equal(l->activation, (int)k);
        float *x = net->layers[0].output;
        check_fill(x, 32, 90);
        for (int i = 0; i < 32; ++i) x[i] *= 6;
        check_forward(net, 1, 1);
        for (size_t i = 0; i < 32; ++i) {
            check_close(l->output[i], activate(x[i], l->activation), 1e-6, names[k], i);
            l->delta[i] = 2;
            net->layers[0].delta[i] = 1;
        }
        check_backward(net, 1, 1);   /* adds, where the host overwrites */
        for (size_t i = 0; i < 32; ++i)
            check_close(net->layers[0].delta[i], 1 + 2 * gradient(l->output[i], l->activation), 1e-6, names[k], i);
        check_release(net);
    }
}

static void activation_passes_nan(void **unused)
{
    (void)unused;
    static const char *const common[] = { "relu", "leaky", "linear", "logistic", "tanh" };
    for (size_t k = 0; k < 5; ++k) {
        network *net = activation_net(common[k], BACKEND_DNNL);
        for (int i = 0; i < 32; ++i) net->layers[0].output[i] = i % 2 ? NAN : -1;
        check_forward(net, 1, 1);
        for (int i = 0; i < 32; ++i) assert_int_equal(!!isnan(net->layers[1].output[i]), i % 2);
        check_release(net);
    }
}

/* The host's tanh is infinity over infinity there. */
static void tanh_of_large_values(void **unused)
{
    (void)unused;
    network *net = activation_net("tanh", BACKEND_DNNL);
    net->layers[0].output[0] = 1000, net->layers[0].output[1] = -1000;
    check_forward(net, 1, 1);
    check_close(net->layers[1].output[0], 1, 0, "tanh", 0);
    check_close(net->layers[1].output[1], -1, 0, "tanh", 1);
    check_release(net);
}

/* ---- pooling ---- */

static void avgpool(void **unused)
{
    (void)unused;
    network *net = check_bound("[net]\nbatch=2\nwidth=3\nheight=2\nchannels=2\n[activation]\nactivation=linear\n[avgpool]\n",
                               BACKEND_DNNL, NULL);
    for (int i = 0; i < 24; ++i) net->layers[0].output[i] = (float)i;
    check_forward(net, 1, 1);
    const float mean[] = { 2.5f, 8.5f, 14.5f, 20.5f };
    check_close_n(net->layers[1].output, mean, 4, 1e-7, "mean");
    check_differences(net, 1, -1, 1e-5, "avgpool");
    check_release(net);
}

static void maxpool_agrees_with_host(void **unused)
{
    (void)unused;
    static const char *const keys[] = { "size=2\nstride=2\n", "size=2\nstride=1\n", "size=3\nstride=2\npadding=1\n",
                                        "size=3\nstride=1\n", "size=1\nstride=2\n", "size=5\nstride=3\npadding=4\n" };
    for (size_t k = 0; k < sizeof keys / sizeof *keys; ++k) {
        char *cfg = mem_printf("[net]\nbatch=2\nwidth=7\nheight=6\nchannels=3\n[activation]\nactivation=linear\n[maxpool]\n%s",
                               keys[k]);
        network *ours = check_bound(cfg, BACKEND_DNNL, NULL), *host = check_bound(cfg, BACKEND_HOST, NULL);
        fill_grid(ours->layers[0].output, check_size(ours, 0), 91);   /* many equal values: the first must win */
        fill_grid(host->layers[0].output, check_size(host, 0), 91);
        check_forward(ours, 1, 1);
        check_forward(host, 1, 1);
        size_t n = check_size(ours, 1);
        assert_int_equal(n, check_size(host, 1));
        check_close_n(ours->layers[1].output, host->layers[1].output, n, 0, "maxpool");
        check_fill(ours->layers[1].delta, n, 92);
        check_fill(host->layers[1].delta, n, 92);
        check_backward(ours, 1, 1);
        check_backward(host, 1, 1);
        check_close_n(ours->layers[0].delta, host->layers[0].delta, check_size(ours, 0), 1e-6, "maxpool delta");
        check_release(ours);
        check_release(host);
        free(cfg);
    }
}

static void maxpool_of_nan_stays_inside(void **unused)
{
    (void)unused;
    network *net = check_bound("[net]\nbatch=1\nwidth=2\nheight=2\nchannels=1\n[activation]\nactivation=linear\n"
                               "[maxpool]\nsize=2\nstride=2\n", BACKEND_DNNL, NULL);
    for (int i = 0; i < 4; ++i) net->layers[0].output[i] = NAN;
    net->layers[1].delta[0] = 1;
    check_forward(net, 1, 1);
    assert_true(isnan(net->layers[1].output[0]));
    check_backward(net, 1, 1);
    assert_in_range(net->layers[1].indexes[0], 0, 3);
    check_release(net);
}

/* ---- dropout ---- */

static network *dropout_net(const char *p)
{
    char *cfg = mem_printf("[net]\nbatch=4\nwidth=32\nheight=32\nchannels=16\n[activation]\nactivation=linear\n"
                           "[dropout]\nprobability=%s\n", p);
    network *net = check_bound(cfg, BACKEND_DNNL, NULL);
    free(cfg);
    return net;
}

static void dropout(void **unused)
{
    (void)unused;
    network *net = dropout_net("0.25");
    layer *x = &net->layers[0], *y = &net->layers[1];
    size_t n = check_size(net, 1), dropped = 0;
    assert_ptr_not_equal(x->output, y->output);
    assert_ptr_equal(net->output, y->output);
    for (size_t i = 0; i < n; ++i) x->output[i] = 3, y->delta[i] = 1, x->delta[i] = 10;
    check_forward(net, 1, 1);
    check_backward(net, 1, 1);
    for (size_t i = 0; i < n; ++i) {
        assert_true(y->output[i] == 0 || y->output[i] == 4);
        check_close(x->delta[i], y->output[i] ? 10 + 4.0 / 3 : 10, 1e-6, "delta", i);
        dropped += y->output[i] == 0;
    }
    check_close((double)dropped / (double)n, .25, .01, "share dropped", 0);
    for (size_t i = 0; i < n; ++i) assert_true(x->output[i] == 3);   /* the input is left alone */
    check_forward(net, 1, 0);
    check_close_n(y->output, x->output, n, 0, "inference copies");
    check_release(net);
}

static float *mask(network *net, size_t seen)
{
    size_t n = check_size(net, 1);
    float *m = mem_calloc(n, sizeof *m);
    for (size_t i = 0; i < n; ++i) net->layers[0].output[i] = 1;
    *net->seen = seen;
    check_forward(net, 1, 1);
    memcpy(m, net->layers[1].output, n * sizeof *m);
    return m;
}

static void dropout_is_keyed(void **unused)
{
    (void)unused;
    network *net = dropout_net("0.5");
    size_t bytes = check_size(net, 1) * sizeof(float);
    parallel_set_threads(1);
    float *a = mask(net, 64), *b = mask(net, 128);
    parallel_set_threads(2);
    float *again = mask(net, 64);
    parallel_set_threads(0);
    assert_memory_equal(a, again, bytes);
    assert_memory_not_equal(a, b, bytes);
    cpu_unbind(net);
    diag *d = diag_new();
    assert_int_equal(cpu_bind(net, &(cpu_options){ .seed = 8 }, d), 0);
    float *seed = mask(net, 64);
    assert_memory_not_equal(a, seed, bytes);
    diag_free(d);
    free(a), free(b), free(again), free(seed);
    check_release(net);
}

/* The layer before has its own activation, whose slope reads its output: that must not be the dropped one. */
static void dropout_after_activation(void **unused)
{
    (void)unused;
    network *net = check_bound("[net]\nbatch=1\nwidth=8\nheight=8\nchannels=4\n[activation]\nactivation=logistic\n"
                               "[dropout]\nprobability=0.5\n[dropout]\nprobability=0.5\n[avgpool]\n", BACKEND_DNNL, NULL);
    assert_ptr_not_equal(net->layers[1].output, net->layers[2].output);
    check_fill(net->input, 256, 93);
    network_forward(net, 4, 1);
    for (size_t i = 0; i < 256; ++i)
        check_close(net->layers[0].output[i], 1 / (1 + exp(-net->input[i])), 1e-6, "predecessor", i);
    check_release(net);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(connected_golden), cmocka_unit_test(connected_gradients),
        cmocka_unit_test(shortcut_gradients), cmocka_unit_test(shortcut_agrees_with_host),
        cmocka_unit_test(shortcut_to_its_own_input), cmocka_unit_test(every_activation_agrees_with_host),
        cmocka_unit_test(activation_passes_nan), cmocka_unit_test(tanh_of_large_values), cmocka_unit_test(avgpool),
        cmocka_unit_test(maxpool_agrees_with_host), cmocka_unit_test(maxpool_of_nan_stays_inside),
        cmocka_unit_test(dropout), cmocka_unit_test(dropout_is_keyed), cmocka_unit_test(dropout_after_activation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
