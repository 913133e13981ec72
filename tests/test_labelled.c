/* Images without a label among those that have one: [softmax] learns nothing from them, and the loss is the
 * mean over the others. */
#include "layers/network.h"
#include "check_nets.h"

#include <unistd.h>

#define NET "[net]\nbatch=4\nheight=8\nwidth=8\nchannels=3\n[convolutional]\nfilters=5\nsize=3\nstride=2\npad=1\nactivation=leaky\n[avgpool]\n"
#define POINT "[convolutional]\nfilters=3\nsize=1\nactivation=linear\n"
enum { INPUTS = 8 * 8 * 3 };

static model *open_net(const char *text)
{
    diag *d = diag_new();
    check_write("net.cfg", text, strlen(text));
    model *m = model_open("net.cfg", &(model_options){ .seed = 3, .threads = 1 }, d);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

/* One step on images number which[0..3], whose labels are `labels`; gradients of the first layer go to *gradient, which the caller
 * frees. Returns the loss. */
static double step(const char *text, const int which[4], const int labels[4], float **gradient, size_t *n)
{
    model *m = open_net(text);
    float *images = mem_calloc(4 * INPUTS, sizeof *images), *x = mem_calloc(4 * INPUTS, sizeof *x);
    check_fill(images, 4 * INPUTS, 20);
    for (int b = 0; b < 4; ++b) memcpy(x + b * INPUTS, images + which[b] * INPUTS, INPUTS * sizeof *x);
    double loss = model_train_step(m, x, labels, NULL);
    const layer *l = &m->net->layers[0];
    *n = (size_t)l->nweights;
    *gradient = mem_calloc(*n, sizeof **gradient);
    memcpy(*gradient, l->weight_updates, *n * sizeof **gradient);
    free(images);
    free(x);
    model_close(m);
    return loss;
}

static void check_skipped(const char *text)
{
    float *some, *both;
    size_t n;
    double loss = step(text, (int[]){ 0, 1, 2, 3 }, (int[]){ 2, -1, 0, -1 }, &some, &n);
    double want = step(text, (int[]){ 0, 2, 0, 2 }, (int[]){ 2, 0, 2, 0 }, &both, &n);
    check_close(loss, want, 1e-5, "loss", 0);
    double size = 0;
    for (size_t i = 0; i < n; ++i) {
        check_close(some[i], both[i], 1e-4, "gradient", i);
        size += fabs((double)both[i]);
    }
    assert_true(size > .01);
    free(some);
    free(both);
}

static void test_softmax(void **state)
{
    (void)state;
    check_skipped(NET POINT "[softmax]\n");
}

static void test_no_labels_at_all(void **state)
{
    (void)state;
    float *gradient;
    size_t n;
    double loss = step(NET POINT "[softmax]\n", (int[]){ 0, 1, 2, 3 }, (int[]){ -1, -1, -1, -1 }, &gradient, &n);
    assert_true(loss == 0);
    for (size_t i = 0; i < n; ++i) assert_true(gradient[i] == 0);
    free(gradient);
}

static int go_there(void **state) { return (void)state, chdir(check_folder()); }

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_softmax), cmocka_unit_test(test_no_labels_at_all) };
    return cmocka_run_group_tests(tests, go_there, NULL);
}
