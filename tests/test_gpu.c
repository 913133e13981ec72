/* Networks on a device against the plugin's plain C on the CPU: outputs, losses, gradients, updated weights and running
 * statistics of every layer type that is ours there or mended, gradients against central differences, a distillation with a
 * live teacher and with a cache. Two arrays agree if their normalised mean squared error is below 1e-7. Where there is no
 * device only what is refused is tested, and what is skipped is said. */
#include "check_nets.h"

#include "../layers/feature_l2.h"
#include "../layers/gpu/gpu.h"
#include "../layers/reused_classifier.h"

#include <unistd.h>

typedef struct net_case {
    const char *name, *cfg;    /* sections behind [net] */
    int pool;                  /* of the target */
    feature_type type;
    int adam, size;            /* size: what the input is resized to before the last step; 0: not */
} net_case;

#define CONV(filters, size, stride, act) "[convolutional]\nfilters=" #filters "\nsize=" #size "\nstride=" #stride "\npad=1\nactivation=" #act "\n"
#define BN(filters, size, stride, act) CONV(filters, size, stride, act) "batch_normalize=1\n"
#define SHORTCUT(from, act) "[shortcut]\nfrom=" #from "\nactivation=" #act "\n"
#define LOSS "[activation]\nactivation=linear\n"

static const net_case cases[] = {
    { "projector", BN(8, 3, 2, relu) BN(6, 1, 1, relu) BN(6, 3, 1, relu) BN(12, 1, 1, relu) LOSS, 1, FEATURE_F32, 0, 20 },
    { "stored as f16", BN(8, 3, 1, leaky) LOSS, 2, FEATURE_F16, 0, 0 },
    { "stored as u8", BN(8, 3, 1, leaky) LOSS, 3, FEATURE_U8, 0, 0 },
    { "Adam", BN(8, 3, 2, tanh) CONV(5, 3, 1, logistic) LOSS, 1, FEATURE_F32, 1, 0 },
    /* a 1x1 and a shortcut read the same layer: both gradients count */
    { "1x1 beside a shortcut", BN(8, 3, 1, leaky) BN(4, 1, 1, leaky) BN(8, 3, 1, leaky) SHORTCUT(-3, leaky) LOSS, 1, FEATURE_F32, 0, 24 },
    { "1x1 with a stride", BN(8, 3, 1, leaky) CONV(6, 1, 2, leaky) BN(6, 3, 1, leaky) BN(7, 1, 2, leaky) LOSS, 1, FEATURE_F16, 0, 24 },
    { "a 1x1 with a stride first", BN(8, 1, 2, leaky) LOSS, 1, FEATURE_F32, 0, 0 },
    { "depthwise", BN(8, 1, 1, leaky) BN(8, 3, 1, leaky) "groups=8\n" BN(6, 1, 1, leaky) LOSS, 1, FEATURE_F32, 0, 0 },
    { "dropout", BN(8, 3, 1, leaky) "[dropout]\nprobability=.4\n" BN(6, 3, 1, leaky) LOSS, 1, FEATURE_F32, 0, 0 },
    { "activation", "[activation]\nactivation=leaky\n" BN(8, 3, 1, linear) "[activation]\nactivation=tanh\n" BN(6, 3, 1, leaky) LOSS, 1, FEATURE_F32, 0, 0 },
    { "connected", "[connected]\noutput=20\nbatch_normalize=1\nactivation=tanh\n[connected]\noutput=9\nactivation=linear\n" LOSS, 1, FEATURE_F32, 0, 0 },
    { "pooling and routes", BN(8, 3, 1, leaky) "[maxpool]\nsize=2\nstride=2\n" BN(5, 3, 1, leaky) "[upsample]\nstride=2\n[route]\nlayers=-1,0\n" BN(6, 1, 1, leaky) LOSS,
      1, FEATURE_F32, 0, 0 },
    { "average", BN(8, 3, 2, leaky) "[avgpool]\n" LOSS, 1, FEATURE_F32, 0, 0 },
};

/* ---- comparing ---- */

