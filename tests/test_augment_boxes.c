/* Augmentation of detectors: boxes go where their pixels go, whatever is drawn, and come back; placing and resizing
 * against the host's own functions; the sizes of multi-scale training. */
#include "layers/network.h"
#include "check_data.h"

#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/data/augment_internal.h"
#include "darknet_plugin/data/image_io.h"

/* Exported by the host's library, not declared in its header. */
void place_image(image im, int w, int h, int dx, int dy, image canvas);
data load_data_detection(int n, char **paths, int m, int w, int h, int boxes, int classes, float jitter, float hue, float saturation, float exposure);
void correct_boxes(box_label *boxes, int n, float dx, float dy, float sx, float sy, int flip);

enum { PIXELS = 160 };

/* A (h, w, 3) image, black but for a white rectangle. */
static uint8_t *rectangle(int w, int h, int x0, int y0, int x1, int y1)
{
    uint8_t *b = mem_calloc((size_t)w * (size_t)h * 3, 1);
    for (int y = y0; y < y1; ++y) memset(b + ((size_t)y * (size_t)w + (size_t)x0) * 3, 255, (size_t)(x1 - x0) * 3);
    return b;
}

static data_box box_of(int w, int h, int x0, int y0, int x1, int y1, int class)
{
    return (data_box){ (float)(x0 + x1) / 2 / (float)w, (float)(y0 + y1) / 2 / (float)h, (float)(x1 - x0) / (float)w,
                       (float)(y1 - y0) / (float)h, class };
}

/* Left, top, right, bottom of what is brighter than the grey around the image; 0 if there is nothing. */
static int find_white(const float *x, int w, int h, int edge[4])
{
    edge[0] = w, edge[1] = h, edge[2] = edge[3] = 0;
    for (int y = 0; y < h; ++y)
        for (int k = 0; k < w; ++k) {
            if (x[y * w + k] <= .505f) continue;
            if (k < edge[0]) edge[0] = k;
            if (k + 1 > edge[2]) edge[2] = k + 1;
            if (y < edge[1]) edge[1] = y;
            if (y + 1 > edge[3]) edge[3] = y + 1;
        }
    return edge[2] > edge[0];
}

static augment_spec spec(float jitter, int stretch)
{
    return (augment_spec){ .detector = 1, .flip = 1, .jitter = jitter, .fit = stretch ? FIT_STRETCH : FIT_LETTERBOX, .aspect = 1, .saturation = 1, .exposure = 1, .any = 1 };
}

/* How far the box of truth and what is white lie apart, in pixels of the input. */
static double distance(const float *t, const int edge[4], int w, int h)
{
    double d[4] = { (t[0] - t[2] / 2) * w - edge[0], (t[1] - t[3] / 2) * h - edge[1], (t[0] + t[2] / 2) * w - edge[2],
                    (t[1] + t[3] / 2) * h - edge[3] }, worst = 0;
    for (int i = 0; i < 4; ++i) worst = fmax(worst, fabs(d[i]));
    return worst;
}

