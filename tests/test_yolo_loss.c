/* The loss of [yolo]: its delta against the host's own function, against PyTorch's gradients and against differences; the
 * same whatever the number of threads, silent, and none where an image has no labels. */
#include "layers/network.h"
#include "check_nets.h"

#include "layers/cpu/cpu.h"
#include "layers/cpu/parallel.h"
#include "layers/yolo_loss.h"

#include <fcntl.h>
#include <unistd.h>

void forward_yolo_layer(layer l, network net);   /* the host's, exported, in no header */

enum { OBJECTS = 4 };

/* ---- a head alone ---- */

/* A bound network whose layer 2 is the [yolo]; it is given what the test says, not what the layers before make. */
typedef struct head {
    network *net;
    const layer *l;
    size_t n;                /* numbers of the batch */
    float *input, *truth;    /* owned */
} head;

static head make_head(const char *net, const char *keys, int batch, int side, int channels)
{
    diag *d = diag_new();
    int new_coords = strstr(keys, "new_coords=1") != NULL;
    char *text = mem_printf("[net]\nbatch=%d\nwidth=%d\nheight=%d\nchannels=3\n\n[maxpool]\nsize=%d\nstride=%d\n\n[convolutional]\n"
                            "filters=%d\nsize=1\nactivation=%s\n\n[yolo]\n%s%s\n", batch, side, side, 32, 32, channels,
                            new_coords ? "logistic" : "linear", net, keys);
    head h = { .net = check_parse(text) };
    cpu_options options = { .backend = BACKEND_DNNL };
    assert_int_equal(cpu_bind(h.net, &options, d), 0);
    check_no_errors(d);
    h.l = &h.net->layers[2];
    h.n = (size_t)(h.l->outputs * batch);
    h.input = mem_calloc(h.n, sizeof *h.input);
    h.truth = mem_calloc((size_t)(h.l->truths * batch), sizeof *h.truth);
    free(text);
    diag_free(d);
    return h;
}

static void drop_head(head *h)
{
    cpu_unbind(h->net);
    host_free(h->net);
    free(h->input);
    free(h->truth);
}

static network state_of(const head *h, int train)
{
    network state = *h->net;
    state.index = 2;
    state.train = train;
    state.input = h->input;
    state.truth = h->truth;
    return state;
}

static void run(const head *h, int train) { h->l->forward(*h->l, state_of(h, train)); }

/* As many objects as a cell has, at random places; every third image has none. */
static void draw(const head *h, uint64_t seed, int classes)
{
    rng r = rng_make(seed, 1, 2, RNG_TEST);
    for (size_t i = 0; i < h->n; ++i) h->input[i] = (float)rng_normal(&r);
    memset(h->truth, 0, (size_t)(h->l->truths * h->l->batch) * sizeof *h->truth);
    for (int b = 0; b < h->l->batch; ++b)
        for (int t = 0; t < 6 && b % 3 != 2; ++t) {
            float *truth = h->truth + b * h->l->truths + 5 * t;
            for (int i = 0; i < 4; ++i) truth[i] = (float)rng_uniform(&r, .05, .95);
            truth[4] = (float)rng_below(&r, (uint64_t)classes);
        }
}

/* Where stdout goes while the host speaks; what it said is gone. */
static int hush(const char *path)
{
    int mine = dup(STDOUT_FILENO), file = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    fflush(stdout);
    dup2(file, STDOUT_FILENO);
    close(file);
    return mine;
}

static void speak(int mine)
{
    fflush(stdout);
    dup2(mine, STDOUT_FILENO);
    close(mine);
}

/* ---- the host ---- */

