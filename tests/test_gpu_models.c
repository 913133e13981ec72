/* Distillations on a device against the same on the CPU: losses, weights, running statistics and answers with a live teacher,
 * with caches, of detectors; and that a step's data stay there. */
#include "layers/network.h"
#include "check_gpu.h"
#include "check_nets.h"

#include "darknet_plugin/data/boxes.h"
#include "layers/reused_classifier.h"

#include <unistd.h>

#define CONV CHECK_CONV
#define BN CHECK_BN
#define SHORTCUT CHECK_SHORTCUT

static const char teacher_cfg[] = "[net]\nbatch=1\nheight=16\nwidth=16\nchannels=3\n" BN(8, 3, 2, relu) BN(8, 1, 2, relu) BN(12, 3, 1, relu)
    "[avgpool]\n" CONV(5, 1, 1, linear) "[softmax]\n";
static const char student_cfg[] = "[net]\nbatch=4\nsubdivisions=1\nheight=16\nwidth=16\nchannels=3\nlearning_rate=.05\nmomentum=.9\ndecay=.0005\n"
    "policy=constant\nmax_batches=10\n[teacher]\ncfg=t.cfg\nweights=t.weights\nmean=.4,.5,.6\nstd=.2,.25,.3\n" BN(6, 3, 2, relu) "%s"
    "[projector]\nreduction=2\n[feature_l2]\n%s[reused_classifier]\n";

static model *open_model(int gpu, const char *name)
{
    diag *d = diag_new();
    check_choose(gpu);
    model *m = model_open(name, &(model_options){ .backend = gpu ? BACKEND_GPU : BACKEND_REFERENCE, .seed = 3 }, d);
    if (!m) diag_print(d, stderr);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    return m;
}

static void open_cache(model *m, const char *path)
{
    diag *d = diag_new();
    uint64_t views;
    model_cache c = { .path = path, .images = 12 };
    assert_int_equal(model_open_cache(m, &c, &views, d), 0);
    check_no_errors(d);
    diag_free(d);
}

/* Three steps on images 0 to 11. */
static void train_model(model *m, double loss[3])
{
    diag *d = diag_new();
    size_t n = (size_t)m->net->inputs * 4;
    float *x = mem_calloc(n, sizeof *x);
    check_make_up_facts(m);
    for (uint64_t step = 0; step < 3; ++step) {
        uint64_t image[4] = { 4 * step, 4 * step + 1, 4 * step + 2, 4 * step + 3 }, view[4] = { 0 };
        check_fill(x, n, 70 + step);
        assert_int_equal(model_teach(m, x, image, view, d), 0);
        loss[step] = model_train_step(m, x, NULL, NULL);
        network_update(m->net, m->low->trained);
    }
    gpu_pull(m->net);
    check_no_errors(d);
    diag_free(d);
    free(x);
}

static void check_answers(model *gpu, model *cpu, const char *name)
{
    size_t n = (size_t)cpu->net->inputs * 4;
    float *x = mem_calloc(n, sizeof *x);
    int outputs;
    check_fill(x, n, 90);
    for (int i = 0; i < 2; ++i) {
        model *m = i ? gpu : cpu;
        model_predict(m, x);
        model_run_teachers(m, x, 1);
    }
    const float *got = model_answer_as(gpu, 0, &outputs), *want = model_answer_as(cpu, 0, &outputs);
    check_nmse(got, want, (size_t)outputs * 4, name, -1, "student's answer");
    check_nmse(gpu->net->output, cpu->net->output, (size_t)outputs * 4, name, -1, "net->output");
    check_nmse(teacher_answer(gpu->teacher[0]), teacher_answer(cpu->teacher[0]), (size_t)outputs * 4, name, -1, "teacher's answer");
    check_close(model_feature_mse(gpu, 0, 4) / model_feature_mse(cpu, 0, 4), 1, 1e-5, name, 0);
    free(x);
}

