/* Boxes of [yolo] and [region] heads against the host's own get_network_boxes and do_nms_sort on the same outputs. */
#include "layers/network.h"
#include "check.h"

#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/model/detect.h"
#include "darknet_plugin/lowering/lower.h"

void do_nms_sort(detection *dets, int total, int classes, float thresh);

#define HEAD(text) "[convolutional]\nfilters=" text "size=1\nstride=1\npad=0\nactivation=linear\n\n"
#define ANCHORS "anchors=12,18, 37,49, 52,132, 115,73\n"

/* Two [yolo] heads of 8x6 and 16x12 cells. */
static const char yolo_text[] =
    "[net]\nbatch=3\nwidth=128\nheight=96\nchannels=3\n\n"
    "[maxpool]\nsize=8\nstride=8\n\n[maxpool]\nsize=2\nstride=2\n\n"
    HEAD("16\n") "[yolo]\nmask=2,3\n" ANCHORS "classes=3\nnum=4\n\n"
    "[route]\nlayers=0\n\n" HEAD("16\n") "[yolo]\nmask=0,1\n" ANCHORS "classes=3\nnum=4\n\n";

static const char region_text[] =
    "[net]\nbatch=3\nwidth=96\nheight=128\nchannels=3\n\n[maxpool]\nsize=16\nstride=16\n\n"
    HEAD("24\n") "[region]\nanchors=1.2,1.5, .6,.9, 3,2\nclasses=3\ncoords=4\nnum=3\nsoftmax=1\n\n";

/* No objectness, sigmoid classes, a mask's two numbers beyond the box. */
static const char background_text[] =
    "[net]\nbatch=1\nwidth=96\nheight=96\nchannels=3\n\n[maxpool]\nsize=16\nstride=16\n\n"
    HEAD("20\n") "[region]\nanchors=1.2,1.5, .6,.9\nclasses=3\ncoords=6\nnum=2\nbackground=1\n\n";

static network *run(const char *text)
{
    network *net = check_parse(text);
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (l->type != CONVOLUTIONAL) continue;
        check_fill(l->weights, (size_t)l->nweights, (uint64_t)i);
        check_fill(l->biases, (size_t)l->n, (uint64_t)(100 + i));
        for (int k = 0; k < l->nweights; ++k) l->weights[k] *= 3;
    }
    check_fill(net->input, (size_t)net->batch * (size_t)net->inputs, 7);
    net->truth = NULL;
    network_forward(net, net->n, 0);
    return net;
}

static cfg_file *read_text(const char *text)
{
    diag *d = diag_new();
    cfg_file *c = cfg_parse("test.cfg", text, strlen(text), d);
    check_no_errors(d);
    diag_free(d);
    return c;
}

static detect_heads heads_of(const network *net, const char *text)
{
    diag *d = diag_new();
    cfg_file *c = read_text(text);
    detect_heads h;
    assert_int_equal(detect_heads_of(net, c, &h, d), 0);
    cfg_free(c);
    diag_free(d);
    return h;
}

/* The host only knows image 0 of a batch, and averages the two of a batch of 2: it is shown one image at a time. */
static void show_host(network *net, int b, int begin)
{
    for (int i = 0; i < net->n; ++i) {
        layer *l = &net->layers[i];
        if (l->type != YOLO && l->type != REGION) continue;
        l->output += (begin ? b : -b) * l->outputs;
        l->batch = begin ? 1 : net->batch;
    }
}

static int likelier(const void *one, const void *other)
{
    const detect_box *a = one, *b = other;
    return (a->probability < b->probability) - (a->probability > b->probability);
}

static detect_list host_boxes(network *net, int b, int w, int h, float threshold, float nms)
{
    detect_list out = { 0 };
    int n = 0, classes = net->layers[net->n - 1].classes;
    show_host(net, b, 1);
    detection *found = get_network_boxes(net, w, h, threshold, .5f, NULL, 1, &n);
    show_host(net, b, 0);
    if (nms > 0) do_nms_sort(found, n, classes, nms);
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < classes; ++k) {
            box at = found[i].bbox;
            detect_box one = { .label = k, .probability = found[i].prob[k], .x = at.x, .y = at.y, .w = at.w, .h = at.h };
            if (one.probability > 0) detect_list_add(&out, &one);
        }
    free_detections(found, n);
    if (out.n) qsort(out.box, out.n, sizeof *out.box, likelier);
    return out;
}

