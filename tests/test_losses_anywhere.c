/* Losses anywhere in the student: [feature_l2] on any teacher layer, with and without a regressor on a branch, beside
 * triples and in a plain student; what it keeps of the teacher, live and cached; what is refused; and that branches that
 * only feed losses vanish from the deployed cfg and from its weights file, in every verb that reads one. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/deploying/deploy.h"
#include "darknet_plugin/model/run_state.h"
#include "weights_tools/verbs/weights_view.h"

#include <unistd.h>

#define NET "[net]\nbatch=4\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\nlearning_rate=.02\nmomentum=.9\npolicy=constant\nmax_batches=10\n"
#define CONV(filters, size, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=relu\n"
#define POINT(filters) "[convolutional]\nfilters=" #filters "\nsize=1\nstride=1\npad=1\nactivation=linear\n"
#define TEACHER "[teacher]\ncfg=t.cfg\nweights=t.weights\n"
#define HEAD "[avgpool]\n" POINT(5)
/* layers 0 (6x8x8), 1 (8x4x4), 2 (10x4x4), 3 avgpool, 4, 5 softmax */
#define TEACHER_BODY CONV(6, 3, 1) CONV(8, 3, 2) CONV(10, 3, 1)
#define L2(layer) "[feature_l2]\nteacher_layer=" #layer "\n"
#define TRIPLE "[projector]\n[feature_l2]\n[reused_classifier]\n"
#define BACK(layer) "[route]\nlayers=" #layer "\n"

static const char teacher_cfg[] = NET TEACHER_BODY HEAD "[softmax]\n[cost]\n";
/* a FitNet: regressor and loss on a branch, then on with the trunk; source layers 0, 1, route 2, 3, 4, route 5, 6.. */
#define FITNET_ENCODER CONV(4, 3, 1) CONV(5, 3, 2)
#define FITNET_BRANCH BACK(0) "[projector]\nstack=1x1\n" L2(0) BACK(1)
#define FITNET NET TEACHER FITNET_ENCODER FITNET_BRANCH CONV(6, 3, 1) HEAD "[kd]\n[softmax]\n"
#define FITNET_DEPLOYED FITNET_ENCODER CONV(6, 3, 1) HEAD "[softmax]\n"

