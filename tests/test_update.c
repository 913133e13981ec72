/* SGD and Adam against numbers worked out by hand, AdamW against doubles, and the first weights. */
#include "layers/network.h"
#include "check_layers.h"

#define CFG(net, more) "[net]\nbatch=4\nsubdivisions=1\nwidth=1\nheight=1\nchannels=1\n" net \
    "[convolutional]\nfilters=1\nsize=1\nstride=1\nbatch_normalize=1\nactivation=linear\n" more

enum { SGD, ADAM, ADAMW };   /* their numbers */

static update_args args(int optimiser)
{
    return (update_args){ .batch = 4, .learning_rate = .1f, .momentum = .9f, .decay = .5f, .adam = optimiser,
                          .B1 = .9f, .B2 = .999f, .eps = 1e-8f, .t = 1 };
}

static void set_up(layer *l)
{
    l->weights[0] = 1, l->biases[0] = 2, l->scales[0] = 3;
    l->weight_updates[0] = 8, l->bias_updates[0] = -4, l->scale_updates[0] = 2;
}

/* u = 8 - .5*4*1 = 6, w = 1 + .1/4*6 = 1.15, u = 5.4; without decay on bias and scale. Then again with nothing new. */
static void sgd(void **unused)
{
    (void)unused;
    network *net = check_bound(CFG("", ""), BACKEND_DNNL, NULL);
    layer *l = &net->layers[0];
    set_up(l);
    l->update(*l, args(SGD));
    check_close(l->weights[0], 1.15, 1e-6, "weight", 0);
    check_close(l->weight_updates[0], 5.4, 1e-6, "weight update", 0);
    check_close(l->biases[0], 1.9, 1e-6, "bias", 0);
    check_close(l->bias_updates[0], -3.6, 1e-6, "bias update", 0);
    check_close(l->scales[0], 3.05, 1e-6, "scale", 0);
    check_close(l->scale_updates[0], 1.8, 1e-6, "scale update", 0);
    l->update(*l, args(SGD));
    check_close(l->weights[0], 1.15 + .025 * (5.4 - 2.3), 1e-6, "weight", 1);
    check_close(l->biases[0], 1.9 - .09, 1e-6, "bias", 1);
    check_release(net);
}

static void learning_rate_of_a_layer(void **unused)
{
    (void)unused;
    network *net = check_bound(CFG("", "learning_rate=0.5\n"), BACKEND_REFERENCE, NULL);
    layer *l = &net->layers[0];
    set_up(l);
    l->update(*l, args(SGD));
    check_close(l->weights[0], 1.075, 1e-6, "weight", 0);
    check_close(l->biases[0], 1.95, 1e-6, "bias", 0);
    l->learning_rate_scale = 0;
    l->update(*l, args(SGD));
    check_close(l->weights[0], 1.075, 1e-6, "weight", 1);
    check_release(net);
}

/* First step: m/(1-B1) = g, v/(1-B2) = g^2, so every parameter moves by the rate, whatever its gradient's size.
 * Second step, without new gradient (weights: -decay * w): worked out below. */
static void adam(void **unused)
{
    (void)unused;
    network *net = check_bound(CFG("adam=1\n", ""), BACKEND_DNNL, NULL);
    layer *l = &net->layers[0];
    update_args a = args(ADAM);
    set_up(l);
    l->update(*l, a);
    check_close(l->weights[0], 1.1, 1e-6, "weight", 0);   /* g = 8/4 - .5*1 = 1.5 */
    check_close(l->biases[0], 1.9, 1e-6, "bias", 0);
    check_close(l->scales[0], 3.1, 1e-6, "scale", 0);
    check_close(l->m[0], .15, 1e-6, "m", 0);
    check_close(l->v[0], .001 * 2.25, 1e-6, "v", 0);
    check_close(l->weight_updates[0], 0, 0, "weight update", 0);
    check_close(l->bias_updates[0], 0, 0, "bias update", 0);
    a.t = 2;
    l->update(*l, a);
    /* bias: m = .9*.1*-1 = -.09, v = .999*.001; m^ = -.09/.19, v^ = .000999/.001999 */
    check_close(l->biases[0], 1.9 - .1 * (.09 / .19) / sqrt(.000999 / .001999), 1e-5, "bias", 1);
    /* weight: g = -.55, m = .135 - .055, v = .999*.00225 + .001*.3025 */
    check_close(l->weights[0], 1.1 + .1 * (.08 / .19) / sqrt((.999 * .00225 + .001 * .3025) / .001999), 1e-5, "weight", 1);
    check_release(net);
}

