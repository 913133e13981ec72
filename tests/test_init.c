/* `init` between every two networks at hand: those that Debian ships, and the published ones of tests/zoo. What comes
 * out passes check, or the reason is told of the user's own files. And every network that can teach, made smaller.
 *
 * A pair costs milliseconds, and there are thousands: without DISTILL_INIT_ALL=1 every SHARE-th is tried (make init-pairs
 * tries all). */
#include "check.h"

#include "darknet_plugin/init/init.h"
#include "layers/network.h"

#include <dirent.h>
#include <unistd.h>

enum { MOST = 128, SHARE = 7 };

/* The zoo's, small, with their answers, into the test's folder. */
static void make_zoo(void)
{
    char *command = mem_printf("for name in $(tests/zoo/make_cfg.py); do "
                               "tests/zoo/make_cfg.py $name size=96 classes=5 wide=.5 ends=loss >%s/$name.cfg; done",
                               check_folder());
    if (system(command)) print_message("no python3: without the published networks\n");
    free(command);
}

/* The paths of all cfgs; how many. */
static int all_cfgs(char *path[MOST])
{
    int n = 0;
    const char *const folders[] = { "/usr/share/darknet/cfg", check_folder() };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; ++i) {
        struct dirent **entry;
        int found = scandir(folders[i], &entry, NULL, alphasort);
        for (int k = 0; k < found; ++k) {
            size_t len = strlen(entry[k]->d_name);
            int is_cfg = len > 4 && !strcmp(entry[k]->d_name + len - 4, ".cfg");
            if (is_cfg && n < MOST) path[n++] = mem_printf("%s/%s", folders[i], entry[k]->d_name);
            free(entry[k]);
        }
        if (found >= 0) free(entry);
    }
    return n;
}

static void free_paths(char **path, int n)
{
    for (int i = 0; i < n; ++i) free(path[i]);
}

/* Written as text and read again it is what it was, and passes what check looks at. */
static void check_made(const init_cfg *made, const init_job *job)
{
    size_t len;
    char *text = init_text(made, &len);
    diag *d = diag_new();
    cfg_file *cfg = cfg_parse(job->out, text, len, d);
    check_no_errors(d);
    assert_int_equal(cfg->n, made->cfg->n);
    for (int mode = LOWER_TRAIN; mode <= LOWER_DEPLOY; ++mode) {
        cfg_file *copy = cfg_parse(job->out, text, len, d);
        lowered *low = lower_cfg(copy, (lower_mode)mode, d);
        if (!low) {
            diag_print(d, stderr);
            fail_msg("%s of %s: what init wrote does not pass", job->student ? job->student : "smaller", job->teacher);
        }
        lower_free(low);
    }
    cfg_free(cfg);
    free(text);
    diag_free(d);
}

/* Of files that the user gave, in words. */
static void check_reason(const diag *d, const init_job *job)
{
    if (!diag_errors(d)) fail_msg("%s of %s: refused without a word", job->student, job->teacher);
    for (int i = 0; i < diag_count(d); ++i) {
        const diag_message *message = diag_get(d, i);
        if (message->level != DIAG_ERROR) continue;
        int theirs = message->file && (!strcmp(message->file, job->teacher) ||
                                       (job->student && !strcmp(message->file, job->student)));
        int ours = message->section && section_type_named(message->section);
        if (theirs && !ours && message->hint) continue;
        diag_print(d, stderr);
        fail_msg("%s of %s: not a reason in the user's terms", job->student ? job->student : "smaller", job->teacher);
    }
}

/* 1 if a cfg came out. */
static int try(const init_job *job)
{
    diag *d = diag_new();
    init_cfg *made = init_make(job, d);
    int worked = made != NULL;
    if (made) {
        check_no_errors(d);
        check_made(made, job);
    } else {
        check_reason(d, job);
        if (getenv("DISTILL_INIT_SAY")) {
            printf("%s of %s\n", job->student ? job->student : "smaller", job->teacher);
            diag_print(d, stdout);
        }
    }
    init_free(made);
    diag_free(d);
    return worked;
}

static void every_pair(void **unused)
{
    (void)unused;
    char *path[MOST];
    int n = all_cfgs(path), made = 0, refused = 0, all = getenv("DISTILL_INIT_ALL") != NULL;
    int share = all ? 1 : SHARE;
    if (check_memcheck()) share = 97;
    for (int i = 0; i < n * n; i += share) {
        init_job job = { .student = path[i / n], .teacher = path[i % n], .out = "new.cfg" };
        if (try(&job)) ++made;
        else ++refused;
    }
    print_message("%d networks: of %d pairs %d made a distillation, %d were refused with a reason\n", n, made + refused,
                  made, refused);
    assert_true(made > 0 && refused > 0);
    free_paths(path, n);
}

/* Does check accept it as it is, and can it teach? */
static int is_teacher(const char *path)
{
    diag *d = diag_new();
    cfg_file *cfg = cfg_read(path, d);
    net_shape *shape = cfg && !diag_errors(d) ? shapes_infer(cfg, d) : NULL;
    tap_head *head = NULL;
    tap_problem problem;
    int teaches = shape && shape->w > 0 && tap_heads(cfg, shape, &head, &problem) > 0;
    free(head);
    shapes_free(shape);
    cfg_free(cfg);
    diag_free(d);
    return teaches;
}

static void every_teacher_made_smaller(void **unused)
{
    (void)unused;
    static const double factors[][2] = { { .5, .5 }, { .25, 1 }, { .75, .3 } };
    char *path[MOST];
    int n = all_cfgs(path), made = 0, teachers = 0, step = check_memcheck() ? 17 : 1;
    for (int i = 0; i < n; i += step)
        for (size_t k = 0; k < sizeof factors / sizeof *factors; ++k) {
            init_job job = { .teacher = path[i], .out = "new.cfg", .width = factors[k][0], .depth = factors[k][1] };
            int worked = try(&job), teaches = is_teacher(path[i]);
            if (teaches && !worked) print_message("no smaller %s\n", path[i]);
            teachers += teaches;
            made += worked;
        }
    print_message("%d of %d that can teach were made smaller\n", made, teachers);
    assert_true(made > 0 && made >= teachers);
    free_paths(path, n);
}

int main(void)
{
    network_init();
    make_zoo();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair),
        cmocka_unit_test(every_teacher_made_smaller),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
