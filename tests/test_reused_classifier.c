/* [reused_classifier]: copies are bit for bit, differences are found, unlike layers are refused before anything is
 * copied, and a student whose features equal the teacher's predicts exactly what the teacher predicts. */
#include "layers/network.h"
#include "check.h"

#include "layers/feature_l2.h"
#include "layers/reused_classifier.h"
#include "weights_tools/file/weights_file.h"

#define NET "[net]\nbatch=3\nheight=6\nwidth=6\nchannels=3\n"
#define TAIL "[avgpool]\n[convolutional]\nfilters=5\nsize=1\nstride=1\nactivation=linear\n" \
             "[connected]\noutput=4\nbatch_normalize=1\nactivation=relu\n[connected]\noutput=7\nactivation=linear\n" \
             "[softmax]\n"

/* The teacher's feature is layer 0, its classifier 1..5; in the student that is 4..8 behind two layers, projector
 * and stand-in. */
static const char teacher_cfg[] = NET "[convolutional]\nfilters=8\nsize=3\npad=1\nbatch_normalize=1\nactivation=relu\n"
                                  TAIL;
static const char student_cfg[] = NET "[convolutional]\nfilters=4\nsize=3\npad=1\nbatch_normalize=1\nactivation=leaky\n"
                                  "[shortcut]\nfrom=-1\nactivation=linear\n"
                                  "[convolutional]\nfilters=8\nsize=1\nbatch_normalize=1\nactivation=relu\n"
                                  "[activation]\nactivation=linear\n" TAIL;
enum { TAP = 0, PROJECTOR = 2, LOSS = 3, FIRST = 4, TAILS = 5, CLASSES = 7, BATCH = 3 };
static const int of[TAILS] = { 1, 2, 3, 4, 5 };

static void fill(network *net, uint64_t stream)
{
    weights_tensor t[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i) {
        int n = weights_tensors(&net->layers[i], t);
        for (int j = 0; j < n; ++j) {
            check_fill(t[j].data, t[j].n, stream + 100 * (uint64_t)i + (uint64_t)j);
            if (!strcmp(t[j].name, "variance"))
                for (size_t k = 0; k < t[j].n; ++k) t[j].data[k] = fabsf(t[j].data[k]) + 0.1f;
        }
    }
}

static network *filled(const char *cfg, uint64_t stream)
{
    network *net = check_parse(cfg);
    fill(net, stream);
    return net;
}

static void copy(network *student, const network *teacher)
{
    diag *d = diag_new();
    assert_int_equal(copy_reused_classifier(student, FIRST, TAILS, teacher, of, d), 0);
    check_no_errors(d);
    diag_free(d);
}

static void test_copies_bit_for_bit(void **state)
{
    (void)state;
    network *t = filled(teacher_cfg, 1), *s = filled(student_cfg, 1000);
    uint64_t encoder = weights_hash(s, 0, FIRST), teacher = weights_hash(t, 0, t->n);
    assert_int_equal(compare_reused_classifier(s, FIRST, TAILS, t, of), FIRST + 1 + 1);
    copy(s, t);
    assert_int_equal(compare_reused_classifier(s, FIRST, TAILS, t, of), 0);
    assert_true(weights_hash(s, FIRST, s->n) == weights_hash(t, 1, t->n));
    assert_true(weights_hash(s, 0, FIRST) == encoder);
    assert_true(weights_hash(t, 0, t->n) == teacher);
    host_free(t);
    host_free(s);
}

/* One bit in any array of any layer is noticed. */
static void test_compare_sees_one_bit(void **state)
{
    (void)state;
    network *t = filled(teacher_cfg, 1), *s = filled(student_cfg, 1000);
    weights_tensor x[WEIGHTS_MAX_TENSORS];
    int arrays = 0;
    copy(s, t);
    for (int i = FIRST; i < FIRST + TAILS; ++i) {
        int n = weights_tensors(&s->layers[i], x);
        for (int k = 0; k < n; ++k, ++arrays) {
            unsigned char *byte = (unsigned char *)(x[k].data + x[k].n - 1);
            *byte ^= 1;
            assert_int_equal(compare_reused_classifier(s, FIRST, TAILS, t, of), i + 1);
            *byte ^= 1;
        }
    }
    assert_int_equal(arrays, 2 + 5 + 2);
    assert_int_equal(compare_reused_classifier(s, FIRST, TAILS, t, of), 0);
    host_free(t);
    host_free(s);
}