static void adam_on_connected(void **unused)
{
    (void)unused;
    network *net = check_bound("[net]\nbatch=1\nwidth=1\nheight=1\nchannels=3\nadam=1\n[connected]\noutput=2\nactivation=linear\n",
                               BACKEND_DNNL, NULL);
    layer *l = &net->layers[0];
    update_args a = args(ADAM);
    a.decay = 0;
    for (int i = 0; i < 6; ++i) l->weights[i] = 0, l->weight_updates[i] = (float)(i - 3);
    l->update(*l, a);
    for (size_t i = 0; i < 6; ++i) check_close(l->weights[i], i == 3 ? 0 : i > 3 ? .1 : -.1, 1e-6, "weight", i);
    check_release(net);
}

/* ---- AdamW ---- */

/* An array beside its step in doubles, written as PyTorch's documentation has it: w shrinks, then moves. */
typedef struct adamw_array {
    float *w, *u;
    size_t n;
    double decay, *want, *m, *v;
} adamw_array;

static adamw_array adamw_of(float *w, float *u, size_t n, double decay)
{
    adamw_array a = { w, u, n, decay, mem_calloc(n, sizeof(double)), mem_calloc(n, sizeof(double)), mem_calloc(n, sizeof(double)) };
    for (size_t i = 0; i < n; ++i) a.want[i] = w[i];
    return a;
}

/* Gives the array its t-th gradient, and the reference, too. */
static void adamw_step(adamw_array *a, const update_args *by, uint64_t stream)
{
    double b1 = by->B1, b2 = by->B2, rate = by->learning_rate;
    check_fill(a->u, a->n, stream);
    for (size_t i = 0; i < a->n; ++i) {
        double g = -(double)a->u[i] / by->batch;
        a->want[i] *= 1 - rate * a->decay;
        a->m[i] = b1 * a->m[i] + (1 - b1) * g;
        a->v[i] = b2 * a->v[i] + (1 - b2) * g * g;
        a->want[i] -= rate / (1 - pow(b1, by->t)) * a->m[i] / (sqrt(a->v[i] / (1 - pow(b2, by->t))) + by->eps);
    }
}

static void adamw_close(adamw_array *a, const char *what)
{
    for (size_t i = 0; i < a->n; ++i) {
        check_close(a->w[i], a->want[i], 2e-5, what, i);
        check_close(a->u[i], 0, 0, "its sum", i);
    }
    free(a->want);
    free(a->m);
    free(a->v);
}

/* Forty steps; decay on weights only. */
static void adamw(void **unused)
{
    (void)unused;
    network *net = check_bound("[net]\nbatch=4\nwidth=3\nheight=3\nchannels=5\nadam=1\n"   /* adam: what the host is told */
                               "[convolutional]\nfilters=7\nsize=3\nbatch_normalize=1\nactivation=linear\n", BACKEND_DNNL, NULL);
    layer *l = &net->layers[0];
    update_args by = args(ADAMW);
    check_fill(l->weights, (size_t)l->nweights, 1);
    check_fill(l->biases, 7, 2);
    check_fill(l->scales, 7, 3);
    adamw_array weights = adamw_of(l->weights, l->weight_updates, (size_t)l->nweights, by.decay);
    adamw_array biases = adamw_of(l->biases, l->bias_updates, 7, 0), scales = adamw_of(l->scales, l->scale_updates, 7, 0);
    for (by.t = 1; by.t <= 40; ++by.t) {
        by.learning_rate = .02f / (float)by.t;
        adamw_step(&weights, &by, 10 + (uint64_t)by.t);
        adamw_step(&biases, &by, 100 + (uint64_t)by.t);
        adamw_step(&scales, &by, 200 + (uint64_t)by.t);
        l->update(*l, by);
    }
    adamw_close(&weights, "weight");
    adamw_close(&biases, "bias");
    adamw_close(&scales, "scale");
    check_release(net);
}

/* Large enough for threads and for vectors with a remainder. */
static void long_arrays(void **unused)
{
    (void)unused;
    network *net = check_bound("[net]\nbatch=1\nwidth=1\nheight=1\nchannels=331\n[connected]\noutput=401\nactivation=linear\n",
                               BACKEND_DNNL, NULL);
    layer *l = &net->layers[0];
    size_t n = 331 * 401;
    float *w = mem_calloc(n, sizeof *w), *u = mem_calloc(n, sizeof *u);
    check_fill(w, n, 1);
    check_fill(u, n, 2);
    memcpy(l->weights, w, n * sizeof *w);
    memcpy(l->weight_updates, u, n * sizeof *u);
    l->update(*l, args(SGD));
    for (size_t i = 0; i < n; ++i) check_close(l->weights[i], w[i] + .025 * (u[i] - 2.0 * w[i]), 1e-6, "weight", i);
    free(w);
    free(u);
    check_release(net);
}