static void check_nmse(const float *got, const float *want, size_t n, const char *name, int layer, const char *what)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        error += pow((double)got[i] - want[i], 2);
        size += pow(want[i], 2);
    }
    if (!(error <= 1e-7 * size + 1e-18)) fail_msg("%s, layer %d, %s: NMSE %g of %zu values", name, layer, what, error / size, n);
}

/* What the device has of layer i, after gpu_pull. */
static void check_arrays(const network *got, const network *want, int i, const char *name)
{
    const layer *a = &got->layers[i], *b = &want->layers[i];
    size_t weights = a->type == CONNECTED ? (size_t)(a->inputs * a->outputs) : (size_t)a->nweights, c = (size_t)a->out_c;
    if (!a->weights) return;
    check_nmse(a->weights, b->weights, weights, name, i, "weights");
    check_nmse(a->biases, b->biases, c, name, i, "biases");
    check_nmse(a->weight_updates, b->weight_updates, weights, name, i, "weight updates");
    check_nmse(a->bias_updates, b->bias_updates, c, name, i, "bias updates");
    if (!a->batch_normalize) return;
    check_nmse(a->scales, b->scales, c, name, i, "scales");
    check_nmse(a->scale_updates, b->scale_updates, c, name, i, "scale updates");
    check_nmse(a->rolling_mean, b->rolling_mean, c, name, i, "running mean");
    check_nmse(a->rolling_variance, b->rolling_variance, c, name, i, "running variance");
}

static void check_networks(network *got, const network *want, int outputs, const char *name)
{
    gpu_pull(got);
    for (int i = 0; i < got->n; ++i) {
        if (outputs) gpu_pull_output(got, i);
        if (outputs) check_nmse(got->layers[i].output, want->layers[i].output, (size_t)(got->layers[i].outputs * got->batch), name, i, "output");
        check_arrays(got, want, i, name);
    }
}

/* ---- single networks ---- */

/* Networks parsed after this are on the device or on the CPU. */
static void choose(int gpu)
{
    diag *d = diag_new();
    if (gpu) assert_int_equal(gpu_choose(NULL, d), 0);
    else gpu_index = -1;
    check_no_errors(d);
    diag_free(d);
}

static network *open_case(const net_case *k, int gpu)
{
    choose(gpu);
    char *cfg = mem_printf("[net]\nbatch=3\nsubdivisions=1\nheight=12\nwidth=12\nchannels=3\nlearning_rate=.05\nmomentum=.9\ndecay=.0005\n"
                           "policy=constant\nmax_batches=10\nadam=%d\n%s", k->adam, k->cfg);
    network *net = check_parse(cfg);
    const layer *below = &net->layers[net->n - 2];
    feature_l2_params p = { .scale = 1.5f, .mean = 1, .target_pool = k->pool, .c = below->out_c, .h = below->out_h, .w = below->out_w };
    diag *d = diag_new();
    if (make_feature_l2_layer(&net->layers[net->n - 1], p, d) || cpu_bind(net, &(cpu_options){ .backend = gpu ? BACKEND_GPU : BACKEND_REFERENCE, .seed = 5 }, d)
        || gpu_bind(net, d)) diag_print(d, stderr);
    check_no_errors(d);
    diag_free(d);
    cpu_init_weights(net, 0, net->n, 5);
    for (int i = 0; i < net->n; ++i)   /* with biases of 0 some gradients are 0 but for rounding */
        if (net->layers[i].weights) check_fill(net->layers[i].biases, (size_t)net->layers[i].out_c, 40 + (uint64_t)i);
    gpu_push(net);
    free(cfg);
    return net;
}

static void close_net(network *net)
{
    gpu_unbind(net);
    free_feature_l2_layer(&net->layers[net->n - 1]);
    cpu_unbind(net);
    host_free(net);
}

