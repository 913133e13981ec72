/* A detector's data: lists of images, where label files are looked for, what stands in them, and every way it can be wrong. */
#include "layers/network.h"
#include "check_data.h"

#include "darknet_plugin/data/dataset_internal.h"
#include "darknet_plugin/data/image_io.h"

#include <sys/stat.h>
#include <unistd.h>

#define DATA "classes=3\ntrain=l.list\nvalid=l.list\nnames=three\neval=coco\nresults=results\nbackup=b\n"

static void folder(const char *name)
{
    char *path = check_path(name);
    mkdir(path, 0700);
    free(path);
}

static void put_image(const char *name)
{
    char *path = check_path(name);
    uint8_t p[6] = { 1, 2, 3, 4, 5, 6 };
    assert_int_equal(image_write(path, p, 3, 2, 1), 0);
    free(path);
}

static dataset *open_boxes(int need, diag *d)
{
    data_put_text("three", "circle\nsquare\ntriangle\n");
    data_file *f = data_read_text(DATA, d);
    check_no_errors(d);
    dataset *s = dataset_open(f, DATA_VALID, 0, need, d);
    data_file_free(f);
    return s;
}

static dataset *must_open(int need)
{
    diag *d = diag_new();
    dataset *s = open_boxes(need, d);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), 0);
    diag_free(d);
    return s;
}

static void refuse(int need, const char *message)
{
    diag *d = diag_new();
    assert_null(open_boxes(need, d));
    data_expect(d, message);
    diag_free(d);
}

/* One image of 3x2 with this label file. */
static void put_labels(const char *text, size_t len)
{
    folder("images"), folder("labels");
    put_image("images/a.png");
    data_put("labels/a.txt", text, len);
    data_put_text("l.list", "images/a.png\n");
}

static void check_box(const dataset *s, size_t image, int k, int class, double x, double y, double w, double h)
{
    int n;
    const data_box *b = dataset_boxes(s, image, &n);
    assert_true(k < n);
    assert_int_equal(b[k].class, class);
    check_close(b[k].x, x, 1e-7, "x", image), check_close(b[k].y, y, 1e-7, "y", image);
    check_close(b[k].w, w, 1e-7, "w", image), check_close(b[k].h, h, 1e-7, "h", image);
}

static void test_boxes_are_read(void **state)
{
    (void)state;
    folder("images"), folder("labels");
    put_image("images/a.png"), put_image("images/two words.png"), put_image("images/empty.png");
    data_put_text("labels/a.txt", "\xef\xbb\xbf" "0 0.5 0.25 0.125 1\r\n\n2\t.1 1e-1  +0.2 .3  \n");
    data_put_text("labels/two words.txt", "1 0.9 0.5 0.4 0.5");
    data_put_text("labels/empty.txt", "");
    data_put_text("l.list", "images/a.png\r\nimages/empty.png\nimages/two words.png\n\n");
    dataset *s = must_open(DATA_BOXES);
    int n;
    assert_int_equal(dataset_count(s), 3);
    assert_true(dataset_has_boxes(s));
    check_box(s, 0, 0, 0, .5, .25, .125, 1);
    check_box(s, 0, 1, 2, .1, .1, .2, .3);
    check_box(s, 2, 0, 1, .9, .5, .4, .5);   /* reaches beyond the image: as written */
    dataset_boxes(s, 0, &n), assert_int_equal(n, 2);
    assert_null(dataset_boxes(s, 1, &n)), assert_int_equal(n, 0);
    dataset_boxes(s, 2, &n), assert_int_equal(n, 1);
    dataset_boxes(s, 3, &n), assert_int_equal(n, 0);
    assert_int_equal(dataset_label(s, 0), -1);
    dataset_free(s);
}

/* Without labels in need none are read, and none missed. */
static void test_labels_are_left_alone_where_not_wanted(void **state)
{
    (void)state;
    put_image("alone.png");
    data_put_text("l.list", "alone.png\n");
    dataset *s = must_open(DATA_DETECTOR);
    int n;
    assert_false(dataset_has_boxes(s));
    assert_null(dataset_boxes(s, 0, &n));
    assert_int_equal(n, 0);
    dataset_free(s);
    refuse(DATA_BOXES, "1 of 1 images have no label file; up to 1 % are left out: ");
}

