/* Ten SimKD steps against PyTorch: every loss, weight and running statistic of a small student with its projector
 * (fixtures/make_simkd_fixture.py says what it computes and how the file is laid out). */
#include "layers/network.h"
#include "check.h"

#include "layers/cpu/cpu.h"
#include "layers/feature_l2.h"
#include "layers/gpu/gpu.h"
#include "weights_tools/file/weights_file.h"

#define CONV(filters, size, stride, act) \
    "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=" #size "\nstride=" #stride \
    "\npad=1\nactivation=" #act "\n"

static const char cfg[] =
    "[net]\nbatch=6\nsubdivisions=1\nheight=12\nwidth=12\nchannels=3\n"
    "learning_rate=0.05\nmomentum=0.9\ndecay=0.0005\npolicy=constant\nmax_batches=10\n"
    CONV(8, 3, 1, relu) CONV(12, 3, 2, leaky) CONV(12, 3, 1, relu) "[shortcut]\nfrom=-2\nactivation=relu\n"
    CONV(8, 1, 1, relu) CONV(8, 3, 1, relu) CONV(16, 1, 1, relu)
    "[activation]\nactivation=linear\n";

enum { LOSS = 7, LAYERS = 8 };
enum { COUNT, BATCH, IN_C, IN_H, IN_W, C, H, W, FLOATS, NUMBERS };

typedef struct fixture {
    char *bytes;                        /* owned */
    int32_t n[NUMBERS];
    float rate, momentum, decay;
    const float *initial, *inputs, *targets, *loss, *final;   /* in bytes */
} fixture;

static fixture load(void)
{
    fixture f;
    size_t len, header = 8 + sizeof f.n;
    f.bytes = check_read("tests/fixtures/simkd.bin", &len);
    assert_true(len > header + 12 && !memcmp(f.bytes, "simkd-1\n", 8));
    memcpy(f.n, f.bytes + 8, sizeof f.n);
    const float *x = (const float *)(const void *)(f.bytes + header);
    size_t n = (size_t)f.n[FLOATS], images = (size_t)f.n[COUNT] * (size_t)f.n[BATCH];
    f.rate = x[0];
    f.momentum = x[1];
    f.decay = x[2];
    f.initial = x + 3;
    f.inputs = f.initial + n;
    f.targets = f.inputs + images * (size_t)f.n[IN_C] * (size_t)f.n[IN_H] * (size_t)f.n[IN_W];
    f.loss = f.targets + images * (size_t)f.n[C] * (size_t)f.n[H] * (size_t)f.n[W];
    f.final = f.loss + f.n[COUNT];
    assert_ptr_equal(f.final + n, f.bytes + len);
    return f;
}

/* The fixture's weights into the net; returns how many there were. */
static size_t put_weights(network *net, const float *x)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    const float *at = x;
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int k = 0; k < n; at += t[k].n, ++k) memcpy(t[k].data, at, t[k].n * sizeof *at);
    }
    return (size_t)(at - x);
}

static void check_weights(const network *net, const float *want, double tolerance)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int k = 0; k < n; want += t[k].n, ++k) {
            char *what = mem_printf("layer %d %s", i, t[k].name);
            check_close_n(t[k].data, want, t[k].n, tolerance, what);
            free(what);
        }
    }
}

static network *student(const fixture *f, cpu_backend backend, int layouts, cpu_precision precision)
{
    network *net = check_parse(cfg);
    feature_l2_params p = { .scale = 1, .mean = 1, .target_pool = 1, .c = f->n[C], .h = f->n[H], .w = f->n[W] };
    diag *d = diag_new();
    assert_int_equal(net->n, LAYERS);
    assert_int_equal(net->inputs, f->n[IN_C] * f->n[IN_H] * f->n[IN_W]);
    assert_true(net->batch == f->n[BATCH] && net->learning_rate == f->rate && net->momentum == f->momentum
                && net->decay == f->decay);
    assert_int_equal(make_feature_l2_layer(&net->layers[LOSS], p, d), 0);
    assert_int_equal(cpu_bind(net, &(cpu_options){ .backend = backend, .precision = precision, .seed = 1, .layouts = layouts }, d), 0);
    assert_int_equal(gpu_bind(net, d), 0);
    check_no_errors(d);
    diag_free(d);
    assert_int_equal(put_weights(net, f->initial), f->n[FLOATS]);
    cpu_statistics_loaded(net, 0, net->n);
    gpu_push(net);
    return net;
}

