/* Sections that the host cannot parse, each as one that it can (see fork_rows.h).
 *
 *   scale_channels, sam   [route] of the layer that they multiply, whose shape is theirs
 *   reorg3d               [reorg], which moves the numbers otherwise
 *   route groups=         a convolution or deconvolution that makes this shape from what stands before it; its weights
 *                         are freed, so that nothing reads, writes, counts or trains them
 *   shortcut              of several layers or with weights: [shortcut] of the first, which then gets the weights
 *   convolutional         without dilation, with the smaller of two strides for both
 *   maxpool               with the smaller of two strides for both */
#include "fork_rows.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>
#include <string.h>

/* Keys that every layer section may have, and what stands for it needs. */
static const char *const common[] = { "truth", "onlyforward", "stopbackward", "dontsave", "dontload", "numload",
                                      "dontloadscales", "learning_rate", "smooth" };

static cfg_section *append(cfg_file *known, const cfg_section *section, const char *name)
{
    cfg_section *stand_in = cfg_append(known, name, section->file, section->line);
    for (size_t i = 0; i < sizeof common / sizeof *common; ++i) {
        const cfg_pair *pair = cfg_find(section, common[i]);
        if (pair) cfg_set(stand_in, pair->key, "%s", pair->value);
    }
    return stand_in;
}

/* Number `at` of a section's layer, counted from the front. */
static int meant(int i, int at) { return at < 0 ? i + at : at; }

ACTIVATION get_activation(char *name);   /* the host's, exported, in no header */

/* These layers are bound before anything runs. */
static void unbound(layer l, host_state net)
{
    (void)l, (void)net;
    BUG_UNLESS(0, "a layer that the host lacks was run without being bound");
}

static void become(layer *l, int type)
{
    l->type = (LAYER_TYPE)type;
    l->forward = l->backward = unbound;
    l->update = NULL;
}

/* ---- [scale_channels], [sam] ---- */

static void stand_in_product(cfg_file *known, const cfg_section *section, const layer_shape *shape)
{
    (void)shape;
    cfg_set(append(known, section, "route"), "layers", "%s", cfg_str(section, "from", "-1"));
}

/* l.c, l.h and l.w are the factors' map, that of the layer before. */
static void take_product(network *net, int i, int type, const cfg_section *section)
{
    layer *l = &net->layers[i];
    const layer *factors = &net->layers[i - 1];
    become(l, type);
    l->activation = get_activation((char *)cfg_str(section, "activation", "linear"));
    l->index = l->input_layers[0];
    l->c = factors->out_c;
    l->h = factors->out_h;
    l->w = factors->out_w;
    l->inputs = factors->outputs;
}

static void take_scale(network *net, int i, const cfg_section *section)
{
    take_product(net, i, LAYER_SCALE_CHANNELS, section);
    net->layers[i].spatial = cfg_int(section, "scale_wh", 0);
}

static void take_sam(network *net, int i, const cfg_section *section)
{
    take_product(net, i, LAYER_SAM, section);
}

/* ---- [reorg3d] ---- */

static void stand_in_reorg(cfg_file *known, const cfg_section *section, const layer_shape *shape)
{
    (void)shape;
    cfg_set(append(known, section, "reorg"), "stride", "%d", cfg_int(section, "stride", 1));
}

static void take_reorg(network *net, int i, const cfg_section *section)
{
    (void)section;
    become(&net->layers[i], LAYER_REORG3D);
}

/* ---- [route] groups= ---- */

static int is_part(const cfg_section *section) { return cfg_int(section, "groups", 1) > 1; }

/* What makes a side of `out` from one of `in` with the same numbers for both sides: every stride-th pixel, or zeros
 * around the map, or `stride` pixels for one. */
static void set_sides(cfg_section *at, int in, int out)
{
    int more = out - in, size = 1, stride = 1, padding = 0;
    if (out < in && in % out == 0) stride = in / out;
    else if (more < 0) size -= more;
    else size += more % 2;
    if (more > 0) padding = (more + 1) / 2;
    cfg_set(at, "size", "%d", size);
    cfg_set(at, "stride", "%d", stride);
    cfg_set(at, "padding", "%d", padding);
}

/* Of the size and channels that are meant, where one convolution can make them. */
static void stand_in_part(cfg_file *known, const cfg_section *section, const layer_shape *shape)
{
    int factor = shape->h / shape->in_h;
    int grows = factor > 1 && shape->h == factor * shape->in_h && shape->w == factor * shape->in_w;
    cfg_section *at = append(known, section, grows ? "deconvolutional" : "convolutional");
    cfg_set(at, "filters", "%d", shape->c);
    cfg_set(at, "activation", "linear");
    if (!grows) {
        set_sides(at, shape->in_h, shape->h);
        return;
    }
    cfg_set(at, "size", "%d", factor);
    cfg_set(at, "stride", "%d", factor);
}

