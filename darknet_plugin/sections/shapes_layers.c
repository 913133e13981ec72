/* The shape of every layer type of this Darknet, as its constructors compute it: output map (c, h, w), floats per
 * image, floats in the weights file, multiply-adds. Where the host would assert, divide by zero or overrun a
 * buffer there is an error instead. Sums are in 64 bits and saturate; what the host counts in int must fit one.
 *
 *   convolutional    h' = (h + 2p - k)/s + 1       maxpool   h' = (h + p - k)/s + 1       (integer division)
 *   deconvolutional  h' = (h - 1)s + k - 2p        local     h' = (h - k)/s + 1, with pad (h - 1)/s + 1 */
#include "shapes_layers.h"

#include "darknet_plugin/base/mem.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

/* ---- helpers ---- */

static int64_t times(int64_t a, int64_t b)
{
    int64_t p;
    return __builtin_mul_overflow(a, b, &p) ? INT64_MAX : p;
}

static int64_t number(const shape_run *r, const char *key, int def) { return cfg_int(r->s, key, def); }

static int has_input(const shape_run *r) { return r->in_known; }

static int has_image(shape_run *r)
{
    if (!r->in_known) return 0;
    if (r->l->in_h > 0 && r->l->in_w > 0 && r->l->in_c > 0) return 1;
    shape_error(r, NULL, "needs an image before it, not %d plain inputs", r->l->inputs);
    return 0;
}

static int set_outputs(shape_run *r, int64_t n)
{
    if (n > INT_MAX) {
        shape_error(r, NULL, "has more outputs than Darknet can count");
        return 0;
    }
    r->l->outputs = (int)n;
    return 1;
}

/* Output map; 0 where a side is empty or the product is no int. */
static int set_map(shape_run *r, int64_t c, int64_t h, int64_t w)
{
    if (c < 1 || h < 1 || w < 1) {
        shape_error(r, NULL, "would have an empty output from its %dx%dx%d input", r->l->in_c, r->l->in_h, r->l->in_w);
        return 0;
    }
    if (!set_outputs(r, times(times(c, h), w))) return 0;
    r->l->c = (int)c;
    r->l->h = (int)h;
    r->l->w = (int)w;
    return 1;
}

static int same_map(shape_run *r)
{
    r->l->c = r->l->in_c;
    r->l->h = r->l->in_h;
    r->l->w = r->l->in_w;
    return set_outputs(r, r->l->inputs);
}

static void input_is_map(shape_run *r) { r->l->inputs = r->l->in_c * r->l->in_h * r->l->in_w; }

/* Adds weights and, per unit, a bias and with batch norm a scale, mean and variance; `macs` per image. */
static void add_weights(shape_run *r, int64_t weights, int64_t units, int norm, double macs)
{
    if (weights > INT_MAX) {
        shape_error(r, NULL, "has more weights than Darknet can count");
        return;
    }
    r->l->params += (size_t)(weights + units * (norm ? 2 : 1));
    r->l->stored += (size_t)(weights + units * (norm ? 4 : 1));
    r->l->macs += macs;
}

static int normalised(const shape_run *r) { return cfg_int(r->s, "batch_normalize", 0) != 0; }

static int kernel_fits(shape_run *r, int64_t size, int64_t pad)
{
    const layer_shape *l = r->l;
    if (size <= l->in_h + pad && size <= l->in_w + pad) return 1;
    shape_error(r, "size", "kernel of %lld is larger than the %dx%dx%d input with padding %lld", (long long)size,
                l->in_c, l->in_h, l->in_w, (long long)pad);
    return 0;
}

/* Reader and look-ups hold these positive; a cfg built by hand may not. */
static int64_t positive(shape_run *r, const char *key, int def)
{
    int64_t v = number(r, key, def);
    if (v >= 1) return v;
    shape_error(r, key, "'%s' is %lld, expected at least 1", key, (long long)v);
    return 1;
}

/* ---- layers with weights ---- */