static void check_box(const detect_box *a, const detect_box *b, size_t i)
{
    assert_int_equal(a->label, b->label);
    check_close(a->probability, b->probability, 1e-6, "probability", i);
    check_close(a->x, b->x, 2e-6, "x", i);
    check_close(a->y, b->y, 2e-6, "y", i);
    check_close(a->w, b->w, 2e-6, "w", i);
    check_close(a->h, b->h, 2e-6, "h", i);
}

/* Every image of the batch; the image's own size (w, h), or 0: stretched. Returns how many boxes were compared. */
static size_t compare(network *net, const detect_heads *h, int w, int height, float threshold, float nms)
{
    size_t n = 0;
    detect_options o = { .threshold = threshold, .nms = nms > 0 ? nms : 1, .letterbox = w > 0 };
    for (int b = 0; b < net->batch; ++b) {
        detect_list ours = { 0 }, host = host_boxes(net, b, w ? w : net->w, w ? height : net->h, threshold, nms);
        detect_image(h, b, w ? w : 640, w ? height : 100, &o, b, &ours);
        assert_int_equal(ours.n, host.n);
        for (size_t i = 0; i < ours.n; ++i) {
            check_box(&ours.box[i], &host.box[i], i);
            assert_int_equal(ours.box[i].image, b);
        }
        n += ours.n;
        detect_list_free(&ours);
        detect_list_free(&host);
    }
    return n;
}

static void compare_all(const char *text)
{
    network *net = run(text);
    detect_heads h = heads_of(net, text);
    size_t all = compare(net, &h, 0, 0, .01f, 0), likely = compare(net, &h, 0, 0, .5f, 0), thin = compare(net, &h, 0, 0, .01f, .45f);
    assert_true(all > thin && thin > 20 && all > likely);
    assert_int_equal(compare(net, &h, 640, 427, .01f, 0), all);    /* wide, high, odd borders, a net-sized one */
    assert_int_equal(compare(net, &h, 333, 500, .01f, 0), all);
    assert_int_equal(compare(net, &h, 70, 900, .01f, 0), all);
    assert_int_equal(compare(net, &h, net->w, net->h, .01f, .45f), thin);
    compare(net, &h, 500, 375, .05f, .3f);
    detect_heads_free(&h);
    host_free(net);
}

static void test_yolo(void **state)
{
    (void)state;
    compare_all(yolo_text);
}

static void test_region(void **state)
{
    (void)state;
    compare_all(region_text);
}

static void test_region_with_background(void **state)
{
    (void)state;
    compare_all(background_text);
}

/* AlexeyAB's x = (logistic(tx) s - (s - 1)/2 + column)/w, by hand. */
static void test_scale_x_y(void **state)
{
    (void)state;
    char *text = mem_printf("%sscale_x_y=1.2\n", yolo_text);
    network *net = run(yolo_text);
    diag *d = diag_new();
    cfg_file *c = read_text(text);
    detect_heads h;
    detect_options o = { .threshold = 0, .nms = 1 };
    detect_list got = { 0 };
    assert_int_equal(detect_heads_of(net, c, &h, d), 0);
    assert_int_equal(diag_warnings(d), 1);
    assert_non_null(strstr(diag_get(d, 0)->text, "0.1 cells"));
    assert_true(h.n == 2 && h.head[0].scale_x_y == 1 && h.head[1].scale_x_y == 1.2f);
    h.head[0] = h.head[1];   /* only the 16x12 one */
    h.n = 1;
    detect_image(&h, 1, 1, 1, &o, 5, &got);
    const layer *l = h.head[0].l;
    const float *y = l->output + l->outputs;   /* image 1 */
    int cells = 16 * 12, anchor = 1, cell = 5 * 16 + 9, found = 0;
    const float *t = y + anchor * 8 * cells + cell;
    float want_x = (t[0] * 1.2f - .1f + 9) / 16, want_y = (t[cells] * 1.2f - .1f + 5) / 12, want_p = t[4 * cells] * t[7 * cells];
    for (size_t i = 0; i < got.n; ++i)
        found += got.box[i].label == 2 && got.box[i].image == 5 && fabsf(got.box[i].probability - want_p) < 1e-7f &&
                 fabsf(got.box[i].x - want_x) < 1e-6f && fabsf(got.box[i].y - want_y) < 1e-6f;
    assert_int_equal(found, 1);
    assert_int_equal(got.n, 2 * cells * 3);
    detect_list copied = { 0 };          /* the same from a copy of the output, as of a batch run in parts */
    float *copy = mem_calloc((size_t)l->outputs * 3, sizeof *copy);
    memcpy(copy, l->output, (size_t)l->outputs * 3 * sizeof *copy);
    memset(l->output, 0, (size_t)l->outputs * 3 * sizeof *copy);
    h.head[0].output = copy;
    detect_image(&h, 1, 1, 1, &o, 5, &copied);
    assert_int_equal(copied.n, got.n);
    assert_memory_equal(copied.box, got.box, got.n * sizeof *got.box);
    detect_list_free(&copied), free(copy);
    detect_list_free(&got), detect_heads_free(&h), cfg_free(c), diag_free(d), host_free(net), free(text);
}