/* Frees arrays that the layer has no use for. */
static void drop_weights(layer *l)
{
    float **array[] = { &l->weights, &l->weight_updates, &l->biases, &l->bias_updates, &l->m, &l->v, &l->bias_m,
                        &l->bias_v, &l->scale_m, &l->scale_v };
    for (size_t i = 0; i < sizeof array / sizeof *array; ++i) {
        free(*array[i]);
        *array[i] = NULL;
    }
    gpu_drop_weights(l);
    l->nweights = l->nbiases = l->size = l->stride = l->pad = 0;
    l->workspace_size = 0;
}

/* Sizes and buffers follow in fork_settle. */
static void take_part(network *net, int i, const cfg_section *section)
{
    layer *l = &net->layers[i];
    int *from, n = cfg_ints(section, "layers", &from);
    become(l, LAYER_ROUTE_PART);
    drop_weights(l);
    l->n = n;
    l->groups = cfg_int(section, "groups", 1);
    l->index = cfg_int(section, "group_id", 0);
    l->input_layers = from;
    l->input_sizes = mem_calloc((size_t)n, sizeof *l->input_sizes);
    for (int k = 0; k < n; ++k) l->input_layers[k] = meant(i, from[k]);
}

/* ---- [shortcut] of several layers, or with weights ---- */

static void stand_in_sum(cfg_file *known, const cfg_section *section, const layer_shape *shape)
{
    (void)shape;
    cfg_section *at = append(known, section, "shortcut");
    cfg_set(at, "from", "%d", cfg_int(section, "from", -1));
    cfg_set(at, "activation", "%s", cfg_str(section, "activation", "linear"));
}

static int sum_weights(const cfg_section *section, int n, int channels)
{
    const char *kind = cfg_str(section, "weights_type", "none");
    if (!strcmp(kind, "none")) return 0;
    return strcmp(kind, "per_channel") ? n + 1 : (n + 1) * channels;
}

static int normalisation(const cfg_section *section)
{
    const char *name = cfg_str(section, "weights_normalization", "none");
    if (!strcmp(name, "none")) return FORK_SUM_PLAIN;
    return strcmp(name, "softmax") ? FORK_SUM_RELU : FORK_SUM_SOFTMAX;
}

/* All weights are 1 at first, as AlexeyAB's. */
static void make_weights(layer *l, int moments)
{
    size_t n = (size_t)l->nweights;
    if (!n) return;
    l->weights = mem_calloc(n, sizeof *l->weights);
    l->weight_updates = mem_calloc(n, sizeof *l->weight_updates);
    for (size_t k = 0; k < n; ++k) l->weights[k] = 1;
    if (moments) {
        l->m = mem_calloc(n, sizeof *l->m);
        l->v = mem_calloc(n, sizeof *l->v);
    }
    gpu_make_weights(l);
}

/* Its operands, and weights where it has them. */
static void take_sum(network *net, int i, const cfg_section *section)
{
    layer *l = &net->layers[i];
    int *from, n = cfg_ints(section, "from", &from);
    become(l, LAYER_SHORTCUT_SUM);
    l->n = n;
    l->input_layers = from;
    for (int k = 0; k < n; ++k) l->input_layers[k] = meant(i, from[k]);
    l->c = l->out_c;
    l->h = l->out_h;
    l->w = l->out_w;
    l->nweights = sum_weights(section, n, l->out_c);
    l->softmax = normalisation(section);
    make_weights(l, net->adam);
}

/* ---- two strides, dilation ---- */

static int has_two_strides(const cfg_section *section)
{
    return cfg_find(section, "stride_x") || cfg_find(section, "stride_y");
}

static int is_other_conv(const cfg_section *section) { return has_two_strides(section) || cfg_dilation(section) > 1; }

static void stand_in_window(cfg_file *known, const cfg_section *section, const layer_shape *shape)
{
    int x, y;
    (void)shape;
    cfg_strides(section, &x, &y);
    cfg_section *at = cfg_append_copy(known, section);
    if (cfg_is(section, "maxpool") && !cfg_find(section, "size"))
        cfg_set(at, "size", "%d", cfg_int(section, "stride", 1));
    cfg_set(at, "stride", "%d", x < y ? x : y);
}

static void take_window(network *net, int i, const cfg_section *section)
{
    layer *l = &net->layers[i];
    int x, y;
    if (cfg_strides(section, &x, &y)) fork_set_strides(l, x, y);
    if (l->type == CONVOLUTIONAL && cfg_dilation(section) > 1) fork_set_dilation(l, cfg_dilation(section));
}

static const fork_row rows[] = {
    { "route", is_part, stand_in_part, take_part, 1 },
    { "scale_channels", NULL, stand_in_product, take_scale, 0 },
    { "sam", NULL, stand_in_product, take_sam, 0 },
    { "reorg3d", NULL, stand_in_reorg, take_reorg, 0 },
    { "shortcut", cfg_is_shortcut_sum, stand_in_sum, take_sum, 0 },
    { "convolutional", is_other_conv, stand_in_window, take_window, 1 },
    { "maxpool", has_two_strides, stand_in_window, take_window, 1 },
};

const fork_row *fork_row_of(const cfg_section *section)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (cfg_is(section, rows[i].section) && (!rows[i].wanted || rows[i].wanted(section))) return &rows[i];
    return NULL;
}