/* keys: of [feature_l2] */
static void check_distillation(const char *name, const char *middle, const char *keys, const char *cpu_cache,
                               const char *gpu_cache)
{
    char *cfg = mem_printf(student_cfg, middle, keys);
    check_write("s.cfg", cfg, strlen(cfg));
    free(cfg);
    model *cpu = open_model(0, "s.cfg"), *gpu = open_model(1, "s.cfg");
    double want[3], got[3];
    if (cpu_cache) open_cache(cpu, cpu_cache), open_cache(gpu, gpu_cache);
    train_model(cpu, want);
    train_model(gpu, got);
    for (size_t i = 0; i < 3; ++i) check_close(got[i] / want[i], 1, 1e-5, name, i);
    for (int i = 0; i < cpu->net->n; ++i) check_arrays(gpu->net, cpu->net, i, name);
    const lower_head *h = &gpu->low->head[0];
    assert_int_equal(compare_reused_classifier(gpu->net, h->tail, h->tails, gpu->teacher[0]->net, h->tail_of), 0);
    check_answers(gpu, cpu, name);
    model_close(gpu);
    gpu_index = -1;
    model_close(cpu);
}

/* [softmax] by labels that are mixed, and by none. */
static void check_mixed_labels(void)
{
    static const char cfg[] = "[net]\nbatch=4\nsubdivisions=1\nheight=16\nwidth=16\nchannels=3\nlearning_rate=.05\nmomentum=.9\n"
                              "policy=constant\nmax_batches=10\n[augment]\nlabel_smoothing=.1\n"
                              BN(6, 3, 2, relu) "[avgpool]\n" CONV(5, 1, 1, linear) "[softmax]\n";
    const mixed_labels labels = { (const int[4]){ 3, 0, -1, 1 }, (const int[4]){ 1, 0, 2, 4 }, (const float[4]){ .7f, .2f, .5f, .4f } };
    check_write("m.cfg", cfg, strlen(cfg));
    model *cpu = open_model(0, "m.cfg"), *gpu = open_model(1, "m.cfg");
    size_t n = (size_t)cpu->net->inputs * 4;
    float *x = mem_calloc(n, sizeof *x);
    for (uint64_t step = 0; step < 3; ++step) {
        check_fill(x, n, 50 + step);
        double want = model_train_mixed(cpu, x, &labels, NULL), got = model_train_mixed(gpu, x, &labels, NULL);
        check_close(got / want, 1, 1e-5, "mixed labels", step);
        gpu_pull(gpu->net);
        for (int i = 0; i < cpu->net->n; ++i) check_arrays(gpu->net, cpu->net, i, "mixed labels, gradients");
        network_update(cpu->net, cpu->low->trained);
        network_update(gpu->net, gpu->low->trained);
        gpu_pull(gpu->net);
        for (int i = 0; i < cpu->net->n; ++i) check_arrays(gpu->net, cpu->net, i, "mixed labels, weights");
    }
    free(x);
    model_close(gpu);
    gpu_index = -1;
    model_close(cpu);
}

/* A loss of class scores with labels and alone: the teacher's stay where the networks are. */
static void check_scores(const char *loss, const char *end, int with_labels)
{
    char *cfg = mem_printf("[net]\nbatch=4\nsubdivisions=1\nheight=16\nwidth=16\nchannels=3\nlearning_rate=.05\nmomentum=.9\n"
                           "policy=constant\nmax_batches=10\n[teacher]\ncfg=t.cfg\nweights=t.weights\nmean=.4\nstd=.25\n"
                           BN(6, 3, 2, relu) "[avgpool]\n" CONV(5, 1, 1, linear) "%s%s", loss, end);
    int labels[4] = { 3, 0, 4, 1 }, outputs;
    check_write("k.cfg", cfg, strlen(cfg));
    free(cfg);
    model *cpu = open_model(0, "k.cfg"), *gpu = open_model(1, "k.cfg");
    size_t n = (size_t)cpu->net->inputs * 4;
    float *x = mem_calloc(n, sizeof *x);
    for (uint64_t step = 0; step < 3; ++step) {
        check_fill(x, n, 70 + step);
        double want = model_train_step(cpu, x, with_labels ? labels : NULL, NULL);
        double got = model_train_step(gpu, x, with_labels ? labels : NULL, NULL);
        check_close(got / want, 1, 1e-5, "kd", step);
        check_close(*gpu->net->layers[3].cost / *cpu->net->layers[3].cost, 1, 1e-5, "divergence", step);
        gpu_pull(gpu->net);
        for (int i = 0; i < cpu->net->n; ++i) check_arrays(gpu->net, cpu->net, i, "kd, gradients");
        network_update(cpu->net, cpu->low->trained);
        network_update(gpu->net, gpu->low->trained);
        gpu_pull(gpu->net);
        for (int i = 0; i < cpu->net->n; ++i) check_arrays(gpu->net, cpu->net, i, "kd, weights");
    }
    model_predict(cpu, x);
    model_predict(gpu, x);
    check_nmse(model_answer_as(gpu, 0, &outputs), model_answer_as(cpu, 0, &outputs), 4 * 5, "kd", -1, "student's answer");
    assert_int_equal(outputs, 5);
    assert_string_equal(gpu_runs_on(&gpu->net->layers[3]), "GPU, plugin");
    free(x);
    model_close(gpu);
    gpu_index = -1;
    model_close(cpu);
}

