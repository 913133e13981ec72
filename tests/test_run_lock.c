/* One run a name in a folder: the second is told who has it; a dead one locks nobody out; nothing is left behind. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/training/run_lock.h"

#include <errno.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static char *make_folder(const char *name)
{
    char *path = check_path(name);
    assert_int_equal(mkdir(path, 0777), 0);
    return path;
}

static void taken(run_lock *l, const char *folder, const char *name)
{
    diag *d = diag_new();
    assert_int_equal(run_lock_take(l, folder, name, d), 0);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), 0);
    diag_free(d);
}

static void refused(const char *folder, const char *name, const char *says)
{
    diag *d = diag_new();
    run_lock l;
    assert_int_equal(run_lock_take(&l, folder, name, d), -1);
    assert_int_equal(diag_errors(d), 1);
    if (!strstr(diag_get(d, 0)->text, says)) fail_msg("%s, expected %s", diag_get(d, 0)->text, says);
    run_lock_release(&l);   /* does no harm */
    diag_free(d);
}

static void second_is_refused(void **state)
{
    (void)state;
    char *folder = make_folder("two");
    run_lock a, b;
    taken(&a, folder, "x");
    taken(&b, folder, "y");   /* another name */
    assert_int_equal(check_files_in(folder), 2);
    char *says = mem_printf("%s/x is in use by process %ld since ", folder, (long)getpid());
    refused(folder, "x", says);
    run_lock_release(&a);
    taken(&a, folder, "x");   /* free again */
    run_lock_release(&a);
    run_lock_release(&b);
    run_lock_release(&b);
    assert_int_equal(check_files_in(folder), 0);
    free(says);
    free(folder);
}

/* The child takes it and is killed: the file stays, the lock does not. */
static void killed_locks_nobody_out(void **state)
{
    (void)state;
    char *folder = make_folder("killed"), byte;
    int ready[2];
    run_lock l;
    assert_int_equal(pipe(ready), 0);
    pid_t child = fork();
    if (!child) {
        diag *d = diag_new();
        if (run_lock_take(&l, folder, "x", d) || write(ready[1], "x", 1) != 1) _exit(1);
        for (;;) pause();
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    char *says = mem_printf("in use by process %ld since", (long)child);
    refused(folder, "x", says);
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    assert_int_equal(check_files_in(folder), 1);
    taken(&l, folder, "x");
    run_lock_release(&l);
    assert_int_equal(check_files_in(folder), 0);
    close(ready[0]);
    close(ready[1]);
    free(says);
    free(folder);
}

/* What stands in the file is another program's: nothing of it is repeated unless it is as we write it. */
static void hostile_text(void **state)
{
    (void)state;
    static const struct { const char *text, *says; } rows[] = {
        { "", "in use by another process" }, { "process 0 on a since 1\n", "another process" }, { "process 7 on a\x1b[2J since 1\n", "another process" },
        { "process 7 on elsewhere since 99999999999999999\n", "another process" }, { "process 99999999999999999999 on e since -1\n", "another process" },
        { "process 7 on elsewhere since 86400000\n", "process 7 on elsewhere since 1972-09-2" },
    };
    char *folder = make_folder("hostile"), *path = mem_printf("%s/x.lock", folder);
    run_lock l;
    taken(&l, folder, "x");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        assert_int_equal(ftruncate(l.fd, 0), 0);
        assert_int_equal(pwrite(l.fd, rows[i].text, strlen(rows[i].text), 0), strlen(rows[i].text));
        refused(folder, "x", rows[i].says);
    }
    run_lock_release(&l);
    free(path);
    free(folder);
}

static int (*locking)(int fd, int operation);   /* instead of the system's; NULL = that */

/* The program's own comes before the C library's. */
int flock(int fd, int operation) { return locking ? locking(fd, operation) : (int)syscall(SYS_flock, fd, operation); }

static int take_by(int (*lock)(int fd, int operation), run_lock *l, const char *folder, diag *d)
{
    locking = lock;
    int failed = run_lock_take(l, folder, "x", d);
    locking = NULL;
    return failed;
}

static int no_locks(int fd, int operation)
{
    (void)fd, (void)operation;
    errno = ENOLCK;
    return -1;
}

static void without_locks_it_warns(void **state)
{
    (void)state;
    char *folder = make_folder("none");
    diag *d = diag_new();
    run_lock l;
    assert_int_equal(take_by(no_locks, &l, folder, d), 0);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), 1);
    assert_string_equal(diag_get(d, 0)->text, "this file system has no locks (No locks available): make sure that no other run writes here");
    assert_int_equal(check_files_in(folder), 0);
    assert_int_equal(run_lock_check(&l, d), 0);
    run_lock_release(&l);
    diag_free(d);
    free(folder);
}

