/* [yolo] new_coords=1, [Gaussian_yolo] and nms_kind= of AlexeyAB's Darknet: outputs and boxes against formulae written out here. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/model/detect.h"
#include "layers/cpu/cpu.h"
#include "layers/fork_heads.h"

enum { W = 4, H = 3, CELLS = W * H, CLASSES = 2, ANCHORS = 2, BATCH = 2 };

#define NET "[net]\nbatch=2\nwidth=64\nheight=48\nchannels=3\n\n[maxpool]\nsize=16\nstride=16\n\n"
#define CONV(filters, activation) "[convolutional]\nfilters=" filters "\nsize=1\nstride=1\npad=0\nactivation=" activation "\n\n"
#define HEAD "mask=1,2\nanchors=5,7, 20,30, 40,15\nclasses=2\nnum=3\nscale_x_y=1.5\n"
static const char new_coords[] = NET CONV("14", "logistic") "[yolo]\nnew_coords=1\n" HEAD;
static const char gaussian[] = NET CONV("22", "linear") "[Gaussian_yolo]\n" HEAD;
static const double anchor[ANCHORS][2] = { { 20, 30 }, { 40, 15 } };

typedef struct run {
    network *net;
    cfg_file *cfg;
    detect_heads heads;
    const layer *l, *before;
} run;

static run run_of(const char *text, cpu_backend backend)
{
    diag *d = diag_new();
    run r = { .net = check_parse(text), .cfg = cfg_parse("test.cfg", text, strlen(text), d) };
    check_no_errors(d);
    cpu_options options = { .backend = backend };
    assert_int_equal(cpu_bind(r.net, &options, d), 0);
    layer *conv = &r.net->layers[1];
    check_fill(conv->weights, (size_t)conv->nweights, 3);
    check_fill(conv->biases, (size_t)conv->n, 4);
    check_fill(r.net->input, (size_t)(r.net->batch * r.net->inputs), 5);
    network_forward(r.net, r.net->n, 0);
    assert_int_equal(detect_heads_of(r.net, r.cfg, &r.heads, d), 0);
    r.before = conv;
    r.l = &r.net->layers[2];
    diag_free(d);
    return r;
}

static void end(run *r)
{
    detect_heads_free(&r->heads);
    cpu_unbind(r->net);
    host_free(r->net);
    cfg_free(r->cfg);
}

/* The box that is wanted of an anchor at a cell, and which class. */
static void check_one(const detect_list *got, double x, double y, double w, double h, double p, int label)
{
    int found = 0;
    for (size_t i = 0; i < got->n; ++i) {
        const detect_box *b = &got->box[i];
        found += b->label == label && fabs((double)b->x - x) < 1e-5 && fabs((double)b->y - y) < 1e-5 &&
                 fabs((double)b->w - w) < 1e-5 * fmax(1, w) && fabs((double)b->h - h) < 1e-5 * fmax(1, h) &&
                 fabs((double)b->probability - p) < 1e-6;
    }
    assert_int_equal(found, 1);
}

static double logistic(float x) { return 1 / (1 + exp(-(double)x)); }

static void check_new_coords(cpu_backend backend)
{
    run r = run_of(new_coords, backend);
    detect_options options = { .threshold = 0, .nms = 1 };
    detect_list got = { 0 };
    assert_memory_equal(r.l->output, r.before->output, (size_t)r.l->outputs * BATCH * sizeof(float));
    for (int i = 0; i < r.l->outputs * BATCH; ++i) assert_true(r.l->output[i] > 0 && r.l->output[i] < 1);
    detect_image(&r.heads, 1, 64, 48, &options, 9, &got);
    assert_int_equal(got.n, CELLS * ANCHORS * CLASSES);
    for (int i = 0; i < CELLS * ANCHORS * CLASSES; ++i) {
        int cell = i % CELLS, a = i / CELLS % ANCHORS, label = i / CELLS / ANCHORS;
        const float *v = r.before->output + r.l->outputs + a * (5 + CLASSES) * CELLS + cell;
        double x = (v[0] * 1.5 - .25 + cell % W) / W, y = (v[CELLS] * 1.5 - .25 + cell / W) / H;
        double w = pow(2. * v[2 * CELLS], 2) * anchor[a][0] / 64, h = pow(2. * v[3 * CELLS], 2) * anchor[a][1] / 48;
        check_one(&got, x, y, w, h, (double)v[4 * CELLS] * (double)v[(5 + label) * CELLS], label);
    }
    detect_list_free(&got);
    end(&r);
}