static void only_trained_layers_update(void **unused)
{
    (void)unused;
    for (int b = BACKEND_DNNL; b <= BACKEND_HOST; ++b)
        for (int m = CPU_FROZEN_WEIGHTS; m <= CPU_FROZEN; ++m) {
            cpu_mode mode[] = { (cpu_mode)m };
            network *net = check_bound(CFG("", ""), (cpu_backend)b, mode);
            set_up(&net->layers[0]);
            assert_null(net->layers[0].update);
            network_update(net, 1);
            assert_true(net->layers[0].weights[0] == 1);
            cpu_unbind(net);
            assert_non_null(net->layers[0].update);
            host_free(net);
        }
}

/* ---- first weights ---- */

static const char *init_cfg = "[net]\nbatch=1\nwidth=8\nheight=8\nchannels=8\n"
    "[convolutional]\nfilters=64\nsize=3\nstride=1\npad=1\ngroups=2\nbatch_normalize=1\nactivation=relu\n"
    "[convolutional]\nfilters=64\nsize=3\nstride=1\npad=1\ngroups=2\nactivation=relu\n"
    "[connected]\noutput=100\nactivation=linear\n";

static void moments(const float *x, size_t n, double *mean, double *deviation)
{
    double s = 0, q = 0;
    for (size_t i = 0; i < n; ++i) s += x[i], q += (double)x[i] * x[i];
    *mean = s / (double)n;
    *deviation = sqrt(q / (double)n - *mean * *mean);
}

static void first_weights(void **unused)
{
    (void)unused;
    network *net = check_bound(init_cfg, BACKEND_DNNL, NULL);
    double mean, deviation;
    layer *l = net->layers;
    l[0].biases[3] = 1, l[0].scales[3] = 5, l[0].rolling_mean[3] = 1, l[2].biases[3] = 1;
    cpu_set_statistics_count(l, 50);
    cpu_init_weights(net, 0, 3, 1);
    moments(l[1].weights, (size_t)l[1].nweights, &mean, &deviation);
    check_close(mean, 0, .002, "mean", 1);
    check_close(deviation / sqrt(2.0 / (9 * 32)), 1, .02, "deviation", 1);
    moments(l[2].weights, 100 * 4096, &mean, &deviation);
    check_close(mean, 0, .001, "mean", 2);
    check_close(deviation / sqrt(2.0 / 4096 / 3), 1, .01, "deviation", 2);
    assert_true(l[0].biases[3] == 0 && l[0].scales[3] == 1 && l[0].rolling_mean[3] == 0 && l[2].biases[3] == 0);
    assert_int_equal(cpu_statistics_count(l), 0);
    check_release(net);
}

static void first_weights_are_keyed(void **unused)
{
    (void)unused;
    network *a = check_parse(init_cfg), *b = check_parse(init_cfg);   /* bound or not, no matter */
    size_t bytes = (size_t)a->layers[0].nweights * sizeof(float), more = (size_t)a->layers[1].nweights * sizeof(float);
    cpu_init_weights(a, 0, 3, 1);
    cpu_init_weights(b, 0, 1, 1);
    assert_memory_equal(a->layers[0].weights, b->layers[0].weights, bytes);
    assert_memory_not_equal(a->layers[1].weights, b->layers[1].weights, more);   /* b's are the host's still */
    cpu_init_weights(b, 1, 3, 1);
    assert_memory_equal(a->layers[1].weights, b->layers[1].weights, more);
    cpu_init_weights(b, 0, 3, 2);
    assert_memory_not_equal(a->layers[0].weights, b->layers[0].weights, bytes);
    host_free(a);
    host_free(b);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sgd), cmocka_unit_test(learning_rate_of_a_layer), cmocka_unit_test(adam),
        cmocka_unit_test(adam_on_connected), cmocka_unit_test(adamw), cmocka_unit_test(long_arrays), cmocka_unit_test(only_trained_layers_update),
        cmocka_unit_test(first_weights), cmocka_unit_test(first_weights_are_keyed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
