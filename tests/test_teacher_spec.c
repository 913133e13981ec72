/* [teacher] and [augment]: files, batch, input size and normalisation of the one, defaults of the other. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/base/path.h"
#include "darknet_plugin/lowering/lower.h"

#include <sys/stat.h>
#include <unistd.h>

#define NET "[net]\nbatch=8\nsubdivisions=2\nwidth=16\nheight=16\nchannels=3\n"
#define CONV(filters, stride) "[convolutional]\nfilters=" #filters "\nsize=3\nstride=" #stride "\npad=1\nactivation=relu\n"
#define REST CONV(4, 4) "[projector]\n[feature_l2]\n[reused_classifier]\n"
#define HEAD "[avgpool]\n[connected]\noutput=10\n[softmax]\n"

static void write_text(const char *path, const char *text)
{
    check_write(path, text, strlen(text));
}

static lowered *lower_ok(const char *student)
{
    diag *d = diag_new();
    write_text("s.cfg", student);
    lowered *l = lower_read("s.cfg", LOWER_TRAIN, d);
    check_no_errors(d);
    assert_non_null(l);
    diag_free(d);
    return l;
}

static void check_refused(const char *student, const char *file, int line, const char *text)
{
    diag *d = diag_new();
    write_text("s.cfg", student);
    assert_null(lower_read("s.cfg", LOWER_TRAIN, d));
    assert_int_equal(diag_errors(d), 1);
    assert_string_equal(diag_get(d, 0)->text, text);
    assert_string_equal(diag_get(d, 0)->file, file);
    assert_int_equal(diag_get(d, 0)->line, line);
    diag_free(d);
}

static void paths_beside_the_cfg(void **state)
{
    (void)state;
    assert_int_equal(mkdir("sub", 0777), 0);
    assert_int_equal(mkdir("folder", 0777), 0);
    write_text("sub/a.cfg", "");
    write_text("sub/both.cfg", "");
    write_text("both.cfg", "");
    write_text("sub/folder", "");
    static const char *const want[][3] = {
        { "sub/s.cfg", "a.cfg", "sub/a.cfg" },     { "sub/s.cfg", "both.cfg", "both.cfg" }, { "s.cfg", "a.cfg", "a.cfg" },
        { "sub/s.cfg", "gone.cfg", "gone.cfg" },   { "sub/s.cfg", "/a.cfg", "/a.cfg" },     { "sub/s.cfg", "folder", "sub/folder" },
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; ++i) {
        char *got = path_named_in(want[i][0], want[i][1]);
        assert_string_equal(got, want[i][2]);
        free(got);
    }
}

static void files_that_are_not_there(void **state)
{
    (void)state;
    write_text("t.cfg", NET CONV(8, 4) HEAD);
    check_refused(NET "[teacher]\ncfg=gone.cfg\n" REST, "s.cfg", 8, "cannot read the teacher's cfg gone.cfg: No such file or directory");
    check_refused(NET "[teacher]\ncfg=/dev/zero\n" REST, "s.cfg", 8, "cannot read the teacher's cfg /dev/zero: not a regular file");
    check_refused(NET "[teacher]\ncfg=.\n" REST, "s.cfg", 8, "cannot read the teacher's cfg .: not a regular file");
    check_refused(NET "[teacher]\ncfg=t.cfg\nweights=gone.weights\n" REST, "s.cfg", 9,
                  "cannot read the teacher's weights gone.weights: No such file or directory");
    write_text("t.weights", "x");
    lowered *l = lower_ok(NET "[teacher]\ncfg=t.cfg\nweights=t.weights\n" REST);
    assert_string_equal(l->teacher->weights_path, "t.weights");
    assert_string_equal(l->teacher->cfg_path, "t.cfg");
    lower_free(l);
}

/* To deploy, the teacher's weights are not needed: they are in the student's file. */
static void deploying_without_teacher_weights(void **state)
{
    (void)state;
    write_text("t.cfg", NET CONV(8, 4) HEAD);
    write_text("s.cfg", NET "[teacher]\ncfg=t.cfg\nweights=gone.weights\n" REST);
    diag *d = diag_new();
    lowered *l = lower_read("s.cfg", LOWER_DEPLOY, d);
    check_no_errors(d);
    assert_string_equal(l->teacher->weights_path, "gone.weights");
    lower_free(l);
    diag_free(d);
}

