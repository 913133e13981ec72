/* Losses behind the frozen classifier: [kd], labels= and [cross_entropy]. The gradient that reaches the encoder against
 * central differences of the whole loss, through batch norm with running statistics, a shortcut and pooling; the tail stays
 * the teacher's to the bit; images without a label; where stand-ins are put, what deploying leaves, what is refused;
 * scale=auto and its way through a run's state; fade=. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/model/model_internal.h"
#include "darknet_plugin/model/run_state.h"
#include "layers/cross_entropy_ops.h"
#include "layers/reused_classifier.h"

#include <unistd.h>

enum { B = 8, CLASSES = 10, INPUTS = 3 * 8 * 8 };

#define NET "[net]\nbatch=8\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\nlearning_rate=.02\nmomentum=.9\npolicy=constant\nmax_batches=10\n"
#define CONV(filters, size, stride, act) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=" #act "\n"
#define POINT(filters) "[convolutional]\nfilters=" #filters "\nsize=1\nstride=1\npad=1\nactivation=linear\n"
#define TEACHER "[teacher]\ncfg=t.cfg\nweights=t.weights\n"
#define TRIPLE(l2, tail) "[projector]\nreduction=2\n[feature_l2]\n" l2 "[reused_classifier]\n" tail
#define END "[avgpool]\n" POINT(10) "[softmax]\n"

static const char shallow[] = NET CONV(8, 3, 1, tanh) CONV(12, 3, 2, tanh) END;
/* Behind the tap, layer 1, a whole block. */
static const char deep[] = NET CONV(8, 3, 1, tanh) CONV(12, 3, 2, tanh) CONV(12, 3, 1, tanh) CONV(12, 3, 1, linear)
    "[shortcut]\nfrom=-3\nactivation=tanh\n" END;

