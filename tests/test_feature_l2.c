/* [feature_l2]: loss and gradient against the formula, by central differences, pooled targets, pass-through,
 * resizing, inference, and every refusal. */
#include "layers/network.h"
#include "check.h"

#include "layers/feature_l2.h"
#include "layers/feature_l2_ops.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { B = 3, C = 4, H = 5, W = 6, D = C * H * W, N = B * D };

/* The first layer only holds the input and receives the gradient; the host's own cannot be first in a backward. */
static const char cfg[] = "[net]\nbatch=3\nheight=5\nwidth=6\nchannels=4\nlearning_rate=0.1\n"
                          "[activation]\nactivation=linear\nstopbackward=1\n[activation]\nactivation=linear\n";

static feature_l2_params params(float scale, int mean, int pool)
{
    return (feature_l2_params){ .scale = scale, .mean = mean, .target_pool = pool, .c = C, .h = H, .w = W };
}

static network *bound(feature_l2_params p)
{
    network *net = check_parse(cfg);
    diag *d = diag_new();
    assert_int_equal(make_feature_l2_layer(&net->layers[1], p, d), 0);
    check_no_errors(d);
    diag_free(d);
    return net;
}

static void drop(network *net)
{
    free_feature_l2_layer(&net->layers[1]);
    host_free(net);
}

/* The plain definition, in double: mean (or sum) of squared differences with the pooled target. */
static double loss_by_hand(const float *s, const float *t, int h, int w, int k, double scale, int mean)
{
    double sum = 0;
    for (int p = 0; p < B * C; ++p)
        for (int y = 0; y < h; ++y)
            for (int x = 0; x < w; ++x) {
                double block = 0;
                for (int i = 0; i < k * k; ++i)
                    block += t[((size_t)p * h * k + y * k + i / k) * (size_t)(w * k) + (size_t)(x * k + i % k)];
                double e = s[(p * h + y) * w + x] - block / (k * k);
                sum += e * e;
            }
    return sum * scale / (mean ? C * h * w : 1);
}

static void check_loss_and_gradient(float scale, int mean, int k)
{
    network *net = bound(params(scale, mean, k));
    layer *l = &net->layers[1];
    float *t = mem_calloc((size_t)N * k * k, sizeof *t), *x = net->input;
    check_fill(x, N, 1);
    check_fill(t, (size_t)N * k * k, 2);
    set_feature_l2_target(l, t);
    network_forward(net, 2, 1);
    network_backward(net, 2);
    double loss = loss_by_hand(x, t, H, W, k, scale, mean);
    check_close(*l->cost, loss, 1e-6, "cost", 0);
    check_close(feature_l2_error(l, t, B), loss_by_hand(x, t, H, W, k, 1, 1) / B, 1e-6, "mse", 0);
    assert_memory_equal(l->output, x, N * sizeof *x);
    for (int i = 0; i < N; i += 7) {
        float keep = x[i];
        const float e = 0.5f;   /* the loss is quadratic: central differences are exact at any step */
        x[i] = keep + e;
        double up = loss_by_hand(x, t, H, W, k, scale, mean);
        x[i] = keep - e;
        double down = loss_by_hand(x, t, H, W, k, scale, mean);
        x[i] = keep;
        check_close(net->layers[0].delta[i], -(up - down) / (2 * e), 2e-6, "minus the gradient", (size_t)i);
    }
    free(t);
    drop(net);
}

static void test_loss_and_gradient(void **state)
{
    (void)state;
    check_loss_and_gradient(1, 1, 1);
    check_loss_and_gradient(2.5f, 1, 1);
    check_loss_and_gradient(1, 0, 1);
    check_loss_and_gradient(0.5f, 0, 2);
    check_loss_and_gradient(1, 1, 3);
}

static void test_elements(void **state)
{
    (void)state;
    const float map[] = { 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16 };   /* 4 x 4 */
    assert_true(feature_l2_target(map, NULL, FEATURE_F32, 0, 16, 4, 1, 2, 3) == 12);
    assert_true(feature_l2_target(map, NULL, FEATURE_F32, 0, 16, 2, 2, 0, 0) == 3.5f);
    assert_true(feature_l2_target(map, NULL, FEATURE_F32, 0, 16, 2, 2, 1, 1) == 13.5f);
    assert_true(feature_l2_target(map, NULL, FEATURE_F32, 0, 16, 1, 4, 0, 0) == 8.5f);
    assert_true(feature_l2_loss(3, 1) == 4);
    assert_true(feature_l2_delta(3, 1, 0.25f) == -1);
    assert_true(isnan(feature_l2_loss(NAN, 1)));
}

static void test_exact_alignment_costs_nothing(void **state)
{
    (void)state;
    network *net = bound(params(1, 1, 1));
    check_fill(net->input, N, 3);
    set_feature_l2_target(&net->layers[1], net->input);
    network_forward(net, 2, 1);
    network_backward(net, 2);
    assert_true(*net->layers[1].cost == 0 && feature_l2_error(&net->layers[1], net->input, B) == 0);
    for (int i = 0; i < N; ++i) assert_true(net->layers[0].delta[i] == 0);
    drop(net);
}

