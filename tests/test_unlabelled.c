/* unlabelled= of a .data file: images behind those of train= that have no labels and no boxes, of files and in memory. */
#include "check_data.h"

#include "darknet_plugin/data/augment.h"

#include <stdlib.h>
#include <string.h>

/* Four images with a box each, the first two in t.list, the others in u.list. */
static void put_boxes(void)
{
    for (int i = 0; i < 4; ++i) {
        char *name = mem_printf("%d.png", i), *label = mem_printf("%d.txt", i);
        data_put_image(name, (uint8_t)(10 * i + 10));
        data_put_text(label, "1 .5 .5 .5 .5\n");
        free(name);
        free(label);
    }
    data_put_text("t.list", "0.png\n1.png\n");
    data_put_text("u.list", "2.png\n3.png\n");
}

static dataset *open_joined(const char *text, size_t held_out, int need)
{
    diag *d = diag_new();
    data_file *file = data_read_text(text, d);
    check_no_errors(d);
    file->held_out = held_out;
    dataset *set = dataset_open(file, DATA_TRAIN, 0, need, d);
    check_no_errors(d);
    assert_int_equal(dataset_join_unlabelled(set, file, need, d), 0);
    check_no_errors(d);
    data_file_free(file);
    diag_free(d);
    return set;
}

static int grey_of(const dataset *set, size_t i)
{
    uint8_t *pixels;
    int w, h;
    char why[200] = "";
    if (dataset_read(set, i, 1, &pixels, &w, &h, why, sizeof why)) fail_msg("%s", why);
    int grey = pixels[0];
    free(pixels);
    return grey;
}

static void test_boxes(void **state)
{
    (void)state;
    put_boxes();
    dataset *set = open_joined("classes=2\ntrain=t.list\nunlabelled=u.list\n", 0, DATA_BOXES);
    int n;
    assert_int_equal(dataset_count(set), 4);
    assert_int_equal(dataset_labelled(set), 2);
    assert_int_equal(dataset_prints(set), 4);
    for (size_t i = 0; i < 4; ++i) {
        assert_int_equal(grey_of(set, i), 10 * (int)i + 10);
        assert_int_equal(dataset_boxes(set, i, &n) != NULL, i < 2);
        assert_int_equal(n, i < 2 ? 1 : -1);
        assert_true(dataset_print(set, i).hash != 0);
    }
    dataset_free(set);
}

/* -labelled 1 of a detector: label files of the others are not read, and need not be there. */
static void test_few_labels(void **state)
{
    (void)state;
    put_boxes();
    char *lost = mem_printf("%s/1.txt", check_folder());
    remove(lost);
    diag *d = diag_new();
    data_file *file = data_read_text("classes=2\ntrain=t.list\nunlabelled=u.list\n", d);
    file->few_labels = 1;
    file->labelled = 1;
    dataset *set = dataset_open(file, DATA_TRAIN, 0, DATA_BOXES, d);
    check_no_errors(d);
    assert_int_equal(diag_count(d), 0);
    assert_int_equal(dataset_join_unlabelled(set, file, DATA_BOXES, d), 0);
    int n;
    assert_true(dataset_count(set) == 4 && dataset_labelled(set) == 1);
    for (size_t i = 0; i < 4; ++i) {
        assert_null(dataset_left_out(set, i));
        assert_int_equal(dataset_boxes(set, i, &n) != NULL, i == 0);
        assert_int_equal(n, i ? -1 : 1);
    }
    dataset_free(set);
    file->labelled = 2;    /* of these each must have one */
    set = dataset_open(file, DATA_TRAIN, 0, DATA_BOXES, d);
    assert_string_equal(dataset_left_out(set, 1), "no label file");
    dataset_free(set);
    data_file_free(file);
    diag_free(d);
    free(lost);
}

static void test_held_out(void **state)
{
    (void)state;
    put_boxes();
    dataset *set = open_joined("classes=2\ntrain=t.list\nunlabelled=u.list\n", 1, DATA_BOXES);
    assert_int_equal(dataset_count(set), 3);
    assert_int_equal(dataset_labelled(set), 1);
    assert_int_equal(grey_of(set, 0), 10);
    assert_int_equal(grey_of(set, 1), 30);
    assert_int_equal(grey_of(set, 2), 40);
    dataset_free(set);
}

/* `images` of 2x1, each of its own grey from `first` on, as IDX. */
static void put_idx(const char *images, const char *labels, int n, int first)
{
    uint8_t x[16 + 16] = { 0, 0, 8, 3, 0, 0, 0, (uint8_t)n, 0, 0, 0, 1, 0, 0, 0, 2 }, y[8 + 8] = { 0, 0, 8, 1, 0, 0, 0, (uint8_t)n };
    for (int i = 0; i < 2 * n; ++i) x[16 + i] = (uint8_t)(first + i / 2);
    data_put(images, x, (size_t)(16 + 2 * n));
    data_put(labels, y, (size_t)(8 + n));
}

static void test_memory(void **state)
{
    (void)state;
    put_idx("t-images-idx3-ubyte", "t-labels-idx1-ubyte", 4, 50);
    put_idx("u-images-idx3-ubyte", "u-labels-idx1-ubyte", 3, 90);
    dataset *set = open_joined("classes=2\ntrain=t-images-idx3-ubyte\nunlabelled=u-images-idx3-ubyte\n", 1, DATA_CLASSES);
    const int grey[] = { 50, 51, 52, 90, 91, 92 };
    char name[100];
    assert_int_equal(dataset_count(set), 6);
    for (size_t i = 0; i < 6; ++i) {
        assert_int_equal(grey_of(set, i), grey[i]);
        assert_int_equal(dataset_label(set, i), i < 3 ? 0 : -1);
    }
    assert_string_equal(dataset_name(set, 2, name, sizeof name), "t-images-idx3-ubyte#2");
    assert_string_equal(dataset_name(set, 4, name, sizeof name), "u-images-idx3-ubyte#1");
    dataset_free(set);
}

/* What the loader gives losses on boxes. */
static void test_truth(void **state)
{
    (void)state;
    float truth[10];
    const image_place whole = { 0, 0, 1, 1, 3, 2, 0 };
    for (int i = 0; i < 10; ++i) truth[i] = 7;
    assert_int_equal(augment_truth(NULL, -1, &whole, NULL, truth, 2), 0);
    assert_true(truth[0] == -1);
    for (int i = 1; i < 10; ++i) assert_true(truth[i] == 0);
    assert_int_equal(augment_truth(NULL, 0, &whole, NULL, truth, 2), 0);
    assert_true(truth[0] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes), cmocka_unit_test(test_few_labels), cmocka_unit_test(test_held_out), cmocka_unit_test(test_memory), cmocka_unit_test(test_truth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
