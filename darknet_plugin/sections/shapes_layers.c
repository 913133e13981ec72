/* The shape of every layer type of this Darknet, as its constructors compute it: output map (c, h, w), floats per
 * image, floats in the weights file, multiply-adds. Where the host would assert, divide by zero or overrun a
 * buffer there is an error instead. Sums are in 64 bits and saturate; what the host counts in int must fit one.
 *
 *   convolutional    h' = (h + 2p - k)/s + 1       maxpool   h' = (h + p - k)/s + 1       (integer division)
 *                    whatever the dilation, as AlexeyAB's Darknet has it: so it is refused where that is not the size
 *   deconvolutional  h' = (h - 1)s + k - 2p        local     h' = (h - k)/s + 1, with pad (h - 1)/s + 1 */
#include "shapes_kit.h"

#include <stdlib.h>
#include <string.h>

/* ---- layers with weights ---- */

static void check_groups(shape_run *run, int64_t groups, int64_t filters)
{
    if (run->l->in_c % groups)
        shape_error(run, "groups", "'groups' is %lld, which does not divide the %d input channels", (long long)groups,
                    run->l->in_c);
    if (filters % groups)
        shape_error(run, "groups", "'groups' is %lld, which does not divide the %lld filters", (long long)groups,
                    (long long)filters);
}

/* Columns and rows that a window moves on by. */
static void strides(shape_run *run, int64_t *x, int64_t *y)
{
    int across, down;
    (void)positive(run, "stride", 1);
    cfg_strides(run->section, &across, &down);
    *x = across < 1 ? 1 : across;
    *y = down < 1 ? 1 : down;
}

static void check_dilation(shape_run *run, int64_t size, int64_t pad)
{
    int dilation = cfg_dilation(run->section);
    if (dilation < 2 || 2 * pad == size - 1) return;
    shape_error(run, "dilation", "dilation=%d needs a padding of %lld on each side of a kernel of %lld, not %lld",
                dilation, (long long)(size - 1) / 2, (long long)size, (long long)pad);
}

/* With groups a filter reads its share of the channels. */
static int convolutional(shape_run *run)
{
    int64_t n = positive(run, "filters", 1), k = positive(run, "size", 1), x, y;
    int64_t pad = number(run, "pad", 0) ? k / 2 : number(run, "padding", 0), groups = positive(run, "groups", 1);
    strides(run, &x, &y);
    if (!has_image(run)) return 0;
    check_groups(run, groups, n);
    check_dilation(run, k, pad);
    if (!kernel_fits(run, k, 2 * pad)) return 0;
    int64_t s = x == y ? x : 1;
    if (k == 1 && s > 1) {
        diag_warn(run->d, run->section->file, cfg_line(run->section, "stride"), run->section->name,
                  "stock Darknet ignores stride %lld of a 1x1 kernel on the CPU", (long long)s);
        diag_hint(run->d, "[maxpool] size=1 stride=%lld before it, and stride=1 here, is the same everywhere%s",
                  (long long)s, pad ? "" : "; export writes it so");
    }
    input_is_map(run);
    if (!set_map(run, n, (run->l->in_h + 2 * pad - k) / y + 1, (run->l->in_w + 2 * pad - k) / x + 1)) return 0;
    int64_t weights = times(times(run->l->in_c / groups, n), times(k, k));
    add_weights(run, weights, n, normalised(run), (double)weights * run->l->h * run->l->w);
    return 1;
}

static int deconvolutional(shape_run *run)
{
    int64_t n = positive(run, "filters", 1), k = positive(run, "size", 1), s = positive(run, "stride", 1);
    int64_t pad = number(run, "pad", 0) ? k / 2 : number(run, "padding", 0);
    if (!has_image(run)) return 0;
    input_is_map(run);
    if (!set_map(run, n, (run->l->in_h - 1) * s + k - 2 * pad, (run->l->in_w - 1) * s + k - 2 * pad)) return 0;
    int64_t weights = times(times(run->l->in_c, n), times(k, k));
    add_weights(run, weights, n, normalised(run), (double)weights * run->l->in_h * run->l->in_w);
    return 1;
}

