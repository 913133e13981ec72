/* Detector outputs of AlexeyAB's (see fork_heads.h). */
#include "fork_heads.h"

#include "layers/gpu/gpu.h"
#include "yolo_loss.h"

#include <math.h>
#include <string.h>

int fork_head_of(const cfg_section *section)
{
    if (cfg_is(section, "Gaussian_yolo")) return HEAD_GAUSSIAN;
    return cfg_is(section, "yolo") && cfg_int(section, "new_coords", 0) ? HEAD_NEW_COORDS : HEAD_STOCK;
}

int fork_head_needs_stand_in(const cfg_section *section) { return fork_head_of(section) == HEAD_GAUSSIAN; }

void fork_head_stand_in(cfg_section *copy)
{
    cfg_rename(copy, "yolo");
    cfg_set(copy, "classes", "%d", cfg_classes(copy) + GAUSSIAN_ENTRIES - 5);
}

/* Maps first..last of an anchor become probabilities. */
static void squash(const layer *l, float *anchor, int first, int last)
{
    size_t map = (size_t)l->w * (size_t)l->h;
    for (size_t i = (size_t)first * map; i < (size_t)(last + 1) * map; ++i) anchor[i] = 1 / (1 + expf(-anchor[i]));
}

/* All but the logarithms of width and height. */
static void squash_gaussian(const layer *l, float *anchor)
{
    squash(l, anchor, 0, 3);
    squash(l, anchor, 5, 5);
    squash(l, anchor, 7, 4 + l->classes);
}

static void forward_head(layer l, host_state net)
{
    size_t entries = (size_t)(5 + l.classes) * (size_t)l.w * (size_t)l.h;
    memcpy(l.output, net.input, (size_t)l.batch * (size_t)l.outputs * sizeof *l.output);
    if (l.delta) memset(l.delta, 0, (size_t)l.batch * (size_t)l.outputs * sizeof *l.delta);
    for (int i = 0; l.coords == HEAD_GAUSSIAN && i < l.batch * l.n; ++i)
        squash_gaussian(&l, l.output + (size_t)i * entries);
    if (l.cost) *l.cost = 0;
}

#ifdef GPU
static void forward_head_gpu(layer l, host_state net) { gpu_forward_by_host(&l, &net, forward_head); }
#endif

void fork_head_take(layer *l, const cfg_section *section)
{
    int head = fork_head_of(section);
    if (cfg_is(section, "yolo")) yolo_loss_take(l, section);
    if (head == HEAD_STOCK) return;
    l->coords = head;
    l->forward = forward_head;
#ifdef GPU
    l->forward_gpu = forward_head_gpu;
#endif
}
