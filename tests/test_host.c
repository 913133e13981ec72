/* The host kept in check: every way it ends the process ends non-zero with a message, a refused cfg comes back as an
 * error, and our training step is the host's own, bit for bit. */
#include "layers/network.h"
#include "check.h"

#include "weights_tools/file/weights_file.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __SSE__
#include <xmmintrin.h>
#endif

#define NET "[net]\nbatch=4\nsubdivisions=2\nheight=6\nwidth=6\nchannels=3\n"

static const char small[] = NET "learning_rate=0.1\nmomentum=0.9\ndecay=0.01\n"
    "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
    "[maxpool]\nsize=2\nstride=2\n[convolutional]\nfilters=4\nsize=3\npad=1\nactivation=relu\n"
    "[shortcut]\nfrom=-2\nactivation=linear\n[connected]\noutput=3\nactivation=linear\n[softmax]\n[cost]\ntype=sse\n";

/* Runs fn in a child; what it wrote to stderr is in `said`. Returns its exit status, -1 if a signal ended it. */
static int in_child(void (*fn)(void), char *said, size_t room)
{
    int p[2], status;
    assert_int_equal(pipe(p), 0);
    fflush(NULL);
    pid_t pid = fork();
    if (!pid) {
        dup2(p[1], STDERR_FILENO);
        close(p[0]);
        close(p[1]);
        fn();
        _exit(77);
    }
    close(p[1]);
    size_t n = 0;
    for (ssize_t got; n < room - 1 && (got = read(p[0], said + n, room - 1 - n)) > 0;) n += (size_t)got;
    said[n] = 0;
    close(p[0]);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void load_missing_weights(void)
{
    char name[] = "/nowhere/x.weights";
    network *net = check_parse(small);
    host_doing("loading weights");
    load_weights(net, name);
}

static void resize_what_cannot_be(void)
{
    network *net = check_parse(small);
    host_doing("resizing");
    resize_network(net, 12, 12);
}

static void resize_idle(void)
{
    network *net = check_parse(small);
    resize_network(net, 12, 12);
}

static void exit_well_while_busy(void)
{
    host_doing("doing something");
    exit(0);
}

static void exit_badly_while_busy(void)
{
    host_doing("doing something");
    exit(3);
}

static void exit_well(void)
{
    host_doing("doing something");
    host_doing(NULL);
    exit(0);
}

static void abort_busy(void)
{
    host_doing("doing something");
    abort();
}

/* The reason, what the host was doing, and a status that is not 0. */
static void test_exits_are_caught(void **state)
{
    (void)state;
    static const struct { void (*fn)(void); int status; const char *says; } ends[] = {
        { load_missing_weights, 1, "darknet: cannot open /nowhere/x.weights (while loading weights)\n" },
        { resize_what_cannot_be, 1, "darknet: Cannot resize this type of layer (while resizing)\n" },
        { resize_idle, 1, "darknet: Cannot resize this type of layer\n" },
        { exit_well_while_busy, 1, "darknet: the host library ended the program (while doing something)\n" },
        { exit_badly_while_busy, 3, "darknet: the host library ended the program (while doing something)\n" },
        { abort_busy, 134, "darknet: a check inside the program failed (while doing something)\n" },
    };
    char said[2048];
    for (size_t i = 0; i < sizeof ends / sizeof *ends; ++i) {
        int status = in_child(ends[i].fn, said, sizeof said);
        if (status != ends[i].status || !strstr(said, ends[i].says))
            fail_msg("case %zu: status %d, expected %d; said: %s", i, status, ends[i].status, said);
    }
    assert_int_equal(in_child(exit_well, said, sizeof said), 0);
    assert_string_equal(said, "");
}

static int open_files(void)
{
    int n = 0;
    DIR *dir = opendir("/proc/self/fd");
    assert_non_null(dir);
    while (readdir(dir)) ++n;
    closedir(dir);
    return n;
}

/* The only message begins with `lead`. */
static void refused_by(const char *lead, const char *text, const char *why)
{
    diag *d = diag_new();
    assert_null(host_parse(text, strlen(text), "bad.cfg", d));
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->file, "bad.cfg");
    const char *says = diag_get(d, 0)->text;
    if (strncmp(says, lead, strlen(lead)) || !strstr(says, why)) fail_msg("\"%s\", expected \"%s\"", says, why);
    diag_free(d);
}