static void batch_is_the_students(void **state)
{
    (void)state;
    write_text("t.cfg", "[net]\nbatch=128\nsubdivisions=32\nwidth=16\nheight=16\nchannels=3\nmomentum=.5\n[augment]\npad=2\n" CONV(8, 4) HEAD);
    lowered *l = lower_ok(NET "[teacher]\ncfg=t.cfg\n" REST);
    const cfg_section *net = cfg_net(l->teacher->cfg);
    assert_int_equal(cfg_int(net, "batch", 0), 4);
    assert_int_equal(cfg_int(net, "subdivisions", 0), 1);
    assert_true(cfg_float(net, "momentum", 0) == .5);
    assert_null(cfg_first(l->teacher->cfg, "augment"));
    assert_int_equal(l->teacher->cut, 1);
    assert_false(l->teacher->resize);
    char *text = cfg_text(l->teacher->cfg, NULL);
    network *host = check_parse(text);
    assert_int_equal(host->batch, 4);
    assert_int_equal(host->layers[0].outputs, l->teacher->shape->layer[0].outputs);
    host_free(host);
    free(text);
    lower_free(l);
}

static void check_size(const char *keys, int w, int h, int resize)
{
    char *student = mem_printf(NET "[teacher]\ncfg=t.cfg\n%s" REST, keys);
    lowered *l = lower_ok(student);
    assert_int_equal(l->teacher->shape->w, w);
    assert_int_equal(l->teacher->shape->h, h);
    assert_int_equal(cfg_int(cfg_net(l->teacher->cfg), "width", 0), w);
    assert_int_equal(l->teacher->resize, resize);
    lower_free(l);
    free(student);
}

#define AT(size) "[net]\nwidth=" #size "\nheight=" #size "\nchannels=3\n"

static void input_size(void **state)
{
    (void)state;
    write_text("t.cfg", AT(64) CONV(8, 4) HEAD);
    check_size("", 16, 16, 0);                          /* convolutions and a global pooling run at any size */
    check_size("width=32\nheight=32\n", 32, 32, 1);
    check_size("width=64\nheight=64\n", 64, 64, 1);
    write_text("t.cfg", AT(32) CONV(8, 4) "[maxpool]\nsize=2\nstride=2\n[connected]\noutput=12\n[connected]\noutput=10\n[softmax]\n");
    check_size("", 32, 32, 1);                          /* a connected layer on the map runs at its own size only */
    check_size("width=32\nheight=32\n", 32, 32, 1);
    check_refused(NET "[teacher]\ncfg=t.cfg\nwidth=48\nheight=24\n" REST, "s.cfg", 9,
                  "teacher cannot run at 48x24: its weights are for 32x32");
}

static void inputs_that_differ(void **state)
{
    (void)state;
    write_text("t.cfg", "[net]\nwidth=16\nheight=16\nchannels=1\n" CONV(8, 4) HEAD);
    check_refused(NET "[teacher]\ncfg=t.cfg\n" REST, "s.cfg", 8, "teacher's input has 1 channels, student's has 3");
    write_text("t.cfg", "[net]\ninputs=768\n[connected]\noutput=9\n[connected]\noutput=10\n[softmax]\n");
    check_refused(NET "[teacher]\ncfg=t.cfg\n" REST, "s.cfg", 8,
                  "teacher's input is 0x0x0 (768 numbers), student's is 16x16x3 (768)");
}

