/* Weights files: every layer type byte for byte as the host writes it, prefixes, and every way a file can be wrong
 * (saving's own errors: test_weights_save.c). */
#include "layers/network.h"
#include "check.h"

#include "weights_tools/file/weights_file.h"

#include <sys/stat.h>
#include <unistd.h>

#define NET "[net]\nbatch=2\nheight=8\nwidth=8\nchannels=4\n"
#define FIRST "[convolutional]\ngroups=2\nfilters=6\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n" \
              "[maxpool]\nsize=2\nstride=2\n"
#define UP "[deconvolutional]\nfilters=3\nsize=2\nstride=2\nbatch_normalize=1\nactivation=relu\n"
#define UP_STOCK "[upsample]\nstride=2\n"
#define NORM "[batchnorm]\n"
#define REST(norm) \
    "[convolutional]\nfilters=4\nsize=1\nactivation=linear\n" norm \
    "[local]\nfilters=2\nsize=3\nstride=1\npad=1\nactivation=linear\n" \
    "[connected]\noutput=5\nbatch_normalize=1\nactivation=relu\n[connected]\noutput=4\nactivation=relu\n" \
    "[rnn]\noutput=3\nbatch_normalize=1\nactivation=relu\n[gru]\noutput=3\n" \
    "[lstm]\noutput=3\nbatch_normalize=1\n[softmax]\n"

/* Floats that each layer stores, worked out by hand: maps are 8x8, 4x4 behind the maxpool. */
static const size_t all_types[] = {
    6 + 18 + 6 * 2 * 9,  0,  3 + 9 + 6 * 3 * 4,  4 + 4 * 3,  3 * 4,  128 + 128 * 9 * 4,
    5 + 5 * 128 + 15,  4 + 4 * 5,
    (3 + 12 + 9) + 2 * (3 + 9 + 9),  6 * (3 + 9),  8 * (3 + 9 + 9),  0,
};
enum { ALL = sizeof all_types / sizeof *all_types, NORM_LAYER = 4 };
static const char all_cfg[] = NET FIRST UP REST(NORM);

/* A small one for the errors. */
static const char small_cfg[] = "[net]\nbatch=1\nheight=4\nwidth=4\nchannels=2\n"
    "[convolutional]\nfilters=2\nsize=1\nbatch_normalize=1\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n"
    "[connected]\noutput=2\nactivation=linear\n[softmax]\n";
static const size_t small[] = { 2 + 6 + 4, 0, 2 + 16, 0 };
enum { SMALL = sizeof small / sizeof *small };

static net_shape *shape_of(const size_t *stored, int n)
{
    net_shape *s = mem_calloc(1, sizeof *s);
    s->n = n;
    s->layer = mem_calloc((size_t)n, sizeof *s->layer);
    for (int i = 0; i < n; ++i) s->stored += s->layer[i].stored = stored[i];
    return s;
}

static void drop_shape(net_shape *s)
{
    free(s->layer);
    free(s);
}

static void fill(network *net, uint64_t stream)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j) {
            check_fill(t[j].data, t[j].n, stream + 100 * (uint64_t)i + (uint64_t)j);
            if (strstr(t[j].name, "variance"))
                for (size_t k = 0; k < t[j].n; ++k) t[j].data[k] = fabsf(t[j].data[k]);
        }
    }
}

static void save(const network *net, const char *path)
{
    diag *d = diag_new();
    assert_int_equal(weights_save(net, path, d), 0);
    check_no_errors(d);
    diag_free(d);
}

/* The shapes that files are held against come to the same numbers ([batchnorm] is refused there: it has no buffers
 * in this Darknet and crashes when it runs). */
static void test_shapes_agree(void **state)
{
    (void)state;
    static const char text[] = NET FIRST UP REST("");
    diag *d = diag_new();
    cfg_file *c = cfg_parse("all.cfg", text, strlen(text), d);
    net_shape *s = shapes_infer(c, d);
    check_no_errors(d);
    assert_int_equal(s->n, ALL - 1);
    for (int i = 0; i < ALL - 1; ++i) {
        size_t want = all_types[i + (i >= NORM_LAYER)];
        if (s->layer[i].stored != want)
            fail_msg("layer %d stores %zu values, expected %zu", i, s->layer[i].stored, want);
    }
    shapes_free(s);
    cfg_free(c);
    diag_free(d);
}

