/* [projector]: which convolutions each form stands for, their parameters, and what it refuses. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/sections/shapes.h"
#include "layers/projector.h"

/* The sections that a [projector] with these keys becomes, as text; the caller frees. *n gets what was returned. */
static char *expand(const char *keys, int s, int t, const char *tap, int *n, diag *d)
{
    char *text = mem_printf("[net]\nwidth=8\nheight=8\nchannels=3\n[projector]\n%s", keys);
    cfg_file *c = cfg_parse("p.cfg", text, strlen(text), d), *out = cfg_new("p.cfg");
    *n = projector_append(out, cfg_first(c, "projector"), s, t, tap, d);
    assert_int_equal(cfg_layers(out), *n < 0 ? 0 : *n);
    char *got = cfg_text(out, NULL);
    cfg_free(out);
    cfg_free(c);
    free(text);
    return got;
}

static void check_expand(const char *keys, int s, int t, const char *tap, int sections, const char *expected)
{
    diag *d = diag_new();
    int n;
    char *got = expand(keys, s, t, tap, &n, d);
    check_no_errors(d);
    assert_int_equal(n, sections);
    assert_string_equal(got, expected);
    free(got);
    diag_free(d);
}

static void bottleneck_is_the_papers(void **state)
{
    (void)state;
    check_expand("", 64, 128, "relu", 3,
                 "[convolutional]\nbatch_normalize=1\nfilters=64\nsize=1\nstride=1\npad=0\nactivation=relu\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=64\nsize=3\nstride=1\npad=1\nactivation=relu\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=128\nsize=1\nstride=1\npad=0\nactivation=relu\n");
}

static void other_stacks(void **state)
{
    (void)state;
    check_expand("stack=1x1\n", 10, 21, "leaky", 1,
                 "[convolutional]\nbatch_normalize=1\nfilters=21\nsize=1\nstride=1\npad=0\nactivation=leaky\n");
    check_expand("stack=1x1-1x1\nreduction=4\n", 10, 21, "leaky", 2,
                 "[convolutional]\nbatch_normalize=1\nfilters=5\nsize=1\nstride=1\npad=0\nactivation=leaky\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=21\nsize=1\nstride=1\npad=0\nactivation=leaky\n");
    check_expand("stack=depthwise\n", 10, 20, "relu", 3,
                 "[convolutional]\nbatch_normalize=1\nfilters=10\nsize=1\nstride=1\npad=0\nactivation=relu\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=10\nsize=3\nstride=1\npad=1\ngroups=10\nactivation=relu\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=20\nsize=1\nstride=1\npad=0\nactivation=relu\n");
    check_expand("stack=linear\n", 10, 20, "relu", 1,
                 "[convolutional]\nfilters=20\nsize=1\nstride=1\npad=0\nactivation=linear\n");
    check_expand("stack=none\n", 20, 20, "relu", 0, "");
}

static void activation_of_hidden_layers(void **state)
{
    (void)state;
    check_expand("stack=1x1-1x1\n", 4, 8, "linear", 2,
                 "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=1\nstride=1\npad=0\nactivation=relu\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=linear\n");
    check_expand("stack=1x1-1x1\n", 4, 8, "mish", 2,
                 "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=1\nstride=1\npad=0\nactivation=mish\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=mish\n");
    check_expand("stack=1x1-1x1\nactivation=leaky\n", 4, 8, "linear", 2,
                 "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=1\nstride=1\npad=0\nactivation=leaky\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=leaky\n");
    check_expand("stack=1x1-1x1\nactivation=linear\n", 4, 8, "relu", 2,
                 "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=1\nstride=1\npad=0\nactivation=linear\n"
                 "\n[convolutional]\nbatch_normalize=1\nfilters=8\nsize=1\nstride=1\npad=0\nactivation=linear\n");
}

static void check_refused(const char *keys, int s, int t, int line, const char *text, const char *hint)
{
    diag *d = diag_new();
    int n;
    free(expand(keys, s, t, "relu", &n, d));
    assert_int_equal(n, -1);
    assert_int_equal(diag_errors(d), 1);
    const diag_message *m = diag_get(d, 0);
    assert_string_equal(m->text, text);
    assert_string_equal(m->section, "projector");
    assert_string_equal(m->file, "p.cfg");
    assert_int_equal(m->line, line);
    assert_string_equal(m->hint, hint);
    diag_free(d);
}

