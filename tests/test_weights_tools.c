/* weights show, compare, extract and strip: what they say, that cut networks compute what the whole one does to the last
 * bit, and every way it can go wrong. */
#include "check.h"

#include "../weights_tools/weights_verbs.h"
#include "../weights_tools/weights_view.h"

#include <cjson/cJSON.h>
#include <dirent.h>
#include <unistd.h>

static const char cfg[] = "[net]\nbatch=4\nsubdivisions=2\nheight=12\nwidth=12\nchannels=3\nlearning_rate=0.1\nmax_batches=10\n"
    "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation=relu\n"                      /* 0 */
    "[maxpool]\nsize=2\nstride=2\n"                                                                        /* 1: 8x6x6 */
    "[convolutional]\nbatch_normalize=1\nfilters=8\nsize=3\npad=1\nactivation=leaky\nstopbackward=1\n"     /* 2 */
    "[dropout]\nprobability=.3\n"                                                                          /* 3 */
    "[convolutional]\nfilters=8\nsize=3\npad=1\nactivation=linear\n"                                       /* 4 */
    "[shortcut]\nfrom=-4\nactivation=relu\n"                                                               /* 5: of 4 and 1 */
    "[route]\nlayers=-1,3\n"                                                                               /* 6: of 5 and 3 */
    "[convolutional]\nfilters=6\nsize=1\nactivation=linear\n"                                              /* 7 */
    "[avgpool]\n[dropout]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n[cost]\ntype=sse\n";       /* 8 to 12 */
enum { LAYERS = 13, FLOATS_0 = 32 + 8 * 27 };

static char *path_of(const char *name) { return mem_printf("%s/%s", check_folder(), name); }

/* ---- the verbs ---- */

typedef struct outcome {
    int status;
    char *out;               /* what it printed, owned */
    diag *d;                 /* owned */
} outcome;

/* Runs a sub-verb on the arguments, NULL ends them. */
static outcome run(int (*sub)(options *, diag *), char *const *argument)
{
    static options o;
    outcome r = { .d = diag_new() };
    size_t len;
    int n = 0;
    while (argument[n]) ++n;
    o = (options){ .verb = "weights", .out = open_memstream(&r.out, &len) };
    assert_int_equal(options_parse(&o, V_WEIGHTS, n, (char **)argument, r.d), 0);
    r.status = sub(&o, r.d);
    fclose(o.out);
    return r;
}
#define RUN(sub, ...) run(weights_##sub, (char *const[]){ #sub, __VA_ARGS__, NULL })

static void drop(outcome r)
{
    free(r.out);
    diag_free(r.d);
}

static void works(outcome r)
{
    check_no_errors(r.d);
    assert_int_equal(r.status, 0);
    drop(r);
}

static void fails(outcome r, const char *text)
{
    assert_int_not_equal(r.status, 0);
    assert_int_equal(diag_errors(r.d), 1);
    int i = 0;
    while (diag_get(r.d, i)->level != DIAG_ERROR) ++i;
    if (!strstr(diag_get(r.d, i)->text, text)) fail_msg("'%s', expected '%s'", diag_get(r.d, i)->text, text);
    drop(r);
}

static cJSON *json_of(outcome r, int status)
{
    cJSON *j = cJSON_Parse(r.out);
    assert_non_null(j);
    assert_int_equal(r.status, status);
    drop(r);
    return j;
}

static double number(const cJSON *j, const char *key)
{
    const cJSON *n = cJSON_GetObjectItem(j, key);
    assert_true(cJSON_IsNumber(n));
    return n->valuedouble;
}

/* ---- networks and files ---- */

static void fill(network *net)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j) {
            check_fill(t[j].data, t[j].n, 100 * (uint64_t)i + (uint64_t)j + 1);
            for (size_t k = 0; weights_is_variance(t[j].name) && k < t[j].n; ++k) t[j].data[k] = .5f + fabsf(t[j].data[k]);
        }
    }
}

