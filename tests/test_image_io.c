/* OpenCV behind its C face: round trips, hostile files and names, DNN against the host. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/data/image_io.h"

#include <sys/stat.h>
#include <unistd.h>

static char why[256];

static void expect_refused(const char *path, const char *reason)
{
    uint8_t *p = (uint8_t *)why;
    int w, h;
    why[0] = 0;
    assert_int_equal(image_decode(path, 3, &p, &w, &h, why, sizeof why), -1);
    assert_null(p);
    if (!strstr(why, reason)) fail_msg("\"%s\" does not say \"%s\"", why, reason);
}

static void test_png_round_trip(void **state)
{
    (void)state;
    for (int c = 1; c <= 3; c += 2) {
        uint8_t in[7 * 5 * 3], *out;
        for (size_t i = 0; i < sizeof in; ++i) in[i] = (uint8_t)(i * 37);
        char *path = check_path("round.png");
        int w, h;
        assert_int_equal(image_write(path, in, 7, 5, c), 0);
        assert_int_equal(image_decode(path, c, &out, &w, &h, why, sizeof why), 0);
        assert_int_equal(w, 7);
        assert_int_equal(h, 5);
        assert_memory_equal(in, out, 7 * 5 * (size_t)c);
        free(out);
        free(path);
    }
}

/* Red stays red: no BGR leaks out; grey is replicated, colour turned grey on demand. */
static void test_channels(void **state)
{
    (void)state;
    const uint8_t red[3] = { 200, 10, 60 }, grey[1] = { 99 };
    char *path = check_path("one.png");
    uint8_t *out;
    int w, h;
    assert_int_equal(image_write(path, red, 1, 1, 3), 0);
    assert_int_equal(image_decode(path, 3, &out, &w, &h, why, sizeof why), 0);
    assert_memory_equal(out, red, 3);
    free(out);
    assert_int_equal(image_decode(path, 1, &out, &w, &h, why, sizeof why), 0);
    assert_in_range(out[0], 72, 73);   /* .299 200 + .587 10 + .114 60 = 72.5 */
    free(out);
    assert_int_equal(image_write(path, grey, 1, 1, 1), 0);
    assert_int_equal(image_decode(path, 3, &out, &w, &h, why, sizeof why), 0);
    assert_true(out[0] == 99 && out[1] == 99 && out[2] == 99);
    free(out);
    assert_int_equal(image_decode(path, 2, &out, &w, &h, why, sizeof why), -1);
    free(path);
}

static void test_refuses_what_is_no_image(void **state)
{
    (void)state;
    char *path = check_path("text.jpg");
    check_write(path, "not a picture", 13);
    expect_refused(path, "not an image");
    check_write(path, "", 0);
    expect_refused(path, "not an image");
    expect_refused("/nowhere/at/all.png", "No such file");
    expect_refused(check_folder(), "not a regular file");
    char *fifo = check_path("fifo.png");
    assert_int_equal(mkfifo(fifo, 0600), 0);
    expect_refused(fifo, "not a regular file");
    char long_name[5000];
    memset(long_name, 'x', sizeof long_name);
    long_name[sizeof long_name - 1] = 0;
    expect_refused(long_name, "too long");
    free(path), free(fifo);
}

/* A few bytes that announce a huge picture are refused before it is decoded. */
static void test_refuses_bombs(void **state)
{
    (void)state;
    uint8_t png[33] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n', 0, 0, 0, 13, 'I', 'H', 'D', 'R', 0, 0, 0x75, 0x30, 0, 0, 0x75,
                        0x30, 8, 2 };
    uint8_t jpeg[] = { 0xff, 0xd8, 0xff, 0xe0, 0, 4, 0, 0, 0xff, 0xc0, 0, 17, 8, 0xff, 0xff, 0xff, 0xff, 3, 1, 0x11, 0, 2, 0x11, 0, 3,
                       0x11, 0 };
    char *path = check_path("bomb.png");
    check_write(path, png, sizeof png);
    expect_refused(path, "30000x30000 pixels, at most");
    check_write(path, jpeg, sizeof jpeg);
    expect_refused(path, "65535x65535 pixels, at most");
    free(path);
}

