/* The loader: the same stream for any number of threads and any start, validation in order, failures by name. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/data/loader.h"

#include <time.h>
#include <unistd.h>

/* n images of size x size whose pixels and label say which image they are. */
static data_file *small_set(int n, int size)
{
    char *images = mem_printf("%s/s%d-images-idx3-ubyte", check_folder(), n);
    char *labels = mem_printf("%s/s%d-labels-idx1-ubyte", check_folder(), n);
    size_t area = (size_t)size * (size_t)size, bytes = 16 + (size_t)n * area;
    uint8_t *b = mem_calloc(bytes, 1), *l = mem_calloc(8 + (size_t)n, 1);
    memcpy(b, (uint8_t[16]){ 0, 0, 8, 3, 0, 0, (uint8_t)(n >> 8), (uint8_t)n, 0, 0, 0, (uint8_t)size, 0, 0, 0, (uint8_t)size }, 16);
    memcpy(l, (uint8_t[8]){ 0, 0, 8, 1, 0, 0, (uint8_t)(n >> 8), (uint8_t)n }, 8);
    for (int i = 0; i < n; ++i) {
        for (size_t k = 0; k < area; ++k) b[16 + (size_t)i * area + k] = (uint8_t)(i + 7 * k);
        l[8 + i] = (uint8_t)(i % 10);
    }
    check_write(images, b, bytes);
    check_write(labels, l, 8 + (size_t)n);
    char *data = mem_printf("%s/s%d.data", check_folder(), n);
    char *text = mem_printf("classes=10\ntrain=%s\nvalid=%s\n", images, images);
    check_write(data, text, strlen(text));
    diag *d = diag_new();
    data_file *f = data_file_read(data, d);
    check_no_errors(d);
    diag_free(d);
    free(images), free(labels), free(b), free(l), free(data), free(text);
    return f;
}

static dataset *open_set(data_file *f, data_split split)
{
    diag *d = diag_new();
    dataset *s = dataset_open(f, split, 0, 1, d);
    check_no_errors(d);
    assert_non_null(s);
    diag_free(d);
    data_file_free(f);
    return s;
}

static loader_options options(const dataset *s, int size, int batch, int threads)
{
    return (loader_options){
        .data = s, .how = LOAD_TRAIN, .batch = batch, .c = 1, .h = size, .w = size, .seed = 5, .view_seed = 5, .threads = threads,
        .augment = { .pad = 2, .flip = 1, .min_crop = size, .max_crop = size, .aspect = 1, .saturation = 1, .exposure = 1, .any = 1 },
    };
}

typedef struct stream { float *x; int *label; uint64_t *index; size_t images; } stream;

static stream collect(const loader_options *o, int batches)
{
    diag *d = diag_new();
    size_t size = (size_t)o->c * (size_t)o->h * (size_t)o->w, b = (size_t)o->batch, n = b * (size_t)batches;
    stream t = { mem_calloc(n, size * sizeof(float)), mem_calloc(n, sizeof(int)), mem_calloc(n, sizeof(uint64_t)), n };
    loader *l = loader_start(o, d);
    assert_non_null(l);
    for (size_t i = 0; i < (size_t)batches; ++i) {
        const batch *got = loader_next(l, d);
        check_no_errors(d);
        assert_non_null(got);
        memcpy(t.x + i * b * size, got->x, b * size * sizeof(float));
        memcpy(t.label + i * b, got->label, b * sizeof(int));
        memcpy(t.index + i * b, got->index, b * sizeof(uint64_t));
    }
    loader_stop(l);
    diag_free(d);
    return t;
}

static void free_stream(stream t)
{
    free(t.x), free(t.label), free(t.index);
}

static void test_threads_do_not_matter(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    loader_options o = options(s, 8, 16, 1);
    stream one = collect(&o, 20);
    for (int threads = 2; threads <= 5; ++threads) {
        o.threads = threads;
        stream many = collect(&o, 20);
        assert_memory_equal(one.x, many.x, one.images * 64 * sizeof(float));
        assert_memory_equal(one.index, many.index, one.images * sizeof(uint64_t));
        assert_memory_equal(one.label, many.label, one.images * sizeof(int));
        free_stream(many);
    }
    o.seed = 6;
    stream other = collect(&o, 20);
    assert_memory_not_equal(one.index, other.index, one.images * sizeof(uint64_t));
    free_stream(other);
    free_stream(one);
    dataset_free(s);
}

/* The order depends on the seed alone, the pixels of an image's view on the view seed alone. */
static void test_two_seeds(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    loader_options o = options(s, 8, 50, 2);
    stream one = collect(&o, 1);
    o.view_seed = 6;
    stream seen = collect(&o, 1);
    assert_memory_equal(one.index, seen.index, 50 * sizeof(uint64_t));
    assert_memory_not_equal(one.x, seen.x, 50 * 64 * sizeof(float));
    o = options(s, 8, 50, 2);
    o.seed = 6;
    stream order = collect(&o, 1);
    int moved = 0;
    for (size_t i = 0; i < 50; ++i)
        for (size_t k = 0; k < 50; ++k) {
            if (order.index[k] != one.index[i]) continue;
            assert_memory_equal(one.x + i * 64, order.x + k * 64, 64 * sizeof(float));
            moved += i != k;
        }
    assert_true(moved > 25);
    free_stream(one);
    free_stream(seen);
    free_stream(order);
    dataset_free(s);
}

