/* Images of 16 bits, and PNM files of any largest number, beside their twins of 8 bits; what is refused; orientation by EXIF. */
#include "check_data.h"

#include "darknet_plugin/data/image_io.h"

#include <zlib.h>

enum { W = 8, H = 4, N = W * H };

static uint16_t deep(int i) { return (uint16_t)(i * 2114 % 65536); }
static uint8_t nearest(uint16_t v) { return (uint8_t)((v + 128) / 257); }

static void put32(uint8_t *to, uint32_t v) { to[0] = (uint8_t)(v >> 24), to[1] = (uint8_t)(v >> 16), to[2] = (uint8_t)(v >> 8), to[3] = (uint8_t)v; }

static size_t chunk(uint8_t *to, const char *name, const uint8_t *data, size_t n)
{
    put32(to, (uint32_t)n);
    memcpy(to + 4, name, 4);
    if (n) memcpy(to + 8, data, n);
    put32(to + 8 + n, (uint32_t)crc32(0, to + 4, (uInt)n + 4));
    return n + 12;
}

/* 16 bits, so many samples a pixel: the first is deep(i), the second its opposite, the others 0. */
static void put_png(const char *name, int samples, int colour)
{
    uint8_t row[H * (1 + W * 8)], packed[2048], file[4096] = "\x89PNG\r\n\x1a\n", head[13] = { 0 }, *p = row;
    for (int i = 0; i < N; ++i) {
        if (i % W == 0) *p++ = 0;
        for (int k = 0; k < samples; ++k) {
            uint16_t v = deep(i);
            if (k == 1) v = (uint16_t)(65535 - v);
            if (k > 1) v = 0;
            *p++ = (uint8_t)(v >> 8);
            *p++ = (uint8_t)v;
        }
    }
    uLongf n = sizeof packed;
    assert_int_equal(compress(packed, &n, row, (uLong)(p - row)), Z_OK);
    put32(head, W), put32(head + 4, H);
    head[8] = 16, head[9] = (uint8_t)colour;
    size_t at = 8;
    at += chunk(file + at, "IHDR", head, 13);
    at += chunk(file + at, "IDAT", packed, n);
    at += chunk(file + at, "IEND", NULL, 0);
    data_put(name, file, at);
}

/* One grey sample of so many bits and that format (1: unsigned, 2: signed, 3: float) a pixel, little-endian. */
static void put_tiff(const char *name, int bits, int format, const void *pixels)
{
    uint32_t bytes = N * (uint32_t)bits / 8;
    const uint32_t entry[][2] = { { 256, W }, { 257, H }, { 258, (uint32_t)bits }, { 259, 1 }, { 262, 1 }, { 273, 8 }, { 277, 1 },
                                  { 278, H }, { 279, bytes }, { 339, (uint32_t)format } };
    uint8_t file[1024] = "II*", *p = file + 8 + bytes;
    uint32_t offset = 8 + bytes, one = 1;
    uint16_t n = 10, kind = 4;
    memcpy(file + 4, &offset, 4);
    memcpy(file + 8, pixels, bytes);
    memcpy(p, &n, 2), p += 2;
    for (int i = 0; i < 10; ++i, p += 12) {
        uint16_t tag = (uint16_t)entry[i][0];
        kind = entry[i][0] == 258 || entry[i][0] == 259 || entry[i][0] == 262 || entry[i][0] == 277 || entry[i][0] == 339 ? 3 : 4;
        memcpy(p, &tag, 2), memcpy(p + 2, &kind, 2), memcpy(p + 4, &one, 4), memcpy(p + 8, &entry[i][1], 4);
    }
    data_put(name, file, (size_t)(p + 4 - file));
}

static uint8_t *decode(const char *name, int channels, int want_w, int want_h)
{
    char *path = check_path(name), why[300] = "";
    uint8_t *pixels = NULL;
    int w = 0, h = 0;
    if (image_decode(path, channels, &pixels, &w, &h, why, sizeof why)) fail_msg("%s: %s", name, why);
    assert_true(w == want_w && h == want_h);
    free(path);
    return pixels;
}

/* The file's first channel is the nearest 8 bits to deep(), in grey and, where it is grey, in colour. */
static void check_grey(const char *name)
{
    for (int channels = 1; channels <= 3; channels += 2) {
        uint8_t *p = decode(name, channels, W, H);
        for (int i = 0; i < N * channels; ++i) assert_int_equal(p[i], nearest(deep(i / channels)));
        free(p);
    }
}

