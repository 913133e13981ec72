/* [teachers] combine=: the combined classifier gives the weighted mean of the teachers' class scores, in the training and in the
 * deployed network, in Darknet's library and in OpenCV; the same teacher twice answers as that teacher; a training run's file is the
 * deployed one; combine=NAME leaves one answer; what cannot be combined is refused. */
#include "layers/feature_l2_internal.h"
#include "layers/kd.h"
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/model/model_internal.h"

#include "darknet_plugin/deploying/verify.h"
#include "darknet_plugin/model/evaluate_detect.h"

#include <unistd.h>

#define NET "[net]\nbatch=2\nsubdivisions=1\nheight=8\nwidth=8\nchannels=3\nlearning_rate=.02\nmomentum=.9\npolicy=constant\nmax_batches=10\n"
#define CONV(filters, stride) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=relu\n"
#define POINT(filters) "[convolutional]\nfilters=" #filters "\nsize=1\nstride=1\npad=1\nactivation=linear\n"
#define TEACHER(name) "[teacher]\nname=" #name "\ncfg=" #name ".cfg\nweights=" #name ".weights\n"
#define TRIPLE(name) "[projector]\nteacher=" #name "\n[feature_l2]\n[reused_classifier]\n"
#define ENCODER CONV(4, 2)                 /* 4x4x4 */
#define BACK "[route]\nlayers=0\n"
#define STUDENT(how) NET TEACHER(mean) TEACHER(late) "[teachers]\n" how ENCODER TRIPLE(late) BACK TRIPLE(mean)
#define LOGITS "combine=logits\n"
#define WEIGHTED LOGITS "weights=.7,.3\n"

enum { CLASSES = 5, FLOATS = 3 * 8 * 8 };

/* averages, then classifies; the other way round; an [avgpool] and a [connected] with batch norm; a map of another size */
static const char mean_cfg[] = NET CONV(6, 2) CONV(10, 1) "[avgpool]\n" POINT(5) "[softmax]\n[cost]\n";
static const char late_cfg[] = NET CONV(6, 2) CONV(7, 1) POINT(5) "[avgpool]\n[softmax]\n";
static const char connected_cfg[] = NET CONV(6, 2) CONV(8, 2) "[avgpool]\n[dropout]\nprobability=.3\n[connected]\noutput=5\n"
                                    "batch_normalize=1\nactivation=linear\n[softmax]\n";
static const char more_cfg[] = NET CONV(6, 2) "[avgpool]\n" POINT(7) "[softmax]\n";
static const char deep_cfg[] = NET CONV(6, 2) "[avgpool]\n[convolutional]\nfilters=9\nsize=1\nactivation=relu\n" POINT(5) "[softmax]\n";
static const char whole_cfg[] = NET CONV(6, 2) "[connected]\noutput=5\nactivation=linear\n[softmax]\n";
static const char three[] = NET TEACHER(mean) TEACHER(late) TEACHER(connected) "[teachers]\ncombine=logits\nweights=1,2,5\n"
                            CONV(4, 1) "[projector]\nteacher=connected\n[feature_l2]\n[reused_classifier]\nlabels=1\n[kd]\n" BACK
                            TRIPLE(late) BACK TRIPLE(mean);