static int local(shape_run *run)
{
    int64_t n = positive(run, "filters", 1), k = positive(run, "size", 1), s = positive(run, "stride", 1);
    int64_t less = number(run, "pad", 0) ? 1 : k;
    if (!has_image(run) || !kernel_fits(run, less, 0)) return 0;
    input_is_map(run);
    if (!set_map(run, n, (run->l->in_h - less) / s + 1, (run->l->in_w - less) / s + 1)) return 0;
    int64_t weights = times(times(times(run->l->in_c, n), times(k, k)), times(run->l->h, run->l->w));
    add_weights(run, weights, run->l->outputs, 0, (double)weights);
    return 1;
}

static int connected(shape_run *run)
{
    int64_t n = positive(run, "output", 1);
    if (!has_input(run)) return 0;
    int64_t weights = times(run->l->inputs, n);
    add_weights(run, weights, n, normalised(run), (double)weights);
    return set_map(run, n, 1, 1);
}

/* `in` connected layers that read the input and `state` ones that read n floats of their own; no map comes out. */
static int recurrent(shape_run *run, int in, int state)
{
    int64_t n = positive(run, "output", 1);
    if (!has_input(run)) return 0;
    int64_t from_input = times(run->l->inputs, n), from_state = times(n, n);
    for (int i = 0; i < in; ++i) add_weights(run, from_input, n, normalised(run), (double)from_input);
    for (int i = 0; i < state; ++i) add_weights(run, from_state, n, normalised(run), (double)from_state);
    return set_outputs(run, n);
}

static int rnn(shape_run *run) { return recurrent(run, 1, 2); }
static int gru(shape_run *run) { return recurrent(run, 3, 3); }
static int lstm(shape_run *run) { return recurrent(run, 4, 4); }

/* The host hands width and height over in the wrong order and dies of what comes of it. */
static int crnn(shape_run *run)
{
    shape_error(run, NULL, "crashes this Darknet");
    diag_hint(run->d, "[rnn], [gru] and [lstm] run");
    return 0;
}

static int batchnorm(shape_run *run)
{
    shape_error(run, NULL, "crashes this Darknet");
    diag_hint(run->d, "write batch_normalize=1 in the section before it");
    return has_input(run) && same_map(run);
}

/* ---- layers without weights ---- */

static int maxpool(shape_run *run)
{
    int64_t s = positive(run, "stride", 1), k = positive(run, "size", (int)s), pad = number(run, "padding", (int)k - 1);
    int64_t x, y;
    strides(run, &x, &y);
    if (!has_image(run) || !kernel_fits(run, k, pad)) return 0;
    input_is_map(run);
    return set_map(run, run->l->in_c, (run->l->in_h + pad - k) / y + 1, (run->l->in_w + pad - k) / x + 1);
}

static int avgpool(shape_run *run)
{
    if (!has_image(run)) return 0;
    input_is_map(run);
    return set_map(run, run->l->in_c, 1, 1);
}

static int upsample(shape_run *run)
{
    int64_t s = number(run, "stride", 2);
    if (!s) shape_error(run, "stride", "'stride' is 0, expected a factor, or minus one to shrink");
    if (!s || !has_image(run) || (s < 0 && !divides(run, -s))) return 0;
    input_is_map(run);
    if (s < 0) return set_map(run, run->l->in_c, run->l->in_h / -s, run->l->in_w / -s);
    return set_map(run, run->l->in_c, times(run->l->in_h, s), times(run->l->in_w, s));
}

