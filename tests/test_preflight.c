/* Before the first step: what could not be written, read, measured or exported hours later is said, all of it at once. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/training/preflight.h"

#include <sys/stat.h>
#include <unistd.h>

#define NET "[net]\nbatch=2\nsubdivisions=1\nwidth=16\nheight=16\nchannels=3\n"
#define CONV(filters) "[convolutional]\nbatch_normalize=1\nfilters=" #filters "\nsize=3\nstride=2\npad=1\nactivation=leaky\n"

static const char classifier[] = NET CONV(8) "[avgpool]\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[softmax]\n";
static const char detector[] = NET CONV(8) "[convolutional]\nfilters=16\nsize=1\nactivation=linear\n"
    "[yolo]\nmask=0,1\nanchors=4,4, 8,8\nclasses=3\nnum=2\n";

/* A job in the folder "run", its data sets read from text; sets are freed by end_job. */
typedef struct fixture {
    preflight_job p;
    dataset *train, *valid;
    run_lock lock;
    diag *d;
} fixture;

static void picture(const char *name)
{
    uint8_t pixels[12 * 12 * 3];
    for (size_t k = 0; k < sizeof pixels; ++k) pixels[k] = (uint8_t)(k * 7 + (size_t)name[0] * 13);
    assert_int_equal(image_write(name, pixels, 12, 12, 3), 0);
}

static void text_file(const char *name, const char *text) { check_write(name, text, strlen(text)); }

/* Pictures a-cat.png, b-dog.png, ... and label files with a box of class 0, 1, ... each. */
static int make_files(void **state)
{
    (void)state;
    static const char *const names[] = { "a-cat.png", "b-dog.png", "c-cow.png", "d-catdog.png", "e-fish.png", "g-cat.png",
                                        "h-dog.png" };
    if (chdir(check_folder())) return -1;
    for (int i = 0; i < 7; ++i) {
        char *label = mem_printf("%.*s.txt", (int)strlen(names[i]) - 4, names[i]), *box = mem_printf("%d .5 .5 .2 .2\n", i % 3);
        picture(names[i]);
        text_file(label, i < 3 ? box : "");
        free(label);
        free(box);
    }
    text_file("names", "cat\ndog\ncow\n");
    text_file("f.png", "no picture");
    text_file("f.txt", "");
    return 0;
}

static dataset *open_set(data_split split, const char *list, int need, diag *d)
{
    text_file("list", list);
    text_file("t.data", "classes=3\nnames=names\ntrain=list\nvalid=list\n");
    data_file *f = data_file_read("t.data", d);
    dataset *s = dataset_open(f, split, 0, need, d);
    data_file_free(f);
    if (!s) diag_print(d, stderr);
    assert_non_null(s);
    return s;
}

static fixture begin_job(const char *cfg, const char *train, const char *valid, int need_train, int need_valid)
{
    fixture f = { .d = diag_new() };
    model_options o = { .backend = BACKEND_REFERENCE };
    text_file("net.cfg", cfg);
    f.train = open_set(DATA_TRAIN, train, need_train, f.d);
    if (valid) f.valid = open_set(DATA_VALID, valid, need_valid, f.d);
    f.p = (preflight_job){ .model = model_open("net.cfg", &o, f.d), .train = f.train, .valid = f.valid, .cfg = "net.cfg", .folder = "run/deep",
                           .name = "net", .threads = 1 };
    check_no_errors(f.d);
    return f;
}

static void end_job(fixture *f)
{
    run_lock_release(&f->lock);
    dataset_free(f->train);
    dataset_free(f->valid);
    model_close(f->p.model);
    diag_free(f->d);
}

static void says(const diag *d, int i, diag_level level, const char *text)
{
    if (i >= diag_count(d)) fail_msg("no message %d, expected %s", i, text);
    const diag_message *m = diag_get(d, i);
    if (m->level != level || !strstr(m->text, text)) fail_msg("%s, expected %s", m->text, text);
}

static void all_is_well(void **state)
{
    (void)state;
    fixture f = begin_job(classifier, "a-cat.png\nb-dog.png\n", "h-dog.png\nc-cow.png\n", DATA_CLASSES, DATA_IMAGES);
    assert_int_equal(preflight(&f.p, &f.lock, f.d), 0);
    assert_int_equal(diag_count(f.d), 0);
    assert_int_equal(check_files_in("run/deep"), 1);   /* the lock, and no probe */
    assert_non_null(f.lock.path);
    run_lock_release(&f.lock);
    assert_int_equal(check_files_in("run/deep"), 0);
    end_job(&f);
}

