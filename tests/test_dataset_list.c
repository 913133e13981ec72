/* Image lists: where the class comes from, and every way a line can be wrong. */
#include "layers/network.h"
#include "check_data.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

static void put_images(void)
{
    char *dir = mem_printf("%s/cat", check_folder());
    mkdir(dir, 0700);
    free(dir);
    data_put_image("cat/1.png", 10);
    data_put_image("cat/a dog.png", 20);
    data_put_image("dog-2.png", 30);
    data_put_image("two words.png", 40);
    data_put_image("other.png", 50);
    data_put_text("pets", "cat\ndog\nfire truck\n");
}

#define PETS "classes=3\nnames=pets\ntrain=l.list\n"

static void check_grey(const dataset *s, size_t i, int grey, int label)
{
    uint8_t *p;
    int w, h;
    char why[200] = "";
    if (dataset_read(s, i, 3, &p, &w, &h, why, sizeof why)) fail_msg("%s", why);
    assert_true(w == 3 && h == 2 && p[0] == grey && p[17] == grey);
    assert_int_equal(dataset_label(s, i), label);
    free(p);
}

static void test_list_classes(void **state)
{
    (void)state;
    put_images();
    char *absolute = mem_printf("\xef\xbb\xbf" "cat/1.png\r\n\n  dog-2.png  \r\ntwo words.png 2\ncat/a dog.png dog\nother.png\tfire truck\n"
                                "%s/cat/a dog.png 0", check_folder());
    data_put_text("l.list", absolute);
    dataset *s = data_must_open(PETS, 0, 1);
    assert_int_equal(dataset_count(s), 6);
    check_grey(s, 0, 10, 0);
    check_grey(s, 1, 30, 1);
    check_grey(s, 2, 40, 2);
    check_grey(s, 3, 20, 1);
    check_grey(s, 4, 50, 2);
    check_grey(s, 5, 20, 0);
    char name[300];
    assert_non_null(strstr(dataset_name(s, 2, name, sizeof name), "/two words.png"));
    dataset_free(s);
    s = data_must_open(PETS, 2, 1);
    assert_int_equal(dataset_count(s), 2);
    dataset_free(s);
    free(absolute);
}

static int read_image(const dataset *s, size_t i)
{
    uint8_t *p;
    int w, h;
    char why[200] = "";
    int status = dataset_read(s, i, 3, &p, &w, &h, why, sizeof why);
    if (status == DATA_CHANGED) assert_string_equal(why, "holds something else than when it was first read");
    free(p);
    return status;
}

static void set_old(const char *name)
{
    char *path = check_path(name);
    const struct timespec old[2] = { { 1000000000, 1 }, { 1000000000, 1 } };
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    usleep(30000);   /* what changed just now could change once more within the same tick */
    free(path);
}

/* A file is hashed when it is read for the first time; one that holds something else later is an error. */
static void test_list_prints(void **state)
{
    (void)state;
    put_images();
    data_put_image("same.png", 10);
    set_old("dog-2.png");
    data_put_text("l.list", "cat/1.png\ndog-2.png\nsame.png cat\n");
    dataset *s = data_must_open(PETS, 0, 1);
    assert_int_equal(dataset_prints(s), 3);
    assert_true(dataset_print(s, 0).hash == 0 && dataset_print(s, 3).hash == 0);
    for (size_t i = 0; i < 3; ++i) assert_int_equal(read_image(s, i), 0);
    assert_true(dataset_print(s, 0).hash && dataset_print(s, 0).hash == dataset_print(s, 2).hash);
    assert_true(dataset_print(s, 1).hash != dataset_print(s, 0).hash);
    data_print before = dataset_print(s, 1);
    assert_true(before.inode && before.modified == 1000000000 * (int64_t)1000000000 + 1);
    data_put_image("dog-2.png", 30);   /* another file, the same picture */
    assert_int_equal(read_image(s, 1), 0);
    assert_true(dataset_print(s, 1).hash == before.hash && !data_print_agrees(&before, &(data_print){ 0 }));
    data_put_image("dog-2.png", 31);
    set_old("dog-2.png");
    assert_int_equal(read_image(s, 1), DATA_CHANGED);
    dataset_free(s);
    s = data_must_open(PETS, 0, 1);
    const data_print kept[3] = { { 0 }, before, { .hash = 5 } };
    assert_false(dataset_untouched(s, kept, 3));
    char *differ = dataset_trust(s, kept, 3);
    assert_non_null(differ);
    assert_non_null(strstr(differ, "2 of 3 images hold something else now: "));
    assert_non_null(strstr(differ, "dog-2.png"));
    free(differ);
    data_print now = dataset_print(s, 1);   /* what was found counts */
    assert_true(now.hash && now.hash != before.hash && dataset_print(s, 0).hash == 0);
    dataset_free(s);
    s = data_must_open(PETS, 0, 1);
    const data_print fresh[3] = { { 0 }, now, { 0 } };
    assert_true(dataset_untouched(s, fresh, 3));
    assert_null(dataset_trust(s, fresh, 3));
    dataset_free(s);
}

