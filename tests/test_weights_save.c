/* Saving weights when something goes wrong: the old file stays, nothing is left lying about. */
#include "layers/network.h"
#include "check.h"

#include "weights_tools/file/weights_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const char cfg[] = "[net]\nbatch=1\nheight=8\nwidth=8\nchannels=4\n"
    "[convolutional]\nfilters=40\nsize=3\npad=1\nbatch_normalize=1\nactivation=relu\n"
    "[connected]\noutput=2\nactivation=linear\n[softmax]\n";

static void fill(network *net, uint64_t stream)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j) check_fill(t[j].data, t[j].n, stream + 100 * (uint64_t)i + (uint64_t)j);
    }
}

static void save(const network *net, const char *path)
{
    diag *d = diag_new();
    assert_int_equal(weights_save(net, path, d), 0);
    check_no_errors(d);
    diag_free(d);
}

/* A full disk, played by a limit on the size of files: the old file survives, nothing is left lying about. */
static void test_failed_save_keeps_the_old_file(void **state)
{
    (void)state;
    network *net = check_parse(cfg);
    char *folder = check_path("full"), *path = check_path("full/net.weights"), *copy = check_path("copy.weights");
    struct rlimit keep, small_files;
    diag *d = diag_new();
    assert_int_equal(weights_make_folder(folder, d), 0);
    fill(net, 10);
    save(net, path);
    save(net, copy);
    fill(net, 11);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &keep), 0);
    small_files = keep;
    small_files.rlim_cur = 10000;
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small_files), 0);
    int rc = weights_save(net, path, d);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &keep), 0);
    signal(SIGXFSZ, was);
    assert_int_equal(rc, -1);
    assert_string_equal(diag_get(d, 0)->text, "cannot write: File too large");
    check_same_file(path, copy);
    assert_int_equal(check_files_in(folder), 1);
    save(net, path);   /* and afterwards it works again */
    assert_int_equal(check_files_in(folder), 1);
    diag_free(d);
    free(folder);
    free(path);
    free(copy);
    host_free(net);
}

static void cannot_save(const network *net, const char *path, const char *why)
{
    diag *d = diag_new();
    assert_int_equal(weights_save(net, path, d), -1);
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->file, path);
    assert_string_equal(diag_get(d, 0)->text, why);
    diag_free(d);
}

static void test_save_errors(void **state)
{
    (void)state;
    network *net = check_parse(cfg);
    diag *d = diag_new();
    char *nowhere = check_path("nowhere/x.weights"), *folder = check_path("taken"), *under = check_path("taken/x");
    cannot_save(net, nowhere, "cannot write: No such file or directory");
    assert_int_equal(weights_make_folder(folder, d), 0);
    cannot_save(net, folder, "cannot write: Is a directory");
    assert_int_equal(check_files_in(folder), 0);
    rmdir(folder);
    check_write(folder, "x", 1);
    cannot_save(net, under, "cannot write: Not a directory");
    free(nowhere);
    free(folder);
    free(under);
    diag_free(d);
    host_free(net);
}

/* A file of the temporary name left behind by a crash is neither used nor in the way; long names fit. */
static void test_save_beside_leftovers(void **state)
{
    (void)state;
    network *net = check_parse(cfg);
    char *folder = check_path("left"), *path = check_path("left/x.weights");
    char *temp = mem_printf("%s/left/.x.weights.tmp.%ld", check_folder(), (long)getpid());
    char *longest = mem_printf("%s/left/%0255d", check_folder(), 1);
    diag *d = diag_new();
    assert_int_equal(weights_make_folder(folder, d), 0);
    check_write(temp, "keep", 4);
    fill(net, 12);
    save(net, path);
    save(net, longest);
    size_t len;
    char *text = check_read(temp, &len);
    assert_string_equal(text, "keep");
    check_same_file(path, longest);
    assert_int_equal(check_files_in(folder), 3);
    free(text);
    free(folder);
    free(path);
    free(temp);
    free(longest);
    diag_free(d);
    host_free(net);
}

static void test_make_folder(void **state)
{
    (void)state;
    diag *d = diag_new();
    struct stat st;
    char *deep = check_path("a/b//c/"), *file = check_path("a/file"), *under = check_path("a/file/x");
    assert_int_equal(weights_make_folder(deep, d), 0);
    assert_int_equal(weights_make_folder(deep, d), 0);   /* there already */
    assert_int_equal(weights_make_folder("", d), 0);     /* here */
    assert_int_equal(weights_make_folder("/", d), 0);
    check_no_errors(d);
    assert_true(!stat(deep, &st) && S_ISDIR(st.st_mode));
    check_write(file, "x", 1);
    assert_int_equal(weights_make_folder(file, d), -1);
    assert_string_equal(diag_get(d, 0)->text, "cannot make this folder: Not a directory");
    assert_int_equal(weights_make_folder(under, d), -1);
    assert_string_equal(diag_get(d, 1)->file, under);
    free(deep);
    free(file);
    free(under);
    diag_free(d);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failed_save_keeps_the_old_file),
        cmocka_unit_test(test_save_errors),
        cmocka_unit_test(test_save_beside_leftovers),
        cmocka_unit_test(test_make_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