static void refused(const char *student, int first, int n, const int *which, const char *why)
{
    network *t = filled(teacher_cfg, 1), *s = filled(student, 1000);
    uint64_t before = weights_hash(s, 0, s->n);
    diag *d = diag_new();
    assert_int_equal(copy_reused_classifier(s, first, n, t, which, d), -1);
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->section, "reused_classifier");
    assert_string_equal(diag_get(d, 0)->text, why);
    assert_true(weights_hash(s, 0, s->n) == before);
    diag_free(d);
    host_free(t);
    host_free(s);
}

static void test_refusals(void **state)
{
    (void)state;
    static const char more[] = NET "[avgpool]\n[convolutional]\nfilters=6\nsize=1\nactivation=linear\n";
    static const char wide[] = "[net]\nbatch=3\nheight=6\nwidth=6\nchannels=8\n[avgpool]\n"
                                  "[convolutional]\nfilters=5\nsize=3\npad=1\nactivation=linear\n";
    static const char bn[] = "[net]\nbatch=3\nheight=6\nwidth=6\nchannels=8\n[avgpool]\n"
                             "[convolutional]\nfilters=5\nsize=1\nbatch_normalize=1\nactivation=linear\n";
    static const char fc[] = "[net]\nbatch=3\nheight=1\nwidth=1\nchannels=5\n[connected]\noutput=9\n"
                             "batch_normalize=1\nactivation=relu\n";
    static const int shifted[] = { 1, 3 }, beyond[] = { 6 }, negative[] = { -2 }, third[] = { 3 };
    refused(more, 0, 2, of, "layer 1 has input channels 3, teacher layer 2 has 8");
    refused(wide, 0, 2, of, "layer 1 has size 3, teacher layer 2 has 1");
    refused(bn, 0, 2, of, "layer 1 has batch_normalize 1, teacher layer 2 has 0");
    refused(fc, 0, 1, third, "layer 0 has 9 biases, teacher layer 3 has 4");
    refused(bn, 0, 2, shifted, "layer 1 is not of the type of teacher layer 3");
    refused(bn, 0, 1, beyond, "teacher layer 6 of 6 does not exist");
    refused(bn, 0, 1, negative, "teacher layer -2 of 6 does not exist");
    refused(bn, 1, 2, of, "layers 1 to 2 of 2 do not exist");
    refused(bn, -1, 1, of, "layers -1 to -1 of 2 do not exist");
}

/* Inference of the layers behind layer i. */
static void run_behind(network *net, int i)
{
    network at = *net;
    at.train = 0;
    while (++i < net->n) {
        at.input = net->layers[i - 1].output;
        net->layers[i].forward(net->layers[i], at);
    }
}

/* The whole point of the method: equal features, equal predictions, to the last bit. */
static void test_exact_alignment_gives_the_teachers_probabilities(void **state)
{
    (void)state;
    network *t = filled(teacher_cfg, 1), *s = filled(student_cfg, 1000);
    layer *projector = &s->layers[PROJECTOR], *loss = &s->layers[LOSS];
    const layer *tap = &t->layers[TAP];
    diag *d = diag_new();
    feature_l2_params p = { .scale = 1, .mean = 1, .target_pool = 1, .c = 8, .h = 6, .w = 6 };
    size_t n = (size_t)tap->outputs * BATCH;
    assert_int_equal(make_feature_l2_layer(loss, p, d), 0);
    copy(s, t);
    check_fill(t->input, (size_t)t->inputs * BATCH, 5);
    network_forward(t, t->n, 0);

    memcpy(projector->output, tap->output, n * sizeof(float));
    run_behind(s, PROJECTOR);
    const float *want = t->layers[t->n - 1].output, *got = s->layers[s->n - 1].output;
    assert_memory_equal(got, want, CLASSES * BATCH * sizeof *want);
    double sum = 0;
    for (int i = 0; i < CLASSES; ++i) sum += want[i];
    check_close(sum, 1, 1e-6, "probabilities", 0);

    projector->output[n - 1] += 1;   /* and the comparison can fail: */
    run_behind(s, PROJECTOR);
    assert_memory_not_equal(got, want, CLASSES * BATCH * sizeof *want);
    free_feature_l2_layer(loss);
    diag_free(d);
    host_free(t);
    host_free(s);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_copies_bit_for_bit),
        cmocka_unit_test(test_compare_sees_one_bit),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_exact_alignment_gives_the_teachers_probabilities),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