/* net.cfg and net.weights in the test's folder. */
static char *cfg_path, *weights_path;

static int make_files(void **state)
{
    (void)state;
    diag *d = diag_new();
    cfg_path = path_of("net.cfg");
    weights_path = path_of("net.weights");
    check_write(cfg_path, cfg, sizeof cfg - 1);
    weights_view *v = weights_view_open(cfg_path, d);
    check_no_errors(d);
    fill(v->net);
    *v->net->seen = 1234;
    assert_int_equal(weights_save(v->net, weights_path, d), 0);
    weights_view_close(v);
    diag_free(d);
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    free(cfg_path);
    free(weights_path);
    return 0;
}

/* A copy of net.weights, `n` bytes of it, with the float at each `at` set. */
static char *altered(const char *name, size_t n, const size_t *at, const float *value, int count)
{
    size_t len;
    char *path = path_of(name), *bytes = check_read(weights_path, &len);
    for (int i = 0; i < count; ++i) memcpy(bytes + 20 + 4 * at[i], &value[i], sizeof *value);
    check_write(path, bytes, n ? n : len);
    free(bytes);
    return path;
}

static network *load(const char *cfg_file_path, const char *weights, diag *d)
{
    weights_view *v = weights_view_open(cfg_file_path, d);
    check_no_errors(d);
    weights_info info;
    assert_int_equal(weights_load(v->net, v->low->shape, weights, &info, d), 0);
    assert_int_equal(info.layers, v->net->n);
    network *net = v->net;
    v->net = NULL;
    weights_view_close(v);
    return net;
}

static network *load_pair(const char *out)
{
    diag *d = diag_new();
    char *c = mem_printf("%s.cfg", out), *w = mem_printf("%s.weights", out);
    network *net = load(c, w, d);
    free(c);
    free(w);
    diag_free(d);
    return net;
}

/* The whole network after an image went through it. */
static network *whole_network(void)
{
    diag *d = diag_new();
    network *net = load(cfg_path, weights_path, d);
    float *x = mem_calloc((size_t)net->inputs, sizeof *x);
    check_fill(x, (size_t)net->inputs, 5);
    network_predict(net, x);
    memcpy(net->input, x, (size_t)net->inputs * sizeof *x);
    free(x);
    diag_free(d);
    return net;
}

static void check_same_floats(const float *a, const float *b, int n)
{
    assert_memory_equal(a, b, (size_t)n * sizeof *a);
}

static int files_in(const char *folder)
{
    int n = 0;
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir)) ++n;
    closedir(dir);
    return n - 2;
}

/* ---- show ---- */

static const cJSON *array_of(const cJSON *show, int layer, int array)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(show, "layers"), layer), "arrays"), array);
}

static void test_show(void **state)
{
    (void)state;
    const size_t at[] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    const float value[] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    char *path = altered("plain.weights", 0, at, value, 8);
    cJSON *j = json_of(RUN(show, cfg_path, path, "-json"), 0);
    assert_true(number(j, "seen") == 1234 && number(j, "layers_held") == LAYERS);
    assert_string_equal(cJSON_GetObjectItem(j, "version")->valuestring, "0.2.0");
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "layers")), 5);
    const cJSON *biases = array_of(j, 0, 0), *weights = array_of(j, 0, 4), *shape = cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(j, "layers"), 0), "shape");
    assert_string_equal(cJSON_GetObjectItem(biases, "name")->valuestring, "biases");
    assert_true(number(biases, "min") == 1 && number(biases, "max") == 8 && number(biases, "mean") == 4.5);
    check_close(number(biases, "deviation"), sqrt(5.25), 1e-12, "deviation", 0);
    assert_true(number(weights, "n") == 216 && number(weights, "filters") == 8 && number(weights, "dead_filters") == 0);
    assert_int_equal(cJSON_GetArraySize(shape), 4);
    assert_int_equal(cJSON_GetArrayItem(shape, 1)->valueint, 3);
    cJSON_Delete(j);
    free(path);
}

