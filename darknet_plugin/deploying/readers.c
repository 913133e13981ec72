/* Who will not take a deployed cfg, and what to change (see readers.h). The exported cfg is what pjreddie's Darknet,
 * AlexeyAB's and hank-ai's forks read alike; OpenCV's importer lacks some sections, and the converters behind ncnn,
 * TensorRT and tkDNN know the YOLO family's layers: batch norm + leaky or linear convolutions without groups, and no
 * [connected]. To add a construct write its test and its row. */
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
static int weighs_shortcut(const reader_site *at)
{
    return is(at, "shortcut") && (cfg_find(at->section, "alpha") || cfg_find(at->section, "beta"));
}

static int resizes_shortcut(const reader_site *at)
{
    int i = at->section->index, from = number(at, "from", 0);
    if (!is(at, "shortcut")) return 0;
    const layer_shape *own = &at->shape->layer[i], *other = &at->shape->layer[from < 0 ? i + from : from];
    return other->h != own->h || other->w != own->w;
}

/* What OpenCV 4.6's importer accepts. */
static const char *const opencv_sections[] = {
    "convolutional", "connected", "maxpool", "avgpool", "softmax", "route", "dropout", "cost", "reorg", "region",
    "shortcut", "upsample", "yolo", NULL
};
static const char *const opencv_activations[] = { "linear", "relu", "leaky", "logistic", "tanh", NULL };

static int listed(const char *text, const char *const *list)
{
    for (; *list; ++list)
        if (!strcmp(text, *list)) return 1;
    return 0;
}

static int unknown_to_opencv(const reader_site *at) { return !listed(at->section->name, opencv_sections); }
static int odd_activation(const reader_site *at)
{
    return !listed(cfg_str(at->section, "activation", "linear"), opencv_activations);
}

static const reader_row rows[] = {
    { "activation=relu", uses_relu, 0, "several ncnn and TensorRT converters lack it",
      "train with activation=leaky, or give them -onnx" },
    { "groups= (depthwise convolution or pooling)", has_groups, 0, "ncnn, TensorRT converters and tkDNN want groups=1",
      "stack=bottleneck or linear in place of depthwise; a student map of the teacher's size needs no pooling; "
      "or -onnx" },
    { "[connected]", is_connected, 0, "ncnn, TensorRT converters and tkDNN lack it",
      "[avgpool] and a 1x1 [convolutional] with the same weights compute the same; or -onnx" },
    { "[connected] batch_normalize=1", normalises_connected, 1, "OpenCV answers NaN", "-fold" },
    { "batch_normalize=1", normalises, 0,
      "AlexeyAB's fork and Darknet on a GPU have another epsilon: off by 1e-5 at a variance of 0.05, by 1 % at 0.0001",
      "-fold" },
    { "[softmax] temperature=", has_temperature, 1, "OpenCV ignores it", "divide the layer before by it, or -onnx" },
    { "[shortcut] alpha= or beta=", weighs_shortcut, 1, "OpenCV refuses or ignores them",
      "scale a convolution before it instead" },
    { "[shortcut] between maps of unlike sizes", resizes_shortcut, 1, "OpenCV refuses the cfg",
      "a 1x1 convolution, behind [maxpool] size=1 where the size shrinks, brings both to one size; or -onnx" },
    { "a section beyond convolutions, pooling, joins and heads", unknown_to_opencv, 1, "OpenCV refuses the cfg",
      "use another layer there, or -onnx where that knows it" },
    { "an activation other than linear, relu, leaky, logistic, tanh", odd_activation, 1, "OpenCV refuses the cfg",
      "train with leaky, or -onnx" },
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

const reader_note *readers_not_opencv(const reader_note *note, int notes)
{
    for (int i = 0; i < notes; ++i)
        if (note[i].row->opencv) return &note[i];
    return NULL;
}