/* Random images, rectangles and draws. A pixel of the image covers up to `scale` of the input. */
static void follow(const augment_spec *a, int trials, int *dropped)
{
    rng r = rng_make(11, (uint64_t)(a->fit == FIT_STRETCH), a->pad > 0, RNG_TEST);
    static float x[PIXELS * PIXELS * 3];
    for (int i = 0; i < trials; ++i) {
        int w = 40 + (int)rng_below(&r, 200), h = 40 + (int)rng_below(&r, 200);
        int ow = 32 * (1 + (int)rng_below(&r, 5)), oh = 32 * (1 + (int)rng_below(&r, 5));
        int x0 = (int)rng_below(&r, (uint64_t)w - 8), y0 = (int)rng_below(&r, (uint64_t)h - 8);
        int x1 = x0 + 4 + (int)rng_below(&r, (uint64_t)(w - x0 - 4)), y1 = y0 + 4 + (int)rng_below(&r, (uint64_t)(h - y0 - 4));
        uint8_t *b = rectangle(w, h, x0, y0, x1, y1);
        data_box box = box_of(w, h, x0, y0, x1, y1, i % 7);
        rng q = rng_make(3, 0, (uint64_t)i, RNG_AUGMENT);
        image_place p;
        float truth[10];
        augment_detect(b, w, h, 3, a, &q, x, ow, oh, &p);
        int edge[4], white = find_white(x, ow, oh, edge), n = augment_truth(&box, 1, &p, NULL, truth, 2);
        double scale = fmax(p.w * (float)ow / (float)w, p.h * (float)oh / (float)h), tolerance = 1.5 + scale;
        if (n && white) {
            if (distance(truth, edge, ow, oh) > tolerance) fail_msg("draw %d: %.2f pixels apart, scale %.2f", i, distance(truth, edge, ow, oh), scale);
            assert_true(truth[4] == (float)(i % 7) && truth[5] == 0);
        } else if (n) {   /* only a sliver, or a rectangle thinner than the step from sample to sample, can be lost */
            assert_true(truth[2] * (float)ow < tolerance || truth[3] * (float)oh < tolerance);
        } else {
            assert_true(!white || edge[2] - edge[0] <= tolerance || edge[3] - edge[1] <= tolerance);
            ++*dropped;
        }
        free(b);
    }
}

static void test_boxes_follow_pixels(void **state)
{
    (void)state;
    int dropped = 0, none = 0;
    augment_spec a = spec(.3f, 0);
    follow(&a, 3000, &none);
    a = spec(.3f, 1);
    follow(&a, 3000, &dropped);
    a = spec(.2f, 0);
    a.pad = 20;
    follow(&a, 1000, &dropped);
    a = spec(0, 0);
    follow(&a, 500, &none);
    a = spec(0, 1);
    follow(&a, 500, &none);
    assert_int_equal(none, 0);   /* nothing leaves a letterboxed input */
    assert_true(dropped > 10);
}

/* Every draw is used: mirrored half the time, at all places, wider and narrower. */
static void test_draws_vary(void **state)
{
    (void)state;
    uint8_t *b = rectangle(60, 40, 10, 10, 20, 20);
    static float x[64 * 64 * 3];
    for (int stretch = 0; stretch < 2; ++stretch) {
        augment_spec a = spec(.2f, stretch);
        int mirrored = 0, wide = 0;
        float lowest = 9, highest = -9, low = 9, high = -9;
        for (uint64_t i = 0; i < 1000; ++i) {
            rng r = rng_make(5, 0, i, RNG_AUGMENT);
            image_place p;
            augment_detect(b, 60, 40, 3, &a, &r, x, 64, 64, &p);
            mirrored += p.mirrored;
            wide += p.w / p.h > (stretch ? 1 : 1.5f);
            lowest = fminf(lowest, p.y), highest = fmaxf(highest, p.y);
            low = fminf(low, p.w / p.h), high = fmaxf(high, p.w / p.h);
            assert_true(p.image_w == 60 && p.image_h == 40);
            if (!stretch) assert_true(p.x >= 0 && p.y >= 0 && p.x + p.w <= 1.0001f && p.y + p.h <= 1.0001f);
        }
        assert_in_range(mirrored, 430, 570);
        assert_in_range(wide, 400, 600);
        check_close(low, stretch ? 1 / 1.9 : 1.5 * .8 / 1.2, stretch ? .15 : .05, "narrowest", 0);
        check_close(high, stretch ? 1.9 : 1.5 * 1.2 / .8, stretch ? .2 : .05, "widest", 0);
        assert_true(stretch ? lowest < -.2f && highest > .1f : lowest < .01f && highest > .4f);
    }
    free(b);
}

