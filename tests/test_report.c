/* The report's pieces: text that is safe in HTML whatever it holds, the log of a training read whatever it holds, colours
 * that grow lighter, and maps that are those which the loss compares. */
#include "check_nets.h"

#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/model/model_maps.h"
#include "darknet_plugin/reporting/report_internal.h"
#include "layers/network.h"

#include <unistd.h>

/* What `put` writes; the caller frees. */
static char *written(void (*put)(FILE *out, const char *text), const char *text)
{
    char *made;
    size_t len;
    FILE *out = mem_stream(&made, &len);
    put(out, text);
    mem_stream_end(out);
    return made;
}

static void is_written(void (*put)(FILE *out, const char *text), const char *text, const char *expected)
{
    char *made = written(put, text);
    assert_string_equal(made, expected);
    free(made);
}

static void put_four(FILE *out, const char *text) { html_short(out, text, 4); }

static void escapes_what_html_would_read(void **state)
{
    (void)state;
    is_written(html_text, "<script>alert(\"a\" & 'b')</script>", "&lt;script&gt;alert(&quot;a&quot; &amp; &#39;b&#39;)&lt;/script&gt;");
    is_written(html_text, "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x88", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x90\x88");
    is_written(html_text, "a\xff" "b\x01" "c\xc3", "a\xef\xbf\xbd" "b\xef\xbf\xbd" "c\xef\xbf\xbd");
    is_written(html_text, "\xc2\x85\xc0\xbc", "\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    is_written(put_four, "\xc3\xa4<>&", "\xc3\xa4&lt;&gt;&amp;");
    is_written(put_four, "\xc3\xa4<>&\"", "\xc3\xa4&lt;&gt;\xe2\x80\xa6");
}

static void put_count(FILE *out, const char *text) { html_count(out, atof(text)); }
static void put_size(FILE *out, const char *text) { html_size(out, atof(text)); }
static void put_signed(FILE *out, const char *text) { html_signed(out, atof(text), 2); }

static void writes_numbers(void **state)
{
    (void)state;
    is_written(put_count, "0", "0");
    is_written(put_count, "999", "999");
    is_written(put_count, "1234567", "1,234,567");
    is_written(put_size, "1234567", "1.23\xc2\xa0M");
    is_written(put_size, "45600", "45.6\xc2\xa0k");
    is_written(put_size, "12", "12");
    is_written(put_signed, "1.5", "+1.50");
    is_written(put_signed, "-1.5", "\xe2\x88\x92" "1.50");
    is_written(put_signed, "nan", "\xe2\x80\x93");
}

/* The bytes of base64 behind "base64,"; how many. */
static size_t decode(const char *text, uint8_t *byte)
{
    static const char DIGIT[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t n = 0;
    unsigned bits = 0;
    int have = 0;
    for (text = strstr(text, "base64,") + 7; *text && *text != '='; ++text) {
        bits = bits << 6 | (unsigned)(strchr(DIGIT, *text) - DIGIT);
        have += 6;
        if (have >= 8) byte[n++] = (uint8_t)(bits >> (have -= 8));
    }
    return n;
}

static void puts_pictures_whole(void **state)
{
    (void)state;
    for (int w = 1; w < 6; ++w) {
        uint8_t pixels[3 * 6 * 4], file[4096], *back;
        char *text, why[200];
        size_t len;
        int got_w, got_h;
        diag *d = diag_new();
        for (int i = 0; i < 3 * w * 4; ++i) pixels[i] = (uint8_t)(37 * i);
        FILE *out = mem_stream(&text, &len);
        assert_int_equal(html_picture(out, pixels, w, 4, 3, 0, 1, d), 0);
        mem_stream_end(out);
        check_write("p.png", file, decode(text, file));
        assert_int_equal(image_decode("p.png", 3, &back, &got_w, &got_h, why, sizeof why), 0);
        assert_int_equal(got_w, w);
        assert_memory_equal(back, pixels, (size_t)(3 * w * 4));
        free(back);
        free(text);
        diag_free(d);
    }
}

static void grows_lighter(void **state)
{
    (void)state;
    double before = -1;
    for (int i = 0; i <= 255; ++i) {
        uint8_t rgb[3];
        report_colour(i / 255., rgb);
        double light = .2126 * rgb[0] + .7152 * rgb[1] + .0722 * rgb[2];
        assert_true(light >= before);
        before = light;
    }
    assert_true(before > 200);
}

/* ---- the log ---- */

static report_log read_log(const char *text, int warnings)
{
    report_log log;
    diag *d = diag_new();
    check_write("run.jsonl", text, strlen(text));
    report_log_read(&log, "run.jsonl", d);
    check_no_errors(d);
    assert_int_equal(diag_warnings(d), warnings);
    diag_free(d);
    return log;
}

#define START "{\"kind\":\"start\",\"seed\":3,\"batch\":64,\"images\":6400,\"epochs\":2,\"teachers\":[{\"top1\":72.5}]}\n"
#define EPOCH(step, epoch, top1) "{\"kind\":\"epoch\",\"epoch\":" #epoch ",\"step\":" #step ",\"loss\":0.5,\"parts\":" \
    "{\"feature_l2\":0.2,\"kd\":0.3},\"top1\":" #top1 ",\"top5\":null,\"wait\":{\"data\":0.1}}\n"

static void reads_a_log(void **state)
{
    (void)state;
    report_log log = read_log(START "{\"kind\":\"step\",\"step\":50,\"epoch\":1,\"loss\":1.5}\n" EPOCH(100, 1, 60.5)
                              "{\"kind\":\"news\",\"step\":9}\n" EPOCH(200, 2, 61) "{\"kind\":\"end\",\"step\":200}\n", 0);
    assert_true(log.there && log.seed == 3 && log.teachers == 1 && log.teacher[0] == 72.5);
    assert_int_equal(log.parts, 2);
    assert_string_equal(log.part[1], "kd");
    assert_int_equal(log.steps.n, 1);
    assert_int_equal(log.epoch_ends.n, 2);
    assert_true(log.epoch_ends.entry[0].score == 60.5 && isnan(log.epoch_ends.entry[0].finer));
    assert_true(log.epoch_ends.entry[1].part[1] == .3 && isnan(log.steps.entry[0].part[0]));
    assert_true(report_log_epochs(&log, &log.steps.entry[0]) == .5);
    report_log_free(&log);
}

/* A torn last line is silent; what a later line of an earlier step says replaces what came before. */
static void takes_what_comes_later(void **state)
{
    (void)state;
    report_log log = read_log(START EPOCH(100, 1, 60) EPOCH(200, 2, 50) START EPOCH(200, 2, 70) EPOCH(300, 3, 71)
                              "{\"kind\":\"epoch\",\"step\":400,\"top1", 0);
    assert_int_equal(log.epoch_ends.n, 3);
    assert_true(log.epoch_ends.entry[1].score == 70);
    report_log_free(&log);
}

static void survives_anything(void **state)
{
    (void)state;
    static const char *const LINES[] = {
        "[1,2]\n", "nonsense\n", "{\"kind\":7}\n", "{\"kind\":\"epoch\"}\n", "{\"kind\":\"step\",\"step\":\"1\"}\n", "{}\n",
        "{\"kind\":\"step\",\"step\":1e999}\n", "{\"kind\":\"step\",\"step\":-1}\n", "\xff\xfe\n", "null\n",
    };
    char *all = mem_printf(START), *deep = mem_calloc(40000, 1);
    memset(deep, '[', 30000);
    for (size_t i = 0; i < sizeof LINES / sizeof *LINES; ++i) {
        char *more = mem_printf("%s%s", all, LINES[i]);
        free(all);
        all = more;
    }
    char *text = mem_printf("%s%s\n{\"kind\":\"step\",\"step\":5,\"loss\":1e300,\"parts\":[1],\"epoch\":true}\n"
                            "{\"kind\":\"step\",\"step\":6,\"parts\":{\"\":1,\"b\":{},\"c\":null}}\n"
                            "{\"kind\":\"start\",\"teachers\":[1,null,{\"top1\":\"x\"}],\"batch\":{}}\n", all, deep);
    report_log log = read_log(text, 1);
    assert_int_equal(log.broken, sizeof LINES / sizeof *LINES + 1);
    assert_int_equal(log.steps.n, 2);
    assert_true(isnan(log.steps.entry[0].loss) && log.steps.entry[1].part[0] == 1);
    report_log_free(&log);
    free(text);
    free(deep);
    free(all);
    log = read_log("", 1);
    assert_false(log.there);
    report_log_free(&log);
}

static void says_what_is_not_there(void **state)
{
    (void)state;
    report_log log;
    diag *d = diag_new();
    report_log_read(&log, "none.jsonl", d);
    assert_int_equal(diag_count(d), 0);
    assert_false(log.there);
    report_log_read(&log, ".", d);
    assert_int_equal(diag_warnings(d), 1);
    assert_false(log.there);
    diag_free(d);
}

/* ---- maps ---- */

#define NET(w) "[net]\nbatch=2\nsubdivisions=1\nwidth=" #w "\nheight=" #w "\nchannels=1\nlearning_rate=.1\n"
#define CONV(n, s) "[convolutional]\nbatch_normalize=1\nfilters=" #n "\nsize=3\nstride=" #s "\npad=1\nactivation=relu\n"
#define END "[avgpool]\n[convolutional]\nfilters=3\nsize=1\nactivation=linear\n[softmax]\n"

/* The mean square of what is copied is the error that `valid` prints; the teacher's map is twice as large here. */
static void maps_are_those_of_the_loss(void **state)
{
    (void)state;
    enum { PIXELS = 2 * 16 * 16 };
    float x[PIXELS];
    learnt_map map[4];
    double sum = 0;
    check_write_network("teacher", NET(16) CONV(5, 2) END, 7);
    model *m = check_model("s", NET(16) "[teacher]\ncfg=teacher.cfg\nweights=teacher.weights\n" CONV(4, 4)
                           "[projector]\n[feature_l2]\n[reused_classifier]\n", 8);
    check_fill(x, PIXELS, 9);
    model_run_teachers(m, x, 1);
    model_predict(m, x);
    assert_int_equal(model_learnt_maps(m, map, 4), 1);
    assert_true(map[0].c == 5 && map[0].h == 4 && map[0].w == 4);
    for (int b = 0; b < 2; ++b) {
        float student[5 * 16], teacher[5 * 16];
        model_copy_maps(m, &map[0], b, student, teacher);
        for (int i = 0; i < 5 * 16; ++i) sum += ((double)student[i] - teacher[i]) * ((double)student[i] - teacher[i]);
    }
    check_close(sum / (2 * 5 * 16), model_feature_mse(m, 0, 2), 1e-6, "mean squared error", 0);
    assert_true(sum > 0);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(escapes_what_html_would_read), cmocka_unit_test(writes_numbers),
        cmocka_unit_test(puts_pictures_whole), cmocka_unit_test(grows_lighter), cmocka_unit_test(reads_a_log),
        cmocka_unit_test(takes_what_comes_later), cmocka_unit_test(survives_anything),
        cmocka_unit_test(says_what_is_not_there), cmocka_unit_test(maps_are_those_of_the_loss),
    };
    network_init();
    if (chdir(check_folder())) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
