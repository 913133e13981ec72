/* Public detectors on 128 COCO validation images, images to mAP, against what AlexeyAB's `darknet detector map` measures
 * there (../shared/data/detect/README.md). Its ways: images stretched, boxes above .005, thinned at .45, its own rules. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/data/augment_internal.h"
#include "darknet_plugin/model/detect_map.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/model/model.h"

#include <dirent.h>
#include <unistd.h>

#define DATA "../shared/data/detect/"
enum { IMAGES = 128, TRUTHS = 898, CLASSES = 80, IMAGES_MEMCHECK = 3 };

static char *name[IMAGES];   /* without folder and extension */
static map_truth truth[TRUTHS];

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void read_names(void)
{
    int n = 0;
    DIR *folder = opendir(DATA "images/val2017");
    assert_non_null(folder);
    for (struct dirent *e; (e = readdir(folder));) {
        char *dot = strrchr(e->d_name, '.');
        if (!dot || strcmp(dot, ".jpg")) continue;
        assert_true(n < IMAGES);
        *dot = 0;
        name[n++] = mem_strdup(e->d_name);
    }
    closedir(folder);
    assert_int_equal(n, IMAGES);
    qsort(name, IMAGES, sizeof *name, by_name);
}

static void read_truths(void)
{
    int n = 0;
    for (int i = 0; i < IMAGES; ++i) {
        char *path = mem_printf(DATA "labels/val2017/%s.txt", name[i]);
        FILE *f = fopen(path, "r");
        if (!f) fail_msg("cannot read %s", path);
        for (map_truth t = { .image = i }; fscanf(f, "%d %f %f %f %f", &t.label, &t.x, &t.y, &t.w, &t.h) == 5;) {
            assert_true(n < TRUTHS);
            truth[n++] = t;
        }
        fclose(f), free(path);
    }
    assert_int_equal(n, TRUTHS);
}

static model *open_public(const char *which)
{
    diag *d = diag_new();
    char *cfg = mem_printf(DATA "%s.cfg", which), *weights = mem_printf(DATA "%s.weights", which);
    model_options o = { .mode = LOWER_DEPLOY, .threads = 1 };
    model *m = model_open(cfg, &o, d);
    if (m && model_load_whole(m, weights, d)) diag_print(d, stderr);
    check_no_errors(d);
    diag_free(d), free(cfg), free(weights);
    return m;
}

static void find_boxes(model *m, const detect_heads *h, int image, float *x, detect_list *out)
{
    char why[256], *path = mem_printf(DATA "images/val2017/%s.jpg", name[image]);
    detect_options o = { .threshold = .005f, .nms = .45f };
    pixel_view v = { .c = 3 };
    uint8_t *pixels;
    if (image_decode(path, 3, &pixels, &v.w, &v.h, why, sizeof why)) fail_msg("%s: %s", path, why);
    v.u8 = pixels;
    v.full_w = v.w;
    v.full_h = v.h;
    augment_resample(&v, x, m->net->w, m->net->h, (size_t)m->net->w, (size_t)m->net->w * (size_t)m->net->h);
    model_predict(m, x);
    detect_image(h, 0, v.w, v.h, &o, image, out);
    free(pixels), free(path);
}

static void measure(const char *which, double published)
{
    model *m = open_public(which);
    diag *d = diag_new();
    detect_heads h;
    detect_list found = { 0 };
    assert_int_equal(detect_heads_of(m->net, m->low->cfg, &h, d), 0);
    assert_true(h.n == 2 && h.classes == CLASSES);
    float *x = mem_calloc((size_t)m->net->inputs, sizeof *x);
    int images = check_memcheck() ? IMAGES_MEMCHECK : IMAGES;
    for (int i = 0; i < images; ++i) find_boxes(m, &h, i, x, &found);
    map_result darknet = map_measure(&map_darknet, CLASSES, found.box, found.n, truth, TRUTHS, .25);
    map_result coco = map_measure(&map_coco, CLASSES, found.box, found.n, truth, TRUTHS, .25);
    print_message("%s: mAP@.5 %.2f %% by AlexeyAB's rules (its tool: %.2f %%), %.2f %% by COCO's, mAP@[.5:.95] %.2f %%\n", which,
                  darknet.all.ap50, published, coco.all.ap50, coco.all.ap);
    if (images == IMAGES) {
        if (!(fabs(darknet.all.ap50 - published) < .5)) fail_msg("%s: mAP@.5 %.2f, expected %.2f", which, darknet.all.ap50, published);
        check_close(coco.all.ap50 * coco.present / CLASSES, darknet.all.ap50, .01, "both rules, over all classes", 0);
    } else {
        print_message("skipped: the published mAP, %d images do under valgrind\n", images);
    }
    map_free(&darknet), map_free(&coco), detect_list_free(&found), detect_heads_free(&h), diag_free(d), free(x);
    model_close(m);
}

static void test_public_detectors(void **state)
{
    (void)state;
    if (access(DATA "coco.names", R_OK)) {
        puts("skipped: " DATA " with Yolo-Fastest and COCO images is not there");
        skip();
    }
    read_names();
    read_truths();
    measure("yolo-fastest-1.1-xl", 40.27);
    measure("yolo-fastest-1.1", 32.88);
    for (int i = 0; i < IMAGES; ++i) free(name[i]);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_public_detectors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