static void test_flip(void **state)
{
    (void)state;
    uint8_t *b = rectangle(32, 32, 2, 8, 10, 12);
    data_box box = box_of(32, 32, 2, 8, 10, 12, 1);
    float plain[32 * 32 * 3], x[32 * 32 * 3], truth[5];
    image_place p;
    augment_fit(b, 32, 32, 3, 0, plain, 32, 32, &p);
    augment_truth(&box, 1, &p, NULL, truth, 1);
    check_close(truth[0], 6. / 32, 1e-6, "x", 0);
    augment_spec a = spec(0, 0);
    uint64_t i = 0;
    do {
        rng r = rng_make(1, 0, i++, RNG_AUGMENT);
        augment_detect(b, 32, 32, 3, &a, &r, x, 32, 32, &p);
    } while (!p.mirrored);
    augment_flip(plain, 3, 32, 32);
    assert_memory_equal(x, plain, sizeof x);
    augment_truth(&box, 1, &p, NULL, truth, 1);
    check_close(truth[0], 26. / 32, 1e-6, "x", 0);
    check_close(truth[1], 10. / 32, 1e-6, "y", 0);
    check_close(truth[2], 8. / 32, 1e-6, "w", 0);
    data_box back = data_box_in_image(&p, (data_box){ truth[0], truth[1], truth[2], truth[3], 1 });
    check_close(back.x, box.x, 1e-6, "back", 0);
    free(b);
}

/* What is found in the input comes back to the image within 1e-4, for every way of placing. */
static void test_boxes_come_back(void **state)
{
    (void)state;
    rng r = rng_make(21, 0, 0, RNG_TEST);
    static float x[PIXELS * PIXELS];
    for (int i = 0; i < 2000; ++i) {
        int w = 20 + (int)rng_below(&r, 100), h = 20 + (int)rng_below(&r, 100);
        uint8_t *b = mem_calloc((size_t)w * (size_t)h, 1);
        image_place p;
        augment_spec a = spec(.3f, i / 2 % 2);
        rng q = rng_make(3, 0, (uint64_t)i, RNG_AUGMENT);
        if (i % 2) augment_detect(b, w, h, 1, &a, &q, x, 96, 64, &p);
        else augment_fit(b, w, h, 1, a.fit == FIT_STRETCH, x, 96, 64, &p);
        data_box box = { (float)rng_uniform(&r, 0, 1), (float)rng_uniform(&r, 0, 1), (float)rng_uniform(&r, 0, 1), (float)rng_uniform(&r, 0, 1), 3 };
        data_box back = data_box_in_image(&p, boxes_to_input(&p, box));
        check_close(back.x, box.x, 1e-4, "x", (size_t)i), check_close(back.y, box.y, 1e-4, "y", (size_t)i);
        check_close(back.w, box.w, 1e-4, "w", (size_t)i), check_close(back.h, box.h, 1e-4, "h", (size_t)i);
        assert_int_equal(back.class, 3);
        free(b);
    }
}

