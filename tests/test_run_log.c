/* The record of a run as a file: which steps have lines, what stays where a run goes on, files that are none, files that cannot be
 * written; and axes and pictures made of it, also of numbers that no training has. */
#include "check.h"

#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/out_file.h"
#include "darknet_plugin/data/image_io.h"
#include "darknet_plugin/training/chart.h"
#include "darknet_plugin/training/chart_axis.h"
#include "darknet_plugin/training/run_log.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <sys/resource.h>
#include <unistd.h>

static cJSON *line(const char *kind, double step)
{
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "kind", kind);
    if (step > 0) json_add(o, "step", step);
    return o;
}

static void write_text(const char *path, const char *text)
{
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void expect_file(const char *path, const char *text)
{
    size_t n;
    char *got = check_read(path, &n);
    assert_int_equal(n, strlen(text));
    assert_memory_equal(got, text, n);
    free(got);
}

static void test_steps(void **unused)
{
    (void)unused;
    uint64_t n = 0, last = 0, widest = 0;
    for (uint64_t step = 1; step <= 10000000; ++step) {
        if (!run_log_wants(step)) continue;
        ++n;
        if (100 * (step - last) > step + 99 && step > 100) widest = step;
        last = step;
        if (step == 100) assert_int_equal(n, 100);
        if (step == 15000) assert_int_equal(n, 850);
    }
    assert_int_equal(n, 1850);
    assert_int_equal(widest, 0);
    assert_false(run_log_wants(0));
}

static void test_numbers(void **unused)
{
    (void)unused;
    cJSON *o = cJSON_CreateObject();
    const float values[] = { .1f, 1 / 3.f, 3.4028234e38f, 1.17549435e-38f, -16777217.f, 1e-3f };
    for (size_t i = 0; i < sizeof values / sizeof *values; ++i) {
        json_add(o, "x", (double)values[i]);
        char *text = cJSON_PrintUnformatted(o);
        cJSON *back = cJSON_Parse(text);
        assert_true((float)json_get(back, "x") == values[i]);
        assert_true(strlen(text) < 24);
        cJSON_Delete(back);
        free(text);
        cJSON_DeleteItemFromObject(o, "x");
    }
    json_add(o, "nan", NAN);
    json_add(o, "inf", -INFINITY);
    char *text = cJSON_PrintUnformatted(o);
    assert_string_equal(text, "{\"nan\":null,\"inf\":null}");
    assert_true(isnan(json_get(o, "nan")) && isnan(json_get(o, "missing")) && isnan(json_get(NULL, "x")));
    free(text);
    cJSON_Delete(o);
}

static const char START[] = "{\"kind\":\"start\",\"epochs\":2}\n";

static cJSON *start(void)
{
    cJSON *o = line("start", 0);
    json_add(o, "epochs", 2);
    return o;
}

/* A run that goes on at step 20, whose record goes beyond it, is torn and has lines that are none. */
static void test_going_on(void **unused)
{
    (void)unused;
    static const char old[] =
        "{\"kind\":\"start\",\"epochs\":1,\"time\":\"then\"}\n{\"kind\":\"step\",\"step\":10}\nnonsense\n[1]\n{\"kind\":\"epoch\",\"step\":10,\"seconds\":5}\n"
        "{\"kind\":\"step\",\"step\":20}\n{\"kind\":\"epoch\",\"step\":20,\"seconds\":9}\n{\"kind\":\"else\"}\n{\"kind\":\"end\",\"step\":20}\n"
        "{\"kind\":\"step\",\"step\":21}\n{\"kind\":\"start\"}\n{\"kind\":\"step\",\"st";
    for (int due = 0; due < 2; ++due) {
        diag *d = diag_new();
        run_log_place place = { .step = 20, .epoch_due = due };
        write_text("a.jsonl", old);
        out_file_own((const char *const[]){ "a.jsonl" }, 1, d);
        cJSON *now = start();
        cJSON_AddStringToObject(now, "time", "now");
        run_log *log = run_log_open("a.jsonl", now, &place, d);
        check_no_errors(d);
        assert_non_null(log);
        assert_true(place.seconds == 9);
        run_log_add(log, line("step", 22), d);
        run_log_close(log);
        char *want = mem_printf("{\"kind\":\"start\",\"epochs\":2,\"time\":\"then\"}\n{\"kind\":\"step\",\"step\":10}\n"
                                "{\"kind\":\"epoch\",\"step\":10,\"seconds\":5}\n{\"kind\":\"step\",\"step\":20}\n%s{\"kind\":\"else\"}\n"
                                "{\"kind\":\"step\",\"step\":22}\n",
                                due ? "" : "{\"kind\":\"epoch\",\"step\":20,\"seconds\":9}\n");
        expect_file("a.jsonl", want);
        free(want);
        diag_free(d);
    }
}

static void test_files_that_are_none(void **unused)
{
    (void)unused;
    static const char *const texts[] = { "notes\n", "\n", "{\"kind\":\"step\",\"step\":1}\n", "[{\"kind\":\"start\"}]\n" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        diag *d = diag_new();
        write_text("b.jsonl", texts[i]);
        assert_int_equal(run_log_check("b.jsonl", d), -1);
        assert_string_equal(diag_get(d, 0)->text, "is no record of a training");
        diag_free(d);
    }
    diag *d = diag_new();
    write_text("b.jsonl", "");
    assert_int_equal(run_log_check("b.jsonl", d), 0);
    assert_int_equal(run_log_check("not-there.jsonl", d), 0);
    write_text("b.jsonl", START);
    assert_int_equal(run_log_check("b.jsonl", d), 0);
    assert_int_equal(run_log_check(".", d), -1);
    diag_free(d);
}

/* Files may have so many bytes: a torn line is finished when there is room again. */
static void test_no_room(void **unused)
{
    (void)unused;
    struct rlimit before, few;
    diag *d = diag_new();
    out_file_own((const char *const[]){ "c.jsonl" }, 1, d);
    run_log *log = run_log_open("c.jsonl", start(), NULL, d);
    assert_non_null(log);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    few = before;
    few.rlim_cur = sizeof START - 1 + 10;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &few), 0);
    run_log_add(log, line("step", 1), d);
    run_log_add(log, line("step", 2), d);
    assert_int_equal(diag_warnings(d), 1);
    assert_int_equal(diag_errors(d), 0);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    run_log_add(log, line("step", 3), d);
    run_log_close(log);
    char *want = mem_printf("%s{\"kind\":\"step\",\"step\":1}\n{\"kind\":\"step\",\"step\":2}\n{\"kind\":\"step\",\"step\":3}\n", START);
    expect_file("c.jsonl", want);
    free(want);
    diag_free(d);
}

