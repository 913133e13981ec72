/* Folding batch norm: the same answers without it, in every kind of layer that has it; what cannot be folded is said. */
#include "layers/network.h"
#include "check_nets.h"

#include "weights_tools/file/fold.h"

#include <unistd.h>

#define NET "[net]\nwidth=9\nheight=7\nchannels=4\n"

static const struct { const char *name, *cfg; int folded; } nets[] = {
    { "convolution", NET "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=relu\n", 1 },
    { "leaky, stride 2", NET "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=2\npad=1\nactivation=leaky\n", 1 },
    { "depthwise", NET "[convolutional]\nbatch_normalize=1\nfilters=4\ngroups=4\nsize=3\npad=1\nactivation=linear\n", 1 },
    { "grouped", NET "[convolutional]\nbatch_normalize=1\nfilters=6\ngroups=2\nsize=1\nactivation=linear\n", 1 },
    { "connected", NET "[connected]\nbatch_normalize=1\noutput=5\nactivation=linear\n", 1 },
    { "without batch norm", NET "[convolutional]\nfilters=3\nactivation=linear\n[connected]\noutput=2\nactivation=relu\n", 0 },
    { "a residual net", NET "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=relu\n"
      "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=linear\n[shortcut]\nfrom=-2\nactivation=relu\n"
      "[avgpool]\n[connected]\nbatch_normalize=1\noutput=5\nactivation=logistic\n[softmax]\n", 3 },
};

static cfg_file *parse_cfg(const char *text, diag *d)
{
    cfg_file *c = cfg_parse("x.cfg", text, strlen(text), d);
    assert_non_null(c);
    return c;
}

static int mentions(const cfg_file *c, const char *key)
{
    for (int i = 0; i < c->n; ++i)
        if (cfg_find(&c->section[i], key)) return 1;
    return 0;
}

static float *answer(network *net, const float *x)
{
    float *out = mem_calloc((size_t)net->outputs, sizeof *out);
    memcpy(out, network_predict(net, (float *)x), (size_t)net->outputs * sizeof *out);
    return out;
}

static void folded_net_answers_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof nets / sizeof *nets; ++i) {
        diag *d = diag_new();
        network *net = check_parse(nets[i].cfg);
        cfg_file *c = parse_cfg(nets[i].cfg, d);
        float x[4 * 7 * 9];
        check_fill(x, sizeof x / sizeof *x, 3);
        check_fill_network(net, 17 + i);
        float *before = answer(net, x);
        assert_int_equal(fold_network(net, c, d), nets[i].folded);
        check_no_errors(d);
        float *after = answer(net, x);
        check_close_n(after, before, (size_t)net->outputs, 1e-5, nets[i].name);
        assert_false(mentions(c, "batch_normalize"));
        free(before);
        free(after);
        host_free(net);
        cfg_free(c);
        diag_free(d);
    }
}

/* The formula itself, where variances are tiny and the epsilon is what counts. */
static void formula(void **state)
{
    (void)state;
    diag *d = diag_new();
    network *net = check_parse("[net]\nwidth=1\nheight=1\nchannels=1\n[convolutional]\nbatch_normalize=1\nfilters=3\nsize=1\nactivation=linear\n");
    layer *l = &net->layers[0];
    static const float variance[3] = { 0, 1e-8f, 4 };
    for (int i = 0; i < 3; ++i) {
        l->weights[i] = 3;
        l->scales[i] = 2;
        l->biases[i] = .5f;
        l->rolling_mean[i] = 1e-4f;
        l->rolling_variance[i] = variance[i];
    }
    float w[3], b[3];
    fold_arrays(l, w, b);
    for (int i = 0; i < 3; ++i) {
        double f = 2 / (sqrt((double)variance[i]) + 1e-6);
        check_close(w[i], 3 * f, 1e-7, "weight", (size_t)i);
        check_close(b[i], .5 - 1e-4 * f, 1e-6, "bias", (size_t)i);
    }
    host_free(net);
    diag_free(d);
}

/* What is saved is the size that the edited cfg asks for. */
static void file_fits_the_cfg(void **state)
{
    (void)state;
    diag *d = diag_new();
    const char *text = nets[6].cfg;
    network *net = check_parse(text);
    cfg_file *c = parse_cfg(text, d);
    weights_info info;
    check_fill_network(net, 5);
    fold_network(net, c, d);
    net_shape *s = shapes_infer(c, d);
    assert_int_equal(weights_save(net, "folded.weights", d), 0);
    assert_int_equal(weights_inspect("folded.weights", s, &info, d), 0);
    assert_int_equal(info.layers, net->n);
    check_no_errors(d);
    shapes_free(s);
    host_free(net);
    cfg_free(c);
    diag_free(d);
}

static void batchnorm_section_is_refused(void **state)
{
    (void)state;
    diag *d = diag_new();
    network *net = check_parse(NET "[convolutional]\nactivation=linear\n[activation]\nactivation=linear\n");
    cfg_file *c = parse_cfg(NET "[convolutional]\nactivation=linear\n[batchnorm]\n", d);
    assert_int_equal(fold_network(net, c, d), -1);
    assert_non_null(strstr(diag_get(d, 0)->text, "cannot be folded"));
    assert_string_equal(diag_get(d, 0)->section, "batchnorm");
    assert_int_equal(diag_get(d, 0)->line, 7);
    host_free(net);
    cfg_free(c);
    diag_free(d);
}

static void other_batch_norm_stays(void **state)
{
    (void)state;
    static const char text[] = NET "[deconvolutional]\nbatch_normalize=1\nfilters=2\nsize=3\nactivation=linear\n";
    diag *d = diag_new();
    network *net = check_parse(text);
    cfg_file *c = parse_cfg(text, d);
    assert_int_equal(fold_network(net, c, d), 0);
    assert_int_equal(diag_warnings(d), 1);
    assert_true(mentions(c, "batch_normalize"));
    assert_true(net->layers[0].batch_normalize);
    host_free(net);
    cfg_free(c);
    diag_free(d);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folded_net_answers_the_same), cmocka_unit_test(formula), cmocka_unit_test(file_fits_the_cfg),
        cmocka_unit_test(batchnorm_section_is_refused), cmocka_unit_test(other_batch_norm_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