static void test_new_coords(void **state)
{
    (void)state;
    check_new_coords(BACKEND_DNNL);
    check_new_coords(BACKEND_REFERENCE);
    check_new_coords(BACKEND_HOST);
}

static void test_gaussian(void **state)
{
    (void)state;
    run r = run_of(gaussian, BACKEND_DNNL);
    detect_options options = { .threshold = 0, .nms = 1 };
    detect_list got = { 0 };
    assert_int_equal(r.heads.classes, CLASSES);
    detect_image(&r.heads, 1, 64, 48, &options, 9, &got);
    assert_int_equal(got.n, CELLS * ANCHORS * CLASSES);
    for (int i = 0; i < CELLS * ANCHORS * CLASSES; ++i) {
        int cell = i % CELLS, a = i / CELLS % ANCHORS, label = i / CELLS / ANCHORS;
        const float *v = r.before->output + r.l->outputs + a * (GAUSSIAN_ENTRIES + CLASSES) * CELLS + cell;
        double unsure = 0;
        for (int k = 1; k < 8; k += 2) unsure += logistic(v[k * CELLS]) / 4;
        double x = (logistic(v[0]) * 1.5 - .25 + cell % W) / W, y = (logistic(v[2 * CELLS]) * 1.5 - .25 + cell / W) / H;
        double w = exp((double)v[4 * CELLS]) * anchor[a][0] / 64, h = exp((double)v[6 * CELLS]) * anchor[a][1] / 48;
        check_one(&got, x, y, w, h, logistic(v[8 * CELLS]) * logistic(v[(9 + label) * CELLS]) * (1 - unsure), label);
    }
    detect_list_free(&got);
    end(&r);
}

/* ---- labels ---- */

enum { MOST = 3, TRUTHS = 5 * MOST, ENTRIES = 5 + CLASSES };
static const double S = 1.5, IGNORE = .3;

/* Two objects of the first anchor's shape, one of the second's; one that is another head's, in image 0 alone. */
static const float labels[BATCH][TRUTHS] = {
    { .30f, .40f, .3f, .6f, 1,   .80f, .20f, .6f, .3f, 0,   .55f, .95f, .05f, .1f, 1 },
    { .60f, .70f, .35f, .7f, 0 },
};
static const int anchor_of[BATCH][MOST] = { { 0, 1, -1 }, { 0, -1, -1 } };

static double side(double centre, double size, double other, double other_size)
{
    return fmin(centre + size / 2, other + other_size / 2) - fmax(centre - size / 2, other - other_size / 2);
}

/* How much the box at v, strides of CELLS, meets an object. */
static double meets(const float *v, int a, int cell, const float *t)
{
    double x = (S * (double)v[0] - (S - 1) / 2 + cell % W) / W, y = (S * (double)v[CELLS] - (S - 1) / 2 + cell / W) / H;
    double w = pow(2. * (double)v[2 * CELLS], 2) * anchor[a][0] / 64, h = pow(2. * (double)v[3 * CELLS], 2) * anchor[a][1] / 48;
    double across = side(x, w, (double)t[0], (double)t[2]), down = side(y, h, (double)t[1], (double)t[3]);
    double both = across > 0 && down > 0 ? across * down : 0;
    return both / (w * h + (double)t[2] * (double)t[3] - both);
}

static double entropy(double target, float v)
{
    double t = fmin(fmax(target, 0), 1);
    return -t * log((double)v) - (1 - t) * log(1 - (double)v);
}

