/* Batch norm's epsilon of networks from elsewhere: [teacher] eps=, weights fold -eps, and variances at which it matters. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/base/options.h"
#include "darknet_plugin/deploying/export.h"
#include "weights_tools/file/fold_epsilon.h"
#include "weights_tools/file/weights_file.h"

#include <unistd.h>

#define NET "[net]\nbatch=2\nwidth=8\nheight=8\nchannels=3\n"
#define CONV(filters) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=1\nactivation=linear\n"
#define STUDENT "[convolutional]\nbatch_normalize=1\nfilters=4\nsize=3\npad=1\nactivation=leaky\n"

/* The tap is layer 0; layers 1 to 3, with a batch norm of their own, are reused. */
static const char teacher_cfg[] = NET CONV(4) CONV(3) "[avgpool]\n[softmax]\n";
static const double SMALL[] = { 0, 1e-12, 1e-6, 1e-5, 3e-4, 1e-3, .05, 1, 40 };

static void test_the_same_number_divides(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof SMALL / sizeof *SMALL; ++i)
        for (double e = 1e-7; e < 1e-1; e *= 10) {
            double stored = (double)fold_variance(SMALL[i], e);
            check_close((sqrt(stored) + 1e-6) / sqrt(SMALL[i] + e), 1, 1e-6, "deviation", i);
        }
}

/* t.cfg and t.weights, with variances of every size. */
static network *write_teacher(void)
{
    network *net = check_parse(teacher_cfg);
    diag *d = diag_new();
    check_fill_network(net, 7);
    for (int i = 0; i < 2; ++i)
        for (int k = 0; k < net->layers[i].n; ++k) net->layers[i].rolling_variance[k] = (float)SMALL[2 * k + i];
    check_write("t.cfg", teacher_cfg, strlen(teacher_cfg));
    assert_int_equal(weights_save(net, "t.weights", d), 0);
    check_no_errors(d);
    diag_free(d);
    return net;
}

static model *open_student(const char *eps, diag *d)
{
    char *text = mem_printf(NET "[teacher]\ncfg=t.cfg\nweights=t.weights\ntap=0\n%s" STUDENT
                            "[projector]\nstack=1x1\n[feature_l2]\n[reused_classifier]\n", eps);
    model_options how = { .threads = 1 };
    check_write("s.cfg", text, strlen(text));
    model *m = model_open("s.cfg", &how, d);
    check_no_errors(d);
    free(text);
    return m;
}

/* One pixel of layer l, whose input is x, with the formula of AlexeyAB's Darknet. */
static double expected(const layer *l, const float *x, size_t plane, size_t pixel, int filter, double epsilon)
{
    double sum = 0;
    for (int c = 0; c < l->c; ++c) sum += (double)l->weights[filter * l->c + c] * (double)x[(size_t)c * plane + pixel];
    return l->scales[filter] * (sum - l->rolling_mean[filter]) / sqrt(l->rolling_variance[filter] + epsilon) + l->biases[filter];
}

static void test_teacher(void **state)
{
    (void)state;
    network *stored = write_teacher();
    diag *d = diag_new();
    model *m = open_student("eps=.00001\n", d);
    float x[2 * 3 * 64];
    check_fill(x, sizeof x / sizeof *x, 3);
    model_run_teachers(m, x, 1);
    const float *map = teacher_feature(m->teacher[0], 0);
    for (int f = 0; f < 4; ++f)
        for (size_t pixel = 0; pixel < 64; ++pixel)
            check_close(map[(size_t)f * 64 + pixel] / expected(&stored->layers[0], x, 64, pixel, f, 1e-5), 1, 2e-4, "map", pixel);
    int tail = m->low->head[0].tail;
    for (int k = 0; k < 3; ++k)
        assert_true(m->net->layers[tail].rolling_variance[k] == fold_variance(SMALL[2 * k + 1], 1e-5));
    deployed *out = deploy_open(m, "s.cfg", d);
    check_no_errors(d);
    int same = 0;
    for (int i = 0; i < out->net->n; ++i)
        same += out->from[i] == tail && !memcmp(out->net->layers[i].rolling_variance, m->net->layers[tail].rolling_variance, 3 * sizeof(float));
    assert_int_equal(same, 1);
    deploy_close(out);
    model_close(m);
    host_free(stored);
    diag_free(d);
}