static void check_host(const char *keys, uint64_t seed, size_t *learnt)
{
    head h = make_head("mask=1,2,4\nanchors=20,24, 40,60, 90,50, 70,110, 150,140\nnum=5\nclasses=3\n", keys, 5, 160, 24);
    float *own = mem_calloc(h.n, sizeof *own);
    draw(&h, seed, 3);
    run(&h, 1);
    memcpy(own, h.l->output, h.n * sizeof *own);
    float *delta = mem_calloc(h.n, sizeof *delta), cost = *h.l->cost;
    memcpy(delta, h.l->delta, h.n * sizeof *delta);
    int mine = hush("/dev/null");
    forward_yolo_layer(*h.l, state_of(&h, 1));
    speak(mine);
    check_close_n(own, h.l->output, h.n, 1e-7, "output");
    for (size_t i = 0; i < h.n; ++i) *learnt += h.l->delta[i] != 0;
    check_close_n(delta, h.l->delta, h.n, 2e-6, "delta");
    check_close(cost / *h.l->cost, 1, 1e-5, "cost", 0);
    free(own);
    free(delta);
    drop_head(&h);
}

/* A host built with GPU=1 leaves the logistic out of that function. */
static void test_host(void **state)
{
    (void)state;
#ifndef GPU
    size_t learnt = 0;
    for (uint64_t seed = 1; seed <= 40; ++seed) {
        check_host("ignore_thresh=.3", seed, &learnt);
        check_host("ignore_thresh=.4\ntruth_thresh=.5\nmax=4", seed, &learnt);
    }
    assert_true(learnt > 80 * 375 / 2);
#endif
}

/* ---- PyTorch ---- */

static void read_numbers(FILE *file, const char *name, float *x, size_t n)
{
    char word[16];
    assert_int_equal(fscanf(file, "%15s", word), 1);
    assert_string_equal(word, name);
    for (size_t i = 0; i < n; ++i) assert_int_equal(fscanf(file, "%f", &x[i]), 1);
}

static const char fixture_net[] = "mask=1,2\nanchors=9,7, 22,30, 45,40\nnum=3\nclasses=3\n";

static void check_case(FILE *file, const float *truth, char *keys)
{
    for (char *at = keys; *at; ++at) *at = *at == ',' ? '\n' : *at;
    head h = make_head(fixture_net, strcmp(keys, "-") ? keys : "", 1, 64, 16);
    float *delta = mem_calloc(h.n, sizeof *delta), cost;
    memcpy(h.truth, truth, 5 * OBJECTS * sizeof *truth);
    read_numbers(file, "input", h.input, h.n);
    read_numbers(file, "delta", delta, h.n);
    read_numbers(file, "cost", &cost, 1);
    run(&h, 1);
    check_close_n(h.l->delta, delta, h.n, 1e-5, keys);
    check_close(*h.l->cost / cost, 1, 1e-5, keys, 0);
    free(delta);
    drop_head(&h);
}

static void test_pytorch(void **state)
{
    (void)state;
    FILE *file = fopen("tests/fixtures/yolo_loss.txt", "r");
    float truth[5 * OBJECTS];
    char keys[200];
    int cases = 0;
    assert_non_null(file);
    read_numbers(file, "truth", truth, 5 * OBJECTS);
    for (; fscanf(file, " case %199s", keys) == 1; ++cases) check_case(file, truth, keys);
    assert_int_equal(cases, 18);
    fclose(file);
}

/* ---- differences ---- */

/* Boxes that meet, that do not, and that hold each other. */
static void test_iou_slopes(void **state)
{
    (void)state;
    rng r = rng_make(3, 0, 0, RNG_TEST);
    int apart = 0;
    for (int k = 0; k < 400; ++k) {
        float v[8];
        for (int i = 0; i < 8; ++i) v[i] = (float)rng_uniform(&r, i % 4 < 2 ? .3 : .1, i % 4 < 2 ? .7 : .6);
        iou_box other = { v[4], v[5], v[6], v[7] }, box = { v[0], v[1], v[2], v[3] };
        for (int kind = IOU_PLAIN; kind <= IOU_COMPLETE; ++kind) {
            double slope[4], unused[4];
            double value = iou_of(kind, &box, &other, slope);
            apart += kind == IOU_PLAIN && value == 0;
            for (int i = 0; i < 4; ++i) {
                float more[4] = { v[0], v[1], v[2], v[3] }, less[4] = { v[0], v[1], v[2], v[3] };
                more[i] += 1e-3f;
                less[i] -= 1e-3f;
                iou_box up = { more[0], more[1], more[2], more[3] }, down = { less[0], less[1], less[2], less[3] };
                double high = iou_of(kind, &up, &other, unused), low = iou_of(kind, &down, &other, unused);
                double step = (double)more[i] - (double)less[i], right = (high - value) * 2 / step, left = (value - low) * 2 / step;
                if (fabs(right - left) > .1) continue;      /* an edge passes another there */
                check_close(slope[i], (high - low) / step, 5e-3, "slope", (size_t)kind);
            }
        }
    }
    assert_true(apart > 20);
}

