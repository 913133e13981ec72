/* JPEG, decoded by libjpeg alone: the bytes that OpenCV makes of it, to the last bit, whatever stands in the file. */
#include "check.h"

#include "darknet_plugin/data/image_io.h"

enum { W = 75, H = 51, ROOM = 1 << 16, EXIF = 32 };

/* A JPEG of noise and slopes, in `out`, with room behind it; how many bytes. */
static size_t make_jpeg(uint8_t *out, int channels)
{
    static uint8_t in[W * H * 3];
    rng r = rng_make(1, 0, 0, RNG_TEST);
    for (int i = 0; i < W * H * channels; ++i) in[i] = (uint8_t)(i / 60 + (int)rng_below(&r, 40));
    char *path = mem_printf("%s/made.jpg", check_folder());
    assert_int_equal(image_write(path, in, W, H, channels), 0);
    FILE *f = fopen(path, "rb");
    size_t n = fread(out, 1, ROOM, f);
    assert_true(n > 500 && n < ROOM - EXIF - 2);
    fclose(f);
    free(path);
    return n;
}

/* A tag of Exif, the orientation, in one of the byte orders, put behind the file's first marker: how many bytes then. */
static size_t add_exif(uint8_t *jpeg, size_t n, int orientation, int big)
{
    uint8_t exif[EXIF + 6] = { 0xff, 0xe1, 0, EXIF + 2, 'E', 'x', 'i', 'f', 0, 0 };
    const uint8_t m[] = { 'M', 'M', 0, 42, 0, 0, 0, 8, 0, 1, 0x01, 0x12, 0, 3, 0, 0, 0, 1, 0, (uint8_t)orientation };
    const uint8_t i[] = { 'I', 'I', 42, 0, 8, 0, 0, 0, 1, 0, 0x12, 0x01, 3, 0, 1, 0, 0, 0, (uint8_t)orientation, 0 };
    memcpy(exif + 10, big ? m : i, sizeof m);
    memmove(jpeg + 2 + EXIF + 4, jpeg + 2, n - 2);
    memcpy(jpeg + 2, exif, EXIF + 4);
    return n + EXIF + 4;
}

/* Both ways agree: refused by both, or the same picture. Its width, or 0. */
static int check_alike(const uint8_t *bytes, size_t n, int channels, const char *what)
{
    static uint8_t padded[ROOM + IMAGE_PADDING];
    memcpy(padded, bytes, n);
    padded[n] = 0xff, padded[n + 1] = 0xd9;
    image_file file = { .byte = padded, .n = n, .size = { .w = W, .h = H } };
    uint8_t *one = NULL, *other = NULL;
    int w = 0, h = 0, other_w = 0, other_h = 0;
    char why[256] = "";
    int failed = image_decode_file(&file, channels, &one, &w, &h, why, sizeof why);
    int other_failed = image_decode_opencv(&file, channels, &other, &other_w, &other_h, why, sizeof why);
    if (!failed != !other_failed || (!failed && (w != other_w || h != other_h)))
        fail_msg("%s: %d, %dx%d, not %d, %dx%d", what, failed, w, h, other_failed, other_w, other_h);
    if (!failed && memcmp(one, other, (size_t)w * (size_t)h * (size_t)channels)) fail_msg("%s: other pixels", what);
    free(one), free(other);
    return failed ? 0 : w;
}

static void test_same_pixels(void **state)
{
    (void)state;
    static uint8_t jpeg[ROOM];
    for (int made = 1; made <= 3; made += 2)
        for (int wanted = 1; wanted <= 3; wanted += 2)
            assert_int_equal(check_alike(jpeg, make_jpeg(jpeg, made), wanted, "as written"), W);
}

/* Exif turns pictures for OpenCV, which is asked then; one that stands upright does not need it. */
static void test_turned(void **state)
{
    (void)state;
    static uint8_t jpeg[ROOM];
    for (int big = 0; big < 2; ++big)
        for (int orientation = 1; orientation <= 8; ++orientation) {
            size_t n = add_exif(jpeg, make_jpeg(jpeg, 3), orientation, big);
            assert_int_equal(check_alike(jpeg, n, 3, "turned"), orientation < 5 ? W : H);
        }
}

/* Bytes changed anywhere, and ends cut off. */
static void test_damaged(void **state)
{
    (void)state;
    static uint8_t whole[ROOM], jpeg[ROOM];
    size_t n = add_exif(whole, make_jpeg(whole, 3), 1, 1);
    rng r = rng_make(2, 0, 0, RNG_TEST);
    for (int trial = 0; trial < 1000; ++trial) {
        memcpy(jpeg, whole, n);
        for (int i = 0; i <= trial % 4; ++i) jpeg[2 + rng_below(&r, trial % 2 ? n - 2 : 700)] = (uint8_t)rng_below(&r, 256);
        size_t kept = trial % 5 ? n : n / 2 + rng_below(&r, n / 2);
        char name[40];
        snprintf(name, sizeof name, "trial %d", trial);
        check_alike(jpeg, kept, trial % 3 ? 3 : 1, name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_same_pixels), cmocka_unit_test(test_turned), cmocka_unit_test(test_damaged) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
