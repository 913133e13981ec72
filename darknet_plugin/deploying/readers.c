/* Who will not take a deployed cfg, and what to change (see readers.h). The exported cfg is what pjreddie's Darknet,
 * AlexeyAB's and hank-ai's forks read alike, unless the network has what only AlexeyAB's has; OpenCV's importer lacks
 * some sections and passes over some keys in silence, and the converters behind ncnn, TensorRT and tkDNN know the YOLO
 * family's layers: batch norm + leaky or linear convolutions without groups, and no [connected]. To add a construct
 * write its test and its row. */
#include "readers.h"

#include <string.h>

static int is(const reader_site *at, const char *name) { return cfg_is(at->section, name); }
static int number(const reader_site *at, const char *key, int def) { return cfg_int(at->section, key, def); }

static int uses_relu(const reader_site *at) { return !strcmp(cfg_str(at->section, "activation", ""), "relu"); }
static int has_groups(const reader_site *at) { return is(at, "convolutional") && number(at, "groups", 1) > 1; }
static int is_connected(const reader_site *at) { return is(at, "connected"); }
static int normalises(const reader_site *at) { return number(at, "batch_normalize", 0) != 0; }
static int normalises_connected(const reader_site *at) { return is_connected(at) && normalises(at); }
static int has_temperature(const reader_site *at)
{
    return is(at, "softmax") && cfg_float(at->section, "temperature", 1) != 1;
}
static int lists_several(const reader_site *at, const char *key)
{
    return strchr(cfg_str(at->section, key, ""), ',') != NULL;
}
static int weighs_shortcut(const reader_site *at)
{
    return is(at, "shortcut") && (cfg_find(at->section, "alpha") || cfg_find(at->section, "beta"));
}

static int resizes_shortcut(const reader_site *at)
{
    int i = at->section->index, from = number(at, "from", 0);
    if (!is(at, "shortcut")) return 0;
    if (lists_several(at, "from")) return 0;
    const layer_shape *own = &at->shape->layer[i], *other = &at->shape->layer[from < 0 ? i + from : from];
    return other->h != own->h || other->w != own->w;
}

/* What OpenCV 4.6's importer accepts. */
static const char *const opencv_sections[] = {
    "convolutional", "connected", "maxpool", "avgpool", "softmax", "route", "dropout", "cost", "reorg", "region",
    "shortcut", "upsample", "yolo", "scale_channels", "sam", NULL
};
static const char *const opencv_activations[] = {
    "linear", "relu", "leaky", "logistic", "tanh", "mish", "swish", NULL
};

static int listed(const char *text, const char *const *list)
{
    for (; *list; ++list)
        if (!strcmp(text, *list)) return 1;
    return 0;
}

/* ---- what only AlexeyAB's Darknet has ---- */

static int is_smooth(const reader_site *at)
{
    static const char *const smooth[] = { "mish", "swish", NULL };
    return listed(cfg_str(at->section, "activation", "linear"), smooth);
}
static int is_forks_activation(const reader_site *at)
{
    static const char *const names[] = { "silu", "relu6", "hard_swish", "hard_mish", "gelu", NULL };
    return listed(cfg_str(at->section, "activation", "linear"), names);
}
/* Neither OpenCV's nor one of those. */
static int odd_activation(const reader_site *at)
{
    return !listed(cfg_str(at->section, "activation", "linear"), opencv_activations) && !is_forks_activation(at);
}
static int is_grouped_route(const reader_site *at) { return is(at, "route") && number(at, "groups", 1) > 1; }
static int groups_several(const reader_site *at) { return is_grouped_route(at) && lists_several(at, "layers"); }
static int is_gate(const reader_site *at) { return is(at, "scale_channels") || is(at, "sam"); }
static int is_forks_section(const reader_site *at)
{
    static const char *const names[] = { "reorg3d", "Gaussian_yolo", NULL };
    return listed(at->section->name, names);
}
/* Neither OpenCV's nor one of those. */
static int unknown_to_opencv(const reader_site *at)
{
    return !listed(at->section->name, opencv_sections) && !is_forks_section(at);
}
static int is_dilated(const reader_site *at) { return is(at, "convolutional") && number(at, "dilation", 1) > 1; }
static int has_two_strides(const reader_site *at)
{
    int stride = number(at, "stride", 1);
    return number(at, "stride_x", stride) != stride || number(at, "stride_y", stride) != stride;
}
static int sums_several(const reader_site *at) { return is(at, "shortcut") && lists_several(at, "from"); }
static int weighs_inputs(const reader_site *at)
{
    return is(at, "shortcut") && strcmp(cfg_str(at->section, "weights_type", "none"), "none");
}
static int has_new_coords(const reader_site *at) { return is(at, "yolo") && number(at, "new_coords", 0); }
static int scales_x_y(const reader_site *at) { return is(at, "yolo") && cfg_float(at->section, "scale_x_y", 1) != 1; }

enum { BOTH = READER_DARKNET | READER_OPENCV };