static void test_every_format_is_read(void **state)
{
    (void)state;
    static uint8_t in[40 * 30 * 3];
    for (size_t i = 0; i < sizeof in; ++i) in[i] = (uint8_t)(i / 90 * 8);
    static const char *const kinds[] = { "a.jpg", "a.png", "a.bmp", "a.ppm", "a.tiff", "a.webp" };
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k) {
        char *path = check_path(kinds[k]);
        uint8_t *out;
        int w, h;
        assert_int_equal(image_write(path, in, 30, 40, 3), 0);
        if (image_decode(path, 3, &out, &w, &h, why, sizeof why)) fail_msg("%s: %s", kinds[k], why);
        assert_true(w == 30 && h == 40);
        free(out), free(path);
    }
}

#define BYTES(s) s, sizeof s - 1
#define TIFF_ENTRY(tag, value) tag "\4\0\1\0\0\0" value

/* Each format's header with more pixels than are accepted, or than so few bytes can hold; and what has none. */
static void test_headers_are_checked(void **state)
{
    (void)state;
    static const struct { const char *bytes; size_t n; const char *reason; } rows[] = {
        { BYTES("P5 30000 30000 255\n"), "30000x30000 pixels, at most" },
        { BYTES("P6\n# 1 1\n1000 # wide\n1000\n255\n..."), "damaged: 1000x1000 pixels are more than 33 bytes can hold" },
        { BYTES("P4 99999999999999999999 1\n"), "pixels, at most" },
        { BYTES("P5 -3 4 255\n"), "not an image" }, { BYTES("P5"), "not an image" }, { BYTES("P7\nWIDTH 30000\n"), "not an image" },
        { BYTES("BM\0\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\0\0\1\0\0\0\xff\xff\1\0\1\0"), "65536x65536 pixels, at most" },
        { BYTES("BM\0\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\0\x20\0\0\0\0\0\x80\1\0\1\0"), "8192x2147483648 pixels, at most" },
        { BYTES("BM\0\0\0\0\0\0\0\0\66\0\0\0\14\0\0\0\xff\xff\xff\xff\1\0\1\0"), "65535x65535 pixels, at most" },
        { BYTES("BM\0\0\0\0\0\0\0\0\66\0\0\0\50\0\0\0\0\x20\0\0\0\x20\0\0\1\0\1\0"), "damaged: 8192x8192 pixels are more than 30 bytes" },
        { BYTES("\x89PNG\r\n\x1a\n\0\0\0\15IHDR\0\0\x20\0\0\0\x20\0\10\2\0\0\0"), "damaged: 8192x8192 pixels are more than 29 bytes" },
        { BYTES("\x89PNG\r\n\x1a\n\0\0\0\15IEND\0\0\x20\0\0\0\x20\0"), "not an image" },
        { BYTES("\xff\xd8\xff\xff\1\xff\xe0\0\4ab..\xff\0\xff\xc2\0\21\10\xff\xff\xff\xff\3"), "65535x65535 pixels, at most" },
        { BYTES("\xff\xd8\xff\xda\0\2\xff\xc0\0\21\10\0\1\0\1\3"), "not an image" }, { BYTES("\xff\xd8\xff\xe0\0\1"), "not an image" },
        { BYTES("II*\0\10\0\0\0\2\0" TIFF_ENTRY("\0\1", "\0\0\1\0") TIFF_ENTRY("\1\1", "\0\0\1\0")), "65536x65536 pixels, at most" },
        { BYTES("II*\0\10\0\0\0\4\0" TIFF_ENTRY("\0\1", "\2\0\0\0") TIFF_ENTRY("\1\1", "\2\0\0\0") TIFF_ENTRY("\x42\1", "\0\0\1\0")
                TIFF_ENTRY("\x43\1", "\0\0\1\0")), "65536x65536 pixels, at most" },
        { BYTES("MM\0*\xff\xff\xff\xff"), "not an image" }, { BYTES("II*\0\10\0\0\0\xff\xff"), "not an image" },
        { BYTES("RIFF....WEBPVP8 ....\0\0\0\x9d\1\x2a\xff\xff\xff\xff"), "16383x16383 pixels, at most" },
        { BYTES("RIFF....WEBPVP8L....\x2f\xff\xff\xff\xff"), "16384x16384 pixels, at most" },
        { BYTES("RIFF....WEBPVP8X............\xff\xff\xff\xff\xff\xff"), "pixels, at most" }, { BYTES("RIFF....WEBP"), "not an image" },
        { BYTES("#?RADIANCE\n-Y 30000 +X 30000\n"), "not an image (JPEG, PNG, BMP, PNM, TIFF or WebP), or damaged" },
    };
    char *path = check_path("header");
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        check_write(path, rows[i].bytes, rows[i].n);
        uint8_t *p;
        int w, h;
        why[0] = 0;
        int failed = image_decode(path, 3, &p, &w, &h, why, sizeof why);
        if (!failed || !strstr(why, rows[i].reason)) fail_msg("row %zu: \"%s\" does not say \"%s\"", i, why, rows[i].reason);
    }
    free(path);
}