/* NaN, infinity, a negative variance and two dead filters of layer 0, all at once. */
static char *sick_file(void)
{
    size_t at[4 + 54] = { 0, 3, 8 + 2, 24 + 1 };
    float value[4 + 54] = { NAN, INFINITY, -INFINITY, -2 };
    for (size_t k = 0; k < 54; ++k) at[4 + k] = 32 + 27 * (k < 27 ? 1 : 5) + k % 27;
    return altered("sick.weights", 0, at, value, 4 + 54);
}

static void test_show_of_what_is_wrong(void **state)
{
    (void)state;
    char *path = sick_file();
    outcome r = RUN(show, cfg_path, path);
    assert_int_equal(r.status, 0);
    assert_int_equal(diag_errors(r.d), 0);
    assert_int_equal(diag_warnings(r.d), 1);
    assert_non_null(strstr(r.out, "! biases: 1 NaN, 1 infinite\n"));
    assert_non_null(strstr(r.out, "! variance: 1 negative\n"));
    assert_non_null(strstr(r.out, "! weights: 2 dead filters of 8\n"));
    for (const char *line = strchr(r.out, '\n') + 1, *end; (end = strchr(line, '\n')); line = end + 1) assert_true(end - line <= 100);
    drop(r);
    cJSON *j = json_of(RUN(show, cfg_path, path, "-json"), 0);
    assert_true(number(array_of(j, 0, 0), "nan") == 1 && number(array_of(j, 0, 0), "infinite") == 1);
    assert_true(number(array_of(j, 0, 0), "max") < 1);
    assert_true(number(array_of(j, 0, 3), "negative") == 1 && number(array_of(j, 0, 4), "dead_filters") == 2);
    cJSON_Delete(j);
    free(path);
}

static void test_show_of_part_of_a_file(void **state)
{
    (void)state;
    size_t len;
    free(check_read(weights_path, &len));
    char *encoder = altered("encoder.weights", 20 + 4 * FLOATS_0, NULL, NULL, 0), *cut = altered("cut.weights", 20 + 4 * FLOATS_0 + 5, NULL, NULL, 0);
    cJSON *j = json_of(RUN(show, cfg_path, encoder, "-json"), 0);
    assert_true(number(j, "layers_held") == 1 && cJSON_IsTrue(cJSON_GetObjectItem(j, "fits")));
    cJSON_Delete(j);
    j = json_of(RUN(show, cfg_path, cut, "-json"), 1);
    assert_true(number(j, "layers_held") == 1 && cJSON_IsFalse(cJSON_GetObjectItem(j, "fits")));
    assert_true(number(j, "bytes") == 20 + 4 * FLOATS_0 + 5 && number(j, "expected_bytes") == (double)len);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "layers")), 1);
    cJSON_Delete(j);
    outcome r = RUN(show, cfg_path, cut);
    assert_non_null(strstr(r.out, "whole layers 0 to 0 of 0 to 12"));
    fails(r, "expected");
    char *bytes = check_read(weights_path, NULL), *longer = path_of("longer.weights");
    check_write(longer, bytes, len);
    FILE *f = fopen(longer, "ab");
    assert_true(f && fwrite("more", 4, 1, f) == 1 && !fclose(f));
    j = json_of(RUN(show, cfg_path, longer, "-json"), 1);
    assert_true(number(j, "layers_held") == LAYERS && cJSON_IsFalse(cJSON_GetObjectItem(j, "fits")));
    cJSON_Delete(j);
    free(bytes);
    free(encoder);
    free(cut);
    free(longer);
}

static void test_show_errors(void **state)
{
    (void)state;
    char *none = path_of("none"), *tiny = path_of("tiny.weights");
    check_write(tiny, "abc", 3);
    fails(RUN(show, cfg_path, none), "cannot read weights");
    fails(RUN(show, cfg_path, tiny), "expected a header");
    fails(RUN(show, none, weights_path), "");
    free(none);
    free(tiny);
}