/* The letterbox's place is where its pixels are: the grey around them begins at its edges. */
static void test_letterbox_place(void **state)
{
    (void)state;
    const int sizes[][4] = { { 640, 480, 320, 320 }, { 427, 640, 320, 320 }, { 33, 77, 64, 96 }, { 100, 10, 64, 64 }, { 64, 64, 64, 64 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        int w = sizes[i][0], h = sizes[i][1], ow = sizes[i][2], oh = sizes[i][3], edge[4];
        uint8_t *b = rectangle(w, h, 0, 0, w, h);
        float *x = mem_calloc((size_t)ow * (size_t)oh * 3, sizeof *x);
        image_place p;
        augment_fit(b, w, h, 3, 0, x, ow, oh, &p);
        assert_true(find_white(x, ow, oh, edge));
        check_close(p.x * (float)ow, edge[0], 1e-5, "left", i), check_close(p.y * (float)oh, edge[1], 1e-5, "top", i);
        check_close((p.x + p.w) * (float)ow, edge[2], 1e-5, "right", i), check_close((p.y + p.h) * (float)oh, edge[3], 1e-5, "bottom", i);
        free(b), free(x);
    }
}

/* letterbox_image and resize_image of the host, but for the last row, which it leaves near black at some sizes. */
static void test_fit_is_the_hosts(void **state)
{
    (void)state;
    const int sizes[][4] = { { 64, 48, 32, 32 }, { 40, 61, 64, 64 }, { 100, 75, 96, 64 }, { 31, 31, 96, 96 } };
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; ++i) {
        int w = sizes[i][0], h = sizes[i][1], ow = sizes[i][2], oh = sizes[i][3];
        uint8_t *b = mem_calloc((size_t)w * (size_t)h * 3, 1);
        rng r = rng_make(31, 0, i, RNG_TEST);
        for (int k = 0; k < w * h * 3; ++k) b[k] = (uint8_t)rng_below(&r, 256);
        image im = check_host_image(b, w, h, 3);
        float *x = mem_calloc((size_t)ow * (size_t)oh * 3, sizeof *x);
        for (int stretch = 0; stretch < 2; ++stretch) {
            image host = stretch ? resize_image(im, ow, oh) : letterbox_image(im, ow, oh);
            image_place p;
            augment_fit(b, w, h, 3, stretch, x, ow, oh, &p);
            for (int k = 0; k < 3; ++k)
                for (int y = 0; y < (int)lroundf((p.y + p.h) * (float)oh) - 1; ++y)
                    check_close_n(x + (k * oh + y) * ow, host.data + (k * oh + y) * ow, (size_t)ow, 5e-6, stretch ? "resize" : "letterbox");
            free_image(host);
        }
        free_image(im), free(b), free(x);
    }
}

/* The host's place_image, on and beyond the canvas. The host's -Ofast may take the pixel next to a border, so the image is smooth. */
static void test_place_is_the_hosts(void **state)
{
    (void)state;
    enum { W = 50, H = 37, OW = 64, OH = 48 };
    uint8_t b[W * H * 3];
    for (int i = 0; i < W * H; ++i)
        for (int k = 0; k < 3; ++k) b[3 * i + k] = (uint8_t)((i % W) * 2 + (i / W) * (k + 1));
    image im = check_host_image(b, W, H, 3), canvas = make_image(OW, OH, 3);
    pixel_view v = { .u8 = b, .full_w = W, .full_h = H, .c = 3, .w = W, .h = H };
    static float x[OW * OH * 3];
    rng r = rng_make(41, 0, 0, RNG_TEST);
    for (int i = 0; i < 200; ++i) {
        pixel_rect at = { (int)rng_below(&r, 60) - 30, (int)rng_below(&r, 60) - 30, 1 + (int)rng_below(&r, 120), 1 + (int)rng_below(&r, 90) };
        fill_image(canvas, .5f);
        place_image(im, at.w, at.h, at.x, at.y, canvas);
        augment_place(&v, at, x, OW, OH);
        check_close_n(x, canvas.data, OW * OH * 3, 1e-5, "place");
    }
    free_image(im), free_image(canvas);
}

/* The formula, pixel after pixel, in that order of operations: the fast one may not differ in a bit. */
static float placed(const pixel_view *v, pixel_rect at, int k, int x, int y)
{
    if (x < at.x || x >= at.x + at.w || y < at.y || y >= at.y + at.h) return .5f;
    float rx = (float)(x - at.x) / (float)at.w * (float)v->w, ry = (float)(y - at.y) / (float)at.h * (float)v->h, p[2][2];
    int ix = (int)rx, iy = (int)ry;
    float dx = rx - (float)ix, dy = ry - (float)iy;
    for (int i = 0; i < 4; ++i) {
        int px = ix + i % 2, py = iy + i / 2;
        size_t n = (size_t)(v->y0 + py) * (size_t)v->full_w + (size_t)(v->x0 + px);
        size_t plane = (size_t)v->full_w * (size_t)v->full_h;
        float value = px >= v->w || py >= v->h ? 0 : v->u8 ? augment_unit(v->u8[n * (size_t)v->c + (size_t)k]) : v->f[(size_t)k * plane + n];
        p[i / 2][i % 2] = value;
    }
    return (1 - dy) * (1 - dx) * p[0][0] + dy * (1 - dx) * p[1][0] + (1 - dy) * dx * p[0][1] + dy * dx * p[1][1];
}

