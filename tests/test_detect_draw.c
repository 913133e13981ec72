/* Boxes and labels in pictures, two pictures side by side, videos out and in again. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/verbs/detect_draw.h"
#include "darknet_plugin/data/image_io.h"

#include <sys/stat.h>
#include <unistd.h>

enum { W = 200, H = 120 };

static const uint8_t red[3] = { 250, 20, 30 };
static char why[256];

/* A grey ramp, so that every pixel's neighbourhood is known. */
static uint8_t *blank(int w, int h)
{
    uint8_t *p = mem_calloc((size_t)w * (size_t)h, 3);
    for (size_t i = 0; i < (size_t)w * (size_t)h * 3; ++i) p[i] = (uint8_t)(100 + i / 3 % (size_t)w % 50);
    return p;
}

static const uint8_t *at(const uint8_t *p, int w, int x, int y)
{
    return p + ((size_t)y * (size_t)w + (size_t)x) * 3;
}

static int is_colour(const uint8_t *p, const uint8_t *c) { return !memcmp(p, c, 3); }

/* How many pixels of a WxH picture differ from the blank one, within and without [x0, x1) x [y0, y1). */
static void count_changed(const uint8_t *p, int x0, int y0, int x1, int y1, int *inside, int *outside)
{
    uint8_t *b = blank(W, H);
    *inside = *outside = 0;
    for (int y = 0; y < H; ++y)
        for (int x = 0; x < W; ++x) {
            int changed = !is_colour(at(p, W, x, y), at(b, W, x, y));
            *(x >= x0 && x < x1 && y >= y0 && y < y1 ? inside : outside) += changed;
        }
    free(b);
}

/* Frame of one pixel all around, nothing within it, nothing outside. */
static void test_frame(void **state)
{
    (void)state;
    uint8_t *p = blank(W, H);
    int inside, outside;
    assert_int_equal(image_draw_box(p, W, H, (image_box){ 50, 40, 150, 100 }, red, NULL), 0);
    count_changed(p, 50, 40, 150, 100, &inside, &outside);
    assert_int_equal(outside, 0);
    assert_int_equal(inside, 2 * 100 + 2 * 60 - 4);
    assert_true(is_colour(at(p, W, 50, 40), red) && is_colour(at(p, W, 149, 99), red) && !is_colour(at(p, W, 51, 41), red));
    free(p);
}

/* Colours of the ground and of the letters, in the rectangle. */
static void look_for_label(const uint8_t *p, int x0, int y0, int x1, int y1, const uint8_t *ground, int *grounds, int *letters)
{
    *grounds = *letters = 0;
    for (int y = y0; y < y1; ++y)
        for (int x = x0; x < x1; ++x) {
            const uint8_t *c = at(p, W, x, y);
            *grounds += is_colour(c, ground);
            *letters += c[0] > 240 && c[1] > 200 && c[2] > 200;
        }
}

static void test_label_above(void **state)
{
    (void)state;
    uint8_t *p = blank(W, H);
    int inside, outside, grounds, letters;
    assert_int_equal(image_draw_box(p, W, H, (image_box){ 50, 40, 150, 100 }, red, "dog 0.87"), 0);
    count_changed(p, 50, 20, 150, 100, &inside, &outside);
    assert_int_equal(outside, 0);
    look_for_label(p, 50, 20, 150, 40, red, &grounds, &letters);
    assert_true(grounds > 200);                   /* white letters on the class's colour */
    assert_true(letters > 30);
    const uint8_t light[3] = { 250, 250, 0 };
    assert_int_equal(image_draw_box(p, W, H, (image_box){ 50, 40, 150, 100 }, light, "dog 0.87"), 0);
    int black = 0;
    for (int y = 20; y < 40; ++y)
        for (int x = 50; x < 150; ++x) black += at(p, W, x, y)[0] < 40;
    assert_true(black > 30);                      /* black ones on a light colour */
    free(p);
}