/* With `extra` a copy with that many zeros more and no map; the host moves floats by c / stride^2 either way. */
static int reorg(shape_run *run)
{
    int64_t s = positive(run, "stride", 1), extra = number(run, "extra", 0), square = times(s, s);
    int reverse = cfg_int(run->section, "reverse", 0), flatten = cfg_int(run->section, "flatten", 0);
    if (!has_image(run)) return 0;
    input_is_map(run);
    if (extra && flatten) shape_error(run, "flatten", "'extra' and 'flatten' cannot stand together");
    if (extra) return set_outputs(run, run->l->inputs + extra);
    if (run->l->in_c % square) {
        shape_error(run, "stride", "stride %lld needs a multiple of %lld input channels, not %d", (long long)s,
                    (long long)square, run->l->in_c);
        return 0;
    }
    if (reverse) return set_map(run, run->l->in_c / square, times(run->l->in_h, s), times(run->l->in_w, s));
    if (!divides(run, s)) return 0;
    return set_map(run, times(run->l->in_c, square), run->l->in_h / s, run->l->in_w / s);
}

/* A channel for each pixel of a square of `stride`. */
static int reorg3d(shape_run *run)
{
    int64_t s = positive(run, "stride", 1);
    if (!has_image(run) || !divides(run, s)) return 0;
    input_is_map(run);
    return set_map(run, times(run->l->in_c, times(s, s)), run->l->in_h / s, run->l->in_w / s);
}

static int crop(shape_run *run)
{
    int64_t h = positive(run, "crop_height", 1), w = positive(run, "crop_width", 1);
    if (!has_image(run)) return 0;
    input_is_map(run);
    if (h > run->l->in_h || w > run->l->in_w)
        shape_error(run, "crop_height", "a crop of %lldx%lld is larger than the %dx%dx%d input", (long long)h,
                    (long long)w, run->l->in_c, run->l->in_h, run->l->in_w);
    return set_map(run, run->l->in_c, h, w);
}

static int dropout(shape_run *run)
{
    if (!run->i) shape_error(run, NULL, "cannot be the first layer: it works in place on the one before");
    return has_input(run) && same_map(run);
}

static int normalization(shape_run *run)
{
    if (!has_image(run)) return 0;
    input_is_map(run);
    return same_map(run);
}

/* As many floats out as in; the map is carried along. */
static int elementwise(shape_run *run) { return has_input(run) && same_map(run); }

/* As many floats out as in; the map is lost. */
static int flat(shape_run *run) { return has_input(run) && set_outputs(run, run->l->inputs); }

static int softmax_of(shape_run *run)
{
    int64_t groups = positive(run, "groups", 1);
    if (!has_input(run)) return 0;
    if (run->l->inputs % groups)
        shape_error(run, "groups", "%d inputs cannot be split into %lld groups", run->l->inputs, (long long)groups);
    return flat(run);
}

/* ---- detection ---- */

/* `num` pairs of numbers, or none at all. */
static void check_anchors(shape_run *run, int64_t num)
{
    float *anchor;
    int n = cfg_floats(run->section, "anchors", &anchor);
    if (n && n > 2 * num)
        shape_error(run, "anchors", "'anchors' has %d numbers, expected %lld for num=%lld", n, (long long)(2 * num),
                    (long long)num);
    else if (n && n < 2 * num)
        diag_warn(run->d, run->section->file, cfg_line(run->section, "anchors"), run->section->name,
                  "'anchors' has %d numbers, the rest of %lld are taken as 0.5", n, (long long)(2 * num));
    free(anchor);
}

/* How many of the `num` anchors this layer uses. */
static int64_t masks(shape_run *run, int64_t num)
{
    int *mask, n = cfg_ints(run->section, "mask", &mask);
    for (int i = 0; i < n; ++i)
        if (mask[i] < 0 || mask[i] >= num)
            shape_error(run, "mask", "'mask' names anchor %d, expected 0 to %lld", mask[i], (long long)(num - 1));
    free(mask);
    return n ? n : num;
}

