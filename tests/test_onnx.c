/* ONNX files: every section that is known, read back by OpenCV with the host library's answers; what is not known is refused
 * with its section and line. A build with ONNX=0 says so and writes nothing. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/data/image_io.h"
#include "layers/cpu/cpu.h"
#include "weights_tools/onnx/onnx_layers.h"

#include <unistd.h>

#define NET "[net]\nwidth=10\nheight=8\nchannels=3\n"
#define CONV(filters, size, stride, activation) \
    "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=" #activation "\n"

enum { INPUTS = 3 * 8 * 10 };

static const struct { const char *name, *cfg; } nets[] = {
    { "classifier", NET CONV(6, 3, 1, relu) CONV(8, 3, 2, leaky) "[avgpool]\n[convolutional]\nfilters=5\nsize=1\nactivation=linear\n[softmax]\n" },
    { "connected", NET CONV(4, 3, 2, relu) "[connected]\noutput=7\nbatch_normalize=1\nactivation=tanh\n[dropout]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n[cost]\n" },
    { "convolution behind connected", NET "[connected]\noutput=6\nactivation=leaky\n[convolutional]\nfilters=4\nsize=1\nactivation=linear\n" },
    { "groups", NET CONV(6, 1, 1, linear) "[convolutional]\nfilters=6\ngroups=6\nsize=3\npad=1\nactivation=elu\n[convolutional]\nfilters=4\ngroups=2\nsize=1\nactivation=logistic\n" },
    { "selu, relie", NET CONV(6, 3, 1, selu) CONV(6, 3, 1, relie) },
    { "maxpool 2/2", NET CONV(4, 3, 1, relu) "[maxpool]\nsize=2\nstride=2\n" },
    { "maxpool 2/1", NET CONV(4, 3, 1, linear) "[maxpool]\nsize=2\nstride=1\n" },
    { "maxpool 3/2", NET CONV(4, 3, 1, linear) "[maxpool]\nsize=3\nstride=2\n" },
    { "maxpool 5/1", NET CONV(4, 3, 1, linear) "[maxpool]\nsize=5\nstride=1\n" },
    { "maxpool 1/2", NET CONV(4, 3, 1, linear) "[maxpool]\nsize=1\nstride=2\n" },
    { "maxpool 3/3 without padding", NET CONV(4, 3, 1, linear) "[maxpool]\nsize=3\nstride=3\npadding=0\n" },
    { "shortcut", NET CONV(6, 3, 1, relu) CONV(6, 3, 1, linear) "[shortcut]\nfrom=-2\nactivation=leaky\n" },
    { "shortcut with factors", NET CONV(6, 3, 1, relu) CONV(6, 3, 1, linear) "[shortcut]\nfrom=0\nalpha=.5\nbeta=2\nactivation=linear\n" },
    { "shortcut from a larger, thinner map", NET CONV(4, 3, 1, relu) CONV(6, 3, 2, linear) "[shortcut]\nfrom=-2\nactivation=relu\n" },
    { "shortcut from a thicker map", NET CONV(6, 3, 1, relu) CONV(4, 3, 1, linear) "[shortcut]\nfrom=-2\nbeta=.5\nactivation=linear\n" },
    { "shortcut with odd sizes", NET CONV(4, 3, 1, relu) CONV(6, 3, 3, linear) "[shortcut]\nfrom=0\nactivation=relu\n" },
    { "route", NET CONV(6, 3, 1, relu) CONV(4, 3, 1, linear) "[route]\nlayers=-1,0\n" CONV(3, 1, 1, leaky) "[route]\nlayers=1\n" },
    { "route of rows", NET "[connected]\noutput=4\nactivation=leaky\n[connected]\noutput=3\nactivation=linear\n[route]\nlayers=0,1\n" },
    { "upsample", NET CONV(4, 3, 2, relu) "[upsample]\nstride=2\n[route]\nlayers=-1\n" CONV(3, 3, 1, linear) },
    { "upsample with a factor", NET CONV(4, 3, 2, relu) "[upsample]\nstride=3\nscale=.5\n" },
    { "activation", NET CONV(4, 3, 2, linear) "[activation]\nactivation=leaky\n[activation]\nactivation=linear\n" },
    { "temperature", NET "[connected]\noutput=6\nactivation=linear\n[softmax]\ntemperature=2.5\n" },
    { "softmax in groups", NET "[connected]\noutput=6\nactivation=linear\n[softmax]\ngroups=2\n" },
    { "mish, swish", NET CONV(6, 3, 1, mish) CONV(6, 3, 1, swish) CONV(6, 3, 1, silu) },
    { "relu6, hard_swish", NET CONV(6, 3, 1, relu6) CONV(6, 3, 1, hard_swish) },
    { "hard_mish, gelu", NET CONV(6, 3, 1, hard_mish) CONV(6, 3, 1, gelu) },
    { "activations of rows", NET "[connected]\noutput=6\nactivation=mish\n[activation]\nactivation=relu6\n" },
    { "shortcut with mish", NET CONV(6, 3, 1, relu) CONV(6, 3, 1, linear) "[shortcut]\nfrom=-2\nactivation=mish\n" },
    { "parts of a route", NET CONV(6, 3, 1, relu) CONV(4, 3, 1, linear) "[route]\nlayers=-1,0\ngroups=2\ngroup_id=1\n[route_lhalf]\nlayers=0\n" CONV(3, 1, 1, leaky) },
    { "squeeze and excitation", NET CONV(6, 3, 1, relu) "[avgpool]\n" CONV(6, 1, 1, logistic) "[scale_channels]\nfrom=0\nactivation=leaky\n" CONV(3, 3, 1, linear) },
    { "squeezed by connected", NET CONV(6, 3, 1, relu) "[avgpool]\n[connected]\noutput=6\nactivation=logistic\n[scale_channels]\nfrom=0\n" },
    { "scaled by pixel", NET CONV(6, 3, 1, relu) CONV(1, 3, 1, logistic) "[scale_channels]\nfrom=0\nscale_wh=1\n" },
    { "attention", NET CONV(6, 3, 1, relu) CONV(6, 1, 1, logistic) "[sam]\nfrom=-2\n" },
    { "reorg3d", NET CONV(3, 3, 1, relu) "[reorg3d]\nstride=2\n" CONV(3, 1, 1, linear) },
    { "dilation", NET CONV(4, 3, 1, relu) CONV(4, 3, 2, linear) "dilation=2\n" },
    { "two strides", NET CONV(4, 3, 1, relu) "stride_x=2\n[maxpool]\nsize=2\nstride_x=1\nstride_y=2\n" },
    { "sum of three", NET CONV(4, 3, 1, relu) CONV(6, 3, 1, linear) CONV(5, 1, 1, linear) "[shortcut]\nfrom=-2,0\nactivation=leaky\n" },
    { "weighed sum", NET CONV(4, 3, 1, relu) CONV(4, 3, 1, linear) "[shortcut]\nfrom=-2\nactivation=linear\nweights_type=per_feature\nweights_normalization=softmax\n" },
    { "sum weighed by channel", NET CONV(4, 3, 1, relu) CONV(4, 3, 1, linear) "[shortcut]\nfrom=-2\nactivation=relu\nweights_type=per_channel\n" },
    { "output that is passed on", NET CONV(4, 3, 1, relu) CONV(4, 3, 1, relu) "[route]\nlayers=0\n" },
};

static cfg_file *parse_cfg(const char *text, diag *d)
{
    cfg_file *c = cfg_parse("x.cfg", text, strlen(text), d);
    assert_non_null(c);
    check_no_errors(d);
    return c;
}

static int without_onnx(void)
{
#ifdef ONNX
    return 0;
#else
    print_message("skipped: this build is without ONNX (make ONNX=0)\n");
    return 1;
#endif
}

static int last_output(const cfg_file *c)
{
    int last = cfg_layers(c) - 1;
    while (cfg_is(cfg_layer(c, last), "cost")) --last;
    return last;
}

static void check_net(const char *name, const char *text, uint64_t stream)
{
    diag *d = diag_new();
    network *net = check_parse(text);
    cfg_file *c = parse_cfg(text, d);
    int last = last_output(c);
    float x[INPUTS], got[4096];
    cpu_options of_host = { .backend = BACKEND_HOST };   /* ours is only what the host lacks */
    char why[200] = "";
    check_fill(x, INPUTS, 4);
    assert_int_equal(cpu_bind(net, &of_host, d), 0);
    check_fill_network(net, stream);
    if (check_write_onnx(net, c, &last, 1, "x.onnx", d)) diag_print(d, stderr);
    check_no_errors(d);
    dnn_net *n = dnn_read_onnx("x.onnx", why, sizeof why);
    if (!n) fail_msg("%s: %s", name, why);
    int floats = dnn_forward_layer(n, "output", x, 3, 8, 10, got, 4096, why, sizeof why);
    if (floats != net->layers[last].outputs) fail_msg("%s: %d outputs, expected %d; %s", name, floats, net->layers[last].outputs, why);
    network_predict(net, x);
    check_close_n(got, net->layers[last].output, (size_t)floats, 1e-5, name);
    dnn_free(n);
    cpu_unbind(net);
    host_free(net);
    cfg_free(c);
    diag_free(d);
}

