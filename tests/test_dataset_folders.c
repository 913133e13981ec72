/* Folders of folders: classes by their names, order, what is passed over, and every way they can be wrong. */
#include "check_data.h"

#include "darknet_plugin/base/hash.h"
#include "darknet_plugin/data/image_io.h"

#include <sys/stat.h>
#include <unistd.h>

#define PETS "classes=3\nnames=pets\ntrain=photos\n"

static void make_folder(const char *name)
{
    char *path = check_path(name);
    mkdir(path, 0700);
    free(path);
}

static void put_image(const char *name, uint8_t grey)
{
    char *path = check_path(name), *png = check_path("image.png");
    uint8_t p[6] = { grey, grey, grey, grey, grey, grey };
    assert_int_equal(image_write(png, p, 3, 2, 1), 0);
    assert_int_equal(rename(png, path), 0);
    free(path);
    free(png);
}

static void empty(void)
{
    char *command = mem_printf("rm -rf '%s'/*", check_folder());
    assert_int_equal(system(command), 0);
    free(command);
    data_put_text("pets", "dog\ncat\nfire truck\n");
}

/* photos/ with three classes of one, two and one images. */
static void put_photos(void)
{
    empty();
    make_folder("photos");
    make_folder("photos/cat");
    make_folder("photos/dog");
    make_folder("photos/fire truck");
    put_image("photos/cat/b.PNG", 20);
    put_image("photos/cat/a dog.png", 10);
    put_image("photos/dog/B.Png", 30);
    put_image("photos/fire truck/1.png", 40);
}

static void check_image(const dataset *s, size_t i, const char *end, int grey, int label)
{
    uint8_t *p;
    int w, h;
    char why[200] = "", name[400];
    if (dataset_read(s, i, 3, &p, &w, &h, why, sizeof why)) fail_msg("%s", why);
    assert_true(w == 3 && h == 2 && p[0] == grey && p[17] == grey);
    free(p);
    assert_int_equal(dataset_label(s, i), label);
    dataset_name(s, i, name, sizeof name);
    assert_true(strlen(name) > strlen(end));
    assert_string_equal(name + strlen(name) - strlen(end), end);
}

/* What the last set opened said besides: the text and the hint of message `i`. */
static void said(const diag *d, int i, const char *text, const char *hint)
{
    assert_true(i < diag_count(d));
    const diag_message *m = diag_get(d, i);
    if (!strstr(m->text, text)) fail_msg("\"%s\" says not \"%s\"", m->text, text);
    if (hint && (!m->hint || !strstr(m->hint, hint))) fail_msg("the hint \"%s\" says not \"%s\"", m->hint, hint);
}

static void refused(const char *data, int messages, const char *text, const char *hint)
{
    diag *d = diag_new();
    assert_null(data_open_train(data, 0, 1, d));
    assert_int_equal(diag_count(d), messages);
    said(d, 0, text, hint);
    diag_free(d);
}

static dataset *open_warned(const char *data, const char *warning)
{
    diag *d = diag_new();
    dataset *s = data_open_train(data, 0, 1, d);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), warning ? 1 : 0);
    if (warning) said(d, 0, warning, NULL);
    diag_free(d);
    assert_non_null(s);
    return s;
}

/* Numbers come from names=, the order from the names' bytes, classes mixed: cat 1/4, dog and fire truck 1/2, cat 3/4. No
 * label is looked for in a path. */
static void test_classes_and_order(void **state)
{
    (void)state;
    put_photos();
    const char *data[] = { PETS, PETS "format=folders\n", "classes=3\nnames=pets\ntrain=photos/\n",
                           "classes=3\nlabels=pets\ntrain=photos\nformat=auto\n" };
    for (int i = 0; i < 4; ++i) {
        dataset *s = open_warned(data[i], NULL);
        assert_int_equal(dataset_count(s), 4);
        check_image(s, 0, "/photos/cat/a dog.png", 10, 1);
        check_image(s, 1, "/photos/dog/B.Png", 30, 0);
        check_image(s, 2, "/photos/fire truck/1.png", 40, 2);
        check_image(s, 3, "/photos/cat/b.PNG", 20, 1);
        assert_false(dataset_ambiguous(s, 0));
        dataset_free(s);
    }
    dataset *s = data_must_open(PETS, 2, 1);
    assert_int_equal(dataset_count(s), 2);
    dataset_free(s);
}

