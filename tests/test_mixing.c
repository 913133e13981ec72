/* mixup, cutout and label smoothing: pixels, factors and targets against a second computation, the same in any batch and
 * number of threads; the loss of [softmax] by targets that are not one-hot. */
#include "layers/network.h"
#include "check_data.h"

#include "darknet_plugin/data/augment_internal.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/model/model.h"

#include <unistd.h>

enum { SIDE = 8, AREA = SIDE * SIDE, IMAGES = 30, VIEWS = 3 };

static uint8_t byte_of(uint64_t image, int i) { return (uint8_t)(40 + 5 * image + 3 * (uint64_t)i); }
static int label_of(uint64_t image) { return (int)(image * 7 % 10); }

/* Grey images whose pixels and labels say which one they are. */
static dataset *small_set(void)
{
    uint8_t pixels[16 + IMAGES * AREA] = { 0, 0, 8, 3, 0, 0, 0, IMAGES, 0, 0, 0, SIDE, 0, 0, 0, SIDE };
    uint8_t labels[8 + IMAGES] = { 0, 0, 8, 1, 0, 0, 0, IMAGES };
    for (uint64_t image = 0; image < IMAGES; ++image) {
        for (int i = 0; i < AREA; ++i) pixels[16 + image * AREA + (uint64_t)i] = byte_of(image, i);
        labels[8 + image] = (uint8_t)label_of(image);
    }
    data_put("m-images-idx3-ubyte", pixels, sizeof pixels);
    data_put("m-labels-idx1-ubyte", labels, sizeof labels);
    return data_must_open("classes=10\ntrain=m-images-idx3-ubyte\n", 0, DATA_CLASSES);
}

static loader_options options_of(const dataset *s, load_how how, int batch, int threads, float mixup, int cutout)
{
    return (loader_options){
        .data = s, .how = how, .batch = batch, .c = 1, .h = SIDE, .w = SIDE, .seed = 5, .view_seed = 11, .views = VIEWS,
        .threads = threads,
        .augment = { .pad = 2, .flip = 1, .min_crop = SIDE, .max_crop = SIDE, .aspect = 1, .saturation = 1, .exposure = 1,
                     .mixup = mixup, .cutout = cutout, .any = 1 },
    };
}

/* ---- the second computation ---- */

/* The image shifted by the pad, mirrored, with its square cut out. */
static void shown_alone(uint64_t view, uint64_t image, int cutout, float *x)
{
    rng r = rng_make(11, view, image, RNG_AUGMENT);
    int dx = (int)rng_below(&r, 5) - 2, dy = (int)rng_below(&r, 5) - 2, mirror = (int)rng_below(&r, 2);
    int cx = cutout ? (int)rng_below(&r, SIDE) : 0, cy = cutout ? (int)rng_below(&r, SIDE) : 0;
    for (int y = 0; y < SIDE; ++y)
        for (int at = 0; at < SIDE; ++at) {
            int sx = (mirror ? SIDE - 1 - at : at) + dx, sy = y + dy, left = cx - cutout / 2, top = cy - cutout / 2;
            int beyond = sx < 0 || sy < 0 || sx >= SIDE || sy >= SIDE;
            int cut = at >= left && at < left + cutout && y >= top && y < top + cutout;
            x[y * SIDE + at] = beyond || cut ? 0 : (float)byte_of(image, sy * SIDE + sx) / 255.f;
        }
}

/* log of Gamma(a + 1) u^(1/a) after Marsaglia and Tsang, written again. */
static double log_gamma_of(rng *r, double a)
{
    const double d = a + 1 - 1. / 3;
    double x, v, u;
    do {
        double u1 = 1 - rng_uniform(r, 0, 1);
        x = sqrt(-2 * log(u1)) * cos(6.283185307179586 * rng_uniform(r, 0, 1));
        v = pow(1 + x / sqrt(9 * d), 3);
        u = v > 0 ? 1 - rng_uniform(r, 0, 1) : 1;
    } while (v <= 0 || log(u) >= x * x / 2 + d * (1 - v + log(v)));
    return log(d) + log(v) + log(1 - rng_uniform(r, 0, 1)) / a;
}

