/* The activations that the host lacks: values and slopes against doubles on [-30, 30], on every path that computes them,
 * plain and blocked, with batch norm and without, trained and frozen; every backend, the host's, too; NaN; refusals.
 *
 * Each path runs twice, once with activation=linear, which tells what the activation is given: its output must be that
 * one's, activated in doubles; the gradient that comes out must be what comes out of the linear one for a delta that
 * has been multiplied with the slope in doubles. */
#include "layers/network.h"
#include "check_layers.h"

#include "layers/cpu/activate.h"
#include "layers/cpu/state.h"

static const char *const names[] = { "mish", "swish", "relu6", "hard_swish", "hard_mish", "gelu" };
enum { NAMES = sizeof names / sizeof *names };

/* ---- one number at a time ---- */

static void values_and_slopes_are_exact(void **unused)
{
    (void)unused;
    for (int act = ACTIVATION_MISH; act <= ACTIVATION_GELU; ++act)
        for (int i = -60000; i <= 60000; ++i) {
            float x = (float)i * 5e-4f, v = act_needs_input((ACTIVATION)act) ? x : fork_act_value(x, act);
            check_close(act_value(x, (ACTIVATION)act), check_activation(x, act), 4e-7, fork_activation_name(act),
                        (size_t)(i + 60000));
            if (fabsf(x - 6) > 1e-5f)   /* relu6 is flat at 6 itself, by its output */
                check_close(act_slope(v, (ACTIVATION)act), check_activation_slope(x, act), 4e-7,
                            fork_activation_name(act), (size_t)(i + 60000));
        }
}

static void far_out_they_are_finite(void **unused)
{
    (void)unused;
    for (int act = ACTIVATION_MISH; act <= ACTIVATION_GELU; ++act)
        for (float x = 32; x < 1e30f; x *= 8) {
            const char *name = fork_activation_name(act);
            int relu6 = act == ACTIVATION_RELU6;
            check_close(fork_act_value(x, act), relu6 ? 6 : x, 0, name, 0);
            check_close(fork_act_slope(x, act), relu6 ? 0 : 1, 0, name, 1);
            check_close(fork_act_value(-x, act), 0, x < 1e3f ? 1e-6 : 1e-6 * x, name, 2);
            check_close(fork_act_slope(-x, act), 0, 1e-6, name, 3);
        }
}

/* ---- every path ---- */

#define FIRST "[activation]\nactivation=linear\n"
#define CONV(keys) "[convolutional]\nstride=1\nfilters=16\n" keys "\nactivation="
static const struct path {
    const char *name, *before, *last;      /* sections; last ends before the activation's name */
} paths[] = {
    { "activation", FIRST, "[activation]\nactivation=" },
    { "activation behind a convolution", FIRST CONV("size=1") "linear\n", "[activation]\nactivation=" },
    { "1x1", FIRST, CONV("size=1") },
    { "1x1 with batch norm", FIRST, CONV("size=1\nbatch_normalize=1") },
    { "3x3", FIRST, CONV("size=3\npad=1") },
    { "3x3 with batch norm", FIRST, CONV("size=3\npad=1\nbatch_normalize=1") },
    { "5x5 with batch norm", FIRST, CONV("size=5\npad=1\nbatch_normalize=1") },
    { "depthwise with batch norm", FIRST, CONV("size=3\npad=1\ngroups=16\nbatch_normalize=1") },
    { "depthwise", FIRST, CONV("size=3\npad=1\ngroups=16") },
    { "connected", FIRST, "[connected]\noutput=24\nactivation=" },
    { "connected with batch norm", FIRST, "[connected]\noutput=24\nbatch_normalize=1\nactivation=" },
    { "shortcut", FIRST FIRST, "[shortcut]\nfrom=-2\nactivation=" },
    { "shortcut with factors", FIRST CONV("size=1") "linear\n", "[shortcut]\nfrom=-2\nalpha=.5\nbeta=2\nactivation=" },
    { "shortcut of unlike shapes", FIRST "[convolutional]\nstride=2\nsize=1\nfilters=8\nactivation=linear\n",
      "[shortcut]\nfrom=-2\nactivation=" },
    { "shortcut joined to a convolution", FIRST CONV("size=3\npad=1") "linear\n" CONV("size=3\npad=1") "linear\n",
      "[shortcut]\nfrom=-2\nactivation=" },
    { "shortcut joined to batch norm", FIRST CONV("size=3\npad=1") "linear\n" CONV("size=3\npad=1\nbatch_normalize=1")
      "linear\n", "[shortcut]\nfrom=-2\nactivation=" },
    { "shortcut joined to a 1x1 with batch norm",
      FIRST CONV("size=1") "linear\n" CONV("size=1\nbatch_normalize=1") "linear\n",
      "[shortcut]\nfrom=-2\nactivation=" },
};
enum { PATHS = sizeof paths / sizeof *paths };