/* A class's folder may have its label's name where names= says what is printed. */
static void test_labels(void **state)
{
    (void)state;
    put_photos();
    make_folder("photos/n01");
    put_image("photos/n01/1.png", 60);
    data_put_text("tags", "n00\nn01\nn02\n");
    dataset *s = open_warned(PETS "labels=tags\n", NULL);
    assert_int_equal(dataset_count(s), 5);
    check_image(s, 1, "/photos/cat/b.PNG", 20, 1);
    check_image(s, 4, "/photos/n01/1.png", 60, 1);
    dataset_free(s);
}

/* As it stands, then beside the .data file, as an absolute path; a list of that name there comes first. */
static void test_where(void **state)
{
    (void)state;
    put_photos();
    char *data = mem_printf("classes=3\nnames=pets\ntrain=%s/photos//\n", check_folder());
    dataset *s = open_warned(data, NULL);
    check_image(s, 2, "/photos/fire truck/1.png", 40, 2);
    dataset_free(s);
    free(data);
    data_put_text("tests", "photos/dog/B.Png\n");   /* tests/ is a folder of the working directory */
    s = open_warned("classes=3\nnames=pets\ntrain=tests\n", NULL);
    check_image(s, 0, "/photos/dog/B.Png", 30, 0);
    dataset_free(s);
    data_put_text("more.list", "photos/dog/B.Png\n");
    refused("classes=3\nnames=pets\ntrain=photos,more.list\n", 1, "not a folder (train= in ", NULL);
    refused("classes=3\nnames=pets\ntrain=more.list,photos\n", 1, "not a regular file (train= in ", NULL);
    refused("classes=3\nnames=pets\ntrain=more.list\nformat=folders\n", 1, "not a folder (train= in ", NULL);
    refused("classes=3\nnames=pets\ntrain=none\nformat=folders\n", 1, "No such file or directory (train= in ", NULL);
    refused("classes=3\nnames=pets\ntrain=photos\nformat=folder\n", 1, "is not one of auto, idx, cifar10, cifar100, list, folders, images",
            NULL);
    refused("classes=3\nvalid=photos\n", 1, "train= is missing", "a list of images, a folder with a folder of images for each class");
}

static void test_several(void **state)
{
    (void)state;
    put_photos();
    make_folder("more");
    make_folder("more/dog");
    put_image("more/dog/x.jpg.png", 50);
    dataset *s = open_warned("classes=3\nnames=pets\ntrain=more, photos\n", NULL);
    assert_int_equal(dataset_count(s), 5);
    check_image(s, 0, "/more/dog/x.jpg.png", 50, 0);
    check_image(s, 1, "/photos/cat/a dog.png", 10, 1);
    check_image(s, 2, "/photos/fire truck/1.png", 40, 2);
    dataset_free(s);
}

/* Images of folders have prints, as those of a list of the same files. */
static void test_prints(void **state)
{
    (void)state;
    put_photos();
    dataset *s = data_must_open(PETS, 0, 1);
    char *list = mem_printf("%1$s/photos/cat/a dog.png cat\n%1$s/photos/dog/B.Png dog\n"
                            "%1$s/photos/fire truck/1.png 2\n%1$s/photos/cat/b.PNG cat\n", check_folder());
    data_put_text("l.list", list);
    dataset *listed = data_must_open("classes=3\nnames=pets\ntrain=l.list\n", 0, 1);
    assert_true(dataset_identity(s) == dataset_identity(listed));
    assert_int_equal(dataset_prints(s), dataset_prints(listed));
    for (size_t i = 0; i < dataset_count(s); ++i) {
        uint8_t *p;
        int w, h;
        char why[200];
        assert_int_equal(dataset_read(s, i, 3, &p, &w, &h, why, sizeof why), 0);
        free(p);
        assert_int_equal(dataset_read(listed, i, 3, &p, &w, &h, why, sizeof why), 0);
        free(p);
        assert_true(dataset_print(s, i).hash && dataset_print(s, i).hash == dataset_print(listed, i).hash);
    }
    dataset_free(s);
    dataset_free(listed);
    free(list);
}