static model *open_text(const char *text, cpu_backend backend)
{
    diag *d = diag_new();
    check_write("student.cfg", text, strlen(text));
    model *m = model_open("student.cfg", &(model_options){ .backend = backend, .seed = 3 }, d);
    if (!m) diag_print(d, stderr);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

static float *images(uint64_t stream)
{
    float *x = mem_calloc(B * INPUTS, sizeof *x);
    check_fill(x, B * INPUTS, stream);
    return x;
}

/* ---- one image ---- */

static void test_formula(void **state)
{
    (void)state;
    float z[4] = { 1, -2, .5f, 3 }, zero[4] = { 0 };
    const float hard[4] = { 0, 0, 1, 0 }, soft[4] = { .25f, 0, .75f, 0 };
    double sum = 0;
    for (int i = 0; i < 4; ++i) sum += exp(z[i]);
    check_close(cross_entropy_loss(z, hard, 4), log(sum) - .5, 1e-12, "one-hot", 0);
    check_close(cross_entropy_loss(z, soft, 4), log(sum) - .25 - .75 * .5, 1e-12, "mixed", 0);
    float below[4] = { 10, 0, 0, 0 };
    const float above[4] = { 1, 2, 0, 0 };
    cross_entropy_delta(z, soft, 4, 2, above, below);
    for (int i = 0; i < 4; ++i)
        check_close(below[i], (i == 0 ? 11 : 0) + (i == 1 ? 2 : 0) + 2 * (soft[i] - exp(z[i]) / sum), 1e-6, "delta", (size_t)i);
    float same[4] = { 0 };
    cross_entropy_delta(z, zero, 4, 2, zero, same);
    for (int i = 0; i < 4; ++i) assert_true(same[i] == 0);
    assert_true(cross_entropy_loss(z, zero, 4) == 0);
    z[3] = 3e4f;
    assert_true(isfinite(cross_entropy_loss(z, hard, 4)));
}

/* ---- the gradient, through whole networks ---- */

static double total(model *m, const float *x, const int *labels) { return model_train_step(m, x, labels, NULL) * B; }

/* The slope of the loss by one number: central differences at three distances, so that what goes with the square and the
 * fourth power of the distance falls out and it may be wide. A loss is a sum of floats: near, its rounding counts. */
static double slope(model *m, const float *x, const int *labels, float *number)
{
    static const double part[3] = { 45, -9, 1 };
    const float keep = *number, e = 1.f / 32;
    double sum = 0;
    for (int i = 0; i < 3; ++i) {
        *number = keep + (float)(i + 1) * e;
        double up = total(m, x, labels);
        *number = keep - (float)(i + 1) * e;
        sum += part[i] * (up - total(m, x, labels));
    }
    *number = keep;
    return sum / (60 * e);
}

/* Deltas of the first layer against differences of the loss by its biases: batch norm's, behind it, so that they count. */
static void check_gradient(const char *teacher, const char *student, cpu_backend backend, const int *labels)
{
    check_write_network("t", teacher, 500);
    model *m = open_text(student, backend);
    float *x = images(20);
    layer *first = &m->net->layers[0];
    int hw = first->out_h * first->out_w;
    total(m, x, labels);
    size_t n = (size_t)first->n;
    float *gradient = mem_calloc(n, sizeof *gradient);
    memset(first->bias_updates, 0, n * sizeof *gradient);
    total(m, x, labels);
    memcpy(gradient, first->bias_updates, n * sizeof *gradient);
    double largest = 0;
    for (size_t i = 0; i < n; ++i) largest = fmax(largest, fabs(gradient[i]));
    assert_true(largest > 1e-3);
    for (size_t i = 0; i < n; ++i) {
        double measured = -slope(m, x, labels, &first->biases[i]);
        check_close(gradient[i] / largest, measured / largest, 1e-3, student, i);
    }
    const lower_head *h = m->low->head;
    assert_int_equal(compare_reused_classifier(m->net, h->tail, h->tails, m->teacher[0]->net, h->tail_of), 0);
    assert_true(hw > 1);
    network_update(m->net, m->low->trained);
    assert_int_equal(compare_reused_classifier(m->net, h->tail, h->tails, m->teacher[0]->net, h->tail_of), 0);
    free(gradient);
    free(x);
    model_close(m);
}

static const int labels[B] = { 0, 9, 2, -1, 4, 4, -1, 7 }, all[B] = { 0, 9, 2, 3, 4, 4, 6, 7 };

static void test_gradient(void **state)
{
    (void)state;
#define STUDENT NET TEACHER CONV(6, 3, 2, tanh)
#define DEEP NET TEACHER "tap=1\n" CONV(6, 3, 2, tanh)
    static const cpu_backend backend[] = { BACKEND_REFERENCE, BACKEND_DNNL };
    for (int k = 0; k < 2; ++k) {
        check_gradient(shallow, STUDENT TRIPLE("scale=0\n", "labels=1\n"), backend[k], all);
        check_gradient(shallow, STUDENT TRIPLE("scale=0\n", "labels=.7\n"), backend[k], labels);
        check_gradient(shallow, STUDENT TRIPLE("scale=0\n", "[kd]\n"), backend[k], NULL);
        check_gradient(shallow, STUDENT TRIPLE("scale=3\n", "labels=1\n[kd]\nstandardise=1\ntemperature=2\n"), backend[k], labels);
        check_gradient(deep, DEEP TRIPLE("scale=0\n", "[kd]\ndecouple=2\n"), backend[k], NULL);
        check_gradient(deep, DEEP TRIPLE("", "labels=2\n[kd]\n"), backend[k], labels);
    }
    check_write_network("t", shallow, 500);
}

/* The mean is over the labelled: four images of eight weigh as if they were the whole batch. */
static void test_unlabelled(void **state)
{
    (void)state;
    static const int half[B] = { 5, 1, 2, 3, -1, -1, -1, -1 }, none[B] = { -1, -1, -1, -1, -1, -1, -1, -1 };
    model *m = open_text(STUDENT TRIPLE("scale=0\n", "labels=1\n"), BACKEND_REFERENCE);
    float *x = images(20);
    double cost = model_train_step(m, x, half, NULL), sum = 0;
    const layer *l = &m->net->layers[m->low->loss[1].layer];
    for (int b = 0; b < 4; ++b)
        sum += cross_entropy_loss(l->output + b * CLASSES, m->net->truth + b * CLASSES, CLASSES);
    check_close(cost / (sum / 4), 1, 1e-6, "mean", 0);
    for (int i = 0; i < B * CLASSES; ++i)
        if (i >= 4 * CLASSES) assert_true(m->net->layers[m->low->loss[1].layer - 1].delta[i] == 0);
    assert_true(model_train_step(m, x, none, NULL) == 0);
    free(x);
    model_close(m);
}

/* ---- lowering ---- */

static void test_lowering(void **state)
{
    (void)state;
    static const char student[] = STUDENT TRIPLE("", "labels=1\n[kd]\nscale=.5\n") "[route]\nlayers=1\n[avgpool]\n" POINT(10);
    lowered *l = check_lowered(student, LOWER_TRAIN);
    /* 0 encoder, 1 2 3 projector, 4 feature_l2, 5 avgpool, 6 scores, 7 kd, 8 cross_entropy, 9 softmax, 10 route, ... */
    assert_int_equal(l->losses, 3);
    assert_string_equal(l->loss[1].type->name, "kd");
    assert_string_equal(l->loss[2].type->name, "cross_entropy");
    assert_true(l->loss[0].layer == 4 && l->loss[1].layer == 7 && l->loss[2].layer == 8);
    assert_true(l->loss[1].teacher == 0 && l->loss[1].taught == 3 && l->loss[2].teacher == -1 && l->loss[2].head == 0);
    assert_memory_equal(l->head->tail_of, ((int[]){ 2, 3, -1, -1, 4 }), 5 * sizeof(int));
    assert_true(l->head->tail == 5 && l->head->tails == 5 && l->head->scores == 6);
    assert_true(l->labels && l->trained == 9);
    assert_string_equal(l->type[7]->name, "kd");
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 10), "layers", ""), "3");
    lower_free(l);
    l = check_lowered(student, LOWER_DEPLOY);
    assert_memory_equal(l->head->tail_of, ((int[]){ 2, 3, 4 }), 3 * sizeof(int));
    assert_true(l->losses == 0 && l->trained_as[4] == 5 && l->trained_as[5] == 6 && l->trained_as[6] == 9 && l->trained_as[7] == 10);
    lower_free(l);
    l = check_lowered(STUDENT TRIPLE("", ""), LOWER_TRAIN);
    assert_true(!l->labels && l->head->scores == -1 && l->trained == 5);
    lower_free(l);
    /* what only measures does not run in a step */
    l = check_lowered(STUDENT TRIPLE("scale=auto\n", ""), LOWER_TRAIN);
    assert_true(!l->labels && l->losses == 2 && l->trained == 5 && l->head->scores == 6);
    lower_free(l);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char plain[] = NET CONV(8, 3, 1, tanh) CONV(12, 3, 2, tanh) "[avgpool]\n" POINT(10);
    check_write_network("plain", plain, 500);
