/* [yolo] and [region] on the CPU with a library that was built with GPU=1: its CPU functions leave the activations to
 * the device's (#ifndef GPU in yolo_layer.c and region_layer.c), so that boxes come out of raw numbers. Here they are
 * applied first, as a library built with GPU=0 does it, and then the host's function runs on the result. */
#include "gpu.h"

#include <string.h>

/* Exported by the library, in none of its installed headers. */
void activate_array(float *x, int count, ACTIVATION act);
void softmax_cpu(float *input, int count, int batch, int batch_offset, int groups, int group_offset, int stride,
                 float temp, float *output);
void forward_yolo_layer(layer l, network net);
void forward_region_layer(layer l, network net);

/* Entry `entry` of anchor n of image b. */
static float *entry_of(const layer *l, int coords, int b, int n, int entry)
{
    int map = l->w * l->h;
    return l->output + (size_t)b * (size_t)l->outputs + (size_t)(n * (coords + l->classes + 1) + entry) * (size_t)map;
}

static void forward_yolo(layer l, network net)
{
    int map = l.w * l.h;
    memcpy(l.output, net.input, (size_t)l.outputs * (size_t)l.batch * sizeof *l.output);
    for (int i = 0; i < l.batch * l.n; ++i) {
        activate_array(entry_of(&l, 4, i / l.n, i % l.n, 0), 2 * map, LOGISTIC);
        activate_array(entry_of(&l, 4, i / l.n, i % l.n, 4), (1 + l.classes) * map, LOGISTIC);
    }
    net.input = l.output;
    forward_yolo_layer(l, net);
}

/* Class probabilities of all anchors: groups of a tree, or one group. `x` is the input. */
static void soften_classes(const layer *l, float *x)
{
    int map = l->w * l->h, first = l->coords + !l->background;
    if (l->softmax_tree)
        for (int i = 0, at = l->coords + 1; i < l->softmax_tree->groups; at += l->softmax_tree->group_size[i++])
            softmax_cpu(x + at, l->softmax_tree->group_size[i], l->batch, l->inputs, l->n * map, 1, l->n * map,
                        l->temperature, l->output + at);
    else
        softmax_cpu(x + first * map, l->classes + l->background, l->batch * l->n, l->inputs / l->n, map, 1, map, 1,
                    l->output + first * map);
}

/* As the library's forward_region_layer built with GPU=0 begins; then that one. */
static void forward_region(layer l, network net)
{
    int map = l.w * l.h;
    memcpy(l.output, net.input, (size_t)l.outputs * (size_t)l.batch * sizeof *l.output);
    for (int i = 0; i < l.batch * l.n; ++i) {
        activate_array(entry_of(&l, l.coords, i / l.n, i % l.n, 0), 2 * map, LOGISTIC);
        if (!l.background) activate_array(entry_of(&l, l.coords, i / l.n, i % l.n, l.coords), map, LOGISTIC);
        if (!l.softmax && !l.softmax_tree)
            activate_array(entry_of(&l, l.coords, i / l.n, i % l.n, l.coords + 1), l.classes * map, LOGISTIC);
    }
    if (l.softmax || l.softmax_tree) soften_classes(&l, net.input);
    net.input = l.output;
    forward_region_layer(l, net);
}

static const struct { LAYER_TYPE type; void (*forward)(layer, network); } mended[] = {
    { YOLO, forward_yolo }, { REGION, forward_region },
};

void gpu_mend_cpu(network *net)
{
    for (int i = 0; !gpu_has(net) && i < net->n; ++i)
        for (size_t k = 0; k < sizeof mended / sizeof *mended; ++k)
            if (net->layers[i].type == mended[k].type) net->layers[i].forward = mended[k].forward;
}