static const char *victim;   /* what `unnamed` removes */

/* As if the run before had ended between our open and our lock: its file loses its name, once. */
static int unnamed(int fd, int operation)
{
    if (victim) unlink(victim);
    victim = NULL;
    return (int)syscall(SYS_flock, fd, operation);
}

static void a_file_without_its_name_is_no_lock(void **state)
{
    (void)state;
    char *folder = make_folder("race"), *path = mem_printf("%s/x.lock", folder);
    diag *d = diag_new();
    run_lock l;
    victim = path;
    assert_int_equal(take_by(unnamed, &l, folder, d), 0);
    check_no_errors(d);
    refused(folder, "x", "in use by");
    run_lock_release(&l);
    assert_int_equal(check_files_in(folder), 0);
    diag_free(d);
    free(path);
    free(folder);
}

static void check_fails(run_lock *l, const char *says)
{
    diag *d = diag_new();
    assert_int_equal(run_lock_check(l, d), -1);
    assert_int_equal(diag_errors(d), 1);
    if (!strstr(diag_get(d, 0)->text, says)) fail_msg("%s, expected %s", diag_get(d, 0)->text, says);
    diag_free(d);
}

static void vanished(void **state)
{
    (void)state;
    char *folder = make_folder("gone"), *away = mem_printf("%s.away", folder), *path = mem_printf("%s/x.lock", folder);
    diag *d = diag_new();
    run_lock l;
    taken(&l, folder, "x");
    assert_int_equal(run_lock_check(&l, d), 0);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(run_lock_check(&l, d), 0);   /* made again */
    check_no_errors(d);
    refused(folder, "x", "in use by");
    assert_int_equal(rename(folder, away), 0);
    check_fails(&l, "cannot write: No such file or directory");
    assert_int_equal(mkdir(folder, 0777), 0);
    check_fails(&l, "is not the folder that it was");
    assert_int_equal(rmdir(folder), 0);
    assert_int_equal(rename(away, folder), 0);
    assert_int_equal(run_lock_check(&l, d), 0);
    run_lock_release(&l);
    diag_free(d);
    char *all[] = { folder, away, path };
    for (int i = 0; i < 3; ++i) free(all[i]);
}

static const char *moved;    /* the folder that `replace` moves away */

/* As if the folder were replaced between our look at it and our lock, once. */
static int replace(int fd, int operation)
{
    char *away = mem_printf("%s.away", moved ? moved : "");
    if (moved) assert_false(rename(moved, away) || mkdir(moved, 0777));
    moved = NULL;
    free(away);
    return (int)syscall(SYS_flock, fd, operation);
}

/* Its lock was removed and is made again, in the folder that has come in between: there nothing stays. */
static void replaced_meanwhile(void **state)
{
    (void)state;
    char *folder = make_folder("swap"), *path = mem_printf("%s/x.lock", folder);
    run_lock l;
    taken(&l, folder, "x");
    assert_int_equal(unlink(path), 0);
    moved = folder;
    locking = replace;
    check_fails(&l, "is not the folder that it was");
    locking = NULL;
    assert_null(moved);
    assert_int_equal(check_files_in(folder), 0);
    run_lock_release(&l);
    free(path);
    free(folder);
}

/* A list of somebody's that is called so. */
static void a_file_that_is_no_lock(void **state)
{
    (void)state;
    static const char *const texts[] = { "img/1.png\nimg/2.png\n", "p", "process" };
    char *folder = make_folder("no"), *path = mem_printf("%s/x.lock", folder);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        size_t n;
        check_write(path, texts[i], strlen(texts[i]));
        refused(folder, "x", "is in the way: it is no lock of a run");
        char *text = check_read(path, &n);
        assert_int_equal(n, strlen(texts[i]));
        assert_memory_equal(text, texts[i], n);
        free(text);
    }
    free(path);
    free(folder);
}

static void unwritable(void **state)
{
    (void)state;
    char *folder = make_folder("un"), *path = mem_printf("%s/x.lock", folder);
    assert_int_equal(mkdir(path, 0777), 0);
    refused(folder, "x", "cannot write: Is a directory");
    refused("/no/such", "x", "cannot write: No such file");
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(symlink("elsewhere", path), 0);
    refused(folder, "x", "cannot write: Too many levels");
    free(path);
    free(folder);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(second_is_refused), cmocka_unit_test(killed_locks_nobody_out), cmocka_unit_test(hostile_text),
        cmocka_unit_test(without_locks_it_warns), cmocka_unit_test(a_file_without_its_name_is_no_lock), cmocka_unit_test(vanished),
        cmocka_unit_test(replaced_meanwhile),
        cmocka_unit_test(unwritable), cmocka_unit_test(a_file_that_is_no_lock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