static const reader_row rows[] = {
    { "activation=relu", uses_relu, 0, "several ncnn and TensorRT converters lack it",
      "train with activation=leaky, or give them -onnx" },
    { "groups= (depthwise convolution or pooling)", has_groups, 0, "ncnn, TensorRT converters and tkDNN want groups=1",
      "-onnx; where a projector or a pooling before it has them, stack=1x1 or a student's map of the teacher's size" },
    { "[connected]", is_connected, 0, "ncnn, TensorRT converters and tkDNN lack it",
      "[avgpool] and a 1x1 [convolutional] with the same weights compute the same; or -onnx" },
    { "[connected] batch_normalize=1", normalises_connected, READER_OPENCV, "OpenCV answers NaN", "-fold" },
    { "batch_normalize=1", normalises, 0,
      "AlexeyAB's fork and Darknet on a GPU have another epsilon: off by 1e-5 at a variance of 0.05, by 1 % at 0.0001",
      "-fold" },
    { "[softmax] temperature=", has_temperature, READER_OPENCV, "OpenCV ignores it",
      "divide the layer before by it, or -onnx" },
    { "[shortcut] alpha= or beta=", weighs_shortcut, READER_OPENCV, "OpenCV refuses or ignores them",
      "scale a convolution before it instead" },
    { "[shortcut] between maps of unlike sizes", resizes_shortcut, READER_OPENCV, "OpenCV refuses the cfg",
      "a 1x1 convolution, behind [maxpool] size=1 where the size shrinks, brings both to one size; or -onnx" },
    { "a section beyond convolutions, pooling, joins and heads", unknown_to_opencv, READER_OPENCV,
      "OpenCV refuses the cfg", "use another layer there, or -onnx where that knows it" },
    { "an activation other than linear, relu, leaky, logistic, tanh, mish, swish", odd_activation, READER_OPENCV,
      "OpenCV refuses the cfg", "train with leaky, or -onnx" },
    { "activation=mish or swish", is_smooth, READER_DARKNET, "stock Darknet computes relu in its place",
      "AlexeyAB's Darknet, OpenCV, or -onnx" },
    { "an activation that only forks have", is_forks_activation, BOTH, "stock Darknet computes relu in its place",
      "-onnx" },
    { "[route] groups=", is_grouped_route, READER_DARKNET, "stock Darknet takes all channels",
      "AlexeyAB's Darknet, OpenCV, or -onnx" },
    { "[route] groups= of several layers", groups_several, READER_OPENCV, "OpenCV refuses the cfg",
      "a [route] for each of them, and one that joins these; or -onnx" },
    { "[scale_channels] or [sam]", is_gate, READER_DARKNET, "stock Darknet has no such section",
      "AlexeyAB's Darknet, OpenCV, or -onnx" },
    { "a section that only forks have", is_forks_section, BOTH, "stock Darknet and OpenCV have no such section",
      "AlexeyAB's Darknet, or -onnx" },
    { "dilation=", is_dilated, BOTH, "stock Darknet and OpenCV pass over it in silence",
      "AlexeyAB's Darknet, or -onnx" },
    { "stride_x= or stride_y=", has_two_strides, BOTH, "stock Darknet and OpenCV pass over them in silence",
      "AlexeyAB's Darknet, or -onnx" },
    { "[shortcut] from= several layers", sums_several, BOTH, "stock Darknet and OpenCV add the first alone",
      "a [shortcut] for each; or -onnx" },
    { "[shortcut] weights_type=", weighs_inputs, BOTH, "stock Darknet and OpenCV have no weights there",
      "AlexeyAB's Darknet, or -onnx" },
    { "[yolo] new_coords=1", has_new_coords, READER_DARKNET, "stock Darknet decodes its boxes otherwise",
      "AlexeyAB's Darknet or OpenCV" },
    { "[yolo] scale_x_y=", scales_x_y, READER_DARKNET_BOXES, "stock Darknet decodes its boxes without it",
      "AlexeyAB's Darknet or OpenCV" },
};
_Static_assert(sizeof rows / sizeof *rows <= READER_ROWS, "room for every row");

int readers_note(const cfg_file *cfg, const net_shape *shape, reader_note note[READER_ROWS])
{
    int n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        reader_note m = { .row = &rows[i] };
        for (int k = 0; k < cfg->n; ++k) {
            reader_site at = { &cfg->section[k], shape };
            if (at.section->index >= 0 && rows[i].has(&at) && !m.count++) m.layer = at.section->index;
        }
        if (m.count) note[n++] = m;
    }
    return n;
}

const reader_note *readers_cannot(const reader_note *note, int notes, unsigned who)
{
    for (int i = 0; i < notes; ++i)
        if (note[i].row->cannot & who) return &note[i];
    return NULL;
}

const char *readers_obstacle(const cfg_file *cfg, const net_shape *shape, unsigned who)
{
    reader_note note[READER_ROWS];
    const reader_note *first = readers_cannot(note, readers_note(cfg, shape, note), who);
    return first ? first->row->construct : NULL;
}