static void test_iou_values(void **state)
{
    (void)state;
    double unused[4];
    iou_box a = { .5f, .5f, .5f, .5f }, beside = { 1, .5f, .5f, .5f }, wide = { .5f, .5f, 1, .25f }, none = { .5f, .5f, 0, 0 };
    const double v = 4 / (M_PI * M_PI) * pow(atan(4) - atan(1), 2);
    for (int kind = IOU_PLAIN; kind <= IOU_COMPLETE; ++kind) {
        assert_true(iou_of(kind, &a, &a, unused) == 1);
        check_close(unused[2], 0, 3, "bounded", 0);
        assert_true(isfinite(iou_of(kind, &none, &none, unused)) && isfinite(unused[0]) && isfinite(unused[3]));
    }
    assert_true(iou_of(IOU_PLAIN, &a, &beside, unused) == 0);
    check_close(iou_of(IOU_GENERALISED, &a, &beside, unused), 0, 1e-7, "giou of neighbours", 0);
    check_close(iou_of(IOU_DISTANCE, &a, &beside, unused), -.25 / 1.25, 1e-7, "diou of neighbours", 0);
    check_close(iou_of(IOU_PLAIN, &a, &wide, unused), .125 / .375, 1e-7, "iou of a cross", 0);
    check_close(iou_of(IOU_COMPLETE, &a, &wide, unused), 1 / 3. - v * v / (2 / 3. + v), 1e-6, "ciou of a cross", 0);
}

/* The box's part alone: delta against differences of the cost by what the layer is given. */
static void check_differences(const char *keys)
{
    char *all = mem_printf("%s\nobj_normalizer=0\ncls_normalizer=0\niou_normalizer=1\niou_thresh=.3", keys);
    head h = make_head(fixture_net, all, 1, 64, 16);
    network net = state_of(&h, 1);
    double part[1], base;
    size_t learnt = 0, kinks = 0;
    draw(&h, 11, 3);
    for (size_t i = 0; strstr(keys, "new_coords") && i < h.n; ++i) h.input[i] = (float)(1 / (1 + exp(-(double)h.input[i])));
    run(&h, 1);
    float *delta = mem_calloc(h.n, sizeof *delta);
    memcpy(delta, h.l->delta, h.n * sizeof *delta);
    yolo_learn_batch(h.l, &net, part);
    base = part[0];
    for (size_t i = 0; i < h.n; ++i) {
        float was = h.input[i], step = 2e-3f;
        double cost[2], at[2];
        for (int side = 0; side < 2; ++side) {
            h.input[i] = was + (side ? step : -step);
            at[side] = (double)h.input[i];
            yolo_activate(h.l, h.input);
            yolo_learn_batch(h.l, &net, part);
            cost[side] = part[0];
        }
        h.input[i] = was;
        learnt += delta[i] != 0;
        kinks += fabs(cost[1] - 2 * base + cost[0]) > 1e-3;      /* an edge passes another there */
        if (fabs(cost[1] - 2 * base + cost[0]) > 1e-3) continue;
        check_close(delta[i], -(cost[1] - cost[0]) / (at[1] - at[0]), 2e-3, keys, i);
    }
    assert_true(learnt >= 8 && kinks < 4);
    free(delta);
    free(all);
    drop_head(&h);
}

static void test_differences(void **state)
{
    (void)state;
    static const char *const kinds[] = { "iou", "giou", "diou", "ciou" };
    for (int i = 0; i < 8; ++i) {
        char *keys = mem_printf("iou_loss=%s\nscale_x_y=1.2%s", kinds[i / 2], i % 2 ? "\nnew_coords=1" : "");
        check_differences(keys);
        free(keys);
    }
}