/* What a killed run of the same name left half written goes; others' files stay. */
static void leftovers_go(void **state)
{
    (void)state;
    static const char *const mine[] = { ".net_last.weights.tmp.1", ".net_best.weights.tmp.12.3", ".net_final.weights.tmp.1", ".net_last.state.tmp.1" };
    static const char *const others[] = { ".net_b_last.weights.tmp.1", ".nets_last.weights.tmp.1", "net_last.weights", ".net_lasting.tmp.1", ".net_last.weights" };
    fixture f = begin_job(classifier, "a-cat.png\nb-dog.png\n", NULL, DATA_CLASSES, 0);
    assert_int_equal(weights_make_folder("run/deep", f.d), 0);
    for (int i = 0; i < 4; ++i) {
        char *path = mem_printf("run/deep/%s", mine[i]);
        text_file(path, "x");
        free(path);
    }
    for (int i = 0; i < 5; ++i) {
        char *path = mem_printf("run/deep/%s", others[i]);
        text_file(path, "x");
        free(path);
    }
    assert_int_equal(preflight(&f.p, &f.lock, f.d), 0);
    assert_int_equal(check_files_in("run/deep"), 6);
    for (int i = 0; i < 5; ++i) {
        char *path = mem_printf("run/deep/%s", others[i]);
        assert_int_equal(unlink(path), 0);
        free(path);
    }
    end_job(&f);
}

static void places_that_cannot_be_written(void **state)
{
    (void)state;
    fixture f = begin_job(classifier, "a-cat.png\nb-dog.png\n", NULL, DATA_CLASSES, 0);
    assert_int_equal(weights_make_folder("run/deep/net_best.weights", f.d), 0);
    assert_int_equal(preflight(&f.p, &f.lock, f.d), -1);
    assert_int_equal(diag_count(f.d), 1);
    says(f.d, 0, DIAG_ERROR, "cannot write: Is a directory");
    assert_string_equal(diag_get(f.d, 0)->file, "run/deep/net_best.weights");
    assert_null(f.lock.path);
    assert_int_equal(rmdir("run/deep/net_best.weights"), 0);
    assert_int_equal(check_files_in("run/deep"), 0);
    f.p.folder = "a-cat.png/x";
    assert_int_equal(preflight(&f.p, &f.lock, f.d), -1);
    says(f.d, 1, DIAG_ERROR, "cannot make this folder: Not a directory");
    end_job(&f);
}

static void one_run_a_name(void **state)
{
    (void)state;
    fixture f = begin_job(classifier, "a-cat.png\nb-dog.png\n", NULL, DATA_CLASSES, 0);
    run_lock second = { 0 };
    assert_int_equal(preflight(&f.p, &f.lock, f.d), 0);
    assert_int_equal(preflight(&f.p, &second, f.d), -1);
    says(f.d, 0, DIAG_ERROR, "run/deep/net is in use by process");
    f.p.name = "other";
    assert_int_equal(preflight(&f.p, &second, f.d), 0);
    run_lock_release(&second);
    end_job(&f);
}

/* The cfg is not the one that trains any more: what export would say is said now, with everything else that is wrong. */
static void what_export_would_refuse(void **state)
{
    (void)state;
    fixture f = begin_job(classifier, "a-cat.png\nb-dog.png\nf.png cat\n", NULL, DATA_CLASSES, 0);
    text_file("net.cfg", NET CONV(8) "[avgpool]\n[softmax]\n");
    assert_int_equal(preflight(&f.p, &f.lock, f.d), -1);
    assert_int_equal(diag_errors(f.d), 2);
    says(f.d, 0, DIAG_ERROR, "does not deploy as it was trained");
    says(f.d, 1, DIAG_ERROR, "cannot read this image: not an image (JPEG, PNG, BMP, PNM, TIFF or WebP), or damaged");
    assert_string_equal(diag_get(f.d, 1)->file, "f.png");
    assert_string_equal(check_hint(f.d, 1), "1 of 3 images tried cannot be read; there are 3");
    assert_null(f.lock.path);
    end_job(&f);
}

typedef struct label_row {
    const char *train, *valid;
    int need_train;
    const char *says[2];         /* warnings, in order */
} label_row;

static const label_row label_rows[] = {
    { "a-cat.png\nb-dog.png\n", "d-catdog.png\ng-cat.png\nh-dog.png\n", DATA_CLASSES,
      { "1 of 3 validation images have several labels in their paths and do not count in any accuracy: d-catdog.png" } },
    { "a-cat.png\nb-dog.png\n", "d-catdog.png\ng-cat.png\ne-fish.png\nh-dog.png\n", DATA_CLASSES,
      { "1 of 4 validation images have no label and do not count in any accuracy: e-fish.png", "1 of 4 validation images have several labels" } },
    { "a-cat.png\nb-dog.png\n", "e-fish.png\n", DATA_CLASSES, { "none of the 1 validation images has a label: no accuracy can be measured" } },
    { "a-cat.png\na-cat.png\n", NULL, DATA_CLASSES, { "all 2 labelled training images are of class 0: an accuracy on them says little" } },
    { "a-cat.png\nb-dog.png\n", "c-cow.png\ne-fish.png cow\n", DATA_CLASSES, { "all 2 labelled validation images are of class 2" } },
    { "a-cat.png\nb-dog.png\n", "a-cat.png\nh-dog.png\n", DATA_CLASSES, { "1 of 2 validation images are among the training images" } },
};

