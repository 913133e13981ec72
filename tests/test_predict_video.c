/* `predict` on a video: every frame is looked at, drawn and written, alone or beside the teacher's. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/verbs/predict_detect.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

enum { W = 96, H = 64, FRAMES = 7 };

/* A bright square that moves over a dark ground. */
static void make_video(const char *path)
{
    char why[256];
    uint8_t *pixels = mem_calloc((size_t)(3 * W * H), 1);
    video_out *v = video_create(path, W, H, 10, why, sizeof why);
    assert_non_null(v);
    for (int f = 0; f < FRAMES; ++f) {
        memset(pixels, 30, (size_t)(3 * W * H));
        for (int y = 20; y < 44; ++y) memset(pixels + 3 * (y * W + 8 * f), 220, 3 * 24);
        assert_int_equal(video_add(v, pixels, why, sizeof why), 0);
    }
    assert_int_equal(video_finish(v, 1, why, sizeof why), 0);
    free(pixels);
}

static int frames_of(const char *path, int *w, int *h)
{
    char why[256];
    image_rgb im;
    int n = 0;
    video_in *v = video_open(path, why, sizeof why);
    assert_non_null(v);
    for (; video_next(v, &im, why, sizeof why) > 0; ++n) {
        *w = im.w;
        *h = im.h;
        free(im.pixels);
    }
    video_close(v);
    return n;
}

static void predict(const char *cfg, const char *in, const char *out, int side_by_side, int limit, int status)
{
    static options o;
    char *text = NULL;
    size_t len;
    diag *d = diag_new();
    model_options mo = { .batch = 1, .mode = side_by_side ? LOWER_TRAIN : LOWER_DEPLOY };
    data_file f = { .classes = 3 };
    o = (options){ .n = 4, .arg = { "DATA", cfg, "WEIGHTS", in }, .cache_out = out, .side_by_side = side_by_side, .limit = limit, .out = open_memstream(&text, &len) };
    model *m = model_open(cfg, &mo, d);
    assert_non_null(m);
    assert_int_equal(predict_detector(&o, m, &f, d) != 0, status);
    fclose(o.out);
    if (!status) assert_non_null(strstr(text, " frames, drawn in "));
    free(text);
    model_close(m);
    diag_free(d);
}

static void every_frame_is_drawn(void **state)
{
    (void)state;
    char *in = mem_printf("%s/in.avi", check_folder()), *out = mem_printf("%s/out.avi", check_folder());
    int w = 0, h = 0;
    make_video(in);
    predict("cfg/shapes/teacher.cfg", in, out, 0, 0, 0);
    assert_int_equal(frames_of(out, &w, &h), FRAMES);
    assert_true(w > W && w * H == h * W);   /* small pictures are enlarged */
    int single = w;
    predict("cfg/shapes/simkd.cfg", in, out, 1, 3, 0);
    assert_int_equal(frames_of(out, &w, &h), 3);
    assert_true(w >= 2 * single);
    free(in);
    free(out);
}

static void no_video_is_an_error(void **state)
{
    (void)state;
    char *in = mem_printf("%s/none.avi", check_folder()), *out = mem_printf("%s/none.out.avi", check_folder());
    predict("cfg/shapes/teacher.cfg", in, out, 0, 0, 1);
    assert_null(fopen(out, "rb"));
    free(in);
    free(out);
}

/* A full disk, played by a limit on the size of files: OpenCV reports nothing, so the file is looked at. The old one stays. */
static void full_disk(void **state)
{
    (void)state;
    static const char *const names[] = { "x.avi", "x.mp4" };
    enum { SIDE = 128, SIZE = 3 * SIDE * SIDE };
    char *folder = mem_printf("%s/full", check_folder()), why[256];
    uint8_t *noise = mem_calloc(SIZE, 1);
    void (*was)(int) = signal(SIGXFSZ, SIG_IGN);
    struct rlimit keep;
    assert_int_equal(mkdir(folder, 0777), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &keep), 0);
    for (int i = 0; i < 2; ++i) {
        struct rlimit small_files = { 60000, keep.rlim_max };
        char *path = mem_printf("%s/%s", folder, names[i]);
        int failed = 0;
        check_write(path, "old", 3);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small_files), 0);
        video_out *v = video_create(path, SIDE, SIDE, 10, why, sizeof why);
        for (int f = 0; v && !failed && f < 30; ++f) {
            rng r = rng_make(1, 0, (uint64_t)f, RNG_TEST);
            for (int k = 0; k < SIZE; ++k) noise[k] = (uint8_t)rng_below(&r, 256);
            failed = video_add(v, noise, why, sizeof why);
        }
        failed |= !v || video_finish(v, !failed, why, sizeof why);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &keep), 0);
        if (!failed) fail_msg("%s: written, it says", names[i]);
        char *text = check_read(path, NULL);
        assert_string_equal(text, "old");
        assert_int_equal(check_files_in(folder), 1 + i);
        free(text);
        free(path);
    }
    signal(SIGXFSZ, was);
    free(noise);
    free(folder);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_frame_is_drawn), cmocka_unit_test(no_video_is_an_error), cmocka_unit_test(full_disk) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