static void refusals(void **state)
{
    (void)state;
    check_refused("stack=none\n", 10, 20, 6, "stack=none needs the teacher's channels: expected 20, not 10",
                  "stack=1x1 brings 10 channels to 20");
    check_refused("\nreduction=32\n", 10, 20, 7, "reduction=32 leaves no channels of the teacher's 20",
                  "expected 1 to 20");
    check_refused("stack=linear\nactivation=relu\n", 10, 20, 7, "stack=linear has no activation: expected linear, not relu",
                  "stack=1x1 is one convolution with batch norm and an activation");
}

/* Learnable parameters of the default form: s*m + 9*m^2 + m*t + 2*(2m + t). */
static size_t projector_params(int s, int t, int reduction)
{
    size_t sc = (size_t)s, tc = (size_t)t, m = tc / (size_t)reduction;
    return sc * m + 9 * m * m + m * tc + 2 * (2 * m + tc);
}

/* What is appended, behind a layer of s channels without parameters. */
static size_t appended_params(int s, int t, int reduction)
{
    diag *d = diag_new();
    int n;
    char *keys = mem_printf("reduction=%d\n", reduction), *sections = expand(keys, s, t, "relu", &n, d);
    char *text = mem_printf("[net]\nbatch=1\nwidth=8\nheight=6\nchannels=%d\n[avgpool]\n%s", s, sections);
    cfg_file *c = cfg_parse("a.cfg", text, strlen(text), d);
    net_shape *shape = shapes_infer(c, d);
    check_no_errors(d);
    size_t params = shape->params;
    shapes_free(shape);
    cfg_free(c);
    free(text);
    free(sections);
    free(keys);
    diag_free(d);
    return params;
}

/* The numbers of the paper's pairs, and what the host allocates. */
static void parameter_formula(void **state)
{
    (void)state;
    static const int pair[][4] = { { 64, 128, 2, 49664 }, { 256, 256, 2, 214016 }, { 512, 256, 2, 246784 },
                                   { 128, 256, 2, 197632 }, { 512, 2048, 2, 12066816 } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; ++i) {
        assert_int_equal(projector_params(pair[i][0], pair[i][1], pair[i][2]), pair[i][3]);
        assert_int_equal(appended_params(pair[i][0], pair[i][1], pair[i][2]), pair[i][3]);
    }
}

static size_t host_params(const network *net)
{
    size_t n = 0;
    for (int i = 1; i < net->n; ++i) n += (size_t)net->layers[i].nweights + 2 * (size_t)net->layers[i].n;
    return n;
}

static void host_agrees(void **state)
{
    (void)state;
    static const int pair[][3] = { { 64, 128, 2 }, { 24, 50, 3 }, { 7, 9, 9 } };
    for (size_t i = 0; i < sizeof pair / sizeof *pair; ++i) {
        diag *d = diag_new();
        int n;
        char *keys = mem_printf("reduction=%d\n", pair[i][2]), *sections = expand(keys, pair[i][0], pair[i][1], "relu", &n, d);
        char *text = mem_printf("[net]\nbatch=1\nwidth=8\nheight=6\nchannels=3\n[convolutional]\nfilters=%d\nsize=1\nactivation=relu\n%s",
                                pair[i][0], sections);
        check_no_errors(d);
        network *net = check_parse(text);
        assert_int_equal(host_params(net), projector_params(pair[i][0], pair[i][1], pair[i][2]));
        layer last = net->layers[net->n - 1];
        assert_int_equal(last.out_c, pair[i][1]);
        assert_int_equal(last.out_w, 8);
        assert_int_equal(last.out_h, 6);
        host_free(net);
        free(text);
        free(sections);
        free(keys);
        diag_free(d);
    }
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bottleneck_is_the_papers), cmocka_unit_test(other_stacks), cmocka_unit_test(activation_of_hidden_layers),
        cmocka_unit_test(refusals), cmocka_unit_test(parameter_formula), cmocka_unit_test(host_agrees),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