static void labels(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof label_rows / sizeof *label_rows; ++i) {
        const label_row *r = &label_rows[i];
        fixture f = begin_job(classifier, r->train, r->valid, r->need_train, DATA_IMAGES);
        assert_int_equal(preflight_data(&f.p, f.d), 0);
        int n = r->says[1] ? 2 : 1;
        if (diag_count(f.d) != n) diag_print(f.d, stderr);
        assert_int_equal(diag_count(f.d), n);
        for (int k = 0; k < n; ++k) says(f.d, k, DIAG_WARNING, r->says[k]);
        end_job(&f);
    }
}

/* A list of `good` good pictures with a bad one at each end. */
static char *long_list(int good, const char *bad)
{
    char *text = mem_strdup(bad);
    for (int i = 0; i < good; ++i) {
        char *more = mem_printf("%s%s-%s.png\n", text, i % 2 ? "b" : "a", i % 2 ? "dog" : "cat");
        free(text);
        text = more;
    }
    char *all = mem_printf("%s%s", text, bad);
    free(text);
    return all;
}

/* First and last are always tried, and only a few of many. A detector goes on without them, unless most are bad. */
static void pictures(void **state)
{
    (void)state;
    char *list = long_list(1000, "f.png cat\n"), *boxes = long_list(1000, "f.png\n");
    fixture f = begin_job(classifier, list, NULL, DATA_CLASSES, 0);
    assert_int_equal(preflight_data(&f.p, f.d), -1);
    assert_int_equal(diag_errors(f.d), 2);
    assert_string_equal(check_hint(f.d, 1), "2 of 16 images tried cannot be read; there are 1002");
    end_job(&f);
    fixture g = begin_job(detector, boxes, NULL, DATA_BOXES, 0);
    assert_int_equal(preflight_data(&g.p, g.d), 0);
    assert_int_equal(diag_warnings(g.d), 1);   /* the same picture twice: said once */
    says(g.d, 0, DIAG_WARNING, "cannot read this image");
    end_job(&g);
    fixture h = begin_job(detector, "f.png\nf.png\na-cat.png\n", NULL, DATA_BOXES, 0);
    assert_int_equal(preflight_data(&h.p, h.d), -1);
    assert_int_equal(diag_errors(h.d), 1);
    end_job(&h);
    free(list);
    free(boxes);
}

static void boxes(void **state)
{
    (void)state;
    fixture f = begin_job(detector, "a-cat.png\nb-dog.png\n", "d-catdog.png\ne-fish.png\n", DATA_BOXES, DATA_BOXES);
    assert_int_equal(preflight_data(&f.p, f.d), 0);
    assert_int_equal(diag_count(f.d), 1);
    says(f.d, 0, DIAG_WARNING, "no object is marked in any of the 2 validation images");
    end_job(&f);
    fixture g = begin_job(detector, "c-cow.png\nc-cow.png\n", NULL, DATA_BOXES, 0);
    assert_int_equal(preflight_data(&g.p, g.d), 0);
    says(g.d, 0, DIAG_WARNING, "all 2 objects in the training images are of class 2");
    end_job(&g);
}

/* What has been flushed is not printed again, and gets no hint that nobody would see. */
static void warnings_come_first(void **state)
{
    (void)state;
    diag *d = diag_new();
    char *text;
    size_t len;
    FILE *f = open_memstream(&text, &len);
    diag_warn(d, "b", 2, NULL, "two");
    diag_warn(d, "b", 1, NULL, "one");
    diag_flush(d, f);
    fprintf(f, "training\n");
    diag_hint(d, "late");
    diag_error(d, "b", 3, NULL, "three");
    diag_error(d, "a", 1, NULL, "four");
    diag_error(d, "b", 1, NULL, "five");
    diag_print(d, f);
    fclose(f);
    assert_string_equal(text, "b:1: warning: one\nb:2: warning: two\ntraining\nb:1: five\nb:3: three\na:1: four\n");
    assert_int_equal(diag_count(d), 5);
    free(text);
    diag_free(d);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_is_well), cmocka_unit_test(leftovers_go), cmocka_unit_test(places_that_cannot_be_written),
        cmocka_unit_test(one_run_a_name), cmocka_unit_test(what_export_would_refuse), cmocka_unit_test(labels), cmocka_unit_test(pictures),
        cmocka_unit_test(boxes), cmocka_unit_test(warnings_come_first),
    };
    return cmocka_run_group_tests(tests, make_files, NULL);
}