static void test_place_is_exact(void **state)
{
    (void)state;
    enum { FULL = 40, OW = 33, OH = 29 };
    static uint8_t b[FULL * FULL * 3];
    static float f[FULL * FULL * 3], x[OW * OH * 3];
    rng r = rng_make(43, 0, 0, RNG_TEST);
    for (int i = 0; i < FULL * FULL * 3; ++i) b[i] = (uint8_t)rng_below(&r, 256), f[i] = (float)rng_uniform(&r, 0, 1);
    for (int trial = 0; trial < 300; ++trial) {
        pixel_view v = { .full_w = FULL, .full_h = FULL, .c = trial % 3 ? 3 : 1, .w = 1 + (int)rng_below(&r, 30), .h = 1 + (int)rng_below(&r, 30) };
        v.x0 = (int)rng_below(&r, 10), v.y0 = (int)rng_below(&r, 10);
        if (trial % 4) v.u8 = b;
        else v.f = f;
        pixel_rect at = { (int)rng_below(&r, 100) - 60, (int)rng_below(&r, 100) - 60, 1 + (int)rng_below(&r, 120), 1 + (int)rng_below(&r, 90) };
        augment_place(&v, at, x, OW, OH);
        for (int i = 0; i < v.c * OW * OH; ++i) {
            float want = placed(&v, at, i / (OW * OH), i % OW, i / OW % OH);
            if (memcmp(&x[i], &want, sizeof want)) fail_msg("trial %d, value %d: %.9g, not %.9g", trial, i, x[i], want);
        }
    }
}

static void test_truth(void **state)
{
    (void)state;
    image_place whole = { .w = 1, .h = 1 }, half = { .x = .5f, .y = -.25f, .w = 1, .h = 1 };
    data_box b[5] = { { .9f, .5f, .4f, .2f, 4 }, { .5f, .5f, .5f, .5f, 1 }, { .2f, .2f, .0005f, .2f, 2 }, { .5f, .1f, .1f, .1f, 3 }, { 0, 0, 2, 2, 0 } };
    float t[30];
    for (int i = 0; i < 30; ++i) t[i] = 7;
    assert_int_equal(augment_truth(b, 5, &whole, NULL, t, 6), 4);
    const float want[20] = { .85f, .5f, .3f, .2f, 4, .5f, .5f, .5f, .5f, 1, .5f, .1f, .1f, .1f, 3, .5f, .5f, 1, 1, 0 };
    check_close_n(t, want, 20, 1e-6, "truth");   /* clipped; too thin: dropped; around all of it: kept */
    for (int i = 20; i < 30; ++i) assert_true(t[i] == 0);
    assert_int_equal(augment_truth(b, 5, &half, NULL, t, 6), 2);   /* 0 begins at 1.2, 3 ends at -.1 */
    check_close(t[0], .875, 1e-6, "x", 1), check_close(t[2], .25, 1e-6, "w", 1), check_close(t[1], .25, 1e-6, "y", 1);
    assert_int_equal(augment_truth(b, 5, &whole, NULL, t, 2), 2);
    assert_int_equal(augment_truth(NULL, 0, &whole, NULL, t, 2), 0);
    assert_true(t[0] == 0);
    int first[5] = { 0 };
    for (uint64_t i = 0; i < 1000; ++i) {   /* in random order: each of four comes first, and none is lost */
        rng r = rng_make(1, 0, i, RNG_TEST);
        assert_int_equal(augment_truth(b, 5, &whole, &r, t, 6), 4);
        ++first[(int)t[4]];
        assert_true(t[4] + t[9] + t[14] + t[19] == 8);
    }
    for (int i = 0; i < 5; ++i) assert_in_range(first[i], i == 2 ? 0 : 200, i == 2 ? 0 : 300);
}