static void opencv_answers_as_the_host(void **state)
{
    (void)state;
    if (without_onnx()) skip();
    for (size_t i = 0; i < sizeof nets / sizeof *nets; ++i) check_net(nets[i].name, nets[i].cfg, 100 * (i + 1));
}

static void detector_has_an_output_a_head(void **state)
{
    (void)state;
    static const char text[] = NET CONV(4, 3, 2, relu) "[convolutional]\nfilters=14\nsize=1\nactivation=linear\n"
        "[yolo]\nmask=0,1\nanchors=1,2, 3,4\nclasses=2\nnum=2\n[route]\nlayers=0\n[convolutional]\nfilters=7\nsize=1\nactivation=linear\n"
        "[yolo]\nmask=0\nanchors=1,2, 3,4\nclasses=2\nnum=2\n";
    static const int output[2] = { 1, 4 };
    if (without_onnx()) skip();
    diag *d = diag_new();
    network *net = check_parse(text);
    cfg_file *c = parse_cfg(text, d);
    float x[INPUTS], got[14 * 4 * 5];
    char why[200] = "";
    check_fill(x, INPUTS, 4);
    check_fill_network(net, 8);
    assert_int_equal(check_write_onnx(net, c, output, 2, "x.onnx", d), 0);
    dnn_net *n = dnn_read_onnx("x.onnx", why, sizeof why);
    assert_non_null(n);
    network_predict(net, x);
    for (int i = 0; i < 2; ++i) {
        const layer *l = &net->layers[output[i]];
        assert_int_equal(dnn_forward_layer(n, i ? "output1" : "output0", x, 3, 8, 10, got, 14 * 4 * 5, why, sizeof why), l->outputs);
        check_close_n(got, l->output, (size_t)l->outputs, 1e-5, "head");
    }
    dnn_free(n);
    host_free(net);
    cfg_free(c);
    diag_free(d);
}