/* ---- what is drawn ---- */

static void test_axes(void **unused)
{
    (void)unused;
    char text[32];
    chart_axis a = chart_axis_linear(0, 300, 10, 0);
    assert_true(a.ticks == 7 && a.tick[1] == 50 && a.tick[6] == 300 && a.to == 300);
    a = chart_axis_linear(3, 98, 7, 1);
    assert_true(a.from == 0 && a.to == 100 && a.ticks == 6);
    double wide[] = { .01, 5, 2, .3, .02 }, near[] = { 2, 3, 2.5 }, below[] = { -1, 4, 100 }, same[] = { 4, 4, 4 };
    a = chart_axis_loss(wide, 5);
    assert_true(a.log && a.from < .01 && a.to > 5 && chart_axis_place(&a, 1e-9) == 0 && chart_axis_place(&a, 99) == 1);
    a = chart_axis_loss(near, 3);
    assert_true(!a.log && a.from <= 2 && a.to >= 3 && a.ticks >= 3);
    a = chart_axis_loss(below, 3);
    assert_true(!a.log && a.from < 0 && a.to >= 100);
    a = chart_axis_loss(same, 3);
    assert_true(a.from < a.to && a.from <= 4 && a.to >= 4);
    for (int i = 1; i < a.ticks; ++i) assert_true(a.tick[i] > a.tick[i - 1]);
    static const struct { double value; const char *text; } texts[] = { { .05, "0.05" }, { 1500, "1500" }, { 20000, "20k" }, { 1.5e6, "1.5M" }, { 0, "0" } };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        chart_axis_text(texts[i].value, text, sizeof text);
        assert_string_equal(text, texts[i].text);
    }
}

/* How many pixels of a chart have that colour. */
static long pixels_of(const char *path, int r, int g, int b)
{
    uint8_t *x;
    int w, h;
    char why[200];
    long n = 0;
    assert_int_equal(image_decode(path, 3, &x, &w, &h, why, sizeof why), 0);
    assert_true(w == CHART_W && h == CHART_H);
    for (long i = 0; i < (long)w * h; ++i) n += x[3 * i] == r && x[3 * i + 1] == g && x[3 * i + 2] == b;
    free(x);
    return n;
}