/* A picture that cannot be read has a print, too. */
static void test_list_print_of_damaged(void **state)
{
    (void)state;
    data_put_text("cat.png", "not an image");
    data_put_text("l.list", "cat.png\n");
    dataset *s = data_must_open(PETS, 0, 1);
    assert_int_equal(read_image(s, 0), DATA_UNREADABLE);
    assert_true(dataset_print(s, 0).hash == data_hash("not an image", 12));
    dataset_free(s);
}

static void refuse_list(const char *list, const char *message)
{
    data_put_text("l.list", list);
    data_refuse_set(PETS, message);
}

static void test_list_mistakes(void **state)
{
    (void)state;
    put_images();
    refuse_list("other.png\n", "image other.png has no class: none of the 3 labels is in its path");
    refuse_list("cat/a dog.png\n", "image cat/a dog.png has several classes: labels \"cat\" and \"dog\" are both in its path");
    refuse_list("other.png 3\n", "class \"3\" of other.png is neither a label nor a number from 0 to 2");
    refuse_list("other.png bird\n", "class \"bird\" of other.png is neither a label");
    refuse_list("other.png -1\n", "class \"-1\" of other.png");
    refuse_list("nowhere.png\n", "image nowhere.png is not there or not readable");
    refuse_list("cat\n", "image cat is not there");   /* a folder */
    data_put("l.list", "a\0b", 3);
    data_refuse_set(PETS, "not a text file");
    data_put_text("l.list", "other.png\n");
    data_refuse_set("classes=3\ntrain=l.list\n", "image other.png has no class");
    data_put_text("twice", "cat\ncat\n");
    data_put_text("l.list", "other.png cat\n");
    data_refuse_set("classes=2\nnames=twice\ntrain=l.list\n", "stands twice among the labels");
}

/* "woman" contains "man": Darknet would set both, here it is an error that says so. */
static void test_list_label_within_label(void **state)
{
    (void)state;
    data_put_image("woman-1.png", 1);
    data_put_text("people", "man\nwoman\n");
    data_put_text("l.list", "woman-1.png\n");
    data_refuse_set("classes=2\nnames=people\ntrain=l.list\n", "labels \"woman\" and \"man\" are both in its path");
    data_put_text("l.list", "woman-1.png woman\n");
    dataset *s = data_must_open("classes=2\nnames=people\ntrain=l.list\n", 0, 1);
    assert_int_equal(dataset_label(s, 0), 1);
    dataset_free(s);
}

/* Labels that share beginnings, or begin others, are each found, wherever in the path. */
static void test_list_substring_rule(void **state)
{
    (void)state;
    data_put_image("--bcd.png", 1);
    data_put_image("xz.PNG", 1);
    data_put_image("\xc3\xa9t\xc3\xa9.PNG", 1);
    data_put_text("many", "abc\nab\nbcd\nz\n\xc3\xa9t\xc3\xa9\nbc\nq.png\n");
    data_put_text("l.list", "xz.PNG\n\xc3\xa9t\xc3\xa9.PNG\n");
    dataset *s = data_must_open("classes=7\nnames=many\ntrain=l.list\n", 0, 1);
    assert_int_equal(dataset_label(s, 0), 3);
    assert_int_equal(dataset_label(s, 1), 4);
    dataset_free(s);
    data_put_text("l.list", "--bcd.png\n");
    data_refuse_set("classes=7\nnames=many\ntrain=l.list\n", "labels \"bc\" and \"bcd\" are both");
    data_refuse_set("classes=1\nlabels=many\ntrain=l.list\n", "none of the 1 labels");
}

/* labels= is what the substring rule looks for, as in stock Darknet, names= only what is shown. */
static void test_list_tags(void **state)
{
    (void)state;
    data_put_image("n02_5.png", 9);
    data_put_text("ids", "n01\nn02\n");
    data_put_text("short", "n0\nn\n");
    data_put_text("l.list", "n02_5.png\n");
    dataset *s = data_must_open("classes=2\nlabels=ids\nnames=short\ntrain=l.list\n", 0, 1);
    assert_int_equal(dataset_label(s, 0), 1);
    dataset_free(s);
}