static model *open_student(const char *text, lower_mode mode)
{
    diag *d = diag_new();
    check_write("student.cfg", text, strlen(text));
    model *m = model_open("student.cfg", &(model_options){ .backend = BACKEND_REFERENCE, .seed = 3, .mode = mode }, d);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

static void fill_input(const model *m, float *x) { check_fill(x, (size_t)(m->net->inputs * m->net->batch), 20); }

/* ---- lowering ---- */

static void test_regressor_on_a_branch(void **state)
{
    (void)state;
    lowered *l = check_lowered(FITNET, LOWER_TRAIN);
    assert_true(l->heads == 0 && l->losses == 2 && l->labels);
    assert_true(l->teacher->taps == 1 && l->teacher->triples == 0 && l->teacher->tap[0] == 0);
    const taught_loss *loss = l->loss;
    assert_true(loss->layer == 4 && loss->taught == 0 && loss->tap_index == 0);
    assert_true(loss->place.c == 6 && loss->place.h == 8 && loss->place.teacher_c == 6 && loss->place.teacher_w == 8);
    assert_true(l->role[3] == ROLE_PROJECTOR && l->role[4] == ROLE_LOSS && l->role[5] == ROLE_STUDENT);
    assert_int_equal(l->trained, l->shape->n);
    lower_free(l);
}

static void check_deploys(const char *student, const char *expected, const int *trained_as)
{
    lowered *l = check_lowered(student, LOWER_DEPLOY), *plain = check_lowered(expected, LOWER_DEPLOY);
    char *got = cfg_text(l->cfg, NULL), *want = cfg_text(plain->cfg, NULL);
    assert_string_equal(got, want);
    for (int i = 0; trained_as && i < l->shape->n; ++i) assert_int_equal(l->trained_as[i], trained_as[i]);
    free(got);
    free(want);
    lower_free(plain);
    lower_free(l);
}

static void test_branches_vanish(void **state)
{
    (void)state;
    check_deploys(FITNET, NET FITNET_DEPLOYED, (int[]){ 0, 1, 6, 7, 8, 10 });
    /* in the trunk only the loss goes */
    check_deploys(NET TEACHER CONV(6, 3, 1) L2(0) CONV(5, 3, 2) HEAD "[softmax]\n",
                  NET CONV(6, 3, 1) CONV(5, 3, 2) HEAD "[softmax]\n", (int[]){ 0, 2, 3, 4, 5 });
    /* numbers of later layers follow, a [route] of the user's own stays */
    check_deploys(NET TEACHER CONV(4, 3, 1) CONV(4, 3, 1) BACK(0) POINT(6) L2(0) BACK(1) CONV(4, 3, 1)
                  "[shortcut]\nfrom=-7\nactivation=relu\n[route]\nlayers=-1,1\n" HEAD "[softmax]\n",
                  NET CONV(4, 3, 1) CONV(4, 3, 1) CONV(4, 3, 1) "[shortcut]\nfrom=0\nactivation=relu\n[route]\nlayers=3,1\n"
                  HEAD "[softmax]\n", NULL);
    /* an own classifier beside a triple, which only [kd] reads */
    check_deploys(NET TEACHER CONV(4, 3, 2) HEAD "[kd]\n" BACK(0) TRIPLE, NET TEACHER CONV(4, 3, 2) TRIPLE, NULL);
    /* what answers stays */
    check_deploys(NET TEACHER CONV(4, 3, 2) HEAD "[softmax]\n" BACK(0) TRIPLE, NET TEACHER CONV(4, 3, 2) HEAD "[softmax]\n" BACK(0) TRIPLE, NULL);
}

static void test_beside_triples(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER CONV(4, 3, 1) BACK(0) "[projector]\n" L2(0) BACK(0) CONV(5, 3, 2)
                                  "[projector]\n" L2(2) "[feature_l2]\n" L2(1 ) "[reused_classifier]\n";
    diag *d = diag_new();
    cfg_file *c = cfg_parse("s.cfg", student, strlen(student), d);
    assert_null(lower_cfg(c, LOWER_TRAIN, d));   /* layer 1 has 8 channels, not 10 */
    assert_string_equal(diag_get(d, 0)->text, "the student's map is 10x4x4, teacher layer 1 is 8x4x4");
    diag_free(d);
    static const char right[] = NET TEACHER CONV(4, 3, 1) BACK(0) "[projector]\n" L2(0) BACK(0) CONV(5, 3, 2)
                                "[projector]\n" L2(2) "[feature_l2]\n" L2(2) "[reused_classifier]\n";
    lowered *l = check_lowered(right, LOWER_TRAIN);
    assert_true(l->heads == 1 && l->losses == 4 && l->teacher->triples == 1 && l->teacher->taps == 2);
    assert_true(l->teacher->tap[0] == 2 && l->teacher->tap[1] == 0);
    assert_true(l->loss[0].tap_index == 1 && l->loss[1].tap_index == 0 && l->loss[2].tap_index == 0);
    assert_int_equal(l->head->loss, l->loss[2].layer);
    lower_free(l);
    check_deploys(right, NET TEACHER CONV(4, 3, 1) CONV(5, 3, 2) TRIPLE, NULL);
}

/* From labels: the deployed network, which a training run's weights can start. */
static void test_from_labels(void **state)
{
    (void)state;
    model *trained = check_model("labels", FITNET, 60);
    diag *d = diag_new();
    model *m = model_open("labels.cfg", &(model_options){ .backend = BACKEND_REFERENCE, .mode = LOWER_LABELS }, d);
    check_no_errors(d);
    lowered *deployed = check_lowered(FITNET, LOWER_DEPLOY);
    assert_int_equal(m->net->n, deployed->shape->n);
    assert_true(m->low->labels && m->low->losses == 0 && m->low->trained == m->net->n);
    for (int i = 0; i < m->net->n; ++i) assert_int_equal(m->low->trained_as[i], deployed->trained_as[i]);
    assert_int_equal(model_load_whole(m, "labels.weights", d), 0);
    for (int i = 0; i < m->net->n; ++i) {
        weights_tensor got[WEIGHTS_MAX_TENSORS], want[WEIGHTS_MAX_TENSORS];
        int n = weights_tensors(&m->net->layers[i], got);
        weights_tensors(&trained->net->layers[m->low->trained_as[i]], want);
        for (int k = 0; k < n; ++k) assert_memory_equal(got[k].data, want[k].data, got[k].n * sizeof(float));
    }
    lower_free(deployed);
    model_close(m);
    model_close(trained);
    diag_free(d);
}

static void check_refused(const char *student, const char *expected, lower_mode mode)
{
    diag *d = diag_new();
    cfg_file *c = cfg_parse("s.cfg", student, strlen(student), d);
    check_no_errors(d);
    assert_null(lower_cfg(c, mode, d));
    check_only_error(d, expected);
    diag_free(d);
}

static void test_refusals(void **state)
{
    (void)state;
    check_refused(NET TEACHER CONV(6, 3, 1) L2(9) HEAD, "22: [feature_l2] teacher_layer=9 is out of range: t.cfg has 7 layers, 0 to 6",
                  LOWER_TRAIN);
    check_refused(NET TEACHER CONV(6, 3, 1) L2(1) HEAD, "21: [feature_l2] the student's map is 6x8x8, teacher layer 1 is 8x4x4", LOWER_TRAIN);
    check_refused(NET TEACHER L2(0) HEAD, "14: [feature_l2] no student layer before it", LOWER_TRAIN);
    check_refused(NET TEACHER CONV(6, 3, 1) HEAD "[softmax]\n" BACK(0) L2(0), "31: [feature_l2] the student ends on it, not on an answer",
                  LOWER_TRAIN);
    check_refused(NET TEACHER CONV(4, 3, 3) "[projector]\n" L2(0) HEAD,
                  "21: [projector] map sizes do not divide: teacher's is 8x8 (layer 0), student's 3x3 (layer 0)", LOWER_TRAIN);
    check_refused(NET TEACHER CONV(6, 3, 1) L2(0) "scale=auto\n" HEAD,
                  "23: [feature_l2] scale=auto is for losses of a triple: this one stands on a map of the student's", LOWER_TRAIN);
    check_refused(NET TEACHER CONV(6, 3, 1) "[projector]\n[attention_transfer]\n" HEAD,
                  "22: [attention_transfer] expected [reused_classifier] after it, not [avgpool]", LOWER_TRAIN);
    check_refused(NET TEACHER "name=a\n" TEACHER "name=b\n" CONV(6, 3, 1) L2(0) HEAD,
                  "26: [feature_l2] which of the 2 teachers? write teacher=NAME", LOWER_TRAIN);
}

/* ---- training ---- */

/* A map whose sides are twice the teacher's is pooled before the regressor, by weights that stay 1/4. */
static void test_larger_map_is_pooled(void **state)
{
    (void)state;
    model *m = open_student(NET TEACHER CONV(4, 3, 1) "[projector]\nstack=1x1\n" L2(1) HEAD "[softmax]\n", LOWER_TRAIN);
    assert_int_equal(m->low->role[1], ROLE_POOL);
    for (int i = 0; i < m->net->layers[1].nweights; ++i) assert_true(m->net->layers[1].weights[i] == .25f);
    model_close(m);
}

static double cost_of(const model *m, int loss) { return *m->net->layers[m->low->loss[loss].layer].cost / m->net->batch; }

/* The loss is the mean squared difference to the layer that is named, live and out of a cache. */
static double loss_by_hand(model *m, int loss)
{
    const layer *l = &m->net->layers[m->low->loss[loss].layer];
    const float *t = teacher_feature(m->teacher[0], m->low->loss[loss].taught);
    double sum = 0;
    for (int i = 0; i < l->outputs * l->batch; ++i) sum += pow((double)l->output[i] - t[i], 2);
    return sum / (l->outputs * l->batch);
}

static void test_learns(void **state)
{
    (void)state;
    model *m = open_student(FITNET, LOWER_TRAIN);
    float *x = mem_calloc((size_t)(m->net->inputs * 4), sizeof *x);
    double first[2], last[2];   /* of the regressor, of [kd], which the labels pull elsewhere */
    fill_input(m, x);
    for (int i = 0; i < 150; ++i) {
        model_train_step(m, x, (int[]){ 0, 1, 2, -1 }, NULL);
        for (int k = 0; k < 2; ++k) last[k] = cost_of(m, k);
        assert_true(isfinite(last[1]));
        if (!i) memcpy(first, last, sizeof first);
        if (!i) check_close(cost_of(m, 0), loss_by_hand(m, 0), 1e-5, "loss", 0);
        network_update(m->net, m->low->trained);
    }
    if (!(last[0] < .5 * first[0])) fail_msg("it was %g and is %g", first[0], last[0]);
    assert_false(model_learns_features(m, 0));
    free(x);
    model_close(m);
}

/* A cache holds the layers that losses name as well. */
static void test_cached(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER FITNET_ENCODER FITNET_BRANCH CONV(6, 3, 1) HEAD "[softmax]\n";
    model *m = open_student(student, LOWER_TRAIN);
    diag *d = diag_new();
    uint64_t views, image[] = { 0, 1, 2, 3 }, view[] = { 0, 0, 0, 0 };
    float *x = mem_calloc((size_t)(m->net->inputs * 4), sizeof *x);
    fill_input(m, x);
    unlink("x.feat");
    assert_int_equal(model_open_cache(m, &(model_cache){ .path = "x.feat", .type = "f32", .views = 1, .images = 4 }, &views, d), 0);
    for (int step = 0; step < 2; ++step) {
        assert_int_equal(model_teach(m, x, image, view, d), 0);
        model_train_step(m, x, (int[]){ 0, 1, 2, 3 }, NULL);
        check_close(cost_of(m, 0), loss_by_hand(m, 0), 1e-5, "cached loss", (size_t)step);
    }
    check_no_errors(d);
    assert_true(model_features_counts(m).computed == 4 && model_features_counts(m).read == 4);
    diag_free(d);
    free(x);
    model_close(m);
}

/* Gradients of the encoder's first layer after one step; the caller frees. */
static float *first_gradients(const char *student, size_t *n)
{
    model *m = open_student(student, LOWER_TRAIN);
    float *x = mem_calloc((size_t)(m->net->inputs * 4), sizeof *x);
    fill_input(m, x);
    model_train_step(m, x, (int[]){ 0, 1, 2, 3 }, NULL);
    *n = (size_t)m->net->layers[0].nweights;
    float *gradients = mem_calloc(*n, sizeof *gradients);
    memcpy(gradients, m->net->layers[0].weight_updates, *n * sizeof *gradients);
    free(x);
    model_close(m);
    return gradients;
}

/* An output of the student's own that nothing trains leaves the encoder alone. */
static void test_own_output_beside_a_triple_is_silent(void **state)
{
    (void)state;
#define SAME "[activation]\nactivation=linear\n"
    static const char *const own[] = { "[softmax]\n" SAME, "[softmax]\n[cost]\n", SAME "[cost]\n" };
    size_t n, m;
    float *want = first_gradients(NET TEACHER CONV(4, 3, 2) HEAD SAME SAME BACK(0) TRIPLE, &n);
    for (int i = 0; i < 3; ++i) {
        char *student = mem_printf(NET TEACHER CONV(4, 3, 2) HEAD "%s" BACK(0) TRIPLE, own[i]);
        float *got = first_gradients(student, &m);
        assert_int_equal(n, m);
        for (size_t k = 0; k < n; ++k) check_close(got[k], want[k], 1e-6, own[i], k);
        free(got);
        free(student);
    }
    free(want);
}

/* ---- resuming ---- */

static void step(model *m)
{
    float *x = mem_calloc((size_t)(m->net->inputs * 4), sizeof *x);
    fill_input(m, x);
    model_train_step(m, x, (int[]){ 0, 1, 2, 3 }, NULL);
    network_update(m->net, m->low->trained);
    free(x);
}

static void check_same_layers(const network *a, const network *b);

/* What [variational] learns is trained, saved and resumed as any layer's weights, with its momentum. */
static void test_resumes(void **state)
{
    (void)state;
    static const char student[] = NET TEACHER CONV(6, 3, 1) "[attention_transfer]\nteacher_layer=0\n[similarity]\nteacher_layer=2\n"
                                  "[variational]\nteacher_layer=0\n" HEAD "[logits_l2]\n[softmax]\n";
    model *whole = open_student(student, LOWER_TRAIN), *resumed = open_student(student, LOWER_TRAIN);
    diag *d = diag_new();
    const layer *l = &whole->net->layers[3];
    for (int i = 0; i < 2; ++i) step(whole);
    for (int i = 0; i < l->n; ++i) assert_true(l->biases[i] != 0);
    FILE *file = fopen("half.state", "wb");
    assert_int_equal(run_state_write(file, whole->net, whole->low->trained, 1, &(run_progress){ .seen = 8 }, NULL, "", (run_images[RUN_SETS]){ 0 }), 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(weights_save(whole->net, "half.weights", d), 0);
    run_state *half = run_state_read("half.state", d);
    check_no_errors(d);
    assert_int_equal(model_load_whole(resumed, "half.weights", d), 0);
    assert_int_equal(run_state_apply(half, resumed->net, resumed->low->trained, "half.state", d), 0);
    check_no_errors(d);
    step(whole);
    step(resumed);
    check_same_layers(whole->net, resumed->net);
    run_state_free(half);
    model_close(whole);
    model_close(resumed);
    diag_free(d);
}

/* ---- deploying ---- */

static void check_same_layers(const network *a, const network *b)
{
    weights_tensor s[WEIGHTS_MAX_TENSORS], t[WEIGHTS_MAX_TENSORS];
    assert_int_equal(a->n, b->n);
    for (int i = 0; i < a->n; ++i) {
        int n = weights_tensors(&a->layers[i], s);
        assert_int_equal(n, weights_tensors(&b->layers[i], t));
        for (int k = 0; k < n; ++k) assert_memory_equal(s[k].data, t[k].data, s[k].n * sizeof(float));
    }
}

/* The answer of a model to one image, whatever its batch. */
static void answer(model *m, float *out)
{
    float *x = mem_calloc((size_t)(m->net->inputs * m->net->batch), sizeof *x);
    check_fill(x, (size_t)m->net->inputs, 20);
    memcpy(out, model_predict(m, x), 5 * sizeof *out);
    free(x);
}

static void test_weights_are_cut(void **state)
{
    (void)state;
    model *m = check_model("fit", FITNET, 40);
    diag *d = diag_new();
    float want[5], got[5];
    deployed *out = deploy_open(m, "fit.cfg", d);
    check_no_errors(d);
    assert_non_null(out);
    assert_int_equal(weights_save(out->net, "cut.weights", d), 0);
    model *deployed = model_open("fit.cfg", &(model_options){ .backend = BACKEND_REFERENCE, .mode = LOWER_DEPLOY }, d);
    answer(m, want);
    static const char *const file[] = { "fit.weights", "cut.weights" };   /* the training run's, and the deployed one */
    for (int i = 0; i < 2; ++i) {
        weights_info info;
        assert_int_equal(model_load(deployed, file[i], &info, d), 0);
        check_no_errors(d);
        assert_int_equal(info.trained, !i);
        assert_int_equal(info.layers, deployed->net->n);
        check_same_layers(deployed->net, out->net);
        answer(deployed, got);
        for (int k = 0; k < 5; ++k) check_close(got[k], want[k], 1e-5, file[i], (size_t)k);
    }
    weights_view *view = weights_view_open("fit.cfg", d);
    weights_contents contents;
    assert_int_equal(weights_read("fit.weights", view->low->shape, &contents, d), WEIGHTS_FIT);
    assert_int_equal(contents.info.floats, view->low->shape->stored);
    weights_drop(&contents);
    /* one float short: both sizes are named */
    assert_int_equal(truncate("fit.weights", (off_t)(16 + 4 * (m->low->shape->stored - 1))), 0);
    assert_int_equal(weights_load(deployed->net, deployed->low->shape, "fit.weights", NULL, d), -1);
    assert_non_null(strstr(diag_get(d, 0)->text, "of a training run"));
    weights_view_close(view);
    deploy_close(out);
    model_close(deployed);
    model_close(m);
    diag_free(d);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    check_write_network("t", teacher_cfg, 500);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_regressor_on_a_branch), cmocka_unit_test(test_branches_vanish), cmocka_unit_test(test_beside_triples), cmocka_unit_test(test_from_labels),
        cmocka_unit_test(test_refusals), cmocka_unit_test(test_larger_map_is_pooled), cmocka_unit_test(test_learns), cmocka_unit_test(test_cached),
        cmocka_unit_test(test_own_output_beside_a_triple_is_silent), cmocka_unit_test(test_weights_are_cut), cmocka_unit_test(test_resumes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