/* Every ending, in any case; hidden things in silence, others with a word; links are followed. */
static void test_what_is_an_image(void **state)
{
    (void)state;
    static const char *const image[] = { "a.JPG", "b.jpeg", "c.Png", "d.bmp", "e.pgm", "f.ppm", "g.tif", "h.TIFF", "i.webp" };
    static const char *const other[] = { "readme.txt", "png", "x.png.part", "y.gif", "z.jpg~" };
    put_photos();
    for (size_t i = 0; i < sizeof image / sizeof *image; ++i) {
        char *name = mem_printf("photos/dog/%s", image[i]);
        put_image(name, 5);
        free(name);
    }
    put_image("photos/dog/.hidden.png", 5);
    make_folder("photos/.cache");
    char *from = check_path("photos/dog/link.png"), *to = check_path("photos/cat/b.PNG"), *folder = check_path("photos/cat"), *other_folder = check_path("linked");
    assert_int_equal(symlink(to, from), 0);
    make_folder("linked");
    free(from);
    from = check_path("linked/cat");
    assert_int_equal(symlink(folder, from), 0);
    dataset *s = open_warned(PETS, NULL);
    assert_int_equal(dataset_count(s), 4 + 9 + 1);
    check_image(s, 13, "/photos/dog/link.png", 20, 0);
    dataset_free(s);
    s = open_warned("classes=3\nnames=pets\ntrain=linked\n", "2 of 3 classes have no images: dog, fire truck");
    assert_int_equal(dataset_count(s), 2);
    dataset_free(s);
    for (size_t i = 0; i < sizeof other / sizeof *other; ++i) {
        char *name = mem_printf("photos/dog/%s", other[i]);
        data_put_text(name, "no image");
        free(name);
    }
    make_folder("photos/cat/deeper.png");
    put_image("photos/cat/deeper.png/1.png", 1);
    put_image("photos/loose.png", 1);
    s = open_warned(PETS, "7 files and folders in it are ignored, as no images of a class: ");
    assert_int_equal(dataset_count(s), 14);
    dataset_free(s);
    free(from);
    free(to);
    free(folder);
    free(other_folder);
}

static void test_empty_classes(void **state)
{
    (void)state;
    put_photos();
    char *one = check_path("photos/dog/B.Png");
    unlink(one);
    free(one);
    dataset *s = open_warned(PETS, "1 of 3 classes have no images: dog");
    assert_int_equal(dataset_count(s), 3);
    dataset_free(s);
    make_folder("bare");
    make_folder("bare/cat");
    refused("classes=3\nnames=pets\ntrain=bare\n", 1, "no images (train= in ", NULL);
}

static void test_mistakes(void **state)
{
    (void)state;
    put_photos();
    refused("classes=3\ntrain=photos\n", 1, "3 folders, whose classes have no names in ", "`names = FILE`, a file with the name of a folder a line; classes=3");
    diag *d = diag_new();
    assert_null(data_open_train("classes=3\ntrain=photos\n", 0, DATA_IMAGES, d));   /* whoever needs no labels, too */
    said(d, 0, ": cat, dog, fire truck", NULL);
    diag_free(d);
    make_folder("photos/bird");
    make_folder("photos/Dog");
    refused(PETS, 1, "2 of 5 folders have no class's name: Dog, bird", "the names of the 3 classes, from ");
    refused(PETS, 1, "2 of 5", "/pets: dog, cat, fire truck; format=images takes all images without a class");
    data_put_text("pets", "dog\ncat\nfire truck\nbird\nDog\n");
    dataset *s = open_warned("classes=5\nnames=pets\ntrain=photos\n", "2 of 5 classes have no images: bird, Dog");
    dataset_free(s);
    data_put_text("pets", "dog\ncat\nfire truck\ndog\nbird\nDog\n");
    refused("classes=6\nnames=pets\ntrain=photos\n", 1, "the folder's name stands twice among the labels", NULL);
    make_folder("flat");
    refused("classes=6\nnames=pets\ntrain=flat\n", 1, "there is no folder in it, expected one for each class: dog, cat, ", "let train= name a list");
    put_image("flat/1.png", 1);
    refused("classes=6\nnames=pets\ntrain=flat\n", 1, "there is no folder in it", "move each image into the folder of its class");
    refused("classes=6\ntrain=flat\n", 1, "there is no folder in it, expected one for each class", NULL);
}