static void in_folder(void)
{
    assert_int_equal(chdir(check_folder()), 0);
    check_choose(0);
    check_write_network("t", teacher_cfg, 500);
}

static void test_live_teacher(void **state)
{
    (void)state;
    in_folder();
    check_distillation("live teacher", BN(6, 3, 2, relu), "", NULL, NULL);
    check_distillation("frozen pooling before the projector", "", "", NULL, NULL);
}

/* Two teachers, one combined answer, images weighed by confidence, some without a label; live and out of a cache. */
static void check_several(const char *cache)
{
    static const char cfg[] = "[net]\nbatch=4\nsubdivisions=1\nheight=16\nwidth=16\nchannels=3\nlearning_rate=.05\nmomentum=.9\n"
        "policy=constant\nmax_batches=10\n[teacher]\nname=t\ncfg=t.cfg\nweights=t.weights\n[teacher]\nname=u\ncfg=t.cfg\nweights=u.weights\n"
        "[teachers]\ncombine=logits\nweights=confidence\n" BN(6, 3, 2, relu) "[projector]\n[feature_l2]\n[reused_classifier]\n[kd]\n"
        "[route]\nlayers=0\n[projector]\n[feature_l2]\n[reused_classifier]\nlabels=1\n";
    int labels[4] = { 3, -1, 4, 1 };
    diag *d = diag_new();
    check_write("v.cfg", cfg, strlen(cfg));
    model *m[2];
    for (int k = 0; k < 2; ++k) {
        m[k] = open_model(k, "v.cfg");
        char *path = cache ? mem_printf("%s%d", cache, k) : NULL;
        if (cache) open_cache(m[k], path);
        free(path);
    }
    size_t n = (size_t)m[0]->net->inputs * 4;
    float *x = mem_calloc(n, sizeof *x);
    for (uint64_t step = 0; step < 3; ++step) {
        double loss[2];
        check_fill(x, n, 70 + step);
        for (int k = 0; k < 2; ++k) {
            assert_int_equal(model_teach(m[k], x, (uint64_t[]){ 4 * step, 4 * step + 1, 4 * step + 2, 4 * step + 3 }, (uint64_t[4]){ 0 }, d), 0);
            loss[k] = model_train_step(m[k], x, labels, NULL);
            network_update(m[k]->net, m[k]->low->trained);
        }
        check_close(loss[1] / loss[0], 1, 1e-5, "several teachers", step);
        check_close_n(m[1]->confidence, m[0]->confidence, 8, 1e-4, "confidence");
    }
    gpu_pull(m[1]->net);
    for (int i = 0; i < m[0]->net->n; ++i) check_arrays(m[1]->net, m[0]->net, i, "several teachers");
    for (int k = 0; k < 2; ++k) model_predict(m[k], x);
    check_nmse(model_answer(m[1]), model_answer(m[0]), 4 * 5, "several teachers", -1, "combined answer");
    check_no_errors(d);
    diag_free(d);
    free(x);
    model_close(m[1]);
    gpu_index = -1;
    model_close(m[0]);
}

