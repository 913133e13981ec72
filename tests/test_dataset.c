/* Datasets kept in memory: IDX and CIFAR files, plain, gzipped, cut, grown and mislabelled. */
#include "layers/network.h"
#include "check_data.h"

#include <unistd.h>
#include <zlib.h>

#define FASHION "/usr/share/datasets/fashion-mnist"

static void put_gz(const char *name, const void *data, size_t len)
{
    char *path = check_path(name);
    gzFile z = gzopen(path, "wb");
    assert_int_equal(gzwrite(z, data, (unsigned)len), len);
    assert_int_equal(gzclose(z), Z_OK);
    free(path);
}

/* --- IDX --- */

/* 3 images of 2x4 with pixels 0..23, and labels 2 0 1. */
static const uint8_t images[16 + 24] = { 0, 0, 8, 3, 0, 0, 0, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14,
                                         15, 16, 17, 18, 19, 20, 21, 22, 23 };
static const uint8_t labels[8 + 3] = { 0, 0, 8, 1, 0, 0, 0, 3, 2, 0, 1 };

static void check_small(const dataset *s, size_t first)
{
    char why[100];
    for (size_t i = 0; i < 3; ++i) {
        uint8_t *p;
        int w, h;
        assert_int_equal(dataset_read(s, first + i, 1, &p, &w, &h, why, sizeof why), 0);
        assert_int_equal(w, 4);
        assert_int_equal(h, 2);
        assert_memory_equal(p, images + 16 + 8 * i, 8);
        assert_int_equal(dataset_label(s, first + i), labels[8 + i]);
        free(p);
    }
}

static void test_idx_plain_and_gzipped(void **state)
{
    (void)state;
    data_put("a-images-idx3-ubyte", images, sizeof images);
    data_put("a-labels-idx1-ubyte", labels, sizeof labels);
    put_gz("b-images-idx3-ubyte.gz", images, sizeof images);
    put_gz("b-labels-idx1-ubyte.gz", labels, sizeof labels);
    const char *data[] = { "classes=3\ntrain=a-images-idx3-ubyte\n", "classes=3\ntrain=b-images-idx3-ubyte.gz\n",
                           "classes=3\nformat=idx\ntrain=a-images-idx3-ubyte\ntrain_labels=b-labels-idx1-ubyte.gz\n" };
    for (int i = 0; i < 3; ++i) {
        dataset *s = data_must_open(data[i], 0, 1);
        assert_int_equal(dataset_count(s), 3);
        assert_int_equal(dataset_classes(s), 3);
        assert_string_equal(dataset_format(s), "idx");
        assert_int_equal(dataset_channels(s), 1);
        int w = 0, h = 0;
        assert_int_equal(dataset_size(s, 2, &w, &h), 0);
        assert_true(w == 4 && h == 2);
        assert_int_equal(dataset_size(s, 3, &w, &h), -1);
        check_small(s, 0);
        dataset_free(s);
    }
}

static void test_idx_several_files_names_limit(void **state)
{
    (void)state;
    char name[64], why[100];
    uint8_t *p;
    int w, h;
    dataset *s = data_must_open("classes=3\ntrain= a-images-idx3-ubyte , b-images-idx3-ubyte.gz\n", 0, 1);
    assert_int_equal(dataset_count(s), 6);
    check_small(s, 0);
    check_small(s, 3);
    assert_string_equal(dataset_name(s, 2, name, sizeof name), "a-images-idx3-ubyte#2");
    assert_string_equal(dataset_name(s, 5, name, sizeof name), "b-images-idx3-ubyte.gz#2");
    assert_int_equal(dataset_read(s, 6, 1, &p, &w, &h, why, sizeof why), -1);
    assert_int_equal(dataset_read(s, 0, 2, &p, &w, &h, why, sizeof why), -1);
    dataset_free(s);
    s = data_must_open("classes=3\ntrain=a-images-idx3-ubyte,b-images-idx3-ubyte.gz\n", 4, 1);
    assert_int_equal(dataset_count(s), 4);
    assert_int_equal(dataset_label(s, 4), -1);
    dataset_free(s);
}

/* Caches and checkpoints of before compare it: the FNV-1a of the pixels that are used. */
static void test_memory_identity(void **state)
{
    (void)state;
    static const struct { size_t limit; uint64_t identity; } rows[] = { { 0, 0x4d6366cf7d8aa54du }, { 2, 0x7c84dc9477851775u } };
    for (int i = 0; i < 2; ++i) {
        dataset *s = data_must_open("classes=3\ntrain=a-images-idx3-ubyte\n", rows[i].limit, 1);
        if (dataset_identity(s) != rows[i].identity) fail_msg("0x%016llx", (unsigned long long)dataset_identity(s));
        dataset_free(s);
    }
}

static void test_idx_grey_to_three_channels(void **state)
{
    (void)state;
    char why[100];
    uint8_t *p;
    int w, h;
    dataset *s = data_must_open("classes=3\ntrain=a-images-idx3-ubyte\n", 0, 1);
    assert_int_equal(dataset_read(s, 1, 3, &p, &w, &h, why, sizeof why), 0);
    for (int i = 0; i < 24; ++i) assert_int_equal(p[i], 8 + i / 3);
    free(p);
    dataset_free(s);
}

