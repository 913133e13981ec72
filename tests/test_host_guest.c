/* Darknet's library in someone else's process: what ends a program there comes back as a message. */
#include "check.h"

#include "darknet_plugin/host/host_redirect.h"
#include "layers/network.h"

#include <signal.h>
#include <string.h>

image load_image_stb(char *path, int channels);   /* exported, in no header */

static const char *cfg_text_given;

static int parse_raw(void *of)
{
    char *path = of;
    check_write(path, cfg_text_given, strlen(cfg_text_given));
    host_free(parse_network_cfg(path));
    return 0;
}

static int open_missing(void *of)
{
    (void)of;
    free_list(get_paths("/nowhere/list"));
    return 0;
}

static int load_missing_image(void *of)
{
    (void)of;
    free_image(load_image_stb("/nowhere/image.png", 3));
    return 0;
}

static int works(void *of)
{
    *(int *)of += 1;
    return *(int *)of;
}

static int fails_for_want(void *of)
{
    (void)of;
    if (host_is_guarded()) host_fail("out of memory");
    return 0;
}

/* The only message of a call that ended in the middle. */
static void ends_with(int (*work)(void *), void *of, const char *said)
{
    diag *d = diag_new();
    assert_int_equal(host_guarded(work, of, d), 1);
    assert_int_equal(diag_errors(d), 1);
    if (!strstr(diag_get(d, 0)->text, said)) fail_msg("'%s' is not in '%s'", said, diag_get(d, 0)->text);
    diag_free(d);
}

static void test_ends(void **state)
{
    (void)state;
    char *path = mem_printf("%s/a.cfg", check_folder());
    cfg_text_given = "[convolutional]\nfilters=1\n";
    ends_with(parse_raw, path, "First section must be");                 /* error() */
    ends_with(open_missing, NULL, "cannot open /nowhere/list");          /* file_error() */
    cfg_text_given = "[net]\nwidth=8\nheight=8\nchannels=3\n[detection]\nclasses=3\n";
    ends_with(parse_raw, path, "expected ");                             /* an assert */
    ends_with(load_missing_image, NULL, "status 0");                     /* exit(0) */
    ends_with(fails_for_want, NULL, "out of memory");                    /* our own want of memory */
    assert_false(host_is_guarded());
    free(path);
}

static void test_works_after_that(void **state)
{
    (void)state;
    int counted = 4;
    diag *d = diag_new();
    assert_int_equal(host_guarded(works, &counted, d), 5);
    cfg_text_given = "[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n";
    char *path = mem_printf("%s/b.cfg", check_folder());
    assert_int_equal(host_guarded(parse_raw, path, d), 0);
    assert_int_equal(diag_count(d), 0);
    free(path);
    diag_free(d);
}

static void test_no_handlers(void **state)
{
    (void)state;
    const int signals[] = { SIGABRT, SIGINT, SIGTERM, SIGHUP, SIGPIPE };   /* cmocka has SIGSEGV's */
    struct sigaction now;
    for (size_t i = 0; i < sizeof signals / sizeof *signals; ++i) {
        assert_int_equal(sigaction(signals[i], NULL, &now), 0);
        assert_true(now.sa_handler == SIG_DFL || now.sa_handler == SIG_IGN);   /* as a shell leaves them to what it starts */
    }
}

static void test_not_there(void **state)
{
    (void)state;
    redirection rows[] = { { "no_such_name_anywhere", NULL } };
    assert_int_equal(host_redirect((void *)(uintptr_t)parse_network_cfg, rows, 1), 0);
    int on_stack = 0;
    assert_int_equal(host_redirect(&on_stack, rows, 1), -1);
}

int main(void)
{
    diag *d = diag_new();
    if (network_init_as_guest(d)) {
        diag_print(d, stderr);
        return 1;
    }
    diag_free(d);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ends), cmocka_unit_test(test_works_after_that), cmocka_unit_test(test_no_handlers),
        cmocka_unit_test(test_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