/* The loss of one anchor at a cell of image b. */
static double loss_at(const float *v, int b, int a, int cell)
{
    double most = 0;
    const float *mine = NULL;
    for (int t = 0; t < MOST && labels[b][5 * t] > 0; ++t) {
        const float *truth = labels[b] + 5 * t;
        most = fmax(most, meets(v, a, cell, truth));
        if (anchor_of[b][t] == a && (int)(truth[1] * H) * W + (int)(truth[0] * W) == cell) mine = truth;
    }
    if (!mine) return most > IGNORE ? 0 : entropy(0, v[4 * CELLS]);
    double share = 2 - (double)mine[2] * (double)mine[3], sum = entropy(1, v[4 * CELLS]);
    sum += share * entropy(((double)mine[0] * W - cell % W + (S - 1) / 2) / S, v[0]);
    sum += share * entropy(((double)mine[1] * H - cell / W + (S - 1) / 2) / S, v[CELLS]);
    sum += share * entropy(sqrt((double)mine[2] * 64 / (4 * anchor[a][0])), v[2 * CELLS]);
    sum += share * entropy(sqrt((double)mine[3] * 48 / (4 * anchor[a][1])), v[3 * CELLS]);
    for (int k = 0; k < CLASSES; ++k) sum += entropy(k == (int)mine[4], v[(5 + k) * CELLS]);
    return sum;
}

/* delta against differences of the loss as it is written above, for every number of the output. */
static void test_labels(void **state)
{
    (void)state;
    char *text = mem_printf("%signore_thresh=.3\nmax=3\n", new_coords);
    run r = run_of(text, BACKEND_DNNL);
    size_t n = (size_t)r.l->outputs, learnt = 0, ignored = 0;
    float *truth = mem_calloc((size_t)r.l->truths * BATCH, sizeof *truth);
    for (int b = 0; b < BATCH; ++b) memcpy(truth + b * r.l->truths, labels[b], sizeof labels[b]);
    r.net->truth = truth;
    network_forward(r.net, r.net->n, 1);
    double cost = 0;
    for (size_t i = 0; i < n * BATCH; ++i) {
        int b = (int)(i / n), a = (int)(i % n / (ENTRIES * CELLS)), cell = (int)(i % CELLS);
        const double step = 1e-3;
        float *v = r.l->output + (size_t)b * n + a * ENTRIES * CELLS + cell, *at = &r.l->output[i], was = *at;
        *at = was + (float)step;
        double more = loss_at(v, b, a, cell), up = (double)*at;
        *at = was - (float)step;
        double slope = (more - loss_at(v, b, a, cell)) / (up - (double)*at);
        *at = was;
        check_close(r.l->delta[i], -slope, 2e-4, "delta", i);
        learnt += r.l->delta[i] != 0;
        ignored += i % n / CELLS % ENTRIES == 4 && r.l->delta[i] == 0;
        cost += pow((double)r.l->delta[i] * (double)was * (1 - (double)was), 2);
    }
    assert_true(learnt == (size_t)(BATCH * ANCHORS * CELLS) - ignored + 3 * (ENTRIES - 1));
    assert_true(ignored > 0);
    check_close(*r.l->cost, cost, 1e-5, "cost", 0);
    r.net->truth = NULL;                                   /* no labels, no loss */
    network_forward(r.net, r.net->n, 1);
    for (size_t i = 0; i < n * BATCH; ++i) assert_true(r.l->delta[i] == 0);
    assert_true(*r.l->cost == 0);
    free(truth);
    free(text);
    end(&r);
}

/* At another size they are what they were. */
static void test_resized(void **state)
{
    (void)state;
    const char *const text[] = { new_coords, gaussian };
    for (int i = 0; i < 2; ++i) {
        run r = run_of(text[i], BACKEND_DNNL);
        diag *d = diag_new();
        assert_int_equal(network_resize(r.net, 128, 96, d), 0);
        check_fill(r.net->input, (size_t)(r.net->batch * r.net->inputs), 6);
        network_forward(r.net, r.net->n, 0);
        assert_true(r.l->w == 2 * W && r.l->h == 2 * H && r.l->outputs == r.before->outputs);
        assert_true(r.l->output[0] > 0 && r.l->output[0] < 1);
        if (!i) assert_memory_equal(r.l->output, r.before->output, (size_t)r.l->outputs * BATCH * sizeof(float));
        diag_free(d);
        end(&r);
    }
}