/* The host reads a label file and has its boxes moved, mirrored and clipped by correct_boxes; fill_truth_detection then
 * takes those of a thousandth and more (not called here: it copies a string onto itself). */
static void test_truth_is_the_hosts(void **state)
{
    (void)state;
    enum { N = 20, TRIALS = 500 };
    char *label = mem_printf("%s/a.txt", check_folder());
    rng r = rng_make(51, 0, 0, RNG_TEST);
    for (int trial = 0; trial < TRIALS; ++trial) {
        data_box b[N];
        char text[N * 60] = "";
        for (int i = 0; i < N; ++i) {
            float v[4];
            for (int k = 0; k < 4; ++k) v[k] = (float)rng_uniform(&r, .02, k < 2 ? .98 : i % 3 ? .2 : 1);
            b[i] = (data_box){ v[0], v[1], v[2], v[3], i };
            sprintf(text + strlen(text), "%d %.9g %.9g %.9g %.9g\n", i, v[0], v[1], v[2], v[3]);
        }
        check_write(label, text, strlen(text));
        image_place p = { .x = (float)rng_uniform(&r, -.4, .4), .y = (float)rng_uniform(&r, -.4, .4), .w = (float)rng_uniform(&r, .5, 1.5),
                          .h = (float)rng_uniform(&r, .5, 1.5), .mirrored = trial % 2 };
        int count, n = 0;
        box_label *host = read_boxes(label, &count);
        assert_int_equal(count, N);
        correct_boxes(host, count, -p.x, -p.y, p.w, p.h, p.mirrored);
        float ours[5 * N];
        int found = augment_truth(b, N, &p, NULL, ours, N);
        for (int i = 0; i < N; ++i) {
            if (host[i].w < .001f || host[i].h < .001f) continue;
            const float want[5] = { host[i].x, host[i].y, host[i].w, host[i].h, (float)host[i].id };
            assert_true(n < found);
            check_close_n(ours + 5 * n++, want, 5, 2e-6, "truth");
        }
        assert_int_equal(n, found);
        free(host);
    }
    free(label);
}

/* The host copies a string onto itself there, where AddressSanitizer ends the program. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SANITISED 1
#endif
#endif
#if defined(__SANITIZE_ADDRESS__) && !defined(SANITISED)
#define SANITISED 1
#elif !defined(SANITISED)
#define SANITISED 0
#endif

/* All of the host's loading of a detector's training image. A square in a square leaves it no choice but to mirror, and
 * that is seen from the box. */
static void test_loading_is_the_hosts(void **state)
{
    (void)state;
    enum { SIDE = 90, OUT = 64 };
    if (SANITISED) {
        print_message("skipped: the host's load_data_detection does not run under AddressSanitizer\n");
        skip();
    }
    uint8_t b[SIDE * SIDE * 3];
    for (int i = 0; i < SIDE * SIDE; ++i)
        for (int k = 0; k < 3; ++k) b[3 * i + k] = (uint8_t)((i % SIDE) * 2 + (i / SIDE) * k / 2);
    char *path = mem_printf("%s/square.png", check_folder()), *label = mem_printf("%s/square.txt", check_folder());
    assert_int_equal(image_write(path, b, SIDE, SIDE, 3), 0);
    check_write(label, "2 .3 .4 .2 .1\n", 14);
    pixel_view v = { .u8 = b, .full_w = SIDE, .full_h = SIDE, .c = 3, .w = SIDE, .h = SIDE };
    float plain[OUT * OUT * 3], mirrored[OUT * OUT * 3], truth[10];
    augment_place(&v, (pixel_rect){ 0, 0, OUT, OUT }, plain, OUT, OUT);
    memcpy(mirrored, plain, sizeof plain);
    augment_flip(mirrored, 3, OUT, OUT);
    int flips = 0;
    for (int i = 0; i < 40; ++i) {
        data host = load_data_detection(1, &path, 1, OUT, OUT, 2, 3, 0, 0, 1, 1);
        int flip = host.y.vals[0][0] > .5f;
        image_place p = { .w = 1, .h = 1, .mirrored = flip };
        data_box box = { .3f, .4f, .2f, .1f, 2 };
        augment_truth(&box, 1, &p, NULL, truth, 2);
        check_close_n(truth, host.y.vals[0], 10, 1e-6, "truth");
        check_close_n(flip ? mirrored : plain, host.X.vals[0], OUT * OUT * 3, 1e-5, "pixels");
        flips += flip;
        free_data(host);
    }
    assert_true(flips > 0 && flips < 40);
    free(path), free(label);
}