/* Targets as a cache stores them: (batch) maps, whose memory is *stored. */
static feature_map *make_targets(const network *net, const net_case *k, uint64_t stream, char **stored)
{
    const layer *l = &net->layers[net->n - 1];
    size_t hw = (size_t)(l->out_h * l->out_w * k->pool * k->pool), n = (size_t)l->out_c * hw, bytes = feature_bytes(k->type, l->out_c, hw);
    feature_map *maps = mem_calloc((size_t)net->batch, sizeof *maps);
    float *x = mem_calloc(n, sizeof *x);
    *stored = mem_aligned((size_t)net->batch, bytes);
    for (int b = 0; b < net->batch; ++b) {
        check_fill(x, n, stream + (uint64_t)b);
        assert_int_equal(feature_store(k->type, x, l->out_c, hw, *stored + (size_t)b * bytes), 0);
        maps[b] = feature_stored(k->type, l->out_c, *stored + (size_t)b * bytes);
    }
    free(x);
    return maps;
}

static double one_step(network *net, const net_case *k, int step)
{
    char *stored;
    feature_map *maps = make_targets(net, k, 100 + 10 * (uint64_t)step, &stored);
    check_fill(net->input, (size_t)net->inputs * (size_t)net->batch, 50 + (uint64_t)step);
    set_feature_l2_maps(&net->layers[net->n - 1], maps);
    *net->seen += (size_t)net->batch;
    host_forward(net, net->n, 1);
    host_backward(net, net->n);
    gpu_pull(net);   /* waits: the maps are not borrowed any longer */
    free(maps);
    free(stored);
    return *net->layers[net->n - 1].cost;
}

static void resize_both(network *gpu, network *cpu, int size)
{
    diag *d = diag_new();
    assert_int_equal(host_resize(cpu, size, size, d), 0);
    choose(1);
    assert_int_equal(host_resize(gpu, size, size, d), 0);
    check_no_errors(d);
    diag_free(d);
}

static void check_case(const net_case *k)
{
    network *cpu = open_case(k, 0), *gpu = open_case(k, 1);
    for (int step = 0; step < 3; ++step) {
        if (step == 2 && k->size) {
            gpu_index = -1;
            resize_both(gpu, cpu, k->size);
        }
        double want = one_step(cpu, k, step), got = one_step(gpu, k, step);
        if (!(fabs(got / want - 1) < 1e-5)) fail_msg("%s, step %d: loss %g, on the CPU %g", k->name, step, got, want);
        check_networks(gpu, cpu, 1, k->name);
        host_update(cpu, cpu->n);
        host_update(gpu, gpu->n);
        check_networks(gpu, cpu, 0, k->name);
    }
    host_forward(cpu, cpu->n, 0);
    host_forward(gpu, gpu->n, 0);
    check_nmse(gpu->output, cpu->output, (size_t)(cpu->outputs * cpu->batch), k->name, gpu->n - 1, "inference");
    close_net(gpu);
    gpu_index = -1;
    close_net(cpu);
}

static void test_layers(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) check_case(&cases[i]);
}

/* ---- gradients ---- */

static double loss_at(network *net, float *w, float value)
{
    float keep = *w;
    *w = value;
    gpu_push(net);
    host_forward(net, net->n, 1);
    *w = keep;
    return *net->layers[net->n - 1].cost;
}

/* A few of n parameters. The updates hold minus the gradient. */
static void check_gradients(network *net, float *w, const float *updates, size_t n, const char *what)
{
    const float h = 4e-3f;
    float *want = mem_calloc(n, sizeof *want);
    memcpy(want, updates, n * sizeof *want);
    for (size_t i = 0; i < n; i += n / 5 + 1) {
        double up = loss_at(net, &w[i], w[i] + h), down = loss_at(net, &w[i], w[i] - h);
        check_close(-(up - down) / (2 * (double)h), want[i], 3e-3, what, i);
    }
    free(want);
}

