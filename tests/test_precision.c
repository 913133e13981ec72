/* -precision bf16: rounding as the processors' instructions have it, and convolutions that compute what fp32 ones do of
 * operands rounded beforehand, forward and both gradients: just that where they are fp32 ones, but for fp32's own rounding
 * where the processor multiplies. How far that is from fp32. */
#include "check_layers.h"

#include "layers/cpu/bf16.h"
#include "layers/cpu/conv.h"

#include <float.h>
#include <math.h>

/* ---- rounding ---- */

static uint32_t bits_of(float value)
{
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static float of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* By definition, not by bits: the nearer neighbour, of two as near the even one. */
static void rounds_to_nearest_even(void **unused)
{
    (void)unused;
    const float step = 1.f / 128;   /* from 1 to 2 */
    assert_true(bf16_nearest(1) == 1 && bf16_nearest(-3.5f) == -3.5f);
    assert_true(bf16_nearest(1 + .5f * step) == 1);
    assert_true(bf16_nearest(1 + .5f * step + FLT_EPSILON) == 1 + step);
    assert_true(bf16_nearest(1 + 1.5f * step) == 1 + 2 * step);
    assert_true(bf16_nearest(1 + 1.5f * step - FLT_EPSILON) == 1 + step);
    assert_true(bf16_nearest(-(2 - .25f * step)) == -2);
}

static void keeps_what_is_no_number(void **unused)
{
    (void)unused;
    assert_true(isnan(bf16_nearest(NAN)) && isnan(bf16_nearest(of_bits(0x7f800001))) &&
                isnan(bf16_nearest(of_bits(0xffffffff))));
    assert_true(bf16_nearest(INFINITY) == INFINITY && bf16_nearest(-INFINITY) == -INFINITY);
    assert_true(bf16_nearest(FLT_MAX) == INFINITY);
    assert_true(bits_of(bf16_nearest(-0.f)) == bits_of(-0.f));
    assert_true(bf16_nearest(of_bits(0x00008001)) == of_bits(0x00010000));   /* denormal */
}

static void is_off_by_a_256th(void **unused)
{
    (void)unused;
    enum { N = 100000 };
    float *from = mem_calloc(N, sizeof *from), *to = mem_calloc(N, sizeof *to), most = 0;
    check_fill(from, N, 3);
    bf16_round(from, N, to);
    for (int i = 0; i < N; ++i) {
        float off = fabsf(to[i] - from[i]);
        assert_true(!(bits_of(to[i]) & 0xffff) && off <= fabsf(from[i]) / 256);
        if (from[i] != 0) most = fmaxf(most, off / fabsf(from[i]));
    }
    assert_true(most > .9f / 256);
    free(from);
    free(to);
}

/* ---- layers ---- */

static const conv_case cases[] = {
    { "connected", 4, 7, 1, 1, 5, 0, 0, 0, 0, 0, "linear", 0 },
    { "3x3 plain", 2, 3, 6, 7, 4, 3, 1, 1, 1, 0, "linear", 0 },
    { "3x3", 2, 17, 8, 8, 9, 3, 1, 1, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "3x3 of a plain input", 2, 3, 8, 8, 16, 3, 1, 1, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "12 filters of a plain input", 2, 3, 8, 8, 12, 3, 2, 1, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "stride 2", 2, 32, 7, 5, 8, 3, 2, 1, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "1x1", 2, 9, 4, 3, 11, 1, 1, 0, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "5x5", 1, 8, 5, 4, 8, 5, 1, 2, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "depthwise", 2, 16, 6, 7, 16, 3, 1, 1, 16, 0, "linear", LAYOUTS_BLOCKED },
    { "maps of 1,024 pixels", 3, 16, 32, 32, 16, 3, 1, 1, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "many images", 21, 48, 6, 5, 40, 3, 1, 1, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "3x3, stride 2, many", 9, 33, 13, 10, 80, 3, 2, 1, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "1x1, stride 2", 5, 64, 9, 9, 32, 1, 2, 0, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "5x5, stride 3", 3, 16, 14, 11, 48, 5, 3, 2, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "2x2", 2, 16, 8, 8, 16, 2, 2, 0, 1, 0, "linear", LAYOUTS_BLOCKED },
    { "groups", 2, 16, 5, 5, 16, 3, 1, 1, 2, 0, "linear", 0 },
    { "batch norm", 2, 16, 6, 6, 8, 3, 1, 1, 1, 1, "relu", LAYOUTS_BLOCKED },
    { "batch norm, plain", 2, 3, 6, 6, 4, 3, 1, 1, 1, 1, "leaky", 0 },
};

/* By Winograd, by oneDNN, by oneDNN with channels last: a letter a layer. */
static const char *const ways[] = { "ww", "dd", "ll" };

/* Winograd computes in fp32 from maps of halves; it has no use for rounded weights. */
static int by_winograd(const network *net) { return !strcmp(cpu_layer_runs_on(&net->layers[1]), "Winograd"); }

/* In bf16, `products` a letter a layer or NULL. */
static network *bf16_net(const conv_case *k, cpu_backend backend, cpu_mode mode, const char *products)
{
    return conv_case_net_as(k, mode, &(cpu_options){ .backend = backend, .precision = PRECISION_BF16, .products = products });
}

static network *filled(network *net)
{
    check_fill(net->layers[0].output, check_size(net, 0), 21);
    check_fill(net->layers[1].delta, check_size(net, 1), 22);
    return net;
}

/* The same layer in fp32, of operands as the one in bf16 has them. */
static network *fp32_net(const conv_case *k, cpu_backend backend, const network *bf16)
{
    network *net = filled(conv_case_net(k, backend, CPU_TRAINED));
    layer *l = &net->layers[1];
    bf16_round(net->layers[0].output, check_size(net, 0), net->layers[0].output);
    if (!by_winograd(bf16)) bf16_round(l->weights, cpu_weights(l), l->weights);
    if (!k->bn) bf16_round(l->delta, check_size(net, 1), l->delta);
    return net;
}

/* Are sums in the same order? */
static int run_alike(const network *bf16, const network *fp32, const char *by)
{
    if (by && *by == CPU_PRODUCTS_LAST) return 0;
    return !strcmp(cpu_layer_runs_on(&bf16->layers[1]), cpu_layer_runs_on(&fp32->layers[1]));
}

/* Within a step of bfloat16, and that much of the largest. */
static void must_be_within(double slack, const float *one, const float *other, size_t n, const char *name, const char *what)
{
    double largest = 0;
    for (size_t i = 0; i < n; ++i) largest = fmax(largest, fabs((double)other[i]));
    for (size_t i = 0; i < n; ++i) {
        double off = fabs((double)one[i] - other[i]), bound = fabs((double)other[i]) / 128 + slack * largest;
        if (!(off <= bound)) fail_msg("%s: %s %zu is %.9g in bf16, %.9g of rounded operands", name, what, i, one[i], other[i]);
    }
}

/* Sums of rounded products in two orders, then a blocked map's rounding. */
static void must_be_near(const float *one, const float *other, size_t n, const char *name, const char *what)
{
    must_be_within(1e-5, one, other, n, name, what);
}

/* Batch norm subtracts from a map already rounded. */
static void must_be_near_normalised(const float *one, const float *other, size_t n, const char *name, const char *what)
{
    must_be_within(1. / 256, one, other, n, name, what);
}

static void must_be_same(const float *one, const float *other, size_t n, const char *name, const char *what)
{
    for (size_t i = 0; i < n; ++i)
        if (bits_of(one[i]) != bits_of(other[i]))
            fail_msg("%s: %s %zu is %.9g in bf16, %.9g of rounded operands", name, what, i, one[i], other[i]);
}

/* Numbers that come out of a blocked map, as it keeps them. */
static void round_if(int blocked, float *numbers, size_t n)
{
    if (blocked) bf16_round(numbers, n, numbers);
}

static const conv_shape *shape_of(const layer *l) { return &((const conv_plan *)cpu_state_of(l)->plan)->shape; }

/* Batch norm's own delta is rounded behind it, where no test can reach: forward only. */
static void check_products(const conv_case *k, cpu_backend backend, const char *by)
{
    network *bf16 = filled(bf16_net(k, backend, CPU_TRAINED, by)), *fp32 = fp32_net(k, backend, bf16);
    int products = backend == BACKEND_DNNL && cpu_bf16_products() && !by_winograd(bf16);
    void (*check)(const float *, const float *, size_t, const char *, const char *) = products || !run_alike(bf16, fp32, by) ? must_be_near : must_be_same;
    layer *l = &bf16->layers[1], *of = &fp32->layers[1];
    check_forward(bf16, 1, 1);
    check_forward(fp32, 1, 1);
    round_if(shape_of(l)->y_blocked, of->output, check_size(bf16, 1));
    if (k->bn && shape_of(l)->y_blocked) check = must_be_near_normalised;
    check(l->output, of->output, check_size(bf16, 1), k->name, "output");
    if (!k->bn) {
        check_backward(bf16, 1, 1);
        check_backward(fp32, 1, 1);
        round_if(shape_of(l)->x_blocked, fp32->layers[0].delta, check_size(bf16, 0));
        check(l->weight_updates, of->weight_updates, cpu_weights(l), k->name, "weight's gradient");
        check(bf16->layers[0].delta, fp32->layers[0].delta, check_size(bf16, 0), k->name, "input's gradient");
    }
    check_release(bf16);
    check_release(fp32);
}

static void computes_rounded_operands(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        for (size_t by = 0; by < sizeof ways / sizeof *ways; ++by) check_products(&cases[i], BACKEND_DNNL, ways[by]);
        if (!cases[i].layouts) check_products(&cases[i], BACKEND_REFERENCE, NULL);
    }
}