static void test_saves_every_type_as_the_host_does(void **state)
{
    (void)state;
    network *net = check_parse(all_cfg);
    net_shape *s = shape_of(all_types, ALL);
    char *host = check_path("host.weights"), *ours = check_path("ours.weights");
    assert_int_equal(net->n, ALL);
    fill(net, 1);
    *net->seen = ((size_t)7 << 32) + 12345;
    save_weights(net, host);
    save(net, ours);
    check_same_file(host, ours);
    weights_info info;
    diag *d = diag_new();
    assert_int_equal(weights_inspect(host, s, &info, d), 0);
    assert_int_equal(info.minor, 2);
    assert_int_equal(info.header_bytes, 20);
    assert_int_equal(info.floats, s->stored);
    assert_int_equal(info.layers, ALL);
    assert_true(info.seen == ((uint64_t)7 << 32) + 12345);
    diag_free(d);
    free(host);
    free(ours);
    drop_shape(s);
    host_free(net);
}

static void test_loads_every_type(void **state)
{
    (void)state;
    network *a = check_parse(all_cfg), *b = check_parse(all_cfg);
    net_shape *s = shape_of(all_types, ALL);
    char *path = check_path("all.weights");
    diag *d = diag_new();
    fill(a, 2);
    *a->seen = 640;
    save_weights(a, path);
    assert_true(weights_hash(a, 0, ALL) != weights_hash(b, 0, ALL));
    assert_int_equal(weights_load(b, s, path, NULL, d), 0);
    check_no_errors(d);
    assert_true(weights_hash(a, 0, ALL) == weights_hash(b, 0, ALL));
    assert_int_equal(*b->seen, 640);
    diag_free(d);
    free(path);
    drop_shape(s);
    host_free(a);
    host_free(b);
}

/* The host's own loader reads what we write (its deconvolution cannot be loaded: it divides by groups = 0). */
static void test_host_loads_ours(void **state)
{
    (void)state;
    static const char cfg[] = NET FIRST UP_STOCK REST(NORM);
    network *a = check_parse(cfg), *b = check_parse(cfg);
    char *path = check_path("forhost.weights");
    fill(a, 3);
    *a->seen = 99;
    save(a, path);
    load_weights(b, path);
    assert_true(weights_hash(a, 0, a->n) == weights_hash(b, 0, b->n));
    assert_int_equal(*b->seen, 99);
    free(path);
    host_free(a);
    host_free(b);
}

static void test_tensor_names(void **state)
{
    (void)state;
    network *net = check_parse(all_cfg);
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    assert_int_equal(weights_tensors(&net->layers[0], t), 5);
    assert_string_equal(t[0].name, "biases");
    assert_string_equal(t[4].name, "weights");
    assert_int_equal(weights_tensors(&net->layers[1], t), 0);
    assert_int_equal(weights_tensors(&net->layers[10], t), WEIGHTS_MAX_TENSORS);
    assert_string_equal(t[0].name, "wi biases");
    assert_string_equal(t[39].name, "ug variance");
    assert_ptr_equal(t[5].data, net->layers[10].wf->biases);
    host_free(net);
}

static void test_hash(void **state)
{
    (void)state;
    network *net = check_parse(small_cfg);
    fill(net, 4);
    uint64_t whole = weights_hash(net, 0, 4), head = weights_hash(net, 0, 2);
    assert_true(weights_hash(net, 0, 0) == 0xcbf29ce484222325u);
    net->layers[2].weights[15] = nextafterf(net->layers[2].weights[15], 9);
    assert_true(weights_hash(net, 0, 4) != whole);
    assert_true(weights_hash(net, 0, 2) == head);
    host_free(net);
}

/* A file of `floats` floats behind a header of the given version. The caller frees the path. */
static char *made(const char *name, int32_t major, int32_t minor, size_t header, const float *x, size_t bytes)
{
    char *path = check_path(name), *text = mem_calloc(1, header + bytes);
    int32_t v[3] = { major, minor, 0 };
    uint64_t seen = 4321;
    memcpy(text, v, header < sizeof v ? header : sizeof v);
    if (header > sizeof v) memcpy(text + sizeof v, &seen, header - sizeof v);
    if (x) memcpy(text + header, x, bytes);
    check_write(path, text, header + bytes);
    free(text);
    return path;
}

