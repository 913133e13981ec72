/* Files that are whole or not there: what goes wrong is said with the file's own name, and leaves what was there before. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/base/out_file.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void holds(const char *path, const char *text)
{
    size_t n;
    char *got = check_read(path, &n);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
    free(got);
}

static char *make_folder(const char *name)
{
    char *path = check_path(name);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static char *in(const char *folder, const char *name) { return mem_printf("%s/%s", folder, name); }

/* The last message is about `path` and says `text`. */
static void said(const diag *d, const char *path, const char *text)
{
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->file, path);
    assert_string_equal(diag_get(d, 0)->text, text);
}

static void whole_or_old(void **state)
{
    (void)state;
    diag *d = diag_new();
    out_file f;
    char *folder = make_folder("one"), *path = in(folder, "x.txt");
    assert_int_equal(out_file_text(path, "old", 3, d), 0);
    assert_int_equal(out_file_open(&f, path, d), 0);
    assert_true(fputs("new", f.file) >= 0);
    assert_int_equal(fflush(f.file), 0);
    holds(path, "old");                              /* until it is closed */
    assert_int_equal(check_files_in(folder), 2);
    assert_int_equal(out_file_close(&f, 0, d), 0);
    holds(path, "new");
    assert_int_equal(out_file_open(&f, path, d), 0);
    assert_true(fputs("never", f.file) >= 0);
    assert_int_equal(out_file_close(&f, 1, d), -1);  /* the caller's own trouble, which it reports itself */
    holds(path, "new");
    assert_int_equal(check_files_in(folder), 1);
    check_no_errors(d);
    out_file_drop(&f);                               /* does no harm */
    assert_int_equal(out_file_close(&f, 0, d), -1);
    diag_free(d);
    free(folder);
    free(path);
}

/* A limit on the size of files plays the full disk; the error shows while flushing, or only in the caller's own write. */
static void full(void **state)
{
    (void)state;
    char *folder = make_folder("full"), *path = in(folder, "x"), *big = mem_calloc(100000, 1);
    struct rlimit keep;
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &keep), 0);
    for (int i = 0; i < 2; ++i) {
        size_t n = i ? 100000 : 2000;
        struct rlimit small_files = { 1000, keep.rlim_max };
        diag *d = diag_new();
        out_file f;
        assert_int_equal(out_file_text(path, "old", 3, d), 0);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small_files), 0);
        assert_int_equal(out_file_open(&f, path, d), 0);
        int failed = fwrite(big, 1, n, f.file) != n, rc = out_file_close(&f, failed, d);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &keep), 0);
        assert_int_equal(rc, -1);
        assert_int_equal(failed, i);
        said(d, path, "cannot write: File too large");
        holds(path, "old");
        assert_int_equal(check_files_in(folder), 1);
        diag_free(d);
    }
    signal(SIGXFSZ, was);
    free(folder);
    free(path);
    free(big);
}

static void cannot_open(const char *path, const char *why)
{
    diag *d = diag_new();
    out_file f;
    assert_int_equal(out_file_open(&f, path, d), -1);
    said(d, path, why);
    assert_int_equal(out_file_close(&f, 0, d), -1);
    assert_int_equal(diag_errors(d), 1);
    diag_free(d);
}

static void places(void **state)
{
    (void)state;
    char *folder = make_folder("places"), *file = in(folder, "file"), *under = in(folder, "file/x"), *nowhere = in(folder, "none/x");
    diag *d = diag_new();
    cannot_open(folder, "cannot write: Is a directory");
    cannot_open(nowhere, "cannot write: No such file or directory");
    check_write(file, "x", 1);
    cannot_open(under, "cannot write: Not a directory");
    assert_int_equal(check_files_in(folder), 1);
    diag_free(d);
    char *all[] = { folder, file, under, nowhere };
    for (int i = 0; i < 4; ++i) free(all[i]);
}

/* Devices and pipes are written in place: root would otherwise rename a file over them. */
static void devices(void **state)
{
    (void)state;
    struct stat st;
    diag *d = diag_new();
    assert_int_equal(out_file_text("/dev/null", "x", 1, d), 0);
    check_no_errors(d);
    assert_true(!stat("/dev/null", &st) && S_ISCHR(st.st_mode));
    assert_int_equal(out_file_text("/dev/full", "x", 1, d), -1);
    said(d, "/dev/full", "cannot write: No space left on device");
    assert_true(!stat("/dev/full", &st) && S_ISCHR(st.st_mode));
    diag_free(d);
}

static void finish(out_file *f, const char *path, const char *text)
{
    diag *d = diag_new();
    assert_int_equal(out_file_open(f, path, d), 0);
    assert_true(fputs(text, f->file) >= 0);
    assert_int_equal(out_file_finish(f, 0, d), 0);
    holds(f->temp, text);
    diag_free(d);
}

/* Three files, the last of which cannot have its name: the first two are what they were, there or not. */
static void none_of_several(void **state)
{
    (void)state;
    char *folder = make_folder("pair"), *a = in(folder, "a"), *b = in(folder, "b"), *c = in(folder, "c");
    diag *d = diag_new();
    check_write(a, "old", 3);
    out_file f[3], g[3] = { 0 };
    finish(&f[0], a, "new a");
    finish(&f[1], b, "new b");
    finish(&f[2], c, "new c");
    assert_int_equal(mkdir(c, 0777), 0);
    assert_int_equal(out_file_keep(f, 3, d), -1);
    said(d, c, "cannot write: Is a directory");
    for (int i = 0; i < 3; ++i) out_file_drop(&f[i]);
    holds(a, "old");
    assert_int_equal(check_files_in(folder), 2);   /* a, and the folder c */
    assert_int_equal(rmdir(c), 0);
    finish(&g[0], a, "new a");   /* g[1] is not wanted */
    finish(&g[2], c, "new c");
    diag *fresh = diag_new();
    assert_int_equal(out_file_keep(g, 3, fresh), 0);
    check_no_errors(fresh);
    for (int i = 0; i < 3; ++i) out_file_drop(&g[i]);
    holds(a, "new a");
    holds(c, "new c");
    assert_int_equal(check_files_in(folder), 2);
    diag_free(d);
    diag_free(fresh);
    char *all[] = { folder, a, b, c };
    for (int i = 0; i < 4; ++i) free(all[i]);
}

static void pictures(void **state)
{
    (void)state;
    const uint8_t grey[4] = { 1, 2, 3, 4 };
    char *folder = make_folder("pictures"), *odd = in(folder, "x.txt"), *bare = in(folder, "x"), *nowhere = in(folder, "none/x.png");
    const char *kinds = "cannot write this picture: its name ends on no kind that OpenCV writes, such as .png or .jpg";
    const struct { const char *path, *says; } rows[] = { { odd, kinds }, { bare, kinds }, { nowhere, "cannot write: No such file or directory" } };
    for (size_t i = 0; i < 3; ++i) {
        diag *d = diag_new();
        assert_int_equal(image_save(rows[i].path, grey, 2, 2, 1, d), -1);
        said(d, rows[i].path, rows[i].says);
        diag_free(d);
    }
    assert_int_equal(check_files_in(folder), 0);
    char *all[] = { folder, odd, bare, nowhere };
    for (int i = 0; i < 4; ++i) free(all[i]);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_or_old), cmocka_unit_test(full), cmocka_unit_test(places), cmocka_unit_test(devices),
        cmocka_unit_test(none_of_several), cmocka_unit_test(pictures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