static double mix_of(uint64_t view, uint64_t image, double alpha, uint64_t *partner)
{
    rng r = rng_make(11, view, image, RNG_MIX);
    *partner = rng_below(&r, IMAGES);
    double a = log_gamma_of(&r, alpha), b = log_gamma_of(&r, alpha);
    return 1 / (1 + exp(b - a));
}

/* ---- pixels ---- */

/* All views of all images, by view and image. */
typedef struct shown { float x[VIEWS][IMAGES][AREA], mix[VIEWS][IMAGES]; int label[VIEWS][IMAGES], label2[VIEWS][IMAGES], times; } shown;

static void keep_image(void *ctx, const batch *b, int j)
{
    shown *s = ctx;
    memcpy(s->x[b->view[j]][b->index[j]], b->x + j * AREA, AREA * sizeof(float));
    s->label[b->view[j]][b->index[j]] = b->label[j];
    assert_int_equal(!b->mix, !b->label2);
    if (!b->mix) return;
    s->mix[b->view[j]][b->index[j]] = b->mix[j];
    s->label2[b->view[j]][b->index[j]] = b->label2[j];
}

static shown *collect(const loader_options *o, int batches)
{
    shown *s = mem_calloc(1, sizeof *s);
    s->times = data_each_image(o, batches, keep_image, s);
    return s;
}

static void check_shown(const shown *s, float alpha, int cutout)
{
    for (uint64_t v = 0; v < VIEWS; ++v)
        for (uint64_t i = 0; i < IMAGES; ++i) {
            float own[AREA], other[AREA];
            uint64_t partner;
            double f = mix_of(v, i, (double)alpha, &partner);
            float got = s->mix[v][i];
            check_close((double)got, f, 1e-6, "factor", (size_t)i);
            shown_alone(v, i, cutout, own);
            shown_alone(v, partner, cutout, other);
            for (int k = 0; k < AREA; ++k) assert_true(s->x[v][i][k] == got * own[k] + (1 - got) * other[k]);
            assert_int_equal(s->label[v][i], label_of(i));
            assert_int_equal(s->label2[v][i], label_of(partner));
        }
}

static void test_pixels_and_labels(void **state)
{
    (void)state;
    dataset *s = small_set();
    for (int k = 0; k < 3; ++k) {
        const float alpha = k == 2 ? 5 : .3f;
        loader_options o = options_of(s, LOAD_VIEWS, 7, 2, alpha, k ? 3 : 0);
        shown *got = collect(&o, -1);
        assert_int_equal(got->times, VIEWS * IMAGES);
        check_shown(got, alpha, o.augment.cutout);
        free(got);
    }
    dataset_free(s);
}

static void test_batches_and_threads_do_not_matter(void **state)
{
    (void)state;
    dataset *s = small_set();
    loader_options o = options_of(s, LOAD_VIEWS, 7, 1, .4f, 3);
    shown *one = collect(&o, -1);
    for (int threads = 1; threads <= 4; ++threads) {
        o = options_of(s, threads % 2 ? LOAD_TRAIN : LOAD_VIEWS, 3 * threads, threads, .4f, 3);
        shown *other = collect(&o, 3 * IMAGES / o.batch + (o.how == LOAD_TRAIN ? 1 : 9));
        other->times = one->times;
        assert_memory_equal(one, other, sizeof *one);
        free(other);
    }
    o.seed = 6;   /* moves the order alone */
    shown *reordered = collect(&o, -1);
    assert_memory_equal(one, reordered, sizeof *one);
    free(reordered);
    o.view_seed = 12;
    shown *other = collect(&o, -1);
    assert_memory_not_equal(one->mix, other->mix, sizeof one->mix);
    free(other);
    free(one);
    dataset_free(s);
}

/* An image of a batch that is mixed with none: the view alone, with this cutout. */
static void is_alone(void *ctx, const batch *b, int j)
{
    const int *cutout = ctx;
    float want[AREA];
    assert_true(!b->mix && !b->label2);
    shown_alone(b->view[j], b->index[j], *cutout, want);
    assert_memory_equal(want, b->x + j * AREA, sizeof want);
}