static const struct { const char *name, *cfg, *section, *says; int line; } refused[] = {
    { "reorg", NET CONV(4, 3, 1, relu) "[reorg]\nstride=2\n", "reorg", "this section", 12 },
    { "local", NET "[local]\nfilters=2\nsize=3\nactivation=linear\n", "local", "this section", 5 },
    { "shortcut from a smaller map", NET CONV(4, 3, 2, relu) "[upsample]\nstride=2\n[shortcut]\nfrom=0\nactivation=linear\n", "shortcut", "of this shape", 15 },
    { "shortcut with alpha", NET CONV(4, 3, 1, relu) CONV(6, 3, 1, relu) "[shortcut]\nfrom=0\nalpha=2\nactivation=linear\n", "shortcut", "of this shape", 20 },
    { "activation", NET CONV(4, 3, 1, stair), "convolutional", "activation=stair", 11 },
    { "shrinking", NET "[upsample]\nstride=-2\n", "upsample", "shrinks", 6 },
    { "spatial", NET CONV(4, 3, 1, relu) "[softmax]\nspatial=1\n", "softmax", "spatial=", 13 },
};

static void unknown_is_refused(void **state)
{
    (void)state;
    if (without_onnx()) skip();
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i) {
        diag *d = diag_new();
        network *net = check_parse(refused[i].cfg);
        cfg_file *c = parse_cfg(refused[i].cfg, d);
        int last = net->n - 1;
        assert_int_equal(check_write_onnx(net, c, &last, 1, "refused.onnx", d), -1);
        assert_int_equal(diag_errors(d), 1);
        const diag_message *e = diag_get(d, 0);
        if (!strstr(e->text, refused[i].says)) fail_msg("%s: %s", refused[i].name, e->text);
        assert_string_equal(e->section, refused[i].section);
        if (e->line != refused[i].line) fail_msg("%s: line %d", refused[i].name, e->line);
        assert_int_equal(access("refused.onnx", F_OK), -1);
        host_free(net);
        cfg_free(c);
        diag_free(d);
    }
}