static void refused(const char *text, const char *why)
{
    refused_by("the host library refused this cfg: ", text, why);
}

static void test_parse_errors_come_back(void **state)
{
    (void)state;
    int before = open_files();
    for (int round = 0; round < 3; ++round) {
        refused("", "Config file has no sections");
        refused("[maxpool]\n", "First section must be [net] or [network]");
        refused("[net]\nbatch=1\n[softmax]\n", "No input parameters supplied");
        refused(NET "policy=steps\n[softmax]\n", "STEPS policy must have steps and scales in cfg file");
        refused("[net]\nbatch=1\ninputs=10\n[convolutional]\n", "must output image");
        refused_by("cannot open ", NET "[region]\nclasses=1\nnum=1\ncoords=1\nmap=/nowhere/x.map\n", "/nowhere/x.map: No such file");
        refused_by("cannot open ", NET "[softmax]\ntree=/nowhere/x.tree\n", "/nowhere/x.tree: No such file");
        refused(NET "[yolo]\nclasses=4\n", "a check inside the host failed");
    }
    host_free(check_parse(small));   /* and after all that it still works */
    assert_int_equal(open_files(), before);
}

#define REGION NET "[convolutional]\nfilters=5\nactivation=linear\n[region]\nclasses=3\nnum=1\ncoords=1\n"

/* Files that the host would read beyond its memory for, write beyond it, or walk in for ever. */
static void test_trees_and_maps_are_checked(void **state)
{
    (void)state;
    static const struct { const char *key, *file, *message; } rows[] = {
        { "tree", "a -1\nb 7\nc -1\n", "line 2: a parent is -1 or an earlier line, counted from 0" },
        { "tree", "a -1\nb 1\nc -1\n", "line 2: a parent" }, { "tree", "a -2\n", "line 1: a parent" }, { "tree", "a 0\n", "line 1: a parent" },
        { "tree", "a -1\n\nc -1\n", "line 2: expected a name" }, { "tree", "a\n", "line 1: expected a name" }, { "tree", "a -1 x\n", "expected a name" },
        { "tree", "a -1\nb 0\n", "the tree has 2 classes, the layer 3" },
        { "map", "0\n3\n", "line 2: the section has no such class" }, { "map", "-1\n", "no such class" }, { "map", "0\nx\n", "line 2: expected a whole number" },
        { "map", "99999999999999999999\n", "expected a whole number" }, { "map", "0\n\n", "line 2: expected a whole number" },
    };
    char *path = mem_printf("%s/file", check_folder());
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        char *text = mem_printf(REGION "%s=%s\n", rows[i].key, path);
        check_write(path, rows[i].file, strlen(rows[i].file));
        diag *d = diag_new();
        assert_null(host_parse(text, strlen(text), "bad.cfg", d));
        assert_int_equal(diag_errors(d), 1);
        if (!strstr(diag_get(d, 0)->text, rows[i].message)) fail_msg("row %zu: \"%s\"", i, diag_get(d, 0)->text);
        diag_free(d);
        free(text);
    }
    char *text = mem_printf(REGION "tree=%s\n", path), name[300];
    memset(name, 'n', sizeof name);
    memcpy(name + 256, " -1\n", 4);
    check_write(path, name, 260);
    diag *d = diag_new();
    assert_null(host_parse(text, strlen(text), "bad.cfg", d));
    assert_non_null(strstr(diag_get(d, 0)->text, "a name of up to 255 letters"));
    diag_free(d);
    free(text);
    free(path);
}