/* Deployed, the key stays where it changes boxes (AlexeyAB and OpenCV know it), and goes where it says nothing. */
static void test_scale_x_y_deployed(void **state)
{
    (void)state;
    for (int i = 0; i < 2; ++i) {
        diag *d = diag_new();
        char *text = mem_printf("%sscale_x_y=%s\niou_loss=ciou\niou_thresh=.2\n", yolo_text, i ? "1.2" : "1.0");
        lowered *low = lower_cfg(cfg_parse("test.cfg", text, strlen(text), d), LOWER_DEPLOY, d);
        check_no_errors(d);
        const cfg_section *s = cfg_layer(low->cfg, cfg_layers(low->cfg) - 1);
        assert_true(cfg_is(s, "yolo") && !cfg_find(s, "iou_loss") && !cfg_find(s, "iou_thresh"));
        assert_int_equal(cfg_find(s, "scale_x_y") != NULL, i);
        lower_free(low), diag_free(d), free(text);
    }
}

/* One head, one cell a row, written by hand. */
static void put(layer *l, int cell, float objectness, float p0, float p1, float x)
{
    float v[7] = { x, .5f, 0, 0, objectness, p0, p1 };
    for (int e = 0; e < 7; ++e) l->output[e * l->w * l->h + cell] = v[e];
}

static const char hand_text[] = "[net]\nbatch=1\nwidth=32\nheight=32\nchannels=3\n\n[maxpool]\nsize=8\nstride=8\n\n" HEAD("7\n")
                                "[yolo]\nmask=0\nanchors=16,16\nclasses=2\nnum=1\n\n";

static void test_thinning(void **state)
{
    (void)state;
    network *net = run(hand_text);
    detect_heads h = heads_of(net, hand_text);
    layer *l = &net->layers[net->n - 1];
    detect_options o = { .threshold = .1f, .nms = .45f };
    detect_list got = { 0 };
    memset(l->output, 0, (size_t)l->outputs * sizeof *l->output);
    put(l, 0, 1, .5f, .2f, .5f);      /* centres at .125, .225, .65; half the picture wide: IoU .67 of the first two */
    put(l, 1, 1, .75f, .05f, -.1f);
    put(l, 2, .5f, .5f, .5f, .6f);
    detect_image(&h, 0, 9, 9, &o, 3, &got);
    assert_int_equal(got.n, 4);       /* the first's class 0 went; .05 is below the threshold; equals: lower class first */
    const detect_box want[4] = { { 3, 0, .75f, .225f, .125f, .5f, .5f }, { 3, 0, .25f, .65f, .125f, .5f, .5f },
                                 { 3, 1, .25f, .65f, .125f, .5f, .5f }, { 3, 1, .2f, .125f, .125f, .5f, .5f } };
    for (size_t i = 0; i < 4; ++i) check_box(&got.box[i], &want[i], i);
    o.most = 1;
    detect_image(&h, 0, 9, 9, &o, 4, &got);
    assert_int_equal(got.n, 6);       /* appended: the likeliest of each class */
    assert_true(got.box[4].image == 4 && got.box[4].label == 0 && got.box[4].probability == .75f);
    assert_true(got.box[5].label == 1 && got.box[5].probability == .25f);
    detect_list_free(&got), detect_heads_free(&h), host_free(net);
}

