/* Who is asked to read a network with what only AlexeyAB's Darknet has, what is said of the others, and that the files are right. */
#include "layers/network.h"
#include "check_nets.h"

#include "darknet_plugin/deploying/export.h"
#include "darknet_plugin/deploying/readers.h"

#include <cjson/cJSON.h>

#include <unistd.h>

#define NET "[net]\nbatch=2\nwidth=96\nheight=96\nchannels=3\nletter_box=1\n"
#define CONV(keys) "[convolutional]\nfilters=8\nsize=3\nstride=2\npad=1\nactivation=leaky\n" keys
#define HEAD(filters, activation) "[convolutional]\nfilters=" filters "\nsize=1\nstride=1\nactivation=" activation "\n"
#define TRUNK NET CONV("") CONV("") CONV("") "[maxpool]\nsize=2\nstride=2\n"
#define KEYS "mask=0,1\nanchors=20,30, 50,20\nclasses=3\nnum=2\n"

/* ---- the table ---- */

static unsigned cannot(const char *text)
{
    diag *d = diag_new();
    cfg_file *cfg = cfg_parse("t.cfg", text, strlen(text), d);
    net_shape *shape = shapes_infer(cfg, d);
    unsigned who = 0;
    if (!shape) fail_msg("%s", diag_count(d) ? diag_get(d, 0)->text : "no shape");
    for (unsigned reader = 1; reader <= READER_DARKNET_BOXES; reader *= 2)
        if (readers_obstacle(cfg, shape, reader)) who |= reader;
    shapes_free(shape);
    cfg_free(cfg);
    diag_free(d);
    return who;
}

