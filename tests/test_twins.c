/* Images of one set that are in another, too. */
#include "check_data.h"

static size_t twins(const char *text, uint64_t most, char **names)
{
    diag *d = diag_new();
    data_file *file = data_read_text(text, d);
    dataset *train = dataset_open(file, DATA_TRAIN, 0, DATA_IMAGES, d), *valid = dataset_open(file, DATA_VALID, 0, DATA_IMAGES, d);
    check_no_errors(d);
    size_t n = dataset_twins(valid, train, most, names);
    dataset_free(train);
    dataset_free(valid);
    data_file_free(file);
    diag_free(d);
    return n;
}

static void test_files(void **state)
{
    (void)state;
    char *names;
    data_put_text("a.png", "0123456789");
    data_put_text("b.png", "012345678x");    /* as long, and another */
    data_put_text("c.png", "longer than the others");
    data_put_text("d.png", "0123456789");
    data_put_text("e.png", "longer than the others");
    data_put_text("f.png", "longest: nothing is as long as this one");
    data_put_text("train.list", "a.png\nc.png\nf.png\n");
    data_put_text("valid.list", "b.png\nd.png\ne.png\n");
#define LISTS "classes=1\ntrain=train.list\nvalid=valid.list\n"
    assert_int_equal(twins(LISTS, UINT64_MAX, &names), 2);
    assert_non_null(strstr(names, "/d.png = "));
    assert_non_null(strstr(names, "/a.png, "));
    assert_non_null(strstr(names, "/e.png = "));
    assert_null(strstr(names, "b.png"));
    free(names);
    assert_int_equal(twins(LISTS, 30, &names), 0);    /* ten bytes three times, twenty-two twice: too many to be read */
    assert_null(names);
    assert_int_equal(twins(LISTS, 74, &names), 2);
    free(names);
    data_put_text("valid.list", "b.png\n");
    assert_int_equal(twins(LISTS, UINT64_MAX, &names), 0);
    assert_null(names);
    data_put_text("valid.list", "a.png\n");           /* the very file */
    assert_int_equal(twins(LISTS, UINT64_MAX, &names), 1);
    free(names);
}

/* Records of CIFAR; labels do not count. */
static void test_memory(void **state)
{
    (void)state;
    static uint8_t record[2 * 3073];
    char *names;
    record[1] = 5;
    data_put("train.bin", record, sizeof record);
    record[1] = 6;
    record[3073] = 9;
    data_put("valid.bin", record, sizeof record);
    assert_int_equal(twins("classes=10\ntrain=train.bin\nvalid=valid.bin\n", 0, &names), 1);
    assert_string_equal(names, "valid.bin#1 = train.bin#1");
    free(names);
    data_put_text("train.list", "a.png\n");
    data_put_text("a.png", "");
    diag *d = diag_new();
    data_file *file = data_read_text("classes=10\ntrain=train.list\nvalid=valid.bin\n", d);
    dataset *train = dataset_open(file, DATA_TRAIN, 0, DATA_IMAGES, d), *valid = dataset_open(file, DATA_VALID, 0, DATA_IMAGES, d);
    assert_int_equal(dataset_twins(valid, train, UINT64_MAX, &names), 0);    /* two kinds */
    dataset_free(train);
    dataset_free(valid);
    data_file_free(file);
    diag_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_files), cmocka_unit_test(test_memory) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