/* |y - y'| <= (2 * 2^-8 + 2^-16) * sum |x w| by the rounding of both factors, a blocked map's own, and fp32's error. */
static void stays_within(const char *by)
{
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        conv_case k = cases[i];
        if (k.bn) continue;
        network *bf16 = filled(bf16_net(&k, BACKEND_DNNL, CPU_TRAINED, by)), *fp32 = conv_case_net(&k, BACKEND_REFERENCE, CPU_TRAINED);
        network *sizes = conv_case_net(&k, BACKEND_REFERENCE, CPU_TRAINED);
        layer *l = &sizes->layers[1];
        size_t nx = check_size(sizes, 0), ny = check_size(sizes, 1);
        check_fill(fp32->layers[0].output, nx, 21);
        for (size_t at = 0; at < nx; ++at) sizes->layers[0].output[at] = fabsf(fp32->layers[0].output[at]);
        for (size_t at = 0; at < cpu_weights(l); ++at) l->weights[at] = fabsf(l->weights[at]);
        memset(l->biases, 0, (size_t)l->out_c * sizeof *l->biases);
        check_forward(bf16, 1, 1);
        check_forward(fp32, 1, 1);
        check_forward(sizes, 1, 1);
        double most = 0;
        for (size_t at = 0; at < ny; ++at) {
            double off = fabs((double)bf16->layers[1].output[at] - fp32->layers[1].output[at]);
            double bound = (double)l->output[at] * (1 / 128. + 1 / 65536. + 1e-5) + 1e-6;
            if (k.layouts) bound += fabs((double)bf16->layers[1].output[at]) / 256;
            if (off > bound) fail_msg("%s: output %zu is off by %g, bound %g", k.name, at, off, bound);
            most = fmax(most, off);
        }
        assert_true(most > 0);   /* something was rounded */
        check_release(bf16);
        check_release(fp32);
        check_release(sizes);
    }
}