#define PLAIN NET "[teacher]\ncfg=plain.cfg\nweights=plain.weights\ntap=1\n" CONV(6, 3, 2, tanh)
    check_not_lowered(PLAIN TRIPLE("", "layers=2,3\nlabels=1\n"), LOWER_TRAIN, "27: [reused_classifier] labels= needs class scores, and plain.cfg does not end on [softmax]");
    check_not_lowered(PLAIN TRIPLE("scale=auto\n", "layers=2,3\n"), LOWER_TRAIN, "26: [reused_classifier] scale=auto needs class scores, and plain.cfg does not end on [softmax]");
    check_not_lowered(STUDENT TRIPLE("", "[kd]\n") CONV(4, 1, 1, relu), LOWER_TRAIN,
                  "26: [convolutional] reads layer 3, a [reused_classifier] (line 24): it is frozen, nothing trained may read it");
    check_not_lowered(STUDENT TRIPLE("", "[kd]\n") "[route]\nlayers=-1\n", LOWER_TRAIN,
                  "27: [route] reads layer 3, a [reused_classifier] (line 24): it is frozen, nothing trained may read it");
    check_not_lowered(STUDENT TRIPLE("", "labels=-1\n"), LOWER_TRAIN, "25: [reused_classifier] 'labels' is -1, expected at least 0");
    check_not_lowered(STUDENT "[avgpool]\n" POINT(7) "[cross_entropy]\n[route]\nlayers=0\n" TRIPLE("", ""), LOWER_TRAIN,
                  "28: [cross_entropy] reads 7 class scores of a network of 10 outputs");
}

/* ---- scale=auto ---- */

static double rms(const float *x, const float *y, double factor)
{
    double sum = 0;
    for (int i = 0; i < B * 12 * 4 * 4; ++i) sum += pow(factor * (x[i] - (y ? (double)y[i] : 0)), 2);
    return sqrt(sum / (B * 12 * 4 * 4));
}

/* The root of the mean square of what one loss sends to the projector's output: what comes through the tail, or the
 * [feature_l2]'s own 2/D * (t - s). */
static double gradient_of(const char *student, const int *truth)
{
    model *m = open_text(student, BACKEND_REFERENCE);
    float *x = images(20);
    model_train_step(m, x, truth, NULL);
    const layer *l = &m->net->layers[m->low->head->loss];
    int l2 = m->low->losses == 1;
    double found = l2 ? rms(l->output, teacher_feature(m->teacher[0], 1), 2. / l->outputs) : rms(l->delta, NULL, 1);
    free(x);
    model_close(m);
    return found;
}

