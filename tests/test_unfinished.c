/* What must not be left behind, in a list of any order: begun, ended, begun again, removed all at once. A ring in that list would
 * be walked for ever, where a signal has come: an alarm ends the test then. */
#include "check.h"

#include "darknet_plugin/base/unfinished.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FILES = 3, PATIENCE = 20 };   /* seconds */

typedef struct files {
    char *path[FILES];
    unfinished of[FILES];
} files;

static char *path_of(int i) { return mem_printf("%s/%d", check_folder(), i); }

/* Files that are there, all of them unfinished. */
static void begin_all(files *files)
{
    for (int i = 0; i < FILES; ++i) {
        files->path[i] = path_of(i);
        check_write(files->path[i], "x", 1);
        unfinished_begin(&files->of[i], files->path[i]);
    }
}

/* Removes what is unfinished: of the files those are left whose bit is set in `left`. */
static void remove_all_but(files *files, unsigned left)
{
    unfinished_remove();
    for (int i = 0; i < FILES; ++i) {
        assert_int_equal(!access(files->path[i], F_OK), left >> i & 1);
        unlink(files->path[i]);
        free(files->path[i]);
    }
}

static void test_all_are_removed(void **state)
{
    (void)state;
    files files = { .path = { NULL } };
    begin_all(&files);
    remove_all_but(&files, 0);
}

/* First, last and in the middle of the list; twice, and what never began, does no harm. */
static void test_any_may_end(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; ++i) {
        files files = { .path = { NULL } };
        unfinished never = { .path = NULL };
        begin_all(&files);
        unfinished_end(&files.of[i]);
        unfinished_end(&files.of[i]);
        unfinished_end(&never);
        remove_all_but(&files, 1u << i);
    }
}

/* Nothing is lost from the list, and it has an end. */
static void test_begun_twice(void **state)
{
    (void)state;
    for (int i = 0; i < FILES; ++i) {
        files files = { .path = { NULL } };
        begin_all(&files);
        unfinished_begin(&files.of[i], files.path[i]);
        remove_all_but(&files, 0);
    }
    files files = { .path = { NULL } };
    begin_all(&files);
    unfinished_begin(&files.of[0], files.path[0]);
    unfinished_end(&files.of[0]);
    remove_all_but(&files, 1);
}

/* A file that gets a removed one's name is none of the list's. */
static void test_removed_once(void **state)
{
    (void)state;
    files files = { .path = { NULL } };
    begin_all(&files);
    char *path = path_of(0);
    remove_all_but(&files, 0);
    check_write(path, "x", 1);
    unfinished_remove();
    assert_int_equal(unlink(path), 0);
    free(path);
}

static void test_folder_and_program(void **state)
{
    (void)state;
    char *folder = mem_printf("%s/folder", check_folder()), *file = mem_printf("%s/.x", folder);
    unfinished left = { .path = NULL }, child;
    assert_int_equal(mkdir(folder, 0700), 0);
    check_write(file, "x", 1);
    unfinished_begin(&left, folder);
    if (!unfinished_fork(&child)) {
        sleep(2 * PATIENCE);
        _exit(0);
    }
    assert_true(child.child > 0);
    unfinished_remove();
    assert_int_equal(access(folder, F_OK), -1);
    assert_int_equal(waitpid(child.child, NULL, 0), -1);
    assert_int_equal(errno, ECHILD);
    free(folder);
    free(file);
}

int main(void)
{
    alarm(PATIENCE);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_are_removed), cmocka_unit_test(test_any_may_end), cmocka_unit_test(test_begun_twice),
        cmocka_unit_test(test_removed_once),    cmocka_unit_test(test_folder_and_program),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