static const struct way {
    const char *name;
    cpu_backend backend;
    int layouts;
    cpu_mode mode;
    int train;
} ways[] = {
    { "plain, training", BACKEND_DNNL, 0, CPU_TRAINED, 1 },
    { "plain, inference of what trains", BACKEND_DNNL, 0, CPU_TRAINED, 0 },
    { "plain, frozen weights", BACKEND_DNNL, 0, CPU_FROZEN_WEIGHTS, 1 },
    { "plain, frozen", BACKEND_DNNL, 0, CPU_FROZEN, 0 },
    { "blocked, training", BACKEND_DNNL, 1, CPU_TRAINED, 1 },
    { "blocked, inference of what trains", BACKEND_DNNL, 1, CPU_TRAINED, 0 },
    { "blocked, frozen weights", BACKEND_DNNL, 1, CPU_FROZEN_WEIGHTS, 1 },
    { "blocked, frozen", BACKEND_DNNL, 1, CPU_FROZEN, 0 },
    { "reference, training", BACKEND_REFERENCE, 0, CPU_TRAINED, 1 },
    { "reference, inference of what trains", BACKEND_REFERENCE, 0, CPU_TRAINED, 0 },
    { "reference, frozen weights", BACKEND_REFERENCE, 0, CPU_FROZEN_WEIGHTS, 1 },
    { "reference, frozen", BACKEND_REFERENCE, 0, CPU_FROZEN, 0 },
};
enum { WAYS = sizeof ways / sizeof *ways };

/* The path with this activation; sums are spread over [-30, 30]. */
static network *open_path(const struct path *path, const struct way *way, const char *activation)
{
    cpu_mode modes[8];
    for (int i = 0; i < 8; ++i) modes[i] = way->mode;
    char *cfg = mem_printf("[net]\nbatch=3\nwidth=9\nheight=7\nchannels=16\n%s%s%s\n", path->before, path->last, activation);
    network *net = check_bound_as(cfg, &(cpu_options){ .backend = way->backend, .seed = 7, .mode = modes,
                                                       .layouts = way->layouts });
    cpu_init_weights(net, 0, net->n, 3);
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        for (int c = 0; l->scales && c < l->out_c; ++c) l->scales[c] = 8, l->rolling_variance[c] = 30;
        for (int c = 0; l->biases && l->weights && c < l->out_c; ++c) l->biases[c] = (float)(c % 5) - 2;
    }
    check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 70);
    for (int i = 0; i < net->batch * net->inputs; ++i) net->input[i] *= 12;
    network_forward(net, net->n, way->train);
    free(cfg);
    return net;
}

static layer *last_of(network *net) { return &net->layers[net->n - 1]; }

/* |a - b| <= tol * largest |b|. */
static void check_alike(const float *a, const float *b, size_t n, double tol, const char *what)
{
    double largest = 0, apart = 0;
    for (size_t i = 0; i < n; ++i) {
        assert_true(isfinite(a[i]) && isfinite(b[i]));
        largest = fmax(largest, fabs(b[i]));
        apart = fmax(apart, fabs((double)a[i] - b[i]));
    }
    if (!(apart <= tol * largest)) fail_msg("%s: %g apart, largest %g", what, apart, largest);
}

/* Backward of both, the linear one's delta multiplied with the slope at its output. Winograd's rounding is what the
 * tolerance is for: where batch norm was folded, its input is computed anew, by other products. */
static void check_path_gradient(network *net, network *linear, const char *what)
{
    size_t n = check_size(net, net->n - 1);
    const layer *first = &linear->layers[0], *l = last_of(linear);
    check_fill(last_of(net)->delta, n, 71);
    check_fill(l->delta, n, 71);
    for (size_t i = 0; i < n; ++i)
        l->delta[i] *= (float)check_activation_slope(l->output[i], (int)last_of(net)->activation);
    network_backward(net, net->n);
    network_backward(linear, net->n);
    check_alike(net->layers[0].delta, first->delta, check_size(net, 0), 1e-5, what);
    if (l->weight_updates) check_alike(last_of(net)->weight_updates, l->weight_updates, (size_t)l->nweights, 1e-5, what);
    if (l->bias_updates) check_alike(last_of(net)->bias_updates, l->bias_updates, (size_t)l->out_c, 1e-5, what);
    if (l->scale_updates) check_alike(last_of(net)->scale_updates, l->scale_updates, (size_t)l->out_c, 1e-5, what);
}