static void test_idx_unlabelled(void **state)
{
    (void)state;
    data_put("u-images-idx3-ubyte", images, sizeof images);
    data_refuse_set("classes=3\ntrain=u-images-idx3-ubyte\n", "label file is not there");
    dataset *s = data_must_open("classes=3\ntrain=u-images-idx3-ubyte\n", 0, 0);
    assert_int_equal(dataset_label(s, 0), -1);
    dataset_free(s);
    data_put("plain", images, sizeof images);
    data_refuse_set("classes=3\ntrain=plain\n", "no label file known");
    data_refuse_set("classes=3\ntrain=plain\ntrain_labels=x,y\n", "names 2 files, train= 1");
}

/* Writes images and labels changed at one place (or cut, or grown) and expects a message. */
static void refuse_idx(const uint8_t *i, size_t ni, const uint8_t *l, size_t nl, int classes, const char *message)
{
    data_put("x-images-idx3-ubyte", i, ni);
    data_put("x-labels-idx1-ubyte", l, nl);
    char *data = mem_printf("classes=%d\nformat=idx\ntrain=x-images-idx3-ubyte\n", classes);
    data_refuse_set(data, message);
    free(data);
}

static void test_idx_damaged(void **state)
{
    (void)state;
    uint8_t i[sizeof images + 1] = { 0 }, l[sizeof labels + 1] = { 0 };
    memcpy(i, images, sizeof images);
    memcpy(l, labels, sizeof labels);
    size_t ni = sizeof images, nl = sizeof labels;
    refuse_idx(i, ni - 1, l, nl, 3, "truncated or damaged: 2 of 3 images");
    refuse_idx(i, ni + 1, l, nl, 3, "longer than its header says");
    refuse_idx(i, 3, l, nl, 3, "too short for an IDX file");
    refuse_idx(i, 10, l, nl, 3, "header is cut short");
    refuse_idx(i, ni, l, nl - 1, 3, "truncated or damaged: 2 of 3 labels");
    refuse_idx(i, ni, l, nl + 1, 3, "longer than its header says");
    refuse_idx(i, ni, i, ni, 3, "magic number 0x00000803, expected 0x00000801");
    refuse_idx(l, nl, l, nl, 3, "magic number 0x00000801, expected 0x00000803");
    refuse_idx(i, ni, l, nl, 2, "label 2 of image 0 is not in 0..1 (1 such labels)");
    l[7] = 2;
    refuse_idx(i, ni, l, nl - 1, 3, "2 labels, but ");
    i[15] = 0;
    refuse_idx(i, ni, l, nl, 3, "images of 2x0");
    i[15] = 4, i[12] = 255;
    refuse_idx(i, ni, l, nl, 3, "expected sides from 1 to");
    i[12] = 0, i[4] = 255;   /* four thousand million images in 40 bytes */
    refuse_idx(i, ni, l, nl, 3, "truncated or damaged: 3 of 4278190083 images");
}

static void test_idx_cut_gzip(void **state)
{
    (void)state;
    static uint8_t big[16 + 100 * 100] = { 0, 0, 8, 3, 0, 0, 0, 1, 0, 0, 0, 100, 0, 0, 0, 100 };
    for (size_t i = 16; i < sizeof big; ++i) big[i] = (uint8_t)(i * i >> 3);
    put_gz("g-images-idx3-ubyte.gz", big, sizeof big);
    data_put("g-labels-idx1-ubyte.gz", (uint8_t[]){ 0, 0, 8, 1, 0, 0, 0, 1, 0 }, 9);
    char *path = mem_printf("%s/g-images-idx3-ubyte.gz", check_folder());
    size_t len;
    char *all = check_read(path, &len);
    dataset_free(data_must_open("classes=1\ntrain=g-images-idx3-ubyte.gz\n", 0, 1));
    for (size_t cut = 1; cut < 200; cut += 7) {   /* the last bytes are the check sum and the length */
        check_write(path, all, len - cut);
        data_refuse_set("classes=1\nformat=idx\ntrain=g-images-idx3-ubyte.gz\n", "damaged");
    }
    all[len - 6] ^= 1;
    check_write(path, all, len);
    data_refuse_set("classes=1\ntrain=g-images-idx3-ubyte.gz\n", "damaged");
    free(all), free(path);
}

static void test_idx_unequal_sizes(void **state)
{
    (void)state;
    uint8_t i[sizeof images];
    memcpy(i, images, sizeof images);
    i[11] = 4, i[15] = 2;
    data_put("t-images-idx3-ubyte", i, sizeof i);
    data_put("t-labels-idx1-ubyte", labels, sizeof labels);
    data_refuse_set("classes=3\ntrain=a-images-idx3-ubyte,t-images-idx3-ubyte\n", "images of 2x4, but ");
}