/* ---- compare ---- */

static void test_compare(void **state)
{
    (void)state;
    const size_t at[] = { 40, FLOATS_0 + 50 };
    float first;
    char *bytes = check_read(weights_path, NULL);
    memcpy(&first, bytes + 20 + 4 * at[0], sizeof first);
    free(bytes);
    float value[] = { nextafterf(first, 2), 3 };
    char *little = altered("little.weights", 0, at, value, 1), *much = altered("much.weights", 0, at, value, 2);
    works(RUN(compare, cfg_path, weights_path, weights_path));
    cJSON *j = json_of(RUN(compare, cfg_path, weights_path, little, "-json"), 1);
    assert_true(number(j, "first_other_bits") == 0 && cJSON_IsNull(cJSON_GetObjectItem(j, "first_that_matters")));
    cJSON_Delete(j);
    works(RUN(compare, cfg_path, weights_path, little, "-tolerance", "1e-6"));
    j = json_of(RUN(compare, cfg_path, weights_path, much, "-json", "-tolerance", "0.01"), 1);
    assert_true(number(j, "first_other_bits") == 0 && number(j, "first_that_matters") == 2);
    const cJSON *layer = cJSON_GetArrayItem(cJSON_GetObjectItem(j, "layers"), 1);
    assert_string_equal(cJSON_GetObjectItem(layer, "array")->valuestring, "weights");
    assert_true(number(layer, "index") == 2 && number(layer, "absolute") > 1.9 && number(layer, "relative") <= number(layer, "absolute") / 2.9);
    check_close(number(layer, "rms"), number(layer, "absolute") / sqrt(32 + 8 * 72), 1e-9, "rms", 0);
    cJSON_Delete(j);
    outcome r = RUN(compare, cfg_path, weights_path, much);
    assert_int_equal(r.status, 1);
    assert_int_equal(diag_errors(r.d), 0);
    assert_non_null(strstr(r.out, "first layer that matters: 2 [convolutional], its weights"));
    drop(r);
    free(little);
    free(much);
}

/* NaN is equal to the same NaN, and infinitely far from everything else; an encoder is not the whole. */
static void test_compare_of_what_is_wrong(void **state)
{
    (void)state;
    char *sick = sick_file(), *encoder = altered("encoder.weights", 20 + 4 * FLOATS_0, NULL, NULL, 0), *cut = altered("cut.weights", 99, NULL, NULL, 0);
    works(RUN(compare, cfg_path, sick, sick));
    cJSON *j = json_of(RUN(compare, cfg_path, weights_path, sick, "-json", "-tolerance", "1"), 1);
    assert_true(number(j, "first_that_matters") == 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(j, "layers"), 0), "absolute")));
    cJSON_Delete(j);
    j = json_of(RUN(compare, cfg_path, weights_path, encoder, "-json"), 1);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(j, "first_other_bits")));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(j, "layers")), 1);
    cJSON_Delete(j);
    fails(RUN(compare, cfg_path, weights_path, cut), "expected");
    free(sick);
    free(encoder);
    free(cut);
}

/* ---- extract ---- */

static void test_extract_encoders(void **state)
{
    (void)state;
    network *whole = whole_network();
    for (int n = 0; n < LAYERS; ++n) {
        char *out = path_of("encoder"), last[12];
        snprintf(last, sizeof last, "%d", n);
        works(RUN(extract, cfg_path, weights_path, out, "-to", last));
        network *net = load_pair(out);
        assert_int_equal(net->n, n + 1);
        assert_int_equal(*net->seen, 1234);
        network_predict(net, whole->input);
        if (net->layers[n].type != COST) check_same_floats(net->layers[n].output, whole->layers[n].output, whole->layers[n].outputs);
        host_free(net);
        free(out);
    }
    host_free(whole);
}

