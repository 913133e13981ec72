/* Augmentation against the host's own image functions, and its random choices. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/data/augment.h"
#include "darknet_plugin/data/augment_internal.h"

/* Exported by the host's library, not declared in its header. */
image center_crop_image(image im, int w, int h);
image rotate_crop_image(image im, float rad, float s, int w, int h, float dx, float dy, float aspect);
void distort_image(image im, float hue, float sat, float val);
void flip_image(image a);

static uint8_t *noise(int w, int h, int c, uint64_t stream)
{
    size_t n = (size_t)w * (size_t)h * (size_t)c;
    uint8_t *b = mem_calloc(n, 1);
    rng r = rng_make(stream, 1, 0, RNG_TEST);
    for (size_t i = 0; i < n; ++i) b[i] = (uint8_t)rng_below(&r, 256);
    return b;
}

static pixel_view view_of(const uint8_t *b, int w, int h, int c)
{
    return (pixel_view){ .u8 = b, .full_w = w, .full_h = h, .c = c, .w = w, .h = h };
}

static augment_spec off(int size)
{
    return (augment_spec){ .min_crop = size, .max_crop = size, .aspect = 1, .saturation = 1, .exposure = 1 };
}

static const int sizes[][5] = {   /* w, h -> net w, h; channels */
    { 28, 28, 28, 28, 1 }, { 32, 32, 32, 32, 3 }, { 40, 30, 32, 32, 3 }, { 30, 41, 32, 32, 3 }, { 17, 90, 24, 16, 3 },
    { 200, 150, 64, 64, 3 }, { 5, 7, 33, 29, 1 }, { 1, 9, 8, 8, 3 }, { 9, 1, 8, 8, 3 },
};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Every byte becomes the float that the host makes of it, bit for bit. */
static void test_bytes_become_the_hosts_floats(void **state)
{
    (void)state;
    uint8_t b[256];
    for (int i = 0; i < 256; ++i) b[i] = (uint8_t)i;
    image im = check_host_image(b, 16, 16, 1);
    float x[256];
    augment_spec a = off(16);
    rng r = rng_make(1, 2, 3, RNG_AUGMENT);
    augment_image(b, 16, 16, 1, &a, &r, x, 16, 16);
    assert_memory_equal(x, im.data, sizeof x);
    augment_centre(b, 16, 16, 1, x, 16, 16);
    assert_memory_equal(x, im.data, sizeof x);
    augment_letterbox(b, 16, 16, 1, x, 16, 16);
    assert_memory_equal(x, im.data, sizeof x);
    free_image(im);
}

static void compare_still(const int *s, const char *what)
{
    int w = s[0], h = s[1], nw = s[2], nh = s[3], c = s[4];
    size_t n = (size_t)nw * (size_t)nh * (size_t)c;
    uint8_t *b = noise(w, h, c, 3);
    float *x = mem_calloc(n, sizeof *x);
    image im = check_host_image(b, w, h, c);
    image host;
    switch (what[0]) {
    case 'c': host = center_crop_image(im, nw, nh), augment_centre(b, w, h, c, x, nw, nh); break;
    case 'l': host = letterbox_image(im, nw, nh), augment_letterbox(b, w, h, c, x, nw, nh); break;
    default: host = resize_image(im, nw, nh), augment_resize(im.data, c, h, w, x, nh, nw);
    }
    check_close_n(x, host.data, n, 5e-6, what);   /* the host's -Ofast places a source point an ulp elsewhere */
    free_image(im), free_image(host), free(b), free(x);
}

static void test_centre_is_the_hosts(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; ++i) compare_still(sizes[i], "centre");
}

static void test_letterbox_is_the_hosts(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES - 2; ++i) compare_still(sizes[i], "letterbox");   /* a line fits in no whole column there */
}

static void test_resize_is_the_hosts(void **state)
{
    (void)state;
    for (int i = 0; i < SIZES; ++i) compare_still(sizes[i], "resize");
}