/* Starting at image n gives what a run from 0 gives from there on, also inside a batch and in a later epoch. */
static void test_start_resumes_the_stream(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    loader_options o = options(s, 8, 16, 3);
    stream whole = collect(&o, 20);
    const uint64_t starts[] = { 16, 48, 50, 57, 160 };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; ++i) {
        o.start = starts[i];
        stream part = collect(&o, 4);
        assert_memory_equal(part.index, whole.index + starts[i], part.images * sizeof(uint64_t));
        assert_memory_equal(part.x, whole.x + starts[i] * 64, part.images * 64 * sizeof(float));
        free_stream(part);
    }
    free_stream(whole);
    dataset_free(s);
}

/* Shares of a step follow each other: three loaders of four images of each twelve, in batches of two, from the middle on,
 * across epochs' borders. */
static void test_shares_make_up_the_steps(void **state)
{
    (void)state;
    enum { SHARES = 3, OWN = 4, STEP = SHARES * OWN, STEPS = 10, START = 24 };
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    loader_options o = options(s, 8, STEP, 2);
    o.start = START;
    stream whole = collect(&o, STEPS);
    o.batch = OWN / 2;
    o.step_images = STEP;
    o.shares = SHARES;
    for (o.share = 0; o.share < SHARES; ++o.share) {
        stream part = collect(&o, 2 * STEPS);
        for (size_t i = 0; i < STEPS; ++i) {
            size_t at = i * STEP + (size_t)o.share * OWN;
            assert_memory_equal(part.index + i * OWN, whole.index + at, OWN * sizeof(uint64_t));
            assert_memory_equal(part.x + i * OWN * 64, whole.x + at * 64, OWN * 64 * sizeof(float));
        }
        free_stream(part);
    }
    free_stream(whole);
    dataset_free(s);
}

/* Every image once an epoch, in a new order each epoch, with its own label. */
static void test_epochs_are_permutations(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    loader_options o = options(s, 8, 25, 2);
    stream t = collect(&o, 6);
    for (int e = 0; e < 3; ++e) {
        int seen[50] = { 0 };
        for (int i = 0; i < 50; ++i) {
            uint64_t at = t.index[50 * e + i];
            assert_true(at < 50);
            assert_int_equal(seen[at]++, 0);
            assert_int_equal(t.label[50 * e + i], at % 10);
        }
        if (e) assert_memory_not_equal(t.index, t.index + 50 * e, 50 * sizeof *t.index);
    }
    free_stream(t);
    dataset_free(s);
}

static const float *find_image(const stream *t, size_t from, size_t n, uint64_t index, size_t size)
{
    for (size_t i = from; i < from + n; ++i)
        if (t->index[i] == index) return t->x + i * size;
    fail_msg("image %d is not in the epoch", (int)index);
    return NULL;
}

/* views=2: epoch 2 shows the pixels of epoch 0, epoch 1 others; views=0 never repeats. */
static void test_views_come_round(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    loader_options o = options(s, 8, 50, 2);
    int same[2][3] = { { 0 } };
    for (int k = 0; k < 2; ++k) {
        o.views = 2 * k;
        stream t = collect(&o, 3);
        for (uint64_t i = 0; i < 50; ++i)
            for (size_t e = 1; e < 3; ++e)
                same[k][e] += !memcmp(find_image(&t, 0, 50, i, 64), find_image(&t, 50 * e, 50, i, 64), 64 * sizeof(float));
        free_stream(t);
    }
    assert_int_equal(same[1][2], 50);
    assert_true(same[1][1] < 10);
    assert_true(same[0][1] < 10 && same[0][2] < 10);
    dataset_free(s);
}

static void test_validation_is_in_order_and_ends(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_VALID);
    for (int threads = 1; threads <= 3; ++threads) {
        loader_options o = options(s, 8, 16, threads);
        o.how = LOAD_VALID;
        diag *d = diag_new();
        loader *l = loader_start(&o, d);
        for (int b = 0; b < 4; ++b) {
            const batch *got = loader_next(l, d);
            assert_non_null(got);
            assert_int_equal(got->n, b < 3 ? 16 : 2);
            for (int j = 0; j < 16; ++j) {
                int i = b * 16 + j < 50 ? b * 16 + j : 49;
                assert_int_equal(got->index[j], i);
                assert_int_equal(got->label[j], i % 10);
                for (int k = 0; k < 64; ++k) assert_true(got->x[j * 64 + k] == (float)((i + 7 * k) % 256) / 255.f);
            }
        }
        assert_null(loader_next(l, d));
        assert_null(loader_next(l, d));
        check_no_errors(d);
        loader_stop(l);
        diag_free(d);
    }
    dataset_free(s);
}

