/* Speed of training and of the teacher, on random images of the cfg's size: what `make bench` puts beside PyTorch and
 * stock Darknet.
 *
 *   bench TEACHER.cfg STUDENT.cfg SIMKD.cfg [-backend dnnl|reference|host|gpu] [-threads N] [-batch N] [-seconds S] [-only WORK]
 *         [-precision fp32|bf16|auto] [-mean] [-layers]
 *
 *   teacher   the teacher up to its tap, in inference mode
 *   student   one training step of the student alone: forward, backward, update
 *   simkd     one SimKD step with a live teacher
 *   fill      the teacher and its features into a cache
 *   cached    one SimKD step, features read from the cache;   reading   the part of it that reads, in percent
 *   products  multiplications that Winograd leaves of a live step, over those of a cached one: what the cache would bring if
 *             each took as long in the teacher as in the student
 *
 * Prints "WORK IMAGES/S" lines, each the fastest step of those that fit into S seconds (other programs share the machine; -mean: all),
 * and "peak MB" of the process. -backend host is Darknet's own code: it cannot do SimKD by itself, so its steps run our
 * loss and nothing else of ours. -backend gpu: the first CUDA device, in a build with GPU=1.
 *
 *   bench NET.cfg [...]        that network's training step alone; a detector's images have no boxes
 *   bench NET.cfg -layers      each convolution's part of it, too: forward and backward, what belongs to it included, beside what
 *                              AMX's tiles multiply at most here, measured on registers
 *   bench -peak COMMAND...     runs the command, then prints its "peak MB" */
#include "darknet_plugin/base/clock.h"
#include "layers/cpu/parallel.h"
#include "layers/network.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/model/precision.h"
#include "darknet_plugin/base/rng.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined __AMX_TILE__ && defined __AMX_BF16__
#include <immintrin.h>
#include <sys/syscall.h>
#endif

typedef struct bench {
    const char *teacher, *student, *simkd, *only;
    model_options how;
    double seconds;
    int chooses;             /* -precision auto */
    int mean;                /* of all steps, not the fastest */
    int layers;              /* tell their times */
    int batch;               /* 0: the cfg's */
    float *x, *boxes;        /* boxes: of a detector that is trained alone, NULL of others */
    int *label;
    uint64_t *image, *view;
} bench;

typedef void (*work_fn)(model *m, const bench *b);

static _Noreturn void die(diag *d)
{
    diag_print(d, stderr);
    exit(1);
}

static model *open_model(const char *cfg, const bench *b, diag *d)
{
    model_options how = b->how;
    char *plan = NULL;
    if (b->chooses) how.plan = plan = precision_choose(cfg, &b->how, stdout, d);
    model *m = b->chooses && !plan ? NULL : model_open(cfg, &how, d);
    free(plan);
    if (!m) die(d);
    return m;
}

static void fill(bench *b, const model *m)
{
    free(b->x);
    free(b->label);
    rng r = rng_make(1, 0, 0, RNG_AUGMENT);
    size_t n = (size_t)m->net->batch * (size_t)m->net->inputs;
    b->x = mem_calloc(n, sizeof *b->x);
    b->label = mem_calloc((size_t)m->net->batch, sizeof *b->label);
    for (size_t i = 0; i < n; ++i) b->x[i] = (float)rng_uniform(&r, 0, 1);
    for (int i = 0; i < m->net->batch; ++i) b->label[i] = (int)(rng_uniform(&r, 0, 1) * m->classes);
    b->image = mem_realloc(b->image, (size_t)m->net->batch, sizeof *b->image);
    b->view = mem_realloc(b->view, (size_t)m->net->batch, sizeof *b->view);
    for (int i = 0; i < m->net->batch; ++i) b->image[i] = (uint64_t)i, b->view[i] = 0;
}

static void run_teacher(model *m, const bench *b) { teacher_forward(m->teacher[0], b->x, 0); }

static void run_step(model *m, const bench *b)
{
    model_train_step(m, b->x, b->label, b->boxes);
    network_update(m->net, m->low->trained);
}

enum { VIEWS = 1000 };

static void teach(model *m, const bench *b)
{
    diag *d = diag_new();
    if (model_teach(m, b->x, b->image, b->view, d)) die(d);
    diag_free(d);
}

/* Another view each time, so that nothing is there; round again, and they are: end_fill says so. */
static void run_fill(model *m, const bench *b)
{
    for (int i = 0; i < m->net->batch; ++i) b->view[i] = (b->view[i] + 1) % VIEWS;
    teach(m, b);
    features_done(m->features[0]);
}

