/* Boxes from COCO's JSON and VOC's XML: the same boxes as Darknet's texts, where they are looked for, what is left out, and every
 * way they can be wrong. */
#include "check_data.h"

#include "darknet_plugin/base/json_walk.h"
#include "darknet_plugin/data/image_io.h"

#include <sys/stat.h>
#include <unistd.h>

#define LIST "classes=3\nnames=names\ntrain=l.list\n"
#define COCO LIST "train_labels=c.json\n"
#define IMAGES "{\"images\": [{\"id\": 70, \"file_name\": \"a.png\", \"width\": 20, \"height\": 10}, " \
               "{\"width\": 20, \"file_name\": \"b.png\", \"height\": 10, \"id\": 3000000000}],\n"
#define CATEGORIES "\"categories\": [{\"id\": 18, \"name\": \"dog\"}, {\"name\": \"cat\", \"id\": 17, \"supercategory\": \"pet\"}, " \
                   "{\"id\": 3, \"name\": \"fire truck\"}]"

static void put_image(const char *name, int w, int h)
{
    char *path = check_path(name);
    uint8_t *p = mem_calloc((size_t)w * (size_t)h, 1);
    assert_int_equal(image_write(path, p, w, h, 1), 0);
    free(p);
    free(path);
}

static void folder(const char *name)
{
    char *path = check_path(name);
    mkdir(path, 0700);
    free(path);
}

/* a.png and b.png, 20 x 10. */
static void put_two(void)
{
    char *command = mem_printf("rm -rf '%s'/*", check_folder());
    assert_int_equal(system(command), 0);
    free(command);
    put_image("a.png", 20, 10);
    put_image("b.png", 20, 10);
    data_put_text("names", "cat\ndog\nfire truck\n");
    data_put_text("l.list", "a.png\nb.png\n");
}

static void check_box(const dataset *s, size_t image, int k, int class, double x, double y, double w, double h)
{
    int n;
    const data_box *b = dataset_boxes(s, image, &n);
    assert_true(k < n);
    assert_int_equal(b[k].class, class);
    check_close(b[k].x, x, 1e-6, "x", image), check_close(b[k].y, y, 1e-6, "y", image);
    check_close(b[k].w, w, 1e-6, "w", image), check_close(b[k].h, h, 1e-6, "h", image);
}

static int boxes_of(const dataset *s, size_t image)
{
    int n;
    (void)dataset_boxes(s, image, &n);
    return n;
}

/* Opened without errors and with so many warnings, the first of which says `warning`. */
static dataset *opened(const char *data, int warnings, const char *warning)
{
    diag *d = diag_new();
    dataset *s = data_open_train(data, 0, DATA_BOXES, d);
    check_no_errors(d);
    if (diag_warnings(d) != warnings) diag_print(d, stderr);
    assert_int_equal(diag_warnings(d), warnings);
    if (warning) data_expect(d, warning);
    diag_free(d);
    assert_non_null(s);
    return s;
}

static void refused(const char *data, const char *message)
{
    diag *d = diag_new();
    assert_null(data_open_train(data, 0, DATA_BOXES, d));
    assert_true(diag_errors(d) > 0);
    data_expect(d, message);
    diag_free(d);
}

/* ---- COCO ---- */

