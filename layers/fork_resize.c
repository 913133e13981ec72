/* Another image size for networks that the host's resize_network does not walk to the end: it ends the program at a
 * layer that it does not know, and stops at [avgpool], behind which squeeze-and-excitation blocks go on.
 *
 * The host's own functions resize its layers here too, one after the other; a layer whose input does not depend on the
 * image, such as a [connected] behind an [avgpool], stays as it is. */
#include "fork_layers.h"

#include "darknet_plugin/base/mem.h"
#include "layers/gpu/gpu.h"

#include <stdlib.h>

/* The host's, exported, in no header. */
void resize_convolutional_layer(layer *l, int w, int h);
void resize_crop_layer(layer *l, int w, int h);
void resize_maxpool_layer(layer *l, int w, int h);
void resize_region_layer(layer *l, int w, int h);
void resize_yolo_layer(layer *l, int w, int h);
void resize_route_layer(layer *l, network *net);
void resize_upsample_layer(layer *l, int w, int h);
void resize_reorg_layer(layer *l, int w, int h);
void resize_avgpool_layer(layer *l, int w, int h);
void resize_normalization_layer(layer *l, int w, int h);
void resize_cost_layer(layer *l, int inputs);
void resize_dropout_layer(layer *l, int inputs);

/* A layer under way: the network, its number, and the shape of the one before. */
typedef struct resizing {
    network *net;
    int i, c, h, w, inputs;
    int shares;              /* a [dropout] whose maps are those of the layer before, as the host parses it */
} resizing;

/* Buffers for the layer's new output. */
static void remake_maps(layer *l)
{
    size_t floats = (size_t)l->batch * (size_t)l->outputs;
    l->output = mem_realloc(l->output, floats, sizeof *l->output);
    l->delta = mem_realloc(l->delta, floats, sizeof *l->delta);
    gpu_remake_maps(l);
}

static void set_output(layer *l, int c, int h, int w)
{
    l->out_c = c;
    l->out_h = h;
    l->out_w = w;
    l->outputs = c * h * w;
}

static void resize_route(layer *l, const resizing *at) { resize_route_layer(l, at->net); }
static void resize_cost(layer *l, const resizing *at) { resize_cost_layer(l, at->inputs); }

#define WITH_SIZE(name) \
    static void resize_##name(layer *l, const resizing *at) { resize_##name##_layer(l, at->w, at->h); }
WITH_SIZE(crop)
WITH_SIZE(region)
WITH_SIZE(yolo)
WITH_SIZE(upsample)
WITH_SIZE(reorg)
WITH_SIZE(avgpool)
WITH_SIZE(normalization)

/* The host makes room for the smaller stride in both directions, which is enough. */
static void resize_conv(layer *l, const resizing *at)
{
    resize_convolutional_layer(l, at->w, at->h);
    int across = at->w + 2 * l->pad - l->size, down = at->h + 2 * l->pad - l->size;
    if (fork_two_strides(l)) set_output(l, l->n, down / fork_stride_y(l) + 1, across / fork_stride_x(l) + 1);
}

static void resize_maxpool(layer *l, const resizing *at)
{
    resize_maxpool_layer(l, at->w, at->h);
    int across = at->w + l->pad - l->size, down = at->h + l->pad - l->size;
    if (fork_two_strides(l)) set_output(l, l->c, down / fork_stride_y(l) + 1, across / fork_stride_x(l) + 1);
}

/* The host asserts that both maps had one size. */
static void resize_shortcut(layer *l, const resizing *at)
{
    const layer *from = &at->net->layers[l->index];
    l->h = from->out_h;
    l->w = from->out_w;
    set_output(l, l->out_c, at->h, at->w);
    l->inputs = l->outputs;
    remake_maps(l);
}

/* Its maps are its own where it is bound. */
static void resize_dropout(layer *l, const resizing *at)
{
    const layer *before = &at->net->layers[at->i - 1];
    l->h = at->h;
    l->w = at->w;
    l->inputs = at->inputs;
    set_output(l, at->c, at->h, at->w);
    l->outputs = at->inputs;
    resize_dropout_layer(l, at->inputs);
    if (at->shares) {
        l->output = before->output;
        l->delta = before->delta;
        gpu_share_maps(l, before);
    } else {
        remake_maps(l);
    }
}

static void resize_activation(layer *l, const resizing *at)
{
    l->h = at->h;
    l->w = at->w;
    set_output(l, l->out_c, at->h, at->w);
    l->outputs = l->inputs = at->inputs;
    remake_maps(l);
}