static void test_batch_larger_than_the_set(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(3, 8), DATA_TRAIN);
    loader_options o = options(s, 8, 16, 2);
    stream t = collect(&o, 3);
    for (size_t e = 0; e < 16; ++e) {
        uint64_t a = t.index[3 * e], b = t.index[3 * e + 1], c = t.index[3 * e + 2];
        assert_true(a != b && b != c && a != c && a < 3 && b < 3 && c < 3);
    }
    free_stream(t);
    dataset_free(s);
}

/* Stopping works with full rings, empty ones, and right after the start. */
static void test_stop_at_any_time(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    for (int i = 0; i < 60; ++i) {
        loader_options o = options(s, 8, 16, 1 + i % 4);
        diag *d = diag_new();
        loader *l = loader_start(&o, d);
        for (int k = 0; k < i % 5; ++k) assert_non_null(loader_next(l, d));
        if (i % 3 == 0) usleep(2000);
        loader_stop(l);
        diag_free(d);
    }
    dataset_free(s);
    loader_stop(NULL);
}

/* A list of five pictures, the fourth of which is none. */
static dataset *broken_list(void)
{
    const uint8_t grey[4] = { 50, 50, 50, 50 };
    char *list = mem_printf("%s/broken.list", check_folder()), *data = mem_printf("%s/broken.data", check_folder());
    char *text = mem_printf("classes=5\ntrain=%s\nvalid=%s\n", list, list);
    check_write(data, text, strlen(text));
    check_write(list, "p0.png 0\np1.png 1\np2.png 2\np3.png 3\np4.png 4\n", 45);
    for (int i = 0; i < 5; ++i) {
        char *path = mem_printf("%s/p%d.png", check_folder(), i);
        if (i == 3) check_write(path, "no picture", 10);
        else assert_int_equal(image_write(path, grey, 2, 2, 1), 0);
        free(path);
    }
    diag *d = diag_new();
    data_file *f = data_file_read(data, d);
    check_no_errors(d);
    diag_free(d);
    free(list), free(data), free(text);
    return open_set(f, DATA_VALID);
}

/* The batches before it come; then the image is named, once, whatever the number of threads. */
static void test_broken_image_is_named(void **state)
{
    (void)state;
    dataset *s = broken_list();
    for (int threads = 1; threads <= 4; ++threads) {
        loader_options o = options(s, 4, 1, threads);
        o.how = LOAD_VALID;
        o.augment.fit = FIT_LETTERBOX;
        o.c = 3;
        diag *d = diag_new();
        loader *l = loader_start(&o, d);
        for (int i = 0; i < 3; ++i) {
            const batch *b = loader_next(l, d);
            assert_non_null(b);
            assert_int_equal(b->label[0], i);
            for (int k = 0; k < 48; ++k) check_close(b->x[k], 50 / 255., 1e-6, "grey", (size_t)k);
        }
        assert_null(loader_next(l, d));
        assert_null(loader_next(l, d));
        assert_int_equal(diag_errors(d), 1);
        assert_non_null(strstr(diag_get(d, 0)->text, "/p3.png: not an image"));
        loader_stop(l);
        diag_free(d);
    }
    dataset_free(s);
}

static void test_impossible_options(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(50, 8), DATA_TRAIN);
    diag *d = diag_new();
    loader_options o = options(s, 8, 16, 1);
    o.c = 4;
    assert_null(loader_start(&o, d));
    assert_string_equal(diag_get(d, 0)->text, "the net takes 4 channels, but images have 1 or 3");
    o = options(s, 8, 0, 1);
    assert_null(loader_start(&o, d));
    assert_int_equal(diag_errors(d), 2);
    diag_free(d);
    dataset_free(s);
}

static void test_speed(void **state)
{
    (void)state;
    dataset *s = open_set(small_set(1000, 28), DATA_TRAIN);
    loader_options o = options(s, 28, 128, 1);
    diag *d = diag_new();
    loader *l = loader_start(&o, d);
    struct timespec t0, t1;
    clock_gettime(CLOCK_MONOTONIC, &t0);
    for (int b = 0; b < 160; ++b) assert_non_null(loader_next(l, d));
    clock_gettime(CLOCK_MONOTONIC, &t1);
    double rate = 160 * 128 / ((double)(t1.tv_sec - t0.tv_sec) + 1e-9 * (double)(t1.tv_nsec - t0.tv_nsec));
    print_message("%.0f images of 28x28 a second with one thread\n", rate);
    assert_true(rate > 2000);   /* a tenth of what is wanted, for slow and sanitised builds */
    loader_stop(l);
    diag_free(d);
    dataset_free(s);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_do_not_matter), cmocka_unit_test(test_two_seeds),
        cmocka_unit_test(test_start_resumes_the_stream),
        cmocka_unit_test(test_shares_make_up_the_steps),
        cmocka_unit_test(test_epochs_are_permutations),
        cmocka_unit_test(test_views_come_round),
        cmocka_unit_test(test_validation_is_in_order_and_ends),
        cmocka_unit_test(test_batch_larger_than_the_set),
        cmocka_unit_test(test_stop_at_any_time),
        cmocka_unit_test(test_broken_image_is_named),
        cmocka_unit_test(test_impossible_options),
        cmocka_unit_test(test_speed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