/* Constant images stay constant whatever the sizes: no black last row, no drift. */
static void test_resize_keeps_constants(void **state)
{
    (void)state;
    float in[61 * 3], out[61 * 61];
    for (int i = 0; i < 61 * 3; ++i) in[i] = .75f;
    for (int h = 1; h <= 61; ++h)
        for (int to = 1; to <= 61; ++to) {
            augment_resize(in, 1, h, 3, out, to, 2);
            for (int i = 0; i < 2 * to; ++i) check_close(out[i], .75, 1e-6, "constant", (size_t)i);
        }
}

/* A letterboxed line keeps one row or column and grey elsewhere. */
static void test_letterbox_of_a_line(void **state)
{
    (void)state;
    uint8_t b[400];
    memset(b, 255, sizeof b);
    float x[64];
    augment_letterbox(b, 400, 1, 1, x, 8, 8);
    int white = 0, grey = 0;
    for (int i = 0; i < 64; ++i) white += x[i] == 1, grey += x[i] == .5f;
    assert_int_equal(white, 8);
    assert_int_equal(grey, 56);
}

/* Random turns, scales and shifts. The host works out the source point with -Ofast: where the point falls right on a
 * pixel's border that may choose the other side, so the image is smooth. */
static void test_rotate_crop_is_the_hosts(void **state)
{
    (void)state;
    enum { W = 37, H = 29, NW = 32, NH = 24 };
    uint8_t b[W * H * 3];
    for (int i = 0; i < W * H; ++i)
        for (int k = 0; k < 3; ++k) b[3 * i + k] = (uint8_t)((i % W) * 3 + (i / W) * (k + 2));
    image im = check_host_image(b, W, H, 3);
    float x[NW * NH * 3];
    rng r = rng_make(4, 0, 0, RNG_TEST);
    for (int trial = 0; trial < 50; ++trial) {
        float v[5];   /* rounded as the host's arguments are */
        const double low[5] = { -.5, .8, -9, -9, .8 }, high[5] = { .5, 2, 9, 9, 1.25 };
        for (int i = 0; i < 5; ++i) v[i] = (float)rng_uniform(&r, low[i], high[i]);
        crop_geometry g = { .rad = v[0], .scale = v[1], .dx = v[2], .dy = v[3], .aspect = v[4] };
        image host = rotate_crop_image(im, v[0], v[1], NW, NH, v[2], v[3], v[4]);
        pixel_view view = view_of(b, W, H, 3);
        augment_rotate_crop(&view, &g, x, NW, NH);
        check_close_n(x, host.data, NW * NH * 3, 5e-6, "rotate_crop");
        free_image(host);
    }
    free_image(im);
}

/* Bytes have a fast way of their own, floats the formula: not a bit may differ. */
static void test_rotate_crop_of_bytes_is_exact(void **state)
{
    (void)state;
    enum { W = 37, H = 29, NW = 32, NH = 24, N = W * H };
    uint8_t *b = noise(W, H, 3, 6);
    static float f[3 * N], x[NW * NH * 3], want[NW * NH * 3];
    for (int i = 0; i < 3 * N; ++i) f[i % 3 * N + i / 3] = augment_unit(b[i]);
    pixel_view bytes = view_of(b, W, H, 3), floats = { .f = f, .full_w = W, .full_h = H, .c = 3 };
    rng r = rng_make(7, 0, 0, RNG_TEST);
    for (int trial = 0; trial < 100; ++trial) {
        bytes.x0 = floats.x0 = trial % 5, bytes.y0 = floats.y0 = trial % 3;
        bytes.w = floats.w = W - 6 - trial % 4, bytes.h = floats.h = H - 4;
        crop_geometry g = { rng_uniform(&r, -.5, .5), rng_uniform(&r, .6, 2), rng_uniform(&r, -9, 9), rng_uniform(&r, -9, 9), rng_uniform(&r, .8, 1.2) };
        augment_rotate_crop(&bytes, &g, x, NW, NH);
        augment_rotate_crop(&floats, &g, want, NW, NH);
        assert_memory_equal(x, want, sizeof x);
    }
    free(b);
}