static void stays_within_its_error_bound(void **unused)
{
    (void)unused;
    for (size_t by = 0; by < sizeof ways / sizeof *ways; ++by) stays_within(ways[by]);
}

/* In inference batch norm is folded into the weights, which are rounded then: where they stay, once. */
static void rounds_once(const char *by)
{
    conv_case k = { "frozen", 2, 16, 6, 6, 8, 3, 1, 1, 1, 1, "relu", LAYOUTS_BLOCKED };
    network *net = bf16_net(&k, BACKEND_DNNL, CPU_FROZEN, by);
    layer *l = &net->layers[1];
    size_t n = check_size(net, 1);
    float *once = mem_calloc(n, sizeof *once);
    check_fill(net->layers[0].output, check_size(net, 0), 21);
    check_forward(net, 1, 0);
    memcpy(once, l->output, n * sizeof *once);
    check_forward(net, 1, 0);
    must_be_same(l->output, once, n, k.name, "output again");
    free(once);
    check_release(net);
}

static void rounds_weights_that_stay(void **unused)
{
    (void)unused;
    for (size_t by = 0; by < sizeof ways / sizeof *ways; ++by) rounds_once(ways[by]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rounds_to_nearest_even), cmocka_unit_test(keeps_what_is_no_number),
        cmocka_unit_test(is_off_by_a_256th), cmocka_unit_test(computes_rounded_operands),
        cmocka_unit_test(stays_within_its_error_bound), cmocka_unit_test(rounds_weights_that_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