/* No room above or to the right: the label moves into the picture. */
static void test_label_stays_inside(void **state)
{
    (void)state;
    uint8_t *p = blank(W, H);
    int grounds, letters, at_end, in_box;
    assert_int_equal(image_draw_box(p, W, H, (image_box){ 190, 3, 300, 60 }, red, "dog 0.87"), 0);
    look_for_label(p, 100, 3, 200, 24, red, &grounds, &letters);
    assert_true(grounds > 200 && letters > 30);
    look_for_label(p, 190, 3, 200, 24, red, &at_end, &in_box);
    assert_true(at_end > 20);
    assert_int_equal(image_draw_box(p, W, H, (image_box){ -50, H - 2, 40, H + 50 }, red, "dog 0.87"), 0);
    look_for_label(p, 0, H - 24, 100, H - 2, red, &grounds, &letters);
    assert_true(grounds > 200 && letters > 30);
    free(p);
}

/* Cut at the border: the frame is closed there; wholly outside: nothing; larger than the picture: its border. */
static void test_boxes_beyond_the_picture(void **state)
{
    (void)state;
    uint8_t *p = blank(W, H);
    int inside, outside;
    const image_box away[] = { { -50, 10, 0, 20 }, { W, 10, W + 9, 20 }, { 10, -9, 20, -1 }, { 30, 30, 30, 60 }, { 60, 60, 30, 30 },
                               { -1000000, -1000000, -999999, 1000000 } };
    for (size_t i = 0; i < sizeof away / sizeof *away; ++i) assert_int_equal(image_draw_box(p, W, H, away[i], red, "dog 0.87"), 0);
    count_changed(p, 0, 0, W, H, &inside, &outside);
    assert_int_equal(inside, 0);
    assert_int_equal(image_draw_box(p, W, H, (image_box){ -50, 40, 50, 1000 }, red, NULL), 0);
    count_changed(p, 0, 40, 50, H, &inside, &outside);
    assert_int_equal(outside, 0);
    assert_int_equal(inside, 2 * 50 + 2 * 80 - 4);
    assert_int_equal(image_draw_box(p, W, H, (image_box){ -9, -9, W + 9, H + 9 }, red, NULL), 0);
    assert_true(is_colour(at(p, W, 0, 0), red) && is_colour(at(p, W, W - 1, H - 1), red));
    free(p);
}

/* Pictures of a few pixels, smaller than any label. */
/* The font has ASCII only: a name is drawn as its letters without marks, a '?' for what is none, one a character. */
static void test_names_of_any_letters(void **state)
{
    (void)state;
    const char *const names[][2] = { { "B\xc3\xa4r", "Bar" }, { "\xc3\x89t\xc3\xbd", "Ety" }, { "\xe7\x8c\xab 1", "? 1" },
                                     { "\xf0\x9f\x90\xb1", "?" }, { "a\xff" "b", "a?b" } };
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i) {
        uint8_t *p = blank(W, H), *q = blank(W, H);
        assert_int_equal(image_draw_box(p, W, H, (image_box){ 50, 40, 150, 100 }, red, names[i][0]), 0);
        assert_int_equal(image_draw_box(q, W, H, (image_box){ 50, 40, 150, 100 }, red, names[i][1]), 0);
        assert_memory_equal(p, q, (size_t)W * H * 3);
        free(p);
        free(q);
    }
}

static void test_tiny_pictures(void **state)
{
    (void)state;
    for (int size = 1; size < 12; ++size) {
        uint8_t *p = blank(size, size);
        assert_int_equal(image_draw_box(p, size, size, (image_box){ 0, 0, size, size }, red, "person 0.99"), 0);
        assert_true(is_colour(at(p, size, 0, 0), red));
        free(p);
    }
}

static void test_lines_grow(void **state)
{
    (void)state;
    uint8_t *p = blank(2000, 1000);
    assert_int_equal(image_draw_box(p, 2000, 1000, (image_box){ 100, 100, 900, 900 }, red, NULL), 0);
    int line = 0;
    while (is_colour(at(p, 2000, 100 + line, 500), red)) ++line;
    assert_int_equal(line, 6);
    free(p);
}

