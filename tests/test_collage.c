/* mosaic and mixup of detectors: pixels and boxes against a second computation, the same in any batch and number of threads;
 * what is dropped, what cannot be read, and images that nobody has labelled. */
#include "layers/network.h"
#include "check_data.h"

#include "darknet_plugin/data/image_io.h"

#include <sys/stat.h>

enum { IMAGES = 120, SIDE = 40, AREA = SIDE * SIDE, MOST = 6, VIEWS = 3, ROW = 5, LOST = 9 };

/* ---- images ---- */

/* Says which image and which pixel it is. */
static uint8_t byte_of(uint64_t image, int x, int y) { return (uint8_t)(10 * image + 3 * (uint64_t)x + 7 * (uint64_t)y); }

/* The boxes of an image: one wide, one small and, of every third, one in a corner. */
static int boxes_of(uint64_t image, data_box box[3])
{
    float move = (float)(image % 5) * .05f;
    box[0] = (data_box){ .3f + move, .6f, .53f, .31f, (int)(image % 4) };
    box[1] = (data_box){ .7f, .2f + move, .13f, .19f, 4 };
    box[2] = (data_box){ .05f, .95f, .093f, .087f, 2 };
    return image % 3 ? 2 : 3;
}

static void put_image(uint64_t image)
{
    uint8_t p[AREA];
    data_box box[3];
    char *path = mem_printf("%s/images/%d.png", check_folder(), (int)image), *name = mem_printf("labels/%d.txt", (int)image);
    char text[300] = "";
    for (int i = 0; i < AREA; ++i) p[i] = byte_of(image, i % SIDE, i / SIDE);
    assert_int_equal(image_write(path, p, SIDE, SIDE, 1), 0);
    for (int n = boxes_of(image, box), i = 0; i < n; ++i)
        sprintf(text + strlen(text), "%d %.7f %.7f %.7f %.7f\n", box[i].class, (double)box[i].x, (double)box[i].y, (double)box[i].w,
                (double)box[i].h);
    data_put_text(name, text);
    free(path);
    free(name);
}

static dataset *open_set(int lost)
{
    char list[IMAGES * 20] = "", *images = mem_printf("%s/images", check_folder()), *labels = mem_printf("%s/labels", check_folder());
    mkdir(images, 0700);
    mkdir(labels, 0700);
    for (int i = 0; i < IMAGES; ++i) {
        put_image((uint64_t)i);
        sprintf(list + strlen(list), "images/%d.png\n", i);
    }
    data_put_text("all.list", list);
    dataset *s = data_must_open("classes=5\ntrain=all.list\n", 0, DATA_BOXES);
    if (lost) {
        char *name = mem_printf("images/%d.png", LOST);
        data_put_text(name, "no picture");
        free(name);
    }
    free(images);
    free(labels);
    return s;
}

static loader_options options(const dataset *s, load_how how, int batch, int threads, int mosaic, int mixup)
{
    return (loader_options){
        .data = s, .how = how, .batch = batch, .c = 1, .h = SIDE, .w = SIDE, .seed = 5, .view_seed = 11, .views = VIEWS, .threads = threads,
        .max_boxes = MOST,
        .augment = { .detector = 1, .fit = FIT_STRETCH, .flip = 1, .aspect = 1, .saturation = 1, .exposure = 1, .mosaic = mosaic,
                     .mixup = (float)mixup, .any = 1 },
    };
}

/* All views of all images, by view and image. */
typedef struct shown {
    float x[VIEWS][IMAGES][AREA], truth[VIEWS][IMAGES][MOST * ROW];
    int times;
} shown;

static void keep_image(void *ctx, const batch *b, int j)
{
    shown *s = ctx;
    assert_true(!b->mix && !b->label2);
    memcpy(s->x[b->view[j]][b->index[j]], b->x + j * AREA, AREA * sizeof(float));
    memcpy(s->truth[b->view[j]][b->index[j]], b->truth + j * MOST * ROW, MOST * ROW * sizeof(float));
}

static shown *collect(const loader_options *o, int batches)
{
    shown *s = mem_calloc(1, sizeof *s);
    s->times = data_each_image(o, batches, keep_image, s);
    return s;
}

/* ---- the second computation ---- */

static int mirrored(uint64_t view, uint64_t image)
{
    rng r = rng_make(11, view, image, RNG_AUGMENT);
    return (int)rng_below(&r, 2);
}

/* A pixel of the view of an image alone; a lost one is grey. */
static float alone(uint64_t view, uint64_t image, int x, int y)
{
    return (float)byte_of(image, mirrored(view, image) ? SIDE - 1 - x : x, y) / 255.f;
}