static void check_groups(shape_run *r, int64_t groups, int64_t filters)
{
    if (r->l->in_c % groups)
        shape_error(r, "groups", "'groups' is %lld, which does not divide the %d input channels", (long long)groups,
                    r->l->in_c);
    if (filters % groups)
        shape_error(r, "groups", "'groups' is %lld, which does not divide the %lld filters", (long long)groups,
                    (long long)filters);
}

static int convolutional(shape_run *r)
{
    int64_t n = positive(r, "filters", 1), k = positive(r, "size", 1), s = positive(r, "stride", 1);
    int64_t pad = number(r, "pad", 0) ? k / 2 : number(r, "padding", 0), groups = positive(r, "groups", 1);
    if (!has_image(r)) return 0;
    check_groups(r, groups, n);
    if (!kernel_fits(r, k, 2 * pad)) return 0;
    if (k == 1 && s > 1) {
        diag_warn(r->d, r->s->file, cfg_line(r->s, "stride"), r->s->name,
                  "stock Darknet ignores stride %lld of a 1x1 kernel on the CPU", (long long)s);
        diag_hint(r->d, "[maxpool] size=1 stride=%lld before it, and stride=1 here, is the same everywhere%s", (long long)s,
                  pad ? "" : "; export writes it so");
    }
    input_is_map(r);
    if (!set_map(r, n, (r->l->in_h + 2 * pad - k) / s + 1, (r->l->in_w + 2 * pad - k) / s + 1)) return 0;
    int64_t weights = times(times(r->l->in_c / groups, n), times(k, k));
    add_weights(r, weights, n, normalised(r), (double)weights * r->l->h * r->l->w);
    return 1;
}

static int deconvolutional(shape_run *r)
{
    int64_t n = positive(r, "filters", 1), k = positive(r, "size", 1), s = positive(r, "stride", 1);
    int64_t pad = number(r, "pad", 0) ? k / 2 : number(r, "padding", 0);
    if (!has_image(r)) return 0;
    input_is_map(r);
    if (!set_map(r, n, (r->l->in_h - 1) * s + k - 2 * pad, (r->l->in_w - 1) * s + k - 2 * pad)) return 0;
    int64_t weights = times(times(r->l->in_c, n), times(k, k));
    add_weights(r, weights, n, normalised(r), (double)weights * r->l->in_h * r->l->in_w);
    return 1;
}

static int local(shape_run *r)
{
    int64_t n = positive(r, "filters", 1), k = positive(r, "size", 1), s = positive(r, "stride", 1);
    int64_t less = number(r, "pad", 0) ? 1 : k;
    if (!has_image(r) || !kernel_fits(r, less, 0)) return 0;
    input_is_map(r);
    if (!set_map(r, n, (r->l->in_h - less) / s + 1, (r->l->in_w - less) / s + 1)) return 0;
    int64_t weights = times(times(times(r->l->in_c, n), times(k, k)), times(r->l->h, r->l->w));
    add_weights(r, weights, r->l->outputs, 0, (double)weights);
    return 1;
}

static int connected(shape_run *r)
{
    int64_t n = positive(r, "output", 1);
    if (!has_input(r)) return 0;
    int64_t weights = times(r->l->inputs, n);
    add_weights(r, weights, n, normalised(r), (double)weights);
    return set_map(r, n, 1, 1);
}

/* `in` connected layers that read the input and `state` ones that read n floats of their own; no map comes out. */
static int recurrent(shape_run *r, int in, int state)
{
    int64_t n = positive(r, "output", 1);
    if (!has_input(r)) return 0;
    int64_t from_input = times(r->l->inputs, n), from_state = times(n, n);
    for (int i = 0; i < in; ++i) add_weights(r, from_input, n, normalised(r), (double)from_input);
    for (int i = 0; i < state; ++i) add_weights(r, from_state, n, normalised(r), (double)from_state);
    return set_outputs(r, n);
}

static int rnn(shape_run *r) { return recurrent(r, 1, 2); }
static int gru(shape_run *r) { return recurrent(r, 3, 3); }
static int lstm(shape_run *r) { return recurrent(r, 4, 4); }