/* Without mixup there is no second label, and cutout alone changes nothing else. */
static void test_off_and_cutout_alone(void **state)
{
    (void)state;
    dataset *s = small_set();
    for (int cutout = 0; cutout <= 5; ++cutout) {
        loader_options o = options_of(s, LOAD_VIEWS, 8, 2, 0, cutout);
        assert_int_equal(data_each_image(&o, -1, is_alone, &cutout), VIEWS * IMAGES);
    }
    dataset_free(s);
}

static void is_as_stored(void *ctx, const batch *b, int j)
{
    (void)ctx;
    assert_null(b->mix);
    for (int i = 0; i < AREA; ++i) assert_true(b->x[j * AREA + i] == (float)byte_of(b->index[j], i) / 255.f);
}

/* Validation and prediction show images as they are. */
static void test_only_training_is_mixed(void **state)
{
    (void)state;
    dataset *s = small_set();
    loader_options o = options_of(s, LOAD_VALID, 8, 2, 1, 4);
    assert_int_equal(data_each_image(&o, -1, is_as_stored, NULL), IMAGES);
    dataset_free(s);
}

/* One picture of three is none: whoever is mixed with it ends the run, which says its name; no thread hangs. */
static void test_broken_partner_is_named(void **state)
{
    (void)state;
    const uint8_t grey[4] = { 50, 60, 70, 80 };
    assert_int_equal(image_write("b0.png", grey, 2, 2, 1), 0);
    assert_int_equal(image_write("b2.png", grey, 2, 2, 1), 0);
    check_write("b1.png", "no picture", 10);
    data_put_text("b.list", "b0.png 0\nb1.png 1\nb2.png 2\n");
    dataset *s = data_must_open("classes=3\ntrain=b.list\n", 0, DATA_CLASSES);
    for (int threads = 1; threads <= 4; ++threads) {
        loader_options o = options_of(s, LOAD_TRAIN, 1, threads, 1, 0);
        diag *d = diag_new();
        loader *l = loader_start(&o, d);
        int batches = 0;
        while (loader_next(l, d)) ++batches;
        assert_true(batches < 3);
        assert_int_equal(diag_errors(d), 1);
        assert_non_null(strstr(diag_get(d, 0)->text, "b1.png: not an image"));
        loader_stop(l);
        diag_free(d);
    }
    dataset_free(s);
}

/* ---- what is drawn ---- */

/* Mean 1/2 and variance 1 / (4 (2 alpha + 1)), within five standard errors. */
static void test_factors_are_beta(void **state)
{
    (void)state;
    static const float alpha[] = { .05f, .2f, 1, 3, 40 };
    enum { N = 40000 };
    for (size_t k = 0; k < sizeof alpha / sizeof *alpha; ++k) {
        augment_spec spec = { .mixup = alpha[k] };
        double sum = 0, squares = 0, variance = 1 / (4 * (2 * (double)alpha[k] + 1));
        uint64_t partners[3] = { 0 };
        for (uint64_t i = 0; i < N; ++i) {
            rng r = rng_make(1, 0, i, RNG_MIX);
            image_mix mix = augment_draw_mix(&spec, &r, 3);
            assert_true(mix.factor >= 0 && mix.factor <= 1);
            sum += (double)mix.factor - .5;
            squares += ((double)mix.factor - .5) * ((double)mix.factor - .5);
            ++partners[mix.partner];
        }
        assert_true(fabs(sum / N) < 5 * sqrt(variance / N));
        assert_true(fabs(squares / N - variance) < 5 * variance * sqrt(2. / N));
        for (int p = 0; p < 3; ++p) assert_true(fabs((double)partners[p] - N / 3.) < 5 * sqrt(N * 2. / 9));
    }
    const float extreme[] = { 2e-38f, 1e-30f, 1e-3f, 1000, 3e38f };
    for (size_t k = 0; k < sizeof extreme / sizeof *extreme; ++k)
        for (uint64_t i = 0; i < 1000; ++i) {
            rng r = rng_make(2, 0, i, RNG_MIX);
            double f = rng_beta(&r, (double)extreme[k]);
            assert_true(f >= 0 && f <= 1);
            if (extreme[k] < 1e-20f) assert_true(f == 0 || f == 1);
        }
}