static void check_label_path(const char *image, const char *label)
{
    char *base = check_path(image), *want = check_path(label);
    char *path = data_label_path(base, NULL, 0);
    assert_string_equal(path, want);
    free(base), free(want), free(path);
}

static void test_where_label_files_are(void **state)
{
    (void)state;
    const char *folders[] = { "p", "p/images", "p/labels", "p/JPEGImages", "p/raw", "p/obj", "my_images", "my_images/images",
                              "my_images/labels", "my_labels", "my_labels/images" };
    for (size_t i = 0; i < sizeof folders / sizeof *folders; ++i) folder(folders[i]);
    check_label_path("p/images/a.jpg", "p/labels/a.txt");   /* not there: where Darknet looks */
    check_label_path("p/JPEGImages/a.JPEG", "p/labels/a.txt");
    check_label_path("p/raw/a.png", "p/labels/a.txt");
    check_label_path("p/images/a.b.bmp", "p/labels/a.b.txt");
    check_label_path("p/images/noext", "p/labels/noext.txt");
    check_label_path("p/obj/a.jpg", "p/obj/a.txt");
    data_put_text("p/obj/a.txt", "");
    check_label_path("p/obj/a.jpg", "p/obj/a.txt");
    data_put_text("p/images/a.txt", "");
    check_label_path("p/images/a.jpg", "p/images/a.txt");   /* beside the image, as AlexeyAB's users have it */
    data_put_text("p/labels/a.txt", "");
    check_label_path("p/images/a.jpg", "p/labels/a.txt");
    check_label_path("my_images/images/a.jpg", "my_images/labels/a.txt");
    data_put_text("my_images/labels/a.txt", "");
    check_label_path("my_images/images/a.jpg", "my_images/labels/a.txt");
    data_put_text("my_labels/images/a.txt", "");
    check_label_path("my_images/images/a.jpg", "my_labels/images/a.txt");   /* what stock Darknet would read goes first */
}

/* The line is dropped with this reason, the good one around it stays. */
static void drop(const char *line, const char *reason)
{
    char *text = mem_printf("1 .5 .5 .5 .5\n%s\n2 .25 .25 .5 .5\n", line);
    put_labels(text, strlen(text));
    diag *d = diag_new();
    dataset *s = open_boxes(DATA_BOXES, d);
    check_no_errors(d);
    assert_non_null(s);
    assert_int_equal(diag_warnings(d), 1);
    data_expect(d, reason);
    assert_int_equal(diag_get(d, 0)->line, 2);
    assert_non_null(strstr(diag_get(d, 0)->file, "/labels/a.txt"));
    int n;
    dataset_boxes(s, 0, &n);
    assert_int_equal(n, 2);
    check_box(s, 0, 0, 1, .5, .5, .5, .5);
    check_box(s, 0, 1, 2, .25, .25, .5, .5);
    dataset_free(s);
    diag_free(d);
    free(text);
}

static void test_lines_that_are_dropped(void **state)
{
    (void)state;
    drop("hello", "box dropped: expected `class x y w h`, five numbers: \"hello\"");
    drop("0", "five numbers");
    drop("0 .5 .5 .5", "five numbers");
    drop("0 .5 .5 .5 .5 .9", "five numbers");
    drop("0 .1 .1 .2 .1 .2 .2 .1 .2", "five numbers");   /* a polygon */
    drop("0 .5 .5 .5 .5x", "five numbers");
    drop("0.5 .5 .5 .5 .5", "five numbers");
    drop("0 nan .5 .5 .5", "five numbers");
    drop("0 .5 .5 inf .5", "five numbers");
    drop("0 .5 .5 1e300 .5", "five numbers");
    drop("4 .5 .5 .5 .5", "the class is out of range");
    drop("-1 .5 .5 .5 .5", "the class is out of range");
    drop("99999999999999999999 .5 .5 .5 .5", "the class is out of range");
    drop("0 .5 .5 0 .5", "the box has no size");
    drop("0 .5 .5 .5 -.5", "the box has no size");
    drop("0 120 80 50 40", "not relative to the image");
    drop("0 1.5 .5 .5 .5", "the box lies beside the image");
    drop("0 .5 -.5 .5 .5", "the box lies beside the image");
}

