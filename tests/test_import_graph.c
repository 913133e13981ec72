/* weights import from ONNX: a graph that computes what the cfg says gives ONNX Runtime's answers, in whatever way an exporter
 * says it; one that computes something else is refused, and node and layer are named. Models and answers:
 * fixtures/make_graphs.py. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/model/model.h"
#include "darknet_plugin/base/options.h"

#include <sys/stat.h>
#include <unistd.h>

#ifdef ONNX

#define NET "[net]\nbatch=1\nsubdivisions=1\nwidth=8\nheight=8\nchannels=3\n"
#define CONV(filters, size, stride, more) \
    "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=" more
#define POOL "[maxpool]\nsize=2\nstride=2\n"
#define FC "[connected]\noutput=5\nactivation=linear\n[softmax]\n"
#define END "[avgpool]\n" FC

static const char plain[] = NET CONV(4, 3, 1, "relu\n") POOL END;
static const char plain_norm[] = NET CONV(4, 3, 1, "relu\nbatch_normalize=1\n") POOL END;
static const char plain_linear[] = NET CONV(4, 3, 1, "linear\n") POOL END;
static const char plain_leaky[] = NET CONV(4, 3, 1, "leaky\n") POOL END;
static const char plain_swish[] = NET CONV(4, 3, 1, "silu\n") POOL END;
static const char plain_mish[] = NET CONV(4, 3, 1, "mish\n") POOL END;
static const char plain_relu6[] = NET CONV(4, 3, 1, "relu6\n") POOL END;
static const char plain_hard_swish[] = NET CONV(4, 3, 1, "hard_swish\n") POOL END;
static const char active_swish[] = NET CONV(4, 3, 1, "linear\n") "[activation]\nactivation=swish\n" POOL END;
static const char active_mish[] = NET CONV(4, 3, 1, "linear\n") "[activation]\nactivation=mish\n" POOL END;
static const char bare[] = NET CONV(4, 3, 1, "relu\n") END;
static const char no_softmax[] = NET CONV(4, 3, 1, "relu\n") POOL "[avgpool]\n[connected]\noutput=5\nactivation=linear\n";
static const char tanh_end[] = NET CONV(4, 3, 1, "relu\n") POOL "[avgpool]\n[connected]\noutput=5\nactivation=tanh\n";
static const char more_end[] = NET CONV(4, 3, 1, "relu\n") POOL "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[activation]\nactivation=tanh\n";
static const char temperature[] = NET CONV(4, 3, 1, "relu\n") POOL "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\ntemperature=4\n";
static const char active[] = NET CONV(4, 3, 1, "linear\n") "[activation]\nactivation=relu\n" POOL END;
static const char flat[] = NET CONV(4, 3, 2, "relu\n") FC;
static const char stem[] = NET CONV(4, 3, 1, "relu\n") "[maxpool]\nsize=3\nstride=2\npadding=1\n" END;
static const char residual[] = NET CONV(4, 3, 1, "relu\n") CONV(4, 1, 1, "linear\n") "[shortcut]\nfrom=-2\nactivation=relu\n" END;
static const char halved[] = NET CONV(4, 3, 1, "relu\n") CONV(4, 1, 2, "linear\n") "[shortcut]\nfrom=-2\nactivation=relu\n" END;
static const char picked[] = NET CONV(4, 3, 1, "relu\n") "[maxpool]\nsize=1\nstride=2\n" CONV(4, 1, 1, "linear\n")
    "[shortcut]\nfrom=0\nactivation=relu\n" END;
static const char neck[] = NET CONV(4, 3, 1, "relu\n") POOL CONV(4, 1, 1, "linear\n") "[upsample]\nstride=2\n[route]\nlayers=-1,0\n" END;
static const char neck_other[] = NET CONV(4, 3, 1, "relu\n") POOL CONV(4, 1, 1, "linear\n") "[upsample]\nstride=2\n[route]\nlayers=0,-1\n" END;
static const char eight[] = NET CONV(8, 3, 1, "relu\nbatch_normalize=1\n") POOL END;
static const char encoder[] = NET "[teacher]\ncfg=none.cfg\n" CONV(4, 3, 1, "relu\n") "[projector]\n[feature_l2]\n[reused_classifier]\n";

extern const verb weights_import;

static char fixtures[1024], answers[1024];

/* Runs the verb on this file; its messages stay in `d`. */
static int import_file(const char *cfg_text, const char *model, const char *map, diag *d)
{
    static options o;
    size_t size;
    char *text = NULL;
    check_write("net.cfg", cfg_text, strlen(cfg_text));
    if (map) check_write("map.txt", map, strlen(map));
    o = (options){ .n = 4, .arg = { "import", "net.cfg", (char *)(uintptr_t)model, "out.weights" }, .map = map ? "map.txt" : NULL, .eps = 1e-5 };
    o.out = open_memstream(&text, &size);
    unlink("out.weights");
    int failed = weights_import.run(&o, d);
    fclose(o.out);
    free(text);
    return failed;
}