/* A class's folder may be named by its number, as a list's line may end on one. */
static void test_numbers(void **state)
{
    (void)state;
    empty();
    make_folder("photos");
    make_folder("photos/0");
    make_folder("photos/02");
    make_folder("photos/cat");
    put_image("photos/0/a.png", 1);
    put_image("photos/02/a.png", 2);
    put_image("photos/cat/a.png", 3);
    dataset *s = open_warned(PETS, NULL);
    check_image(s, 0, "/photos/0/a.png", 1, 0);
    check_image(s, 1, "/photos/02/a.png", 2, 2);
    check_image(s, 2, "/photos/cat/a.png", 3, 1);
    dataset_free(s);
    refused("classes=3\ntrain=photos\n", 1, "3 folders, whose classes have no names in ", NULL);
    char *cat = check_path("photos/cat"), *one = check_path("photos/1");
    assert_int_equal(rename(cat, one), 0);
    s = open_warned("classes=4\ntrain=photos\n", "1 of 4 classes have no images: 3");
    check_image(s, 2, "/photos/1/a.png", 3, 1);
    dataset_free(s);
    free(cat);
    free(one);
}

/* What is held out, and what has labels, is of all classes in their shares. */
static void test_shares(void **state)
{
    (void)state;
    empty();
    make_folder("photos");
    make_folder("photos/cat");
    make_folder("photos/dog");
    for (int i = 0; i < 12; ++i) {
        char *name = mem_printf("photos/%s/%02d.png", i < 8 ? "cat" : "dog", i);
        put_image(name, (uint8_t)i);
        free(name);
    }
    diag *d = diag_new();
    data_file *file = data_read_text("classes=2\nlabels=two\ntrain=photos\n", d);
    assert_null(file);
    diag_free(d);
    data_put_text("two", "dog\ncat\n");
    d = diag_new();
    file = data_read_text("classes=2\nlabels=two\ntrain=photos\n", d);
    assert_non_null(file);
    file->held_out = 3;
    dataset *train = dataset_open(file, DATA_TRAIN, 6, DATA_CLASSES, d), *valid = dataset_open(file, DATA_VALID, 0, DATA_CLASSES, d);
    check_no_errors(d);
    int dogs = 0, held = 0;
    for (size_t i = 0; i < 6; ++i) dogs += dataset_label(train, i) == 0;
    for (size_t i = 0; i < 3; ++i) held += dataset_label(valid, i) == 0;
    assert_int_equal(dogs, 2);
    assert_int_equal(held, 1);
    dataset_free(train);
    dataset_free(valid);
    data_file_free(file);
    diag_free(d);
}

/* Without classes: whoever needs none gets all images of a folder and of those below, in order; so do unlabelled= and
 * format=images, whatever the folders are called. */
static void test_images_alone(void **state)
{
    (void)state;
    put_photos();
    make_folder("flat");
    put_image("flat/2.png", 2);
    put_image("flat/1.png", 1);
    data_put_text("flat/readme.md", "");
    diag *d = diag_new();
    dataset *s = data_open_train("classes=3\nnames=pets\ntrain=flat\n", 0, DATA_IMAGES, d);
    check_no_errors(d);
    said(d, 0, "1 files in it are ignored, as no images: ", NULL);
    assert_string_equal(dataset_format(s), "images");
    check_image(s, 0, "/flat/1.png", 1, -1);
    check_image(s, 1, "/flat/2.png", 2, -1);
    dataset_free(s);
    char *from = check_path("flat/up"), *to = check_path("flat"), *kind = check_path("flat/deeper");
    assert_int_equal(symlink(to, from), 0);    /* does not go round and round */
    make_folder("flat/deeper");
    put_image("flat/deeper/0.png", 7);
    s = data_open_train("classes=3\nnames=pets\nformat=images\ntrain=flat,photos\n", 0, DATA_IMAGES, d);
    check_no_errors(d);
    assert_int_equal(dataset_count(s), 3 + 4);
    check_image(s, 2, "/flat/deeper/0.png", 7, -1);
    check_image(s, 3, "/photos/cat/a dog.png", 10, -1);
    check_image(s, 6, "/photos/fire truck/1.png", 40, -1);
    dataset_free(s);
    refused("classes=3\nnames=pets\nformat=images\ntrain=flat\n", 1, "there is no folder in it, expected one for each class", NULL);
    data_file *file = data_read_text("classes=3\nnames=pets\ntrain=photos\nunlabelled=flat\n", d);
    s = dataset_open(file, DATA_TRAIN, 0, DATA_CLASSES, d);
    assert_int_equal(dataset_join_unlabelled(s, file, DATA_CLASSES, d), 0);
    check_no_errors(d);
    assert_true(dataset_count(s) == 7 && dataset_labelled(s) == 4);
    check_image(s, 6, "/flat/deeper/0.png", 7, -1);
    dataset_free(s);
    data_file_free(file);
    diag_free(d);
    char *broken = check_path("flat/broken.png");
    assert_int_equal(symlink("nowhere", broken), 0);
    d = diag_new();
    assert_null(data_open_train("classes=3\ntrain=flat\nformat=images\n", 0, DATA_IMAGES, d));
    said(d, 0, "No such file or directory", NULL);
    diag_free(d);
    free(broken);
    free(from);
    free(to);
    free(kind);
}

