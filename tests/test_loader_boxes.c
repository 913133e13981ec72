/* The loader for detectors: the same stream for any number of threads and any start, images that cannot be read replaced
 * or left out, truths that follow the pixels, sizes that change between steps. */
#include "layers/network.h"
#include "check_data.h"

#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/data/loader.h"

#include <sys/stat.h>
#include <unistd.h>

enum { IMAGES = 200, SIDE = 40, CORRUPT = 17, MAX_BOXES = 4 };

/* Image i: 40 x 30 or 30 x 40, black with a white rectangle that is its only box, of class i mod 5. */
static void put_picture(int i)
{
    int w = i % 2 ? 30 : SIDE, h = i % 2 ? SIDE : 30, x0 = 2 + i % 9, y0 = 3 + i % 7, x1 = x0 + 10 + i % 5, y1 = y0 + 8 + i % 6;
    uint8_t p[SIDE * SIDE] = { 0 };
    for (int y = y0; y < y1; ++y) memset(p + y * w + x0, 255, (size_t)(x1 - x0));
    char *path = mem_printf("%s/images/%d.png", check_folder(), i), *name = mem_printf("labels/%d.txt", i);
    char *text = mem_printf("%d %.7f %.7f %.7f %.7f\n", i % 5, (x0 + x1) / 2. / w, (y0 + y1) / 2. / h, (double)(x1 - x0) / w, (double)(y1 - y0) / h);
    assert_int_equal(image_write(path, p, w, h, 1), 0);
    data_put_text(name, text);
    free(path), free(name), free(text);
}

static void put_set(void)
{
    static int there;
    if (there++) return;
    char *images = mem_printf("%s/images", check_folder()), *labels = mem_printf("%s/labels", check_folder());
    mkdir(images, 0700), mkdir(labels, 0700);
    char list[IMAGES * 20] = "";
    for (int i = 0; i < IMAGES; ++i) {
        put_picture(i);
        sprintf(list + strlen(list), "images/%d.png\n", i);
    }
    data_put_text("all.list", list);
    free(images), free(labels);
}

static void spoil(int i)
{
    char *name = mem_printf("images/%d.png", i);
    data_put_text(name, "no picture");
    free(name);
}

static dataset *open_set(size_t limit, int need)
{
    put_set();
    return data_must_open("classes=5\ntrain=all.list\n", limit, need);
}

static loader_options options(const dataset *s, load_how how, int threads)
{
    return (loader_options){
        .data = s, .how = how, .batch = 12, .c = 3, .h = 64, .w = 64, .seed = 5, .view_seed = 5, .threads = threads, .max_boxes = MAX_BOXES, .step_images = 24,
        .augment = { .detector = 1, .jitter = .2f, .random = 1, .flip = 1, .hue = .1f, .saturation = 1.5f, .exposure = 1.5f, .aspect = 1, .any = 1 },
    };
}

/* A batch, copied; x as a sum that depends on every float and its place. */
typedef struct seen {
    int n, w, h;
    uint64_t index[12], hash;
    float truth[12 * MAX_BOXES * 5];
    image_place place[12];
} seen;

static seen look(const batch *b)
{
    seen s = { .n = b->n, .w = b->w, .h = b->h, .hash = 14695981039346656037u };
    const unsigned char *p = (const unsigned char *)b->x;
    for (size_t i = 0; i < 12 * 3 * (size_t)b->w * (size_t)b->h * sizeof(float); ++i) s.hash = (s.hash ^ p[i]) * 1099511628211u;
    memcpy(s.index, b->index, sizeof s.index);
    memcpy(s.place, b->place, sizeof s.place);
    memcpy(s.truth, b->truth, sizeof s.truth);
    return s;
}

static seen *collect(const loader_options *o, int batches)
{
    diag *d = diag_new();
    seen *s = mem_calloc((size_t)batches, sizeof *s);
    loader *l = loader_start(o, d);
    assert_non_null(l);
    for (int i = 0; i < batches; ++i) {
        const batch *b = loader_next(l, d);
        check_no_errors(d);
        s[i] = look(b);
    }
    loader_stop(l);
    diag_free(d);
    return s;
}