/* The same with one of the fixtures. */
static int import(const char *cfg_text, const char *name, const char *map, diag *d)
{
    char *model = mem_printf("%s/%s.onnx", fixtures, name);
    int failed = import_file(cfg_text, model, map, d);
    free(model);
    return failed;
}

/* The numbers behind `name` in answers.txt; how many. */
static int answer_of(const char *name, float *out, int room)
{
    char *text = NULL;
    size_t n = 0;
    int count = 0;
    FILE *f = fopen(answers, "r");
    while (f && !count && getline(&text, &n, f) >= 0) {
        char *end, *at = strchr(text, ' ');
        if (!at || strncmp(text, name, strlen(name)) || text[strlen(name)] != ' ') continue;
        for (; count < room; at = end) {
            float v = strtof(at, &end);
            if (end == at) break;
            out[count++] = v;
        }
    }
    if (f) fclose(f);
    free(text);
    return count;
}

static void gives_the_answer(const char *cfg_text, const char *name, double tolerance)
{
    float image[192], want[5];
    diag *d = diag_new();
    int failed = import(cfg_text, name, NULL, d);
    for (int i = 0; i < diag_count(d); ++i)
        if (diag_get(d, i)->level == DIAG_ERROR) fail_msg("%s: %s", name, diag_get(d, i)->text);
    assert_int_equal(failed, 0);
    assert_int_equal(answer_of("input", image, 192), 192);
    if (answer_of(name, want, 5) != 5) fail_msg("no answer for %s", name);
    model_options mo = { .threads = 1 };
    model *m = model_open("net.cfg", &mo, d);
    assert_int_equal(model_load_whole(m, "out.weights", d), 0);
    check_close_n(model_predict(m, image), want, 5, tolerance, name);
    model_close(m);
    diag_free(d);
}