static void check_prefix(size_t floats, int layers, size_t header, int minor)
{
    float x[30];
    network *net = check_parse(small_cfg);
    net_shape *s = shape_of(small, SMALL);
    diag *d = diag_new();
    weights_info info;
    fill(net, 5);
    check_fill(x, 30, 6);
    for (int i = 6; i < 8; ++i) x[i] = fabsf(x[i]);
    char *path = made("prefix.weights", 0, minor, header, x, floats * sizeof *x);
    float last = net->layers[2].weights[15];
    assert_int_equal(weights_load(net, s, path, &info, d), 0);
    check_no_errors(d);
    assert_int_equal(info.layers, layers);
    assert_int_equal(info.floats, floats);
    assert_int_equal(info.header_bytes, header);
    assert_int_equal(*net->seen, 4321);
    assert_memory_equal(net->layers[0].biases, x, 2 * sizeof *x);
    assert_memory_equal(net->layers[0].rolling_variance, x + 6, 2 * sizeof *x);
    assert_memory_equal(net->layers[0].weights, x + 8, 4 * sizeof *x);
    assert_true(net->layers[2].weights[15] == (floats == 30 ? x[29] : last));
    free(path);
    diag_free(d);
    drop_shape(s);
    host_free(net);
}

static void test_prefixes_and_headers(void **state)
{
    (void)state;
    check_prefix(30, SMALL, 20, 2);   /* whole: the softmax behind it counts */
    check_prefix(30, SMALL, 20, 5);   /* AlexeyAB's version */
    check_prefix(30, SMALL, 16, 1);   /* old, 32-bit seen */
    check_prefix(12, 1, 20, 2);       /* the first convolution; the maxpool behind it does not count */
    check_prefix(12, 1, 16, 1);
}

/* Loading must fail with these words and leave the net alone. */
static void refused(const char *path, const char *text, const char *hint)
{
    network *net = check_parse(small_cfg);
    net_shape *s = shape_of(small, SMALL);
    diag *d = diag_new();
    fill(net, 7);
    *net->seen = 11;
    uint64_t before = weights_hash(net, 0, net->n);
    assert_int_equal(weights_load(net, s, path, NULL, d), -1);
    assert_int_equal(diag_count(d), 1);
    assert_string_equal(diag_get(d, 0)->file, path);
    assert_string_equal(diag_get(d, 0)->text, text);
    if (hint) assert_string_equal(diag_get(d, 0)->hint, hint);
    else assert_null(diag_get(d, 0)->hint);
    assert_true(weights_hash(net, 0, net->n) == before);
    assert_int_equal(*net->seen, 11);
    diag_free(d);
    drop_shape(s);
    host_free(net);
}

static void refused_file(char *path, const char *text, const char *hint)
{
    refused(path, text, hint);
    free(path);
}

#define CUT ": is it cut short, or another cfg's file?"
#define OTHERS " For other classes there is 'weights classes'"

static void test_wrong_sizes(void **state)
{
    (void)state;
    float x[40];
    check_fill(x, 40, 8);
    for (int i = 6; i < 8; ++i) x[i] = 1;
    refused_file(made("short", 0, 2, 20, x, 29 * 4), "136 bytes, expected 140 for the cfg's 2 layers with weights",
                 "it ends inside layer 2; layers 0 to 0 end at byte 68" CUT);
    refused_file(made("torn", 0, 2, 20, x, 30 * 4 - 1), "139 bytes, expected 140 for the cfg's 2 layers with weights",
                 "it ends inside layer 2; layers 0 to 0 end at byte 68" CUT);
    refused_file(made("shorter", 0, 2, 20, x, 11 * 4), "64 bytes, expected 140 for the cfg's 2 layers with weights",
                 "it ends before the first layer with weights does, which is layer 0");
    refused_file(made("border+", 0, 2, 20, x, 12 * 4 + 2), "70 bytes, expected 140 for the cfg's 2 layers with weights",
                 "it ends inside layer 2; layers 0 to 0 end at byte 68" CUT);
    refused_file(made("long", 0, 2, 20, x, 31 * 4), "144 bytes, expected 140 for the cfg's 2 layers with weights",
                 "4 bytes are left over after the last layer: is it the file of another cfg?" OTHERS);
    refused_file(made("long+", 0, 2, 20, x, 30 * 4 + 1), "141 bytes, expected 140 for the cfg's 2 layers with weights",
                 "1 bytes are left over after the last layer: is it the file of another cfg?" OTHERS);
    refused_file(made("long old", 0, 1, 16, x, 31 * 4), "140 bytes, expected 136 for the cfg's 2 layers with weights",
                 "4 bytes are left over after the last layer: is it the file of another cfg?" OTHERS);
    refused_file(made("header only", 0, 2, 20, x, 0), "20 bytes, expected 140 for the cfg's 2 layers with weights",
                 "it ends before the first layer with weights does, which is layer 0");
}