/* Few mistakes of a kind are told one by one, many in a line. */
static void test_list_floods(void **state)
{
    (void)state;
    put_images();
    char list[8000] = "";
    for (int i = 0; i < 37; ++i) snprintf(list + strlen(list), sizeof list - strlen(list), "gone%d.png cat\n", i);
    for (int i = 0; i < 4; ++i) strcat(list, "other.png bird\n");
    for (int i = 0; i < 5; ++i) strcat(list, "cat/a dog.png\n");
    for (int i = 0; i < 3; ++i) strcat(list, "other.png\n");
    data_put_text("l.list", list);
    diag *d = diag_new();
    assert_null(data_open_train(PETS, 0, 1, d));
    assert_int_equal(diag_errors(d), 6);
    data_expect(d, "37 images are not there or not readable: ");
    data_expect(d, "/l.list:1 gone0.png cat, ");
    data_expect(d, "/l.list:3 gone2.png cat, ...");
    data_expect(d, "4 images end on what is neither a label nor a number from 0 to 2: ");
    data_expect(d, "/l.list:38 other.png bird, ");
    data_expect(d, "5 images have several classes: the labels of both are in their paths: ");
    data_expect(d, "image other.png has no class: none of the 3 labels is in its path");
    diag_free(d);
}

/* A file that is none, and what it may be. */
static void test_list_of_cifar(void **state)
{
    (void)state;
    uint8_t *records = mem_calloc(2 * 3074, 1);
    data_put("l.list", records, 2 * 3073);
    diag *d = diag_new();
    assert_null(data_open_train(PETS, 0, 1, d));
    data_expect(d, "neither IDX, CIFAR nor a list of images");
    assert_non_null(strstr(diag_get(d, 0)->hint, "as long as 2 records of format=cifar10, "));
    assert_non_null(strstr(diag_get(d, 0)->hint, "classes=10 and a name on .bin: write format=cifar10, or set classes=, which is 3"));
    diag_free(d);
    data_put("l.list", records, 2 * 3074);
    d = diag_new();
    assert_null(data_open_train(PETS, 0, 1, d));
    assert_non_null(strstr(diag_get(d, 0)->hint, "format=cifar100"));
    diag_free(d);
    free(records);
}

/* A line without an end is not read into memory. */
static void test_list_long_line(void **state)
{
    (void)state;
    size_t n = 3 << 20;
    char *line = mem_calloc(n + 1, 1);
    memset(line, 'a', n);
    data_put("l.list", line, n);
    data_refuse_set(PETS, "not a text file");
    free(line);
}

static void test_list_without_labels(void **state)
{
    (void)state;
    put_images();
    data_put_text("l.list", "other.png\ncat/a dog.png\ndog-2.png\n");
    dataset *s = data_must_open(PETS, 0, 0);
    assert_int_equal(dataset_label(s, 0), -1);
    assert_int_equal(dataset_label(s, 1), -1);
    assert_int_equal(dataset_label(s, 2), 1);
    dataset_free(s);
}

static void test_list_hostile_names(void **state)
{
    (void)state;
    char *mark = mem_printf("%s/touched", check_folder());
    char *list = mem_printf("cat; touch %s\n$(touch %s)\n`touch %s` cat\n", mark, mark, mark);
    refuse_list(list, "is not there or not readable");
    data_refuse_set("classes=3\nformat=list\ntrain=/proc/self/mem\n", "cannot be read to its end: Input/output error");
    data_put_text("; touch touched; cat.png", "not an image");
    data_put_text("l.list", "; touch touched; cat.png\n");
    dataset *s = data_must_open(PETS, 0, 1);
    uint8_t *p;
    int w, h;
    char why[200];
    assert_int_equal(dataset_read(s, 0, 3, &p, &w, &h, why, sizeof why), -1);
    assert_non_null(strstr(why, "not an image"));
    assert_int_equal(access(mark, F_OK), -1);
    assert_int_equal(access("touched", F_OK), -1);
    dataset_free(s);
    free(mark), free(list);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_list_classes),
        cmocka_unit_test(test_list_prints),
        cmocka_unit_test(test_list_print_of_damaged),
        cmocka_unit_test(test_list_mistakes),
        cmocka_unit_test(test_list_label_within_label),
        cmocka_unit_test(test_list_substring_rule),
        cmocka_unit_test(test_list_tags),
        cmocka_unit_test(test_list_floods),
        cmocka_unit_test(test_list_of_cifar),
        cmocka_unit_test(test_list_long_line),
        cmocka_unit_test(test_list_without_labels),
        cmocka_unit_test(test_list_hostile_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