/* Where the tail is one layer longer, the entrance. */
static void test_extract_tails(void **state)
{
    (void)state;
    static const struct { int from, layers; } cuts[] = { { 0, 13 }, { 1, 12 }, { 2, 12 }, { 7, 6 }, { 8, 5 }, { 9, 5 }, { 10, 3 }, { 11, 2 }, { 12, 1 } };
    network *whole = whole_network();
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; ++i) {
        char *out = path_of("tail"), first[12];
        int n = cuts[i].from;
        snprintf(first, sizeof first, "%d", n);
        works(RUN(extract, cfg_path, weights_path, out, "-from", first));
        network *net = load_pair(out);
        assert_int_equal(net->n, cuts[i].layers);
        if (n) assert_int_equal(net->inputs, whole->layers[n - 1].outputs);
        network_predict(net, n ? whole->layers[n - 1].output : whole->input);
        if (n < LAYERS - 1) check_same_floats(net->output, whole->output, whole->outputs);
        host_free(net);
        free(out);
    }
    host_free(whole);
}

/* A route that reads one layer far back: the tail's input is that layer's map. */
static void test_extract_from_a_route(void **state)
{
    (void)state;
    static const char branch[] = "[net]\nheight=8\nwidth=8\nchannels=3\n[maxpool]\nsize=2\nstride=2\n"
        "[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=linear\n[route]\nlayers=0\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n";
    char *c = path_of("branch.cfg"), *w = path_of("branch.weights"), *out = path_of("branch-tail");
    diag *d = diag_new();
    check_write(c, branch, sizeof branch - 1);
    weights_view *v = weights_view_open(c, d);
    check_no_errors(d);
    fill(v->net);
    assert_int_equal(weights_save(v->net, w, d), 0);
    float x[3 * 8 * 8];
    check_fill(x, 3 * 8 * 8, 1);
    network_predict(v->net, x);
    works(RUN(extract, c, w, out, "-from", "2"));
    network *net = load_pair(out);
    assert_int_equal(net->n, 3);
    assert_int_equal(net->c, 3);
    network_predict(net, v->net->layers[0].output);
    check_same_floats(net->output, v->net->output, v->net->outputs);
    host_free(net);
    weights_view_close(v);
    diag_free(d);
    free(c);
    free(w);
    free(out);
}

static void test_extract_errors(void **state)
{
    (void)state;
    char *folder = path_of("empty"), *out = path_of("empty/out"), *nowhere = path_of("nowhere/out"), *in_place = path_of("net");
    char *sick = sick_file(), *cut = altered("cut.weights", 99, NULL, NULL, 0), *encoder = altered("encoder.weights", 20 + 4 * FLOATS_0, NULL, NULL, 0);
    size_t len;
    diag *d = diag_new();
    char *before = check_read(weights_path, &len);
    assert_int_equal(weights_make_folder(folder, d), 0);
    fails(RUN(extract, cfg_path, weights_path, out, "-from", "5"), "layer 5 reads layer 1, behind the cut");
    fails(RUN(extract, cfg_path, weights_path, out, "-from", "3"), "layer 5 reads layer 1, behind the cut");
    fails(RUN(extract, cfg_path, weights_path, out, "-from", "6"), "layer 6 reads layer 3, behind the cut");
    fails(RUN(extract, cfg_path, weights_path, out, "-from", "13"), "expected a layer from 0 to 12");
    fails(RUN(extract, cfg_path, weights_path, out, "-to", "13"), "expected a layer from 0 to 12");
    fails(RUN(extract, cfg_path, weights_path, out), "takes one of -to N");
    fails(RUN(extract, cfg_path, weights_path, out, "-to", "1", "-from", "1"), "takes one of -to N");
    fails(RUN(extract, cfg_path, cut, out, "-to", "1"), "expected");
    fails(RUN(extract, cfg_path, sick, out, "-to", "1"), "layer 0: biases[0] is nan");
    fails(RUN(extract, cfg_path, encoder, out, "-from", "7"), "holds layers 0 to 0 only, layer 7 is wanted");
    fails(RUN(extract, cfg_path, weights_path, nowhere, "-to", "1"), "cannot write: No such file");
    fails(RUN(extract, cfg_path, weights_path, in_place, "-to", "1"), "would be overwritten");
    assert_int_equal(files_in(folder), 0);
    works(RUN(extract, cfg_path, encoder, out, "-to", "1"));   /* all that is wanted is there */
    assert_int_equal(files_in(folder), 2);
    char *target = path_of("empty/dir.cfg"), *dir = path_of("empty/dir");
    assert_int_equal(weights_make_folder(target, d), 0);
    fails(RUN(extract, cfg_path, weights_path, dir, "-to", "1"), "cannot write: Is a directory");
    assert_int_equal(files_in(folder), 3);
    char *after = check_read(weights_path, NULL);
    assert_memory_equal(before, after, len);
    char *all[] = { folder, out, nowhere, in_place, sick, cut, encoder, before, after, target, dir };
    for (size_t i = 0; i < sizeof all / sizeof *all; ++i) free(all[i]);
    diag_free(d);
}