static void test_auto(void **state)
{
    (void)state;
    model *m = open_text(STUDENT TRIPLE("scale=auto\n", "labels=1\n[kd]\nscale=auto\n"), BACKEND_REFERENCE);
    float *x = images(20);
    int choice[B];
    double sum[3] = { 0 };
    assert_true(model_has_auto_scales(m));
    model_measure_losses(m, x, sum);
    const float *z = teacher_feature(m->teacher[0], m->low->teacher->answer);
    for (int b = 0; b < B; ++b) {
        choice[b] = 0;
        for (int i = 1; i < CLASSES; ++i)
            if (z[b * CLASSES + i] > z[b * CLASSES + choice[b]]) choice[b] = i;
    }
    double labels_are = gradient_of(STUDENT TRIPLE("scale=0\n", "labels=1\n"), choice);
    double l2 = labels_are / gradient_of(STUDENT TRIPLE("scale=1\n", ""), NULL);
    double kd = labels_are / gradient_of(STUDENT TRIPLE("scale=0\n", "[kd]\n"), NULL);
    FILE *out = tmpfile();
    model_set_auto_scales(m, sum, out);
    fclose(out);
    const lowered *low = m->low;
    double *scale[3];
    for (int i = 0; i < 3; ++i) scale[i] = low->loss[i].type->scale(&m->net->layers[low->loss[i].layer]);
    check_close(*scale[0] / l2, 1, 1e-4, "feature_l2", 0);
    check_close(*scale[1] / kd, 1, 1e-4, "kd", 0);
    assert_true(*scale[2] == 1);
    /* and through a state */
    run_progress progress = { .seen = 0 };
    double kept = *scale[0];
    FILE *f = fopen("a.state", "wb");
    assert_int_equal(run_state_write(f, m->net, low->trained, 1, &progress, NULL, "k", (run_images[RUN_SETS]){ 0 }), 0);
    fclose(f);
    *scale[0] = 42;
    diag *d = diag_new();
    run_state *s = run_state_read("a.state", d);
    assert_int_equal(run_state_apply(s, m->net, low->trained, "a.state", d), 0);
    assert_true(*scale[0] == kept);
    check_no_errors(d);
    run_state_free(s);
    diag_free(d);
    free(x);
    model_close(m);
}

/* ---- fade= ---- */

/* One part of the loss at update u, and its scale between steps. */
static double part_at(model *m, const float *x, const int *labels, int loss, int u, double scale)
{
    layer *l = &m->net->layers[m->low->loss[loss].layer];
    *m->net->seen = (size_t)u * B;
    model_train_step(m, x, labels, NULL);
    assert_true(*m->low->loss[loss].type->scale(l) == scale);
    return (double)*l->cost;
}

/* [feature_l2] is gone after half of 10 updates, [kd] after all of them, and without fade= nothing changes. */
static void test_fade(void **state)
{
    (void)state;
    static const double fade[2] = { .5, 1 }, scale[2] = { 2, 3 };
    model *m = open_text(STUDENT TRIPLE("scale=2\nfade=.5\n", "labels=1\n[kd]\nscale=3\nfade=1\n"), BACKEND_REFERENCE);
    model *same = open_text(STUDENT TRIPLE("scale=2\n", "labels=1\n[kd]\nscale=3\nfade=0\n"), BACKEND_REFERENCE);
    int labels[B] = { 0, 1, 2, 3, 4, 5, 6, 7 };
    float *x = images(21);
    for (int i = 0; i < 2; ++i) {
        double first = part_at(m, x, labels, i, 0, scale[i]);
        assert_true(first > 0);
        for (int u = 0; u < 12; ++u) {
            check_close(part_at(m, x, labels, i, u, scale[i]), first * fmax(0, 1 - u / (10 * fade[i])), 1e-5 * first, "fade", (size_t)u);
            check_close(part_at(same, x, labels, i, u, scale[i]), first, 1e-5 * first, "no fade", (size_t)u);
        }
    }
    free(x);
    model_close(m);
    model_close(same);
    check_not_lowered("[net]\nbatch=8\nheight=8\nwidth=8\nchannels=3\n" TEACHER CONV(6, 3, 2, tanh) TRIPLE("fade=.5\n", ""), LOWER_TRAIN,
                      "19: [feature_l2] fade= is a part of [net] max_batches, which is not set");
    check_not_lowered(STUDENT TRIPLE("fade=2\n", ""), LOWER_TRAIN, "24: [feature_l2] 'fade' is 2, expected 0 to 1");
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    check_write_network("t", shallow, 500);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formula), cmocka_unit_test(test_gradient), cmocka_unit_test(test_unlabelled),
        cmocka_unit_test(test_lowering), cmocka_unit_test(test_refusals), cmocka_unit_test(test_auto),
        cmocka_unit_test(test_fade),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