static void test_coco(void **state)
{
    (void)state;
    put_two();
    data_put_text("c.json", "\xef\xbb\xbf " IMAGES
                  "\"annotations\": [\n"
                  "{\"image_id\": 3000000000, \"category_id\": 17, \"bbox\": [2, 1, 10.0, 4], \"iscrowd\": 0,"
                  " \"segmentation\": [[1, 2, \"]}\\\"\"]], \"area\": 40},\n"
                  "{\"category_id\": 3, \"image_id\": 70, \"bbox\": [0,0,20,10]},"
                  "{\"category_id\": 18, \"image_id\": 3000000000, \"bbox\": [15, 5, 10, 5]},"
                  "{\"category_id\": 18, \"image_id\": 3000000000, \"bbox\": [1, 1, 2, 2], \"iscrowd\": 1, \"segmentation\": {}}],\n"
                  "\"info\": {\"year\": 2017, \"deep\": [[[[[{}]]]]]}, " CATEGORIES "}\n");
    dataset *s = opened(COCO, 0, NULL);
    assert_int_equal(boxes_of(s, 0), 1);
    assert_int_equal(boxes_of(s, 1), 2);
    check_box(s, 0, 0, 2, .5, .5, 1, 1);
    check_box(s, 1, 0, 0, .35, .3, .5, .4);
    check_box(s, 1, 1, 1, 1, .75, .5, .5);    /* reaches out, as it would in a text */
    assert_int_equal(dataset_passed_over(s), 1);
    dataset_free(s);
    /* Texts beside the images are not looked at, and an image without annotations has no objects. */
    data_put_text("a.txt", "1 .5 .5 .5 .5\n");
    data_put_text("c.json", IMAGES "\"annotations\": [], " CATEGORIES "}");
    s = opened(COCO, 0, NULL);
    assert_int_equal(boxes_of(s, 0), 0);
    assert_null(dataset_left_out(s, 0));
    dataset_free(s);
    /* The validation's own key */
    data_put_text("l2.list", "b.png\n");
    diag *d = diag_new();
    data_file *file = data_read_text(LIST "valid=l2.list\nvalid_labels=c.json\n", d);
    s = dataset_open(file, DATA_VALID, 0, DATA_BOXES, d);
    check_no_errors(d);
    assert_int_equal(dataset_count(s), 1);
    dataset_free(s);
    data_file_free(file);
    diag_free(d);
}

/* Two folders with images of one name: file_name says which, or cannot. */
static void test_coco_names(void **state)
{
    (void)state;
    put_two();
    folder("x");
    folder("y");
    put_image("x/1.png", 20, 10);
    put_image("y/1.png", 20, 10);
    data_put_text("l.list", "x/1.png\ny/1.png\n");
#define ONE(id, name) "{\"id\": " #id ", \"file_name\": \"" name "\", \"width\": 20, \"height\": 10}"
#define BOXES "\"annotations\": [{\"image_id\": 1, \"category_id\": 17, \"bbox\": [0, 0, 20, 10]}, " \
              "{\"image_id\": 2, \"category_id\": 18, \"bbox\": [0, 0, 20, 10]}], " CATEGORIES "}"
    data_put_text("c.json", "{\"images\": [" ONE(2, "y/1.png") "," ONE(1, "photos/x/1.png") "]," BOXES);
    dataset *s = opened(COCO, 0, NULL);
    check_box(s, 0, 0, 0, .5, .5, 1, 1);
    check_box(s, 1, 0, 1, .5, .5, 1, 1);
    dataset_free(s);
    data_put_text("c.json", "{\"images\": [" ONE(2, "2.png") "," ONE(1, "1.png") "]," BOXES);
    refused(COCO, "file_name \"1.png\" in ");
    data_put_text("c.json", "{\"images\": [" ONE(2, "1.png") "," ONE(1, "1.png") "]," BOXES);
    refused(COCO, "several images of ");
    data_put_text("c.json", "{\"images\": [" ONE(2, "x/1.png") "," ONE(1, "3.png") "]," BOXES);
    s = opened(COCO, 1, "1 of 2 images are not in the file of labels and are left out: ");    /* the less alike */
    assert_string_equal(dataset_left_out(s, 1), "not in the file of labels");
    assert_int_equal(boxes_of(s, 0), 1);
    dataset_free(s);
    data_put_text("c.json", "{\"images\": [" ONE(2, "1.png") "," ONE(2, "3.png") "]," BOXES);
    refused(COCO, "two images have the id 2: ");
    /* Several files, each with ids of its own */
    data_put_text("c.json", "{\"images\": [" ONE(1, "x/1.png") "], \"annotations\": [], " CATEGORIES "}");
    data_put_text("d.json", "{\"images\": [" ONE(1, "y/1.png") "], \"annotations\": "
                  "[{\"image_id\": 1, \"category_id\": 18, \"bbox\": [0, 0, 10, 10]}], " CATEGORIES "}");
    s = opened(LIST "train_labels=c.json, d.json\n", 0, NULL);
    assert_int_equal(boxes_of(s, 0), 0);
    check_box(s, 1, 0, 1, .25, .5, .5, 1);
    dataset_free(s);
}

