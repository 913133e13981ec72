/* What goes through a detector's frozen head, in whole networks of two heads: [kd], labels= and deploy=0 boxes, [feature_l2]
 * weight=teacher. The gradient that reaches the encoder against central differences; labels' against the network that is
 * trained from labels; the tail stays the teacher's to the bit; live and cached targets give the same weights; images
 * without labels; scale=auto; what is lowered, deployed and refused. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/data/boxes.h"
#include "darknet_plugin/model/model_internal.h"
#include "layers/reused_classifier.h"

#include <unistd.h>

enum { B = 4, INPUTS = 3 * 32 * 32, TRUTHS = 90 * 5 };

#define NET "[net]\nbatch=4\nsubdivisions=1\nwidth=32\nheight=32\nchannels=3\nlearning_rate=.01\nmomentum=.9\ndecay=.01\nmax_batches=10\n"
#define CONV(filters, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=elu\n"
#define POINT(filters) "[convolutional]\nfilters=" #filters "\nsize=1\nstride=1\npad=0\nactivation=linear\n"
#define YOLO(mask) "[yolo]\nmask=" mask "\nanchors=4,4, 8,8, 12,12, 16,16\nclasses=2\nnum=4\n"
#define TEACHER "[teacher]\ncfg=t.cfg\nweights=t.weights\n"
#define TRIPLE(l2, tail) "[projector]\nstack=1x1\n[feature_l2]\n" l2 "[reused_classifier]\n" tail
#define BETWEEN "[route]\nlayers=1\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n" CONV(6, 1)

static const char two_heads[] = NET CONV(8, 4) CONV(12, 2) POINT(14) YOLO("2,3") "[route]\nlayers=1\n[upsample]\nstride=2\n[route]\nlayers=-1,0\n"
    CONV(10, 1) POINT(14) YOLO("0,1");
/* Layers 0 and 1, the first triple 2 to 4 (and [kd] 5), ... */
#define STUDENT(l2, tail) NET TEACHER CONV(4, 4) CONV(6, 2) TRIPLE(l2, tail) BETWEEN TRIPLE(l2, tail)

