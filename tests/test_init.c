/* `init` between every two networks at hand: those that Debian ships, the published ones of tests/zoo, the project's own.
 * What comes out passes check, or the reason is told of the user's own files. And every network that can teach is made
 * smaller, which trains a step.
 *
 * make init-all tries all; else, to be quick, it is every other pair, and small teachers that train. */
#include "check_nets.h"

#include "darknet_plugin/init/init.h"
#include "layers/network.h"

#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MOST = 128, SMALL = 2000000, SIZE = 64 };

static int is_all(void) { return getenv("DISTILL_INIT_ALL") != NULL; }

/* The zoo's, small, with their answers, into a folder of the test's own. */
static void make_zoo(void)
{
    char *command = mem_printf("mkdir %s/zoo && for name in $(tests/zoo/make_cfg.py); do "
                               "tests/zoo/make_cfg.py $name size=96 classes=5 wide=.5 ends=loss >%s/zoo/$name.cfg; done",
                               check_folder(), check_folder());
    if (system(command)) print_message("no python3: without the published networks\n");
    free(command);
}

/* Adds the paths of a folder's cfgs to the n there are; how many there are then. */
static int add_cfgs(const char *folder, char *path[MOST], int n)
{
    struct dirent **entry;
    int found = scandir(folder, &entry, NULL, alphasort);
    for (int k = 0; k < found; ++k) {
        size_t len = strlen(entry[k]->d_name);
        int is_cfg = len > 4 && !strcmp(entry[k]->d_name + len - 4, ".cfg");
        if (is_cfg && n < MOST) path[n++] = mem_printf("%s/%s", folder, entry[k]->d_name);
        free(entry[k]);
    }
    if (found >= 0) free(entry);
    return n;
}

/* The paths of all cfgs; how many. */
static int all_cfgs(char *path[MOST])
{
    char *zoo = mem_printf("%s/zoo", check_folder()), root[4096];
    assert_non_null(getcwd(root, sizeof root));
    char *own = mem_printf("%s/cfg/cifar100", root), *shapes = mem_printf("%s/cfg/shapes", root);
    int n = add_cfgs(shapes, path, add_cfgs(own, path, add_cfgs(zoo, path, add_cfgs("/usr/share/darknet/cfg", path, 0))));
    free(shapes);
    free(own);
    free(zoo);
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
    int n = all_cfgs(path), made = 0, refused = 0, share = is_all() ? 1 : 2;
    if (getenv("DISTILL_QUICK")) share = 11;
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
    int teaches = shape && shape->w > 0 && !cfg_first(cfg, "teacher") && tap_heads(cfg, shape, &head, &problem) > 0;
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

/* ---- one step ---- */

/* Writes the teacher small.cfg, its images small where its weights allow that, and random weights; 0: it is too large. */
static int write_teacher(const char *path)
{
    diag *d = diag_new();
    size_t len;
    cfg_file *cfg = cfg_read(path, d);
    net_shape *whole = shapes_infer(cfg, d);
    int fits = whole->params <= SMALL || is_all(), w = whole->w, h = whole->h;
    cfg_set(&cfg->section[0], "batch", "2");
    cfg_set(&cfg->section[0], "subdivisions", "1");
    cfg_set(&cfg->section[0], "width", "%d", w < SIZE ? w : SIZE);
    cfg_set(&cfg->section[0], "height", "%d", h < SIZE ? h : SIZE);
    net_shape *small = shapes_infer(cfg, d);
    if (!small || small->params != whole->params) {
        cfg_set(&cfg->section[0], "width", "%d", w);
        cfg_set(&cfg->section[0], "height", "%d", h);
    }
    char *text = cfg_text(cfg, &len);
    if (fits) check_write_network("small", text, 5);
    free(text);
    shapes_free(small);
    shapes_free(whole);
    cfg_free(cfg);
    diag_free(d);
    return fits;
}

/* The cfg that init wrote trains: its loss is a number, a gradient reaches its first weights, and they stay numbers.
 * (Whether they change is not looked at: where burn_in= is long the first rate is next to nothing.) */
static void check_step(const char *path)
{
    diag *d = diag_new();
    model *model = model_open(path, &(model_options){ .backend = BACKEND_DNNL, .batch = 2, .seed = 3 }, d);
    check_no_errors(d);
    network *net = model->net;
    int first = 0;
    while (!net->layers[first].weights) ++first;
    const layer *l = &net->layers[first];
    float *x = mem_calloc((size_t)net->inputs * 2, sizeof *x);
    check_fill(x, (size_t)net->inputs * 2, 20);
    double loss = model_train_step(model, x, (int[]){ 3, 1 }, NULL), gradient = 0;
    if (!isfinite(loss) || loss == 0) fail_msg("the loss is %g", loss);
    for (int i = 0; i < l->nweights; ++i) gradient += fabs(l->weight_updates[i]);
    if (!isfinite(gradient) || gradient == 0) fail_msg("the first weights' gradient is %g", gradient);
    network_update(net, model->low->trained);
    for (int i = 0; i < l->nweights; ++i) assert_true(isfinite(l->weights[i]));
    free(x);
    model_close(model);
    diag_free(d);
}

static void write_made(const init_job *job)
{
    diag *d = diag_new();
    size_t len;
    init_cfg *made = init_make(job, d);
    check_no_errors(d);
    char *text = init_text(made, &len);
    check_write(job->out, text, len);
    free(text);
    init_free(made);
    diag_free(d);
}

static void smaller_students_train(void **unused)
{
    (void)unused;
    char *path[MOST], home[4096];
    int n = all_cfgs(path), trained = 0, left = 0;
    if (check_memcheck()) skip();
    assert_non_null(getcwd(home, sizeof home));
    assert_int_equal(chdir(check_folder()), 0);
    for (int i = 0; i < n; ++i) {
        if (!is_teacher(path[i])) continue;
        if (!write_teacher(path[i])) {
            ++left;
            continue;
        }
        print_message("%s\n", path[i]);
        init_job job = { .teacher = "small.cfg", .weights = "small.weights", .out = "made.cfg", .width = .5, .depth = .5 };
        write_made(&job);
        check_step("made.cfg");
        ++trained;
    }
    assert_int_equal(chdir(home), 0);
    print_message("%d trained a step, %d are too large for here\n", trained, left);
    assert_true(trained >= 3);
    free_paths(path, n);
}

int main(void)
{
    network_init();
    make_zoo();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_pair),
        cmocka_unit_test(every_teacher_made_smaller),
        cmocka_unit_test(smaller_students_train),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