/* Channels that do not fit are told by our shapes, not by the host. */
static void test_channels(void **state)
{
    (void)state;
    check_not_lowered(NET CONV("14", "linear") "[Gaussian_yolo]\n" HEAD, LOWER_TRAIN,
                      "18: [Gaussian_yolo] needs 22 input channels (2 masks x (2 + 9)), not 14");
}

/* ---- thinning out ---- */

/* Of two equal boxes whose centres are `away` apart, does the less likely one stay? */
static size_t kept(const char *keys, float away, float nms)
{
    char *text = mem_printf("[net]\nbatch=1\nwidth=64\nheight=16\nchannels=3\n\n[maxpool]\nsize=16\nstride=16\n\n"
                            CONV("6", "linear") "[yolo]\nmask=0\nanchors=32,8\nclasses=1\nnum=1\n%s", keys);
    diag *d = diag_new();
    network *net = check_parse(text);
    cfg_file *cfg = cfg_parse("test.cfg", text, strlen(text), d);
    detect_heads heads;
    detect_list got = { 0 };
    check_no_errors(d);
    assert_int_equal(detect_heads_of(net, cfg, &heads, d), 0);
    float *y = net->layers[2].output;
    memset(y, 0, (size_t)net->layers[2].outputs * sizeof *y);
    for (int cell = 0; cell < 2; ++cell) {
        y[cell] = cell ? away * W - 1 + .5f : .5f;      /* x, of the whole picture's width */
        y[W + cell] = .5f;
        y[4 * W + cell] = cell ? .8f : .9f;
        y[5 * W + cell] = 1;
    }
    detect_options options = { .threshold = .1f, .nms = nms };
    detect_image(&heads, 0, 64, 16, &options, 0, &got);
    size_t n = got.n;
    detect_list_free(&got), detect_heads_free(&heads), cfg_free(cfg), diag_free(d), host_free(net), free(text);
    return n;
}

/* Boxes half the picture wide and high, in a picture of 1 x 1: what IoU and distance are can be written down. */
static void test_nms_kinds(void **state)
{
    (void)state;
    static const float away[] = { .02f, .06f, .1f, .14f, .18f, .22f };
    int apart[3] = { 0 };
    for (size_t i = 0; i < sizeof away / sizeof *away; ++i) {
        double a = (double)away[i], iou = (.5 - a) / (.5 + a), across = (.5 + a) * (.5 + a) + .25, ratio = a * a / across;
        for (int k = 0; k < 9; ++k) {
            float nms = .1f + .1f * (float)k;
            size_t plain = kept("", away[i], nms), greedy = kept("nms_kind=greedynms\nbeta_nms=3\n", away[i], nms);
            size_t diou = kept("nms_kind=diounms\nbeta_nms=.3\n", away[i], nms), same = kept("nms_kind=default\n", away[i], nms);
            assert_int_equal(plain, iou > (double)nms ? 1 : 2);
            assert_int_equal(greedy, iou - pow(ratio, .6) > (double)nms ? 1 : 2);
            assert_int_equal(diou, iou - pow(ratio, .3) > (double)nms ? 1 : 2);
            assert_int_equal(same, plain);
            apart[0] += plain != greedy;
            apart[1] += greedy != diou;
        }
    }
    assert_true(apart[0] > 3 && apart[1] > 3);
    assert_int_equal(kept("nms_kind=diounms\n", .1f, .55f), kept("nms_kind=greedynms\n", .1f, .55f));   /* .6 is its default */
}

static void test_diou_of_nothing(void **state)
{
    (void)state;
    detect_box a = { .x = .5f, .y = .5f }, b = a;
    assert_true(detect_diou(&a, &b, .6f) == 0);
    b.x = 1.5f;
    assert_true(detect_diou(&a, &b, .6f) == -1);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_coords), cmocka_unit_test(test_gaussian), cmocka_unit_test(test_labels),
        cmocka_unit_test(test_resized),
        cmocka_unit_test(test_channels),   cmocka_unit_test(test_nms_kinds), cmocka_unit_test(test_diou_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
