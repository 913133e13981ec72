/* Memory that runs out, at every place in turn: the n-th allocation of the plugin's own code fails, for n = 1, 2, ... until a
 * job gets by without meeting it. Each time it must end with a message and a status other than 0, by no signal, and leave no
 * file behind that is not whole. The linker puts the functions below in the place of the C library's in our own objects alone
 * (--wrap, see the Makefile): the host's and the libraries' calls are left as they are.
 *
 * A job may also get by in spite of it (a plan that does without its buffer): then its files must be what they always are. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/lowering/lower.h"
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/base/options.h"
#include "layers/cpu/parallel.h"
#include "darknet_plugin/model/feature_cache.h"
#include "check_nets.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- allocation that fails ---- */

static struct counter {
    atomic_long calls;           /* so far; counted while `on` */
    long fail;                   /* the number of the one that fails */
    atomic_size_t largest;       /* asked for at once */
    int on;
} *count;                        /* shared with the children */

static int fails(size_t bytes)
{
    if (!count || !count->on) return 0;
    if (bytes > count->largest) count->largest = bytes;
    if (++count->calls != count->fail) return 0;
    errno = ENOMEM;
    return 1;
}

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t border, size_t n);
char *__real_strdup(const char *s);
int __real_vasprintf(char **text, const char *fmt, va_list ap);
ssize_t __real_getline(char **text, size_t *room, FILE *in);
FILE *__real_open_memstream(char **text, size_t *n);

void *__wrap_malloc(size_t n) { return fails(n) ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails(n * size) ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t n) { return fails(n) ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t border, size_t n) { return fails(n) ? NULL : __real_aligned_alloc(border, n); }
char *__wrap_strdup(const char *s) { return fails(0) ? NULL : __real_strdup(s); }
int __wrap_vasprintf(char **text, const char *fmt, va_list ap) { return fails(0) ? -1 : __real_vasprintf(text, fmt, ap); }
ssize_t __wrap_getline(char **text, size_t *room, FILE *in) { return fails(0) ? -1 : __real_getline(text, room, in); }
FILE *__wrap_open_memstream(char **text, size_t *n) { return fails(0) ? NULL : __real_open_memstream(text, n); }

/* ---- the jobs: 0, or not after saying why ---- */

#define NET "[net]\nbatch=4\nsubdivisions=2\nwidth=8\nheight=8\nchannels=3\nlearning_rate=.1\nmax_batches=4\n"
#define CONV(filters, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\npad=1\nstride=" #stride "\nactivation=relu\n"
#define END "[avgpool]\n[connected]\noutput=10\nactivation=linear\n[softmax]\n"

static const char teacher_cfg[] = NET CONV(8, 2) CONV(8, 1) "[shortcut]\nfrom=-2\nactivation=relu\n" END;
static const char student_cfg[] = NET "[teacher]\ncfg=t.cfg\nweights=t.weights\n[augment]\npad=1\nflip=1\n" CONV(4, 2)
    "[projector]\n[feature_l2]\n[reused_classifier]\n";
static char model_pt[1024];      /* a fixture, its cfg is net.cfg */

extern const verb verb_weights, verb_export, verb_train;
static options opts;

static int lower_both_ways(diag *d)
{
    lowered *train = lower_read("s.cfg", LOWER_TRAIN, d), *deploy = train ? lower_read("s.cfg", LOWER_DEPLOY, d) : NULL;
    lower_free(train);
    lower_free(deploy);
    return !deploy;
}

static int report_mistakes(diag *d)
{
    lowered *l = lower_read("bad.cfg", LOWER_TRAIN, d);
    lower_free(l);
    return !l;
}

static int open_images(diag *d)
{
    data_file *f = data_file_read("idx.data", d);
    dataset *s = f ? dataset_open(f, DATA_TRAIN, 0, DATA_CLASSES, d) : NULL;
    dataset_free(s);
    data_file_free(f);
    return !s;
}

static int open_list(diag *d)
{
    data_file *f = data_file_read("list.data", d);
    dataset *s = f ? dataset_open(f, DATA_TRAIN, 0, DATA_CLASSES, d) : NULL, *boxes = s ? dataset_open(f, DATA_VALID, 0, DATA_BOXES, d) : NULL;
    if (boxes && (dataset_count(s) != 3 || dataset_count(boxes) != 3)) diag_error(d, NULL, 0, NULL, "images got lost");
    int failed = !boxes || diag_errors(d);
    dataset_free(boxes);
    dataset_free(s);
    data_file_free(f);
    return failed;
}

