/* Who will not take a deployed cfg, and what to change (see readers.h). The exported cfg is what pjreddie's Darknet, AlexeyAB's
 * and hank-ai's forks read alike; OpenCV's importer lacks some sections, and the converters behind ncnn, TensorRT and tkDNN know
 * the YOLO family's layers: batch norm + leaky or linear convolutions without groups, and no [connected].
 * To add a construct write its test and its row. */
#include "readers.h"

#include <string.h>

static int is_conv(const cfg_section *s) { return cfg_is(s, "convolutional"); }

static int uses_relu(const cfg_section *s)
{
    return !strcmp(cfg_str(s, "activation", ""), "relu");
}

static int has_groups(const cfg_section *s) { return is_conv(s) && cfg_int(s, "groups", 1) > 1; }
static int is_connected(const cfg_section *s) { return cfg_is(s, "connected"); }
static int normalises(const cfg_section *s) { return cfg_int(s, "batch_normalize", 0) != 0; }
static int normalises_connected(const cfg_section *s) { return is_connected(s) && normalises(s); }
static int has_temperature(const cfg_section *s) { return cfg_is(s, "softmax") && cfg_float(s, "temperature", 1) != 1; }
static int weighs_shortcut(const cfg_section *s) { return cfg_is(s, "shortcut") && (cfg_find(s, "alpha") || cfg_find(s, "beta")); }

/* What OpenCV 4.6's importer accepts. */
static const char *const opencv_sections[] = {
    "convolutional", "connected", "maxpool", "avgpool", "softmax", "route", "dropout", "cost", "reorg", "region", "shortcut",
    "upsample", "yolo", NULL
};
static const char *const opencv_activations[] = { "linear", "relu", "leaky", "logistic", "tanh", NULL };

static int listed(const char *text, const char *const *list)
{
    for (; *list; ++list)
        if (!strcmp(text, *list)) return 1;
    return 0;
}

static int unknown_to_opencv(const cfg_section *s) { return !listed(s->name, opencv_sections); }
static int odd_activation(const cfg_section *s) { return !listed(cfg_str(s, "activation", "linear"), opencv_activations); }

static const reader_row rows[] = {
    { "activation=relu", uses_relu, "several ncnn and TensorRT converters lack it", "train with activation=leaky, or give them -onnx" },
    { "groups= (depthwise convolution or pooling)", has_groups, "ncnn, TensorRT converters and tkDNN want groups=1",
      "stack=bottleneck or linear in place of depthwise; a student map of the teacher's size needs no pooling; or -onnx" },
    { "[connected]", is_connected, "ncnn, TensorRT converters and tkDNN lack it",
      "[avgpool] and a 1x1 [convolutional] with the same weights compute the same; or -onnx" },
    { "[connected] batch_normalize=1", normalises_connected, "OpenCV answers NaN", "-fold" },
    { "batch_normalize=1", normalises,
      "AlexeyAB's fork and Darknet on a GPU have another epsilon: off by 1e-5 at a variance of 0.05, by 1 % at 0.0001", "-fold" },
    { "[softmax] temperature=", has_temperature, "OpenCV ignores it", "divide the layer before by it, or -onnx" },
    { "[shortcut] alpha= or beta=", weighs_shortcut, "OpenCV refuses or ignores them", "scale a convolution before it instead" },
    { "a section beyond convolutions, pooling, joins and heads", unknown_to_opencv, "OpenCV refuses the cfg", "use another layer there" },
    { "an activation other than linear, relu, leaky, logistic, tanh", odd_activation, "OpenCV refuses the cfg", "train with leaky, or -onnx" },
};
_Static_assert(sizeof rows / sizeof *rows <= READER_ROWS, "room for every row");

int readers_note(const cfg_file *cfg, reader_note note[READER_ROWS])
{
    int n = 0;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; ++i) {
        reader_note m = { .row = &rows[i] };
        for (int k = 0; k < cfg->n; ++k) {
            const cfg_section *s = &cfg->section[k];
            if (s->index >= 0 && rows[i].has(s) && !m.count++) m.layer = s->index;
        }
        if (m.count) note[n++] = m;
    }
    return n;
}