static model *open_as(const char *text, lower_mode mode, cpu_backend backend)
{
    diag *d = diag_new();
    check_write("student.cfg", text, strlen(text));
    model *m = model_open("student.cfg", &(model_options){ .backend = backend, .seed = 3, .mode = mode }, d);
    if (!m) diag_print(d, stderr);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

static model *open_text(const char *text, cpu_backend backend) { return open_as(text, LOWER_TRAIN, backend); }

static float *images(uint64_t stream)
{
    float *x = mem_calloc(B * INPUTS, sizeof *x);
    check_fill(x, B * INPUTS, stream);
    return x;
}

/* Three objects in each image but the last, which has none. */
static float *boxes(void)
{
    float *truth = mem_calloc(B * TRUTHS, sizeof *truth);
    for (int b = 0; b < B - 1; ++b)
        for (int i = 0; i < 3; ++i) {
            float box[5] = { .2f + .25f * (float)i, .3f + .1f * (float)b, .1f + .1f * (float)i, .2f, (float)(i % 2) };
            memcpy(truth + b * TRUTHS + 5 * i, box, sizeof box);
        }
    return truth;
}

static void tails_are_the_teachers(const model *m)
{
    for (int i = 0; i < m->low->heads; ++i) {
        const lower_head *h = &m->low->head[i];
        assert_int_equal(compare_reused_classifier(m->net, h->tail, h->tails, m->teacher[0]->net, h->tail_of), 0);
    }
}

/* ---- the gradient, through whole networks ---- */

static double total(model *m, const float *x) { return model_train_step(m, x, NULL, NULL) * B; }

/* The loss's by a number, from two steps of e. */
static double slope(model *m, const float *x, float *number, float e)
{
    const float keep = *number;
    *number = keep + e;
    double up = total(m, x);
    *number = keep - e;
    double down = total(m, x);
    *number = keep;
    return (up - down) / (2 * e);
}

/* Deltas of the first layer against differences of the loss by its biases: batch norm's, behind it, so that they count. */
static void check_gradient(const char *student, cpu_backend backend)
{
    model *m = open_text(student, backend);
    float *x = images(20), gradient[4];
    layer *first = &m->net->layers[0];
    check_make_up_facts(m);
    memset(first->bias_updates, 0, sizeof gradient);
    total(m, x);
    memcpy(gradient, first->bias_updates, sizeof gradient);
    double largest = 0;
    for (int i = 0; i < 4; ++i) largest = fmax(largest, fabs(gradient[i]));
    assert_true(largest > 1e-3);
    for (size_t i = 0; i < 4; ++i) {
        const float e = 1.f / 64;
        double near = slope(m, x, &first->biases[i], e), far = slope(m, x, &first->biases[i], 2 * e);
        check_close(gradient[i] / largest, -(4 * near - far) / 3 / largest, 2e-3, student, i);   /* Richardson: without e^2 */
    }
    for (int i = 0; i < 3; ++i) network_update(m->net, m->low->trained);
    tails_are_the_teachers(m);
    free(x);
    model_close(m);
}

static void test_gradient(void **state)
{
    (void)state;
    static const cpu_backend backend[] = { BACKEND_REFERENCE, BACKEND_DNNL };
    for (int k = 0; k < 2; ++k) {
        check_gradient(STUDENT("scale=0\n", "[kd]\n"), backend[k]);
        check_gradient(STUDENT("scale=3\n", "[kd]\nscale=.5\nfocal=2\n"), backend[k]);   /* 1 has an edge where both agree */
        check_gradient(STUDENT("scale=10\nweight=teacher\nfloor=.2\n", ""), backend[k]);
        check_gradient(STUDENT("weight=teacher\nnormalise=channel\n", ""), backend[k]);
        check_gradient(STUDENT("weight=teacher\nmetric=head\n", "[kd]\n"), backend[k]);
        check_gradient(STUDENT("weight=teacher\nmetric=head\nnormalise=channel\nscale=4\n", ""), backend[k]);
        check_gradient(STUDENT("metric=head\nnormalise=channel\n", ""), backend[k]);
    }
}

/* A [region], whose classes exclude each other. */
#define ONE_OF(cfg, l2, tail) NET "[teacher]\ncfg=" cfg ".cfg\nweights=" cfg ".weights\ntap=1\n" CONV(4, 4) CONV(6, 2) TRIPLE(l2, tail)
static void test_region(void **state)
{
    (void)state;
    check_write_network("r", NET CONV(8, 4) CONV(12, 2) POINT(14) "[region]\nnum=2\nclasses=2\nsoftmax=1\nanchors=1,1, 2,2\n", 600);
    check_gradient(ONE_OF("r", "scale=0\n", "[kd]\n"), BACKEND_DNNL);
    check_gradient(ONE_OF("r", "weight=teacher\n", "[kd]\nfocal=2\n"), BACKEND_REFERENCE);
    model *m = open_text(ONE_OF("r", "", "labels=1\n[kd]\n"), BACKEND_DNNL);
    float *x = images(20), *truth = boxes();
    double with = model_train_step(m, x, NULL, truth);
    network_update(m->net, m->low->trained);
    assert_true(isfinite(with) && isfinite(model_train_step(m, x, NULL, truth)));
    assert_true(*m->net->layers[m->low->out[0]].cost > 0);
    tails_are_the_teachers(m);
    free(x);
    free(truth);
    model_close(m);
}

/* ---- labels ---- */

/* Gradients of the first layer's weights; 4 * 3 * 9 of them. */
enum { FIRST = 4 * 3 * 9 };
static void gradient_of(model *m, const float *x, const float *truth, float *gradient)
{
    layer *first = &m->net->layers[0];
    memset(first->weight_updates, 0, FIRST * sizeof *gradient);
    model_train_step(m, x, NULL, truth);
    memcpy(gradient, first->weight_updates, FIRST * sizeof *gradient);
}

static double largest_of(const float *x)
{
    double most = 0;
    for (int i = 0; i < FIRST; ++i) most = fmax(most, fabs(x[i]));
    return most;
}

/* What the same network's encoder gets where all of it is trained from labels, times W; no step moves the tail. */
static void test_labels(void **state)
{
    (void)state;
    static const cpu_backend backend[] = { BACKEND_REFERENCE, BACKEND_DNNL };
    float *x = images(20), *truth = boxes(), want[FIRST], got[FIRST];
    for (int k = 0; k < 2; ++k) {
        model *m = open_text(STUDENT("scale=0\n", "labels=.25\n"), backend[k]);
        assert_true(m->low->labels);
        model *plain = open_as(STUDENT("scale=0\n", "labels=.25\n"), LOWER_LABELS, backend[k]);
        diag *d = diag_new();
        assert_int_equal(weights_save(m->net, "m.weights", d), 0);
        assert_int_equal(model_load_whole(plain, "m.weights", d), 0);
        check_no_errors(d);
        diag_free(d);
        gradient_of(m, x, truth, got);
        gradient_of(plain, x, truth, want);
        double most = largest_of(want);
        assert_true(most > 1e-3);
        for (int i = 0; i < FIRST; ++i) check_close(got[i] / most, .25 * want[i] / most, 2e-5, "gradient", (size_t)i);
        for (int i = 0; i < 3; ++i) {
            network_update(m->net, m->low->trained);
            model_train_step(m, x, NULL, truth);
        }
        tails_are_the_teachers(m);
        model_close(m);
        model_close(plain);
    }
    free(x);
    free(truth);
}

/* With an image whose truth says that nobody has looked: it weighs nothing, and the others as if they were the batch. */
static void test_unlabelled(void **state)
{
    (void)state;
    float *x = images(20), *truth = boxes(), all[FIRST], some[FIRST], none[FIRST];
    model *m = open_text(STUDENT("scale=0\n", "labels=1\n"), BACKEND_REFERENCE);
    int out = m->low->out[1];
    const layer *l = &m->net->layers[out], *below = &m->net->layers[out - 1];
    size_t n = (size_t)l->outputs;
    gradient_of(m, x, truth, all);
    float *delta = mem_calloc(B * n, sizeof *delta);
    memcpy(delta, below->delta, B * n * sizeof *delta);
    truth[1 * TRUTHS] = truth[3 * TRUTHS] = BOXES_UNLABELLED;
    gradient_of(m, x, truth, some);
    for (size_t i = 0; i < B * n; ++i) check_close(below->delta[i], i / n % 2 ? 0 : 2 * delta[i], 1e-6, "delta", i);
    assert_true(largest_of(some) > 0);
    for (int b = 0; b < B; ++b) truth[b * TRUTHS] = BOXES_UNLABELLED;
    m->net->layers[0].weight_updates[0] = 1;
    memset(none, 0, sizeof none);
    assert_true(model_train_step(m, x, NULL, truth) == 0);
    gradient_of(m, x, truth, none);
    assert_true(largest_of(none) == 0);
    free(delta);
    free(x);
    free(truth);
    model_close(m);
}

/* A head of the student's own: what it learns reaches the trunk, it is deployed nowhere. */
#define OWN(keys) "[route]\nlayers=1\n" POINT(14) YOLO("2,3") keys
#define WITH_OWN NET TEACHER CONV(4, 4) CONV(6, 2) OWN("deploy=0\n") "[route]\nlayers=1\n" TRIPLE("", "[kd]\n") "[route]\nlayers=1\n[upsample]\nstride=2\n" \
    "[route]\nlayers=-1,0\n" CONV(6, 1) TRIPLE("", "[kd]\n")

static void test_own_head(void **state)
{
    (void)state;
    float *x = images(20), *truth = boxes(), with[FIRST], without[FIRST];
    model *m = open_text(WITH_OWN, BACKEND_DNNL);
    assert_true(m->low->labels && m->low->outs == 2 && m->low->role[4] == ROLE_LABELS);
    assert_null(cfg_find(cfg_layer(m->low->cfg, 4), "deploy"));
    gradient_of(m, x, truth, with);
    for (int b = 0; b < B; ++b) truth[b * TRUTHS] = BOXES_UNLABELLED;
    gradient_of(m, x, truth, without);
    int differ = 0;
    for (int i = 0; i < FIRST; ++i) differ += with[i] != without[i];
    assert_true(differ > FIRST / 2);
    model_close(m);
    lowered *deployed = check_lowered(WITH_OWN, LOWER_DEPLOY), *plain = check_lowered(STUDENT("", ""), LOWER_DEPLOY);
    char *a = cfg_text(deployed->cfg, NULL), *b = cfg_text(plain->cfg, NULL);
    assert_string_equal(a, b);
    assert_true(deployed->shape->layer[2].trained_before == 6 * 14 + 14);
    free(a);
    free(b);
    lower_free(deployed);
    lower_free(plain);
    lowered *labels = check_lowered(WITH_OWN, LOWER_LABELS);
    assert_int_equal(labels->outs, 2);
    lower_free(labels);
    free(x);
    free(truth);
}

/* ---- caches ---- */

static void test_cached(void **state)
{
    (void)state;
    static const char student[] = STUDENT("weight=teacher\n", "labels=1\n[kd]\n");
    static const cpu_backend backend[] = { BACKEND_REFERENCE, BACKEND_DNNL };
    uint64_t views, image[B] = { 0, 1, 2, 3 }, view[B] = { 0 };
    for (int k = 0; k < 2; ++k) {
        model *live = open_text(student, backend[k]), *cached = open_text(student, backend[k]);
        diag *d = diag_new();
        float *x = images(20), *truth = boxes();
        unlink("x.feat");
        assert_int_equal(model_open_cache(cached, &(model_cache){ .path = "x.feat", .type = "f32", .views = 1, .images = B }, &views, d), 0);
        for (int i = 0; i < 3; ++i) {
            assert_int_equal(model_teach(cached, x, image, view, d), 0);
            double a = model_train_step(live, x, NULL, truth), b = model_train_step(cached, x, NULL, truth);
            assert_true(a == b);
            network_update(live->net, live->low->trained);
            network_update(cached->net, cached->low->trained);
        }
        assert_int_equal((int)model_features_counts(cached).computed, B);
        assert_int_equal((int)model_features_counts(cached).read, 2 * B);
        check_no_errors(d);
        for (int i = 0; i < live->net->n; ++i)
            if (live->net->layers[i].weights)
                assert_memory_equal(live->net->layers[i].weights, cached->net->layers[i].weights,
                                    (size_t)live->net->layers[i].nweights * sizeof(float));
        diag_free(d);
        free(x);
        free(truth);
        model_close(live);
        model_close(cached);
    }
}

/* ---- scale=auto ---- */

/* The root of the mean square of what head k's losses send to its projector's output. */
static double sent(const char *student, int k, int l2)
{
    model *m = open_text(student, BACKEND_REFERENCE);
    float *x = images(20);
    double sum = 0;
    model_train_step(m, x, NULL, NULL);
    const layer *l = &m->net->layers[m->low->head[k].loss - 1];
    /* [feature_l2]'s own, or what came through the tail: */
    const layer *above = &m->net->layers[m->low->head[k].loss];
    const float *target = teacher_feature(m->teacher[0], m->low->head[k].tap);
    for (int i = 0; i < B * l->outputs; ++i)
        sum += pow(l2 ? 2. / l->outputs * (above->output[i] - (double)target[i]) : above->delta[i], 2);
    double found = sqrt(sum / (B * l->outputs));
    free(x);
    model_close(m);
    return found;
}

/* The loss of [kd] at scale 1, whether it is there or not, and whatever labels do. */
static void test_auto(void **state)
{
    (void)state;
    static const char *const students[] = { STUDENT("scale=auto\n", ""), STUDENT("scale=auto\n", "labels=3\n[kd]\nscale=7\n"),
                                            STUDENT("scale=auto\n", "labels=1\n[kd]\nscale=auto\n") };
    for (int s = 0; s < 3; ++s) {
        model *m = open_text(students[s], BACKEND_REFERENCE);
        float *x = images(20);
        double sum[4] = { 0 };
        assert_int_equal(m->low->losses, 4);
        assert_true(model_has_auto_scales(m));
        model_measure_losses(m, x, sum);
        FILE *out = tmpfile();
        model_set_auto_scales(m, sum, out);
        fclose(out);
        for (int k = 0; k < 2; ++k) {
            double want = sent(STUDENT("scale=0\n", "[kd]\n"), k, 0) / sent(STUDENT("", "[kd]\nscale=0\n"), k, 1);
            const lowered *low = m->low;
            const taught_loss *l2 = &low->loss[2 * k], *kd = &low->loss[2 * k + 1];
            check_close(*l2->type->scale(&m->net->layers[l2->layer]) / want, 1, 1e-4, "feature_l2", (size_t)k);
            assert_true(*kd->type->scale(&m->net->layers[kd->layer]) == (s == 0 ? 0 : s == 1 ? 7 : 1));
        }
        if (s == 0) assert_true(m->low->trained <= m->low->head[1].tail);   /* what only measures does not run */
        free(x);
        model_close(m);
    }
}

/* ---- lowering ---- */

static void test_lowering(void **state)
{
    (void)state;
    lowered *l = check_lowered(STUDENT("", "labels=2\n[kd]\n"), LOWER_TRAIN);
    /* 0 1 encoder, 2 projector, 3 feature_l2, 4 head, 5 kd, 6 yolo, 7 8 9 10, 11 projector, 12 feature_l2, 13, 14 kd, 15 yolo */
    assert_int_equal(l->losses, 4);
    assert_true(l->loss[1].type == section_type_on_boxes("kd") && l->loss[1].layer == 5 && l->loss[1].taught == 1 && l->loss[1].head == 0);
    assert_true(l->loss[3].layer == 14 && l->loss[3].taught == 7 && l->loss[3].head == 1);
    assert_memory_equal(l->head[0].tail_of, ((int[]){ 2, -1, 3 }), 3 * sizeof(int));
    assert_true(l->head[0].labels == 2 && l->head[0].scores == 4 && l->labels && l->trained == 16);
    assert_int_equal(l->teacher->cut, 8);           /* the teacher stops at its taps */
    lower_free(l);
    l = check_lowered(STUDENT("", "[kd]\n"), LOWER_TRAIN);
    assert_true(!l->labels && l->trained == 15 && l->head[1].labels == 0);
    lower_free(l);
    l = check_lowered(STUDENT("", "labels=1\n"), LOWER_TRAIN);
    assert_true(l->labels && l->trained == 14 && l->head[1].scores == 12 && l->losses == 2);
    lower_free(l);
    static const lower_mode mode[] = { LOWER_DEPLOY, LOWER_LABELS };
    for (int i = 0; i < 2; ++i) {
        lowered *a = check_lowered(STUDENT("weight=teacher\nscale=auto\n", "labels=2\n[kd]\n"), mode[i]), *b = check_lowered(STUDENT("", ""), mode[i]);
        char *x = cfg_text(a->cfg, NULL), *y = cfg_text(b->cfg, NULL);
        assert_string_equal(x, y);
        free(x);
        free(y);
        lower_free(a);
        lower_free(b);
    }
}

static void test_refusals(void **state)
{
    (void)state;
#define ONE(l2, tail) ONE_OF("t", l2, tail)
    check_not_lowered(ONE("", "[kd]\ntemperature=4\n"), LOWER_TRAIN, "34: [kd] temperature= is for class scores, and this one stands behind a detector's head");
    check_not_lowered(ONE("", "[kd]\nfocal=.5\n"), LOWER_TRAIN, "34: [kd] 'focal' is 0.5, expected 0 or at least 1");
    check_not_lowered(ONE("", "[kd]\nfocal=9\n"), LOWER_TRAIN, "34: [kd] 'focal' is 9, expected 0 to 5");
    check_not_lowered(ONE("", "layers=2\n[kd]\n"), LOWER_TRAIN, "34: [kd] no detector's head is reused behind the tap");
    check_not_lowered(ONE("", "layers=2\nlabels=1\n"), LOWER_TRAIN, "33: [reused_classifier] labels= needs the detector's own [yolo] or [region], which layers= leaves out");
    check_not_lowered(ONE("scale=auto\n", "layers=2\n"), LOWER_TRAIN, "34: [reused_classifier] scale=auto needs the detector's own [yolo] or [region], which layers= leaves out");
    check_not_lowered(ONE("floor=.5\n", ""), LOWER_TRAIN, "32: [feature_l2] floor= is the least that a place weighs with weight=teacher, which is not there");
    check_not_lowered(ONE("weight=teacher\npooled=1\n", ""), LOWER_TRAIN, "32: [feature_l2] weight=teacher weighs places, and means over all of them are compared");
    check_not_lowered(ONE("weight=teacher\n", "layers=2\n"), LOWER_TRAIN, "32: [feature_l2] weight=teacher: no detector's head is reused behind the tap");
    /* other kinds of teachers */
#define LOSS NET "[teacher]\ncfg=o.cfg\nweights=o.weights\ntap=1\nfit=letterbox\n" CONV(4, 4) CONV(6, 2)
#define ANCHORS "mask=2,3\nanchors=4,4, 8,8, 12,12, 16,16\nclasses=2\nnum=4\n"
    check_write_network("o", NET CONV(8, 4) CONV(12, 2) "[convolutional]\nfilters=14\nsize=1\nactivation=logistic\n[yolo]\nnew_coords=1\n" ANCHORS, 1);
    check_not_lowered(LOSS TRIPLE("", "[kd]\n"), LOWER_TRAIN, "34: [kd] [yolo] (o.cfg:29), which is reused behind the tap, has new_coords=1, whose numbers no loss here compares");
    check_not_lowered(LOSS TRIPLE("weight=teacher\n", ""), LOWER_TRAIN,
                      "33: [feature_l2] weight=teacher: [yolo] (o.cfg:29), which is reused behind the tap, has new_coords=1, whose numbers no loss here compares");
    check_write_network("o", NET CONV(8, 4) CONV(12, 2) "[convolutional]\nfilters=14\nsize=3\npad=1\nactivation=linear\n[yolo]\n" ANCHORS, 1);
    check_not_lowered(LOSS TRIPLE("", "[kd]\n"), LOWER_TRAIN, "34: [kd] [convolutional] (o.cfg:25), which is reused behind the tap, is no linear 1x1 [convolutional]");
    check_write_network("o", NET CONV(8, 4) CONV(12, 2) POINT(12) POINT(14) "[yolo]\n" ANCHORS, 1);
    check_not_lowered(LOSS TRIPLE("", "[kd]\n"), LOWER_TRAIN, "34: [kd] [convolutional] (o.cfg:31), which is reused behind the tap, does not end a detector");
    check_write_network("o", NET CONV(8, 4) CONV(12, 2) "[avgpool]\n" POINT(5) "[softmax]\n", 1);
#undef LOSS
#define LOSS NET "[teacher]\ncfg=o.cfg\nweights=o.weights\ntap=1\n" CONV(4, 4) CONV(6, 2)
    check_not_lowered(LOSS TRIPLE("", "[kd]\nfocal=1\n"), LOWER_TRAIN, "34: [kd] focal= is for a detector's objectness, and this one stands on class scores");
    check_not_lowered(LOSS TRIPLE("weight=teacher\n", ""), LOWER_TRAIN,
                      "32: [feature_l2] weight=teacher: [avgpool] (o.cfg:25), which is reused behind the tap, is no linear 1x1 [convolutional]");
    /* a detector's class scores are no class scores, and nothing answers in the place of the student's own boxes */
    check_not_lowered(ONE("", "[logits_l2]\n"), LOWER_TRAIN, "33: [logits_l2] t.cfg does not end on [softmax]: it gives no class scores to learn from");
    check_not_lowered(NET CONV(4, 4) CONV(6, 2) POINT(14) YOLO("2,3") "deploy=0\n", LOWER_TRAIN,
                      "36: [yolo] deploy=0: no [reused_classifier] answers in its place");
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    check_write_network("t", two_heads, 500);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradient), cmocka_unit_test(test_region), cmocka_unit_test(test_labels), cmocka_unit_test(test_unlabelled),
        cmocka_unit_test(test_own_head), cmocka_unit_test(test_cached), cmocka_unit_test(test_auto),
        cmocka_unit_test(test_lowering), cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