/* Ten are named, then "...". */
static void test_many(void **state)
{
    (void)state;
    empty();
    make_folder("photos");
    for (int i = 0; i < 12; ++i) {
        char *name = mem_printf("photos/x%02d", i);
        make_folder(name);
        free(name);
    }
    refused(PETS, 1, "12 of 12 folders have no class's name: x00, x01, x02, x03, x04, x05, x06, x07, x08, x09, ...", NULL);
}

static void test_unreadable(void **state)
{
    (void)state;
    put_photos();
    char *link = check_path("photos/dog/broken.png"), *pipe = check_path("photos/cat/pipe.jpg");
    assert_int_equal(symlink("nowhere", link), 0);
    assert_int_equal(mkfifo(pipe, 0600), 0);   /* does not hang */
    refused(PETS, 1, "2 images in it cannot be read: ", NULL);
    refused(PETS, 1, "photos/cat/pipe.jpg: not a regular file, ", NULL);
    refused(PETS, 1, "photos/dog/broken.png: No such file or directory", NULL);
    unlink(link);
    unlink(pipe);
    free(link);
    free(pipe);
    char *folder = check_path("photos/dog");
    assert_int_equal(chmod(folder, 0), 0);
    if (access(folder, R_OK)) refused(PETS, 1, "cannot be read: Permission denied", NULL);   /* not for root */
    assert_int_equal(chmod(folder, 0700), 0);
    free(folder);
}

/* A detector's images lie in folders of any name, beside label files or in labels/ beside images/. */
static void test_detectors(void **state)
{
    (void)state;
    static const char *const folder[] = { "road", "road/images", "road/labels", "road/images/night", "road/labels/night" };
    empty();
    for (size_t i = 0; i < sizeof folder / sizeof *folder; ++i) make_folder(folder[i]);
    put_image("road/images/b.png", 1);
    put_image("road/images/a.png", 2);
    put_image("road/images/night/c.png", 3);
    data_put_text("road/labels/a.txt", "1 .5 .5 .25 .25\n");
    data_put_text("road/images/b.txt", "");
    data_put_text("road/labels/night/c.txt", "0 .5 .5 .5 .5\n2 .5 .5 .5 .5\n");
    diag *d = diag_new();
    static const char *const train[] = { "road/images", "road" };
    for (int i = 0; i < 2; ++i) {
        char *data = mem_printf("classes=3\nnames=pets\ntrain=%s\n", train[i]);
        dataset *s = data_open_train(data, 0, DATA_BOXES, d);
        int n;
        check_no_errors(d);
        assert_int_equal(diag_count(d), 0);
        assert_int_equal(dataset_count(s), 3);
        check_image(s, 0, "/road/images/a.png", 2, -1);
        assert_int_equal(dataset_boxes(s, 0, &n)->class, 1);
        assert_true(dataset_boxes(s, 1, &n) == NULL && n == 0);
        assert_int_equal(dataset_boxes(s, 2, &n)[1].class, 2);
        dataset_free(s);
        free(data);
    }
    assert_null(data_open_train("classes=3\nnames=pets\ntrain=road\nformat=folders\n", 0, DATA_DETECTOR, d));
    said(d, 0, "format=folders has no boxes: a detector's images stand in a list or lie in a folder", "format=images");
    diag_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_classes_and_order),
        cmocka_unit_test(test_labels),
        cmocka_unit_test(test_where),
        cmocka_unit_test(test_several),
        cmocka_unit_test(test_prints),
        cmocka_unit_test(test_what_is_an_image),
        cmocka_unit_test(test_empty_classes),
        cmocka_unit_test(test_mistakes),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_unreadable),
        cmocka_unit_test(test_detectors),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_images_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