static void test_hostile_files(void **state)
{
    (void)state;
    put_labels("0 .5 .5 .5 .5\n1 .5\0 .5 .5 .5\n", 29);
    diag *d = diag_new();
    dataset *s = open_boxes(DATA_BOXES, d);
    assert_non_null(s);
    data_expect(d, "box dropped: not a text");
    dataset_free(s);
    diag_free(d);
    size_t n = 1 << 20;   /* one line of a megabyte */
    char *text = mem_calloc(n + 16, 1);
    memset(text, '9', n);
    memcpy(text + n, "\n0 .5 .5 .5 .5\n", 15);
    put_labels(text, n + 15);
    d = diag_new();
    s = open_boxes(DATA_BOXES, d);
    assert_non_null(s);
    assert_true(strlen(diag_get(d, 0)->text) < 200);
    dataset_free(s);
    diag_free(d);
    free(text);
    text = mem_calloc((1 << 24) + 1, 1);   /* more than any image's boxes need */
    put_labels(text, (1 << 24) + 1);
    refuse(DATA_BOXES, "1 of 1 images have no label file");
    free(text);
    char *path = mem_printf("%s/labels/a.txt", check_folder());
    unlink(path);
    folder("labels/a.txt");
    refuse(DATA_BOXES, "no label file");
    rmdir(path);
    mkfifo(path, 0600);   /* does not hang */
    refuse(DATA_BOXES, "no label file");
    unlink(path);
    free(path);
}

/* Many mistakes: ten by line, then their number; nothing right: an error. */
static void test_many_mistakes(void **state)
{
    (void)state;
    char text[4000] = "0 .5 .5 .5 .5\n";
    for (int i = 0; i < 40; ++i) strcat(text, "7 .5 .5 .5 .5\n");
    put_labels(text, strlen(text));
    diag *d = diag_new();
    dataset *s = open_boxes(DATA_BOXES, d);
    assert_non_null(s);
    assert_int_equal(diag_warnings(d), 11);
    data_expect(d, "40 of 41 boxes were dropped (40: the class is out of range); the first 10 follow");
    assert_non_null(strstr(diag_get(d, 0)->text, "were dropped"));   /* in front of them */
    assert_string_equal(diag_get(d, 1)->hint, "classes=3, so a class is 0 to 2");
    dataset_free(s);
    diag_free(d);
    put_labels(text + 14, strlen(text + 14));
    refuse(DATA_BOXES, "none of the 40 boxes of its images is of use");
    d = diag_new();
    s = open_boxes(DATA_BOXES | DATA_LOOK, d);   /* who only looks is told of the lines alone */
    check_no_errors(d);
    assert_non_null(s);
    data_expect(d, "the class is out of range");
    dataset_free(s);
    diag_free(d);
}

/* Opens one image with these boxes; expects a message with `text`, NULL: none at all. */
static void look(const char *boxes, int refused, const char *text)
{
    put_labels(boxes, strlen(boxes));
    diag *d = diag_new();
    dataset *s = open_boxes(DATA_BOXES, d);
    assert_int_equal(s == NULL, refused);
    if (text) data_expect(d, text);
    else assert_int_equal(diag_count(d), 0);
    dataset_free(s);
    diag_free(d);
}

/* n boxes by a format of class, x, y, w, h: centres, or corners, of a grid of objects; top left corner and size show only where these are large. */
static char *grid(int n, int corners, int top_left, int class)
{
    char *text = mem_calloc((size_t)n, 64);
    for (int i = 0; i < n; ++i) {
        double left = .05 + .2 * (i % 4), top = .03 + .13 * (i / 4 % 6), w = top_left ? .3 : .1, h = top_left ? .3 : .2;
        if (corners) sprintf(text + strlen(text), "%d %g %g %g %g\n", i % 2 + class, left, top, left + w, top + h);
        else if (top_left) sprintf(text + strlen(text), "%d %g %g %g %g\n", i % 2 + class, left, top, w, h);
        else sprintf(text + strlen(text), "%d %g %g %g %g\n", i % 2 + class, left + w / 2, top + h / 2, w, h);
    }
    return text;
}