static void test_gradients(void **state)
{
    (void)state;
    static const net_case smooth = { "smooth", BN(6, 3, 1, tanh) CONV(5, 1, 2, logistic) BN(6, 3, 1, tanh) "groups=1\n" SHORTCUT(-2, linear) BN(4, 1, 1, tanh) LOSS, 2,
                                     FEATURE_F32, 0, 0 };
    network *net = open_case(&smooth, 1);
    char *stored;
    feature_map *maps = make_targets(net, &smooth, 100, &stored);
    one_step(net, &smooth, 0);
    for (int i = 0; i < net->n - 1; ++i) {
        const layer *l = &net->layers[i];
        if (!l->weights) continue;
        set_feature_l2_maps(&net->layers[net->n - 1], maps);
        check_gradients(net, l->weights, l->weight_updates, (size_t)l->nweights, "weights");
        check_gradients(net, l->biases, l->bias_updates, (size_t)l->n, "biases");
        if (l->batch_normalize) check_gradients(net, l->scales, l->scale_updates, (size_t)l->n, "scales");
    }
    free(maps);
    free(stored);
    close_net(net);
}

/* ---- distillations ---- */

static const char teacher_cfg[] = "[net]\nbatch=1\nheight=16\nwidth=16\nchannels=3\n" BN(8, 3, 2, relu) BN(8, 1, 2, relu) BN(12, 3, 1, relu)
    "[avgpool]\n" CONV(5, 1, 1, linear) "[softmax]\n";
static const char student_cfg[] = "[net]\nbatch=4\nsubdivisions=1\nheight=16\nwidth=16\nchannels=3\nlearning_rate=.05\nmomentum=.9\ndecay=.0005\n"
    "policy=constant\nmax_batches=10\n[teacher]\ncfg=t.cfg\nweights=t.weights\nmean=.4,.5,.6\nstd=.2,.25,.3\n" BN(6, 3, 2, relu) "%s"
    "[projector]\nreduction=2\n[feature_l2]\n[reused_classifier]\n";

