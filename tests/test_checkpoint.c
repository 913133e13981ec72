/* Checkpoints: what is resumed goes on bit for bit; a run that is killed at any call that changes files, or in the middle of any
 * write, leaves a pair that can be resumed; what is damaged or not a pair is refused. */
#include "layers/network.h"
#include "check_data.h"

#include "darknet_plugin/training/checkpoint.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- dying at a call: these stand before the C library's for everything in this program ---- */

static int calls_left = -1;   /* -1: live */

static void tick(void)
{
    if (calls_left >= 0 && calls_left-- == 0) kill(getpid(), SIGKILL);
}

int fsync(int fd)
{
    tick();
    int r = (int)syscall(SYS_fsync, fd);
    tick();
    return r;
}

int rename(const char *from, const char *to)
{
    tick();
    int r = (int)syscall(SYS_rename, from, to);
    tick();
    return r;
}

int unlink(const char *path)
{
    tick();
    return (int)syscall(SYS_unlink, path);
}

/* ---- a small run ---- */

#define NET(more) "[net]\nbatch=4\nsubdivisions=2\nwidth=8\nheight=8\nchannels=1\nlearning_rate=0.05\nmomentum=0.9\ndecay=0.001\nmax_batches=50\n" more
#define BODY "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=1\npad=1\nactivation=relu\n[dropout]\nprobability=.3\n" \
    "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=1\npad=1\nactivation=linear\n[shortcut]\nfrom=-3\nactivation=relu\n" \
    "[avgpool]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n"

enum { IMAGES = 16, SIDE = 8 };
static dataset *images;

static int make_files(void **state)
{
    (void)state;
    unsigned char idx[16 + IMAGES * SIDE * SIDE] = { 0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE };
    for (size_t i = 16; i < sizeof idx; ++i) idx[i] = (unsigned char)(i * 7);
    if (chdir(check_folder())) return -1;
    data_put_text("names", "a\nb\nc\n");
    data_put("x-images-idx3-ubyte", idx, sizeof idx);
    check_write("sgd.cfg", NET("") BODY, strlen(NET("") BODY));
    check_write("adam.cfg", NET("adam=1\n") BODY, strlen(NET("adam=1\n") BODY));
    check_write("adamw.cfg", NET("adamw=1\n") BODY, strlen(NET("adamw=1\n") BODY));
    images = data_must_open("classes=3\nnames=names\ntrain=x-images-idx3-ubyte\n", 0, DATA_IMAGES);
    return 0;
}

static int drop_files(void **state)
{
    (void)state;
    dataset_free(images);
    return 0;
}

static model *open_run(const char *cfg)
{
    diag *d = diag_new();
    model_options o = { .seed = 3, .threads = 1 };   /* OpenMP's threads do not outlive a fork */
    model *m = model_open(cfg, &o, d);
    check_no_errors(d);
    diag_free(d);
    return m;
}

/* Updates first .. first + n - 1. */
static void train(model *m, int first, int n)
{
    float x[2 * SIDE * SIDE];   /* a sub-batch */
    const int label[2] = { 0, 2 };
    for (int i = first; i < first + n; ++i) {
        for (int s = 0; s < m->net->subdivisions; ++s) {
            check_fill(x, sizeof x / sizeof *x, (uint64_t)(2 * i + s));
            model_train_step(m, x, label, NULL);
        }
        network_update(m->net, m->low->trained);
    }
}

static checkpoint *open_disk(const model *m, const char *folder)
{
    checkpoint_run r = { .model = m, .train = images, .threads = 1, .seed = 3 };
    return checkpoint_open(folder, "x", &r);
}

static uint64_t hash_of(const model *m) { return weights_hash(m->net, 0, m->net->n); }

static run_progress progress_of(const model *m)
{
    return (run_progress){ .seen = *m->net->seen, .updates = (uint64_t)*m->net->t, .average = .25 * (double)*m->net->seen, .best = 7 };
}

static void save(const checkpoint *c, const model *m)
{
    diag *d = diag_new();
    run_progress p = progress_of(m);
    assert_int_equal(checkpoint_save(c, m, &p, NULL, d), 0);
    check_no_errors(d);
    diag_free(d);
}

/* The status; *text, if wanted, is the first message, the caller's to free. */
static int resume(const checkpoint *c, model *m, run_progress *p, int force, char **text)
{
    diag *d = diag_new();
    run_sums sums;
    int found = checkpoint_resume(c, m, p, &sums, force, d);
    assert_true((found < 0) == (diag_errors(d) > 0));
    if (text) *text = mem_strdup(diag_count(d) ? diag_get(d, 0)->text : "");
    else if (found < 0) check_no_errors(d);
    diag_free(d);
    return found;
}

/* ---- exact ---- */

