/* The networks of tests/zoo, small, against PyTorch: what they answer in inference and in training, the loss, and its
 * gradient by every weight (fixtures/make_zoo.py says what it computes and how its files are laid out). */
#include "layers/network.h"
#include "check.h"

#include "layers/cpu/cpu.h"
#include "layers/feature_l2.h"
#include "layers/gpu/gpu.h"
#include "weights_tools/file/weights_file.h"

enum { BATCH = 2, SAMPLES = 8, MOST_ENDS = 3 };
enum { INPUT = 1 << 20, TARGET = 2 << 20, FACTORS = 3 << 20 };   /* streams of random numbers */

typedef struct summary {
    double norm, product;
    float sample[SAMPLES];
} summary;

static const double SMALLEST = 1e-2;    /* norm of what is not zero */

/* The file, read from the front. */
typedef struct fixture {
    char *cfg, *bytes;       /* owned */
    size_t at, len;
} fixture;

static void take(fixture *f, void *out, size_t n)
{
    assert_true(f->at + n <= f->len);
    memcpy(out, f->bytes + f->at, n);
    f->at += n;
}

static int take_int(fixture *f)
{
    int32_t n;
    take(f, &n, sizeof n);
    return n;
}

static summary take_summary(fixture *f)
{
    summary s;
    take(f, &s.norm, sizeof s.norm);
    take(f, &s.product, sizeof s.product);
    take(f, s.sample, sizeof s.sample);
    return s;
}

static fixture load(const char *name)
{
    size_t len;
    char magic[8];
    char *cfg = mem_printf("tests/fixtures/zoo/%s.cfg", name), *bin = mem_printf("tests/fixtures/zoo/%s.bin", name);
    fixture f = { .cfg = check_read(cfg, &len) };
    f.bytes = check_read(bin, &f.len);
    take(&f, magic, sizeof magic);
    assert_memory_equal(magic, "zoo-1\n\0", sizeof magic);
    free(cfg);
    free(bin);
    return f;
}

/* `sign` times x has this summary, to `tolerance` of its norm. A gradient may be zero: a shift in front of a batch
 * norm. */
static void check_summary(summary want, const float *x, size_t n, double sign, double tolerance, const char *what)
{
    float *factor = mem_calloc(n, sizeof *factor);
    double squares = 0, product = 0;
    check_fill(factor, n, FACTORS);
    for (size_t i = 0; i < n; ++i) {
        squares += (double)x[i] * x[i];
        product += sign * x[i] * factor[i];
    }
    free(factor);
    double norm = fmax(want.norm, SMALLEST);
    check_close(sqrt(squares) / norm, want.norm / norm, tolerance, what, 0);
    check_close(product / norm, want.product / norm, tolerance, what, 1);
    for (size_t i = 0; i < SAMPLES; ++i)
        check_close(sign * x[i * n / SAMPLES] / norm, want.sample[i] / norm, tolerance, what, 2 + i);
}

/* ---- the network ---- */

static void fill(weights_tensor *t, const layer *l, uint64_t stream)
{
    int convolution = l->type == CONVOLUTIONAL && !strcmp(t->name, "weights");
    double factor = .5, offset = 1;
    if (!strcmp(t->name, "scales")) factor = .4;
    if (!strcmp(t->name, "biases") || !strcmp(t->name, "mean")) factor = .2;
    if (!strcmp(t->name, "biases")) offset = .5;
    if (!strcmp(t->name, "mean") || convolution) offset = 0;
    if (convolution) factor = sqrt(6 / (double)(l->nweights / l->n));
    check_fill(t->data, t->n, stream);
    for (size_t i = 0; i < t->n; ++i) t->data[i] = (float)(offset + factor * t->data[i]);
}

static void fill_weights(network *net)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int k = 0; k < n; ++k) fill(&t[k], &net->layers[i], (uint64_t)(i * 64 + k));
    }
    cpu_statistics_loaded(net, 0, net->n);
    gpu_push(net);
}

typedef struct end {
    int layer;
    summary inference, training;
    size_t n;
    float *target;          /* owned */
} end;

static end take_end(fixture *f, network *net)
{
    end e = { .layer = take_int(f) };
    layer *l = &net->layers[e.layer];
    feature_l2_params p = { .scale = 1, .mean = 1, .target_pool = 1 };
    p.c = take_int(f);
    p.h = take_int(f);
    p.w = take_int(f);
    e.inference = take_summary(f);
    e.training = take_summary(f);
    diag *d = diag_new();
    assert_int_equal(l->type, ACTIVE);
    assert_int_equal(make_feature_l2_layer(l, p, d), 0);
    check_no_errors(d);
    diag_free(d);
    e.n = (size_t)l->outputs * (size_t)l->batch;
    e.target = mem_calloc(e.n, sizeof *e.target);
    check_fill(e.target, e.n, (uint64_t)(TARGET + e.layer));
    return e;
}

static void set_target(network *net, const end *e)
{
    layer *l = &net->layers[e->layer];
    feature_map map[BATCH];
    assert_int_equal(net->batch, BATCH);
    for (int b = 0; b < net->batch; ++b)
        map[b] = (feature_map){ .type = FEATURE_F32, .values = e->target + (size_t)b * (size_t)l->outputs };
    set_feature_l2_maps(l, map);
}