static int load_from(const dataset *s, diag *d)
{
    loader_options o = { .data = s, .how = LOAD_TRAIN, .batch = 2, .c = 3, .h = 8, .w = 8, .seed = 1, .view_seed = 1, .threads = 2,
                         .augment = { .pad = 1, .flip = 1, .min_crop = 8, .max_crop = 8, .aspect = 1, .saturation = 1, .exposure = 1, .any = 1 } };
    loader *l = loader_start(&o, d);
    int failed = !l;
    for (int i = 0; i < 3 && !failed; ++i) failed = !loader_next(l, d);
    if (l) loader_stop(l);
    return failed;
}

static int load_batches(diag *d)
{
    data_file *f = data_file_read("list.data", d);
    dataset *s = f ? dataset_open(f, DATA_TRAIN, 0, DATA_CLASSES, d) : NULL;
    int failed = !s || load_from(s, d);
    dataset_free(s);
    data_file_free(f);
    return failed;
}

static int load_and_save(diag *d)
{
    model_options o = { .backend = BACKEND_REFERENCE, .threads = 1 };
    model *m = model_open("t.cfg", &o, d);
    int failed = !m || model_load_whole(m, "t.weights", d) || weights_save(m->net, "out.weights", d);
    model_close(m);
    return failed;
}

static int train_step(cpu_backend backend, diag *d)
{
    model_options o = { .backend = backend, .threads = 1, .seed = 1 };
    model *m = model_open("s.cfg", &o, d);
    static float x[2 * 3 * 64];
    if (!m) return -1;
    double loss = model_train_step(m, x, NULL, NULL);
    network_update(m->net, m->low->trained);
    model_close(m);
    return !isfinite(loss);
}

static int train_step_reference(diag *d) { return train_step(BACKEND_REFERENCE, d); }
static int train_step_dnnl(diag *d) { return train_step(BACKEND_DNNL, d); }

static int use_cache(diag *d)
{
    feature_cache_spec s = { .key = "a=1\n", .type = FEATURE_U8, .taps = 1, .count = 2, .views = 1, .tap = { { 2, 2, 2 } } };
    feature_cache *c = feature_cache_open("c.feat", &s, d);
    if (!c) return -1;
    void *maps = mem_aligned(feature_cache_maps_bytes(c), 1), *packed = mem_aligned(feature_cache_packed_room(c), 1);
    feature_map got[FEATURE_TAPS];
    feature_cache_put(c, 0, 1, packed, feature_cache_pack(c, 0, 1, 0, maps, packed), d);
    int failed = feature_cache_get(c, 0, 1, 0, maps, got) != 1;
    if (failed) diag_error(d, NULL, 0, NULL, "it is not there");
    feature_cache_close(c);
    free(maps);
    free(packed);
    return failed;
}

static int run(const verb *verb, diag *d)
{
    opts.out = stdout;
    return verb->run(&opts, d);
}

static int import_model(diag *d)
{
    opts = (options){ .verb = &verb_weights, .n = 4, .arg = { "import", "net.cfg", model_pt, "out.weights" } };
    return run(&verb_weights, d);
}

static int fold_weights(diag *d)
{
    opts = (options){ .verb = &verb_weights, .n = 4, .arg = { "fold", "t.cfg", "t.weights", "out" } };
    return run(&verb_weights, d);
}

static int export_student(diag *d)
{
    opts = (options){ .n = 3, .arg = { "s.cfg", "s.weights", "out" }, .verify = 1 };
    return run(&verb_export, d);
}

static int train_from(int resume, diag *d)
{
    opts = (options){ .n = 2, .arg = { "idx.data", "s.cfg" }, .epochs = 1, .seed = 1, .threads = 1, .quiet = 1, .force = 1, .backup = "out.backup",
                      .resume = resume };
    return run(&verb_train, d);
}

static int train(diag *d) { return train_from(0, d); }
/* What a run that ran out of memory is followed by. */
static int train_on(diag *d) { return train_from(1, d); }

/* ---- one job with one failure ---- */

typedef struct outcome {
    int status;                  /* of waitpid */
    int met;                     /* the failing allocation was */
    char said[4096];
} outcome;