/* Three 3x3 convolutions. The host hands width and height over in the wrong order; so do we. */
static int crnn(shape_run *r)
{
    int64_t hidden = positive(r, "hidden_filters", 1), n = positive(r, "output_filters", 1);
    if (!has_image(r)) return 0;
    input_is_map(r);
    if (!set_map(r, n, r->l->in_w, r->l->in_h)) return 0;
    const int64_t from[3] = { r->l->in_c, hidden, hidden }, to[3] = { hidden, hidden, n };
    for (int i = 0; i < 3; ++i) {
        int64_t weights = times(times(from[i], to[i]), 9);
        add_weights(r, weights, to[i], normalised(r), (double)weights * r->l->h * r->l->w);
    }
    return 1;
}

static int batchnorm(shape_run *r)
{
    shape_error(r, NULL, "crashes this Darknet");
    diag_hint(r->d, "write batch_normalize=1 in the section before it");
    return has_input(r) && same_map(r);
}

/* ---- layers without weights ---- */

static int maxpool(shape_run *r)
{
    int64_t s = positive(r, "stride", 1), k = positive(r, "size", (int)s), pad = number(r, "padding", (int)k - 1);
    if (!has_image(r) || !kernel_fits(r, k, pad)) return 0;
    input_is_map(r);
    return set_map(r, r->l->in_c, (r->l->in_h + pad - k) / s + 1, (r->l->in_w + pad - k) / s + 1);
}

static int avgpool(shape_run *r)
{
    if (!has_image(r)) return 0;
    input_is_map(r);
    return set_map(r, r->l->in_c, 1, 1);
}

static int divides(shape_run *r, int64_t stride)
{
    if (r->l->in_h % stride == 0 && r->l->in_w % stride == 0) return 1;
    shape_error(r, "stride", "stride %lld does not divide the %dx%dx%d input", (long long)stride, r->l->in_c,
                r->l->in_h, r->l->in_w);
    return 0;
}

static int upsample(shape_run *r)
{
    int64_t s = number(r, "stride", 2);
    if (!s) shape_error(r, "stride", "'stride' is 0, expected a factor, or minus one to shrink");
    if (!s || !has_image(r) || (s < 0 && !divides(r, -s))) return 0;
    input_is_map(r);
    int64_t h = s > 0 ? times(r->l->in_h, s) : r->l->in_h / -s, w = s > 0 ? times(r->l->in_w, s) : r->l->in_w / -s;
    return set_map(r, r->l->in_c, h, w);
}

/* With `extra` a copy with that many zeros more and no map; the host moves floats by c / stride^2 either way. */
static int reorg(shape_run *r)
{
    int64_t s = positive(r, "stride", 1), extra = number(r, "extra", 0), square = times(s, s);
    int reverse = cfg_int(r->s, "reverse", 0), flatten = cfg_int(r->s, "flatten", 0);
    if (!has_image(r)) return 0;
    input_is_map(r);
    if (extra && flatten) shape_error(r, "flatten", "'extra' and 'flatten' cannot stand together");
    if (extra) return set_outputs(r, r->l->inputs + extra);
    if (r->l->in_c % square) {
        shape_error(r, "stride", "stride %lld needs a multiple of %lld input channels, not %d", (long long)s,
                    (long long)square, r->l->in_c);
        return 0;
    }
    if (reverse) return set_map(r, r->l->in_c / square, times(r->l->in_h, s), times(r->l->in_w, s));
    if (!divides(r, s)) return 0;
    return set_map(r, times(r->l->in_c, square), r->l->in_h / s, r->l->in_w / s);
}

static int crop(shape_run *r)
{
    int64_t h = positive(r, "crop_height", 1), w = positive(r, "crop_width", 1);
    if (!has_image(r)) return 0;
    input_is_map(r);
    if (h > r->l->in_h || w > r->l->in_w)
        shape_error(r, "crop_height", "a crop of %lldx%lld is larger than the %dx%dx%d input", (long long)h,
                    (long long)w, r->l->in_c, r->l->in_h, r->l->in_w);
    return set_map(r, r->l->in_c, h, w);
}