/* A square whose side is that, or what of it lies within; every pixel is its centre as often. */
static void test_squares(void **state)
{
    (void)state;
    enum { W = 9, H = 6, N = 5400 };
    for (int size = 0; size <= 7; ++size) {
        int centres[H][W] = { { 0 } };
        for (uint64_t i = 0; i < N; ++i) {
            float x[2][H][W];
            rng r = rng_make(3, 0, i, RNG_TEST), again = r;
            int cx = size ? (int)rng_below(&again, W) : 0, cy = size ? (int)rng_below(&again, H) : 0;
            for (int k = 0; k < 2 * H * W; ++k) (&x[0][0][0])[k] = 1;
            augment_cutout(&x[0][0][0], 2, H, W, size, &r);
            assert_true(r.counter == again.counter);
            ++centres[cy][cx];
            for (int k = 0; k < 2; ++k)
                for (int y = 0; y < H; ++y)
                    for (int at = 0; at < W; ++at) {
                        int from_x = at - (cx - size / 2), from_y = y - (cy - size / 2);
                        int inside = from_x >= 0 && from_x < size && from_y >= 0 && from_y < size;
                        assert_true(x[k][y][at] == (inside ? 0 : 1));
                    }
        }
        for (int k = 0; size && k < W * H; ++k) assert_true(abs((&centres[0][0])[k] - N / (W * H)) < 50);
    }
    float x[4] = { 1, 1, 1, 1 };
    rng r = rng_make(3, 0, 0, RNG_TEST);
    augment_cutout(x, 1, 2, 2, 2147483647, &r);
    for (int k = 0; k < 4; ++k) assert_true(x[k] == 0);
}

/* ---- targets and losses ---- */

static void test_targets(void **state)
{
    (void)state;
    network *net = check_parse("[net]\nbatch=6\nwidth=2\nheight=2\nchannels=1\n[connected]\noutput=4\nactivation=linear\n[softmax]\n");
    const int first[6] = { 0, 3, 2, -1, 1, 4 }, second[6] = { 1, 3, 0, 2, -1, 1 };
    const float factor[6] = { .75f, .3f, 0, .5f, .9f, .5f };
    const mixed_labels plain = { .first = first }, mixed = { first, second, factor };
    const float one_hot[6][4] = { { 1 }, { 0, 0, 0, 1 }, { 0, 0, 1 }, { 0 }, { 0, 1 }, { 0 } };
    const float rows[6][4] = { { .75f, .25f }, { 0, 0, 0, 1 }, { 1 }, { 0 }, { 0 }, { 0 } };
    assert_int_equal(net->truths, 4);
    model_fill_truth(net, &plain, 0);
    assert_memory_equal(net->truth, one_hot, sizeof one_hot);
    model_fill_truth(net, &mixed, 0);
    assert_memory_equal(net->truth, rows, sizeof rows);
    model_fill_truth(net, &mixed, .2f);
    for (int b = 0; b < 6; ++b)
        for (int k = 0; k < 4; ++k) {
            double want = b < 3 ? .8 * (double)rows[b][k] + .05 : 0;
            check_close((double)net->truth[4 * b + k], want, 1e-7, "smoothed", (size_t)(4 * b + k));
        }
    host_free(net);
}

enum { BATCH = 5, CLASSES = 4, INPUTS = 9 };
static const char classifier[] = "[net]\nbatch=5\nsubdivisions=1\nwidth=3\nheight=3\nchannels=1\nlearning_rate=.1\nmomentum=0\ndecay=0\n"
                                 "policy=constant\nmax_batches=9\n[augment]\nlabel_smoothing=%s\n"
                                 "[connected]\noutput=4\nactivation=linear\n[softmax]\n";