static void bind(network *net, cpu_backend backend, int layouts)
{
    diag *d = diag_new();
    assert_int_equal(cpu_bind(net, &(cpu_options){ .backend = backend, .seed = 1, .layouts = layouts }, d), 0);
    assert_int_equal(gpu_bind(net, d), 0);
    check_no_errors(d);
    diag_free(d);
}

/* ---- what is compared ---- */

static void check_outputs(network *net, const end *ends, int n, int train)
{
    for (int i = 0; i < n; ++i) {
        char *what = mem_printf("layer %d in %s", ends[i].layer, train ? "training" : "inference");
        gpu_pull_output(net, ends[i].layer);
        check_summary(train ? ends[i].training : ends[i].inference, net->layers[ends[i].layer].output, ends[i].n, 1,
                      train ? 1e-4 : 1e-5, what);
        free(what);
    }
}

static void check_gradients(fixture *f, const network *net)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    int arrays = take_int(f), trained = 0;
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int k = 0; k < n; ++k) trained += t[k].trained;
    }
    assert_int_equal(arrays, trained);
    for (int i = 0; i < arrays; ++i) {
        int index = take_int(f), number = take_int(f), n = weights_tensors(&net->layers[index], t);
        assert_in_range(number, 0, n - 1);
        char *what = mem_printf("gradient of layer %d's %s", index, t[number].name);
        check_summary(take_summary(f), t[number].kept[KEPT_SUM], t[number].n, -1, 1e-3, what);
        free(what);
    }
    assert_int_equal(f->at, f->len);
}

static void train(fixture *f, network *net, const end *ends, int n)
{
    double loss = 0, want;
    for (int i = 0; i < n; ++i) set_target(net, &ends[i]);
    network_forward(net, net->n, 1);
    network_backward(net, net->n);
    check_outputs(net, ends, n, 1);
    gpu_pull(net);
    for (int i = 0; i < n; ++i) loss += *net->layers[ends[i].layer].cost;
    take(f, &want, sizeof want);
    check_close(loss / want, 1, 1e-5, "loss / PyTorch's", 0);
}

static void check_network(const char *name, cpu_backend backend, int layouts)
{
    fixture f = load(name);
    network *net = check_parse(f.cfg);
    end ends[MOST_ENDS];
    int n = take_int(&f);
    assert_in_range(n, 1, MOST_ENDS);
    for (int i = 0; i < n; ++i) ends[i] = take_end(&f, net);
    bind(net, backend, layouts);
    fill_weights(net);
    check_fill(net->input, (size_t)net->inputs * (size_t)net->batch, INPUT);
    network_forward(net, net->n, 0);
    check_outputs(net, ends, n, 0);
    train(&f, net, ends, n);
    take_summary(&f);
    check_gradients(&f, net);
    gpu_unbind(net);
    cpu_unbind(net);
    for (int i = 0; i < n; ++i) {
        free_feature_l2_layer(&net->layers[ends[i].layer]);
        free(ends[i].target);
    }
    host_free(net);
    free(f.bytes);
    free(f.cfg);
}

static const char *const names[] = { "yolov4", "yolov4-tiny", "yolov7-tiny", "efficientnet-b0", "mobilenetv2",
                                     "mobilenetv3-large", "pieces" };
enum { NAMES = sizeof names / sizeof *names };

static void test_reference_backend(void **state) { check_network(*state, BACKEND_REFERENCE, 0); }
static void test_dnnl_backend(void **state) { check_network(*state, BACKEND_DNNL, 0); }
static void test_blocked_maps(void **state) { check_network(*state, BACKEND_DNNL, 1); }

static void test_gpu_backend(void **state)
{
    char why[200];
    diag *d = diag_new();
    if (!gpu_present(why, sizeof why)) {
        printf("skipped: %s against PyTorch on a GPU: %s\n", (char *)*state, why);
        diag_free(d);
        skip();
    }
    assert_int_equal(gpu_choose(NULL, d), 0);
    check_network(*state, BACKEND_GPU, 0);
    gpu_index = -1;
    diag_free(d);
}

/* One test for each network and backend, named after both; an argument says which, with * and ?. */
int main(int argc, char **argv)
{
    static const struct { const char *name; CMUnitTestFunction run; } backends[] = {
        { "reference", test_reference_backend }, { "dnnl", test_dnnl_backend }, { "blocked", test_blocked_maps },
        { "gpu", test_gpu_backend },
    };
    enum { BACKENDS = sizeof backends / sizeof *backends };
    struct CMUnitTest tests[NAMES * BACKENDS];
    char *title[NAMES * BACKENDS];
    network_init();
    for (int i = 0; i < NAMES * BACKENDS; ++i) {
        title[i] = mem_printf("%s, %s", names[i / BACKENDS], backends[i % BACKENDS].name);
        tests[i] = (struct CMUnitTest){ .name = title[i], .test_func = backends[i % BACKENDS].run,
                                        .initial_state = (void *)(uintptr_t)names[i / BACKENDS] };
    }
    if (argc > 1) cmocka_set_test_filter(argv[1]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < NAMES * BACKENDS; ++i) free(title[i]);
    return failed;
}
