/* The rule of outputs, by itself: what a command has read it does not write, whoever read it and whatever the file is called;
 * no two outputs are one; but a command's own files are its own. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/base/in_file.h"
#include "darknet_plugin/base/in_file_list.h"
#include "darknet_plugin/base/out_file.h"

#include <sys/stat.h>
#include <unistd.h>

static const char READ[] = "would be overwritten, and it is what is read";
static const char TWICE[] = "two of the files to be written are this one";

/* The last message is about `path` and says `text`, and nothing was written. */
static void refused(diag *d, const char *path, const char *text, int errors)
{
    assert_int_equal(diag_errors(d), errors);
    assert_string_equal(diag_get(d, errors - 1)->file, path);
    assert_string_equal(diag_get(d, errors - 1)->text, text);
    assert_non_null(diag_get(d, errors - 1)->hint);
}

static void make(const char *path) { check_write(path, "old", 3); }

static void is_old(const char *path)
{
    size_t n;
    char *text = check_read(path, &n);
    assert_int_equal(n, 3);
    assert_memory_equal(text, "old", 3);
    free(text);
}

/* Each way to read a file, then each name it has. */
static void read_files_are_not_written(void **state)
{
    (void)state;
    static const char *const names[] = { "x", "./x", "../self/x", "soft", "hard" };
    for (int way = 0; way < 4; ++way) {
        diag *d = diag_new(), *aside = diag_aside(d);
        size_t bytes;
        make("x");
        unlink("soft");
        unlink("hard");
        assert_int_equal(symlink("x", "soft"), 0);
        assert_int_equal(link("x", "hard"), 0);
        if (way == 0) in_file_note("x", d);
        if (way == 1) fclose(in_file_stream("x", d));
        if (way == 2) close(in_file_open("x", "this", &bytes, d));
        if (way == 3) in_file_note("soft", aside);
        for (int i = 0; i < 5; ++i) {
            assert_int_equal(out_file_text(names[i], "new", 3, d), -1);
            refused(d, names[i], READ, i + 1);
            is_old("x");
        }
        assert_int_equal(check_files_in("."), 3);
        diag_free(aside);
        diag_free(d);
        diag *other = diag_new();      /* another command */
        assert_int_equal(out_file_text("hard", "new", 3, other), 0);
        is_old("x");
        check_no_errors(other);
        diag_free(other);
    }
}

/* It is read while the output is waiting for its name. */
static void read_in_between(void **state)
{
    (void)state;
    diag *d = diag_new();
    out_file f[2];
    make("x");
    make("y");
    assert_int_equal(out_file_open(&f[0], "y", d) || out_file_open(&f[1], "x", d), 0);
    assert_int_equal(out_file_finish(&f[0], 0, d) || out_file_finish(&f[1], 0, d), 0);
    in_file_note("x", d);
    assert_int_equal(out_file_keep(f, 2, d), -1);
    refused(d, "x", READ, 1);
    for (int i = 0; i < 2; ++i) out_file_drop(&f[i]);
    is_old("x");
    is_old("y");
    diag_free(d);
}

/* By name where there is no file yet, by the file where there is one; a failed check says nothing is to be written. */
static void two_outputs_are_two(void **state)
{
    (void)state;
    static const struct { const char *path[3]; const char *twice; } rows[] = {
        { { "a", "b", "c" }, NULL }, { { "a", NULL, NULL }, NULL }, { { "a", "b", "./a" }, "./a" },
        { { "../self/b", "b", NULL }, "b" }, { { "x", "hard", "c" }, "hard" }, { { "soft", "a", "x" }, "x" },
        { { "/dev/null", "/dev/null", NULL }, NULL }, { { "none/a", "a", NULL }, NULL },
        { { "none/a", "nowhere/a", NULL }, NULL }, { { "none/a", "none/a", NULL }, "none/a" },
    };
    make("x");
    unlink("soft");
    unlink("hard");
    assert_int_equal(symlink("x", "soft") || link("x", "hard"), 0);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        diag *d = diag_new();
        assert_int_equal(out_file_check(rows[i].path, 3, d), rows[i].twice ? -1 : 0);
        if (rows[i].twice) refused(d, rows[i].twice, TWICE, 1);
        else check_no_errors(d);
        diag_free(d);
    }
}

/* As where a file system does not tell `a` from `A`: the second name turns out to be the first file. */
static void one_file_after_all(void **state)
{
    (void)state;
    diag *d = diag_new();
    out_file f[2];
    make("x");
    unlink("folder");
    assert_int_equal(out_file_open(&f[0], "x", d) || out_file_open(&f[1], "y", d), 0);
    assert_int_equal(out_file_finish(&f[0], 0, d) || out_file_finish(&f[1], 0, d), 0);
    unlink("y");
    assert_int_equal(symlink("x", "y"), 0);
    assert_int_equal(out_file_keep(f, 2, d), -1);
    refused(d, "y", TWICE, 1);
    for (int i = 0; i < 2; ++i) out_file_drop(&f[i]);
    is_old("x");
    unlink("y");
    diag_free(d);
}

static void own_files(void **state)
{
    (void)state;
    static const char *const own[] = { "mine", "cache" };
    diag *d = diag_new();
    unlink("hard");
    make("mine");
    assert_int_equal(out_file_own(own, 2, d), 0);
    for (int i = 0; i < 3; ++i) {
        in_file_note("mine", d);
        assert_int_equal(out_file_text("mine", "old", 3, d), 0);
    }
    check_no_errors(d);
    static const char *const again[] = { "./cache" };
    assert_int_equal(out_file_own(again, 1, d), -1);
    refused(d, "./cache", TWICE, 1);
    make("theirs");
    in_file_note("theirs", d);
    static const char *const theirs[] = { "new", "theirs" };
    assert_int_equal(out_file_own(theirs, 2, d), -1);
    refused(d, "theirs", READ, 2);
    assert_int_equal(out_file_text("theirs", "new", 3, d), -1);
    is_old("theirs");
    diag_free(d);
}

/* A list may name a million images. */
static void many_files(void **state)
{
    (void)state;
    in_file_list *list = in_file_list_new();
    enum { MANY = 200000 };
    struct stat st = { 0 };
    assert_false(in_file_list_has(list, &st));
    for (int i = 0; i < MANY; ++i) {
        st.st_dev = (dev_t)(i % 3);
        st.st_ino = (ino_t)(i / 3 * 8);
        in_file_list_add(list, &st);
        in_file_list_add(list, &st);
    }
    for (int i = 0; i < 2 * MANY; ++i) {
        st.st_dev = (dev_t)(i % 3);
        st.st_ino = (ino_t)(i / 3 * 8);
        assert_int_equal(in_file_list_has(list, &st), i < MANY);
        st.st_ino += 4;
        assert_false(in_file_list_has(list, &st));
    }
    in_file_list_free(list);
}

int main(void)
{
    network_init();
    char *folder = mem_printf("%s/self", check_folder());
    if (mkdir(folder, 0777) || chdir(folder)) return 1;
    free(folder);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(read_files_are_not_written), cmocka_unit_test(read_in_between),
        cmocka_unit_test(two_outputs_are_two), cmocka_unit_test(one_file_after_all), cmocka_unit_test(own_files),
        cmocka_unit_test(many_files),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return chdir("/") || failed;
}