static void test_threads_do_not_matter(void **state)
{
    (void)state;
    dataset *s = open_set(0, DATA_BOXES);
    spoil(CORRUPT);
    loader_options o = options(s, LOAD_TRAIN, 1);
    seen *one = collect(&o, 60);
    for (int threads = 2; threads <= 4; ++threads) {
        o.threads = threads;
        seen *many = collect(&o, 60);
        assert_memory_equal(one, many, 60 * sizeof *one);
        free(many);
    }
    int count[IMAGES] = { 0 };
    for (int i = 0; i < 50; ++i)   /* three epochs */
        for (int j = 0; j < 12; ++j) count[one[i].index[j]]++;
    assert_int_equal(count[CORRUPT], 0);
    int more = 0;
    for (int i = 0; i < IMAGES; ++i) more += i == CORRUPT ? 0 : count[i] - 3;
    assert_int_equal(more, 3);   /* its substitutes */
    free(one);
    dataset_free(s);
}

/* Sizes change between steps, not within, and a run that starts later meets the same. */
static void test_sizes_and_start(void **state)
{
    (void)state;
    dataset *s = open_set(0, DATA_BOXES);
    loader_options o = options(s, LOAD_TRAIN, 2);
    seen *whole = collect(&o, 100);
    int sizes = 0;
    for (int i = 0; i < 100; ++i) {
        int w, h;
        augment_size(5, (uint64_t)i / 2, 1, 64, 64, &w, &h);
        assert_true(whole[i].w == w && whole[i].h == h);
        sizes |= 1 << w / 32;
        if (i % 20) assert_int_equal(whole[i].w, whole[i - 1].w);
    }
    assert_true((sizes & (sizes - 1)) && !(sizes & ~(1 << 1 | 1 << 2 | 1 << 3)));   /* some of 32, 64, 96 */
    const int starts[] = { 2, 18, 20, 38 };
    for (int k = 0; k < 4; ++k) {
        o.start = 12 * (uint64_t)starts[k];
        seen *part = collect(&o, 30);
        assert_memory_equal(part, whole + starts[k], 30 * sizeof *part);
        free(part);
    }
    free(whole);
    dataset_free(s);
}

/* The white of image j of the batch is where its truth says. */
static void check_white(const batch *b, int j)
{
    int low_x = b->w, high_x = 0, low_y = b->h, high_y = 0;
    const float *x = b->x + (size_t)j * 3 * (size_t)b->h * (size_t)b->w, *t = b->truth + (size_t)j * MAX_BOXES * 5;
    for (int y = 0; y < b->h; ++y)
        for (int k = 0; k < b->w; ++k) {
            if (x[y * b->w + k] < .52f) continue;
            low_x = k < low_x ? k : low_x, high_x = k + 1 > high_x ? k + 1 : high_x;
            low_y = y < low_y ? y : low_y, high_y = y + 1 > high_y ? y + 1 : high_y;
        }
    float scale = fmaxf(b->place[j].w * (float)b->w / (float)b->place[j].image_w, b->place[j].h * (float)b->h / (float)b->place[j].image_h);
    check_close(low_x, (t[0] - t[2] / 2) * (float)b->w, (1.5 + scale) / fmax(1, low_x), "left", (size_t)j);
    check_close(high_x, (t[0] + t[2] / 2) * (float)b->w, (1.5 + scale) / fmax(1, high_x), "right", (size_t)j);
    check_close(low_y, (t[1] - t[3] / 2) * (float)b->h, (1.5 + scale) / fmax(1, low_y), "top", (size_t)j);
    check_close(high_y, (t[1] + t[3] / 2) * (float)b->h, (1.5 + scale) / fmax(1, high_y), "bottom", (size_t)j);
    assert_true(t[4] == (float)(b->index[j] % 5));
    for (int k = 5; k < MAX_BOXES * 5; ++k) assert_true(t[k] == 0);
}