static void run_cached(model *m, const bench *b)
{
    teach(m, b);
    run_step(m, b);
}

static void run_reading(model *m, const bench *b)
{
    teach(m, b);
    features_done(m->features[0]);
}

static double seconds_of(model *m, const bench *b, work_fn work)
{
    double fastest = 1e9, begin, now;
    int steps = 0;
    work(m, b);
    begin = now = clock_now();
    do {
        double t = now;
        work(m, b);
        gpu_wait();
        now = clock_now();
        if (now - t < fastest) fastest = now - t;
        ++steps;
    } while (now < begin + b->seconds);
    return b->mean ? (now - begin) / steps : fastest;
}

static double measure(const char *name, model *m, const bench *b, work_fn work)
{
    if (b->only && strcmp(b->only, name)) return 0;
    double seconds = seconds_of(m, b, work);
    printf("%s %.2f\n", name, m->net->batch / seconds);
    fflush(stdout);
    return seconds;
}

static void measure_cache(model *m, const bench *b, const char *folder, diag *d)
{
    char *path = mem_printf("%s/features", folder);
    uint64_t views;
    model_cache c = { .path = path, .views = VIEWS, .images = (uint64_t)m->net->batch };
    if (b->only && strcmp(b->only, "fill") && strcmp(b->only, "cached")) return free(path);
    if (model_open_cache(m, &c, &views, d)) die(d);
    measure("fill", m, b, run_fill);
    if (features_counts(m->features[0]).read) printf("filled up\n");   /* its number is too good, then */
    for (int i = 0; i < m->net->batch; ++i) b->view[i] = 1;
    double step = measure("cached", m, b, run_cached);
    if (step > 0) printf("reading %.2f\n", 100 * seconds_of(m, b, run_reading) / step);
    unlink(path);
    free(path);
}

/* Two steps on random images give batch norm some statistics: a teacher in whose maps nothing overflows. In a process of
 * its own, as training a teacher takes more memory than what is measured. */
static void make_teacher(const bench *b, const char *cfg, const char *weights, diag *d)
{
    int status = 0;
    pid_t child = fork();
    if (child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && !WEXITSTATUS(status)) return;
    if (child) exit(1);
    bench own = *b;
    own.how.backend = BACKEND_DNNL;
    own.chooses = 0;
    own.x = NULL;
    own.label = NULL;
    own.image = own.view = NULL;
    model *m = open_model(cfg, &own, d);
    fill(&own, m);
    for (int i = 0; i < 2; ++i) model_train_step(m, own.x, own.label, NULL);
    if (weights_save(m->net, weights, d)) die(d);
    _exit(0);
}

/* `from` in the folder, with the batch asked for; [teacher] becomes the one that was just made. */
static char *copy_cfg(const bench *b, const char *from, const char *folder, const char *name, diag *d)
{
    size_t len;
    char *path = mem_printf("%s/%s.cfg", folder, name);
    cfg_file *c = cfg_read(from, d);
    FILE *f = fopen(path, "w");
    for (int i = 0; c && i < c->n; ++i) {
        if (i == 0 && b->batch) cfg_set(&c->section[i], "batch", "%d", b->batch);
        if (!cfg_is(&c->section[i], "teacher")) continue;
        cfg_set(&c->section[i], "cfg", "teacher.cfg");
        cfg_set(&c->section[i], "weights", "teacher.weights");
    }
    char *text = c ? cfg_text(c, &len) : NULL;
    if (!text || !f || fwrite(text, 1, len, f) != len || fclose(f)) die(d);
    free(text);
    cfg_free(c);
    return path;
}

/* Multiplications of an image through layers 0..end-1, in millions. 4x4 outputs of a 3x3 take 36 by Winograd, 81 with stride 2. */
static double products(const network *net, int end)
{
    double sum = 0;
    for (int i = 0; i < end; ++i) {
        const layer *l = &net->layers[i];
        if (l->type != CONVOLUTIONAL) continue;
        double pixels = (double)l->out_h * l->out_w, tiles = (double)((l->out_h + 3) / 4) * ((l->out_w + 3) / 4);
        double each = !strcmp(cpu_layer_runs_on(l), "Winograd") ? tiles * (l->stride == 1 ? 36 : 81) : pixels * l->size * l->size;
        sum += each * l->n * l->c / l->groups / 1e6;
    }
    return sum;
}