static void test_fashion_mnist(void **state)
{
    (void)state;
    if (access(FASHION, R_OK)) {
        print_message("skipped: no %s\n", FASHION);
        skip();
    }
    diag *d = diag_new();
    data_file *f = data_read_text("classes=10\ntrain=" FASHION "/train-images-idx3-ubyte.gz\n"
                             "valid=" FASHION "/t10k-images-idx3-ubyte.gz\n", d);
    dataset *train = dataset_open(f, DATA_TRAIN, 0, 1, d), *valid = dataset_open(f, DATA_VALID, 0, 1, d);
    check_no_errors(d);
    assert_int_equal(dataset_count(train), 60000);
    assert_int_equal(dataset_count(valid), 10000);
    assert_int_equal(dataset_label(train, 0), 9);
    int per_class[10] = { 0 };
    for (size_t i = 0; i < 60000; ++i) ++per_class[dataset_label(train, i)];
    for (int k = 0; k < 10; ++k) assert_int_equal(per_class[k], 6000);
    dataset_free(train), dataset_free(valid), data_file_free(f), diag_free(d);
}

/* --- CIFAR --- */

/* n records: label bytes first, then planes whose bytes say plane and place. */
static void put_cifar(const char *name, int n, int label_bytes, int first_label)
{
    size_t record = (size_t)label_bytes + 3072;
    uint8_t *b = mem_calloc((size_t)n, record);
    for (int i = 0; i < n; ++i) {
        uint8_t *r = b + (size_t)i * record;
        r[0] = 77;   /* the coarse label, where there are two */
        r[label_bytes - 1] = (uint8_t)(first_label + i);
        for (int k = 0; k < 3072; ++k) r[label_bytes + k] = (uint8_t)(60 * (k / 1024) + k % 1024 % 97 + i);
    }
    data_put(name, b, (size_t)n * record);
    free(b);
}

static void check_cifar(const dataset *s, size_t i, int of_file, int label)
{
    uint8_t *p;
    int w, h;
    char why[100];
    assert_int_equal(dataset_read(s, i, 3, &p, &w, &h, why, sizeof why), 0);
    assert_true(w == 32 && h == 32);
    for (int y = 0; y < 32; ++y)
        for (int x = 0; x < 32; ++x)
            for (int k = 0; k < 3; ++k) assert_int_equal(p[(32 * y + x) * 3 + k], 60 * k + (32 * y + x) % 97 + of_file);
    assert_int_equal(dataset_label(s, i), label);
    free(p);
}

static void test_cifar(void **state)
{
    (void)state;
    char name[40];
    put_cifar("c1.bin", 3, 1, 0);
    put_cifar("c2.bin", 2, 1, 7);
    put_cifar("c100.bin", 4, 2, 96);
    dataset *s = data_must_open("classes=10\ntrain=c1.bin,c2.bin\n", 0, 1);
    assert_int_equal(dataset_count(s), 5);
    check_cifar(s, 0, 0, 0);
    check_cifar(s, 2, 2, 2);
    check_cifar(s, 4, 1, 8);
    assert_string_equal(dataset_name(s, 4, name, sizeof name), "c2.bin#1");
    dataset_free(s);
    s = data_must_open("classes=100\ntrain=c100.bin\n", 0, 1);
    assert_int_equal(dataset_count(s), 4);
    check_cifar(s, 3, 3, 99);
    uint8_t *p;
    int w, h;
    assert_int_equal(dataset_read(s, 0, 1, &p, &w, &h, name, sizeof name), 0);   /* .587*60 + .114*120 = 48.9 at place 0 */
    assert_int_equal(p[0], 49);
    free(p);
    dataset_free(s);
}

static void test_cifar_mistakes(void **state)
{
    (void)state;
    put_cifar("c10.bin", 3, 1, 8);   /* labels 8 9 10 */
    data_refuse_set("classes=10\ntrain=c10.bin\n", "label 10 of image 2 is not in 0..9");
    data_refuse_set("classes=10\nformat=cifar100\ntrain=c1.bin\n", "9219 bytes are not a whole number of 3074-byte records");
    data_refuse_set("classes=100\ntrain=c1.bin\n", "neither IDX, CIFAR nor a list");
    data_put("cut.bin", images, 20);
    data_refuse_set("classes=10\nformat=cifar10\ntrain=cut.bin\n", "20 bytes are not a whole number of 3073-byte records");
    data_put("cut.bin", images, 0);
    data_refuse_set("classes=10\nformat=cifar10\ntrain=cut.bin\n", "0 bytes");
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_idx_plain_and_gzipped),
        cmocka_unit_test(test_idx_several_files_names_limit),
        cmocka_unit_test(test_memory_identity),
        cmocka_unit_test(test_idx_grey_to_three_channels),
        cmocka_unit_test(test_idx_unlabelled),
        cmocka_unit_test(test_idx_damaged),
        cmocka_unit_test(test_idx_cut_gzip),
        cmocka_unit_test(test_idx_unequal_sizes),
        cmocka_unit_test(test_fashion_mnist),
        cmocka_unit_test(test_cifar),
        cmocka_unit_test(test_cifar_mistakes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
