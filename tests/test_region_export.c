/* [region] detectors deploy: `thresh`, a key of training that OpenCV would drop boxes by, is left out, and boxes are compared
 * as they are after each reader has thinned them out. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/deploying/export.h"

#include <cjson/cJSON.h>

#include <unistd.h>

#define NET "[net]\nbatch=2\nwidth=96\nheight=96\nchannels=3\n" \
    "[convolutional]\nfilters=4\nsize=3\nstride=4\npad=1\nactivation=leaky\n[maxpool]\nsize=8\nstride=8\n"
#define HEAD "[convolutional]\nfilters=16\nsize=1\nstride=1\nactivation=linear\n"
#define REGION "[region]\nanchors=1,1, 2,2\nclasses=3\ncoords=4\nnum=2\nsoftmax=1\n"
#define YOLO "[yolo]\nmask=0,1\nanchors=30,30, 60,60\nclasses=3\nnum=2\n"

enum { HEAD_FLOATS = 16 * 4 + 16, TRUNK_FLOATS = 4 * 27 + 4 };

/* Weights by which both boxes of each cell are as likely as `sure` says and as wide as `wide`: the larger, the more they cover
 * one another. */
static void write_weights(const char *path, int heads, float sure, float wide)
{
    const int32_t version[3] = { 0, 2, 0 };
    const uint64_t seen = 0;
    float trunk[TRUNK_FLOATS], head[HEAD_FLOATS];
    FILE *f = fopen(path, "wb");
    check_fill(trunk, TRUNK_FLOATS, 1);
    check_fill(head, HEAD_FLOATS, 2);
    for (int i = 0; i < HEAD_FLOATS; ++i) head[i] *= .3f;      /* biases first: x y w h, objectness, classes of each box */
    for (int box = 0; box < 2; ++box) {
        float *bias = head + 8 * box;
        bias[2] = bias[3] = wide - .7f * (float)box;
        bias[4] = sure;
        bias[5] = 3;
    }
    fwrite(version, sizeof version, 1, f);
    fwrite(&seen, sizeof seen, 1, f);
    fwrite(trunk, sizeof trunk, 1, f);
    for (int i = 0; i < heads; ++i) fwrite(head, sizeof head, 1, f);
    assert_int_equal(fclose(f), 0);
}

/* What the export says in JSON, the caller's; NULL where it failed. */
static char *exported(const char *cfg, diag *d)
{
    static const char *const arg[] = { "r.cfg", "r.weights", "out" };
    char *text = NULL;
    size_t len;
    options o = { .verify = 4, .json = 1 };
    check_write("r.cfg", cfg, strlen(cfg));
    o.out = open_memstream(&text, &len);
    int failed = export_network(&o, arg, LOWER_TRAIN, d);
    fclose(o.out);
    if (!failed) return text;
    free(text);
    return NULL;
}

/* How many boxes each reader was asked about. */
static void check_boxes(const char *text)
{
    cJSON *object = cJSON_Parse(text), *boxes = cJSON_GetObjectItem(object, "boxes"), *one;
    assert_int_equal(cJSON_GetArraySize(boxes), BOX_READERS);
    cJSON_ArrayForEach(one, boxes) {
        if (!cJSON_IsTrue(cJSON_GetObjectItem(one, "ran"))) continue;
        assert_true(cJSON_GetObjectItem(one, "boxes")->valuedouble >= 8);
        assert_true(cJSON_GetObjectItem(one, "max_difference")->valuedouble < 1e-4);
    }
    cJSON_Delete(object);
}

static void is_exported(const char *cfg, int heads, float sure, float wide)
{
    diag *d = diag_new();
    size_t len;
    write_weights("r.weights", heads, sure, wide);
    char *text = exported(cfg, d);
    check_no_errors(d);
    check_boxes(text);
    char *out = check_read("out.cfg", &len);
    assert_null(strstr(out, "thresh"));
    free(out);
    free(text);
    diag_free(d);
}

static void thresh_is_left_out(void **state)
{
    (void)state;
    is_exported(NET HEAD REGION "thresh=.6\n", 1, .3f, -2);       /* small boxes of about 0.5 */
    is_exported(NET HEAD REGION "thresh=.99\n", 1, 2, -2);
}

static void covering_boxes(void **state)
{
    (void)state;
    is_exported(NET HEAD REGION, 1, 3, 0);
    is_exported(NET HEAD REGION, 1, 3, 1.5f);                     /* larger than the picture */
    is_exported(NET HEAD REGION "thresh=.6\n", 1, 1, .5f);
}

/* A [region] is thinned out for itself in OpenCV, a [yolo] not, and the stock program takes all heads together. */
static void two_heads(void **state)
{
    (void)state;
    is_exported(NET HEAD REGION "[route]\nlayers=1\n" HEAD YOLO, 2, 3, .5f);
    is_exported(NET HEAD YOLO "[route]\nlayers=1\n" HEAD YOLO, 2, 3, .5f);
}

int main(void)
{
    network_init();
    if (chdir(check_folder())) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(thresh_is_left_out), cmocka_unit_test(covering_boxes), cmocka_unit_test(two_heads),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return chdir("/") || failed;
}