static void goes_on(const char *cfg, const char *folder)
{
    run_progress p;
    model *whole = open_run(cfg), *second = open_run(cfg), *third = open_run(cfg);
    mkdir(folder, 0777);
    checkpoint *c = open_disk(whole, folder);
    train(whole, 0, 5);
    save(c, whole);
    run_progress saved = progress_of(whole);
    train(whole, 5, 4);
    assert_int_equal(resume(c, second, &p, 0, NULL), 1);
    assert_memory_equal(&p, &saved, sizeof p);
    assert_int_equal(*second->net->seen, 5 * 4);
    train(second, 5, 4);
    assert_int_equal(hash_of(second), hash_of(whole));

    char *weights = mem_printf("%s/x_last.weights", folder);   /* the weights alone are another run */
    diag *d = diag_new();
    assert_int_equal(model_load_whole(third, weights, d), 0);
    train(third, 5, 4);
    assert_int_not_equal(hash_of(third), hash_of(whole));
    diag_free(d);
    free(weights);
    checkpoint_free(c);
    model_close(whole);
    model_close(second);
    model_close(third);
}

static void resumes_bit_for_bit(void **state)
{
    (void)state;
    goes_on("sgd.cfg", "sgd");
    goes_on("adam.cfg", "adam");
    goes_on("adamw.cfg", "adamw");
}

/* ---- killed ---- */

/* A child that has saved after 2 updates dies while it saves after 4: at call number `call`, or, if `bytes` > 0, when a file
 * grows beyond that. 1 if it did die; one that lives on says so by a signal, too, as it frees nothing (valgrind). */
