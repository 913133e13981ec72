/* Batch norm: hand-made values, the exact gradient, running statistics, inference mode, and its degenerate cases. */
#include "layers/network.h"
#include "check_layers.h"

static const cpu_backend backends[] = { BACKEND_DNNL, BACKEND_REFERENCE };

static const conv_case cases[] = {
    { "bn", 2, 3, 4, 5, 4, 3, 1, 1, 1, 1, "linear", 0 },
    { "bn relu", 3, 2, 5, 5, 8, 3, 1, 1, 1, 1, "relu", 0 },
    { "bn leaky", 2, 4, 6, 5, 5, 3, 2, 1, 1, 1, "leaky", 0 },
    { "bn logistic", 2, 2, 3, 3, 2, 1, 1, 0, 1, 1, "logistic", 0 },
    { "bn tanh stride 3", 2, 2, 7, 7, 3, 3, 3, 1, 1, 1, "tanh", 0 },
    { "bn depthwise", 2, 16, 4, 4, 16, 3, 1, 1, 16, 1, "leaky", 0 },
    { "bn batch 1", 1, 3, 5, 4, 3, 3, 1, 1, 1, 1, "leaky", 0 },
    { "bn 8 values", 8, 3, 1, 1, 4, 1, 1, 0, 1, 1, "linear", 0 },
    { "bn 1x1 stride 2", 2, 3, 5, 5, 9, 1, 2, 0, 1, 1, "relu", 0 },
    { "bn connected", 6, 5, 1, 1, 3, 0, 0, 0, 0, 1, "leaky", 0 },
};
#define CASES (sizeof cases / sizeof *cases)

static void gradients_in_training(void **unused)
{
    (void)unused;
    for (size_t b = 0; b < 2; ++b)
        for (size_t i = 0; i < CASES; ++i) conv_case_check(&cases[i], backends[b], CPU_TRAINED, 1);
}

static void gradients_in_inference(void **unused)
{
    (void)unused;
    for (size_t b = 0; b < 2; ++b)
        for (size_t i = 0; i < CASES; ++i) {
            conv_case_check(&cases[i], backends[b], CPU_TRAINED, 0);
            conv_case_check(&cases[i], backends[b], CPU_FROZEN_WEIGHTS, 1);
        }
}

/* One channel, 1x1 identity convolution: what goes in is what batch norm sees. */
static network *identity(int batch, int size, cpu_backend backend)
{
    char cfg[256];
    snprintf(cfg, sizeof cfg, "[net]\nbatch=%d\nwidth=%d\nheight=%d\nchannels=1\n[activation]\nactivation=linear\n"
             "[convolutional]\nfilters=1\nsize=1\nstride=1\nbatch_normalize=1\nactivation=linear\n", batch, size, size);
    network *net = check_bound(cfg, backend, NULL);
    net->layers[1].weights[0] = 1;
    return net;
}

/* 1 2 3 6: mean 3, variance 14/4 over N and 14/3 over N-1. */
static void golden(void **unused)
{
    (void)unused;
    const float x[] = { 1, 2, 3, 6 };
    for (size_t b = 0; b < 2; ++b) {
        network *net = identity(4, 1, backends[b]);
        layer *l = &net->layers[1];
        l->scales[0] = 2, l->biases[0] = 10;
        memcpy(net->layers[0].output, x, sizeof x);
        check_forward(net, 1, 1);
        for (size_t i = 0; i < 4; ++i) check_close(l->output[i], 10 + 2 * (x[i] - 3) / (sqrt(3.5) + 1e-6), 1e-6, "output", i);
        check_close(l->rolling_mean[0], 3, 1e-6, "running mean", 0);
        check_close(l->rolling_variance[0], 14.0 / 3, 1e-6, "running variance", 0);
        const float dy[] = { 1, 0, 0, 0 };
        memcpy(l->delta, dy, sizeof dy);
        check_backward(net, 1, 1);
        /* dy - mean 1/4 - h * mean(dy h): h = (-2 -1 0 3) / s, mean(dy h) = -1 / (2 s) */
        const double s2 = 3.5, g = 2 / sqrt(s2), h[] = { -2, -1, 0, 3 };
        for (size_t i = 0; i < 4; ++i)
            check_close(net->layers[0].delta[i], g * (dy[i] - .25 + h[i] / (2 * s2)), 1e-5, "delta", i);
        check_close(l->bias_updates[0], 1, 1e-6, "bias update", 0);
        check_close(l->scale_updates[0], -2 / sqrt(s2), 1e-5, "scale update", 0);
        check_release(net);
    }
}

/* N = 1: the host divides by zero. Output is the bias, no gradient reaches the input. */
static void one_value(void **unused)
{
    (void)unused;
    for (size_t b = 0; b < 2; ++b) {
        network *net = identity(1, 1, backends[b]);
        layer *l = &net->layers[1];
        l->biases[0] = .25f;
        net->layers[0].output[0] = 5;
        check_forward(net, 1, 1);
        check_close(l->output[0], .25, 1e-6, "output", 0);
        check_close(l->rolling_mean[0], 5, 1e-6, "running mean", 0);
        check_close(l->rolling_variance[0], 0, 0, "running variance", 0);
        l->delta[0] = 1;
        check_backward(net, 1, 1);
        check_close(net->layers[0].delta[0], 0, 0, "delta", 0);
        check_close(l->scale_updates[0], 0, 0, "scale update", 0);
        check_close(l->bias_updates[0], 1, 0, "bias update", 0);
        check_release(net);
    }
}