static int chart_write(const curve *run, const curve *labels, const char *path, diag *d)
{
    uint8_t *pixels = chart_draw(run, labels, d);
    int failed = !pixels || image_save(path, pixels, CHART_W, CHART_H, 3, d);
    free(pixels);
    return failed;
}

static void test_chart(void **unused)
{
    (void)unused;
    diag *d = diag_new();
    curve run = { .name = NULL }, labels = { .name = NULL };
    write_text("r.jsonl", "{\"kind\":\"start\",\"name\":\"r\",\"epochs\":4,\"steps\":40,\"teachers\":[{\"name\":\"t\",\"top1\":90}]}\n"
               "{\"kind\":\"step\",\"step\":1,\"loss\":3,\"parts\":{\"a\":1,\"b\":2}}\n{\"kind\":\"step\",\"step\":20,\"loss\":null,\"parts\":{\"a\":null}}\n"
               "{\"kind\":\"step\",\"step\":40,\"loss\":1,\"parts\":{\"a\":0.5,\"b\":0.5}}\n"
               "{\"kind\":\"epoch\",\"step\":10,\"top1\":50}\n{\"kind\":\"epoch\",\"step\":40,\"top1\":80}\n");
    write_text("l.jsonl", "{\"kind\":\"start\"}\n{\"kind\":\"epoch\",\"step\":10,\"top1\":40}\n{\"kind\":\"epoch\",\"step\":40,\"top1\":60}\n");
    curve_read(&run, "r.jsonl");
    curve_read(&labels, "l.jsonl");
    assert_true(run.loss.n == 2 && run.parts == 2 && run.part[0].n == 2 && run.score.n == 2 && run.teacher[0] == 90);
    assert_int_equal(chart_write(&run, NULL, "r.png", d), 0);
    assert_true(pixels_of("r.png", 31, 79, 175) > 500);        /* loss, */
    assert_true(pixels_of("r.png", 204, 32, 32) > 500);        /* score, */
    assert_true(pixels_of("r.png", 0, 150, 150) > 50);         /* a part, */
    assert_true(pixels_of("r.png", 20, 20, 20) > 200);         /* the teacher */
    assert_int_equal(pixels_of("r.png", 140, 70, 180), 0);
    assert_int_equal(chart_write(&run, &labels, "r.png", d), 0);
    assert_true(pixels_of("r.png", 140, 70, 180) > 50);
    check_no_errors(d);
    curve_free(&run);
    curve_free(&labels);
    diag_free(d);
}

/* Nothing, one point, and numbers and names that no training has. */
static void test_odd_charts(void **unused)
{
    (void)unused;
    static const char *const texts[] = {
        "", "{\"kind\":\"start\"}\n", "{\"kind\":\"start\",\"steps\":1}\n{\"kind\":\"step\",\"step\":1,\"loss\":0}\n",
        ("{\"kind\":\"start\",\"name\":\"\303\244\\u0001%s%n\",\"steps\":-5,\"epochs\":1e308}\n{\"kind\":\"step\",\"step\":1e308,\"loss\":1e308,\"parts\":{\"\":-1e308}}\n"
        "{\"kind\":\"step\",\"step\":-1e308,\"loss\":-1e308,\"parts\":{\"\":1e-308,\"%s\":5}}\n{\"kind\":\"epoch\",\"step\":5,\"top1\":1e300}\n"),
        "{\"kind\":\"start\",\"teachers\":[{\"top1\":-7},{\"top1\":1e9},{},5]}\n{\"kind\":\"epoch\",\"step\":\"x\",\"top1\":3}\n",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        diag *d = diag_new();
        curve run = { .name = NULL };
        write_text("odd.jsonl", texts[i]);
        curve_read(&run, "odd.jsonl");
        assert_int_equal(chart_write(&run, run.score.n ? &run : NULL, "odd.png", d), 0);
        assert_true(pixels_of("odd.png", 255, 255, 255) > 100000);
        curve_free(&run);
        diag_free(d);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_steps), cmocka_unit_test(test_numbers), cmocka_unit_test(test_going_on),
        cmocka_unit_test(test_files_that_are_none), cmocka_unit_test(test_no_room), cmocka_unit_test(test_axes),
        cmocka_unit_test(test_chart), cmocka_unit_test(test_odd_charts),
    };
    if (chdir(check_folder())) return 1;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