typedef struct wanted {
    int parts, turn, cut_x, cut_y;
    uint64_t image[4];
} wanted;

static wanted draw(uint64_t view, uint64_t image, int mosaic, int mixup)
{
    rng r = rng_make(11, view, image, RNG_MIX);
    wanted w = { .parts = 1, .image = { image } };
    if (mosaic && rng_below(&r, 2)) w.parts = 4;
    if (w.parts == 1 && mixup && rng_below(&r, 2)) w.parts = 2;
    for (int i = 1; i < w.parts; ++i) w.image[i] = rng_below(&r, IMAGES);
    if (w.parts < 4) return w;
    w.turn = (int)rng_below(&r, 4);
    w.cut_x = (int)round(rng_uniform(&r, .2, .8) * SIDE);
    w.cut_y = (int)round(rng_uniform(&r, .2, .8) * SIDE);
    return w;
}

/* Which part's pixel it is, and where that is in the part alone. */
static float wanted_pixel(const wanted *w, uint64_t view, int x, int y)
{
    if (w->parts == 1) return alone(view, w->image[0], x, y);
    if (w->parts == 2) return .5f * alone(view, w->image[0], x, y) + .5f * alone(view, w->image[1], x, y);
    int place = (x >= w->cut_x) + 2 * (y >= w->cut_y);
    int from_x = x >= w->cut_x ? x - w->cut_x : x + SIDE - w->cut_x, from_y = y >= w->cut_y ? y - w->cut_y : y + SIDE - w->cut_y;
    uint64_t image = w->image[(place + 4 - w->turn) % 4];
    return image == LOST ? .5f : alone(view, image, from_x, from_y);
}

static double between(double v, double low, double high) { return fmin(fmax(v, low), high); }

/* What is left of a part's box; 0 where it is dropped. */
static int wanted_box(const wanted *w, int part, uint64_t view, data_box box, double out[4])
{
    int place = (part + w->turn) % 4, right = place % 2, below = place / 2;
    double x = mirrored(view, w->image[part]) ? 1 - (double)box.x : (double)box.x, y = (double)box.y;
    double cut_x = (double)w->cut_x / SIDE, cut_y = (double)w->cut_y / SIDE, wide = (double)box.w, high = (double)box.h;
    if (w->parts == 4) {
        x += right ? cut_x : cut_x - 1;
        y += below ? cut_y : cut_y - 1;
    }
    double x0 = w->parts < 4 || !right ? 0 : cut_x, x1 = w->parts < 4 || right ? 1 : cut_x;
    double y0 = w->parts < 4 || !below ? 0 : cut_y, y1 = w->parts < 4 || below ? 1 : cut_y;
    double left = between(x - wide / 2, x0, x1), end = between(x + wide / 2, x0, x1);
    double top = between(y - high / 2, y0, y1), bottom = between(y + high / 2, y0, y1);
    double rest[4] = { (left + end) / 2, (top + bottom) / 2, end - left, bottom - top };
    memcpy(out, rest, sizeof rest);
    return rest[2] * rest[3] >= .1 * wide * high;
}

/* Is there such a row, whatever the order of an image's boxes? */
static int has_row(const float *truth, const double box[4], int class)
{
    for (int i = 0; i < MOST; ++i) {
        const float *row = truth + ROW * i;
        int same = (int)row[4] == class;
        for (int k = 0; k < 4; ++k) same &= fabs((double)row[k] - box[k]) < 1e-5;
        if (same) return 1;
    }
    return 0;
}

static int rows_of(const float *truth)
{
    int n = 0;
    while (n < MOST && truth[ROW * n] != 0) ++n;
    return n;
}

/* All boxes that are wanted, as far as there is room. */
static void check_boxes(const wanted *w, uint64_t view, const float *truth)
{
    int n = 0, found = 0;
    for (int part = 0; part < w->parts; ++part) {
        data_box box[3];
        for (int count = w->image[part] == LOST ? 0 : boxes_of(w->image[part], box), i = 0; i < count; ++i) {
            double rest[4];
            if (!wanted_box(w, part, view, box[i], rest)) continue;
            ++n;
            found += has_row(truth, rest, box[i].class);
        }
    }
    assert_int_equal(rows_of(truth), n < MOST ? n : MOST);
    assert_true(n <= MOST ? found == n : found >= MOST);
}

static void check_shown(const shown *s, int mosaic, int mixup, int count[5])
{
    for (uint64_t v = 0; v < VIEWS; ++v)
        for (uint64_t i = 0; i < IMAGES; ++i) {
            wanted w = draw(v, i, mosaic, mixup);
            if (i == LOST) continue;
            count[w.parts]++;
            if (w.parts == 2 && w.image[1] == LOST) w.parts = 1;
            for (int k = 0; k < AREA; ++k)
                check_close((double)s->x[v][i][k], (double)wanted_pixel(&w, v, k % SIDE, k / SIDE), 1e-6, "pixel", (size_t)k);
            check_boxes(&w, v, s->truth[v][i]);
        }
}