static void test_sixteen_bits(void **state)
{
    (void)state;
    uint16_t grey[N];
    uint8_t pgm[64 + 2 * N], twin[N];
    int differ = 0;
    for (int i = 0; i < N; ++i) grey[i] = deep(i), twin[i] = nearest(deep(i)), differ += (deep(i) >> 8) != twin[i];
    assert_true(differ > 3);    /* from the upper 8 bits: else this would not say much */
    int n = sprintf((char *)pgm, "P5 %d %d # c\n65535\n", W, H);
    for (int i = 0; i < N; ++i) pgm[n++] = (uint8_t)(deep(i) >> 8), pgm[n++] = (uint8_t)deep(i);
    data_put("grey.pgm", pgm, (size_t)n);
    put_png("grey.png", 1, 0);
    put_png("alpha.png", 2, 4);
    put_tiff("grey.tif", 16, 1, grey);
    put_tiff("eight.tif", 8, 1, twin);
    check_grey("grey.pgm");
    check_grey("grey.png");
    check_grey("alpha.png");
    check_grey("grey.tif");
    check_grey("eight.tif");
    /* Colour, with alpha and without */
    put_png("rgb.png", 3, 2);
    put_png("rgba.png", 4, 6);
    for (int k = 0; k < 2; ++k) {
        uint8_t *p = decode(k ? "rgba.png" : "rgb.png", 3, W, H);
        for (int i = 0; i < N; ++i) {
            assert_int_equal(p[3 * i], nearest(deep(i)));
            assert_int_equal(p[3 * i + 1], nearest((uint16_t)(65535 - deep(i))));
            assert_int_equal(p[3 * i + 2], 0);
        }
        free(p);
    }
}

/* The largest number of a PNM file is white. */
static void test_pnm(void **state)
{
    (void)state;
    static const uint8_t ten[] = "P5 4 1 1023\n\x00\x00\x01\x00\x03\xff\x02\x00", four[] = "P5\n4 1\n15\n\x00\x01\x0f\x08";
    static const int tenth[] = { 0, 64, 255, 128 }, fourth[] = { 0, 17, 255, 136 };
    data_put("ten.pgm", ten, sizeof ten - 1);
    data_put("four.pgm", four, sizeof four - 1);
    uint8_t *p = decode("ten.pgm", 1, 4, 1), *q = decode("four.pgm", 1, 4, 1);
    for (int i = 0; i < 4; ++i) {
        assert_int_equal(p[i], tenth[i]);
        assert_int_equal(q[i], fourth[i]);
    }
    free(p);
    free(q);
    data_put_text("text.ppm", "P3\n# a\n2 1 # b\n7\n7 0 3  1 2 7\n");
    p = decode("text.ppm", 3, 2, 1);
    static const int text[] = { 255, 0, 109, 36, 73, 255 };
    for (int i = 0; i < 6; ++i) assert_in_range(p[i] + 1, text[i], text[i] + 2);    /* OpenCV's own scale rounds down */
    free(p);
}

static void test_refused(void **state)
{
    (void)state;
    float real[N] = { .5f };
    int16_t with_sign[N] = { -3 };
    put_tiff("real.tif", 32, 3, real);
    put_tiff("sign.tif", 16, 2, with_sign);
    static const char *const names[] = { "real.tif", "sign.tif" };
    for (int i = 0; i < 4; ++i) {
        char *path = check_path(names[i / 2]), why[300] = "";
        uint8_t *pixels = NULL;
        int w, h;
        assert_int_equal(image_decode(path, i % 2 ? 3 : 1, &pixels, &w, &h, why, sizeof why), -1);
        if (!strstr(why, "floats or have a sign")) fail_msg("%s", why);
        assert_null(pixels);
        free(path);
    }
    data_put_text("a.hdr", "#?RADIANCE\nFORMAT=32-bit_rle_rgbe\n\n-Y 1 +X 1\nabcd");
    char *path = check_path("a.hdr"), why[300] = "";
    uint8_t *pixels = NULL;
    int w, h;
    assert_int_equal(image_decode(path, 3, &pixels, &w, &h, why, sizeof why), -1);
    assert_non_null(strstr(why, "not an image (JPEG, PNG, BMP, PNM, TIFF or WebP)"));
    free(path);
}

/* A JPEG of 16 x 8, left half black, with "rotate by 90 degrees" in EXIF: 8 x 16, black above. */
static void test_orientation(void **state)
{
    (void)state;
    static const uint8_t exif[] = "\xff\xe1\x00\x22" "Exif\0\0" "II*\0\x08\0\0\0" "\x01\0" "\x12\x01\x03\0\x01\0\0\0\x06\0\0\0" "\0\0\0\0";
    uint8_t pixels[16 * 8], file[4096];
    for (int i = 0; i < 16 * 8; ++i) pixels[i] = i % 16 < 8 ? 0 : 255;
    char *path = check_path("turn.jpg");
    assert_int_equal(image_write(path, pixels, 16, 8, 1), 0);
    FILE *f = fopen(path, "rb");
    size_t n = fread(file, 1, sizeof file - sizeof exif, f);
    fclose(f);
    memmove(file + 2 + sizeof exif - 1, file + 2, n - 2);
    memcpy(file + 2, exif, sizeof exif - 1);
    data_put("turn.jpg", file, n + sizeof exif - 1);
    uint8_t *p = decode("turn.jpg", 1, 8, 16);
    assert_true(p[0] < 20 && p[7] < 20 && p[8 * 15] > 235 && p[8 * 15 + 7] > 235);
    free(p);
    image_size size;
    assert_int_equal(image_file_size(path, &size), 0);
    assert_true(size.w == 8 && size.h == 16);    /* the header's size is that of what is decoded */
    free(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sixteen_bits),
        cmocka_unit_test(test_pnm),
        cmocka_unit_test(test_refused),
        cmocka_unit_test(test_orientation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
