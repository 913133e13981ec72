/* tap=auto and activation=auto: on every cfg Debian's darknet ships, and where the rule has to give up. */
#include "check.h"

#include "layers/sections.h"

#include "darknet_plugin/lowering/lower.h"

#define SHIPPED "/usr/share/darknet/cfg/"

typedef struct parsed {
    diag *d;
    cfg_file *cfg;
    net_shape *shape;
} parsed;

static parsed open_text(const char *text)
{
    parsed p = { .d = diag_new() };
    p.cfg = cfg_parse("t.cfg", text, strlen(text), p.d);
    p.shape = shapes_infer(p.cfg, p.d);
    check_no_errors(p.d);
    return p;
}

static void close_text(parsed p)
{
    shapes_free(p.shape);
    cfg_free(p.cfg);
    diag_free(p.d);
}

/* "80 leaky, 92 leaky": taps and activations; the caller frees. */
static char *taps_of(parsed p)
{
    int *tap, n = tap_find(p.cfg, p.shape, cfg_net(p.cfg), &tap, p.d);
    char *out = mem_strdup("");
    for (int i = 0; i < n; ++i) {
        char *was = out;
        out = mem_printf("%s%s%d %s", was, i ? ", " : "", tap[i], tap_activation(p.cfg, tap[i]));
        free(was);
    }
    free(tap);
    return out;
}

static void check_taps(const char *text, const char *expected)
{
    parsed p = open_text(text);
    char *got = taps_of(p);
    check_no_errors(p.d);
    assert_string_equal(got, expected);
    free(got);
    close_text(p);
}

static void check_gives_up(const char *text, int line, const char *message)
{
    parsed p = open_text(text);
    int *tap = (int[]){ 7 };
    assert_int_equal(tap_find(p.cfg, p.shape, cfg_net(p.cfg), &tap, p.d), 0);
    assert_null(tap);
    assert_int_equal(diag_errors(p.d), 1);
    assert_string_equal(diag_get(p.d, 0)->text, message);
    assert_int_equal(diag_get(p.d, 0)->line, line);
    assert_non_null(diag_get(p.d, 0)->hint);
    close_text(p);
}

static void shipped_networks(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        { "resnet18", "25 leaky" },      { "resnet50", "65 leaky" },     { "resnext50", "65 leaky" },
        { "darknet19", "22 leaky" },     { "darknet53", "74 linear" },   { "densenet201", "301 leaky" },
        { "vgg-16", "21 relu" },         { "alexnet", "10 relu" },       { "cifar", "12 leaky" },
        { "yolov3", "80 leaky, 92 leaky, 104 leaky" },                   { "yolov3-tiny", "14 leaky, 21 leaky" },
        { "yolov2", "29 leaky" },        { "yolov2-tiny", "13 leaky" },  { "extraction", "23 leaky" },
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        char *path = mem_printf(SHIPPED "%s.cfg", known[i][0]), *text = check_read(path, NULL);
        check_taps(text, known[i][1]);
        free(text);
        free(path);
    }
}

#define NET "[net]\nwidth=8\nheight=8\nchannels=3\n"
#define CONV(act) "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=" act "\n"
#define CLASSES "[convolutional]\nfilters=5\nsize=1\nactivation=linear\n"
#define CONNECTED(act) "[connected]\noutput=5\nactivation=" act "\n"

static void classifiers(void **state)
{
    (void)state;
    check_taps(NET CONV("relu") CONV("linear") "[shortcut]\nfrom=-2\nactivation=relu\n[avgpool]\n" CLASSES "[softmax]\n[cost]\n", "2 relu");
    check_taps(NET CONV("relu") CLASSES "[avgpool]\n[softmax]\n", "0 relu");
    check_taps(NET CONV("mish") CLASSES "[avgpool]\n[softmax]\n", "0 mish");
    check_taps(NET CONV("linear") "[activation]\nactivation=hard_swish\n" CLASSES "[avgpool]\n[softmax]\n", "1 hard_swish");
    check_taps(NET CONV("leaky") "[avgpool]\n[dropout]\n" CONNECTED("linear") "[softmax]\n[cost]\n", "0 leaky");
    check_taps(NET CONV("relu") CONNECTED("elu") "[dropout]\n" CONNECTED("linear") "[dropout]\n[softmax]\n", "1 elu");
    check_taps(NET CONV("relu") CONV("tanh") "[maxpool]\nsize=2\nstride=2\n[avgpool]\n" CONNECTED("linear") "[softmax]\n", "2 tanh");
    check_taps(NET "[avgpool]\n" CONV("relu") CLASSES "[softmax]\n", "1 relu");
}