/* What arrives from above is added to, not replaced by, the loss; what is there already stays too. */
static void test_pass_through_accumulates(void **state)
{
    (void)state;
    network *net = bound(params(1, 0, 1));
    layer *l = &net->layers[1];
    float *t = mem_calloc(N, sizeof *t), *below = net->layers[0].delta;
    check_fill(net->input, N, 4);
    check_fill(t, N, 5);
    set_feature_l2_target(l, t);
    network_forward(net, 2, 1);
    check_fill(l->delta, N, 6);
    float *above = mem_calloc(N, sizeof *above);
    memcpy(above, l->delta, N * sizeof *above);
    for (int i = 0; i < N; ++i) below[i] = 10;
    network at = *net;
    at.input = net->layers[0].output;
    at.delta = below;
    l->backward(*l, at);
    for (int i = 0; i < N; ++i)
        check_close(below[i], 10 + 2.0 * ((double)t[i] - net->input[i]) + above[i], 1e-6, "delta", (size_t)i);
    assert_memory_equal(l->delta, above, N * sizeof *above);
    at.delta = NULL;
    l->backward(*l, at);   /* first layer of a net: nowhere to send it */
    free(above);
    free(t);
    drop(net);
}

static void test_inference_needs_no_target(void **state)
{
    (void)state;
    network *net = bound(params(1, 1, 1));
    check_fill(net->input, N, 7);
    *net->layers[1].cost = 42;
    network_forward(net, 2, 0);
    assert_memory_equal(net->layers[1].output, net->input, N * sizeof(float));
    assert_true(*net->layers[1].cost == 42);
    drop(net);
}

static void test_resize_network_accepts_it(void **state)
{
    (void)state;
    static const char conv[] = "[net]\nbatch=3\nheight=8\nwidth=8\nchannels=2\n[convolutional]\nfilters=4\nsize=3\n"
                               "stride=1\npad=1\nactivation=linear\n[activation]\nactivation=linear\n";
    network *net = check_parse(conv);
    diag *d = diag_new();
    feature_l2_params p = { .scale = 1, .mean = 1, .target_pool = 1, .c = 4, .h = 8, .w = 8 };
    assert_int_equal(make_feature_l2_layer(&net->layers[1], p, d), 0);
    diag_free(d);
    assert_int_equal(resize_network(net, 6, 10), 0);
    layer *l = &net->layers[1];
    assert_int_equal(l->outputs, 4 * 10 * 6);
    size_t n = (size_t)l->outputs * B;
    float *t = mem_calloc(n, sizeof *t);
    check_fill(t, n, 8);
    check_fill(net->input, (size_t)B * 2 * 60, 9);
    set_feature_l2_target(l, t);
    network_forward(net, 2, 1);
    network_backward(net, 2);
    check_close(*l->cost, loss_by_hand(net->layers[0].output, t, 10, 6, 1, 1, 1), 1e-6, "cost after resizing", 0);
    free(t);
    drop(net);
}

static void refuse(int at, feature_l2_params p, const char *why)
{
    static const char text[] = "[net]\nbatch=3\nheight=5\nwidth=6\nchannels=4\n[activation]\nactivation=linear\n"
                               "[activation]\nactivation=relu\n[softmax]\n";
    network *net = check_parse(text);
    diag *d = diag_new();
    assert_int_equal(make_feature_l2_layer(&net->layers[at], p, d), -1);
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->section, "feature_l2");
    assert_string_equal(diag_get(d, 0)->text, why);
    assert_null(net->layers[at].self_layer);
    diag_free(d);
    host_free(net);
}

static void test_refusals(void **state)
{
    (void)state;
    feature_l2_params p = params(1, 1, 1);
    refuse(1, p, "stand-in is not an unbound linear [activation]");
    refuse(2, p, "stand-in is not an unbound linear [activation]");
    p.c = 5;
    refuse(0, p, "expected 5x5x6 = 150 values per image, not 120");
    p = params(1, 1, 0);
    refuse(0, p, "impossible map of 4x5x6, teacher pooled by 0");
    p = params(1, 1, 1);
    p.h = -5;
    refuse(0, p, "impossible map of 4x-5x6, teacher pooled by 1");
}

/* Forgetting the target is our own bug: it stops at once and says where. */
static void test_training_without_target_is_a_bug(void **state)
{
    (void)state;
    int p[2];
    char said[512] = "";
    assert_int_equal(pipe(p), 0);
    pid_t pid = fork();
    if (!pid) {
        dup2(p[1], STDERR_FILENO);
        network *net = bound(params(1, 1, 1));
        network_forward(net, 2, 1);
        _exit(0);
    }
    close(p[1]);
    size_t n = 0;
    for (ssize_t got; n < sizeof said - 1 && (got = read(p[0], said + n, sizeof said - 1 - n)) > 0;) n += (size_t)got;
    close(p[0]);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) != 0);
    assert_non_null(strstr(said, "BUG layers/feature_l2.c:"));
    assert_non_null(strstr(said, "without a target"));
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements),
        cmocka_unit_test(test_loss_and_gradient),
        cmocka_unit_test(test_exact_alignment_costs_nothing),
        cmocka_unit_test(test_pass_through_accumulates),
        cmocka_unit_test(test_inference_needs_no_target),
        cmocka_unit_test(test_resize_network_accepts_it),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_training_without_target_is_a_bug),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