static void test_sizes(void **state)
{
    (void)state;
    int w, h, seen[40] = { 0 }, last = 0, changes = 0;
    augment_size(1, 7, 0, 416, 320, &w, &h);
    assert_true(w == 416 && h == 320);
    for (uint64_t step = 0; step < 10000; ++step) {
        augment_size(1, step, 1, 416, 416, &w, &h);
        assert_true(w == h && w % 32 == 0 && w >= 288 && w <= 576);
        seen[w / 32]++;
        if (step % 10) assert_int_equal(w, last);
        changes += w != last;
        last = w;
    }
    for (int i = 9; i <= 18; ++i) assert_in_range(seen[i], 500, 1600);
    assert_true(changes > 700);
    int largest_w, largest_h, tops = 0;
    for (int base = 32; base < 700; base += 48) {
        augment_largest_size(1, base, base / 2, &largest_w, &largest_h);
        for (uint64_t step = 0; step < 2000; step += 10) {
            augment_size(2, step, 1, base, base / 2, &w, &h);
            assert_true(w <= largest_w && h <= largest_h && w >= 32 && h >= 32 && h % 32 == 0);
            tops += w == largest_w;
        }
    }
    assert_true(tops > 14);
    augment_size(1, 0, 1e30f, 2000000000, 2000000000, &w, &h);   /* nonsense in, a number out */
    assert_true(w > 0 && h > 0);
}

static void test_everything_on_is_sane_and_reproducible(void **state)
{
    (void)state;
    uint8_t *b = rectangle(50, 40, 5, 5, 30, 30);
    static float x[64 * 32 * 3], y[64 * 32 * 3];
    image_place p, q;
    for (uint64_t i = 0; i < 100; ++i) {
        augment_spec a = spec(.3f, i % 2);
        a.pad = 3, a.hue = .1f, a.saturation = 1.5f, a.exposure = 1.5f;
        if (i > 90) a.jitter = 1e30f, a.pad = 2147483647;
        rng r = rng_make(3, 0, i, RNG_AUGMENT), s = r;
        augment_detect(b, 50, 40, 3, &a, &r, x, 64, 32, &p);
        augment_detect(b, 50, 40, 3, &a, &s, y, 64, 32, &q);
        assert_memory_equal(x, y, sizeof x);
        assert_memory_equal(&p, &q, sizeof p);
        for (int k = 0; k < 64 * 32 * 3; ++k) assert_true(x[k] >= 0 && x[k] <= 1);
    }
    free(b);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boxes_follow_pixels),
        cmocka_unit_test(test_draws_vary),
        cmocka_unit_test(test_flip),
        cmocka_unit_test(test_boxes_come_back),
        cmocka_unit_test(test_letterbox_place),
        cmocka_unit_test(test_fit_is_the_hosts),
        cmocka_unit_test(test_place_is_the_hosts), cmocka_unit_test(test_place_is_exact),
        cmocka_unit_test(test_truth),
        cmocka_unit_test(test_truth_is_the_hosts),
        cmocka_unit_test(test_loading_is_the_hosts),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_everything_on_is_sane_and_reproducible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
