/* Average precision: pycocotools' numbers (fixtures/map.txt) and cases small enough to do by hand. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/model/detect_map.h"

/* The file, read; n boxes, m truths, both to be freed. */
typedef struct fixture {
    int classes;
    size_t n, m;
    double threshold;
    detect_box *box;
    map_truth *truth;
    FILE *rest;              /* at the first "class" line */
} fixture;

static fixture open_fixture(void)
{
    fixture x;
    char line[128];
    x.rest = fopen("tests/fixtures/map.txt", "r");
    if (!x.rest || !fgets(line, sizeof line, x.rest)) fail_msg("cannot read tests/fixtures/map.txt; tests run in the repository's root");
    assert_int_equal(fscanf(x.rest, " case %d %zu %zu %lf", &x.classes, &x.m, &x.n, &x.threshold), 4);
    x.box = mem_calloc(x.n, sizeof *x.box);
    x.truth = mem_calloc(x.m, sizeof *x.truth);
    for (size_t i = 0; i < x.m; ++i) {
        map_truth *t = &x.truth[i];
        assert_int_equal(fscanf(x.rest, " truth %d %d %d %f %f %f %f", &t->image, &t->label, &t->crowd, &t->x, &t->y, &t->w, &t->h), 7);
    }
    for (size_t i = 0; i < x.n; ++i) {
        detect_box *b = &x.box[i];
        assert_int_equal(fscanf(x.rest, " box %d %d %f %f %f %f %f", &b->image, &b->label, &b->probability, &b->x, &b->y, &b->w, &b->h), 7);
    }
    return x;
}

static void check_class(const map_class *c, FILE *f, size_t k)
{
    double ap50, ap;
    size_t label, tp, fp;
    assert_int_equal(fscanf(f, " class %zu %lf %lf %zu %zu", &label, &ap50, &ap, &tp, &fp), 5);
    assert_int_equal(label, k);
    assert_int_equal(ap50 < 0, c->truths == 0);   /* COCOeval has -1 for "no truths" */
    check_close(c->ap50, ap50 < 0 ? 0 : ap50, 1e-10, "ap50", k);
    check_close(c->ap, ap50 < 0 ? 0 : ap, 1e-10, "ap", k);
    assert_int_equal(c->tp, tp);
    if (c->truths) assert_int_equal(c->fp, fp);
    assert_int_equal(c->fn, c->truths - c->tp);
}

static void test_agrees_with_pycocotools(void **state)
{
    (void)state;
    fixture x = open_fixture();
    double map50, map;
    map_result r = map_measure(&map_coco, x.classes, x.box, x.n, x.truth, x.m, x.threshold);
    for (int k = 0; k < x.classes; ++k) check_class(&r.of[k], x.rest, (size_t)k);
    assert_int_equal(fscanf(x.rest, " all %lf %lf", &map50, &map), 2);
    check_close(r.all.ap50, map50, 1e-10, "map50", 0);
    check_close(r.all.ap, map, 1e-10, "map", 0);
    assert_true(r.present == 5 && r.classes == 6);
    fclose(x.rest), free(x.box), free(x.truth), map_free(&r);
}

/* Tests that follow stand on a strip one high, where a box from a to b is at((a + b)/2, b - a). */
static detect_box found(int image, int label, float p, float from, float to)
{
    return (detect_box){ image, label, p, (from + to) / 2, .5f, to - from, 1 };
}

static map_truth there(int image, int label, float from, float to)
{
    return (map_truth){ image, label, 0, (from + to) / 2, .5f, to - from, 1 };
}

static double ap50_of(const map_rules *r, const detect_box *b, size_t n, const map_truth *t, size_t m)
{
    map_result x = map_measure(r, 1, b, n, t, m, .25);
    double ap = x.of[0].ap50;
    map_free(&x);
    return ap;
}

/* Hit, the same again, hit: precision 1, 1/2, 2/3 at recall 1/2, 1/2, 1. */
static void test_kinds_of_average(void **state)
{
    (void)state;
    const detect_box b[] = { found(0, 0, .7f, 4, 6), found(0, 0, .9f, 0, 2), found(0, 0, .8f, 0, 2) };
    const map_truth t[] = { there(0, 0, 0, 2), there(0, 0, 4, 6) };
    map_rules eleven = { .points = 11, .darknet = 1 };
    check_close(ap50_of(&map_coco, b, 3, t, 2), 100 * (51 + 50 * 2 / 3.) / 101, 1e-12, "101 points", 0);
    check_close(ap50_of(&map_darknet, b, 3, t, 2), 100 * (.5 + .5 * 2 / 3.), 1e-12, "area", 0);
    check_close(ap50_of(&eleven, b, 3, t, 2), 100 * (6 + 5 * 2 / 3.) / 11, 1e-12, "11 points", 0);
}

/* The second box lies best on the truth that is taken, but well on another: COCO gives it that one, AlexeyAB none. */
static void test_second_best_truth(void **state)
{
    (void)state;
    const detect_box b[] = { found(0, 0, .9f, 0, 8), found(0, 0, .8f, 1, 9) };
    const map_truth t[] = { there(0, 0, 0, 8), there(0, 0, 3, 11) };
    check_close(ap50_of(&map_coco, b, 2, t, 2), 100, 1e-12, "coco", 0);
    check_close(ap50_of(&map_darknet, b, 2, t, 2), 50, 1e-12, "darknet", 0);
}