static void test_coco_boxes(void **state)
{
    (void)state;
    static const struct { const char *box, *says; } rows[] = {
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [0, 0, 0, 5]", "the box has no size" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [0, 0, -3, 5]", "the box has no size" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [25, 0, 3, 5]", "the box lies beside the image" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [1e5, 0, 3, 5]", "the box lies beside the image" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [1e999, 0, 3, 5]", "and bbox, four of them" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [NaN, 0, 3, 5]", "and bbox, four of them" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [1, 0, 3]", "and bbox, four of them" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": [1, 0, 3, 4, 5]", "and bbox, four of them" },
        { "\"image_id\": 70, \"category_id\": 17, \"bbox\": {\"x\": 1}", "and bbox, four of them" },
        { "\"image_id\": \"70\", \"category_id\": 17, \"bbox\": [1, 1, 3, 4]", "and bbox, four of them" },
        { "\"image_id\": 71, \"category_id\": 17, \"bbox\": [1, 1, 3, 4]", "no image, or no category, has that id" },
        { "\"image_id\": 70, \"category_id\": 1, \"bbox\": [1, 1, 3, 4]", "no image, or no category, has that id" },
    };
    put_two();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        char *json = mem_printf("%s\"annotations\": [{\"image_id\": 70, \"category_id\": 18, \"bbox\": [0, 0, 20, 10]},\n{%s}], %s}",
                                IMAGES, rows[i].box, CATEGORIES);
        data_put_text("c.json", json);
        dataset *s = opened(COCO, 1, rows[i].says);
        assert_int_equal(boxes_of(s, 0), 1);
        dataset_free(s);
        free(json);
    }
    data_put_text("c.json", IMAGES "\"annotations\": [{}], " CATEGORIES "}");
    refused(COCO, "none of the 1 boxes of its images is of use");
}

/* Categories that names= does not have, and the other way round. */
static void test_coco_categories(void **state)
{
    (void)state;
    put_two();
    data_put_text("names", "cat\ndogs\nfire truck\n");
    data_put_text("c.json", IMAGES "\"annotations\": [{\"image_id\": 70, \"category_id\": 18, \"bbox\": [0, 0, 20, 10]},"
                  "{\"image_id\": 70, \"category_id\": 17, \"bbox\": [0, 0, 20, 10]}], " CATEGORIES "}");
    diag *d = diag_new();
    dataset *s = data_open_train(COCO, 0, DATA_BOXES, d);
    check_no_errors(d);
    data_expect(d, "1 of 3 classes in names= are no category of it: dogs");
    data_expect(d, "1 boxes are left out, of classes that are not in names=: dog (1)");
    assert_int_equal(boxes_of(s, 0), 1);
    dataset_free(s);
    diag_free(d);
    data_put_text("names", "one\ntwo\nthree\n");
    refused(COCO, "none of its 3 categories is in names=: fire truck, cat, dog");
    refused("classes=3\ntrain=l.list\ntrain_labels=c.json\n", "classes have names there, and none in ");
    data_put_text("names", "cat\ncat\ndog\n");
    s = opened(COCO, 2, "its class is a name that stands twice in names=");
    dataset_free(s);
}

