/* What is not a number is found where it began, and a step that made it can be undone to the last bit. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/model/numbers.h"
#include "darknet_plugin/model/run_state.h"

#include <unistd.h>

#define NET "[net]\nbatch=2\nsubdivisions=1\nwidth=8\nheight=8\nchannels=1\nlearning_rate=0.05\nmomentum=0.9\nmax_batches=50\n"
#define CONV "[convolutional]\nbatch_normalize=1\nfilters=6\nsize=3\nstride=1\npad=1\nactivation=relu\n"
static const char cfg[] = NET CONV CONV "[avgpool]\n[connected]\noutput=3\nactivation=linear\n[softmax]\n";
enum { PIXELS = 2 * 8 * 8 };

static model *open_model(void)
{
    diag *d = diag_new();
    model_options o = { .seed = 3, .threads = 1 };
    check_write("net.cfg", cfg, strlen(cfg));
    model *m = model_open("net.cfg", &o, d);
    check_no_errors(d);
    diag_free(d);
    return m;
}

static double learn(model *m, int i, float first)
{
    static float x[PIXELS];
    const int label[2] = { 0, 2 };
    check_fill(x, PIXELS, (uint64_t)i);
    if (!isfinite(first)) x[0] = first;
    return model_train_step(m, x, label, NULL);
}

static void update(model *m) { network_update(m->net, m->low->trained); }

static void finds_one_in_any_place(void **state)
{
    (void)state;
    enum { N = 9001 };
    float *x = mem_calloc(N, sizeof *x);
    const float bad[] = { NAN, INFINITY, -INFINITY };
    assert_true(numbers_finite(x, N) && numbers_finite(x, 0));
    for (size_t i = 0; i < N; i += i < 40 || i > N - 40 ? 1 : 977)
        for (int k = 0; k < 3; ++k) {
            x[i] = bad[k];
            assert_false(numbers_finite(x, N));
            x[i] = k ? 3e38f : -1e-44f;
            assert_true(numbers_finite(x, N));
        }
    free(x);
}

/* The one message, at its section. */
static void said(const diag *d, int line, const char *text)
{
    assert_int_equal(diag_count(d), 1);
    if (strcmp(diag_get(d, 0)->text, text)) fail_msg("'%s', expected '%s'", diag_get(d, 0)->text, text);
    assert_int_equal(diag_get(d, 0)->line, line);
}

static void names_the_layer(void **state)
{
    (void)state;
    model *m = open_model();
    diag *d[4];
    for (int i = 0; i < 4; ++i) d[i] = diag_new();
    learn(m, 0, 0);
    update(m);
    assert_int_equal(numbers_check_updates(m, d[0]), 0);
    assert_int_equal(numbers_check_weights(m, d[0]), 0);
    assert_int_equal(diag_count(d[0]), 0);

    m->net->layers[1].weight_updates[5] = NAN;
    assert_int_equal(numbers_check_updates(m, d[1]), -1);
    said(d[1], 17, "layer 1: its gradient is not finite");
    m->net->layers[1].weight_updates[5] = 0;

    m->net->layers[0].rolling_variance[2] = INFINITY;
    assert_int_equal(numbers_check_weights(m, d[2]), -1);
    said(d[2], 10, "layer 0: not all of its variance is finite any more");
    m->net->layers[0].rolling_variance[2] = 1;

    m->net->layers[3].weights[0] = INFINITY;
    float x[PIXELS];
    check_fill(x, PIXELS, 1);
    double loss = model_train_step(m, x, (const int[]){ 0, 2 }, NULL);
    assert_false(isfinite(loss));
    numbers_explain_loss(m, x, loss, d[3]);
    said(d[3], 25, "layer 3: the first whose output is not finite");
    for (int i = 0; i < 4; ++i) diag_free(d[i]);
    model_close(m);
}

static void a_bad_image(void **state)
{
    (void)state;
    model *m = open_model();
    diag *d = diag_new();
    float x[PIXELS] = { NAN };
    numbers_explain_loss(m, x, NAN, d);
    said(d, 0, "an image's values are not finite");
    diag_free(d);
    model_close(m);
}

static void hash(void *ctx, float *x, size_t n)
{
    uint64_t *h = ctx;
    for (size_t i = 0; i < n * sizeof *x; ++i) *h = (*h ^ ((const unsigned char *)x)[i]) * 0x100000001b3u;
}

/* Weights, statistics, momentum. */
static uint64_t all_of(const model *m)
{
    uint64_t h = weights_hash(m->net, 0, m->net->n);
    run_state_arrays(m->net, 0, m->low->trained, hash, &h);
    return h;
}

static void undoes_a_step(void **state)
{
    (void)state;
    model *m = open_model(), *never = open_model();
    step_copy *c = step_copy_new(m);
    for (int i = 0; i < 3; ++i) {
        learn(m, i, 0), update(m);
        learn(never, i, 0), update(never);
    }
    uint64_t before = all_of(m);
    step_copy_keep(c, m);
    assert_false(isfinite(learn(m, 7, NAN)));
    assert_int_not_equal(all_of(m), before);
    step_copy_undo(c, m);
    assert_int_equal(all_of(m), before);
    for (int i = 3; i < 6; ++i) {
        learn(m, i, 0), update(m);
        learn(never, i, 0), update(never);
    }
    assert_int_equal(all_of(m), all_of(never));
    step_copy_free(c);
    model_close(m);
    model_close(never);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_one_in_any_place), cmocka_unit_test(names_the_layer), cmocka_unit_test(a_bad_image),
        cmocka_unit_test(undoes_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