/* IoU of exactly 1/2, and what lies in another image or is of another class. */
static void test_borders(void **state)
{
    (void)state;
    const detect_box half = found(0, 0, .9f, 0, 4), elsewhere = found(1, 0, .9f, 0, 4), broken = { 0, 0, .9f, NAN, .5f, 4, 1 };
    const map_truth t = there(0, 0, 0, 2);
    check_close(ap50_of(&map_coco, &half, 1, &t, 1), 100, 1e-12, "coco", 0);
    check_close(ap50_of(&map_darknet, &half, 1, &t, 1), 0, 1e-12, "darknet", 0);
    check_close(ap50_of(&map_coco, &elsewhere, 1, &t, 1), 0, 1e-12, "other image", 0);
    check_close(ap50_of(&map_coco, &broken, 1, &t, 1), 0, 1e-12, "not a number", 0);
}

/* Right up to IoU .75 and no further: 6 of 10 thresholds. */
static void test_thresholds(void **state)
{
    (void)state;
    const detect_box b = found(3, 0, .9f, 0, 4);
    const map_truth t = there(3, 0, 0, 3);
    map_result r = map_measure(&map_coco, 1, &b, 1, &t, 1, .25);
    check_close(r.all.ap50, 100, 1e-12, "ap50", 0);
    check_close(r.all.ap, 60, 1e-12, "ap", 0);
    map_free(&r);
}

static void test_mean_and_counts(void **state)
{
    (void)state;
    const detect_box b[] = { found(0, 0, .9f, 0, 2), found(0, 0, .25f, 4, 6), found(0, 2, .9f, 0, 2), found(1, 1, .26f, 0, 2) };
    const map_truth t[] = { there(0, 0, 0, 2), there(0, 0, 4, 6), there(0, 1, 0, 2) };
    map_result coco = map_measure(&map_coco, 4, b, 4, t, 3, .25), darknet = map_measure(&map_darknet, 4, b, 4, t, 3, .25);
    assert_int_equal(coco.present, 2);
    check_close(coco.all.ap50, 50, 1e-12, "over the classes with truths", 0);
    check_close(darknet.all.ap50, 25, 1e-12, "over all classes", 0);
    const map_class *c = &coco.of[0], *all = &coco.all;
    assert_true(c->tp == 1 && c->fp == 0 && c->fn == 1 && c->precision == 100 && c->recall == 50);   /* .25 is not above .25 */
    assert_true(coco.of[2].fp == 1 && coco.of[2].ap50 == 0 && coco.of[3].fp == 0 && coco.of[3].precision == 0);
    assert_true(all->truths == 3 && all->tp == 1 && all->fp == 2 && all->fn == 2);
    check_close(all->precision, 100 / 3., 1e-12, "precision", 0);
    check_close(all->recall, 100 / 3., 1e-12, "recall", 0);
    map_free(&coco), map_free(&darknet);
}

/* A crowd swallows any number of boxes by how much of them it covers; it need not be found. */
static void test_crowds(void **state)
{
    (void)state;
    const detect_box b[] = { found(0, 0, .9f, 10, 11), found(0, 0, .8f, 12, 13), found(0, 0, .7f, 0, 2), found(0, 0, .6f, 0, 2) };
    const map_truth t[] = { { 0, 0, 1, 15, .5f, 10, 1 }, there(0, 0, 0, 2) };
    map_result r = map_measure(&map_coco, 1, b, 4, t, 2, .25);
    check_close(r.all.ap50, 100, 1e-12, "ap50", 0);
    assert_true(r.all.truths == 1 && r.all.tp == 1 && r.all.fp == 1);
    map_free(&r);
}

/* Of 150 boxes in one image the 100 likeliest count: the right one, least likely, does not; in another image it does. */
static void test_most_boxes(void **state)
{
    (void)state;
    detect_box b[150];
    map_truth t = there(0, 0, 0, 2);
    for (int i = 0; i < 150; ++i) b[i] = found(0, 0, 1 - (float)i / 256, 100, 102);
    b[149] = found(0, 0, .01f, 0, 2);
    check_close(ap50_of(&map_coco, b, 150, &t, 1), 0, 1e-12, "101st", 0);
    check_close(ap50_of(&map_coco, b + 50, 100, &t, 1), 1, 1e-10, "100th", 0);
    check_close(ap50_of(&map_darknet, b, 150, &t, 1), 100 / 150., 1e-10, "all count", 0);
    b[149].image = t.image = 1;
    check_close(ap50_of(&map_coco, b, 150, &t, 1), 100 / 101., 1e-10, "another image", 0);
}

static void test_nothing(void **state)
{
    (void)state;
    const detect_box b = found(0, 0, .9f, 0, 2);
    const map_truth t = there(0, 0, 0, 2);
    map_result none = map_measure(&map_coco, 2, NULL, 0, NULL, 0, .25), no_box = map_measure(&map_coco, 2, NULL, 0, &t, 1, .25);
    map_result no_truth = map_measure(&map_coco, 2, &b, 1, NULL, 0, .25);
    assert_true(none.present == 0 && none.all.ap50 == 0 && none.all.ap == 0 && none.all.precision == 0 && none.all.recall == 0);
    assert_true(no_box.present == 1 && no_box.all.ap50 == 0 && no_box.all.fn == 1);
    assert_true(no_truth.present == 0 && no_truth.all.fp == 1 && no_truth.all.ap50 == 0);
    map_free(&none), map_free(&no_box), map_free(&no_truth);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_agrees_with_pycocotools),
        cmocka_unit_test(test_kinds_of_average),
        cmocka_unit_test(test_second_best_truth),
        cmocka_unit_test(test_borders),
        cmocka_unit_test(test_thresholds),
        cmocka_unit_test(test_mean_and_counts),
        cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_most_boxes),
        cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