static void test_coco_files(void **state)
{
    (void)state;
    static const struct { const char *json, *says; } rows[] = {
        { "", "not JSON, or cut short (byte 1)" },
        { "[]", "not JSON" },
        { "{", "not JSON, or cut short (byte 2)" },
        { "hello", "not JSON" },
        { "{\"images\": 3}", "\"images\" is no array" },
        { "{\"images\": [3]}", "images[0]: expected an object" },
        { "{\"images\": [{\"id\": 1}]}", "images[0]: expected \"id\", a number, and \"file_name\", a text" },
        { "{\"images\": [\n{\"id\": \"x\", \"file_name\": \"a\"}]}", "images[0]: expected \"id\", a number" },
        { "{\"categories\": [{\"id\": 1, \"name\": 7}]}", "categories[0]: expected \"id\", a number, and \"name\", a text" },
        { "{\"images\": [], \"annotations\": [{\"id\": 1,]}", "not JSON" },
        { "{\"images\": [], \"annotations\": [", "not JSON" },
        { "{\"images\": [] \"annotations\": []}", "not JSON" },
        { "{\"images\": [], \"annotations\": []}", "no COCO file of boxes: it has no \"categories\"" },
        { "{\"images\": [], \"categories\": []}", "no COCO file of boxes: it has no \"annotations\"" },
        { "{\"images\": [], \"annotations\": [], \"categories\": []}", "none of its 0 categories is in names=" },
    };
    put_two();
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        data_put_text("c.json", rows[i].json);
        refused(COCO, rows[i].says);
    }
    char *deep = mem_calloc(200001, 1);
    memset(deep, '[', 200000);
    data_put_text("c.json", deep);
    refused(COCO, "not JSON");
    memcpy(deep, "{\"x\": ", 6);
    data_put_text("c.json", deep);
    refused(COCO, "not JSON");
    free(deep);
    refused(LIST "train_labels=none.json\n", "No such file or directory (train_labels= in ");
    folder("f");
    data_put_text("c.json", IMAGES "\"annotations\": [], " CATEGORIES "}");
    refused(LIST "train_labels=c.json, f\n", "train_labels= names folders and files: a split's labels are of one kind");
}

/* An image that was turned, and one that was made smaller. */
static void test_shapes(void **state)
{
    (void)state;
    put_two();
    data_put_text("c.json", IMAGES "\"annotations\": [{\"image_id\": 70, \"category_id\": 17, \"bbox\": [10, 0, 10, 5]}], " CATEGORIES "}");
    put_image("a.png", 40, 20);
    dataset *s = opened(COCO, 0, NULL);
    check_box(s, 0, 0, 0, .75, .25, .5, .5);
    dataset_free(s);
    put_image("a.png", 100, 200);
    refused(COCO, "100 x 200 pixels, and 20 x 10 by ");
    /* A file that says no size: the image's own. */
    data_put_text("c.json", "{\"images\": [{\"id\": 70, \"file_name\": \"a.png\"}, {\"id\": 71, \"file_name\": \"b.png\", \"width\": null}],"
                  "\"annotations\": [{\"image_id\": 70, \"category_id\": 17, \"bbox\": [50, 0, 50, 50]}], " CATEGORIES "}");
    s = opened(COCO, 0, NULL);
    check_box(s, 0, 0, 0, .75, .125, .5, .25);
    dataset_free(s);
}

/* ---- VOC ---- */

#define SIZE "<size><width>20</width><height>10</height><depth>3</depth></size>"
#define OBJECT(name, more, a, b, c, d) "<object>\n<name> " name "\n</name>" more "<bndbox><xmin>" #a "</xmin><ymin>" #b \
                                       "</ymin><xmax>" #c "</xmax><ymax>" #d "</ymax></bndbox></object>\n"

static void put_voc(const char *name, const char *inside)
{
    char *text = mem_printf("<?xml version=\"1.0\"?>\n<annotation verified=\"no\"><filename>a.png</filename>%s</annotation>\n", inside);
    data_put_text(name, text);
    free(text);
}