/* Weights that were trained with one epsilon hold another classifier than the teacher's with another. */
static void test_another_epsilon(void **state)
{
    (void)state;
    host_free(write_teacher());
    diag *d = diag_new();
    model *m = open_student("eps=.00001\n", d);
    assert_int_equal(weights_save(m->net, "s.weights", d), 0);
    assert_int_equal(model_load(m, "s.weights", NULL, d), 0);
    model_close(m);
    m = open_student("", d);
    assert_int_not_equal(model_load(m, "s.weights", NULL, d), 0);
    assert_non_null(strstr(check_hint(d, diag_count(d) - 1), "eps="));
    model_close(m);
    diag_free(d);
}

static void test_notice(void **state)
{
    (void)state;
    diag *d = diag_new();
    network *net = write_teacher();
    fold_notice_epsilon(net, "t.weights", "the remedy", d);
    assert_int_equal(diag_warnings(d), 1);
    assert_string_equal(diag_get(d, 0)->text,
                        "5 of 7 variances are so small (least 0, layer 0) that AlexeyAB's Darknet and Darknet on a GPU, which divide by "
                        "sqrt(v + 1e-5), are over 1 % off sqrt(v) + 1e-6, which divides here");
    assert_string_equal(check_hint(d, 0), "the remedy");
    diag_free(d);
    d = diag_new();
    for (int i = 0; i < 2; ++i)
        for (int k = 0; k < net->layers[i].n; ++k) net->layers[i].rolling_variance[k] = .001f;
    fold_notice_epsilon(net, "t.weights", "the remedy", d);
    assert_int_equal(diag_count(d), 0);
    host_free(net);
    model *m = open_student("eps=.00001\n", d);
    model_notice_epsilon(m, NULL, d);
    assert_int_equal(diag_count(d), 0);
    model_close(m);
    m = open_student("", d);
    model_notice_epsilon(m, NULL, d);
    assert_int_equal(diag_count(d), 1);
    assert_string_equal(check_hint(d, 0), "if it was trained there, write eps=.00001 in [teacher]");
    model_close(m);
    diag_free(d);
}

/* The folded network computes with nothing but weights and biases what AlexeyAB's Darknet did. */
static void test_fold(void **state)
{
    (void)state;
    network *stored = write_teacher();
    diag *d = diag_new();
    static options o;
    const char *const arg[] = { "t.cfg", "t.weights", "folded" };
    char *flags[] = { "fold", "t.cfg", "t.weights", "folded", "-eps", ".00001" };
    extern const verb verb_weights;
    o.out = fopen("/dev/null", "w");
    assert_int_equal(options_parse(&o, &verb_weights, 6, flags, d), 0);
    o.fold = 1;
    o.verify = 4;
    int failed = export_network(&o, arg, LOWER_DEPLOY, d);
    check_no_errors(d);
    assert_int_equal(failed, 0);
    fclose(o.out);
    model_options how = { .threads = 1, .mode = LOWER_DEPLOY };
    model *m = model_open("folded.cfg", &how, d);
    assert_int_equal(model_load_whole(m, "folded.weights", d), 0);
    for (int i = 0; i < 2; ++i) {
        const layer *l = &m->net->layers[i], *s = &stored->layers[i];
        assert_int_equal(l->batch_normalize, 0);
        for (int k = 0; k < l->n; ++k)
            check_close(l->weights[k * l->c] * sqrt(SMALL[2 * k + i] + 1e-5) / (s->scales[k] * s->weights[k * l->c]), 1, 1e-5, "weight", (size_t)k);
    }
    model_close(m);
    host_free(stored);
    diag_free(d);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_same_number_divides), cmocka_unit_test(test_teacher), cmocka_unit_test(test_another_epsilon),
        cmocka_unit_test(test_notice), cmocka_unit_test(test_fold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