/* A class that a map does not name is not read from behind its end. */
static void test_short_maps_are_completed(void **state)
{
    (void)state;
    char *path = mem_printf("%s/file", check_folder()), *text = mem_printf(REGION "tree=%s.tree\nmap=%s\n", path, path), *tree = mem_printf("%s.tree", path);
    check_write(path, "2\n", 2);
    check_write(tree, "a -1\nb 0\nc 0\n", 13);
    network *net = check_parse(text);
    assert_true(net->layers[1].map[0] == 2 && net->layers[1].map[1] == 0 && net->layers[1].map[2] == 0);
    assert_int_equal(net->layers[1].softmax_tree->n, 3);
    host_free(net);
    free(path), free(text), free(tree);
}

/* The host's table goes nowhere, ours comes through before and after, whatever the outcome. */
static void talk_around_parsing(void)
{
    diag *d = diag_new();
    fprintf(stderr, "one\n");
    host_free(host_parse(small, strlen(small), "x", d));
    fprintf(stderr, "two\n");
    host_parse("[maxpool]\n", 10, "x", d);
    fprintf(stderr, "three\n");
    host_parse(NET "[yolo]\nclasses=4\n", strlen(NET "[yolo]\nclasses=4\n"), "x", d);
    fprintf(stderr, "four\n");
    _exit(0);
}

static void test_stderr_survives_parsing(void **state)
{
    (void)state;
    char said[2048];
    assert_int_equal(in_child(talk_around_parsing, said, sizeof said), 0);
    assert_string_equal(said, "one\ntwo\nthree\nfour\n");
    int before = open_files();
    for (int i = 0; i < 10; ++i) host_free(check_parse(small));
    assert_int_equal(open_files(), before);
}

static char *out_file;