/* JPEGImages/ and Annotations/, as voc_label.py reads them; a text is preferred. */
static void test_voc(void **state)
{
    (void)state;
    put_two();
    folder("VOC");
    folder("VOC/JPEGImages");
    folder("VOC/Annotations");
    put_image("VOC/JPEGImages/a.png", 20, 10);
    put_image("VOC/JPEGImages/b.png", 20, 10);
    data_put_text("l.list", "VOC/JPEGImages/a.png\nVOC/JPEGImages/b.png\n");
    put_voc("VOC/Annotations/a.xml", OBJECT("dog", "<difficult>0</difficult><part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>", 3, 2, 13, 6)
            OBJECT("cat", "<difficult>1</difficult>", 1, 1, 5, 5) OBJECT("fire truck", "", 1, 1, 20, 10) SIZE);
    put_voc("VOC/Annotations/b.xml", SIZE);
    dataset *s = opened(LIST, 0, NULL);
    assert_int_equal(boxes_of(s, 0), 2);
    check_box(s, 0, 0, 1, 7. / 20, 3. / 10, .5, .4);    /* ((3 + 13) / 2 - 1) / 20 */
    check_box(s, 0, 1, 2, 9.5 / 20, 4.5 / 10, .95, .9);
    assert_int_equal(boxes_of(s, 1), 0);
    assert_int_equal(dataset_passed_over(s), 1);
    dataset_free(s);
    folder("VOC/labels");
    data_put_text("VOC/labels/a.txt", "0 .5 .5 .25 .25\n");
    s = opened(LIST, 0, NULL);
    check_box(s, 0, 0, 0, .5, .5, .25, .25);
    dataset_free(s);
    /* By the key the folder decides; the image's own folder there comes first. */
    s = opened(LIST "train_labels=VOC/Annotations\n", 0, NULL);
    assert_int_equal(boxes_of(s, 0), 2);
    dataset_free(s);
    folder("VOC/Annotations/JPEGImages");
    put_voc("VOC/Annotations/JPEGImages/a.xml", OBJECT("cat", "", 1, 1, 11, 6));
    s = opened(LIST "train_labels=VOC/Annotations\n", 0, NULL);
    check_box(s, 0, 0, 0, .25, .25, .5, .5);    /* and the image's own size */
    dataset_free(s);
    s = opened(LIST "train_labels=VOC/labels\n", 1, "1 of 2 images have no label file and are left out: ");
    dataset_free(s);
    /* Beside the image */
    data_put_text("l.list", "a.png\n");
    put_voc("a.xml", OBJECT("cat", "", 1, 1, 11, 6) "<size><width>0</width><height>0</height></size>");
    s = opened(LIST, 0, NULL);
    check_box(s, 0, 0, 0, .25, .25, .5, .5);
    dataset_free(s);
}