static void look_at_grid(int n, int corners, int top_left, int class, int refused, const char *text)
{
    char *boxes = grid(n, corners, top_left, class);
    look(boxes, refused, text);
    free(boxes);
}

/* What no box alone shows: classes from 1, corners for centres. */
static void test_what_all_boxes_look_like(void **state)
{
    (void)state;
    look_at_grid(24, 0, 0, 0, 0, NULL);
    look_at_grid(24, 0, 0, 2, 1, "classes in the label files seem to begin at 1: of 24 boxes none is of class 0, and 12 are of class 3");
    look_at_grid(24, 0, 0, 1, 0, "none of 24 boxes is of class 0, the first in names=");
    look_at_grid(3, 0, 0, 1, 0, NULL);
    look_at_grid(24, 1, 0, 0, 1, "boxes in the label files seem to be corners, x1 y1 x2 y2: read so, all 24 are right");
    look_at_grid(8, 1, 0, 0, 0, "seem to be corners");       /* a warning */
    look_at_grid(24, 0, 1, 0, 1, "seem to be the top left corner and the size");
    look("0 .5 .5 1 1\n0 .5 .5 .9 .9\n0 .4 .4 .8 .8\n0 .5 .6 .99 .8\n0 .5 .5 1 1\n0 .5 .5 1 1\n0 .45 .5 .9 1\n0 .5 .5 1 1\n0 .5 .5 1 1\n"
         "0 .5 .5 1 1\n", 0, NULL);   /* large objects fill their images */
    look("0 .95 .5 .2 .2\n0 .5 .95 .2 .2\n0 .05 .5 .2 .2\n0 .5 .05 .2 .2\n0 .9 .9 .4 .4\n0 .1 .1 .4 .4\n", 0, NULL);   /* cut at the border */
}

/* n images, `bad` of which have no file, `mute` no label file. */
static void put_many(int n, int bad, int mute)
{
    folder("many"), folder("many/images"), folder("many/labels");
    char *list = mem_calloc((size_t)n, 32);
    for (int i = 0; i < n; ++i) {
        char *image = mem_printf("many/images/%d.png", i), *label = mem_printf("many/labels/%d.txt", i);
        char *image_path = check_path(image), *label_path = check_path(label);
        unlink(image_path), unlink(label_path);
        if (i >= bad) put_image(image);
        if (i < n - mute) data_put_text(label, "0 .5 .5 .5 .5\n");
        sprintf(list + strlen(list), "%s\n", image);
        free(image), free(label), free(image_path), free(label_path);
    }
    data_put_text("l.list", list);
    free(list);
}

static void test_what_is_missing_is_left_out(void **state)
{
    (void)state;
    put_many(200, 1, 1);
    diag *d = diag_new();
    dataset *s = open_boxes(DATA_BOXES, d);
    check_no_errors(d);
    assert_int_equal(dataset_count(s), 200);   /* numbers stay */
    data_expect(d, "1 of 200 images are not there or not readable and are left out: ");
    data_expect(d, "left out: many/images/0.png");
    data_expect(d, "1 of 200 images have no label file and are left out: ");
    data_expect(d, "/many/labels/199.txt");
    assert_string_equal(dataset_left_out(s, 0), "not there or not readable");
    assert_string_equal(dataset_left_out(s, 199), "no label file");
    assert_null(dataset_left_out(s, 1));
    uint8_t *p;
    int w, h;
    char why[100];
    assert_int_equal(dataset_read(s, 0, 3, &p, &w, &h, why, sizeof why), -1);
    assert_string_equal(why, "not there or not readable");
    dataset_free(s);
    diag_free(d);
    put_many(200, 3, 1);
    d = diag_new();
    s = open_boxes(DATA_BOXES | DATA_LOOK, d);   /* who only looks gets all of them, and no message */
    assert_int_equal(diag_count(d), 0);
    assert_int_equal(dataset_count(s), 200);
    assert_string_equal(dataset_left_out(s, 1), "not there or not readable");
    assert_int_equal(dataset_size(s, 1, &w, &h), -1);
    assert_int_equal(dataset_size(s, 3, &w, &h), 0);
    assert_true(w == 3 && h == 2);
    dataset_free(s);
    diag_free(d);
    refuse(DATA_BOXES, "3 of 200 images are not there or not readable; up to 1 % are left out: ");
    put_many(200, 2, 4);   /* two images may be, and four label files */
    d = diag_new();
    s = open_boxes(DATA_BOXES, d);
    check_no_errors(d);
    assert_non_null(s);
    assert_true(dataset_lacks_labels(s, 199) && !dataset_lacks_labels(s, 0));
    dataset_free(s);
    diag_free(d);
    put_many(200, 0, 5);
    refuse(DATA_BOXES, "5 of 200 images have no label file; up to 1 % are left out: ");
    put_many(30, 0, 4);
    d = diag_new();
    s = open_boxes(DATA_BOXES, d);
    check_no_errors(d);
    assert_non_null(s);
    data_expect(d, "4 of 30 images have no label file and are left out: ");
    dataset_free(s);
    diag_free(d);
    put_many(4, 0, 4);
    refuse(DATA_BOXES, "4 of 4 images have no label file");
    put_many(200, 2, 0);
    d = diag_new();
    s = open_boxes(DATA_DETECTOR, d);   /* two of them may be */
    check_no_errors(d);
    assert_non_null(s);
    assert_int_equal(diag_warnings(d), 1);
    dataset_free(s);
    diag_free(d);
    put_many(30, 0, 20);
    refuse(DATA_BOXES, ", ...");
}