static void test_several_teachers(void **state)
{
    (void)state;
    in_folder();
    check_write_network("u", teacher_cfg, 900);
    check_several(NULL);
    check_several("several.feat");
}

static void test_kd(void **state)
{
    (void)state;
    in_folder();
    static const char kd[] = "[kd]\ntemperature=3\nscale=.7\n", l2[] = "[logits_l2]\nscale=.7\n";
    check_scores(kd, "[softmax]\nnoloss=1\n", 0);
    check_scores(kd, "[softmax]\n", 1);
    check_scores(kd, "", 0);
    check_scores(l2, "[softmax]\n", 1);
    check_scores(l2, "", 0);
    check_mixed_labels();
}

/* Every loss of feature maps, in the trunk and on a branch, beside a triple. */
#define MAP_LOSSES "[attention_transfer]\nteacher_layer=0\nscale=3\n[similarity]\nteacher_layer=1\nscale=5\n" \
    "[route]\nlayers=0\n[projector]\nstack=1x1\n[variational]\nteacher_layer=0\n[feature_l2]\nteacher_layer=0\n[route]\nlayers=0\n" \
    BN(6, 3, 2, relu) "[attention_transfer]\nteacher_layer=0\n"

static void test_map_losses(void **state)
{
    (void)state;
    in_folder();
    check_distillation("losses of maps", MAP_LOSSES, "", NULL, NULL);
    check_distillation("losses of maps, cached", MAP_LOSSES, "", "mc.feat", "mg.feat");
}

/* Filled on one side and read on the other: they are the same files. */
static void test_cache(void **state)
{
    (void)state;
    in_folder();
    check_distillation("caches being filled", BN(6, 3, 2, relu), "", "cpu.feat", "gpu.feat");
    check_distillation("caches of the other side", BN(6, 3, 2, relu), "", "gpu.feat", "cpu.feat");
}

/* [feature_l2]'s keys, live and out of caches; pooled=1 has caches of means. */
static void test_keys(void **state)
{
    (void)state;
    static const char *const keys[] = { "normalise=channel\n", "metric=head\n", "pooled=1\n",
                                        "pooled=1\nnormalise=channel\nmetric=head\nreduction=sum\n" };
    in_folder();
    for (size_t i = 0; i < sizeof keys / sizeof *keys; ++i) {
        char *cpu = mem_printf("cpu%zu.feat", i), *gpu = mem_printf("gpu%zu.feat", i);
        check_distillation(keys[i], BN(6, 3, 2, relu), keys[i], NULL, NULL);
        check_distillation(keys[i], BN(6, 3, 2, relu), keys[i], cpu, gpu);
        check_distillation(keys[i], BN(6, 3, 2, relu), keys[i], gpu, cpu);
        free(cpu);
        free(gpu);
    }
}

/* ---- what goes through the host ---- */

/* Of tests/cuda_on_cpu, where that is the device and its header cuda_runtime.h; NULL on a real one. */
#ifndef CUDA_ON_CPU_RUNTIME_H
struct cuda_on_cpu_counts { long from_device, from_device_bytes, to_device_bytes; };
struct cuda_on_cpu_counts cuda_on_cpu_count(void);
#endif
#pragma weak cuda_on_cpu_count

/* A step with a live teacher brings the images up twice, once a network, and the sums of the loss down; nothing else. */
static void test_step_stays_on_the_device(void **state)
{
    (void)state;
    if (!cuda_on_cpu_count) skip();
    in_folder();
    char *cfg = mem_printf(student_cfg, BN(6, 3, 2, relu), "");
    check_write("s.cfg", cfg, strlen(cfg));
    model *m = open_model(1, "s.cfg");
    size_t n = (size_t)m->net->inputs * 4, truths = (size_t)m->net->truths * 4;
    float *x = mem_calloc(n, sizeof *x);
    model_train_step(m, x, NULL, NULL);
    struct cuda_on_cpu_counts before = cuda_on_cpu_count();
    model_train_step(m, x, NULL, NULL);
    network_update(m->net, m->low->trained);
    struct cuda_on_cpu_counts after = cuda_on_cpu_count();
    assert_int_equal(after.from_device - before.from_device, 1);
    assert_true(after.from_device_bytes - before.from_device_bytes <= 1024 * (long)sizeof(double));
    assert_true(after.to_device_bytes - before.to_device_bytes <= (long)(sizeof(float) * 2 * (n + truths)));
    free(x);
    free(cfg);
    model_close(m);
}

