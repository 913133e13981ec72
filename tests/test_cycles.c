/* Memory over many lives: a small distillation is opened, trained for two steps and closed a thousand times. What is left
 * afterwards is the host's leak (measured by parsing and freeing the same two networks alone, nothing of ours bound) and
 * nothing else. Blocks are counted, by malloc and its kin as they stand here instead of glibc's: bytes in use depend on how
 * the heap happened to be cut, blocks do not. Sanitizers have a malloc of their own, so there is nothing to count there. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/model/model.h"

#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <unistd.h>

enum { CYCLES = 1000, WARM = 40, TRAIN_STEPS = 2, BOUND = 50 };   /* blocks: far from one a cycle */

static atomic_long blocks;   /* alive */

#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__ && defined __GLIBC__
#define COUNTS 1
void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *p, size_t n);
void *__libc_memalign(size_t align, size_t n);
void __libc_free(void *p);

static void *counted(void *p)
{
    if (p) ++blocks;
    return p;
}

void *malloc(size_t n) { return counted(__libc_malloc(n)); }
void *calloc(size_t n, size_t size) { return counted(__libc_calloc(n, size)); }
void *memalign(size_t align, size_t n) { return counted(__libc_memalign(align, n)); }
void *aligned_alloc(size_t align, size_t n) { return counted(__libc_memalign(align, n)); }

int posix_memalign(void **p, size_t align, size_t n)
{
    void *q = counted(__libc_memalign(align, n));
    if (!q) return ENOMEM;
    *p = q;
    return 0;
}

void free(void *p)
{
    if (p) --blocks;
    __libc_free(p);
}

void *realloc(void *p, size_t n)
{
    if (!p) return malloc(n);
    if (n) return __libc_realloc(p, n);
    free(p);
    return NULL;
}
#else
#define COUNTS 0
#endif

#define NET "[net]\nbatch=4\nsubdivisions=1\nwidth=8\nheight=8\nchannels=3\nlearning_rate=0.05\nmomentum=0.9\ndecay=0.0005\nmax_batches=10\n"
#define CONV(filters, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=relu\n"

static const char teacher_cfg[] = NET CONV(8, 2) CONV(8, 1) "[shortcut]\nfrom=-2\nactivation=relu\n" CONV(16, 1)
    "[avgpool]\n[convolutional]\nfilters=3\nsize=1\nstride=1\nactivation=linear\n[softmax]\n";
static const char student_cfg[] = NET "[teacher]\ncfg=teacher.cfg\nweights=teacher.weights\n" CONV(6, 2) "[dropout]\nprobability=.2\n"
    CONV(6, 1) "[projector]\n[feature_l2]\n[reused_classifier]\n";

static float pixels[4 * 3 * 8 * 8];

static model *open_model(const char *cfg)
{
    diag *d = diag_new();
    model_options o = { .seed = 3, .threads = 1 };   /* too small a net for two */
    model *m = model_open(cfg, &o, d);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

static int make_files(void **state)
{
    (void)state;
    if (chdir(check_folder())) return -1;
    check_write("teacher.cfg", teacher_cfg, strlen(teacher_cfg));
    check_write("student.cfg", student_cfg, strlen(student_cfg));
    check_fill(pixels, sizeof pixels / sizeof *pixels, 5);
    diag *d = diag_new();
    model *m = open_model("teacher.cfg");
    for (int i = 0; i < m->net->n; ++i)
        for (int k = 0; m->net->layers[i].batch_normalize && k < m->net->layers[i].n; ++k) m->net->layers[i].rolling_variance[k] = .5f;
    int failed = weights_save(m->net, "teacher.weights", d);
    model_close(m);
    diag_free(d);
    return failed;
}

static void train_once(void *unused)
{
    (void)unused;
    model *m = open_model("student.cfg");
    for (int i = 0; i < TRAIN_STEPS; ++i) {
        assert_true(isfinite(model_train_step(m, pixels, NULL, NULL)));
        network_update(m->net, m->net->n);
    }
    model_close(m);
}

/* A refused cfg: its [route] reads a layer that is not there. */
static void fail_once(void *unused)
{
    (void)unused;
    diag *d = diag_new();
    model_options o = { .seed = 3, .threads = 1 };
    assert_null(model_open("bad.cfg", &o, d));
    assert_true(diag_errors(d) > 0);
    diag_free(d);
}

typedef struct texts { char *student, *teacher; } texts;

static void host_once(void *both)
{
    const texts *t = both;
    host_free(check_parse(t->student));
    host_free(check_parse(t->teacher));
}

/* Blocks that CYCLES calls leave behind. */
static long growth(void (*fn)(void *), void *arg)
{
    for (int i = 0; i < WARM; ++i) fn(arg);
    long before = blocks;
    for (int i = 0; i < CYCLES; ++i) fn(arg);
    return blocks - before;
}

static void counts_at_all(void)
{
    if (COUNTS) return;
    print_message("skipped: memory over many lives, sanitizers have a malloc of their own\n");
    skip();
}

/* The texts of both networks as the model parses them. */
static texts texts_of(void)
{
    size_t len;
    model *m = open_model("student.cfg");
    texts t = { cfg_text(m->low->cfg, &len), cfg_text(m->low->teacher->cfg, &len) };
    model_close(m);
    return t;
}

static void our_memory_does_not_grow(void **state)
{
    (void)state;
    counts_at_all();
    texts t = texts_of();
    long host = growth(host_once, &t), all = growth(train_once, NULL);
    print_message("%d cycles: %ld blocks more, %ld with the host alone, so %ld are ours\n", CYCLES, all, host, all - host);
    free(t.student);
    free(t.teacher);
    assert_true(host >= 0);
    if (labs(all - host) > BOUND) fail_msg("%ld blocks more than the host's own leak, allowed are %d", all - host, BOUND);
}

static void nor_where_a_cfg_is_refused(void **state)
{
    (void)state;
    counts_at_all();
    char *bad = mem_printf("%s[route]\nlayers=99\n", student_cfg);
    check_write("bad.cfg", bad, strlen(bad));
    free(bad);
    long all = growth(fail_once, NULL);
    if (all > BOUND) fail_msg("%ld blocks after %d refusals, allowed are %d", all, CYCLES, BOUND);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(our_memory_does_not_grow), cmocka_unit_test(nor_where_a_cfg_is_refused) };
    return cmocka_run_group_tests(tests, make_files, NULL);
}