static void who_cannot_read(void **state)
{
    (void)state;
    static const struct { const char *cfg; unsigned cannot; } cases[] = {
        { NET CONV(""), 0 },
        { NET HEAD("4", "mish"), READER_DARKNET }, { NET HEAD("4", "swish"), READER_DARKNET },
        { NET HEAD("4", "relu6"), READER_DARKNET | READER_OPENCV }, { NET HEAD("4", "hard_swish"), READER_DARKNET | READER_OPENCV },
        { NET HEAD("4", "gelu"), READER_DARKNET | READER_OPENCV }, { NET HEAD("4", "elu"), READER_OPENCV },
        { TRUNK HEAD("16", "logistic") "[yolo]\nnew_coords=1\n" KEYS, READER_DARKNET },
        { TRUNK HEAD("16", "linear") "[yolo]\nscale_x_y=1.1\n" KEYS, READER_DARKNET_BOXES },
        { TRUNK HEAD("16", "linear") "[yolo]\nscale_x_y=1.0\nnms_kind=greedynms\n" KEYS, 0 },
        { TRUNK HEAD("24", "linear") "[Gaussian_yolo]\n" KEYS, READER_DARKNET | READER_OPENCV },
        { NET CONV("") "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n", READER_DARKNET },
        { NET CONV("") "[route_lhalf]\nlayers=-1\n", READER_DARKNET },
        { NET CONV("") "[route]\nlayers=-1,0\ngroups=2\n", READER_DARKNET | READER_OPENCV },
        { NET CONV("") "[avgpool]\n[scale_channels]\nfrom=0\n", READER_DARKNET },
        { NET CONV("") HEAD("8", "logistic") "[sam]\nfrom=0\n", READER_DARKNET },
        { NET CONV("") "[reorg3d]\nstride=2\n", READER_DARKNET | READER_OPENCV },
        { NET CONV("dilation=2\n"), READER_DARKNET | READER_OPENCV }, { NET CONV("dilation=1\nstride_x=2\n"), 0 },
        { NET CONV("stride_x=1\n"), READER_DARKNET | READER_OPENCV },
        { NET CONV("") HEAD("8", "linear") HEAD("8", "linear") "[shortcut]\nfrom=-2,-3\nactivation=linear\n",
          READER_DARKNET | READER_OPENCV },
        { NET CONV("") HEAD("8", "linear") "[shortcut]\nfrom=-2\nweights_type=per_feature\nactivation=linear\n",
          READER_DARKNET | READER_OPENCV },
        { NET CONV("") CONV("") "[shortcut]\nfrom=0\nactivation=linear\n", READER_OPENCV },      /* another size */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
        if (cannot(cases[i].cfg) != cases[i].cannot) fail_msg("case %zu: %u, expected %u", i, cannot(cases[i].cfg), cases[i].cannot);
}

/* ---- exports ---- */

/* The export's JSON, parsed; the caller deletes it. */
static cJSON *exported(const char *cfg, int stream)
{
    static const char *const arg[] = { "r.cfg", "r.weights", "out" };
    char *text = NULL;
    size_t len;
    diag *d = diag_new();
    options o = { .verify = 4, .json = 1 };
    check_write_network("r", cfg, (uint64_t)stream);
    o.out = open_memstream(&text, &len);
    int failed = export_network(&o, arg, LOWER_TRAIN, d);
    fclose(o.out);
    check_no_errors(d);
    assert_int_equal(failed, 0);
    cJSON *object = cJSON_Parse(text);
    free(text);
    diag_free(d);
    return object;
}

static const cJSON *reader_named(const cJSON *object, const char *list, const char *name)
{
    const cJSON *one;
    cJSON_ArrayForEach(one, cJSON_GetObjectItem(object, list))
        if (!strncmp(cJSON_GetObjectItem(one, "reader")->valuestring, name, strlen(name))) return one;
    return NULL;
}

static void ran(const cJSON *object, const char *list, const char *name)
{
    const cJSON *one = reader_named(object, list, name);
    assert_non_null(one);
    if (!cJSON_IsTrue(cJSON_GetObjectItem(one, "ran"))) fail_msg("%s: %s", name, cJSON_GetObjectItem(one, "why")->valuestring);
    assert_true(cJSON_GetObjectItem(one, "max_difference")->valuedouble <= cJSON_GetObjectItem(one, "bound")->valuedouble);
}

static void not_asked(const cJSON *object, const char *list, const char *name, const char *why)
{
    const cJSON *one = reader_named(object, list, name);
    assert_non_null(one);
    assert_true(cJSON_IsFalse(cJSON_GetObjectItem(one, "ran")));
    assert_string_equal(cJSON_GetObjectItem(one, "why")->valuestring, why);
}

static int has_program(void) { return !access("/usr/bin/darknet", X_OK); }

static void new_coords(void **state)
{
    (void)state;
    static const char why[] = "not asked: it does not take [yolo] new_coords=1";
    cJSON *object = exported(TRUNK HEAD("16", "logistic") "[yolo]\nscale_x_y=2\nnew_coords=1\nnms_kind=greedynms\n" KEYS, 3);
    not_asked(object, "readers", "libdarknet", why);
    ran(object, "readers", "darknet distill");
    ran(object, "readers", "OpenCV");
    ran(object, "boxes", "OpenCV");
    assert_true(cJSON_GetObjectItem(reader_named(object, "boxes", "OpenCV"), "boxes")->valuedouble > 20);
    not_asked(object, "boxes", "/usr/bin/darknet", why);
    cJSON_Delete(object);
    char *text = check_read("out.cfg", &(size_t){ 0 });
    assert_non_null(strstr(text, "new_coords=1"));
    assert_null(strstr(text, "nms_kind=default"));
    free(text);
}

static void scale_x_y(void **state)
{
    (void)state;
    cJSON *object = exported(TRUNK HEAD("16", "linear") "[yolo]\nscale_x_y=1.2\n" KEYS, 4);
    ran(object, "readers", "libdarknet");
    assert_null(reader_named(object, "readers", "darknet distill"));
    ran(object, "boxes", "OpenCV");
    if (has_program()) not_asked(object, "boxes", "/usr/bin/darknet", "not asked: it does not take [yolo] scale_x_y=");
    cJSON_Delete(object);
}

static void gaussian(void **state)
{
    (void)state;
    static const char why[] = "not asked: it does not take a section that only forks have";
    cJSON *object = exported(TRUNK HEAD("24", "linear") "[Gaussian_yolo]\n" KEYS, 5);
    not_asked(object, "readers", "libdarknet", why);
    not_asked(object, "readers", "OpenCV", why);
    ran(object, "readers", "darknet distill");
    not_asked(object, "boxes", "OpenCV", why);
    not_asked(object, "boxes", "/usr/bin/darknet", why);
    cJSON_Delete(object);
}

#define POINT(filters, activation, keys) \
    "[convolutional]\nfilters=" filters "\nsize=1\nstride=1\nactivation=" activation "\n" keys
#define END_OF "[avgpool]\n" HEAD("5", "linear") "[softmax]\n"

/* What OpenCV reads is read by it: the same answers. */
static void opencv_reads(void **state)
{
    (void)state;
    static const struct { const char *cfg, *why; } cases[] = {
        { NET CONV("") POINT("8", "mish", "batch_normalize=1\n") POINT("8", "swish", "") END_OF, "activation=mish or swish" },
        { NET CONV("") POINT("8", "silu", "") END_OF, "activation=mish or swish" },
        { NET CONV("") "[route]\nlayers=-1\ngroups=2\ngroup_id=1\n" POINT("8", "leaky", "") END_OF, "[route] groups=" },
        { NET CONV("") "[route_lhalf]\nlayers=-1\n" POINT("8", "leaky", "") END_OF, "[route] groups=" },
        { NET CONV("") "[avgpool]\n" POINT("8", "logistic", "") "[scale_channels]\nfrom=0\n" END_OF, "[scale_channels] or [sam]" },
        { NET CONV("") POINT("8", "logistic", "") "[sam]\nfrom=0\n" END_OF, "[scale_channels] or [sam]" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char *why = mem_printf("not asked: it does not take %s", cases[i].why);
        cJSON *object = exported(cases[i].cfg, 10 + (int)i);
        not_asked(object, "readers", "libdarknet", why);
        not_asked(object, "readers", "/usr/bin/darknet", why);
        ran(object, "readers", "darknet distill");
        ran(object, "readers", "OpenCV");
        cJSON_Delete(object);
        free(why);
    }
}

/* What it does not, only this program does. */
static void only_this_program_reads(void **state)
{
    (void)state;
    static const char *const cases[] = {
        NET CONV("dilation=2\n") END_OF, NET CONV("stride_x=1\n") END_OF, NET CONV("") "[reorg3d]\nstride=2\n" END_OF,
        NET CONV("") POINT("8", "relu6", "") POINT("8", "hard_swish", "") POINT("8", "gelu", "") END_OF,
        NET CONV("") POINT("8", "linear", "") POINT("8", "leaky", "") "[shortcut]\nfrom=-2,-3\nactivation=linear\n" END_OF,
        NET CONV("") POINT("8", "linear", "") "[shortcut]\nfrom=-2\nweights_type=per_feature\nweights_normalization=relu\nactivation=linear\n" END_OF,
        NET CONV("") POINT("4", "leaky", "") "[route]\nlayers=-1,0\ngroups=2\ngroup_id=1\n" END_OF,
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        cJSON *object = exported(cases[i], 20 + (int)i);
        assert_true(cJSON_IsFalse(cJSON_GetObjectItem(reader_named(object, "readers", "OpenCV"), "ran")));
        assert_true(cJSON_IsFalse(cJSON_GetObjectItem(reader_named(object, "readers", "libdarknet"), "ran")));
        ran(object, "readers", "darknet distill");
        cJSON_Delete(object);
    }
}

/* What is verified is what was written: other weights are noticed by the one reader that is left. */
static void damage_is_noticed(void **state)
{
    (void)state;
    enum { SIDE = 96, BYTES = 3 * SIDE * SIDE, VALUES = 36 * 24 };
    cJSON_Delete(exported(TRUNK HEAD("24", "linear") "[Gaussian_yolo]\n" KEYS, 5));
    verify_result result[VERIFY_READERS];
    int output = 4;
    uint8_t *pixels = mem_calloc(BYTES, 1);
    float *answer = mem_calloc(VALUES, sizeof *answer);
    diag *d = diag_new();
    for (int i = 0; i < VALUES; ++i) answer[i] = 3;
    verify_job job = { .cfg = "out.cfg", .weights = "out.weights", .not_darknet = "x", .not_opencv = "x", .n = 1, .c = 3, .h = SIDE,
                       .w = SIDE, .outputs = 1, .output = &output, .values = VALUES, .raw = 1, .pixels = pixels, .answer = answer };
    assert_int_equal(verify_deployed(&job, result, d), -1);
    assert_int_equal(result[VERIFY_OWN].ran, VERIFY_RAN);
    assert_true(result[VERIFY_OWN].difference > result[VERIFY_OWN].bound);
    assert_non_null(strstr(diag_get(d, 0)->text, "darknet distill differs from the training network by"));
    diag_free(d);
    free(pixels);
    free(answer);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_cannot_read), cmocka_unit_test(new_coords), cmocka_unit_test(scale_x_y),
        cmocka_unit_test(gaussian), cmocka_unit_test(opencv_reads), cmocka_unit_test(only_this_program_reads), cmocka_unit_test(damage_is_noticed),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return chdir("/") || failed;
}