static void check_values(const struct path *path, const struct way *way, const char *name)
{
    char *what = mem_printf("%s of %s, %s", name, path->name, way->name);
    network *net = open_path(path, way, name), *linear = open_path(path, way, "linear");
    const float *v = last_of(linear)->output;
    double most = 0;
    for (size_t i = 0; i < check_size(net, net->n - 1); ++i) {
        most = fmax(most, fabs(v[i]));
        check_close(last_of(net)->output[i], check_activation(v[i], (int)last_of(net)->activation), 1e-6, what, i);
    }
    if (!(most > 5)) fail_msg("%s: sums only up to %g", what, most);
    if (way->mode != CPU_FROZEN) check_path_gradient(net, linear, what);
    check_release(net);
    check_release(linear);
    free(what);
}

static void every_path_agrees(void **unused)
{
    (void)unused;
    for (int p = 0; p < PATHS; ++p)
        for (int w = 0; w < WAYS; ++w)
            for (int n = 0; n < NAMES; ++n) check_values(&paths[p], &ways[w], names[n]);
}

/* ---- against central differences of everything ---- */

static void gradients(void **unused)
{
    (void)unused;
    for (int n = 0; n < NAMES; ++n)
        for (int bn = 0; bn < 2; ++bn) {
            conv_case k = { names[n], 2, 8, 4, 3, 8, 3, 1, 1, 1, bn, names[n], 1 };
            conv_case_check(&k, BACKEND_DNNL, CPU_TRAINED, 1);
            if (bn) conv_case_check(&k, BACKEND_DNNL, CPU_FROZEN_WEIGHTS, 1);
        }
}

/* ---- the host's backend, NaN, refusals ---- */

static void the_host_never_computes_them(void **unused)
{
    (void)unused;
    const struct way host = { "host", BACKEND_HOST, 0, CPU_TRAINED, 1 };
    for (int p = 0; p < PATHS; ++p) {
        network *net = open_path(&paths[p], &host, "mish");
        const layer *l = last_of(net);
        assert_non_null(cpu_state_of(l));
        assert_true(strcmp(cpu_layer_runs_on(l), "host") != 0);
        double largest = 0;
        for (size_t i = 0; i < check_size(net, net->n - 1); ++i) {
            largest = fmax(largest, l->output[i]);
            assert_true(l->output[i] > -.31f);
        }
        assert_true(largest > 5);
        check_release(net);
    }
}

static void silu_is_swish(void **unused)
{
    (void)unused;
    network *net = check_parse("[net]\nbatch=1\nwidth=1\nheight=1\nchannels=1\n[activation]\nactivation=silu\n");
    assert_int_equal((int)net->layers[0].activation, ACTIVATION_SWISH);
    host_free(net);
}

static void nan_passes(void **unused)
{
    (void)unused;
    for (int act = ACTIVATION_MISH; act <= ACTIVATION_GELU; ++act) assert_true(isnan(fork_act_value(NAN, act)));
}

static void other_layers_refuse_them(void **unused)
{
    (void)unused;
    network *net = check_parse("[net]\nbatch=1\nwidth=4\nheight=4\nchannels=1\n"
                               "[local]\nfilters=2\nsize=3\nstride=1\npad=1\nactivation=mish\n");
    diag *d = diag_new();
    cpu_options host = { .backend = BACKEND_HOST };
    assert_int_not_equal(cpu_bind(net, &host, d), 0);
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->text, "layer 0: activation=mish is not known in this kind of layer");
    diag_free(d);
    host_free(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_and_slopes_are_exact), cmocka_unit_test(far_out_they_are_finite),
        cmocka_unit_test(every_path_agrees), cmocka_unit_test(gradients),
        cmocka_unit_test(the_host_never_computes_them), cmocka_unit_test(nan_passes), cmocka_unit_test(silu_is_swish),
        cmocka_unit_test(other_layers_refuse_them),
    };
    network_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