static void claim_stdout(void)
{
    int fd = open(out_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    FILE *out = host_claim_stdout();
    printf("chatter\n");
    fprintf(out, "result\n");
    fflush(NULL);
    _exit(0);
}

static void test_stdout_is_only_ours(void **state)
{
    (void)state;
    char said[256];
    out_file = mem_printf("%s/out", check_folder());
    assert_int_equal(in_child(claim_stdout, said, sizeof said), 0);
    assert_string_equal(said, "chatter\n");
    char *text = check_read(out_file, NULL);
    assert_string_equal(text, "result\n");
    free(text);
    free(out_file);
}

static void print_then_fail(void)
{
    int fd = open(out_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    printf("result so far\n");
    load_missing_weights();
}

static void print_then_exit(void)
{
    int fd = open(out_file, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(fd, STDOUT_FILENO);
    printf("result so far\n");
    exit_well_while_busy();
}

/* What was printed before the host gave up is not lost. */
static void test_results_before_an_exit_are_kept(void **state)
{
    (void)state;
    void (*const fn[])(void) = { print_then_fail, print_then_exit };
    out_file = mem_printf("%s/results", check_folder());
    for (int i = 0; i < 2; ++i) {
        char said[2048];
        assert_int_equal(in_child(fn[i], said, sizeof said), 1);
        char *text = check_read(out_file, NULL);
        assert_string_equal(text, "result so far\n");
        free(text);
    }
    free(out_file);
}

static void check_rates(const char *keys, size_t first)
{
    static const size_t steps[] = { 0, 1, 2, 3, 7, 9, 10, 11, 49, 50, 51, 99, 100, 101, 149, 150, 151, 399, 400, 499 };
    char *text = mem_printf(NET "learning_rate=0.037\n%s\n[softmax]\n", keys);
    network *net = check_parse(text);
    for (size_t i = 0; i < sizeof steps / sizeof *steps; ++i) {
        if (steps[i] < first) continue;
        for (size_t images = 0; images < 4; ++images) {
            *net->seen = steps[i] * 4 + images;
            float want = get_current_rate(net), got = (float)network_rate(net);
            if (got != want)
                fail_msg("%s, step %zu: rate %.9g, expected %.9g", keys, steps[i], (double)got, (double)want);
        }
    }
    host_free(net);
    free(text);
}

static void test_rate_is_the_hosts(void **state)
{
    (void)state;
    check_rates("policy=constant", 0);
    check_rates("policy=constant\nburn_in=100", 0);
    check_rates("policy=constant\nburn_in=100\npower=1", 0);
    check_rates("policy=step\nstep=50\nscale=0.3", 0);
    check_rates("policy=step\nstep=50\nscale=0.3\nburn_in=10", 0);
    check_rates("policy=steps\nsteps=50,100,400\nscales=.1,.5,.1", 0);
    check_rates("policy=steps\nsteps=50,100,400\nscales=.1,.5,.1\nburn_in=101\npower=2", 0);
    check_rates("policy=exp\ngamma=0.99", 0);
    check_rates("policy=poly\npower=4\nmax_batches=500", 0);
    check_rates("policy=poly\npower=1\nmax_batches=500\nburn_in=3", 0);
    /* Below `step` the host's counter wraps around and its rate is 0; ours is the formula's. */
    check_rates("policy=sigmoid\ngamma=0.05\nstep=100", 100);
}

/* The sigmoid as meant, where the host's is 0: near the full rate at the start, half of it at `step`. */
static void test_sigmoid_before_its_middle(void **state)
{
    (void)state;
    network *net = check_parse(NET "learning_rate=0.5\npolicy=sigmoid\ngamma=0.05\nstep=100\n[softmax]\n");
    *net->seen = 0;
    assert_true(get_current_rate(net) == 0);
    check_close(network_rate(net), 0.5 / (1 + exp(0.05 * -100)), 1e-6, "rate at 0", 0);
    *net->seen = 100 * 4;
    check_close(network_rate(net), 0.25, 1e-6, "rate in the middle", 0);
    host_free(net);
}

static void same_weights(network *a, const network *b)
{
    weights_tensor x[WEIGHTS_MAX_TENSORS], y[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < a->n; ++i) {
        int n = weights_tensors(&a->layers[i], x);
        weights_tensors(&b->layers[i], y);
        for (int k = 0; k < n; ++k) memcpy(x[k].data, y[k].data, x[k].n * sizeof *x[k].data);
    }
}

static void check_same_buffers(const network *a, const network *b)
{
    assert_true(weights_hash(a, 0, a->n) == weights_hash(b, 0, b->n));
    for (int i = 0; i < a->n; ++i) {
        const layer *x = &a->layers[i], *y = &b->layers[i];
        size_t n = (size_t)x->outputs * (size_t)x->batch * sizeof(float);
        assert_memory_equal(x->output, y->output, n);
        if (x->delta) assert_memory_equal(x->delta, y->delta, n);
        if (x->cost) assert_true(*x->cost == *y->cost);
        if (x->nweights) assert_memory_equal(x->weight_updates, y->weight_updates, (size_t)x->nweights * sizeof(float));
    }
}

/* Three whole steps of two subdivisions: outputs, deltas, updates and weights are those of train_network_datum. */
static void test_training_step_is_the_hosts(void **state)
{
    (void)state;
    network *a = check_parse(small), *b = check_parse(small);
    same_weights(a, b);
    for (int k = 0; k < 6; ++k) {
        check_fill(a->input, (size_t)a->inputs * (size_t)a->batch, (uint64_t)k);
        memcpy(b->input, a->input, (size_t)a->inputs * (size_t)a->batch * sizeof(float));
        for (int i = 0; i < a->batch; ++i) a->truth[i * 3 + k % 3] = b->truth[i * 3 + k % 3] = 1;
        *a->seen += (size_t)a->batch;
        network_forward(a, a->n, 1);
        network_backward(a, a->n);
        if (k % 2) network_update(a, a->n);
        train_network_datum(b);
        check_same_buffers(a, b);
        assert_int_equal(*a->seen, *b->seen);
        assert_int_equal(*a->t, *b->t);
    }
    assert_int_equal(*a->t, 3);
    network_forward(a, a->n, 0);
    b->train = 0;
    forward_network(b);
    for (int i = 0; i < a->n - 1; ++i)   /* in inference, deltas are nobody's business */
        assert_memory_equal(a->layers[i].output, b->layers[i].output,
                            (size_t)a->layers[i].outputs * (size_t)a->batch * sizeof(float));
    host_free(a);
    host_free(b);
}

/* Only the first layers run, and a layer that stops the backward pass is respected. */
static void test_parts_of_a_net(void **state)
{
    (void)state;
    network *a = check_parse(small);
    check_fill(a->input, (size_t)a->inputs * (size_t)a->batch, 1);
    a->layers[2].output[0] = 42;
    network_forward(a, 2, 1);
    assert_true(a->layers[2].output[0] == 42);
    a->layers[1].stopbackward = 1;
    float *w = a->layers[0].weight_updates, before = w[0] = 0.125f;
    check_fill(a->layers[1].delta, 10, 2);
    network_backward(a, 2);
    assert_true(w[0] == before);
    a->layers[1].stopbackward = 0;
    network_backward(a, 2);
    assert_true(w[0] != before);
    host_free(a);
}

/* Denormals are flushed, on purpose: in the main thread and in every thread that asks. */
static uint32_t denormal_sum(void)
{
    volatile float tiny = 1e-39f, sum = tiny + tiny;
    uint32_t bits;   /* a comparison would flush, too */
    memcpy(&bits, (const void *)&sum, sizeof bits);
    return bits;
}

#ifdef __SSE__
static void *flush_in_thread(void *sums)
{
    uint32_t *sum = sums;
    _mm_setcsr(_mm_getcsr() & ~0x8040u);
    sum[0] = denormal_sum();
    host_thread_init();
    sum[1] = denormal_sum();
    return NULL;
}

static void test_floating_point_mode(void **state)
{
    (void)state;
    pthread_t t;
    uint32_t sum[2];
    if (check_memcheck()) {
        print_message("skipped: numbers flushed to zero, valgrind does not flush them\n");
        skip();
    }
    assert_int_equal(pthread_create(&t, NULL, flush_in_thread, sum), 0);
    assert_int_equal(pthread_join(t, NULL), 0);
    assert_int_not_equal(sum[0], 0);
    assert_int_equal(sum[1], 0);
    assert_int_equal(denormal_sum(), 0);
}
#else
static void test_floating_point_mode(void **state)
{
    (void)state;
    assert_int_not_equal(denormal_sum(), 0);
}
#endif

/* The library and this program, as they are, fit. .ci/gpu-check runs both with one that does not. */
static void built_alike(void **state)
{
    (void)state;
    diag *d = diag_new();
    assert_int_equal(host_check(d), 0);
    check_no_errors(d);
    diag_free(d);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(built_alike),
        cmocka_unit_test(test_exits_are_caught),
        cmocka_unit_test(test_parse_errors_come_back), cmocka_unit_test(test_trees_and_maps_are_checked), cmocka_unit_test(test_short_maps_are_completed),
        cmocka_unit_test(test_stderr_survives_parsing),
        cmocka_unit_test(test_stdout_is_only_ours),
        cmocka_unit_test(test_results_before_an_exit_are_kept),
        cmocka_unit_test(test_rate_is_the_hosts),
        cmocka_unit_test(test_sigmoid_before_its_middle),
        cmocka_unit_test(test_training_step_is_the_hosts),
        cmocka_unit_test(test_parts_of_a_net),
        cmocka_unit_test(test_floating_point_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