static void test_side_by_side(void **state)
{
    (void)state;
    image_rgb left = { blank(W, H), W, H }, right = { blank(90, 70), 90, 70 }, out;
    assert_int_equal(image_side_by_side(&left, &right, NULL, NULL, &out), 0);
    assert_true(out.w == W + 4 + 90 && out.h == H);
    for (int y = 0; y < H; ++y) {
        assert_memory_equal(at(out.pixels, out.w, 0, y), at(left.pixels, W, 0, y), 3 * W);
        if (y < 70) assert_memory_equal(at(out.pixels, out.w, W + 4, y), at(right.pixels, 90, 0, y), 3 * 90);
        else assert_int_equal(at(out.pixels, out.w, W + 4, y)[0], 32);
    }
    free(out.pixels);
    assert_int_equal(image_side_by_side(&left, &right, "teacher", "student", &out), 0);
    int top = out.h - H, white[2] = { 0, 0 };
    assert_true(top > 10 && top < 40);
    assert_memory_equal(at(out.pixels, out.w, 0, top), left.pixels, 3 * W);
    for (int y = 0; y < top; ++y)
        for (int x = 0; x < out.w; ++x) white[x > W] += at(out.pixels, out.w, x, y)[0] > 200;
    assert_true(white[0] > 30 && white[1] > 30);
    free(out.pixels);
    image_rgb huge = { left.pixels, 1 << 30, 1 << 30 };
    assert_int_equal(image_side_by_side(&huge, &right, NULL, NULL, &out), -1);
    assert_null(out.pixels);
    free(left.pixels), free(right.pixels);
}

static int known(uint8_t (*all)[3], int n, const uint8_t *c)
{
    for (int i = 0; i < n; ++i)
        if (is_colour(all[i], c)) return 1;
    return 0;
}

/* The colour of a class: that of a frame around the whole picture, at its lower edge. */
static void colour_of(int class, int classes, uint8_t colour[3])
{
    const detect_box whole = { 0, class, 1, .5f, .5f, 1, 1 };
    uint8_t *p = blank(W, H);
    assert_int_equal(detect_draw(p, W, H, &whole, 1, 0, NULL, classes), 1);
    memcpy(colour, at(p, W, W / 2, H - 1), 3);
    free(p);
}

static void test_colours(void **state)
{
    (void)state;
    const int sizes[] = { 1, 2, 3, 10, 80, 200 };
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; ++s) {
        uint8_t all[200][3];
        for (int k = 0; k < sizes[s]; ++k) {
            colour_of(k, sizes[s], all[k]);
            assert_false(known(all, k, all[k]));
        }
    }
    uint8_t first[3], next[3];
    const uint8_t pure[3] = { 255, 0, 0 };
    colour_of(0, 80, first);
    colour_of(1, 80, next);
    assert_memory_equal(first, pure, 3);
    assert_true(abs(first[0] - next[0]) + abs(first[1] - next[1]) + abs(first[2] - next[2]) > 150);
}

static void test_draw(void **state)
{
    (void)state;
    char *name[] = { "cat", "dog", "a very long name that goes on and on, well beyond what any label has room for, and on" };
    const detect_box b[] = { { 0, 1, .9f, .5f, .5f, .5f, .5f }, { 0, 0, .5f, .5f, .5f, .5f, .5f }, { 0, 2, .26f, .2f, .2f, .1f, .1f },
                             { 0, 1, .25f, .1f, .9f, .1f, .1f } };
    uint8_t *p = blank(W, H), *q = blank(W, H), colour[3];
    int inside, outside;
    assert_int_equal(detect_draw(p, W, H, b, 0, .25f, name, 3), 0);
    assert_memory_equal(p, q, W * H * 3);
    assert_int_equal(detect_draw(p, W, H, b, 4, .25f, name, 3), 3);
    colour_of(1, 3, colour);                  /* the likelier of two in the same place is on top */
    assert_true(is_colour(at(p, W, 50, 60), colour) && is_colour(at(p, W, 149, 60), colour) && is_colour(at(p, W, 100, 89), colour));
    assert_int_equal(detect_draw(q, W, H, b, 1, .25f, NULL, 3), 1);
    count_changed(q, 50, 10, 150, 90, &inside, &outside);
    assert_true(inside > 300 && outside == 0);
    const detect_box broken = { 0, 0, .9f, NAN, INFINITY, 1e30f, -1 };
    assert_int_equal(detect_draw(q, W, H, &broken, 1, .25f, NULL, 3), 1);
    free(p), free(q);
}

