/* A detector's head (see box_head.h). */
#include "box_head.h"

#include "darknet_plugin/base/mem.h"
#include "fork_heads.h"
#include "weights_tools/file/fold.h"

#include <stdlib.h>
#include <string.h>

int box_head_is_1x1(const cfg_section *layer)
{
    int x, y, moves = cfg_strides(layer, &x, &y) || x > 1;
    return cfg_int(layer, "size", 1) == 1 && !moves && cfg_int(layer, "groups", 1) == 1 &&
           (cfg_int(layer, "pad", 0) || !cfg_int(layer, "padding", 0)) && !cfg_int(layer, "binary", 0) &&
           !cfg_int(layer, "xnor", 0);
}

/* ---- finding it ---- */

/* `at`: the teacher's section that is in the way, or NULL. */
static int refuse(const cfg_section *section, const char *key, const cfg_section *at, const char *why, diag *d)
{
    char *before = key ? mem_printf("%s=%s: ", key, cfg_str(section, key, "")) : mem_strdup("");
    int line = key ? cfg_line(section, key) : section->line;
    if (at)
        diag_error(d, section->file, line, section->name, "%s[%s] (%s:%d), which is reused behind the tap, %s", before,
                   at->name, at->file, at->line, why);
    else diag_error(d, section->file, line, section->name, "%s%s", before, why);
    diag_hint(d, "it wants the teacher's last 1x1 [convolutional], with activation=linear, and its [yolo] or [region]");
    free(before);
    return -1;
}

/* The tail's layers without losses' stand-ins; at most two of them, how many there are. */
static int tail_layers(const loss_place *place, int *layer)
{
    int n = 0;
    for (int k = 0; k < place->tails; ++k) {
        if (place->tail_of[k] < 0) continue;
        if (n < 2) layer[n] = place->tail_of[k];
        ++n;
    }
    return n;
}

/* Why boxes of this section are none that a loss here knows; NULL: they are. */
static const char *unknown_boxes(const cfg_section *boxes)
{
    if (fork_head_of(boxes) == HEAD_GAUSSIAN) return "gives boxes with uncertainties, which no loss here compares";
    if (fork_head_of(boxes) == HEAD_NEW_COORDS) return "has new_coords=1, whose numbers no loss here compares";
    if (cfg_find(boxes, "tree")) return "has a tree of classes, which no loss here compares";
    if (cfg_int(boxes, "background", 0)) return "has background=1, which no loss here compares";
    if (cfg_is(boxes, "region") && cfg_int(boxes, "coords", 4) != 4)
        return "has boxes of other than 4 coordinates, which no loss here compares";
    return NULL;
}

static int masks(const cfg_section *boxes)
{
    int *mask, n = cfg_ints(boxes, "mask", &mask);
    free(mask);
    return n ? n : cfg_int(boxes, "num", 1);
}

static box_form form_of(const cfg_section *boxes)
{
    int region = cfg_is(boxes, "region");
    return (box_form){ .anchors = (size_t)(region ? cfg_int(boxes, "num", 1) : masks(boxes)),
                       .classes = (size_t)cfg_classes(boxes),
                       .softmax = region && cfg_int(boxes, "softmax", 0) };
}

static int is_linear_1x1(const cfg_section *layer)
{
    return cfg_is(layer, "convolutional") && box_head_is_1x1(layer) &&
           !strcmp(cfg_str(layer, "activation", "logistic"), "linear");
}

/* What is wrong is told once, the boxes' part of it first. */
int box_head_find(const cfg_section *section, const char *key, const loss_place *place, box_head *head, diag *d)
{
    int layer[2] = { -1, -1 }, n = tail_layers(place, layer);
    const cfg_section *first = n ? cfg_layer(place->teacher, layer[0]) : NULL;
    const cfg_section *boxes = n > 1 ? cfg_layer(place->teacher, layer[1]) : NULL;
    const char *unknown = boxes && cfg_is_boxes(boxes) ? unknown_boxes(boxes) : NULL;
    *head = (box_head){ .layer = layer[0], .boxes = layer[1] };
    if (!boxes) return refuse(section, key, NULL, "no detector's head is reused behind the tap", d);
    if (unknown) return refuse(section, key, boxes, unknown, d);
    if (!is_linear_1x1(first)) return refuse(section, key, first, "is no linear 1x1 [convolutional]", d);
    if (n > 2 || !cfg_is_boxes(boxes)) return refuse(section, key, boxes, "does not end a detector", d);
    head->form = form_of(boxes);
    head->rows = box_rows(&head->form);
    head->width = (size_t)place->teacher_c;
    return 0;
}

/* ---- its weights ---- */

void box_head_see(box_head *head, const network *teacher)
{
    head->weights = mem_realloc(head->weights, head->rows * head->width, sizeof *head->weights);
    head->biases = mem_realloc(head->biases, head->rows, sizeof *head->biases);
    fold_arrays(&teacher->layers[head->layer], head->weights, head->biases);
}

void box_head_free(box_head *head)
{
    free(head->weights);
    free(head->biases);
    head->weights = head->biases = NULL;
}

/* ---- what it answers ---- */

enum { TILE = 16 };

/* Some rows' sums at `n` places, n <= TILE; a whole tile stays in registers. */
static inline __attribute__((always_inline)) void answer_tile(const box_head *head, const float *map, size_t places,
                                                              size_t n, float *raw)
{
    for (size_t row = 0; row < head->rows; ++row) {
        const float *weights = head->weights + row * head->width;
        float sum[TILE];
        for (size_t i = 0; i < n; ++i) sum[i] = head->biases[row];
        for (size_t c = 0; c < head->width; ++c)
            for (size_t i = 0; i < n; ++i) sum[i] += weights[c] * map[c * places + i];
        for (size_t i = 0; i < n; ++i) raw[row * places + i] = sum[i];
    }
}

void box_head_answer(const box_head *head, const float *map, size_t places, float *raw)
{
    size_t at = 0;
    for (; at + TILE <= places; at += TILE) answer_tile(head, map + at, places, TILE, raw + at);
    if (at < places) answer_tile(head, map + at, places, places - at, raw + at);
}