static void child(int (*job)(diag *d), int out)
{
    int null = open("/dev/null", O_WRONLY);
    dup2(null, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    parallel_set_threads(1);
    diag *d = diag_new();
    count->on = 1;
    int failed = job(d);
    count->on = 0;
    diag_print(d, stderr);
    fflush(NULL);
    _exit(failed || diag_errors(d) ? 1 : 0);
}

static outcome run_failing(int (*job)(diag *d), long fail)
{
    outcome o = { 0 };
    int fd = memfd_create("said", MFD_CLOEXEC);
    *count = (struct counter){ .fail = fail };
    pid_t pid = fork();
    if (!pid) child(job, fd);
    assert_int_equal(waitpid(pid, &o.status, 0), pid);
    o.met = count->calls >= fail;
    assert_true(pread(fd, o.said, sizeof o.said - 1, 0) >= 0);
    close(fd);
    return o;
}

/* ---- what is left behind ---- */

enum { MOST_FILES = 8 };
typedef struct file_left { char *name, *bytes; size_t n; } file_left;

static int is_result(const char *name) { return !strncmp(name, "out", 3) || strstr(name, ".tmp") || strstr(name, ".part") || !strcmp(name, "c.feat"); }

static void collect(const char *folder, file_left *f, int *n)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e; dir && (e = readdir(dir));) {
        struct stat st;
        if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.')) continue;
        char *path = mem_printf("%s%s%s", strcmp(folder, ".") ? folder : "", strcmp(folder, ".") ? "/" : "", e->d_name);
        int timed = strstr(e->d_name, ".jsonl") && !strstr(e->d_name, ".tmp");   /* a record: times differ */
        int wanted = !timed && (strcmp(folder, ".") || is_result(e->d_name)), folder_too = !stat(path, &st) && S_ISDIR(st.st_mode);
        if (wanted && folder_too) collect(path, f, n);
        if (wanted && !folder_too) {
            assert_true(*n < MOST_FILES);
            f[*n] = (file_left){ .name = path };
            f[*n].bytes = check_read(path, &f[*n].n);
            ++*n;
        } else {
            free(path);
        }
    }
    if (dir) closedir(dir);
}

static void forget(file_left *f, int n)
{
    for (int i = 0; i < n; ++i) free(f[i].name), free(f[i].bytes);
}

static void clean(void)
{
    if (system("rm -rf out* .out* *.part* c.feat")) fail_msg("cannot clean the folder");
}

/* Every file there must be one of `want`, with the same bytes; c.feat may lack records. */
static void check_left(const char *job, long fail, const file_left *want, int wants)
{
    file_left f[MOST_FILES];
    int n = 0;
    collect(".", f, &n);
    for (int i = 0; i < n; ++i) {
        int k = 0;
        while (k < wants && strcmp(want[k].name, f[i].name)) ++k;
        if (k == wants) fail_msg("%s, allocation %ld: leaves %s behind", job, fail, f[i].name);
        if (strcmp(f[i].name, "c.feat") && (f[i].n != want[k].n || memcmp(f[i].bytes, want[k].bytes, f[i].n)))
            fail_msg("%s, allocation %ld: %s is not what it should be", job, fail, f[i].name);
    }
    forget(f, n);
}

/* ---- all jobs ---- */

static const struct { const char *name; int (*job)(diag *d); } JOBS[] = {
    { "cfg", lower_both_ways }, { "mistakes in a cfg", report_mistakes }, { "IDX", open_images }, { "list and boxes", open_list },
    { "loader", load_batches }, { "weights", load_and_save }, { "cache", use_cache }, { "training step, plain C", train_step_reference },
    { "training step, oneDNN", train_step_dnnl }, { "import", import_model }, { "fold", fold_weights }, { "export", export_student },
    { "training", train },
};
enum { JOB_COUNT = sizeof JOBS / sizeof *JOBS };

/* The first one by one, then ever larger steps: a job allocates some thousand times, mostly in the same places.
 * NO_MEMORY_ALL=1 leaves none out, NO_MEMORY_JOB=name runs one job. */
static long next(long fail)
{
    long singly = getenv("NO_MEMORY_ALL") ? LONG_MAX : getenv("DISTILL_QUICK") ? 12 : 25;
    return fail < singly ? fail + 1 : fail + 1 + (fail - singly) / (singly / 3);
}

static void check_outcome(const char *job, long fail, const outcome *o, int may_fail)
{
    if (WIFSIGNALED(o->status)) fail_msg("%s, allocation %ld: ended by signal %d; it said: %s", job, fail, WTERMSIG(o->status), o->said);
    int status = WEXITSTATUS(o->status);
    if (status && status != 1) fail_msg("%s, allocation %ld: status %d; it said: %s", job, fail, status, o->said);
    if (status && !*o->said) fail_msg("%s, allocation %ld: fails without a word", job, fail);
    if (status && !may_fail) fail_msg("%s: fails with memory: %s", job, o->said);
}

static void fail_at_each(const char *name, int (*job)(diag *d))
{
    file_left want[MOST_FILES];
    int wants = 0, tried = 0, got_by = 0, reports = job == report_mistakes;
    clean();
    outcome o = run_failing(job, -1);
    check_outcome(name, -1, &o, reports);
    collect(".", want, &wants);
    long calls = count->calls;
    for (long fail = 1; fail <= calls; fail = next(fail), ++tried) {
        clean();
        o = run_failing(job, fail);
        check_outcome(name, fail, &o, 1);
        got_by += !o.status;
        if (job == train) {   /* whatever checkpoint it left behind: it goes on to the same end */
            o = run_failing(train_on, -1);
            check_outcome(name, -1, &o, 0);
        }
        check_left(name, fail, want, wants);
    }
    printf("%s: %ld allocations, %d made to fail, %d got by in spite of it\n", name, calls, tried, got_by);
    forget(want, wants);
    clean();
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    const char *only = getenv("NO_MEMORY_JOB");
    for (int i = 0; i < JOB_COUNT; ++i)
        if (!only || !strcmp(only, JOBS[i].name)) fail_at_each(JOBS[i].name, JOBS[i].job);
}