/* Networks on plain vectors distil too. */
static void vector_inputs(void **state)
{
    (void)state;
    write_text("t.cfg", "[net]\ninputs=20\n[connected]\noutput=9\nactivation=relu\n[connected]\noutput=10\n[softmax]\n");
    lowered *l = lower_ok("[net]\nbatch=2\ninputs=20\n[teacher]\ncfg=t.cfg\n[connected]\noutput=5\n[projector]\n[feature_l2]\n[reused_classifier]\n");
    assert_int_equal(l->teacher->tap[0], 0);
    assert_int_equal(l->shape->layer[l->head[0].loss].outputs, 9);
    char *text = cfg_text(l->cfg, NULL);
    network *host = check_parse(text);
    assert_int_equal(host->layers[l->head[0].loss].outputs, 9);
    host_free(host);
    free(text);
    lower_free(l);
    check_refused("[net]\ninputs=21\n[teacher]\ncfg=t.cfg\n[connected]\noutput=5\n[projector]\n[feature_l2]\n[reused_classifier]\n", "s.cfg", 4,
                  "teacher's input is 0x0x0 (20 numbers), student's is 0x0x0 (21)");
}

static void check_normalisation(const char *keys, int on, float mean1, float std2)
{
    char *student = mem_printf(NET "[teacher]\ncfg=t.cfg\n%s" REST, keys);
    lowered *l = lower_ok(student);
    assert_int_equal(l->teacher->normalise, on);
    check_close(l->teacher->mean[1], mean1, 0, "mean", 1);
    check_close(l->teacher->std[2], std2, 0, "std", 2);
    lower_free(l);
    free(student);
}

static void normalisation(void **state)
{
    (void)state;
    write_text("t.cfg", NET CONV(8, 4) HEAD);
    check_normalisation("", 0, 0, 1);
    check_normalisation("mean=.5\nstd=.25\n", 1, .5f, .25f);
    check_normalisation("mean=.1,.2,.3\n", 1, .2f, 1);
    check_normalisation("std=.1,.2,.3\n", 1, 0, .3f);
    check_refused(NET "[teacher]\ncfg=t.cfg\nmean=1,2\n" REST, "s.cfg", 9, "'mean' has 2 numbers, expected 1 or 3");
    check_refused(NET "[teacher]\ncfg=t.cfg\nstd=1,0,1\n" REST, "s.cfg", 9, "'std' is 0, expected 1e-06 to 1000000");
}

static void teachers_of_the_wrong_kind(void **state)
{
    (void)state;
    write_text("t.cfg", NET "[teacher]\ncfg=x.cfg\n" REST);
    check_refused(NET "[teacher]\ncfg=t.cfg\n" REST, "s.cfg", 8, "t.cfg is a distillation itself");
    check_refused(NET "[teacher]\ncfg=/usr/share/darknet/cfg/yolov1.cfg\n" REST, "s.cfg", 8,
                  "a [detection] teacher (/usr/share/darknet/cfg/yolov1.cfg:247) is not supported");
    write_text("t.cfg", NET "[convolutional]\nfilters=3\nsize=oops\n");
    check_refused(NET "[teacher]\ncfg=t.cfg\n" REST, "t.cfg", 9, "'size' is 'oops', expected a whole number");
    write_text("t.cfg", NET CONV(8, 4) HEAD);
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=3\n" REST, "s.cfg", 9, "tap=3 is a [softmax], which has no feature map");
    check_refused(NET "[teacher]\ncfg=t.cfg\ntap=2147483647\n" REST, "s.cfg", 9,
                  "tap=2147483647 is out of range: t.cfg has 4 layers, 0 to 3");
    check_refused(NET "[teacher]\nweights=t.weights\n" REST, "s.cfg", 7, "'cfg' is missing");
}

/* ---- [augment] ---- */

static augment_spec augment(const char *net, const char *section)
{
    char *text = mem_printf("[net]\nwidth=32\nheight=32\nchannels=3\n%s%s" CONV(4, 4), net, section);
    lowered *l = lower_ok(text);
    augment_spec a = l->augment;
    lower_free(l);
    free(text);
    return a;
}