static model *open_model(int gpu, const char *name)
{
    diag *d = diag_new();
    choose(gpu);
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
    model_cache c = { .path = path, .images = 12, .data = 1 };
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
    for (uint64_t step = 0; step < 3; ++step) {
        uint64_t image[4] = { 4 * step, 4 * step + 1, 4 * step + 2, 4 * step + 3 }, view[4] = { 0 };
        check_fill(x, n, 70 + step);
        assert_int_equal(model_teach(m, x, image, view, d), 0);
        loss[step] = model_train_step(m, x, NULL, NULL);
        host_update(m->net, m->low->trained);
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

static void check_distillation(const char *name, const char *middle, const char *cpu_cache, const char *gpu_cache)
{
    char *cfg = mem_printf(student_cfg, middle);
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

static void in_folder(void)
{
    assert_int_equal(chdir(check_folder()), 0);
    choose(0);
    check_write_network("t", teacher_cfg, 500);
}

static void test_live_teacher(void **state)
{
    (void)state;
    in_folder();
    check_distillation("live teacher", BN(6, 3, 2, relu), NULL, NULL);
    check_distillation("frozen pooling before the projector", "", NULL, NULL);
}

/* Filled on one side and read on the other: they are the same files. */
static void test_cache(void **state)
{
    (void)state;
    in_folder();
    check_distillation("caches being filled", BN(6, 3, 2, relu), "cpu.feat", "gpu.feat");
    check_distillation("caches of the other side", BN(6, 3, 2, relu), "gpu.feat", "cpu.feat");
}

/* ---- detectors ---- */

#define YOLO(mask) "[convolutional]\nfilters=14\nsize=1\nstride=1\nactivation=linear\n" \
                   "[yolo]\nmask=" mask "\nanchors=4,4, 8,8, 12,12, 16,16\nclasses=2\nnum=4\nmax=3\n"
#define TRIPLE "[projector]\n[feature_l2]\n[reused_classifier]\n"
#define DETECTOR_NET "[net]\nbatch=4\nsubdivisions=1\nwidth=32\nheight=32\nchannels=3\nlearning_rate=.02\nmomentum=.9\nmax_batches=10\n"

static const char detector_cfg[] = DETECTOR_NET BN(16, 3, 2, leaky) BN(24, 3, 2, leaky) BN(24, 3, 1, leaky) SHORTCUT(-2, linear) BN(32, 3, 2, leaky) YOLO("2,3")
    "[route]\nlayers=-3\n[upsample]\nstride=2\n[route]\nlayers=-1,3\n" BN(20, 3, 1, leaky) YOLO("0,1");
static const char detector_student_cfg[] = DETECTOR_NET "[teacher]\ncfg=d.cfg\nweights=d.weights\n" BN(8, 3, 2, leaky) BN(16, 3, 2, leaky) BN(16, 3, 2, leaky) TRIPLE
    "[route]\nlayers=2\n[upsample]\nstride=2\n[route]\nlayers=-1,1\n" BN(12, 3, 1, leaky) TRIPLE;

/* Three boxes an image, or as the teacher says. */
static double detector_step(model *m, int labels, uint64_t stream)
{
    size_t n = (size_t)(m->net->inputs * m->net->batch), truths = (size_t)m->net->truths;
    float *x = mem_calloc(n, sizeof *x), *boxes = mem_calloc(truths * 4, sizeof *boxes);
    check_fill(x, n, stream);
    for (size_t i = 0; i < 4 * truths; ++i) boxes[i] = i % 5 == 4 ? (float)(i % 2) : .2f + .6f * (float)(i * 7 % 10) / 10;
    double loss = model_train_step(m, x, NULL, labels ? boxes : NULL);
    host_update(m->net, m->low->trained);
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
    choose(1);
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

/* Two taps, frozen heads among trained layers, another size; and from labels, as a teacher is trained. */
static void test_detectors(void **state)
{
    (void)state;
    in_folder();
    check_write_network("d", detector_cfg, 700);
    check_write("ds.cfg", detector_student_cfg, sizeof detector_student_cfg - 1);
    check_detector("detector", "ds.cfg", 0);
    check_detector("detector from labels", "d.cfg", 1);
}

/* ---- refusals ---- */

static void refused(const char *list, const char *text)
{
    diag *d = diag_new();
    assert_int_equal(gpu_choose(list, d), -1);
    assert_int_equal(diag_errors(d), 1);
    if (!strstr(diag_get(d, 0)->text, text)) fail_msg("'%s' does not say '%s'", diag_get(d, 0)->text, text);
    diag_free(d);
}

static void test_refusals(void **state)
{
    (void)state;
    char why[200];
    assert_int_equal(gpu_index, -1);
    if (!gpu_built()) {
        refused("0", "this build computes on the CPU only");
        return;
    }
    refused("0,1", "one GPU only");
    refused("x", "expected a device's number");
    refused("", "expected a device's number");
    refused("-1", "expected a device's number");
    refused("0x", "expected a device's number");
    if (gpu_present(why, sizeof why)) refused("999", "CUDA devices, the first is 0");
    else refused(NULL, "no CUDA device: ");
    assert_int_equal(gpu_index, -1);
}

static void test_padded_1x1_is_refused(void **state)
{
    (void)state;
    choose(1);
    network *net = check_parse("[net]\nbatch=1\nheight=4\nwidth=4\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nstride=1\npadding=1\nactivation=linear\n");
    diag *d = diag_new();
    assert_int_equal(cpu_bind(net, &(cpu_options){ .backend = BACKEND_GPU }, d), 0);
    assert_int_equal(gpu_bind(net, d), -1);
    assert_non_null(strstr(diag_get(d, 0)->text, "padding=1 around a 1x1"));
    gpu_unbind(net);
    cpu_unbind(net);
    host_free(net);
    diag_free(d);
}

int main(void)
{
    host_init();
    char why[200];
    const struct CMUnitTest without[] = { cmocka_unit_test(test_refusals) };
    const struct CMUnitTest with[] = {
        cmocka_unit_test(test_layers), cmocka_unit_test(test_gradients),  cmocka_unit_test(test_live_teacher), cmocka_unit_test(test_cache),
        cmocka_unit_test(test_detectors),
        cmocka_unit_test(test_padded_1x1_is_refused),
    };
    int failed = cmocka_run_group_tests(without, NULL, NULL);
    if (gpu_present(why, sizeof why)) return failed + cmocka_run_group_tests(with, NULL, NULL);
    printf("skipped: CPU = GPU for %zu networks, gradients, live teacher and caches on a GPU: %s\n", sizeof cases / sizeof *cases, why);
    return failed;
}