static int die(const char *folder, int call, size_t bytes)
{
    int status;
    pid_t child = fork();
    if (!child) {
        model *m = open_run("sgd.cfg");
        checkpoint *c = open_disk(m, folder);
        train(m, 0, 2);
        save(c, m);
        train(m, 2, 2);
        run_progress p = progress_of(m);
        struct rlimit most = { bytes, bytes };
        if (bytes) setrlimit(RLIMIT_FSIZE, &most);
        else calls_left = call;
        diag *d = diag_new();
        if (!checkpoint_save(c, m, &p, NULL, d)) raise(SIGUSR1);
        _exit(1);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    if (WTERMSIG(status) == SIGUSR1) return 0;
    assert_int_equal(WTERMSIG(status), bytes ? SIGXFSZ : SIGKILL);
    return 1;
}

/* Whatever happened, one of the two pairs is there, whole, and the run goes on from it. */
static int look(const char *folder)
{
    uint64_t after[5];
    run_progress p;
    model *m = open_run("sgd.cfg"), *again = open_run("sgd.cfg");
    checkpoint *c = open_disk(again, folder);
    for (int i = 1; i < 5; ++i) {
        train(m, i - 1, 1);
        after[i] = hash_of(m);
    }
    assert_int_equal(resume(c, again, &p, 0, NULL), 1);
    int updates = (int)p.updates;
    assert_true(updates == 2 || updates == 4);
    assert_int_equal(hash_of(again), after[updates]);
    run_progress want = progress_of(again);
    assert_memory_equal(&p, &want, sizeof p);
    train(again, updates, 4 - updates);
    assert_int_equal(hash_of(again), after[4]);
    save(c, again);
    checkpoint_free(c);
    model_close(m);
    model_close(again);
    return updates;
}

static void survives_every_instant(void **state)
{
    (void)state;
    int call = 0, old = 0, fresh = 0;
    for (; call < 100; ++call) {
        char *folder = mem_printf("kill%d", call);
        mkdir(folder, 0777);
        int died = die(folder, call, 0), updates = look(folder);
        old += updates == 2;
        fresh += updates == 4;
        free(folder);
        if (!died) break;
    }
    print_message("killed at each of %d calls: %d times the old pair, %d times the new one\n", call, old, fresh);
    assert_true(call > 10 && call < 100 && old > 3 && fresh > 3);
}

static void survives_every_write(void **state)
{
    (void)state;
    int died = 0;
    signal(SIGXFSZ, SIG_DFL);
    for (size_t bytes = 1; bytes < 5000; bytes += 311) {
        char *folder = mem_printf("cut%zu", bytes);
        mkdir(folder, 0777);
        died += die(folder, 0, bytes);
        look(folder);
        free(folder);
    }
    assert_true(died > 5);
}

/* ---- refused ---- */

static void refused(model *m, const checkpoint *c, int force, const char *message)
{
    char *text;
    run_progress p = { .best = 42 };
    assert_int_equal(resume(c, m, &p, force, &text), -1);
    if (!strstr(text, message)) fail_msg("'%s' is not '%s'", text, message);
    assert_true(p.best == 42);
    free(text);
}

static void says_what_is_wrong(void **state)
{
    (void)state;
    size_t len;
    run_progress p;
    char *text;
    model *m = open_run("sgd.cfg"), *other = open_run("adam.cfg");
    mkdir("bad", 0777);
    checkpoint *c = open_disk(m, "bad"), *wrong = open_disk(other, "bad");
    assert_int_equal(resume(c, m, &p, 0, NULL), 0);
    train(m, 0, 1);
    save(c, m);

    refused(other, wrong, 0, "the run was started with cfg=");
    refused(other, wrong, 1, "the run was started with cfg=");   /* a warning, then the layers do not fit */

    char *good = check_read("bad/x_last.state", &len);
    for (size_t n = 0; n < len; n += n < 300 ? 1 : 97) {
        check_write("bad/x_last.state", good, n);
        refused(m, c, 1, n < 16 ? "is not a state of a training run" : "is ");
    }
    for (size_t i = 0; i < len; i += i < 700 ? 1 : 61) {
        good[i] ^= 4;
        check_write("bad/x_last.state", good, len);
        refused(m, c, 1, i < 16 ? "is not a state of a training run" : "is damaged");
        good[i] ^= 4;
    }
    check_write("bad/x_last.state", good, len);

    size_t n;
    char *weights = check_read("bad/x_last.weights", &n);
    weights[40] ^= 1;
    check_write("bad/x_last.weights", weights, n);
    refused(m, c, 1, "are not the weights that the state beside them belongs to");
    assert_int_equal(unlink("bad/x_last.state"), 0);
    refused(m, c, 1, "has no state beside it");
    assert_int_equal(unlink("bad/x_last.weights"), 0);
    assert_int_equal(resume(c, m, &p, 0, &text), 0);
    free(text);
    free(good);
    free(weights);
    checkpoint_free(c);
    checkpoint_free(wrong);
    model_close(m);
    model_close(other);
}

/* Another seed is another run; -force takes it all the same. */
static void another_run(void **state)
{
    (void)state;
    run_progress p;
    char *text;
    model *m = open_run("sgd.cfg");
    mkdir("seed", 0777);
    checkpoint *c = open_disk(m, "seed");
    checkpoint_run r = { .model = m, .train = images, .threads = 2, .seed = 3 };
    checkpoint *threads = checkpoint_open("seed", "x", &r);
    save(c, m);
    refused(m, threads, 0, "the run was started with threads=1, now it is threads=2");
    assert_int_equal(resume(threads, m, &p, 1, &text), 1);
    assert_non_null(strstr(text, "the run was started with threads=1"));
    free(text);
    checkpoint_free(c);
    checkpoint_free(threads);
    model_close(m);
}

/* Parts of recurrent layers have updates of their own, which a state does not hold. */
static void refuses_recurrent(void **state)
{
    (void)state;
    static const char cfg[] = "[net]\nbatch=4\nsubdivisions=1\ntime_steps=2\ninputs=8\nlearning_rate=0.05\nmax_batches=50\n"
                              "[lstm]\noutput=4\n[connected]\noutput=3\nactivation=linear\n[softmax]\n";
    check_write("lstm.cfg", cfg, sizeof cfg - 1);
    model *m = open_run("lstm.cfg");
    mkdir("lstm", 0777);
    checkpoint *c = open_disk(m, "lstm");
    save(c, m);
    refused(m, c, 1, "layer 0: its training cannot be resumed exactly");
    checkpoint_free(c);
    model_close(m);
}

/* The key is in the head of a state, and no more than that is read or has to be there. */
static void test_key_alone(void **state)
{
    (void)state;
    static const char magic[] = "distill state 3\n", key[] = "cfg=1\nfit=crop\n";
    enum { HEAD = sizeof magic - 1, AT = HEAD + 8 + sizeof(run_progress), ALL = AT + 8 + sizeof key - 1 };
    char file[ALL + 100] = "", *path = mem_printf("%s/head.state", check_folder());
    uint64_t n = sizeof key - 1;
    memcpy(file, magic, HEAD), memcpy(file + AT, &n, 8), memcpy(file + AT + 8, key, n);
    for (size_t bytes = 0; bytes <= sizeof file; ++bytes) {
        check_write(path, file, bytes);
        char *got = run_state_key(path);
        if (bytes < ALL) assert_null(got);
        else assert_string_equal(got, key);
        free(got);
    }
    static const uint64_t lengths[] = { 1000, 1 << 21, UINT64_MAX, UINT64_MAX - 7 };
    for (size_t i = 0; i < 4; ++i) {
        memcpy(file + AT, &lengths[i], 8);
        check_write(path, file, sizeof file);
        assert_null(run_state_key(path));
    }
    memcpy(file + AT, &n, 8), file[0] = 'D';
    check_write(path, file, sizeof file);
    assert_null(run_state_key(path));
    free(path);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_alone),
        cmocka_unit_test(resumes_bit_for_bit), cmocka_unit_test(survives_every_instant), cmocka_unit_test(survives_every_write),
        cmocka_unit_test(says_what_is_wrong), cmocka_unit_test(another_run), cmocka_unit_test(refuses_recurrent),
    };
    return cmocka_run_group_tests(tests, make_files, drop_files);
}