/* ---- detectors ---- */

#define YOLO(mask) "[convolutional]\nfilters=14\nsize=1\nstride=1\nactivation=linear\n" \
                   "[yolo]\nmask=" mask "\nanchors=4,4, 8,8, 12,12, 16,16\nclasses=2\nnum=4\nmax=3\n"
#define TRIPLE_WITH(l2, tail) "[projector]\n[feature_l2]\n" l2 "[reused_classifier]\n" tail
#define TRIPLE TRIPLE_WITH("", "")
#define DETECTOR_NET "[net]\nbatch=4\nsubdivisions=1\nwidth=32\nheight=32\nchannels=3\nlearning_rate=.02\nmomentum=.9\nmax_batches=10\n"

static const char detector_cfg[] = DETECTOR_NET BN(16, 3, 2, leaky) BN(24, 3, 2, leaky) BN(24, 3, 1, leaky) SHORTCUT(-2, linear) BN(32, 3, 2, leaky) YOLO("2,3")
    "[route]\nlayers=-3\n[upsample]\nstride=2\n[route]\nlayers=-1,3\n" BN(20, 3, 1, leaky) YOLO("0,1");
#define DETECTOR_STUDENT(own, triple) DETECTOR_NET "[teacher]\ncfg=d.cfg\nweights=d.weights\n" BN(8, 3, 2, leaky) BN(16, 3, 2, leaky) BN(16, 3, 2, leaky) own triple \
    "[route]\nlayers=2\n[upsample]\nstride=2\n[route]\nlayers=-1,1\n" BN(12, 3, 1, leaky) triple
/* What goes through the frozen heads. */
static const char *const detector_students[] = {
    DETECTOR_STUDENT("", TRIPLE), DETECTOR_STUDENT("", TRIPLE_WITH("", "[kd]\nscale=.3\n")), DETECTOR_STUDENT("", TRIPLE_WITH("weight=teacher\n", "[kd]\nfocal=1\niou_loss=ciou\n")),
    DETECTOR_STUDENT("", TRIPLE_WITH("weight=teacher\nnormalise=channel\nmetric=head\n", "")), DETECTOR_STUDENT("", TRIPLE_WITH("", "labels=.5\n[kd]\n")),
    DETECTOR_STUDENT(YOLO("2,3") "deploy=0\n[route]\nlayers=2\n", TRIPLE_WITH("", "labels=.2\n")),
};

/* Three boxes an image, the last not looked at where there is a teacher; or as that says. */
static double detector_step(model *m, int labels, uint64_t stream)
{
    size_t n = (size_t)(m->net->inputs * m->net->batch), truths = (size_t)m->net->truths;
    float *x = mem_calloc(n, sizeof *x), *boxes = mem_calloc(truths * 4, sizeof *boxes);
    check_fill(x, n, stream);
    for (size_t i = 0; i < 4 * truths; ++i) boxes[i] = i % 5 == 4 ? (float)(i % 2) : .2f + .6f * (float)(i * 7 % 10) / 10;
    if (m->teacher) boxes[3 * truths] = BOXES_UNLABELLED;
    check_make_up_facts(m);
    double loss = model_train_step(m, x, NULL, labels ? boxes : NULL);
    network_update(m->net, m->low->trained);
    gpu_pull(m->net);
    model_predict(m, x);
    if (m->teacher) model_run_teachers(m, x, 1);
    free(x);
    free(boxes);
    return loss;
}