/* ---- images, threads, words ---- */

static const char many[] = "iou_loss=ciou\niou_thresh=.2\nignore_thresh=.4\nobjectness_smooth=1\nlabel_smooth_eps=.1";

static void test_without_labels(void **state)
{
    (void)state;
    static const float unlabelled[] = { -1, NAN };
    head h = make_head(fixture_net, many, 3, 64, 16);
    size_t one = (size_t)h.l->outputs;
    draw(&h, 4, 3);
    run(&h, 1);
    float cost = *h.l->cost, *delta = mem_calloc(h.n, sizeof *delta);
    memcpy(delta, h.l->delta, h.n * sizeof *delta);
    for (int k = 0; k < 2; ++k) {
        h.truth[h.l->truths] = unlabelled[k];
        for (size_t i = 0; i < h.n; ++i) h.l->delta[i] = 7;     /* nothing of before may stay */
        run(&h, 1);
        for (size_t i = 0; i < one; ++i) assert_true(h.l->delta[one + i] == 0);
        assert_memory_equal(h.l->delta, delta, one * sizeof *delta);
        assert_memory_equal(h.l->delta + 2 * one, delta + 2 * one, one * sizeof *delta);
        assert_true(*h.l->cost > 0 && *h.l->cost < cost);
    }
    run(&h, 0);
    assert_true(*h.l->cost == 0);
    free(delta);
    drop_head(&h);
}

/* The same bits from 1 to 4 threads, the delta passed on once, and not a word. */
static void test_threads_and_silence(void **state)
{
    (void)state;
    head h = make_head("mask=1,2\nanchors=20,24, 40,60, 90,50\nnum=3\nclasses=20\n", many, 6, 320, 50);
    float *first = mem_calloc(h.n, sizeof *first), *below = mem_calloc(h.n, sizeof *below), cost = 0;
    char *path = mem_printf("%s/said", check_folder());
    draw(&h, 9, 20);
    for (int threads = 1; threads <= 4; ++threads) {
        parallel_set_threads(threads);
        int mine = hush(path);
        run(&h, 1);
        speak(mine);
        if (threads == 1) memcpy(first, h.l->delta, h.n * sizeof *first);
        if (threads == 1) cost = *h.l->cost;
        assert_memory_equal(h.l->delta, first, h.n * sizeof *first);
        assert_true(*h.l->cost == cost && cost > 0);
    }
    size_t said;
    free(check_read(path, &said));
    assert_int_equal(said, 0);
    network net = state_of(&h, 1);
    net.delta = below;
    for (size_t i = 0; i < h.n; ++i) below[i] = 1;
    h.l->backward(*h.l, net);
    for (size_t i = 0; i < h.n; ++i) assert_true(below[i] == 1 + first[i]);
    parallel_set_threads(0);
    free(path);
    free(first);
    free(below);
    drop_head(&h);
}

/* At another size the same places learn; NaN comes to light. */
static void test_resized_and_nan(void **state)
{
    (void)state;
    head h = make_head(fixture_net, many, 2, 64, 16);
    diag *d = diag_new();
    assert_int_equal(network_resize(h.net, 128, 96, d), 0);
    check_no_errors(d);
    free(h.input);
    h.n = (size_t)(h.l->outputs * 2);
    h.input = mem_calloc(h.n, sizeof *h.input);
    draw(&h, 6, 3);
    run(&h, 1);
    assert_true(h.l->w == 4 && h.l->h == 3 && *h.l->cost > 0);
    h.input[4 * 12] = NAN;       /* an objectness */
    run(&h, 1);
    assert_true(isnan(*h.l->cost));
    diag_free(d);
    drop_head(&h);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_host),           cmocka_unit_test(test_pytorch),
        cmocka_unit_test(test_iou_slopes),     cmocka_unit_test(test_iou_values),
        cmocka_unit_test(test_differences),    cmocka_unit_test(test_without_labels),
        cmocka_unit_test(test_threads_and_silence), cmocka_unit_test(test_resized_and_nan),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