static void test_truncated_images_do_not_crash(void **state)
{
    (void)state;
    static uint8_t noise[64 * 64 * 3];
    for (size_t i = 0; i < sizeof noise; ++i) noise[i] = (uint8_t)(i * i * 31);
    const char *kind[] = { "cut.png", "cut.jpg", "cut.bmp" };
    for (int k = 0; k < 3; ++k) {
        char *path = check_path(kind[k]);
        size_t len;
        assert_int_equal(image_write(path, noise, 64, 64, 3), 0);
        char *all = check_read(path, &len);
        for (size_t cut = 0; cut < len; cut += len / 23 + 1) {
            uint8_t *out;
            int w, h;
            check_write(path, all, cut);
            if (image_decode(path, 3, &out, &w, &h, why, sizeof why)) assert_null(out);
            else assert_true(w == 64 && h == 64);
            free(out);
        }
        free(all), free(path);
    }
}

/* The host hands names of unreadable images to a shell. */
static void test_names_run_nothing(void **state)
{
    (void)state;
    char *mark = check_path("touched"), *name = mem_printf("%s/a; touch %s; .png", check_folder(), mark);
    expect_refused(name, "No such file");
    char *plain = check_path("; touch touched;.png");
    check_write(plain, "no image", 8);
    expect_refused(plain, "not an image");
    assert_int_equal(access(mark, F_OK), -1);
    assert_int_equal(access("touched", F_OK), -1);
    free(mark), free(name), free(plain);
}

static void test_write_fails_cleanly(void **state)
{
    (void)state;
    const uint8_t x[4] = { 0 };
    assert_int_equal(image_write("/nowhere/x.png", x, 1, 1, 1), -1);
    char *path = check_path("x.unknown");
    assert_int_equal(image_write(path, x, 1, 1, 1), -1);
    assert_int_equal(image_write(path, x, 1, 1, 4), -1);
    assert_int_equal(image_write(path, x, 0, 1, 1), -1);
    free(path);
}

static const char net_text[] =
    "[net]\nbatch=1\nwidth=12\nheight=10\nchannels=3\n\n"
    "[convolutional]\nfilters=6\nsize=3\nstride=1\npad=1\nactivation=leaky\n\n"
    "[avgpool]\n\n[connected]\noutput=5\nactivation=linear\n\n[softmax]\ngroups=1\n";

/* The same cfg and weights, through the host and through OpenCV. */
static void test_dnn_agrees_with_the_host(void **state)
{
    (void)state;
    char *cfg = check_path("n.cfg"), *weights = check_path("n.weights");
    check_write(cfg, net_text, strlen(net_text));
    network *net = check_parse(net_text);
    check_fill(net->layers[0].weights, 6 * 27, 1);
    check_fill(net->layers[0].biases, 6, 2);
    check_fill(net->layers[2].weights, 30, 3);
    check_fill(net->layers[2].biases, 5, 4);
    save_weights(net, weights);
    float x[360], y[8], *host;
    dnn_net *dnn = dnn_read_darknet(cfg, weights, why, sizeof why);
    assert_non_null(dnn);
    for (uint64_t i = 0; i < 3; ++i) {
        check_fill(x, 360, 10 + i);
        host = network_predict(net, x);
        assert_int_equal(dnn_forward_layer(dnn, NULL, x, 3, 10, 12, y, 8, why, sizeof why), 5);
        check_close_n(y, host, 5, 1e-5, "dnn");
    }
    assert_int_equal(dnn_forward_layer(dnn, NULL, x, 3, 10, 12, y, 2, why, sizeof why), 2);
    dnn_free(dnn);
    host_free(net);
    free(cfg), free(weights);
}