static void unwritable(void **state)
{
    (void)state;
    static const char text[] = NET "[avgpool]\n";
    if (without_onnx()) skip();
    diag *d = diag_new();
    network *net = check_parse(text);
    cfg_file *c = parse_cfg(text, d);
    int last = 0;
    assert_int_equal(check_write_onnx(net, c, &last, 1, "no/such/folder.onnx", d), -1);
    assert_int_equal(diag_errors(d), 1);
    assert_non_null(strstr(diag_get(d, 0)->text, "No such file"));
    host_free(net);
    cfg_free(c);
    diag_free(d);
}

/* Half precision: the rounded floats are what the halves are, and no weight may be beyond them. */
static void test_precisions(void **state)
{
    (void)state;
    if (without_onnx()) return;
    static const float fits[4] = { 1, -.1f, 65503, 1e-7f }, large[4] = { 1, 2, -65504, 3 };
    const int64_t dim[2] = { 2, 2 };
    char why[64];
    onnx_model *model = onnx_begin("x", 1, 2, 2, why, sizeof why);
    assert_int_equal(onnx_weights(model, "a", dim, 2, fits, ONNX_HALVES), 0);
    assert_int_equal(onnx_weights(model, "b", dim, 2, fits, ONNX_ROUNDED), 0);
    assert_int_equal(onnx_weights(model, "c", dim, 2, large, ONNX_FLOATS), 0);
    assert_int_equal(onnx_weights(model, "d", dim, 2, large, ONNX_HALVES), -1);
    assert_int_equal(onnx_weights(model, "e", dim, 2, large, ONNX_ROUNDED), -1);
    onnx_free(model);
}

/* One that is too large is told with its layer, and nothing is written. */
static void test_too_large_for_halves(void **state)
{
    (void)state;
    if (without_onnx()) return;
    static const char text[] = NET CONV(4, 3, 1, relu) "[convolutional]\nfilters=2\nsize=1\nactivation=linear\n";
    diag *d = diag_new();
    cfg_file *cfg = parse_cfg(text, d);
    network *net = check_parse(text);
    int output = 1;
    out_file file;
    check_fill_network(net, 3);
    net->layers[1].weights[2] = 1e6f;
    assert_int_equal(net_file_onnx(&file, "large.onnx", net, cfg, &output, 1, ONNX_HALVES, d), -1);
    out_file_drop(&file);
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->text, "its weights are too large for -fp16, whose numbers end at 65504");
    assert_int_equal(diag_get(d, 0)->line, 12);
    assert_int_equal(access("large.onnx", F_OK), -1);
    host_free(net);
    cfg_free(cfg);
    diag_free(d);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_precisions), cmocka_unit_test(test_too_large_for_halves),
        cmocka_unit_test(opencv_answers_as_the_host), cmocka_unit_test(detector_has_an_output_a_head), cmocka_unit_test(unknown_is_refused),
        cmocka_unit_test(unwritable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