/* Host memory, wherever the network is. */
static void set_target(network *net, const float *target)
{
    layer *l = &net->layers[LOSS];
    feature_map *maps = mem_calloc((size_t)net->batch, sizeof *maps);
    for (int b = 0; b < net->batch; ++b) maps[b] = (feature_map){ .type = FEATURE_F32, .values = target + (size_t)b * (size_t)l->outputs };
    set_feature_l2_maps(l, maps);
    free(maps);
}

static double one_step(network *net, const float *input, const float *target)
{
    memcpy(net->input, input, (size_t)net->inputs * (size_t)net->batch * sizeof *input);
    set_target(net, target);
    *net->seen += (size_t)net->batch;
    network_forward(net, net->n, 1);
    network_backward(net, net->n);
    network_update(net, net->n);
    gpu_pull_output(net, LOSS);
    return feature_l2_error(&net->layers[LOSS], target, net->batch);
}

static void check_ten_steps(cpu_backend backend, int layouts)
{
    fixture f = load();
    network *net = student(&f, backend, layouts, PRECISION_FP32);
    size_t in = (size_t)net->inputs * (size_t)net->batch;
    size_t out = (size_t)net->layers[LOSS].outputs * (size_t)net->batch;
    for (int i = 0; i < f.n[COUNT]; ++i) {
        double loss = one_step(net, f.inputs + (size_t)i * in, f.targets + (size_t)i * out);
        check_close(loss / f.loss[i], 1, 1e-5, "loss / PyTorch's", (size_t)i);
        check_close(*net->layers[LOSS].cost / net->batch, loss, 1e-6, "cost per image", (size_t)i);
    }
    gpu_pull(net);
    check_weights(net, f.final, 1e-5);
    gpu_unbind(net);
    cpu_unbind(net);
    free_feature_l2_layer(&net->layers[LOSS]);
    host_free(net);
    free(f.bytes);
}

static void test_reference_backend(void **state)
{
    (void)state;
    check_ten_steps(BACKEND_REFERENCE, 0);
}

static void test_dnnl_backend(void **state)
{
    (void)state;
    check_ten_steps(BACKEND_DNNL, 0);
}

/* As `train` runs it: blocked maps, Winograd, joined shortcuts. */
static void test_blocked_maps(void **state)
{
    (void)state;
    check_ten_steps(BACKEND_DNNL, 1);
}

/* Rounded operands: each loss within 1 % of fp32's, and not the same. */
static void test_bf16(void **state)
{
    (void)state;
    fixture f = load();
    network *net = student(&f, BACKEND_DNNL, 1, PRECISION_BF16);
    size_t in = (size_t)net->inputs * (size_t)net->batch;
    size_t out = (size_t)net->layers[LOSS].outputs * (size_t)net->batch;
    double most = 0;
    for (int i = 0; i < f.n[COUNT]; ++i) {
        double loss = one_step(net, f.inputs + (size_t)i * in, f.targets + (size_t)i * out);
        check_close(loss / f.loss[i], 1, 1e-2, "loss / PyTorch's in fp32", (size_t)i);
        most = fmax(most, fabs(loss / f.loss[i] - 1));
    }
    assert_true(most > 1e-5);
    cpu_unbind(net);
    free_feature_l2_layer(&net->layers[LOSS]);
    host_free(net);
    free(f.bytes);
}

/* On a device: Darknet's convolutions, our batch norm and loss. */
static void test_gpu_backend(void **state)
{
    (void)state;
    char why[200];
    diag *d = diag_new();
    if (!gpu_present(why, sizeof why)) {
        printf("skipped: ten steps against PyTorch on a GPU: %s\n", why);
        diag_free(d);
        skip();
    }
    assert_int_equal(gpu_choose(NULL, d), 0);
    check_ten_steps(BACKEND_GPU, 0);
    gpu_index = -1;
    diag_free(d);
}

/* Training did move what is compared: no array ends where it began. */
static void test_fixture_moves_everything(void **state)
{
    (void)state;
    fixture f = load();
    network *net = check_parse(cfg);
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    size_t at = 0;
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int k = 0; k < n; at += t[k].n, ++k) {
            double moved = 0;
            for (size_t j = 0; j < t[k].n; ++j) moved = fmax(moved, fabs((double)f.final[at + j] - f.initial[at + j]));
            if (!(moved > 1e-3)) fail_msg("layer %d %s moved by %g", i, t[k].name, moved);
        }
    }
    assert_int_equal(at, f.n[FLOATS]);
    host_free(net);
    free(f.bytes);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fixture_moves_everything),
        cmocka_unit_test(test_reference_backend),
        cmocka_unit_test(test_dnnl_backend),
        cmocka_unit_test(test_blocked_maps), cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_gpu_backend),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