/* A label in a path, or none, means nothing here; a list of another format does. */
static void test_detector_lists(void **state)
{
    (void)state;
    put_image("square circle.png");
    data_put_text("l.list", "square circle.png\n");
    dataset *s = must_open(DATA_DETECTOR);
    assert_int_equal(dataset_count(s), 1);
    uint8_t *p;
    int w, h;
    char why[100];
    assert_int_equal(dataset_read(s, 0, 3, &p, &w, &h, why, sizeof why), 0);
    assert_true(w == 3 && h == 2);
    free(p);
    dataset_free(s);
    data_put("l.list", "a\0b\n", 4);
    refuse(DATA_DETECTOR, "not a text file");
    data_put_text("l.list", "\n\n");
    refuse(DATA_DETECTOR, "no images");
    diag *d = diag_new();
    data_file *f = data_read_text(DATA "format=idx\n", d);
    assert_null(dataset_open(f, DATA_TRAIN, 0, DATA_DETECTOR, d));
    data_expect(d, "format=idx has no boxes");
    data_file_free(f);
    diag_free(d);
}

/* The number of boxes that the data's own description gives. */
static void test_coco(void **state)
{
    (void)state;
    const char *parts[] = { "train2017", "val2017" };
    const size_t boxes[] = { 929, 898 };
    char *root = realpath("../shared/data/detect", NULL);
    if (!root) {
        print_message("skipped: ../shared/data/detect is not there\n");
        skip();
    }
    for (int k = 0; k < 2; ++k) {
        char *command = mem_printf("ls %s/images/%s/*.jpg > %s/coco.list", root, parts[k], check_folder());
        assert_int_equal(system(command), 0);
        free(command);
        char *text = mem_printf("classes=80\nnames=%s/coco.names\ntrain=coco.list\n", root);
        diag *d = diag_new();
        dataset *s = data_open_train(text, 0, DATA_BOXES, d);
        check_no_errors(d);
        assert_int_equal(diag_warnings(d), 0);
        size_t sum = 0;
        for (size_t i = 0; i < dataset_count(s); ++i) {
            int n;
            dataset_boxes(s, i, &n);
            sum += (size_t)n;
        }
        assert_int_equal(dataset_count(s), 128);
        assert_int_equal(sum, boxes[k]);
        dataset_free(s);
        diag_free(d);
        free(text);
    }
    free(root);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes_are_read),
        cmocka_unit_test(test_labels_are_left_alone_where_not_wanted),
        cmocka_unit_test(test_where_label_files_are),
        cmocka_unit_test(test_lines_that_are_dropped),
        cmocka_unit_test(test_hostile_files),
        cmocka_unit_test(test_many_mistakes),
        cmocka_unit_test(test_what_all_boxes_look_like),
        cmocka_unit_test(test_what_is_missing_is_left_out),
        cmocka_unit_test(test_detector_lists),
        cmocka_unit_test(test_coco),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
