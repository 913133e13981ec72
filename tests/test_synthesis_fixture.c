/* What a teacher says of images against PyTorch (tests/fixtures/make_synthesis_fixture.py): three losses and the gradient
 * of their sum by every pixel, on plain maps and blocked ones; and against central differences. */
#include "check.h"

#include "darknet_plugin/synthesis/synthesis_internal.h"
#include "layers/network.h"
#include "weights_tools/file/weights_file.h"

#define CONV(filters, size, stride, bn, act) "[convolutional]\nfilters=" filters "\nsize=" size "\nstride=" stride \
    "\npad=1\nbatch_normalize=" bn "\nactivation=" act "\n"
static const char teacher_cfg[] = "[net]\nbatch=1\nheight=8\nwidth=8\nchannels=3\n"
    CONV("10", "3", "1", "1", "relu") CONV("16", "3", "2", "1", "leaky") CONV("16", "3", "1", "1", "linear")
    "[shortcut]\nfrom=-2\nactivation=relu\n[maxpool]\nsize=2\nstride=2\n" CONV("12", "1", "1", "1", "mish")
    CONV("5", "1", "1", "0", "linear") "[avgpool]\n[softmax]\n";
static const char student_cfg[] = "[net]\nbatch=2\nheight=8\nwidth=8\nchannels=3\n"
    "[teacher]\ncfg=t.cfg\nweights=t.weights\nmean=.5,.45,.4\nstd=.25,.2,.3\n"
    CONV("4", "3", "1", "1", "relu") CONV("5", "1", "1", "0", "linear") "[avgpool]\n[kd]\n[softmax]\n";
enum { PIXELS = 3 * 8 * 8 };

typedef struct fixture {
    int32_t batch, classes, floats;
    int32_t *class;
    float *weights, *x;
    double loss[3], *gradient;
} fixture;

static void *read_array(size_t size, size_t n, FILE *file)
{
    void *to = mem_calloc(n, size);
    assert_int_equal(fread(to, size, n, file), n);
    return to;
}

static fixture read_fixture(void)
{
    char head[9] = "";
    fixture f = { .batch = 0 };
    FILE *file = fopen("tests/fixtures/synthesis.bin", "rb");
    assert_non_null(file);
    assert_int_equal(fread(head, 1, 8, file), 8);
    assert_string_equal(head, "synth01\n");
    assert_int_equal(fread(&f.batch, sizeof f.batch, 3, file), 3);
    size_t batch = (size_t)f.batch;
    f.class = read_array(sizeof *f.class, batch, file);
    f.weights = read_array(sizeof *f.weights, (size_t)f.floats, file);
    f.x = read_array(sizeof *f.x, batch * PIXELS, file);
    assert_int_equal(fread(f.loss, sizeof *f.loss, 3, file), 3);
    f.gradient = read_array(sizeof *f.gradient, batch * PIXELS, file);
    assert_int_equal(fgetc(file), EOF);
    fclose(file);
    return f;
}

static void free_fixture(fixture *f)
{
    free(f->class);
    free(f->weights);
    free(f->x);
    free(f->gradient);
}

/* Writes the teacher and a distillation that names it; returns the distillation's path, the caller's to free. */
static char *write_files(const fixture *f)
{
    diag *d = diag_new();
    network *net = check_parse(teacher_cfg);
    size_t at = 0;
    for (int i = 0; i < net->n; ++i) {
        weights_tensor tensor[WEIGHTS_MAX_TENSORS];
        int n = weights_tensors(&net->layers[i], tensor);
        for (int k = 0; k < n; ++k) {
            assert_true(at + tensor[k].n <= (size_t)f->floats);
            memcpy(tensor[k].data, f->weights + at, tensor[k].n * sizeof(float));
            at += tensor[k].n;
        }
    }
    assert_int_equal(at, f->floats);
    char *weights = check_path("t.weights"), *teacher = check_path("t.cfg"), *student = check_path("s.cfg");
    assert_int_equal(weights_save(net, weights, d), 0);
    check_write(teacher, teacher_cfg, strlen(teacher_cfg));
    check_write(student, student_cfg, strlen(student_cfg));
    check_no_errors(d);
    host_free(net);
    diag_free(d);
    free(weights);
    free(teacher);
    return student;
}