static void test_truths_follow_pixels(void **state)
{
    (void)state;
    dataset *s = open_set(0, DATA_BOXES);
    loader_options o = options(s, LOAD_TRAIN, 2);
    o.augment.hue = 0, o.augment.saturation = o.augment.exposure = 1;
    for (int how = 0; how < 3; ++how) {
        o.how = how == 0 ? LOAD_TRAIN : how == 1 ? LOAD_VALID : LOAD_VIEWS;
        o.views = how == 2 ? 2 : 0;
        diag *d = diag_new();
        loader *l = loader_start(&o, d);
        int n = 0, odd = 0;
        for (const batch *b; n < 400 && (b = loader_next(l, d)); n += b->n)
            for (int j = 0; j < 12; ++j) {
                check_white(b, j);
                odd += b->w != 64;
            }
        check_no_errors(d);
        if (how == 1) assert_int_equal(n, IMAGES - 1);
        if (how == 2) assert_int_equal(n, 2 * IMAGES);
        assert_true(how == 0 ? odd > 0 : odd == 0);
        loader_stop(l);
        diag_free(d);
    }
    dataset_free(s);
}

/* In order, without the broken one, which is named once; boxes come back to the image's own. */
static void test_validation_goes_on_without(void **state)
{
    (void)state;
    dataset *s = open_set(0, DATA_BOXES);
    spoil(CORRUPT);
    for (int threads = 1; threads <= 3; ++threads)
        for (int stretch = 0; stretch < 2; ++stretch) {
            loader_options o = options(s, LOAD_VALID, threads);
            o.augment.fit = stretch ? FIT_STRETCH : FIT_LETTERBOX;
            diag *d = diag_new();
            loader *l = loader_start(&o, d);
            uint64_t next = 0;
            for (const batch *b; (b = loader_next(l, d));) {
                assert_true(b->w == 64 && b->h == 64);
                for (int j = 0; j < b->n; ++j, ++next) {
                    next += next == CORRUPT;
                    assert_int_equal(b->index[j], next);
                    int n;
                    const data_box *box = dataset_boxes(s, next, &n);
                    const float *t = b->truth + (size_t)j * MAX_BOXES * 5;
                    data_box back = data_box_in_image(&b->place[j], (data_box){ t[0], t[1], t[2], t[3], 0 });
                    check_close(back.x, box->x, 1e-5, "x", next), check_close(back.h, box->h, 1e-5, "h", next);
                    assert_int_equal(b->place[j].image_w, next % 2 ? 30 : SIDE);
                    if (stretch) assert_true(b->place[j].w == 1 && b->place[j].h == 1);
                }
            }
            assert_int_equal(next, IMAGES);
            check_no_errors(d);
            assert_int_equal(diag_warnings(d), 0);
            assert_int_equal(loader_left_out(l, d), 1);
            data_expect(d, "1 of 200 images could not be read and were left out: ");
            data_expect(d, "/images/17.png: not an image");
            loader_stop(l);
            diag_free(d);
        }
    dataset_free(s);
}

/* Of 150 images two are more than 1 %: training, views and validation stop and name them, at any number of threads. */
static void test_too_many_broken(void **state)
{
    (void)state;
    dataset *s = open_set(150, DATA_BOXES);
    spoil(CORRUPT), spoil(44);
    for (int k = 0; k < 6; ++k) {
        loader_options o = options(s, k % 3 == 0 ? LOAD_TRAIN : k % 3 == 1 ? LOAD_VIEWS : LOAD_VALID, 1 + k);
        o.views = k % 3 == 1 ? 3 : 0;
        diag *d = diag_new();
        loader *l = loader_start(&o, d);
        int batches = 0;
        while (loader_next(l, d)) ++batches;
        assert_true(batches < 13);   /* an epoch's */
        assert_null(loader_next(l, d));
        assert_int_equal(diag_errors(d), 1);
        data_expect(d, "2 of 150 images cannot be read; up to 1 % are left out: ");
        data_expect(d, "/images/17.png: not an image");
        data_expect(d, "/images/44.png: not an image");
        loader_stop(l);
        diag_free(d);
    }
    put_picture(44);
    dataset_free(s);
}