static model *open_as(const char *cfg, lower_mode mode)
{
    diag *d = diag_new();
    model *m = model_open(cfg, &(model_options){ .backend = BACKEND_REFERENCE, .seed = 3, .mode = mode }, d);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

/* The answer to the first image of the batch, as probabilities. */
static void answer(model *m, float *out)
{
    float *x = mem_calloc((size_t)(m->net->inputs * m->net->batch), sizeof *x);
    check_fill(x, (size_t)m->net->inputs, 20);
    memcpy(out, model_predict(m, x), CLASSES * sizeof *out);
    free(x);
}

/* After it: what a head's own [softmax] reads. */
static const float *own_scores(const model *m, const lower_head *head)
{
    return m->net->layers[head->tail + head->tails - 2].output;
}

/* The combined class scores beside the weighted mean of what each classifier of the training network gives. */
static void check_mean(const char *name, const char *cfg, const double *weight, int n)
{
    model *m = check_model(name, cfg, 60);
    float out[CLASSES], got[CLASSES];
    answer(m, out);
    const combining *combine = &m->low->combine;
    assert_true(combine->kind == COMBINE_LOGITS && combine->heads == n);
    for (int o = 0; o < CLASSES; ++o) {
        double want = 0;
        for (int k = 0; k < n; ++k) want += weight[k] * own_scores(m, &m->low->head[combine->head[k]])[o];
        check_close(m->net->layers[combine->layer].output[o], want, 1e-5, name, (size_t)o);
    }
    diag *d = diag_new();
    char *file = mem_printf("%s.cfg", name), *weights = mem_printf("%s.weights", name);
    model *deployed = open_as(file, LOWER_DEPLOY);
    assert_int_equal(model_load_whole(deployed, weights, d), 0);
    check_no_errors(d);
    answer(deployed, got);
    check_close_n(got, out, CLASSES, 1e-5, "deployed");
    model_close(deployed);
    model_close(m);
    diag_free(d);
    free(file);
    free(weights);
}

static void test_is_the_mean(void **state)
{
    (void)state;
    check_mean("two", STUDENT(LOGITS), (double[]){ .5, .5 }, 2);
    check_mean("weighted", STUDENT(WEIGHTED), (double[]){ .7, .3 }, 2);
    check_mean("three", three, (double[]){ .125, .25, .625 }, 3);
}

/* ---- the deployed network ---- */

static void test_deploys(void **state)
{
    (void)state;
    lowered *l = check_lowered(STUDENT(LOGITS), LOWER_DEPLOY);
    static const char *const want[] = { "convolutional", "convolutional", "convolutional", "convolutional", "route",
                                        "convolutional", "convolutional", "convolutional", "avgpool", "route", "avgpool", "route",
                                        "convolutional", "softmax" };
    assert_int_equal(l->shape->n, sizeof want / sizeof *want);
    for (int i = 0; i < l->shape->n; ++i) assert_string_equal(cfg_layer(l->cfg, i)->name, want[i]);
    assert_string_equal(cfg_str(cfg_layer(l->cfg, 11), "layers", ""), "8,10");   /* in the order of [teacher] */
    assert_int_equal(l->shape->layer[12].stored, 5 * 17 + 5);
    assert_int_equal(l->combine.layer, 12);
    assert_true(l->shape->trained_before == 0 && l->shape->trained_behind == 0);
    lower_free(l);
}

static void test_training_file_is_deployed(void **state)
{
    (void)state;
    diag *d = diag_new();
    model *m = check_model("file", three, 70);
    deployed *out = deploy_open(m, "file.cfg", d);
    check_no_errors(d);
    assert_int_equal(weights_save(out->net, "deployed.weights", d), 0);
    check_same_file("file.weights", "deployed.weights");
    assert_int_equal(model_load_whole(m, "deployed.weights", d), 0);
    check_no_errors(d);
    deploy_close(out);
    model_close(m);
    diag_free(d);
}

/* Same teacher, same projector: the second triple's answer is the first's. */
static void test_same_teacher_twice(void **state)
{
    (void)state;
    static const char twin[] = NET TEACHER(mean) "[teacher]\nname=again\ncfg=mean.cfg\nweights=mean.weights\n[teachers]\n" WEIGHTED
                               ENCODER TRIPLE(mean) BACK TRIPLE(again);
    static const char alone[] = NET TEACHER(mean) ENCODER TRIPLE(mean);
    model *m = check_model("twin", twin, 80), *one = check_model("alone", alone, 80);
    float got[CLASSES], want[CLASSES];
    weights_tensor a[WEIGHTS_MAX_TENSORS], b[WEIGHTS_MAX_TENSORS];
    const lower_head *head = m->low->head;
    for (int i = 0; i < head[0].projectors; ++i) {
        int n = weights_tensors(&m->net->layers[head[0].projector + i], a);
        weights_tensors(&m->net->layers[head[1].projector + i], b);
        for (int k = 0; k < n; ++k) memcpy(b[k].data, a[k].data, a[k].n * sizeof *a[k].data);
    }
    cpu_weights_changed(m->net);
    answer(m, got);
    answer(one, want);
    check_close_n(got, want, CLASSES, 1e-5, "twice");
    model_close(one);
    model_close(m);
}

/* Darknet's library and OpenCV, on the files and on ONNX; a detector, of which one teacher's head is left, on its boxes' map. */
static void check_export(const char *name, const char *cfg, int values)
{
    diag *d = diag_new();
    enum { IMAGES = 3 };
    uint8_t pixels[IMAGES * FLOATS];
    float x[2 * FLOATS] = { 0 }, wanted[IMAGES * 4 * 4 * 7];
    verify_result result[VERIFY_READERS];
    size_t len;
    model *m = check_model(name, cfg, 90);
    char *path = mem_printf("%s.cfg", name), *text;
    deployed *p = deploy_open(m, path, d);
    check_no_errors(d);
    assert_true(deploy_fold(p, d) > 0);
    text = cfg_text(p->low->cfg, &len);
    check_write("x.cfg", text, len);
    assert_int_equal(weights_save(p->net, "x.weights", d), 0);
    assert_int_equal(deploy_values(p), values);
    for (size_t i = 0; i < sizeof pixels; ++i) pixels[i] = (uint8_t)(i * 2654435761u >> 13);
    for (int i = 0; i < IMAGES; ++i) {
        verify_planar(pixels + i * FLOATS, 3, 8, 8, x);
        model_predict(m, x);
        deploy_answer(p, m->net, 0, wanted + i * values);
    }
    verify_job job = { .cfg = "x.cfg", .weights = "x.weights", .n = IMAGES, .c = 3, .h = 8, .w = 8, .outputs = p->outputs,
                       .output = p->output, .values = values, .raw = p->raw, .pixels = pixels, .answer = wanted };
#ifdef ONNX
    assert_int_equal(check_write_onnx(p->net, p->low->cfg, p->output, p->outputs, "x.onnx", d), 0);
    job.onnx = "x.onnx";
#endif
    assert_int_equal(verify_deployed(&job, result, d), 0);
    check_no_errors(d);
    assert_int_equal(result[VERIFY_HOST].ran, 1);
    assert_int_equal(result[VERIFY_OPENCV].ran, 1);
    free(text);
    free(path);
    deploy_close(p);
    model_close(m);
    diag_free(d);
}

static void test_exports(void **state)
{
    (void)state;
    check_export("out", STUDENT(WEIGHTED), CLASSES);
    check_export("out3", three, CLASSES);
}

/* ---- training ---- */

/* The teachers' own classifiers teach; the combined one is theirs, to the bit, whatever is trained. */
static void test_trains(void **state)
{
    (void)state;
    model *m = check_model("step", three, 100);
    size_t n = (size_t)(m->net->inputs * m->net->batch);
    float *x = mem_calloc(n, sizeof *x);
    const layer *l = &m->net->layers[m->low->combine.layer];
    uint64_t before = weights_hash(m->net, m->low->combine.layer, m->low->combine.layer + 1);
    check_fill(x, n, 20);
    double first = 0, last = 0;
    for (int i = 0; i < 20; ++i) {
        last = model_train_step(m, x, (int[]){ 1, 3 }, NULL);
        if (!i) first = last;
        network_update(m->net, m->low->trained);
    }
    assert_true(isfinite(last) && last < first);
    assert_true(before == weights_hash(m->net, m->low->combine.layer, m->low->combine.layer + 1));
    assert_true(m->low->trained <= m->low->combine.layer && l->n == CLASSES);
    free(x);
    model_close(m);
}

/* From labels all of the deployed network is trained, its classifier too. */
static void test_from_labels(void **state)
{
    (void)state;
    lowered *deployed = check_lowered(three, LOWER_DEPLOY);
    check_write("labels.cfg", three, strlen(three));
    model *m = open_as("labels.cfg", LOWER_LABELS);
    assert_int_equal(m->net->n, deployed->shape->n);
    assert_int_equal(m->low->shape->stored, deployed->shape->stored);
    for (int i = 0; i < m->net->n; ++i) {
        assert_string_equal(cfg_layer(m->low->cfg, i)->name, cfg_layer(deployed->cfg, i)->name);
        assert_true(m->low->role[i] != ROLE_TAIL);
    }
    size_t n = (size_t)(m->net->inputs * m->net->batch);
    float *x = mem_calloc(n, sizeof *x);
    int at = m->low->combine.layer;
    uint64_t before = weights_hash(m->net, at, at + 1);
    check_fill(x, n, 20);
    double first = model_train_step(m, x, (int[]){ 1, 3 }, NULL), last = first;
    for (int i = 0; i < 30; ++i) {
        network_update(m->net, m->low->trained);
        last = model_train_step(m, x, (int[]){ 1, 3 }, NULL);
    }
    assert_true(isfinite(last) && last < .5 * first);
    assert_true(before != weights_hash(m->net, at, at + 1));
    free(x);
    model_close(m);
    lower_free(deployed);
}

/* ---- weights files ---- */

static void test_other_weights_and_teachers(void **state)
{
    (void)state;
    diag *d = diag_new();
    model_close(check_model("given", STUDENT(WEIGHTED), 110));
    model *m = check_model("equal", STUDENT(LOGITS), 110);
    assert_int_equal(model_load_whole(m, "given.weights", d), 0);
    check_no_errors(d);
    assert_string_equal(diag_get(d, 0)->text, "was written with [teachers] weights=0.7,0.3: those of the cfg count");
    assert_int_equal(weights_save(m->net, "again.weights", d), 0);
    check_same_file("again.weights", "equal.weights");
    model_close(m);
    check_write_network("mean", mean_cfg, 501);
    m = open_as("equal.cfg", LOWER_TRAIN);
    assert_int_equal(model_load_whole(m, "equal.weights", d), -1);
    assert_non_null(strstr(diag_get(d, 1)->text, "the combined classifier, is not made of the teachers' classifiers"));
    check_write_network("mean", mean_cfg, 500);
    model_close(m);
    diag_free(d);
}

/* ---- confidence ---- */

static void test_confidence_of_an_image(void **state)
{
    (void)state;
    static const float score[] = { 1, 3, -2 };
    double all = log(exp(1) + exp(3) + exp(-2)), entropy = 0;
    for (int i = 0; i < 3; ++i) entropy += exp(score[i] - all) * (score[i] - all);
    mixed_labels labels = { .first = (int[]){ 2, -1, 3 } };
    check_close(model_confidence_of(score, 3, &labels, 0), -2 - all, 1e-12, "label", 0);
    check_close(model_confidence_of(score, 3, &labels, 1), entropy, 1e-12, "no label", 1);
    check_close(model_confidence_of(score, 3, &labels, 2), entropy, 1e-12, "another's label", 2);
    check_close(model_confidence_of(score, 3, NULL, 0), entropy, 1e-12, "no labels", 0);
    mixed_labels mixed = { .first = (int[]){ 0, 0 }, .second = (int[]){ 1, -1 }, .factor = (float[]){ .25f, .25f } };
    check_close(model_confidence_of(score, 3, &mixed, 0), .25 * 1 + .75 * 3 - all, 1e-12, "two labels", 0);
    check_close(model_confidence_of(score, 3, &mixed, 1), entropy, 1e-12, "one without", 1);
}

#define CONFIDENT NET TEACHER(mean) TEACHER(late) "[teachers]\ncombine=logits\nweights=confidence\n" ENCODER \
    TRIPLE(late) "[kd]\n" BACK TRIPLE(mean)

/* What a loss sends down, (batch, outputs), into `delta`. */
static void send_down(const model *m, const layer *l, float *delta)
{
    network net = *m->net;
    memset(delta, 0, (size_t)(l->outputs * l->batch) * sizeof *delta);
    memset(l->delta, 0, (size_t)(l->outputs * l->batch) * sizeof *delta);
    net.delta = delta;
    l->backward(*l, net);
}

/* Each image's loss and gradient are w_k times what they are without weights; the weights of an image have a mean of 1. */
static void test_confidence_weighs(void **state)
{
    (void)state;
    model *m = check_model("sure", CONFIDENT, 140);
    size_t n = (size_t)(m->net->inputs * m->net->batch);
    float *x = mem_calloc(n, sizeof *x), with[4096], without[4096];
    check_fill(x, n, 20);
    model_train_step(m, x, (int[]){ 1, -1 }, NULL);
    const float *w = m->confidence;
    for (int b = 0; b < 2; ++b) check_close(w[b] + w[2 + b], 2, 1e-6, "mean", (size_t)b);
    assert_true(w[0] != w[1] && w[0] != w[2]);
    double s[2][2];
    for (int t = 0; t < 2; ++t)
        for (int b = 0; b < 2; ++b)
            s[t][b] = model_confidence_of(teacher_feature(m->teacher[t], m->low->teacher[t].answer) + b * CLASSES, CLASSES,
                                          &(mixed_labels){ .first = (int[]){ 1, -1 } }, b);
    for (int b = 0; b < 2; ++b) check_close(w[b], 2 / (1 + exp(s[1][b] - s[0][b])), 1e-5, "softmax", (size_t)b);
    assert_int_equal(m->low->losses, 3);
    for (int i = 0; i < m->low->losses; ++i) {
        const taught_loss *loss = &m->low->loss[i];
        const layer *l = &m->net->layers[loss->layer];
        int kd = loss->type->asks == TEACH_ANSWER;
        const float **weight = kd ? &kd_state_of(l)->weight : &feature_l2_state_of(l)->weight;
        const double *part = kd ? kd_state_of(l)->part : feature_l2_state_of(l)->part;
        double factor = kd ? 16 : 1. / l->outputs;
        assert_ptr_equal(*weight, w + 2 * loss->teacher);
        check_close(*l->cost, factor * ((*weight)[0] * part[0] + (*weight)[1] * part[1]), 1e-5, "cost", (size_t)i);
        send_down(m, l, with);
        *weight = NULL;
        send_down(m, l, without);
        for (int k = 0; k < l->outputs * l->batch; ++k)
            check_close(with[k], (double)w[2 * loss->teacher + k / l->outputs] * without[k], 1e-5, loss->section->name, (size_t)k);
    }
    free(x);
    model_close(m);
}

/* Teachers that are alike weigh alike, and nothing changes; it needs no combine=. */
static void test_confidence_of_equals(void **state)
{
    (void)state;
    static const char *const head[] = { "[teachers]\nweights=confidence\n", "" };
    uint64_t hash[2];
    for (int i = 0; i < 2; ++i) {
        char *text = mem_printf("%s[teacher]\nname=again\ncfg=mean.cfg\nweights=mean.weights\n%s%s", NET TEACHER(mean), head[i],
                                ENCODER TRIPLE(mean) BACK TRIPLE(again));
        model *m = check_model("equals", text, 150);
        size_t n = (size_t)(m->net->inputs * m->net->batch);
        float *x = mem_calloc(n, sizeof *x);
        check_fill(x, n, 20);
        model_train_step(m, x, (int[]){ 1, 3 }, NULL);
        network_update(m->net, m->low->trained);
        hash[i] = weights_hash(m->net, 0, m->low->trained);
        model_close(m);
        free(x);
        free(text);
    }
    assert_true(hash[0] == hash[1]);
}

/* ---- one answers ---- */

static void check_deploys(const char *student, const char *expected)
{
    lowered *l = check_lowered(student, LOWER_DEPLOY), *plain = check_lowered(expected, LOWER_DEPLOY);
    char *got = cfg_text(l->cfg, NULL), *want = cfg_text(plain->cfg, NULL);
    assert_string_equal(got, want);
    assert_int_equal(l->heads, plain->heads);
    free(got);
    free(want);
    lower_free(plain);
    lower_free(l);
}

#define YOLO "[yolo]\nmask=0\nanchors=2,2\nclasses=2\nnum=1\n"
static const char boxes_cfg[] = NET CONV(6, 2) CONV(10, 1) POINT(7) YOLO;
static const char other_cfg[] = NET CONV(6, 2) POINT(7) YOLO;
#define DETECTOR(how) NET TEACHER(boxes) TEACHER(other) how ENCODER TRIPLE(boxes) BACK TRIPLE(other)

static void test_one_answers(void **state)
{
    (void)state;
    static const char mean_alone[] = NET TEACHER(mean) ENCODER TRIPLE(mean), late_alone[] = NET TEACHER(late) ENCODER TRIPLE(late);
    check_deploys(STUDENT("combine=late\n"), late_alone);
    check_deploys(STUDENT("combine=last\n"), mean_alone);
    check_deploys(DETECTOR("[teachers]\ncombine=boxes\n"), NET TEACHER(boxes) ENCODER TRIPLE(boxes));
    check_deploys(DETECTOR("[teachers]\ncombine=last\n"), NET TEACHER(other) ENCODER TRIPLE(other));
    check_export("box", DETECTOR("[teachers]\ncombine=boxes\n"), 7 * 4 * 4);
    model *m = check_model("late1", STUDENT("combine=late\n"), 120);
    float got[CLASSES];
    int outputs;
    answer(m, got);
    assert_memory_equal(got, model_answer_as(m, m->low->combine.one, &outputs), sizeof got);
    assert_ptr_not_equal(model_answer(m), m->net->output);
    model_close(m);
}

/* Boxes that answer are those of the teacher that combine= names. */
static void test_one_head(void **state)
{
    (void)state;
    for (int named = 0; named < 2; ++named) {
        model *m = check_model("heads", named ? DETECTOR("[teachers]\ncombine=boxes\n") : DETECTOR(""), 130);
        detect_heads heads;
        diag *d = diag_new();
        assert_int_equal(detect_student_heads(m, lower_speaker(m->low), &heads, d), 0);
        check_no_errors(d);
        assert_int_equal(heads.n, 1);
        assert_int_equal(heads.head[0].l - m->net->layers, m->low->out[named ? 0 : 1]);
        detect_heads_free(&heads);
        model_close(m);
        diag_free(d);
    }
}

/* ---- refused ---- */

/* `text` has one error, as check_only_error wants it, and a hint with `hint` in it. */
static void refused(const char *text, const char *expected, const char *hint)
{
    diag *d = diag_new();
    cfg_file *c = cfg_parse("s.cfg", text, strlen(text), d);
    if (diag_errors(d)) cfg_free(c);
    else if (lower_cfg(c, LOWER_TRAIN, d)) fail_msg("lowers, expected: %s", expected);
    check_only_error(d, expected);
    if (!strstr(check_hint(d, 0), hint)) fail_msg("'%s' is not in the hint: %s", hint, check_hint(d, 0));
    diag_free(d);
}
#define WITH(name) NET TEACHER(mean) TEACHER(name) "[teachers]\n" LOGITS ENCODER TRIPLE(mean) BACK TRIPLE(name)

static void test_refusals(void **state)
{
    (void)state;
    refused(STUDENT(""), "19: [teachers] combine= is missing", "without [teachers] all classifiers are deployed");
    refused(STUDENT("combine=nobody\n"), "20: [teachers] combine=nobody: no [teacher] has this name", "logits averages");
    refused(STUDENT(LOGITS "weights=1,2,3\n"), "21: [teachers] weights= has 3 numbers, 2 teachers answer", "one for each [teacher]");
    refused(STUDENT(LOGITS "weights=1\n"), "21: [teachers] weights= has 1 number, 2 teachers answer", "in their order");
    refused(STUDENT(LOGITS "weights=1,0\n"), "21: [teachers] 'weights' is 0, expected 1e-06 to 1000000", "leave out its sections");
    refused(STUDENT(LOGITS "weights=1,-2\n"), "21: [teachers] 'weights' is -2, expected 1e-06 to 1000000", "leave out its sections");
    refused(STUDENT("combine=mean\nweights=1,2\n"), "21: [teachers] weights=1,2: only combine=logits has weights", "");
    refused(NET TEACHER(mean) "[teachers]\n" LOGITS ENCODER TRIPLE(mean),
            "16: [teachers] combine=logits: there are no two teachers whose triples answer", "one triple each");
    refused(NET "[teachers]\n" LOGITS ENCODER "[softmax]\n", "11: [teachers] there is no [teacher] section", "several [teacher]");
    refused(WITH(more), "20: [teachers] combine=logits: one teacher has 5 classes, another 7", "combine=NAME");
    refused(NET TEACHER(mean) TEACHER(deep) "tap=0\n[teachers]\n" LOGITS ENCODER TRIPLE(mean) BACK TRIPLE(deep), "21: [teachers] combine=logits: classifiers that are not linear cannot become one",
            "teacher deep's [convolutional] (deep.cfg:19): its activation is not linear");
    refused(WITH(whole), "20: [teachers] combine=logits: classifiers that are not linear cannot become one",
            "it reads every place of its map, not the mean");
    refused(DETECTOR("[teachers]\n" LOGITS), "20: [teachers] combine=logits: boxes of several detectors have no mean", "combine=NAME");
    refused(NET TEACHER(mean) TEACHER(more) "[teachers]\ncombine=mean\n" ENCODER TRIPLE(mean) BACK TRIPLE(more),
            "20: [teachers] combine=mean: its classes are not as many as those of the network's last classifier", "put its triple last");
}

static void test_confidence_refusals(void **state)
{
    (void)state;
    refused(NET TEACHER(mean) TEACHER(more) "[teachers]\nweights=confidence\n" ENCODER TRIPLE(mean) BACK TRIPLE(more),
            "20: [teachers] weights=confidence: it takes several teachers that end on [softmax], all of as many classes", "how sure");
    refused(DETECTOR("[teachers]\nweights=confidence\n"),
            "20: [teachers] weights=confidence: it takes several teachers that end on [softmax], all of as many classes", "how sure");
    refused(NET TEACHER(mean) TEACHER(late) "[teachers]\nweights=confidence\n" ENCODER TRIPLE(mean) BACK
            "[projector]\n[feature_l2]\npooled=1\n[reused_classifier]\n",
            "35: [feature_l2] does not weigh images, as [teachers] weights=confidence wants", "without pooled=");
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    check_write_network("mean", mean_cfg, 500);
    check_write_network("late", late_cfg, 600);
    check_write_network("connected", connected_cfg, 700);
    check_write_network("more", more_cfg, 800);
    check_write_network("deep", deep_cfg, 900);
    check_write_network("whole", whole_cfg, 1000);
    check_write_network("boxes", boxes_cfg, 1100);
    check_write_network("other", other_cfg, 1200);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_the_mean), cmocka_unit_test(test_deploys), cmocka_unit_test(test_training_file_is_deployed),
        cmocka_unit_test(test_same_teacher_twice), cmocka_unit_test(test_exports), cmocka_unit_test(test_trains),
        cmocka_unit_test(test_from_labels), cmocka_unit_test(test_other_weights_and_teachers), cmocka_unit_test(test_one_answers),
        cmocka_unit_test(test_one_head), cmocka_unit_test(test_refusals), cmocka_unit_test(test_confidence_of_an_image),
        cmocka_unit_test(test_confidence_weighs), cmocka_unit_test(test_confidence_of_equals), cmocka_unit_test(test_confidence_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