static void write_video(const char *path, int frames)
{
    video_out *v = video_create(path, W, H, 12.5, why, sizeof why);
    if (!v) fail_msg("%s: %s", path, why);
    assert_int_equal(access(path, F_OK), -1);     /* not there before it is whole */
    uint8_t *p = blank(W, H);
    for (int i = 0; i < frames; ++i) {
        for (size_t k = 0; k < W * H * 3; ++k) p[k] = k % 3 == 0 ? (uint8_t)(40 * i + 20) : 60;
        assert_int_equal(video_add(v, p, why, sizeof why), 0);
    }
    free(p);
    if (video_finish(v, 1, why, sizeof why)) fail_msg("%s: %s", path, why);
}

static void read_video(const char *path, int frames)
{
    video_in *v = video_open(path, why, sizeof why);
    if (!v) fail_msg("%s: %s", path, why);
    check_close(video_fps(v), 12.5, 1e-3, "fps", 0);
    image_rgb f;
    int n = 0;
    for (; video_next(v, &f, why, sizeof why) == 1; ++n) {
        assert_true(f.w == W && f.h == H);
        const uint8_t *c = at(f.pixels, W, W / 2, H / 2);
        check_close(c[0], 40 * n + 20, .2, "red", (size_t)n);   /* lossy, but red stays red and frames in order */
        check_close(c[2], 60, .2, "blue", (size_t)n);
        free(f.pixels);
    }
    assert_int_equal(n, frames);
    assert_null(f.pixels);
    video_close(v);
}

static void test_video_round_trip(void **state)
{
    (void)state;
    const char *names[] = { "a.mp4", "b.avi" };
    for (int i = 0; i < 2; ++i) {
        char *path = mem_printf("%s/%s", check_folder(), names[i]);
        write_video(path, 5);
        read_video(path, 5);
        free(path);
    }
}

static void refused(const char *source, const char *reason)
{
    why[0] = 0;
    assert_null(video_open(source, why, sizeof why));
    if (!strstr(why, reason)) fail_msg("'%s' does not say '%s'", why, reason);
}

static void test_video_refusals(void **state)
{
    (void)state;
    char *text = mem_printf("%s/no.mp4", check_folder()), *out = mem_printf("%s/x.mkv", check_folder());
    check_write(text, "not a video", 11);
    refused(text, "not a video");
    refused("/nowhere/at/all.mp4", "No such file");
    refused("http://localhost/x.mp4", "No such file");
    refused("videotestsrc ! appsink", "No such file");
    refused(check_folder(), "not a regular file");
    refused("9999", "no such camera");
    assert_null(video_create(out, W, H, 25, why, sizeof why));
    assert_non_null(strstr(why, ".mp4 or .avi"));
    assert_null(video_create("/nowhere/x.mp4", W, H, 25, why, sizeof why));
    assert_null(video_create(text, 0, H, 25, why, sizeof why));
    assert_null(video_create(text, W, H, NAN, why, sizeof why));
    video_close(NULL);
    free(text), free(out);
}

static void test_video_thrown_away(void **state)
{
    (void)state;
    char *path = mem_printf("%s/gone.avi", check_folder()), *part = mem_printf("%s/gone.part.avi", check_folder());
    uint8_t *p = blank(W, H);
    video_out *v = video_create(path, W, H, 25, why, sizeof why);
    assert_non_null(v);
    assert_int_equal(video_add(v, p, why, sizeof why), 0);
    assert_int_equal(video_finish(v, 0, why, sizeof why), 0);
    assert_true(access(path, F_OK) == -1 && access(part, F_OK) == -1);
    free(path), free(part), free(p);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frame),
        cmocka_unit_test(test_label_above),
        cmocka_unit_test(test_label_stays_inside),
        cmocka_unit_test(test_boxes_beyond_the_picture),
        cmocka_unit_test(test_names_of_any_letters),
        cmocka_unit_test(test_tiny_pictures),
        cmocka_unit_test(test_lines_grow),
        cmocka_unit_test(test_side_by_side),
        cmocka_unit_test(test_colours),
        cmocka_unit_test(test_draw),
        cmocka_unit_test(test_video_round_trip),
        cmocka_unit_test(test_video_refusals),
        cmocka_unit_test(test_video_thrown_away),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