static int dropout(shape_run *r)
{
    if (!r->i) shape_error(r, NULL, "cannot be the first layer: it works in place on the one before");
    return has_input(r) && same_map(r);
}

static int normalization(shape_run *r)
{
    if (!has_image(r)) return 0;
    input_is_map(r);
    return same_map(r);
}

/* As many floats out as in; the map is carried along. */
static int elementwise(shape_run *r) { return has_input(r) && same_map(r); }

/* As many floats out as in; the map is lost. */
static int flat(shape_run *r) { return has_input(r) && set_outputs(r, r->l->inputs); }

static int softmax_of(shape_run *r)
{
    int64_t groups = positive(r, "groups", 1);
    if (!has_input(r)) return 0;
    if (r->l->inputs % groups)
        shape_error(r, "groups", "%d inputs cannot be split into %lld groups", r->l->inputs, (long long)groups);
    return flat(r);
}

/* ---- layers that read others ---- */

/* The layer that `value` of `key` means, or -1. */
static int64_t layer_meant(shape_run *r, const char *key, int64_t value)
{
    int64_t index = value < 0 ? r->i + value : value;
    if (index >= 0 && index < r->i) return index;
    if (!r->i) shape_error(r, key, "has no layer before it to read");
    else shape_error(r, key, "'%s' %lld is layer %lld, expected 0 to %d", key, (long long)value, (long long)index, r->i - 1);
    return -1;
}

/* The first layer's map, channels added up; a map of another size makes it 0x0, counting channels from 0 again. */
static int route(shape_run *r)
{
    int *from, n = cfg_ints(r->s, "layers", &from), known = n > 0;
    int64_t outputs = 0, c = 0, h = 0, w = 0;
    if (!n) shape_error(r, NULL, "'layers' is missing");
    for (int i = 0; i < n; ++i) {
        int64_t at = layer_meant(r, "layers", from[i]);
        known = known && at >= 0 && r->known[at];
        if (!known) continue;
        const layer_shape *f = &r->layer[at], *first = &r->layer[from[0] < 0 ? r->i + from[0] : from[0]];
        outputs += f->outputs;
        if (!i) h = f->h, w = f->w;
        if (f->h == first->h && f->w == first->w) c += f->c;
        else c = h = w = 0;
    }
    free(from);
    if (!known || !set_outputs(r, outputs)) return 0;
    r->l->inputs = r->l->outputs;
    r->l->c = (int)c;
    r->l->h = (int)h;
    r->l->w = (int)w;
    return 1;
}

/* out = in + from's map, nearest or every k-th pixel where sizes differ by a factor, the common channels. */
static int shortcut(shape_run *r)
{
    if (!cfg_find(r->s, "from")) {
        shape_error(r, NULL, "'from' is missing");
        return 0;
    }
    int64_t at = layer_meant(r, "from", number(r, "from", 0));
    if (at < 0 || !r->known[at] || !has_image(r)) return 0;
    const layer_shape *f = &r->layer[at];
    layer_shape *l = r->l;
    input_is_map(r);
    if (f->h < 1 || f->w < 1 || f->c < 1)
        shape_error(r, "from", "layer %lld has %d plain outputs, not an image to add", (long long)at, f->outputs);
    else if (f->w / l->in_w != f->h / l->in_h || l->in_w / f->w != l->in_h / f->h)
        shape_error(r, "from", "cannot add the %dx%dx%d of layer %lld to %dx%dx%d", f->c, f->h, f->w, (long long)at,
                    l->in_c, l->in_h, l->in_w);
    return same_map(r);
}

/* ---- detection ---- */

static void check_anchors(shape_run *r, int64_t num)
{
    float *anchor;
    int n = cfg_floats(r->s, "anchors", &anchor);
    if (n && n > 2 * num)
        shape_error(r, "anchors", "'anchors' has %d numbers, expected %lld for num=%lld", n, (long long)(2 * num),
                    (long long)num);
    else if (n && n < 2 * num)
        diag_warn(r->d, r->s->file, cfg_line(r->s, "anchors"), r->s->name,
                  "'anchors' has %d numbers, the rest of %lld are taken as 0.5", n, (long long)(2 * num));
    free(anchor);
}