static void check_detections(const model *gpu, const model *cpu, const char *name)
{
    for (int k = 0; k < cpu->low->outs; ++k) {
        const layer *a = &gpu->net->layers[gpu->low->out[k]], *b = &cpu->net->layers[cpu->low->out[k]];
        check_nmse(a->output, b->output, (size_t)(b->outputs * b->batch), name, cpu->low->out[k], "detections");
        if (!cpu->teacher) continue;
        const layer *t = &cpu->teacher[0]->net->layers[cpu->low->teacher->out[k]];
        check_nmse(teacher_detections(gpu->teacher[0], k), teacher_detections(cpu->teacher[0], k), (size_t)(t->outputs * t->batch), name, k, "teacher's detections");
    }
}

static void resize_models(model *gpu, model *cpu, int size)
{
    diag *d = diag_new();
    gpu_index = -1;
    assert_int_equal(model_resize(cpu, size, size, d), 0);
    check_choose(1);
    assert_int_equal(model_resize(gpu, size, size, d), 0);
    check_no_errors(d);
    diag_free(d);
}

static void check_detector(const char *name, const char *cfg, int labels)
{
    model *cpu = open_model(0, cfg), *gpu = open_model(1, cfg);
    for (uint64_t step = 0; step < 3; ++step) {
        if (step == 2) resize_models(gpu, cpu, 64);
        double want = detector_step(cpu, labels, 60 + step), got = detector_step(gpu, labels, 60 + step);
        check_close(got / want, 1, 1e-5, name, (size_t)step);
        for (int i = 0; i < cpu->net->n; ++i) check_arrays(gpu->net, cpu->net, i, name);
        check_detections(gpu, cpu, name);
    }
    model_close(gpu);
    gpu_index = -1;
    model_close(cpu);
}

/* The detector with heads of AlexeyAB's: `activation` of the layers before them, and keys. Written as d.cfg. */
static void write_heads(const char *activation, const char *keys)
{
    static const char linear[] = "activation=linear\n[yolo]\n";
    const char *rest = detector_cfg, *head;
    char *text = mem_strdup("");
    for (; (head = strstr(rest, linear)); rest = head + sizeof linear - 1) {
        char *more = mem_printf("%s%.*sactivation=%s\n[yolo]\n%s", text, (int)(head - rest), rest, activation, keys);
        free(text);
        text = more;
    }
    char *all = mem_printf("%s%s", text, rest);
    check_write("d.cfg", all, strlen(all));
    free(text);
    free(all);
}

/* Losses by IoU, in both coordinates; several anchors an object. */
static void test_heads_of_another_darknet(void **state)
{
    (void)state;
    in_folder();
    write_heads("linear", "iou_loss=ciou\niou_thresh=.2\nscale_x_y=1.1\niou_normalizer=.07\nlabel_smooth_eps=.1\nmax_delta=5\n");
    check_detector("ciou from labels", "d.cfg", 1);
    write_heads("linear", "iou_loss=giou\nobjectness_smooth=1\nignore_thresh=.2\nfocal_loss=1\ncls_normalizer=2\n");
    check_detector("giou from labels", "d.cfg", 1);
    write_heads("logistic", "new_coords=1\niou_loss=diou\nscale_x_y=2\nobj_normalizer=.4\n");
    check_detector("new_coords from labels", "d.cfg", 1);
    write_heads("logistic", "new_coords=1\nscale_x_y=1.5\n");
    check_detector("squares in new_coords from labels", "d.cfg", 1);
}

/* Two taps, frozen heads among trained layers, another size; and from labels, as a teacher is trained. */
static void test_detectors(void **state)
{
    (void)state;
    in_folder();
    check_write_network("d", detector_cfg, 700);
    for (size_t i = 0; i < sizeof detector_students / sizeof *detector_students; ++i) {
        check_write("ds.cfg", detector_students[i], strlen(detector_students[i]));
        check_detector("detector", "ds.cfg", i > 3);
    }
    check_detector("detector from labels", "d.cfg", 1);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_live_teacher), cmocka_unit_test(test_kd), cmocka_unit_test(test_several_teachers), cmocka_unit_test(test_map_losses), cmocka_unit_test(test_cache), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_step_stays_on_the_device),
        cmocka_unit_test(test_detectors), cmocka_unit_test(test_heads_of_another_darknet),
    };
    return check_on_gpu("live teacher, caches and detectors", tests, sizeof tests / sizeof *tests);
}