static void test_dnn_refuses_with_a_reason(void **state)
{
    (void)state;
    char *cfg = check_path("bad.cfg");
    why[0] = 0;
    assert_null(dnn_read_darknet("/nowhere.cfg", "/nowhere.weights", why, sizeof why));
    assert_true(strlen(why) > 10);
    const char text[] = "[net]\nwidth=8\nheight=8\nchannels=3\n\n[projector]\nreduction=2\n";
    check_write(cfg, text, strlen(text));
    why[0] = 0;
    assert_null(dnn_read_darknet(cfg, cfg, why, sizeof why));
    assert_true(strlen(why) > 10 && !strchr(why, '\n'));
    free(cfg);
    dnn_free(NULL);
}

static void test_version(void **state)
{
    (void)state;
    assert_true(!strncmp(image_io_version(), "OpenCV 4.", 9));
}

static char *read_whole(const char *path, size_t *n)
{
    FILE *in = fopen(path, "rb");
    char *bytes = mem_calloc(1 << 20, 1);
    assert_non_null(in);
    *n = fread(bytes, 1, 1 << 20, in);
    fclose(in);
    return bytes;
}

static int decodes(const char *path)
{
    uint8_t *out;
    int w, h, failed = image_decode(path, 3, &out, &w, &h, why, sizeof why);
    free(out);
    return !failed;
}

/* A file that ends too early is no image, wherever it ends; what stands behind its end does not matter. */
static void test_cut_short(void **state)
{
    (void)state;
    static const struct { const char *name; int header; } kinds[] = {
        { "cut.jpg", 1 }, { "cut.png", 1 }, { "cut.webp", 1 }, { "cut.bmp", 0 }, { "cut.ppm", 0 } };   /* header: told without decoding */
    enum { W = 40, H = 30 };
    uint8_t in[W * H * 3];
    for (size_t i = 0; i < sizeof in; ++i) in[i] = (uint8_t)(i * i / 7 + i / 120 * 11);
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; ++k) {
        char *path = check_path(kinds[k].name);
        image_size size;
        size_t n;
        assert_int_equal(image_write(path, in, W, H, 3), 0);
        char *bytes = read_whole(path, &n);
        assert_true(decodes(path) && !image_file_size(path, &size) && size.w == W && size.h == H);
        for (size_t kept = 0; kept < n; kept += kept < 40 || kept + 40 > n ? 1 : 53) {
            check_write(path, bytes, kept);
            if (decodes(path)) fail_msg("%s: %zu of %zu bytes", kinds[k].name, kept, n);
            if (kinds[k].header) assert_int_equal(image_file_size(path, &size), -1);
        }
        check_write(path, bytes, n + 100);   /* zeros behind it */
        assert_true(decodes(path) && !image_file_size(path, &size));
        memset(bytes + n, 'x', 5000);
        check_write(path, bytes, n + 5000);
        assert_true(decodes(path) && !image_file_size(path, &size));
        free(bytes);
        free(path);
    }
}

/* More bytes than any such image has: they are not read. */
static void test_far_too_long(void **state)
{
    (void)state;
    char *path = check_path("long.ppm");
    uint8_t in[3] = { 1, 2, 3 };
    assert_int_equal(image_write(path, in, 1, 1, 3), 0);
    assert_int_equal(truncate(path, 1 << 27), 0);
    expect_refused(path, "damaged: 134217728 bytes are more than 1x1 pixels need");
    free(path);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cut_short),
        cmocka_unit_test(test_far_too_long),
        cmocka_unit_test(test_png_round_trip),
        cmocka_unit_test(test_channels),
        cmocka_unit_test(test_refuses_what_is_no_image),
        cmocka_unit_test(test_refuses_bombs), cmocka_unit_test(test_every_format_is_read), cmocka_unit_test(test_headers_are_checked),
        cmocka_unit_test(test_truncated_images_do_not_crash),
        cmocka_unit_test(test_names_run_nothing),
        cmocka_unit_test(test_write_fails_cleanly),
        cmocka_unit_test(test_dnn_agrees_with_the_host),
        cmocka_unit_test(test_dnn_refuses_with_a_reason),
        cmocka_unit_test(test_version),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