/* ---- what headers ask for ---- */

static void open_small(const char *data, const char *file, size_t n)
{
    diag *d = diag_new();
    check_write("small-images-idx3", file, n);
    check_write("small.data", data, strlen(data));
    *count = (struct counter){ .fail = -1, .on = 1 };
    data_file *f = data_file_read("small.data", d);
    dataset *s = f ? dataset_open(f, DATA_TRAIN, 0, DATA_CLASSES, d) : NULL;
    count->on = 0;
    assert_null(s);
    if (count->largest > 2 << 20) fail_msg("%zu bytes were asked for, for a file of %zu", count->largest, n);
    data_file_free(f);
    diag_free(d);
}

static void headers_ask_for_little(void **state)
{
    (void)state;
    open_small("classes=1000000\ntrain=small-images-idx3\n", "x.png 5\n", 8);
    open_small("classes=10\nformat=idx\ntrain=small-images-idx3\n", "\0\0\10\3\xff\xff\xff\xff\0\0\x40\0\0\0\x40\0...", 19);
}

/* ---- files that a job needs ---- */

static void write_images(void)
{
    enum { N = 8, AREA = 64 };
    uint8_t images[16 + N * AREA] = { 0, 0, 8, 3, 0, 0, 0, N, 0, 0, 0, 8, 0, 0, 0, 8 }, labels[8 + N] = { 0, 0, 8, 1, 0, 0, 0, N };
    for (int i = 0; i < N; ++i) labels[8 + i] = (uint8_t)i;
    for (int i = 0; i < N * AREA; ++i) images[16 + i] = (uint8_t)(i * 37);
    check_write("x-images-idx3", images, sizeof images);
    check_write("x-labels-idx1", labels, sizeof labels);
    for (int i = 0; i < 3; ++i) {
        char *name = mem_printf("%c.png", 'a' + i), *label = mem_printf("%c.txt", 'a' + i);
        assert_int_equal(image_write(name, images + 16, 8, 8, 3 - 2 * (i % 2)), 0);
        check_write(label, "0 .5 .5 .5 .5\n", i == 1 ? 0 : 14);
        free(name), free(label);
    }
}

static void put(const char *name, const char *text) { check_write(name, text, strlen(text)); }

static void write_files(void)
{
    static const char net[] = "[net]\nbatch=1\nsubdivisions=1\nwidth=8\nheight=8\nchannels=3\n" CONV(4, 1) "[maxpool]\nsize=1\nstride=2\n"
        "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=1\nactivation=linear\n[route]\nlayers=0\n" CONV(6, 2)
        "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\npad=1\nactivation=linear\n[shortcut]\nfrom=2\nactivation=relu\n"
        "[avgpool]\n[connected]\noutput=5\nactivation=linear\n[softmax]\n";
    diag *d = diag_new();
    check_write_network("t", teacher_cfg, 1);
    put("s.cfg", student_cfg);
    put("bad.cfg", "[net]\nwidth=x\nfilters=3\n[convolutinal]\nsize=3\n[maxpool]\nstride=0\n[route]\nlayers=9\nactivation\n");
    put("net.cfg", net);
    put("idx.data", "classes=10\ntrain=x-images-idx3\nvalid=x-images-idx3\n");
    put("list.data", "classes=2\nnames=names\ntrain=list\nvalid=boxes\n");
    put("names", "cat\ndog\n");
    put("list", "a.png cat\nb.png dog\nc.png 0\n");
    put("boxes", "a.png\nb.png\nc.png\n");
    write_images();
    model_options o = { .backend = BACKEND_REFERENCE, .threads = 1, .seed = 1 };
    model *m = model_open("s.cfg", &o, d);
    assert_non_null(m);
    assert_int_equal(weights_save(m->net, "s.weights", d), 0);
    check_no_errors(d);
    model_close(m);
    diag_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(headers_ask_for_little), cmocka_unit_test(every_allocation_may_fail) };
    network_init();
    parallel_set_threads(1);
    if (!access("/dev/shm", W_OK)) setenv("TMPDIR", "/dev/shm", 0);     /* a thousand files are written, fsync costs nothing there */
    count = mmap(NULL, sizeof *count, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (count == MAP_FAILED || !realpath("tests/fixtures/import/net.pt", model_pt) || chdir(check_folder())) return 1;
    write_files();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