static void stock_augmentation(void **state)
{
    (void)state;
    augment_spec a = augment("", "");
    assert_int_equal(a.min_crop, 32);
    assert_int_equal(a.max_crop, 64);
    assert_true(a.any && a.flip && !a.pad && a.aspect == 1 && a.saturation == 1 && a.exposure == 1 && a.hue == 0 && a.angle == 0);
    a = augment("min_crop=40\nmax_crop=48\nangle=7\naspect=.75\nhue=.1\nsaturation=.5\nexposure=2\nflip=0\n", "");
    assert_int_equal(a.min_crop, 40);
    assert_int_equal(a.max_crop, 48);
    assert_true(!a.flip && a.angle == 7 && a.aspect == .75f && a.hue == .1f && a.saturation == .5f && a.exposure == 2 && a.any);
    a = augment("min_ratio=1.5\nmax_ratio=1.25\n", "");
    assert_int_equal(a.min_crop, 40);
    assert_int_equal(a.max_crop, 48);
    a = augment("max_crop=32\nflip=0\n", "");
    assert_false(a.any);
}

static void augment_section_is_all(void **state)
{
    (void)state;
    augment_spec a = augment("", "[augment]\npad=4\n");
    assert_true(a.pad == 4 && !a.flip && a.min_crop == 32 && a.max_crop == 32 && a.any);
    a = augment("", "[augment]\nflip=1\n");
    assert_true(!a.pad && a.flip && a.max_crop == 32 && a.any);
    a = augment("max_crop=40\nhue=.2\nflip=1\n", "[augment]\n");
    assert_true(a.flip && a.max_crop == 40 && a.hue == .2f && a.any);
    a = augment("flip=1\n", "[augment]\nflip=0\n");
    assert_true(!a.flip && !a.any);
}

/* A detector's jitter= and random= stand in its last [yolo]; nothing is cropped or turned. */
static void detector_augmentation(void **state)
{
    (void)state;
    const char *heads[] = { "jitter=.3\nrandom=1\n", "" };
    const char *sections[] = { "", "[augment]\n", "[augment]\njitter=.1\nrandom=1.2\nfit=stretch\nflip=1\n" };
    const float jitter[2][3] = { { .3f, .3f, .1f }, { .2f, 0, .1f } }, random[2][3] = { { 1, 1, 1.2f }, { 0, 0, 1.2f } };
    for (int h = 0; h < 2; ++h)
        for (int s = 0; s < 3; ++s) {
            char *text = mem_printf("[net]\nwidth=32\nheight=32\nchannels=3\nmax_crop=40\nangle=7\nhue=.1\n%s" CONV(18, 4)
                                    "[yolo]\nnum=3\nmask=0,1,2\nanchors=1,1,2,2,3,3\nclasses=1\njitter=.9\n" CONV(18, 1)
                                    "[yolo]\nnum=3\nmask=0,1,2\nanchors=1,1,2,2,3,3\nclasses=1\n%s", sections[s], heads[h]);
            lowered *l = lower_ok(text);
            augment_spec a = l->augment;
            assert_true(a.detector && a.any && a.jitter == jitter[h][s] && a.random == random[h][s]);
            assert_true(a.fit == (s == 2 ? FIT_STRETCH : FIT_LETTERBOX) && a.flip == (s != 1) && a.hue == .1f);
            assert_true(a.max_crop == 32 && a.min_crop == 32 && a.angle == 0 && a.aspect == 1);
            lower_free(l);
            free(text);
        }
    assert_false(augment("", "").detector);
}

static void no_picture_nothing_to_augment(void **state)
{
    (void)state;
    lowered *l = lower_ok("[net]\ninputs=20\n[connected]\noutput=5\n");
    assert_false(l->augment.any || l->augment.flip || l->augment.max_crop);
    lower_free(l);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_beside_the_cfg), cmocka_unit_test(files_that_are_not_there),
        cmocka_unit_test(deploying_without_teacher_weights), cmocka_unit_test(batch_is_the_students), cmocka_unit_test(input_size),
        cmocka_unit_test(inputs_that_differ), cmocka_unit_test(vector_inputs), cmocka_unit_test(normalisation),
        cmocka_unit_test(teachers_of_the_wrong_kind), cmocka_unit_test(stock_augmentation), cmocka_unit_test(augment_section_is_all),
        cmocka_unit_test(detector_augmentation), cmocka_unit_test(no_picture_nothing_to_augment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