static void test_voc_mistakes(void **state)
{
    (void)state;
    static const struct { const char *inside, *says; } rows[] = {
        { SIZE OBJECT("cat", "", 1, 1, 1, 5), "the box has no size" },
        { SIZE OBJECT("cat", "", 5, 1, 3, 5), "the box has no size" },
        { SIZE OBJECT("cat", "", nan, 1, 3, 5), "expected <name>, and <bndbox>" },
        { SIZE OBJECT("cat", "", 1e999, 1, 3, 5), "expected <name>, and <bndbox>" },
        { SIZE OBJECT("cat", "", x, 1, 3, 5), "expected <name>, and <bndbox>" },
        { SIZE OBJECT("cat", "", 40, 1, 45, 5), "the box lies beside the image" },
        { SIZE OBJECT("bird", "", 1, 1, 5, 5), "1 boxes are left out, of classes that are not in names=: bird (1)" },
        { SIZE "<object><name>cat</name></object>", "expected <name>, and <bndbox>" },
        { SIZE "<object></object>", "expected <name>, and <bndbox>" },
    };
    put_two();
    data_put_text("l.list", "a.png\nb.png\n");
    put_voc("b.xml", SIZE OBJECT("dog", "", 1, 1, 5, 5));
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        put_voc("a.xml", rows[i].inside);
        dataset *s = opened(LIST, 1, rows[i].says);
        assert_int_equal(boxes_of(s, 0), 0);
        assert_int_equal(boxes_of(s, 1), 1);
        dataset_free(s);
    }
    static const struct { const char *text, *says; } broken[] = {
        { "", "not VOC's XML: no element found" },
        { "<annotation><size></annotation>", "not VOC's XML: mismatched tag" },
        { "<html></html>", "its first element is not <annotation>" },
        { "<!DOCTYPE a [<!ENTITY x \"ha\"><!ENTITY y \"&x;&x;&x;&x;&x;&x;\">]>\n<annotation>&y;</annotation>", "it declares entities" },
        { "<!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]>\n<annotation>&x;</annotation>", "it declares entities" },
        { "<annotation>&none;</annotation>", "undefined entity" },
        { "\1\2\3", "not well-formed" },
    };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; ++i) {
        data_put_text("a.xml", broken[i].text);
        refused(LIST, broken[i].says);
        refused(LIST, "1 of 2 images have a label file that cannot be read; up to 1 % are left out: ");
    }
    char *deep = mem_calloc(100 * 3 + 20, 1), *p = deep + sprintf(deep, "<annotation>");
    for (int i = 0; i < 100; ++i) p += sprintf(p, "<a>");
    data_put_text("a.xml", deep);
    refused(LIST, "elements are nested too deep");
    free(deep);
    put_voc("a.xml", SIZE OBJECT("cat", "", 1, 1, 5, 5));
    put_image("a.png", 10, 20);
    refused(LIST, "10 x 20 pixels, and 20 x 10 by ");
    refused("classes=3\ntrain=l.list\n", "classes have names there, and none in ");
}

/* ---- walking through JSON ---- */

static void test_json_walk(void **state)
{
    (void)state;
    static const char text[] = " \n{ \"a\\\"b\" : [1, \"]\", {\"x\":2}] ,\"c\":-1.5e3,\"d\":\"\\u00e9\"}";
    json_span all = { text + 2, sizeof text - 3 };
    json_item item, inner;
    const char *at = NULL, *in = NULL;
    double number;
    assert_int_equal(json_next(all, &at, &item), 1);
    assert_true(json_key_is(&item, "a\\\"b"));
    for (int i = 0; i < 3; ++i) assert_int_equal(json_next(item.value, &in, &inner), 1);
    assert_true(inner.value.n == 7 && inner.key.n == 0);
    assert_int_equal(json_next(item.value, &in, &inner), 0);
    assert_int_equal(json_next(all, &at, &item), 1);
    assert_int_equal(json_number(item.value, &number), 0);
    assert_true(number == -1500);
    assert_int_equal(json_next(all, &at, &item), 1);
    cJSON *v = json_value(item.value);
    assert_string_equal(v->valuestring, "\xc3\xa9");
    cJSON_Delete(v);
    assert_int_equal(json_number(item.value, &number), -1);
    assert_int_equal(json_next(all, &at, &item), 0);
    static const char *const broken[] = { "", "1", "{1:2}", "{\"a\" 1}", "[1 2]", "[1,]", "{\"a\":}", "[\"", "[\"\\" };
    for (size_t i = 0; i < sizeof broken / sizeof *broken; ++i) {
        int more;
        at = NULL;
        while ((more = json_next((json_span){ broken[i], strlen(broken[i]) }, &at, &item)) > 0) continue;
        assert_int_equal(more, -1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_coco),
        cmocka_unit_test(test_coco_names),
        cmocka_unit_test(test_coco_boxes),
        cmocka_unit_test(test_coco_categories),
        cmocka_unit_test(test_coco_files),
        cmocka_unit_test(test_shapes),
        cmocka_unit_test(test_voc),
        cmocka_unit_test(test_voc_mistakes),
        cmocka_unit_test(test_json_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