/* A step computes each convolution three times, the first layer's twice. */
static void measure_products(const model *m)
{
    double taught = products(m->teacher[0]->net, m->teacher[0]->spec->cut), step = 3 * products(m->net, m->low->trained) - products(m->net, 1);
    printf("products %.2f\n", (taught + step) / step);
}

#if defined __AMX_TILE__ && defined __AMX_BF16__
/* Operations a second of one thread's tiles: products of what is loaded, the fastest of many trials. 0: the processor or Linux gives none. */
static double tiles_peak(void)
{
    enum { ARCH_REQ_XCOMP_PERM = 0x1023, XTILEDATA = 18, TRIALS = 1000, PRODUCTS = 10000, OPERATIONS = 2 * 16 * 16 * 32 };
    const struct { uint8_t palette, begin, none[14]; uint16_t bytes[16]; uint8_t rows[16]; } tiles = {
        .palette = 1, .bytes = { 64, 64, 64, 64, 64, 64 }, .rows = { 16, 16, 16, 16, 16, 16 } };
    const char *who = cpu_bf16_products();
    if (!who || strcmp(who, "AMX") || syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XTILEDATA)) return 0;
    _tile_loadconfig(&tiles);
    _tile_zero(4);
    _tile_zero(5);
    double shortest = 1e9;
    for (int trial = 0; trial < TRIALS; ++trial) {
        double begin = clock_now();
        for (int i = 0; i < PRODUCTS / 4; ++i) {
            _tile_dpbf16ps(0, 4, 5);
            _tile_dpbf16ps(1, 4, 5);
            _tile_dpbf16ps(2, 4, 5);
            _tile_dpbf16ps(3, 4, 5);
        }
        double seconds = clock_now() - begin;
        if (seconds < shortest) shortest = seconds;
    }
    _tile_release();
    return (double)PRODUCTS * OPERATIONS / shortest;
}
#else
static double tiles_peak(void) { return 0; }
#endif

/* Forward and both gradients; the first layer's input wants none. */
static void print_layer(const model *m, int i, double seconds, double peak)
{
    const layer *l = &m->net->layers[i];
    double each = 2. * l->out_h * l->out_w * l->n * l->size * l->size * l->c / l->groups * m->net->batch, all = (i ? 3 : 2) * each;
    printf("layer %-2d  %4dx%dx%d -> %dx%dx%d, %dx%d / %d  %8.3f ms  %8.1f GFLOP/s", i, l->c, l->h, l->w, l->out_c, l->out_h, l->out_w,
           l->size, l->size, l->stride, seconds * 1e3, all / seconds / 1e9);
    if (peak > 0) printf("  %.1f %% of the tiles' peak", 100 * all / seconds / peak);
    putchar('\n');
}

static void measure_layers(model *m, const bench *b)
{
    double *now = mem_calloc((size_t)m->net->n, sizeof *now), *shortest = mem_calloc((size_t)m->net->n, sizeof *shortest);
    cpu_time_layers(m->net, now);
    for (double begin = clock_now(); clock_now() < begin + b->seconds;) {
        memset(now, 0, (size_t)m->net->n * sizeof *now);
        run_step(m, b);
        for (int i = 0; i < m->net->n; ++i)
            if (shortest[i] <= 0 || now[i] < shortest[i]) shortest[i] = now[i];
    }
    cpu_time_layers(m->net, NULL);
    double peak = tiles_peak() * parallel_threads();
    if (peak > 0) printf("tiles' peak %.1f GFLOP/s\n", peak / 1e9);
    for (int i = 0; i < m->net->n; ++i)
        if (m->net->layers[i].type == CONVOLUTIONAL) print_layer(m, i, shortest[i], peak);
    free(shortest);
    free(now);
}

static void run_distillation(bench *b, const char *cfg, const char *folder, diag *d)
{
    model *m = open_model(cfg, b, d);
    fill(b, m);
    measure("teacher", m, b, run_teacher);
    measure("simkd", m, b, run_step);
    if (b->how.backend == BACKEND_DNNL || b->how.backend == BACKEND_GPU) measure_cache(m, b, folder, d);
    if (!b->only && b->how.backend == BACKEND_DNNL) measure_products(m);
    model_close(m);
}

