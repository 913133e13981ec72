/* .data files, and every way they can be wrong. */
#include "layers/network.h"
#include "check_data.h"

static void test_data_file(void **state)
{
    (void)state;
    diag *d = diag_new();
    data_put_text("abc.names", "\xef\xbb\xbf" "a\r\nb b\r\nc\r\n\r\n");
    data_file *f = data_read_text("\xef\xbb\xbf" "# comment\n; another\nclasses= 3\r\n train =some file.list  # trained on\nnames=abc.names\neval=coco\n"
                             "test = t.list\n", d);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), 0);
    assert_int_equal(f->classes, 3);
    assert_int_equal(f->top, 3);
    assert_string_equal(f->train, "some file.list");
    assert_string_equal(f->valid, "t.list");
    assert_string_equal(f->backup, "backup");
    assert_string_equal(f->name[0], "a");    /* behind a mark of byte order */
    assert_string_equal(f->name[1], "b b");
    assert_string_equal(f->name[2], "c");
    assert_true(strstr(f->names_path, "/abc.names") != NULL);
    assert_null(f->tag);
    data_file_free(f);
    diag_free(d);
}

static void test_data_file_labels_and_names(void **state)
{
    (void)state;
    diag *d = diag_new();
    data_put_text("ids", "n01\nn02\nn03\n");   /* of which two count */
    data_put_text("short", "cat\ndog\n");
    data_file *f = data_read_text("classes=2\nlabels=ids\nnames=short\ntop=1\n", d);
    check_no_errors(d);
    assert_string_equal(f->name[0], "cat");
    assert_string_equal(f->tag[0], "n01");
    assert_int_equal(f->top, 1);
    data_file_free(f);
    diag_free(d);
}

static void test_data_file_mistakes(void **state)
{
    (void)state;
    data_put_text("two", "a\nb\n");
    data_put_text("gap", "a\n\nc\n");
    data_refuse("train=x\n", "classes= is missing");
    data_refuse("classes=ten\n", "classes=ten is not a whole number from 1");
    data_refuse("classes=0\n", "classes=0 is not a whole number from 1");
    data_refuse("classes=10x\n", "classes=10x");
    data_refuse("classes=99999999999999999999\n", "is not a whole number");
    data_refuse("classes=10\nclasses=10\n", "classes= stands twice, first in line 1");
    data_refuse("classes=3\nnames=two\n", "2 names, but classes=3");
    data_refuse("classes=1\nnames=two\n", "2 names, but classes=1");
    data_refuse("classes=3\nnames=gap\n", "empty name");
    data_put_text("gaps", "a\n\n\n\n\nb\n");
    data_refuse("classes=6\nnames=gaps\n", "4 names are empty: ");
    data_refuse("classes=6\nnames=gaps\n", "/gaps:4, ...");
    data_put("cut", "a\0b\nc\n", 6);
    data_refuse("classes=2\nnames=cut\n", "not a file of names: not a text");
    char long_name[1005];
    memset(long_name, 'n', 1001);
    memcpy(long_name + 1001, "\nb\n", 4);
    data_put_text("long", long_name);
    data_refuse("classes=2\nnames=long\n", "a name of 1001 letters, expected at most 1000");
    data_refuse("classes=2\nnames=/proc/self/mem\n", "cannot be read to its end: Input/output error");
    data_refuse("classes=3\nnames=nowhere\n", "cannot be read: No such file");
    data_refuse("classes=3\nnames=.\n", "not a regular file");
    data_refuse("classes=3\ntop=4\n", "top=4 is more than classes=3");
    data_refuse("classes=3\nhello\n", "expected \"key = value\", not \"hello\"");
    data_refuse("classes=3\ntrain=\n", "train= has no value");
    diag *d = diag_new();
    assert_null(data_file_read("/nowhere/x.data", d));
    data_expect(d, "No such file");
    diag_free(d);
}

static void test_data_file_unknown_key_warns(void **state)
{
    (void)state;
    diag *d = diag_new();
    data_file *f = data_read_text("classes=3\ntrian=x\n", d);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), 1);
    assert_int_equal(diag_get(d, 0)->line, 2);
    assert_string_equal(diag_get(d, 0)->text, "unknown key \"trian\"");
    assert_non_null(strstr(diag_get(d, 0)->hint, "train"));
    data_file_free(f);
    diag_free(d);
}

static void test_missing_split(void **state)
{
    (void)state;
    data_refuse_set("classes=3\nvalid=x\n", "train= is missing");
    data_refuse_set("classes=3\ntrain=nowhere.list\n", "No such file or directory (train= in ");
    data_refuse_set("classes=3\ntrain=/dev/null\n", "not a regular file");
    data_refuse_set("classes=3\ntrain=.\nformat=list\n", "not a regular file");
    data_refuse_set("classes=3\ntrain=,\n", "names no file");
    data_put_text("empty.list", "\n\r\n");
    data_refuse_set("classes=3\ntrain=empty.list\n", "no images");
    data_put_text("some.list", "x\n");
    data_refuse_set("classes=3\ntrain=some.list\nformat=tfrecord\n", "format=tfrecord is not one of");
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_data_file),
        cmocka_unit_test(test_data_file_labels_and_names),
        cmocka_unit_test(test_data_file_mistakes),
        cmocka_unit_test(test_data_file_unknown_key_warns),
        cmocka_unit_test(test_missing_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