/* A dead channel: variance 0, everything stays finite and the mean of delta is taken out. */
static void constant_channel(void **unused)
{
    (void)unused;
    network *net = identity(2, 2, BACKEND_DNNL);
    layer *l = &net->layers[1];
    for (int i = 0; i < 8; ++i) net->layers[0].output[i] = 3, l->delta[i] = i < 4 ? 1 : 0;
    check_forward(net, 1, 1);
    for (size_t i = 0; i < 8; ++i) check_close(l->output[i], 0, 0, "output", i);
    check_backward(net, 1, 1);
    for (size_t i = 0; i < 8; ++i) check_close(net->layers[0].delta[i], i < 4 ? 5e5 : -5e5, 1e-5, "delta", i);
    check_release(net);
}

/* A mean a thousand times the spread must not eat the variance. */
static void large_mean(void **unused)
{
    (void)unused;
    network *net = identity(2, 16, BACKEND_DNNL);
    layer *l = &net->layers[1];
    for (int i = 0; i < 512; ++i) net->layers[0].output[i] = 1024 + (i % 2 ? 1 : -1);
    check_forward(net, 1, 1);
    check_close(l->variance[0], 1, 1e-6, "variance", 0);
    for (size_t i = 0; i < 512; ++i) check_close(l->output[i], i % 2 ? 1 : -1, 1e-5, "output", i);
    check_release(net);
}

/* Batch b holds 0 and 2m, m = b mod 7: mean m, variance over N-1 2m^2. A plain average at first, then 1 % a step. */
static void running_statistics(void **unused)
{
    (void)unused;
    network *net = identity(2, 1, BACKEND_DNNL);
    layer *l = &net->layers[1];
    double mean = 0, variance = 0, sum_mean = 0, sum_variance = 0;
    for (int b = 1; b <= 130; ++b) {
        net->layers[0].output[0] = 0;
        net->layers[0].output[1] = (float)(2 * (b % 7));
        double m = b % 7, v = 2 * m * m;
        sum_mean += m;
        sum_variance += v;
        mean = b <= 100 ? sum_mean / b : .99 * mean + .01 * m;
        variance = b <= 100 ? sum_variance / b : .99 * variance + .01 * v;
        assert_int_equal(cpu_statistics_count(l), b <= 100 ? b - 1 : 100);
        check_forward(net, 1, 1);
        check_close(l->rolling_mean[0], mean, 1e-5, "running mean", (size_t)b);
        check_close(l->rolling_variance[0], variance, 1e-5, "running variance", (size_t)b);
    }
    check_forward(net, 1, 0);   /* inference counts nothing */
    check_close(l->rolling_mean[0], mean, 1e-5, "running mean", 0);
    check_release(net);
}

static void statistics_after_loading(void **unused)
{
    (void)unused;
    network *net = identity(2, 1, BACKEND_REFERENCE);
    layer *l = &net->layers[1];
    cpu_set_statistics_count(l, 42);
    assert_int_equal(cpu_statistics_count(l), 42);
    cpu_set_statistics_count(l, -1);
    assert_int_equal(cpu_statistics_count(l), 0);
    cpu_set_statistics_count(l, 42);
    cpu_statistics_loaded(net, 0, net->n);
    assert_int_equal(cpu_statistics_count(l), 0);
    l->rolling_variance[0] = .5f;
    cpu_statistics_loaded(net, 0, 1);          /* not this layer */
    assert_int_equal(cpu_statistics_count(l), 0);
    cpu_statistics_loaded(net, 0, net->n);
    assert_int_equal(cpu_statistics_count(l), 10);   /* those of a file count as so many batches */
    check_release(net);
}

static void section_is_refused(void **unused)
{
    (void)unused;
    network *net = check_parse("[net]\nbatch=1\nwidth=2\nheight=2\nchannels=1\n"
                               "[convolutional]\nfilters=2\nsize=1\nactivation=linear\n[batchnorm]\n");
    for (int b = BACKEND_DNNL; b <= BACKEND_HOST; ++b) {
        diag *d = diag_new();
        cpu_options o = { .backend = (cpu_backend)b };
        assert_int_equal(cpu_bind(net, &o, d), -1);
        assert_int_equal(diag_errors(d), 1);
        assert_string_equal(diag_get(d, 0)->section, "batchnorm");
        assert_non_null(strstr(diag_get(d, 0)->text, "layer 1"));
        assert_string_equal(cpu_layer_runs_on(&net->layers[0]), "host");
        diag_free(d);
    }
    host_free(net);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(golden), cmocka_unit_test(gradients_in_training), cmocka_unit_test(gradients_in_inference),
        cmocka_unit_test(one_value), cmocka_unit_test(constant_channel), cmocka_unit_test(large_mean),
        cmocka_unit_test(running_statistics), cmocka_unit_test(statistics_after_loading),
        cmocka_unit_test(section_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