static void test_distort_is_the_hosts(void **state)
{
    (void)state;
    uint8_t *b = noise(16, 16, 3, 5);
    for (int k = 0; k < 9; ++k) b[k] = (uint8_t)(k < 3 ? 0 : k < 6 ? 255 : 77);   /* black, white, grey */
    const float v[][3] = { { 0, 1, 1 }, { .1f, 1.5f, 1.5f }, { -.1f, .6f, .7f }, { .45f, 1, 2 }, { -.4f, 3, .2f } };
    for (size_t i = 0; i < sizeof v / sizeof *v; ++i) {
        image im = check_host_image(b, 16, 16, 3);
        float x[768];
        memcpy(x, im.data, sizeof x);
        distort_image(im, v[i][0], v[i][1], v[i][2]);
        augment_distort(x, 256, v[i][0], v[i][1], v[i][2]);
        check_close_n(x, im.data, 768, 5e-6, "distort");
        free_image(im);
    }
    free(b);
}

/* Turned by half the circle cyan is red; the host makes magenta of a hue of exactly 1. */
static void test_hue_of_one_is_red(void **state)
{
    (void)state;
    float x[3] = { 0, 1, 1 };
    augment_distort(x, 1, .5f, 1, 1);
    assert_true(x[0] == 1 && x[1] == 0 && x[2] == 0);
}

static void test_flip_is_the_hosts(void **state)
{
    (void)state;
    for (int w = 7; w <= 8; ++w) {
        float x[3 * 5 * 8];
        check_fill(x, 3 * 5 * 8, 6);
        image im = make_image(w, 5, 3);
        memcpy(im.data, x, 15 * (size_t)w * sizeof *x);
        flip_image(im);
        augment_flip(x, 3, 5, w);
        assert_memory_equal(x, im.data, 15 * (size_t)w * sizeof *x);
        free_image(im);
    }
}

/* flip=1 gives the image or its mirror, about half and half, and nothing else. */
static void test_flip_mirrors_half(void **state)
{
    (void)state;
    uint8_t *b = noise(9, 6, 3, 7);
    float plain[162], mirrored[162], x[162];
    augment_centre(b, 9, 6, 3, plain, 9, 6);
    augment_spec a = off(9);
    rng r = rng_make(1, 2, 3, RNG_AUGMENT);
    augment_image(b, 9, 6, 3, &a, &r, plain, 9, 6);
    memcpy(mirrored, plain, sizeof plain);
    augment_flip(mirrored, 3, 6, 9);
    a.flip = 1;
    int count = 0;
    for (uint64_t i = 0; i < 1000; ++i) {
        r = rng_make(1, 0, i, RNG_AUGMENT);
        augment_image(b, 9, 6, 3, &a, &r, x, 9, 6);
        int is = !memcmp(x, mirrored, sizeof x);
        if (!is) assert_memory_equal(x, plain, sizeof x);
        count += is;
    }
    assert_in_range(count, 430, 570);
    free(b);
}

/* pad=2: each of the 25 offsets occurs about equally often, with zeros where nothing came. */
static void test_pad_shifts_evenly(void **state)
{
    (void)state;
    uint8_t *b = noise(8, 8, 1, 8);
    float plain[64], moved[64], x[64];
    augment_centre(b, 8, 8, 1, plain, 8, 8);
    augment_spec a = off(8);
    a.pad = 2;
    int seen[5][5] = { { 0 } };
    for (uint64_t i = 0; i < 2500; ++i) {
        rng r = rng_make(1, 0, i, RNG_AUGMENT);
        augment_image(b, 8, 8, 1, &a, &r, x, 8, 8);
        int found = 0;
        for (int dy = -2; dy <= 2; ++dy)
            for (int dx = -2; dx <= 2; ++dx) {
                augment_shift(plain, moved, 1, 8, 8, dx, dy);
                if (memcmp(x, moved, sizeof x)) continue;
                ++found, ++seen[dy + 2][dx + 2];
            }
        assert_int_equal(found, 1);
    }
    for (int i = 0; i < 25; ++i) assert_in_range(seen[i / 5][i % 5], 60, 140);
    free(b);
}

