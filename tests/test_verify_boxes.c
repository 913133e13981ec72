/* Boxes of a deployed detector: the same in OpenCV and in the stock program; a moved head is noticed by both. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/deploying/verify_boxes.h"

#include <unistd.h>

enum { SIDE = 96, IMAGES = 3 };

/* Bright squares on dark ground, one a picture, each elsewhere. */
static uint8_t *pictures(void)
{
    uint8_t *p = mem_calloc((size_t)IMAGES, 3 * SIDE * SIDE);
    for (int i = 0; i < IMAGES; ++i)
        for (int k = 0; k < SIDE * SIDE; ++k) {
            int x = k % SIDE - 20 - 10 * i, y = k / SIDE - 30 - 5 * i, inside = x >= 0 && x < 28 && y >= 0 && y < 28;
            uint8_t *at = p + 3 * (i * SIDE * SIDE + k);
            at[0] = inside ? 220 : 40;
            at[1] = inside ? 60 : 60;
            at[2] = inside ? 50 : 90;
        }
    return p;
}

/* cfg/shapes/teacher.cfg as it deploys, in files; `moved` is added to every bias of its heads' convolutions. */
static void deploy(const char *cfg, const char *weights, float moved)
{
    diag *d = diag_new();
    size_t len;
    lowered *low = lower_read("cfg/shapes/teacher.cfg", LOWER_DEPLOY, d);
    assert_non_null(low);
    char *text = cfg_text(low->cfg, &len);
    check_write(cfg, text, len);
    network *net = host_parse(text, len, cfg, d);
    assert_int_equal(weights_load(net, low->shape, "cfg/shapes/teacher.weights", NULL, d), 0);
    for (int i = 0; i + 1 < net->n; ++i)
        for (int k = 0; net->layers[i + 1].type == YOLO && k < net->layers[i].n; ++k) net->layers[i].biases[k] += moved;
    assert_int_equal(weights_save(net, weights, d), 0);
    check_no_errors(d);
    free(text);
    host_free(net);
    lower_free(low);
    diag_free(d);
}

static int verify(float moved, box_result r[BOX_READERS], diag *d)
{
    char *cfg = mem_printf("%s/d.cfg", check_folder()), *weights = mem_printf("%s/d.weights", check_folder());
    model_options o = { .batch = 2 };
    uint8_t *pixels = pictures();
    deploy(cfg, weights, moved);
    model *m = model_open("cfg/shapes/teacher.cfg", &o, d);
    assert_non_null(m);
    assert_int_equal(model_load_whole(m, "cfg/shapes/teacher.weights", d), 0);
    verify_job j = { .cfg = cfg, .weights = weights, .n = IMAGES, .c = 3, .h = SIDE, .w = SIDE, .pixels = pixels };
    int failed = verify_boxes(&j, m, r, d);
    model_close(m);
    free(pixels);
    free(cfg);
    free(weights);
    return failed;
}

static void the_same_boxes(void **state)
{
    (void)state;
    box_result r[BOX_READERS];
    diag *d = diag_new();
    assert_int_equal(verify(0, r, d), 0);
    for (int i = 0; i < BOX_READERS; ++i) {
        if (!r[i].ran) print_message("skipped: %s is %s\n", r[i].reader, r[i].why);
        else assert_true(r[i].boxes >= IMAGES && r[i].difference < 1e-4);
    }
    check_no_errors(d);
    diag_free(d);
}

static void moved_boxes_are_noticed(void **state)
{
    (void)state;
    box_result r[BOX_READERS];
    diag *d = diag_new();
    assert_int_equal(verify(.05f, r, d), -1);
    for (int i = 0; i < BOX_READERS; ++i) assert_true(!r[i].ran || r[i].difference > BOX_BOUND);
    assert_non_null(strstr(diag_get(d, 0)->text, "differ from the training network's by"));
    diag_free(d);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_same_boxes), cmocka_unit_test(moved_boxes_are_noticed) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