static void test_pixels_and_boxes(void **state)
{
    (void)state;
    dataset *s = open_set(1);
    for (int k = 1; k < 4; ++k) {
        int count[5] = { 0 };
        loader_options o = options(s, LOAD_VIEWS, 7, 2, k & 1, k / 2);
        shown *got = collect(&o, -1);
        assert_int_equal(got->times, VIEWS * IMAGES);
        check_shown(got, k & 1, k / 2, count);
        assert_true(count[1] > 8 && (k & 1 ? count[4] > 20 : !count[4]) && (k / 2 ? count[2] > 8 : !count[2]));
        free(got);
    }
    dataset_free(s);
}

static void test_batches_and_threads_do_not_matter(void **state)
{
    (void)state;
    dataset *s = open_set(0);
    loader_options o = options(s, LOAD_VIEWS, 7, 1, 1, 1);
    shown *one = collect(&o, -1);
    for (int threads = 1; threads <= 4; ++threads) {
        o = options(s, threads % 2 ? LOAD_TRAIN : LOAD_VIEWS, 3 * threads, threads, 1, 1);
        shown *other = collect(&o, VIEWS * IMAGES / o.batch);
        assert_memory_equal(one, other, sizeof *one);
        free(other);
    }
    o.view_seed = 12;
    shown *other = collect(&o, -1);
    assert_memory_not_equal(one->truth, other->truth, sizeof one->truth);
    free(other);
    o = options(s, LOAD_VALID, 7, 2, 1, 1);      /* what is measured is no collage */
    other = collect(&o, -1);
    for (uint64_t i = 0; i < IMAGES; ++i) assert_int_equal(rows_of(other->truth[0][i]), i % 3 ? 2 : 3);
    free(other);
    free(one);
    dataset_free(s);
}

/* At changing sizes there is room for the largest. */
static void test_changing_sizes(void **state)
{
    (void)state;
    dataset *s = open_set(0);
    diag *d = diag_new();
    loader_options o = options(s, LOAD_TRAIN, 2, 2, 1, 1);
    o.h = o.w = 64;
    o.augment.random = 1;
    loader *l = loader_start(&o, d);
    int most = 0;
    for (int i = 0; i < 60; ++i) {
        const batch *b = loader_next(l, d);
        assert_non_null(b);
        most = b->w > most ? b->w : most;
    }
    check_no_errors(d);
    assert_true(most > 64);
    loader_stop(l);
    diag_free(d);
    dataset_free(s);
}

/* ---- rows alone ---- */

/* Of a box at x, 0.2 wide, in the part right of .5: what is left of it. */
static float left_of(float x)
{
    image_collage collage = { .parts = COLLAGE_PARTS, .turn = 1, .x = .5, .y = .2 };
    float from[MOST * ROW] = { x, .9f, .2f, .2f, 3 }, truth[MOST * ROW] = { 0 };
    augment_add_truth(&collage, 0, from, truth, MOST, 100, 100);
    return truth[2];
}

static void test_what_is_dropped(void **state)
{
    (void)state;
    check_close((double)left_of(.3f), .2, 1e-6, "all", 0);
    check_close((double)left_of(.5f), .1, 1e-6, "half", 0);
    check_close((double)left_of(.575f), .025, 1e-5, "an eighth", 0);
    assert_true(left_of(.585f) == 0);           /* .075 */
    assert_true(left_of(.61f) == 0);
}

/* One part that nobody has looked at makes the whole such an image, whichever it is. */
static void test_unlabelled(void **state)
{
    (void)state;
    for (int parts = 2; parts <= COLLAGE_PARTS; parts += 2)
        for (int which = 0; which < parts; ++which) {
            image_collage collage = { .parts = parts, .x = .5, .y = .5 };
            float truth[MOST * ROW];
            augment_begin_collage(&collage, NULL, 0, truth, MOST);
            for (int part = 0; part < parts; ++part) {
                float from[MOST * ROW] = { part == which ? -1 : .5f, .5f, .6f, .6f, 1 };
                augment_add_truth(&collage, part, from, truth, MOST, 10, 10);
                assert_int_equal(truth[0] < 0, part >= which);
            }
        }
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pixels_and_boxes), cmocka_unit_test(test_batches_and_threads_do_not_matter),
        cmocka_unit_test(test_changing_sizes),   cmocka_unit_test(test_what_is_dropped),
        cmocka_unit_test(test_unlabelled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