static void test_wrong_headers(void **state)
{
    (void)state;
    refused_file(made("empty", 0, 2, 0, NULL, 0), "0 bytes, expected a header of at least 16", NULL);
    refused_file(made("tiny", 0, 2, 11, NULL, 0), "11 bytes, expected a header of at least 16", NULL);
    refused_file(made("half header", 0, 2, 16, NULL, 0), "16 bytes, expected a header of at least 16", NULL);
    refused_file(made("transposed", 1001, 0, 20, NULL, 120),
                 "version 1001.0.0 (transposed weights) is not supported", NULL);
    refused_file(made("transposed2", 0, 0x7fffffff, 20, NULL, 120),
                 "version 0.2147483647.0 (transposed weights) is not supported", NULL);
    refused_file(made("negative", -1, 2, 20, NULL, 120), "not a weights file: its version is -1.2.0", NULL);
}

static void test_unreadable(void **state)
{
    (void)state;
    char *gone = check_path("gone.weights"), *pipe = check_path("pipe.weights");
    refused(gone, "cannot read weights: No such file or directory", NULL);
    refused(check_folder(), "cannot read weights: Is a directory", NULL);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    refused(pipe, "cannot read weights: not a regular file", NULL);   /* and does not hang */
    refused("", "cannot read weights: No such file or directory", NULL);
    if (geteuid()) {
        char *secret = made("secret", 0, 2, 20, NULL, 120);
        assert_int_equal(chmod(secret, 0), 0);
        refused_file(secret, "cannot read weights: Permission denied", NULL);
    }
    free(gone);
    free(pipe);
}

static void test_values_that_cannot_be(void **state)
{
    (void)state;
    float x[30];
    check_fill(x, 30, 9);
    x[6] = x[7] = 1;
    const char *diverged = "training diverged before this file was written, or it is not for this cfg";
    x[9] = NAN;
    x[29] = INFINITY;
    refused_file(made("nan", 0, 2, 20, x, 120), "layer 0: weights[1] is nan", diverged);
    x[9] = 0;
    refused_file(made("inf", 0, 2, 20, x, 120), "layer 2: weights[15] is inf", diverged);
    x[29] = 0;
    x[7] = -0.5f;
    refused_file(made("variance", 0, 2, 20, x, 120), "layer 0: variance[1] is -0.5",
                 "a variance is never negative: is it the file of another cfg?");
}

static void test_keys_that_load_only_half(void **state)
{
    (void)state;
    network *net = check_parse(small_cfg);
    net_shape *s = shape_of(small, SMALL);
    diag *d = diag_new();
    char *path = made("whole", 0, 2, 20, NULL, 120);
    net->layers[2].dontload = 1;
    assert_int_equal(weights_load(net, s, path, NULL, d), -1);
    assert_string_equal(diag_get(d, 0)->text, "cannot load: dontload= of layer 2 is not supported");
    net->layers[2].dontload = 0;
    s->layer[0].stored += 4;
    assert_int_equal(weights_load(net, s, path, NULL, d), -1);
    assert_string_equal(diag_get(d, 1)->text, "cannot load: layer 0 holds 12 values, expected 16");
    s->n = 3;
    assert_int_equal(weights_load(net, s, path, NULL, d), -1);
    assert_string_equal(diag_get(d, 2)->text, "cannot load: the network has 4 layers, expected 3");
    diag_free(d);
    free(path);
    drop_shape(s);
    host_free(net);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes_agree),
        cmocka_unit_test(test_saves_every_type_as_the_host_does),
        cmocka_unit_test(test_loads_every_type),
        cmocka_unit_test(test_host_loads_ours),
        cmocka_unit_test(test_tensor_names),
        cmocka_unit_test(test_hash),
        cmocka_unit_test(test_prefixes_and_headers),
        cmocka_unit_test(test_wrong_sizes),
        cmocka_unit_test(test_wrong_headers),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_values_that_cannot_be),
        cmocka_unit_test(test_keys_that_load_only_half),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