static model *open_classifier(cpu_backend backend, const char *smoothing)
{
    char *text = mem_printf(classifier, smoothing);
    diag *d = diag_new();
    check_write("c.cfg", text, strlen(text));
    model *m = model_open("c.cfg", &(model_options){ .backend = backend, .seed = 4 }, d);
    check_no_errors(d);
    assert_non_null(m);
    diag_free(d);
    free(text);
    return m;
}

/* Cross-entropy by double arithmetic, mean over the images that have a label. */
static double cross_entropy(const model *m, const float *x, const float truth[BATCH][CLASSES])
{
    const layer *l = &m->net->layers[0];
    double sum = 0, labelled = 0;
    for (int b = 0; b < BATCH; ++b) {
        double z[CLASSES], total = 0, known = 0;
        for (int k = 0; k < CLASSES; ++k) {
            z[k] = (double)l->biases[k];
            for (int i = 0; i < INPUTS; ++i) z[k] += (double)x[b * INPUTS + i] * (double)l->weights[k * INPUTS + i];
            total += exp(z[k]);
        }
        for (int k = 0; k < CLASSES; ++k) {
            sum -= (double)truth[b][k] * (z[k] - log(total));
            known += (double)truth[b][k];
        }
        labelled += known > .5;
    }
    return sum / labelled;
}

/* The loss that is reported is the cross-entropy, and the gradient is that loss's. */
static void test_softmax_loss(void **state)
{
    (void)state;
    const int first[BATCH] = { 0, 3, 2, -1, 1 }, second[BATCH] = { 1, 3, 0, 2, 1 };
    const float factor[BATCH] = { .7f, .3f, 0, .5f, .9f };
    for (int k = 0; k < 6; ++k) {
        model *m = open_classifier((cpu_backend)(k % 3), k < 3 ? "0" : ".1");
        layer *l = &m->net->layers[0];
        float x[BATCH * INPUTS], truth[BATCH][CLASSES];
        check_fill(x, BATCH * INPUTS, 5);
        double got = model_train_mixed(m, x, &(mixed_labels){ first, second, factor }, NULL);
        memcpy(truth, m->net->truth, sizeof truth);
        check_close(got, cross_entropy(m, x, truth), 1e-6, "loss", (size_t)k);
        for (int i = 0; i < CLASSES * INPUTS; ++i) {
            const float kept = l->weights[i], step = 1e-2f;
            l->weights[i] = kept + step;
            double above = cross_entropy(m, x, truth);
            l->weights[i] = kept - step;
            double below = cross_entropy(m, x, truth);
            l->weights[i] = kept;
            double slope = (above - below) / (2 * (double)step);
            check_close(-(double)l->weight_updates[i] / BATCH, slope, 1e-5, "gradient", (size_t)i);
        }
        model_close(m);
    }
}

/* One-hot targets by either way: the same bits. */
static void test_unmixed_is_as_before(void **state)
{
    (void)state;
    const int label[BATCH] = { 0, 3, 2, 1, 1 };
    const float one[BATCH] = { 1, 1, 1, 1, 1 };
    float x[BATCH * INPUTS];
    check_fill(x, BATCH * INPUTS, 6);
    model *a = open_classifier(BACKEND_DNNL, "0"), *b = open_classifier(BACKEND_DNNL, "0");
    double plain = model_train_step(a, x, label, NULL);
    double mixed = model_train_mixed(b, x, &(mixed_labels){ label, (const int[BATCH]){ 3, 0, 1, 2, 1 }, one }, NULL);
    assert_true(plain == mixed);
    assert_memory_equal(a->net->layers[0].weight_updates, b->net->layers[0].weight_updates, CLASSES * INPUTS * sizeof(float));
    model_close(a);
    model_close(b);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_and_labels),
        cmocka_unit_test(test_batches_and_threads_do_not_matter),
        cmocka_unit_test(test_off_and_cutout_alone),
        cmocka_unit_test(test_only_training_is_mixed),
        cmocka_unit_test(test_broken_partner_is_named),
        cmocka_unit_test(test_factors_are_beta),
        cmocka_unit_test(test_squares),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_softmax_loss),
        cmocka_unit_test(test_unmixed_is_as_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
