/* Training images that are held out, in every format: both sides together are the whole, image by image. */
#include "layers/network.h"
#include "check_data.h"

#include "darknet_plugin/data/image_io.h"

#include <sys/stat.h>
#include <unistd.h>

/* data_file_read(data) with `n` images held out; the caller frees. */
static data_file *holding_out(const char *data, size_t n, diag *d)
{
    data_file *f = data_read_text(data, d);
    assert_non_null(f);
    f->held_out = n;
    return f;
}

static void check_image(const dataset *s, size_t k, const dataset *whole, size_t i)
{
    uint8_t *p, *q;
    int w, h, v, g, n, m;
    char a[300], b[300];
    assert_int_equal(dataset_label(s, k), dataset_label(whole, i));
    assert_string_equal(dataset_name(s, k, a, sizeof a), dataset_name(whole, i, b, sizeof b));
    assert_int_equal(dataset_size(s, k, &v, &g), 0);
    assert_int_equal(dataset_read(whole, i, 1, &p, &w, &h, a, sizeof a), 0);
    assert_true(w == v && h == g);
    assert_int_equal(dataset_read(s, k, 1, &q, &v, &g, a, sizeof a), 0);
    assert_true(w == v && h == g);
    assert_memory_equal(p, q, (size_t)w * (size_t)h);
    const data_box *one = dataset_boxes(whole, i, &n), *other = dataset_boxes(s, k, &m);
    assert_int_equal(n, m);
    if (n) assert_memory_equal(one, other, (size_t)n * sizeof *one);
    free(p);
    free(q);
}

/* Images in memory have a hash of them all, files a print each, which are as many as there are images. */
static void check_identity(const dataset *whole, const dataset *train, const dataset *held)
{
    if (dataset_prints(whole)) {
        assert_int_equal(dataset_prints(train), dataset_count(train));
        assert_int_equal(dataset_prints(held), dataset_count(held));
        for (size_t i = 0; i < dataset_count(held); ++i) {
            data_print one = dataset_print(held, i), other = dataset_print(whole, dataset_count(train) + i);
            assert_true(one.hash && one.hash == other.hash);
        }
        return;
    }
    assert_int_not_equal(dataset_identity(train), dataset_identity(whole));
    assert_int_not_equal(dataset_identity(held), dataset_identity(whole));
    assert_int_not_equal(dataset_identity(held), dataset_identity(train));
}

/* Held out of `count` images: the last `n`. */
static void check_holdout(const char *data, int need, size_t count, size_t n)
{
    diag *d = diag_new();
    dataset *whole = data_must_open(data, 0, need);
    assert_int_equal(dataset_count(whole), count);
    data_file *f = holding_out(data, n, d);
    dataset *train = dataset_open(f, DATA_TRAIN, 0, need, d), *held = dataset_open(f, DATA_VALID, 0, need, d);
    dataset *few = dataset_open(f, DATA_TRAIN, 1, need, d), *first = dataset_open(f, DATA_VALID, 1, need, d);
    check_no_errors(d);
    assert_int_equal(dataset_count(train), count - n);
    assert_int_equal(dataset_count(held), n);
    for (size_t i = 0; i < count - n; ++i) check_image(train, i, whole, i);
    for (size_t i = 0; i < n; ++i) check_image(held, i, whole, count - n + i);
    assert_int_equal(dataset_count(few), 1);
    check_image(few, 0, whole, 0);
    assert_int_equal(dataset_count(first), 1);
    check_image(first, 0, whole, count - n);
    check_identity(whole, train, held);
    data_file_free(f);
    dataset *const set[] = { whole, train, held, few, first };
    for (size_t i = 0; i < sizeof set / sizeof *set; ++i) dataset_free(set[i]);
    diag_free(d);
}

static void test_idx(void **state)
{
    (void)state;
    uint8_t images[16 + 5 * 8] = { 0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 4 }, labels[8 + 5] = { 0, 0, 8, 1, 0, 0, 0, 5, 2, 0, 1, 2, 0 };
    for (int i = 0; i < 40; ++i) images[16 + i] = (uint8_t)(3 * i);
    data_put("a-images-idx3-ubyte", images, sizeof images);
    data_put("a-labels-idx1-ubyte", labels, sizeof labels);
    images[20]++;
    data_put("b-images-idx3-ubyte", images, sizeof images);
    data_put("b-labels-idx1-ubyte", labels, sizeof labels);
    check_holdout("classes=3\ntrain=a-images-idx3-ubyte,b-images-idx3-ubyte\nvalid=nothing\n", DATA_CLASSES, 10, 2);
    check_holdout("classes=3\ntrain=a-images-idx3-ubyte,b-images-idx3-ubyte\n", DATA_CLASSES, 10, 7);
}

static void test_cifar(void **state)
{
    (void)state;
    uint8_t *records = mem_calloc(6, 3073);
    for (size_t i = 0; i < 6; ++i)
        for (size_t k = 0; k < 3073; ++k) records[i * 3073 + k] = (uint8_t)(k ? k * i : i);
    data_put("c.bin", records, 6 * 3073);
    free(records);
    check_holdout("classes=10\ntrain=c.bin\n", DATA_CLASSES, 6, 2);
}

static void put_image(const char *name, int grey)
{
    char *path = check_path(name);
    uint8_t p[6];
    memset(p, grey, sizeof p);
    assert_int_equal(image_write(path, p, 3, 2, 1), 0);
    free(path);
}

static void test_files(void **state)
{
    (void)state;
    static const char *const folder[] = { "photos", "photos/cat", "photos/dog" };
    for (size_t i = 0; i < sizeof folder / sizeof *folder; ++i) {
        char *path = mem_printf("%s/%s", check_folder(), folder[i]);
        mkdir(path, 0700);
        free(path);
    }
    put_image("photos/cat/1.png", 10);
    put_image("photos/cat/2.png", 20);
    put_image("photos/dog/3.png", 30);
    put_image("photos/dog/4.png", 40);
    data_put_text("pets", "cat\ndog\n");
    data_put_text("l.list", "photos/dog/4.png 1\nphotos/cat/1.png 0\nphotos/dog/3.png 1\nphotos/cat/2.png 0\n");
    check_holdout("classes=2\nnames=pets\ntrain=photos\n", DATA_CLASSES, 4, 1);
    check_holdout("classes=2\nnames=pets\ntrain=l.list\n", DATA_CLASSES, 4, 3);
    data_put_text("photos/cat/1.txt", "0 .5 .5 .1 .1\n");
    data_put_text("photos/cat/2.txt", "1 .5 .5 .1 .1\n0 .2 .2 .1 .1\n");
    data_put_text("photos/dog/3.txt", "");
    data_put_text("photos/dog/4.txt", "1 .4 .5 .1 .1\n1 .5 .6 .1 .1\n0 .2 .3 .1 .1\n");
    data_put_text("b.list", "photos/dog/4.png\nphotos/cat/1.png\nphotos/dog/3.png\nphotos/cat/2.png\n");
    check_holdout("classes=2\nnames=pets\ntrain=b.list\n", DATA_BOXES, 4, 2);
}

static void test_too_many(void **state)
{
    (void)state;
    diag *d = diag_new();
    data_file *f = holding_out("classes=2\nnames=pets\ntrain=l.list\n", 4, d);
    assert_null(dataset_open(f, DATA_TRAIN, 0, DATA_CLASSES, d));
    data_expect(d, "4 images are to be held out of 4 (train= in ");
    data_file_free(f);
    diag_free(d);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx), cmocka_unit_test(test_cifar), cmocka_unit_test(test_files), cmocka_unit_test(test_too_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