static void gives_up(void **state)
{
    (void)state;
    check_gives_up(NET CONV("relu") CONV("relu") "[route]\nlayers=0,1\n[softmax]\n", 1,
                   "tap=auto: layers join between the classifier and its output (layer 2 [route], t.cfg:15)");
    check_gives_up(NET CONV("relu") CONV("relu") "[shortcut]\nfrom=0\n[avgpool]\n[softmax]\n", 1,
                   "tap=auto: layers join between the classifier and its output (layer 2 [shortcut], t.cfg:15)");
    check_gives_up(NET "[avgpool]\n" CLASSES "[softmax]\n", 1,
                   "tap=auto: the classifier reads the network's input, there is no feature (layer 1 [convolutional], t.cfg:6)");
    check_gives_up(NET "[avgpool]\n[softmax]\n", 1, "tap=auto: no layer with weights before the output (layer 1 [softmax], t.cfg:6)");
    check_gives_up(NET CONV("relu") "[softmax]\n" CONNECTED("relu"), 1,
                   "tap=auto: the teacher ends on [connected], not on [softmax], [yolo] or [region]");
    char *text = check_read(SHIPPED "yolov1-tiny.cfg", NULL);
    check_gives_up(text, 1, "a [detection] teacher (t.cfg:116) is not supported");
    free(text);
}

static void check_activation(const char *layers, int tap, const char *expected)
{
    char *text = mem_printf(NET "%s", layers);
    diag *d = diag_new();
    cfg_file *c = cfg_parse("t.cfg", text, strlen(text), d);
    check_no_errors(d);
    assert_string_equal(tap_activation(c, tap), expected);
    cfg_free(c);
    diag_free(d);
    free(text);
}

static void activations(void **state)
{
    (void)state;
    check_activation("[convolutional]\nfilters=2\n", 0, "logistic");
    check_activation("[connected]\noutput=2\n", 0, "logistic");
    check_activation(CONV("relu") CONV("relu") "[shortcut]\nfrom=0\n", 2, "linear");
    check_activation(CONV("relu") "[dropout]\n[maxpool]\nsize=2\nstride=2\n[upsample]\nstride=2\n[reorg]\nstride=2\n[avgpool]\n", 5, "relu");
    check_activation(CONV("relu") CONV("relu") "[route]\nlayers=-1,-2\n", 2, "relu");
    check_activation(CONV("relu") CONV("leaky") "[route]\nlayers=-1,0\n", 2, "linear");
    check_activation(CONV("relu") CONV("relu") CONV("leaky") "[route]\nlayers=0,1\n[route]\nlayers=3,-2\n", 4, "linear");
    check_activation(CONV("linear") "[activation]\nactivation=elu\n", 1, "elu");
    check_activation("[maxpool]\nsize=2\nstride=2\n", 0, "linear");
    check_activation(CONV("relu") "[softmax]\n", 1, "linear");
    check_activation(CONV("relu"), -1, "linear");
}

/* Each route reads the two before it: walking from behind would take 2^200 steps. */
static void routes_of_routes_are_quick(void **state)
{
    (void)state;
    size_t n = 200;
    char *text = mem_calloc(n + 4, 32), *end = text + sprintf(text, "%s%s", CONV("relu"), CONV("relu"));
    for (size_t i = 0; i < n; ++i) end += sprintf(end, "[route]\nlayers=-1,-2\n");
    check_activation(text, (int)n + 1, "relu");
    free(text);
}

int main(void)
{
    sections_register();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(shipped_networks), cmocka_unit_test(classifiers), cmocka_unit_test(gives_up),
        cmocka_unit_test(activations), cmocka_unit_test(routes_of_routes_are_quick),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