/* Objectness at the threshold is out, as is what is not a number or too large to be one. */
static void test_what_is_left_out(void **state)
{
    (void)state;
    network *net = run(hand_text);
    detect_heads h = heads_of(net, hand_text);
    layer *l = &net->layers[net->n - 1];
    detect_options o = { .threshold = .25f, .nms = .45f, .most = 100 };
    detect_list got = { 0 };
    memset(l->output, 0, (size_t)l->outputs * sizeof *l->output);
    detect_image(&h, 0, 9, 9, &o, 0, &got);
    assert_int_equal(got.n, 0);
    put(l, 0, .25f, 1, 1, .5f);
    put(l, 1, NAN, 1, 1, .5f);
    put(l, 2, 1, NAN, .25f, .5f);
    put(l, 3, 1, 1, 1, NAN);
    put(l, 4, 1, 1, 1, .5f);
    l->output[2 * 16 + 4] = 1000;    /* exp overflows */
    detect_image(&h, 0, 9, 9, &o, 0, &got);
    assert_int_equal(got.n, 0);
    put(l, 5, .5f, 1, 0, .5f);
    detect_image(&h, 0, 9, 9, &o, 0, &got);
    assert_int_equal(got.n, 1);
    detect_list_free(&got), detect_heads_free(&h), host_free(net);
}

static void refused(const char *text, int line, const char *reason)
{
    network *net = check_parse(text);
    cfg_file *c = read_text(text);
    diag *d = diag_new();
    detect_heads h;
    assert_int_equal(detect_heads_of(net, c, &h, d), -1);
    assert_int_equal(diag_count(d), 1);
    assert_int_equal(diag_get(d, 0)->line, line);
    if (!strstr(diag_get(d, 0)->text, reason)) fail_msg("'%s' does not say '%s'", diag_get(d, 0)->text, reason);
    detect_heads_free(&h), diag_free(d), cfg_free(c), host_free(net);
}

static void test_refused_networks(void **state)
{
    (void)state;
    refused("[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=2\nsize=1\nactivation=linear\n[softmax]\n", 0,
            "has no [yolo] and no [region]");
    char *text = mem_printf("%s" HEAD("14\n") "[yolo]\nmask=0,1\n" ANCHORS "num=4\nclasses=2\n", yolo_text);
    int line = 1;
    for (const char *p = text; (p = strchr(p, '\n')); ++p) ++line;
    refused(text, line - 1, "has 2 classes, the head before it 3");
    free(text);
    refused("[net]\nwidth=8\nheight=8\nchannels=3\n[convolutional]\nfilters=6\nsize=1\nactivation=linear\n[region]\ncoords=2\nclasses=3\n"
            "num=1\n", 9, "a box needs coords=4");
}

/* So thin that the letterbox has no column for it (the host divides by zero): one column is what the loader draws. */
static void test_thinnest_letterbox(void **state)
{
    (void)state;
    network *net = run(yolo_text);
    detect_heads h = heads_of(net, yolo_text);
    detect_options o = { .threshold = .01f, .nms = 1, .letterbox = 1 };
    detect_list thin = { 0 }, column = { 0 };
    detect_image(&h, 0, 1, 900, &o, 0, &thin);
    detect_image(&h, 0, 10, 900, &o, 0, &column);
    assert_true(thin.n > 100 && thin.n == column.n);
    for (size_t i = 0; i < thin.n; ++i) check_box(&thin.box[i], &column.box[i], i);
    detect_list_free(&thin), detect_list_free(&column), detect_heads_free(&h), host_free(net);
}

static void test_iou(void **state)
{
    (void)state;
    detect_box a = { .x = .5f, .y = .5f, .w = .5f, .h = .5f }, b = a, c = { .x = 1, .y = .5f, .w = .5f, .h = .5f };
    assert_true(detect_iou(&a, &b) == 1);
    b.x = .75f;
    check_close(detect_iou(&a, &b), 1 / 3., 1e-6, "half covered", 0);
    assert_true(detect_iou(&a, &c) == 0);    /* they touch */
    b.w = 0;
    assert_true(detect_iou(&a, &b) == 0 && detect_iou(&b, &b) == 0);
}

int main(void)
{
    network_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_yolo),
        cmocka_unit_test(test_region),
        cmocka_unit_test(test_region_with_background),
        cmocka_unit_test(test_scale_x_y),
        cmocka_unit_test(test_scale_x_y_deployed),
        cmocka_unit_test(test_thinning),
        cmocka_unit_test(test_what_is_left_out),
        cmocka_unit_test(test_refused_networks),
        cmocka_unit_test(test_thinnest_letterbox),
        cmocka_unit_test(test_iou),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