/* An anchor has a number a class and `more`. */
static int anchored(shape_run *run, int64_t more)
{
    int64_t classes = positive(run, "classes", CFG_CLASSES), num = positive(run, "num", 1), n = masks(run, num);
    int64_t want = times(n, classes + more);
    check_anchors(run, num);
    if (!has_image(run)) return 0;
    if (want != run->l->in_c)
        shape_error(run, NULL, "needs %lld input channels (%lld masks x (%lld + %lld)), not %d", (long long)want,
                    (long long)n, (long long)classes, (long long)more, run->l->in_c);
    return same_map(run);
}

static int yolo(shape_run *run) { return anchored(run, 5); }
/* With an uncertainty for each number of a box. */
static int gaussian_yolo(shape_run *run) { return anchored(run, 9); }

/* YOLOv2's, with as many numbers of a box as it says. */
static int region(shape_run *run)
{
    int64_t coords = number(run, "coords", 4), classes = positive(run, "classes", CFG_CLASSES);
    int64_t n = positive(run, "num", 1);
    int64_t want = times(n, classes + coords + 1);
    check_anchors(run, n);
    if (!has_image(run)) return 0;
    if (want != run->l->in_c)
        shape_error(run, NULL, "needs %lld input channels (%lld anchors x (%lld + %lld + 1)), not %d", (long long)want,
                    (long long)n, (long long)classes, (long long)coords, run->l->in_c);
    return same_map(run);
}

static int iseg(shape_run *run)
{
    int64_t classes = positive(run, "classes", CFG_CLASSES), ids = number(run, "ids", 32);
    if (!has_image(run)) return 0;
    if (classes + ids != run->l->in_c)
        shape_error(run, NULL, "needs %lld input channels (%lld classes + %lld ids), not %d",
                    (long long)(classes + ids), (long long)classes, (long long)ids, run->l->in_c);
    return same_map(run);
}

static int detection(shape_run *run)
{
    int64_t coords = number(run, "coords", 1), classes = positive(run, "classes", 1), n = positive(run, "num", 1);
    int64_t side = positive(run, "side", 7), want = times(times(side, side), times(1 + coords, n) + classes);
    if (!has_input(run)) return 0;
    if (want != run->l->inputs)
        shape_error(run, NULL, "needs %lld inputs (%lld x %lld x (%lld x (%lld + 1) + %lld)), not %d", (long long)want,
                    (long long)side, (long long)side, (long long)n, (long long)coords, (long long)classes,
                    run->l->inputs);
    return flat(run);
}

static const shape_row rows[] = {
    { "convolutional", 1, convolutional }, { "deconvolutional", 1, deconvolutional }, { "local", 1, local },
    { "connected", 1, connected }, { "rnn", 1, rnn }, { "gru", 1, gru }, { "lstm", 1, lstm }, { "crnn", 1, crnn },
    { "batchnorm", 1, batchnorm },
    { "maxpool", 0, maxpool }, { "avgpool", 0, avgpool }, { "upsample", 0, upsample }, { "reorg", 0, reorg },
    { "crop", 0, crop }, { "dropout", 0, dropout }, { "normalization", 0, normalization },
    { "activation", 0, elementwise }, { "logistic", 0, elementwise }, { "l2norm", 0, elementwise },
    { "softmax", 0, softmax_of }, { "cost", 0, flat },
    { "route", 0, shape_route }, { "shortcut", 0, shape_shortcut }, { "scale_channels", 0, shape_scale_channels },
    { "sam", 0, shape_sam }, { "reorg3d", 0, reorg3d },
    { "yolo", 0, yolo }, { "Gaussian_yolo", 0, gaussian_yolo }, { "region", 0, region }, { "iseg", 0, iseg },
    { "detection", 0, detection },
};

const shape_row *shape_row_of(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (!strcmp(rows[i].name, name)) return &rows[i];
    return NULL;
}