/* ---- ours ---- */

static void resize_product(layer *l, const resizing *at)
{
    const layer *from = &at->net->layers[l->index];
    l->h = at->h;
    l->w = at->w;
    l->inputs = at->inputs;
    set_output(l, from->out_c, from->out_h, from->out_w);
    remake_maps(l);
}

static void resize_reorg3d(layer *l, const resizing *at)
{
    l->h = at->h;
    l->w = at->w;
    l->inputs = at->inputs;
    set_output(l, l->c * l->stride * l->stride, at->h / l->stride, at->w / l->stride);
    remake_maps(l);
}

/* Parts of maps that do not fit together make plain numbers, as the host has it of a [route]. */
static void resize_part(layer *l, const resizing *at)
{
    const layer *first = &at->net->layers[l->input_layers[0]];
    int c = 0, alike = 1, outputs = 0;
    for (int k = 0; k < l->n; ++k) {
        const layer *from = &at->net->layers[l->input_layers[k]];
        l->input_sizes[k] = from->outputs;
        alike = alike && from->out_h == first->out_h && from->out_w == first->out_w;
        c += from->out_c / l->groups;
        outputs += from->outputs / l->groups;
    }
    set_output(l, alike ? c : 0, alike ? first->out_h : 0, alike ? first->out_w : 0);
    l->outputs = l->inputs = outputs;
    l->c = l->out_c;
    l->h = l->out_h;
    l->w = l->out_w;
    remake_maps(l);
}

static void resize_sum(layer *l, const resizing *at)
{
    l->h = at->h;
    l->w = at->w;
    set_output(l, l->out_c, at->h, at->w);
    l->inputs = l->outputs;
    remake_maps(l);
}

/* ---- the walk ---- */

static const struct resize_row {
    int type;
    void (*resize)(layer *l, const resizing *at);
} rows[] = {
    { CONVOLUTIONAL, resize_conv }, { CROP, resize_crop }, { MAXPOOL, resize_maxpool }, { REGION, resize_region },
    { YOLO, resize_yolo }, { ROUTE, resize_route }, { SHORTCUT, resize_shortcut }, { UPSAMPLE, resize_upsample },
    { REORG, resize_reorg }, { AVGPOOL, resize_avgpool }, { NORMALIZATION, resize_normalization },
    { COST, resize_cost }, { DROPOUT, resize_dropout }, { ACTIVE, resize_activation },
    { LAYER_SCALE_CHANNELS, resize_product }, { LAYER_SAM, resize_product }, { LAYER_REORG3D, resize_reorg3d },
    { LAYER_ROUTE_PART, resize_part }, { LAYER_SHORTCUT_SUM, resize_sum },
};

static const struct resize_row *row_of(const layer *l)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i)
        if (rows[i].type == (int)l->type) return &rows[i];
    return NULL;
}

static int reads_several(const layer *l)
{
    int type = (int)l->type;
    return type == ROUTE || type == LAYER_ROUTE_PART || type == LAYER_SHORTCUT_SUM;
}

static int reads_one_more(const layer *l)
{
    int type = (int)l->type;
    return type == SHORTCUT || type == LAYER_SCALE_CHANNELS || type == LAYER_SAM;
}

/* Does layer i's input change its size with the image? `changes` knows of the outputs of those before. */
static int input_changes(const network *net, int i, const char *changes)
{
    const layer *l = &net->layers[i];
    int found = l->type != ROUTE && (int)l->type != LAYER_ROUTE_PART && (i == 0 || changes[i - 1]);
    for (int k = 0; reads_several(l) && k < l->n; ++k) found |= changes[l->input_layers[k]];
    return found || (reads_one_more(l) && changes[l->index]);
}

/* Marks the layers that change: 1, and those with another input but the old output: 2. -1 with a message where one
 * cannot. */
static int plan(const network *net, char *input, char *output, diag *d)
{
    for (int i = 0; i < net->n; ++i) {
        input[i] = (char)input_changes(net, i, output);
        output[i] = (char)(input[i] && net->layers[i].type != AVGPOOL);
        if (!input[i] || row_of(&net->layers[i])) continue;
        diag_error(d, NULL, 0, NULL, "layer %d cannot change its size, so this network's input stays %dx%d", i, net->w,
                   net->h);
        return -1;
    }
    return 0;
}

