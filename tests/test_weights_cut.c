/* weights extract and strip: cut networks compute what the whole one does to the last bit, and every way it can go wrong
 * leaves nothing behind. */
#include "layers/network.h"
#include "check_weights.h"

#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

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

/* ---- extract ---- */

static void test_extract_encoders(void **state)
{
    (void)state;
    network *whole = whole_network();
    for (int n = 0; n < LAYERS; ++n) {
        char *out = check_path("encoder"), last[12];
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
    static const struct { int from, layers; } cuts[] = {
        { 0, 13 }, { 1, 12 }, { 2, 12 }, { 7, 6 }, { 8, 5 }, { 9, 5 }, { 10, 3 }, { 11, 2 }, { 12, 1 },
    };
    network *whole = whole_network();
    for (size_t i = 0; i < sizeof cuts / sizeof *cuts; ++i) {
        char *out = check_path("tail"), first[12];
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
    char *c = check_path("branch.cfg"), *w = check_path("branch.weights"), *out = check_path("branch-tail");
    diag *d = diag_new();
    check_write(c, branch, sizeof branch - 1);
    weights_view *v = weights_view_open(c, d);
    check_no_errors(d);
    fill_weights(v->net);
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
    char *folder = check_path("empty"), *out = check_path("empty/out"), *nowhere = check_path("nowhere/out"), *in_place = check_path("net");
    char *sick = sick_file(), *cut = cut_file(), *encoder = encoder_file();
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
    assert_int_equal(check_files_in(folder), 0);
    works(RUN(extract, cfg_path, encoder, out, "-to", "1"));   /* all that is wanted is there */
    assert_int_equal(check_files_in(folder), 2);
    char *target = check_path("empty/dir.cfg"), *dir = check_path("empty/dir");
    assert_int_equal(weights_make_folder(target, d), 0);
    fails(RUN(extract, cfg_path, weights_path, dir, "-to", "1"), "cannot write: Is a directory");
    assert_int_equal(check_files_in(folder), 3);
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
    char *out = check_path("stripped"), *c = check_path("stripped.cfg");
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
    char *c = check_path("costly.cfg"), *out = check_path("bad"), *cut = cut_file(), *file = check_path("bad.cfg");
    char *encoder = encoder_file();
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

/* A full disk, played by a limit on the size of files: whichever file it hits, nothing is left lying about. */
static void test_full_disk(void **state)
{
    (void)state;
    static const rlim_t limits[] = { 100, 3000 };   /* hits the cfg in the host's hands; the weights file */
    static const char *const hit[] = { "cannot hand the cfg to the host: File too large", "cannot write: File too large" };
    char *folder = check_path("full"), *out = check_path("full/out");
    struct rlimit keep;
    diag *d = diag_new();
    assert_int_equal(weights_make_folder(folder, d), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &keep), 0);
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    for (int i = 0; i < 2; ++i) {
        struct rlimit small_files = { limits[i], keep.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small_files), 0);
        outcome r = RUN(strip, cfg_path, weights_path, out);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &keep), 0);
        fails(r, hit[i]);
        assert_int_equal(check_files_in(folder), 0);
    }
    signal(SIGXFSZ, was);
    diag_free(d);
    free(folder);
    free(out);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_extract_encoders), cmocka_unit_test(test_extract_tails), cmocka_unit_test(test_extract_from_a_route),
        cmocka_unit_test(test_extract_errors), cmocka_unit_test(test_strip), cmocka_unit_test(test_strip_errors),
        cmocka_unit_test(test_full_disk),
    };
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