/* How many of the `num` anchors this layer uses. */
static int64_t masks(shape_run *r, int64_t num)
{
    int *mask, n = cfg_ints(r->s, "mask", &mask);
    for (int i = 0; i < n; ++i)
        if (mask[i] < 0 || mask[i] >= num)
            shape_error(r, "mask", "'mask' names anchor %d, expected 0 to %lld", mask[i], (long long)(num - 1));
    free(mask);
    return n ? n : num;
}

static int yolo(shape_run *r)
{
    int64_t classes = positive(r, "classes", 20), num = positive(r, "num", 1), n = masks(r, num);
    int64_t want = times(n, classes + 5);
    check_anchors(r, num);
    if (!has_image(r)) return 0;
    if (want != r->l->in_c)
        shape_error(r, NULL, "needs %lld input channels (%lld masks x (%lld + 5)), not %d", (long long)want,
                    (long long)n, (long long)classes, r->l->in_c);
    return same_map(r);
}

static int region(shape_run *r)
{
    int64_t coords = number(r, "coords", 4), classes = positive(r, "classes", 20), n = positive(r, "num", 1);
    int64_t want = times(n, classes + coords + 1);
    check_anchors(r, n);
    if (!has_image(r)) return 0;
    if (want != r->l->in_c)
        shape_error(r, NULL, "needs %lld input channels (%lld anchors x (%lld + %lld + 1)), not %d", (long long)want,
                    (long long)n, (long long)classes, (long long)coords, r->l->in_c);
    return same_map(r);
}

static int iseg(shape_run *r)
{
    int64_t classes = positive(r, "classes", 20), ids = number(r, "ids", 32);
    if (!has_image(r)) return 0;
    if (classes + ids != r->l->in_c)
        shape_error(r, NULL, "needs %lld input channels (%lld classes + %lld ids), not %d", (long long)(classes + ids),
                    (long long)classes, (long long)ids, r->l->in_c);
    return same_map(r);
}

static int detection(shape_run *r)
{
    int64_t coords = number(r, "coords", 1), classes = positive(r, "classes", 1), n = positive(r, "num", 1);
    int64_t side = positive(r, "side", 7), want = times(times(side, side), times(1 + coords, n) + classes);
    if (!has_input(r)) return 0;
    if (want != r->l->inputs)
        shape_error(r, NULL, "needs %lld inputs (%lld x %lld x (%lld x (%lld + 1) + %lld)), not %d", (long long)want,
                    (long long)side, (long long)side, (long long)n, (long long)coords, (long long)classes,
                    r->l->inputs);
    return flat(r);
}

static const shape_row rows[] = {
    { "convolutional", 1, convolutional }, { "deconvolutional", 1, deconvolutional }, { "local", 1, local },
    { "connected", 1, connected }, { "rnn", 1, rnn }, { "gru", 1, gru }, { "lstm", 1, lstm }, { "crnn", 1, crnn },
    { "batchnorm", 1, batchnorm },
    { "maxpool", 0, maxpool }, { "avgpool", 0, avgpool }, { "upsample", 0, upsample }, { "reorg", 0, reorg },
    { "crop", 0, crop }, { "dropout", 0, dropout }, { "normalization", 0, normalization },
    { "activation", 0, elementwise }, { "logistic", 0, elementwise }, { "l2norm", 0, elementwise },
    { "softmax", 0, softmax_of }, { "cost", 0, flat },
    { "route", 0, route }, { "shortcut", 0, shortcut },
    { "yolo", 0, yolo }, { "region", 0, region }, { "iseg", 0, iseg }, { "detection", 0, detection },
};

const shape_row *shape_row_of(const char *name)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (!strcmp(rows[i].name, name)) return &rows[i];
    return NULL;
}