/* ---- strip ---- */

static void test_strip(void **state)
{
    (void)state;
    char *out = path_of("stripped"), *c = path_of("stripped.cfg");
    network *whole = whole_network();
    works(RUN(strip, cfg_path, weights_path, out));
    network *net = load_pair(out);
    assert_int_equal(net->n, LAYERS - 3);
    assert_int_equal(*net->seen, 0);
    network_predict(net, whole->input);
    check_same_floats(net->output, whole->output, whole->outputs);
    char *text = check_read(c, NULL);
    const char *const gone[] = { "dropout", "cost", "learning_rate", "max_batches", "stopbackward", "batch=4" };
    for (size_t i = 0; i < sizeof gone / sizeof *gone; ++i) assert_null(strstr(text, gone[i]));
    assert_non_null(strstr(text, "from=1\n"));
    assert_non_null(strstr(text, "layers=4,2\n"));   /* 5 and the dropout behind 2 */
    host_free(net);
    host_free(whole);
    free(text);
    free(out);
    free(c);
}

static void test_strip_errors(void **state)
{
    (void)state;
    static const char costly[] = "[net]\nheight=2\nwidth=2\nchannels=3\n[cost]\n[activation]\nactivation=relu\n";
    char *c = path_of("costly.cfg"), *out = path_of("bad"), *cut = altered("cut.weights", 99, NULL, NULL, 0), *file = path_of("bad.cfg");
    char *encoder = altered("encoder.weights", 20 + 4 * FLOATS_0, NULL, NULL, 0);
    check_write(c, costly, sizeof costly - 1);
    fails(RUN(strip, c, weights_path, out), "layer 1 reads layer 0, which would not be there");
    fails(RUN(strip, cfg_path, cut, out), "expected");
    fails(RUN(strip, cfg_path, encoder, out), "holds layers 0 to 0 only");
    assert_int_not_equal(access(file, F_OK), 0);
    free(c);
    free(out);
    free(cut);
    free(file);
    free(encoder);
}

int main(void)
{
    host_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_show), cmocka_unit_test(test_show_of_what_is_wrong), cmocka_unit_test(test_show_of_part_of_a_file),
        cmocka_unit_test(test_show_errors), cmocka_unit_test(test_compare), cmocka_unit_test(test_compare_of_what_is_wrong),
        cmocka_unit_test(test_extract_encoders), cmocka_unit_test(test_extract_tails), cmocka_unit_test(test_extract_from_a_route),
        cmocka_unit_test(test_extract_errors), cmocka_unit_test(test_strip), cmocka_unit_test(test_strip_errors),
    };
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