static judge *open_judge(const fixture *f, const char *cfg, cpu_backend backend)
{
    diag *d = diag_new();
    synthesis_job job = { .cfg = cfg, .batch = f->batch, .bn = 10, .ce = 2, .tv = 3, .backend = backend };
    judge *judge = judge_open(&job, d);
    check_no_errors(d);
    assert_non_null(judge);
    diag_free(d);
    return judge;
}

static void check_against_pytorch(const fixture *f, const char *cfg, cpu_backend backend)
{
    judge *judge = open_judge(f, cfg, backend);
    size_t n = judge_floats(judge);
    assert_int_equal(n, (size_t)f->batch * PIXELS);
    float *delta = mem_calloc(n, sizeof *delta);
    for (int again = 0; again < 2; ++again) {
        judgement of = judge_look(judge, f->x, f->class, delta);
        check_close(of.bn, f->loss[0], 1e-5, "statistics", 0);
        check_close(of.ce, f->loss[1], 1e-5, "classes", 0);
        check_close(of.tv, f->loss[2], 1e-5, "smoothness", 0);
        check_close(of.all, 10 * of.bn + 2 * of.ce + 3 * of.tv, 1e-12, "sum", 0);
        double off = 0, all = 0;
        for (size_t i = 0; i < n; ++i) {
            off += (delta[i] + f->gradient[i]) * (delta[i] + f->gradient[i]);
            all += f->gradient[i] * f->gradient[i];
        }
        check_close(sqrt(off / all), 0, 1e-5, "gradient", 0);
    }
    free(delta);
    judge_close(judge);
}

static void test_pytorch(void **state)
{
    (void)state;
    fixture f = read_fixture();
    char *cfg = write_files(&f);
    check_against_pytorch(&f, cfg, BACKEND_REFERENCE);
    check_against_pytorch(&f, cfg, BACKEND_DNNL);
    free(cfg);
    free_fixture(&f);
}

/* Along a few directions at random: the slope there is what the gradient says. */
static void test_differences(void **state)
{
    (void)state;
    enum { DIRECTIONS = 4 };
    const float step = 2e-4f;
    fixture f = read_fixture();
    char *cfg = write_files(&f);
    judge *judge = open_judge(&f, cfg, BACKEND_DNNL);
    size_t n = judge_floats(judge);
    float *delta = mem_calloc(n, sizeof *delta), *waste = mem_calloc(n, sizeof *waste);
    float *way = mem_calloc(n, sizeof *way), *x = mem_calloc(n, sizeof *x);
    (void)judge_look(judge, f.x, f.class, delta);
    for (uint64_t k = 0; k < DIRECTIONS; ++k) {
        double along = 0, found = 0;
        check_fill(way, n, 50 + k);
        for (size_t i = 0; i < n; ++i) along -= (double)delta[i] * way[i];
        for (int side = -1; side <= 1; side += 2) {
            for (size_t i = 0; i < n; ++i) x[i] = f.x[i] + (float)side * step * way[i];
            found += side * judge_look(judge, x, f.class, waste).all;
        }
        check_close(found / (2 * step), along, 2e-2, "slope", (size_t)k);
    }
    free(delta);
    free(waste);
    free(way);
    free(x);
    judge_close(judge);
    free(cfg);
    free_fixture(&f);
}

/* What the judge does leaves the teacher as it was. */
static void test_teacher_stays(void **state)
{
    (void)state;
    fixture f = read_fixture();
    char *cfg = write_files(&f);
    judge *judge = open_judge(&f, cfg, BACKEND_DNNL);
    uint64_t before = judge_identity(judge);
    float *delta = mem_calloc(judge_floats(judge), sizeof *delta);
    (void)judge_look(judge, f.x, f.class, delta);
    assert_true(judge_identity(judge) == before);
    free(delta);
    judge_close(judge);
    free(cfg);
    free_fixture(&f);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pytorch), cmocka_unit_test(test_differences), cmocka_unit_test(test_teacher_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