static void right_graphs_answer_as_onnx_runtime(void **state)
{
    (void)state;
    static const struct { const char *cfg, *name; } rows[] = {
        { plain, "opset9" }, { plain, "opset11" }, { plain, "opset13" }, { plain, "opset15" }, { plain, "opset17" }, { plain, "opset19" },
        { plain_norm, "opset10_norm" }, { plain_norm, "opset12_norm" }, { plain_norm, "opset14_norm" }, { plain_norm, "opset16_norm" },
        { plain_norm, "opset18_norm" }, { plain_norm, "opset20_norm" }, { plain_norm, "opset13" }, { plain, "view11" }, { plain, "view13" },
        { plain, "dynamo18" }, { plain, "mean17" }, { plain, "matmul" }, { plain, "transposed_weights" }, { plain, "conv_classifier" },
        { plain, "conv_add" }, { plain, "clip9" }, { plain, "relu_behind_pool" }, { plain, "same_upper" }, { plain, "pad_node" },
        { plain, "average_of_all" }, { active, "opset13" }, { plain, "half" }, { plain, "external" },
        { flat, "flat_first" }, { flat, "flat_last" }, { flat, "keras" }, { flat, "same_lower" },
        { stem, "max_behind" }, { stem, "max_pad_node" }, { stem, "max_ceil" }, { residual, "residual" },
        { halved, "halved" }, { halved, "halved_pooled" }, { picked, "halved" }, { picked, "halved_pooled" },
        { neck, "upsample9" }, { neck, "resize10" }, { neck, "resize11" }, { neck, "resize13" }, { neck, "resize19" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) gives_the_answer(rows[i].cfg, rows[i].name, 2e-6);
    gives_the_answer(plain, "all_half", 2e-3);
}

/* Activations that one operator is, or a product of two. */
static void other_activations_are_known(void **state)
{
    (void)state;
    static const struct { const char *cfg, *name; } rows[] = {
        { plain_swish, "swish" }, { plain_hard_swish, "hard_swish" }, { plain_relu6, "relu6" }, { active_swish, "swish" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        diag *d = diag_new();
        import(rows[i].cfg, rows[i].name, NULL, d);
        check_no_errors(d);
        diag_free(d);
    }
}

/* What export -onnx writes is imported: as operators of opset 13. */
static void written_activations_come_back(void **state)
{
    (void)state;
    static const char *const cfgs[] = { plain_swish, plain_mish, plain_relu6, plain_hard_swish, active_mish };
    for (size_t i = 0; i < sizeof cfgs / sizeof *cfgs; ++i) {
        diag *d = diag_new();
        network *net = check_parse(cfgs[i]), *back = check_parse(cfgs[i]);
        cfg_file *c = cfg_parse("net.cfg", cfgs[i], strlen(cfgs[i]), d);
        int last = net->n - 1;
        check_fill_network(net, 5);
        check_write_onnx(net, c, &last, 1, "mine.onnx", d);
        import_file(cfgs[i], "mine.onnx", NULL, d);
        check_no_errors(d);
        host_load_weights(back, "out.weights");
        check_close_n(back->layers[0].weights, net->layers[0].weights, (size_t)net->layers[0].nweights, 0, "weights");
        cfg_free(c);
        host_free(net);
        host_free(back);
        diag_free(d);
    }
}

/* Fails unless `message` is somewhere in what is said, and nothing was written. */
static void refuses(const char *cfg_text, const char *name, const char *map, const char *message)
{
    char *said = NULL;
    size_t size;
    diag *d = diag_new();
    if (!import(cfg_text, name, map, d)) fail_msg("%s was imported, expected: %s", name, message);
    FILE *f = open_memstream(&said, &size);
    diag_print(d, f);
    fclose(f);
    if (!strstr(said, message)) fail_msg("%s: said\n%s\nexpected\n%s", name, said, message);
    assert_int_equal(access("out.weights", F_OK), -1);
    free(said);
    diag_free(d);
}

#define CONV_0 "(Conv) is not [convolutional] #0 (net.cfg:7): "

static void other_graphs_are_refused(void **state)
{
    (void)state;
    static const struct { const char *cfg, *name, *message; } rows[] = {
        { plain, "pads", "node 'conv1' " CONV_0 "its windows are 3x3 with strides 1x1, begin 0 rows" },
        { plain, "dilations", CONV_0 "its windows are 3x3 with strides 1x1, begin 2 rows and 2 columns before the map, give 8x8 results, dilations=2" },
        { plain, "strides", CONV_0 "its windows are 3x3 with strides 2x2" },
        { plain_leaky, "leaky", "node 'leakyrelu2' (LeakyRelu) is not [convolutional] #0 (net.cfg:7): LeakyRelu of alpha=0.2, the layer has activation=leaky, of alpha=0.1" },
        { plain, "leaky", "LeakyRelu of alpha=0.2, the layer has activation=relu" },
        { plain, "sigmoid", "Sigmoid, the layer has activation=relu" },
        { plain, "relu6", "limits 0 to 6, the layer has activation=relu" },
        { plain, "hard_swish", "HardSwish, the layer has activation=relu" },
        { plain, "swish", "the layer has activation=relu" },
        { plain_mish, "swish", "Sigmoid, the layer has activation=mish" },
        { plain_swish, "relu6", "limits 0 to 6, the layer has activation=swish" },
        { plain_swish, "sigmoid", "it takes a layer's output through a part of swish" },
        { plain, "prelu", "node 'prelu2' (PRelu): no layer of Darknet does this" },
        { plain, "no_relu", "(GlobalAveragePool): it takes a layer's output before its activation=relu" },
        { plain_linear, "opset13", "Relu follows [convolutional] #0 (net.cfg:7), which has no such activation to come" },
        { plain, "second_tanh", "Tanh follows [convolutional] #0" },
        { plain, "average", "(AveragePool): means of 2x2 of a map of 8x8" },
        { plain, "no_pool", "no [avgpool] of the cfg reads [convolutional] #0" },
        { bare, "opset13", "(MaxPool): no [maxpool] of the cfg reads [convolutional] #0" },
        { plain, "large_pool", "(MaxPool) is not [maxpool] #1 (net.cfg:13): its windows are 3x3" },
        { plain, "max_of_all", "(GlobalMaxPool): no [maxpool] of the cfg reads [maxpool] #1" },
        { plain, "bias_along_rows", "its constants lie along another dimension than the channels" },
        { plain, "norm_behind_relu", "(BatchNormalization): follows no Conv, Gemm or MatMul" },
        { eight, "norm_of_four", "8x3x3x3: its batch norm's scale 'c1' has 4 numbers" },
        { plain, "layer_norm", "(LayerNormalization): no layer of Darknet does this" },
        { plain, "tail_sigmoid", "Sigmoid follows [connected] #3" },
        { plain, "softmax_axis", "(Softmax) is not [softmax] #4 (net.cfg:20): its axis takes 1 numbers" },
        { plain, "softmax_cold", "its input is multiplied by 0.25, the layer has temperature=1" },
        { temperature, "matmul", "its input is multiplied by 1, the layer has temperature=4" },
        { no_softmax, "matmul", "(Softmax): no [softmax] of the cfg reads [connected] #3" },
        { plain, "shuffle", "(Transpose): it puts numbers into an order that no layer has" },
        { plain, "early", "layer 3 wants 5x4 without batch norm, and nothing in" },
        { tanh_end, "opset13", "output 'gemm6' is the output of [connected] #3 (net.cfg:17) before its activation=tanh" },
        { more_end, "opset13", "output 'gemm6' is the output of [connected] #3 (net.cfg:17)\nhint: the cfg's last layer is [activation] #4" },
        { plain, "foreign", "node 'relu2' (Relu): no layer of Darknet does this" },
        { plain, "two_inputs", "takes 2 inputs, a network has one" },
        { plain, "input_initializer", "node 'mul1' (Mul): arithmetic on the network's input" },
        { plain, "input_value", "(Mul): arithmetic on the network's input" },
        { plain, "input_value_float", "(Mul): arithmetic on the network's input" },
        { plain, "input_value_floats", "hint: leave it out of the model; mean= and std= in [teacher]" },
        { plain, "input_subtracted", "(Sub): arithmetic on the network's input" },
        { residual, "residual_relu", "Relu follows [convolutional] #1" },
        { halved, "option_a", "channels of zeros before the first: Darknet's [shortcut] of unlike maps adds to the first channels" },
        { neck, "resize_linear", "mode linear; [upsample] repeats" },
        { neck, "resize_ceil", "is not [upsample] #3 (net.cfg:22): it does not repeat each row and column 2 times" },
        { neck, "concat_order", "no [route] of the cfg joins these outputs in this order" },
        { neck_other, "resize13", "no [route] of the cfg joins these outputs in this order" },
        { flat, "opset13", "fits no layer" },
        { plain, "external_up", "values in '../answer.bin', outside the model's folder" },
        { plain, "external_root", "values in '/etc/passwd', outside the model's folder" },
        { plain, "external_none", "values lie in 'none.bin' beside it, which cannot be read" },
        { plain, "external_short", "has not the 108 values its sizes ask for in the file beside it" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) refuses(rows[i].cfg, rows[i].name, NULL, rows[i].message);
}

/* A link beside the model that leads elsewhere. */
static void links_out_are_refused(void **state)
{
    (void)state;
    char *from = mem_printf("%s/external.onnx", fixtures), *bin = mem_printf("%s/external.bin", fixtures), *here = mem_strdup(fixtures);
    size_t n;
    assert_int_equal(mkdir("linked", 0777), 0);
    char *bytes = check_read(from, &n);
    check_write("linked/external.onnx", bytes, n);
    assert_int_equal(symlink(bin, "linked/external.bin"), 0);
    snprintf(fixtures, sizeof fixtures, "linked");
    refuses(plain, "external", NULL, "values in 'external.bin', outside the model's folder");
    snprintf(fixtures, sizeof fixtures, "%s", here);
    free(bytes);
    free(from);
    free(bin);
    free(here);
}

/* An encoder takes what it has; what stands behind it is the model's. A map may leave the end out, too. */
static void more_than_the_cfg_is_no_error(void **state)
{
    (void)state;
    diag *d = diag_new();
    assert_int_equal(import(encoder, "relu_behind_pool", NULL, d), -1);      /* its end is not the cfg's: the pool is before */
    assert_non_null(strstr(diag_get(d, 0)->text, "no value of it is the output of [convolutional] #0"));
    assert_int_equal(import(encoder, "opset13", NULL, d), 0);
    assert_int_equal(import(encoder, "tail_sigmoid", NULL, d), 0);
    assert_int_equal(import(encoder, "average", NULL, d), 0);
    assert_int_equal(diag_errors(d), 1);
    diag_free(d);
    refuses(encoder, "pads", NULL, "(Conv) is not [convolutional] #0 (net.cfg:9): its windows are");
    refuses(plain, "opset13", "c2 = none\n", "nothing in");
    refuses(plain, "opset13", "c2 = none\nc2 = 3\n", "map.txt:2: 'c2' is there twice, first in line 1");
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_graphs_answer_as_onnx_runtime), cmocka_unit_test(other_activations_are_known), cmocka_unit_test(written_activations_come_back),
        cmocka_unit_test(other_graphs_are_refused),
        cmocka_unit_test(links_out_are_refused), cmocka_unit_test(more_than_the_cfg_is_no_error),
    };
    network_init();
    if (!realpath("tests/fixtures/import/graphs", fixtures) || !realpath("tests/fixtures/import/graphs/answers.txt", answers) ||
        chdir(check_folder())) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

static void no_onnx(void **state)
{
    (void)state;
    skip();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(no_onnx) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#endif