static int output_layer(const network *net)
{
    int i = net->n - 1;
    while (i > 0 && net->layers[i].type == COST) --i;
    return i;
}

/* What the network itself has of its layers' sizes. */
static void renew_network(network *net, size_t workspace)
{
    const layer *out = &net->layers[output_layer(net)], *last = &net->layers[net->n - 1];
    net->inputs = net->layers[0].inputs;
    net->outputs = out->outputs;
    net->truths = last->truths ? last->truths : out->outputs;
    net->output = out->output;
    free(net->input);
    free(net->truth);
    net->input = mem_calloc((size_t)net->inputs * (size_t)net->batch, sizeof *net->input);
    net->truth = mem_calloc((size_t)net->truths * (size_t)net->batch, sizeof *net->truth);
    if (gpu_has(net)) {
        gpu_renew_network(net, workspace);
        return;
    }
    free(net->workspace);
    net->workspace = workspace ? mem_calloc(1, workspace) : NULL;
}

/* Resizes layer i where it is to change. */
static void resize_layer(network *net, int i, int changes, int shares)
{
    layer *l = &net->layers[i];
    const layer *before = i ? l - 1 : NULL;
    resizing at = { .net = net, .i = i, .c = before ? before->out_c : net->c, .h = before ? before->out_h : net->h,
                    .w = before ? before->out_w : net->w, .shares = shares };
    at.inputs = before ? before->outputs : net->c * net->h * net->w;
    if (changes) row_of(l)->resize(l, &at);
}

static size_t most_workspace(const network *net)
{
    size_t most = 0;
    for (int i = 0; i < net->n; ++i)
        if (net->layers[i].workspace_size > most) most = net->layers[i].workspace_size;
    return most;
}

/* Marks the [dropout]s whose maps are those of the layer before, as the host parses them. The caller frees. */
static char *sharing(const network *net)
{
    char *shares = mem_calloc((size_t)net->n, 1);
    for (int i = 1; i < net->n; ++i)
        shares[i] = net->layers[i].type == DROPOUT && net->layers[i].output == net->layers[i - 1].output;
    return shares;
}

int fork_resize(network *net, int w, int h, diag *d)
{
    char *input = mem_calloc((size_t)net->n, 1), *output = mem_calloc((size_t)net->n, 1), *shares = sharing(net);
    int bad = plan(net, input, output, d);
    if (!bad) {
        net->w = w;
        net->h = h;
    }
    host_doing("resizing the network");
    for (int i = 0; i < net->n && !bad; ++i) resize_layer(net, i, input[i], shares[i]);
    host_doing(NULL);
    if (!bad) renew_network(net, most_workspace(net));
    free(input);
    free(output);
    free(shares);
    return bad;
}

static int same_map(const layer *l, const layer *was)
{
    return l->out_c == was->out_c && l->out_h == was->out_h && l->out_w == was->out_w && l->outputs == was->outputs;
}

/* Says that layer i has been parsed for another input than it gets. */
static int misparsed(int i, const layer *l, diag *d)
{
    diag_error(d, NULL, 0, NULL, "layer %d cannot stand behind two strides: it reads %d numbers that come out of the "
               "image's size", i, l->inputs);
    diag_hint(d, "[avgpool] before it makes their number that of the channels");
    return -1;
}

int fork_settle(network *net, const char *touched, diag *d)
{
    char *changed = mem_calloc((size_t)net->n, 1), *moved = mem_calloc((size_t)net->n, 1), *shares = sharing(net);
    int bad = 0;
    for (int i = 0; i < net->n && !bad; ++i) {
        layer was = net->layers[i];
        int reads_changed = i > 0 && input_changes(net, i, changed);
        moved[i] = (char)(touched[i] || reads_changed || (shares[i] && moved[i - 1]));
        if (moved[i] && !row_of(&was)) bad = misparsed(i, &was, d);
        else resize_layer(net, i, moved[i], shares[i]);
        changed[i] = (char)!same_map(&net->layers[i], &was);
    }
    if (!bad) renew_network(net, most_workspace(net));
    free(changed);
    free(moved);
    free(shares);
    return bad;
}

int fork_resizes(const network *net)
{
    for (int i = 0; i < net->n; ++i) {
        const layer *l = &net->layers[i];
        int stops = l->type == ACTIVE || (l->type == AVGPOOL && i + 1 < net->n);
        if ((int)l->type > BLANK || fork_two_strides(l) || stops) return 1;
    }
    return 0;
}