static void run_student(bench *b, const char *cfg, diag *d)
{
    if (b->only && strcmp(b->only, "student")) return;
    model *m = open_model(cfg, b, d);
    fill(b, m);
    if (model_is_detector(m)) b->boxes = mem_calloc((size_t)m->net->truths * (size_t)m->net->batch, sizeof *b->boxes);
    measure("student", m, b, run_step);
    if (b->layers) measure_layers(m, b);
    model_close(m);
    free(b->boxes);
    b->boxes = NULL;
}

static void run_pair(bench *b, const char *folder, diag *d)
{
    char *weights = mem_printf("%s/teacher.weights", folder);
    char *cfg[] = { copy_cfg(b, b->teacher, folder, "teacher", d), copy_cfg(b, b->student, folder, "student", d),
                    copy_cfg(b, b->simkd, folder, "simkd", d) };
    make_teacher(b, cfg[0], weights, d);
    if (b->how.backend == BACKEND_GPU && gpu_choose(NULL, d)) die(d);
    run_distillation(b, cfg[2], folder, d);
    run_student(b, cfg[1], d);
    unlink(weights);
    free(weights);
    for (int i = 0; i < 3; ++i) {
        unlink(cfg[i]);
        free(cfg[i]);
    }
}

static void run_alone(bench *b, const char *folder, diag *d)
{
    char *cfg = copy_cfg(b, b->student, folder, "student", d);
    run_student(b, cfg, d);
    unlink(cfg);
    free(cfg);
}

static void run(bench *b, diag *d)
{
    char folder[] = "/tmp/distill-bench-XXXXXX";
    if (!mkdtemp(folder)) exit(1);
    if (b->teacher) run_pair(b, folder, d);
    else run_alone(b, folder, d);
    rmdir(folder);
}

static int run_peak(char **argv)
{
    int status = 0;
    struct rusage u;
    pid_t child = fork();
    if (!child) {
        execvp(argv[0], argv);
        _exit(127);
    }
    if (child < 0 || waitpid(child, &status, 0) < 0 || getrusage(RUSAGE_CHILDREN, &u)) return 1;
    printf("peak %.0f\n", (double)u.ru_maxrss / 1024);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

int main(int argc, char **argv)
{
    bench b = { .seconds = 5 };
    struct rusage u;
    network_init();
    if (argc > 2 && !strcmp(argv[1], "-peak")) return run_peak(argv + 2);
    diag *d = diag_new();
    int alone = argc == 2 || (argc > 2 && argv[2][0] == '-');
    if (argc < 2 || (argc < 4 && !alone)) {
        fprintf(stderr, "usage: bench TEACHER.cfg STUDENT.cfg SIMKD.cfg | NET.cfg [-backend B] [-threads N] [-batch N] [-seconds S] [-only WORK] [-precision P] [-mean] [-layers]\n");
        return 2;
    }
    b.teacher = alone ? NULL : argv[1];
    b.student = argv[alone ? 1 : 2];
    b.simkd = alone ? NULL : argv[3];
    for (int i = alone ? 2 : 4; i < argc; ++i) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "-backend") && !strcmp(value, "gpu")) b.how.backend = BACKEND_GPU, ++i;
        else if (!strcmp(argv[i], "-backend") && !model_backend(value, &b.how.backend, d)) ++i;
        else if (!strcmp(argv[i], "-threads")) b.how.threads = atoi(value), ++i;
        else if (!strcmp(argv[i], "-batch")) b.batch = atoi(value), ++i;
        else if (!strcmp(argv[i], "-seconds")) b.seconds = atof(value), ++i;
        else if (!strcmp(argv[i], "-mean")) b.mean = 1;
        else if (!strcmp(argv[i], "-layers")) b.layers = 1;
        else if (!strcmp(argv[i], "-only")) b.only = value, ++i;
        else if (!strcmp(argv[i], "-precision") && (!strcmp(value, "fp32") || !strcmp(value, "bf16") || !strcmp(value, "auto")))
            b.how.precision = strcmp(value, "bf16") ? PRECISION_FP32 : PRECISION_BF16, b.chooses = !strcmp(value, "auto"), ++i;
        else {
            fprintf(stderr, "error: %s %s is no option of bench\n", argv[i], value);
            return 2;
        }
    }
    run(&b, d);
    free(b.x);
    free(b.label);
    free(b.image);
    free(b.view);
    getrusage(RUSAGE_SELF, &u);
    printf("peak %.0f\n", (double)u.ru_maxrss / 1024);
    diag_free(d);
    return 0;
}