/* A whole batch of validation is gone; the next one follows. What the data set has left out counts, but is named there. */
static void test_missing_batch(void **state)
{
    (void)state;
    dataset *all = open_set(0, DATA_BOXES);
    dataset_free(all);
    char *path = mem_printf("%s/images/3.png", check_folder());
    unlink(path);
    diag *d = diag_new();
    dataset *s = data_open_train("classes=5\ntrain=all.list\n", 0, DATA_BOXES, d);
    check_no_errors(d);
    data_expect(d, "1 of 200 images are not there or not readable and are left out: images/3.png");
    loader_options o = options(s, LOAD_VALID, 2);
    o.batch = 1;
    loader *l = loader_start(&o, d);
    for (uint64_t i = 0; i < 30; ++i) {
        if (i == 3 || i == CORRUPT) continue;
        const batch *b = loader_next(l, d);
        assert_non_null(b);
        assert_int_equal(b->n, 1);
        assert_int_equal(b->index[0], i);
    }
    int warnings = diag_warnings(d);
    assert_int_equal(loader_left_out(l, d), 2);
    assert_int_equal(diag_warnings(d), warnings + 1);
    data_expect(d, "1 of 200 images could not be read and were left out: ");
    data_expect(d, "/images/17.png: not an image");
    loader_stop(l);
    put_picture(3);
    dataset_free(s);
    diag_free(d);
    free(path);
}

/* Without label files or places for boxes there are no truths; jitter is off where it is not asked for. */
static void test_without_boxes(void **state)
{
    (void)state;
    put_picture(CORRUPT);
    for (int k = 0; k < 2; ++k) {
        dataset *s = open_set(0, k ? DATA_BOXES : DATA_DETECTOR);
        loader_options o = options(s, LOAD_TRAIN, 2);
        if (k) o.max_boxes = 0;
        diag *d = diag_new();
        loader *l = loader_start(&o, d);
        const batch *b = loader_next(l, d);
        assert_non_null(b);
        assert_null(b->truth);
        assert_non_null(b->place);
        assert_int_equal(b->label[0], -1);
        loader_stop(l);
        diag_free(d);
        dataset_free(s);
    }
}

/* Real photographs, letterboxed: every box lies within its image's place. */
static void test_coco(void **state)
{
    (void)state;
    char *root = realpath("../shared/data/detect", NULL);
    if (!root) {
        print_message("skipped: ../shared/data/detect is not there\n");
        skip();
    }
    char *command = mem_printf("ls %s/images/val2017/*.jpg > %s/coco.list", root, check_folder());
    assert_int_equal(system(command), 0);
    char *text = mem_printf("classes=80\nnames=%s/coco.names\ntrain=coco.list\n", root);
    dataset *s = data_must_open(text, 0, DATA_BOXES);
    loader_options o = options(s, LOAD_VALID, 2);
    o.w = o.h = 320;
    o.max_boxes = 90;
    diag *d = diag_new();
    loader *l = loader_start(&o, d);
    int images = 0, boxes = 0;
    for (const batch *b; (b = loader_next(l, d)); images += b->n)
        for (int j = 0; j < b->n; ++j)
            for (const float *t = b->truth + 450 * j; t < b->truth + 450 * (j + 1) && t[0] > 0; t += 5, ++boxes) {
                const image_place *p = &b->place[j];
                assert_true(t[0] - t[2] / 2 > p->x - 1e-4 && t[0] + t[2] / 2 < p->x + p->w + 1e-4);
                assert_true(t[1] - t[3] / 2 > p->y - 1e-4 && t[1] + t[3] / 2 < p->y + p->h + 1e-4);
            }
    check_no_errors(d);
    assert_int_equal(images, 128);
    assert_in_range(boxes, 890, 898);   /* some are smaller than a thousandth of the input */
    assert_int_equal(loader_left_out(l, d), 0);
    loader_stop(l);
    diag_free(d);
    dataset_free(s);
    free(root), free(command), free(text);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_threads_do_not_matter),
        cmocka_unit_test(test_sizes_and_start),
        cmocka_unit_test(test_truths_follow_pixels),
        cmocka_unit_test(test_validation_goes_on_without),
        cmocka_unit_test(test_too_many_broken),
        cmocka_unit_test(test_missing_batch),
        cmocka_unit_test(test_without_boxes),
        cmocka_unit_test(test_coco),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