/* A shift moves what it says: out(y, x) = in(y + dy, x + dx). */
static void test_shift(void **state)
{
    (void)state;
    const float in[6] = { 1, 2, 3, 4, 5, 6 }, right[6] = { 2, 3, 0, 5, 6, 0 }, down_left[6] = { 0, 4, 5, 0, 0, 0 };
    float out[6];
    augment_shift(in, out, 1, 2, 3, 1, 0);
    assert_memory_equal(out, right, sizeof out);
    augment_shift(in, out, 1, 2, 3, -1, 1);
    assert_memory_equal(out, down_left, sizeof out);
    augment_shift(in, out, 1, 2, 3, 5, 0);
    for (int i = 0; i < 6; ++i) assert_true(out[i] == 0);
}

/* The host's range of scales: an image of one bright square on black keeps its share of the area within it. */
static void test_random_crop_scales_in_range(void **state)
{
    (void)state;
    uint8_t b[64 * 64];
    memset(b, 255, sizeof b);
    augment_spec a = off(32);
    a.min_crop = 32;
    a.max_crop = 64;
    float x[32 * 32];
    for (uint64_t i = 0; i < 200; ++i) {
        rng r = rng_make(2, 0, i, RNG_AUGMENT);
        augment_image(b, 64, 64, 1, &a, &r, x, 32, 32);
        for (int y = 1; y < 31; ++y)
            for (int k = 1; k < 31; ++k) check_close(x[32 * y + k], 1, 1e-5, "inside", i);   /* never beyond the image */
    }
    a.min_crop = a.max_crop = 16;   /* half the net's size: zeros all around */
    rng r = rng_make(2, 1, 0, RNG_AUGMENT);
    augment_image(b, 64, 64, 1, &a, &r, x, 32, 32);
    double sum = 0;
    for (int i = 0; i < 32 * 32; ++i) sum += x[i];
    assert_in_range((int)sum, 200, 300);
}

static void test_everything_on_is_sane_and_reproducible(void **state)
{
    (void)state;
    uint8_t *b = noise(50, 40, 3, 9);
    augment_spec a = { .pad = 3, .flip = 1, .min_crop = 28, .max_crop = 60, .angle = 15, .aspect = 1.3f, .hue = .1f,
                       .saturation = 1.5f, .exposure = 1.5f, .any = 1 };
    float x[32 * 32 * 3], y[32 * 32 * 3];
    for (uint64_t i = 0; i < 50; ++i) {
        rng r = rng_make(3, 0, i, RNG_AUGMENT), q = r;
        augment_image(b, 50, 40, 3, &a, &r, x, 32, 32);
        augment_image(b, 50, 40, 3, &a, &q, y, 32, 32);
        assert_memory_equal(x, y, sizeof x);
        for (int k = 0; k < 32 * 32 * 3; ++k) assert_true(x[k] >= 0 && x[k] <= 1);
    }
    augment_spec broken = { .min_crop = 0, .max_crop = 0, .aspect = 0, .angle = 1e30f };   /* nonsense in, numbers out */
    rng r = rng_make(3, 1, 0, RNG_AUGMENT);
    augment_image(b, 50, 40, 3, &broken, &r, x, 32, 32);
    for (int k = 0; k < 32 * 32 * 3; ++k) assert_true(x[k] >= 0 && x[k] <= 1);
    free(b);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bytes_become_the_hosts_floats),
        cmocka_unit_test(test_centre_is_the_hosts),
        cmocka_unit_test(test_letterbox_is_the_hosts),
        cmocka_unit_test(test_resize_is_the_hosts),
        cmocka_unit_test(test_resize_keeps_constants),
        cmocka_unit_test(test_letterbox_of_a_line),
        cmocka_unit_test(test_rotate_crop_is_the_hosts),
        cmocka_unit_test(test_rotate_crop_of_bytes_is_exact),
        cmocka_unit_test(test_distort_is_the_hosts),
        cmocka_unit_test(test_hue_of_one_is_red),
        cmocka_unit_test(test_flip_is_the_hosts),
        cmocka_unit_test(test_flip_mirrors_half),
        cmocka_unit_test(test_pad_shifts_evenly),
        cmocka_unit_test(test_shift),
        cmocka_unit_test(test_random_crop_scales_in_range),
        cmocka_unit_test(test_everything_on_is_sane_and_reproducible),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
