/* [yolo] new_coords=1 from labels (see fork_heads.h): the host's loss of its own [yolo], in these coordinates. With
 * s = scale_x_y, the cell's column and row c, r, an object's box x y w h and class k, and v the entries of the anchor
 * whose shape is nearest to it, in the cell where its centre is, all in 0..1:
 *   targets t0 = (x columns - c + (s - 1) / 2) / s   t2 = sqrt(w / (4 anchor_w))   t4 = 1   t5+j = [j = k]
 *           and so for t1, t3; cut to 0..1
 *   loss    sum of g_i H(t_i, v_i), H(t, v) = -t log v - (1 - t) log(1 - v), g = 2 - w h for the box, 1 for the rest
 * Any other anchor has H(0, v4), unless its box meets an object's by more than ignore_thresh; one that meets it by more
 * than truth_thresh learns that object. delta is minus the gradient, g (t - v) / (v (1 - v)): the logistic of the layer
 * before makes g (t - v) of it, which is the host's. The layer's cost is the sum of the squares of that. AlexeyAB's
 * Darknet takes squares of t - v for the loss itself, whose gradient vanishes where v is wrong and sure; his iou_loss=
 * and other keys of training are left out, too. */
#include "fork_heads.h"

#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>

/* One image of the batch. */
typedef struct picture {
    const layer *l;
    int net_w, net_h;
    const float *output, *truth;   /* of this image; truth: (max_boxes, 5), ends where x is 0 */
    float *delta, *error;          /* error: g (t - v) */
} picture;

static size_t map_of(const layer *l) { return (size_t)l->w * (size_t)l->h; }

/* Entry 0 of an anchor of the mask at a cell; its entries are a map apart. */
static size_t place_of(const layer *l, int anchor, int cell)
{
    return (size_t)anchor * (size_t)(5 + l->classes) * map_of(l) + (size_t)cell;
}

static box box_at(const picture *picture, int anchor, int cell)
{
    const layer *l = picture->l;
    size_t map = map_of(l);
    const float *v = picture->output + place_of(l, anchor, cell), *size = l->biases + 2 * l->mask[anchor];
    float back = (l->scale - 1) / 2;
    return (box){ .x = (l->scale * v[0] - back + (float)(cell % l->w)) / (float)l->w,
                  .y = (l->scale * v[map] - back + (float)(cell / l->w)) / (float)l->h,
                  .w = 4 * v[2 * map] * v[2 * map] * size[0] / (float)picture->net_w,
                  .h = 4 * v[3 * map] * v[3 * map] * size[1] / (float)picture->net_h };
}

/* Object t; 0 where there is none. */
static int truth_at(const picture *picture, int t, box *at)
{
    const float *truth = picture->truth + 5 * t;
    if (t >= picture->l->max_boxes || truth[0] == 0) return 0;
    *at = (box){ truth[0], truth[1], truth[2], truth[3] };
    return 1;
}

/* An entry of weight g learns its target. */
static void aim(const picture *picture, size_t entry, float g, float target)
{
    static const float least = 1e-7f;      /* where v is 0 or 1 to the last bit, the logistic's slope is 0 */
    float v = picture->output[entry], slope = v * (1 - v);
    float t = fminf(fmaxf(target, 0), 1);
    picture->delta[entry] = g * (t - v) / (slope > least ? slope : least);
    picture->error[entry] = g * (t - v);
}

/* What the anchor at a cell learns of object t: all of it. */
static void learn(const picture *picture, int anchor, int cell, int t)
{
    const layer *l = picture->l;
    size_t map = map_of(l), place = place_of(l, anchor, cell);
    const float *size = l->biases + 2 * l->mask[anchor];
    float s = l->scale, back = (s - 1) / 2;
    box truth = { 0, 0, 0, 0 };
    (void)truth_at(picture, t, &truth);
    float share = 2 - truth.w * truth.h;
    int label = (int)picture->truth[5 * t + 4];
    if (l->map) label = l->map[label];
    aim(picture, place, share, (truth.x * (float)l->w - (float)(cell % l->w) + back) / s);
    aim(picture, place + map, share, (truth.y * (float)l->h - (float)(cell / l->w) + back) / s);
    aim(picture, place + 2 * map, share, sqrtf(truth.w * (float)picture->net_w / (4 * size[0])));
    aim(picture, place + 3 * map, share, sqrtf(truth.h * (float)picture->net_h / (4 * size[1])));
    aim(picture, place + 4 * map, 1, 1);
    for (int k = 0; k < l->classes; ++k) aim(picture, place + (size_t)(5 + k) * map, 1, (float)(k == label));
}

/* An anchor that is nobody's yet. */
static void learn_nothing(const picture *picture, int anchor, int cell)
{
    const layer *l = picture->l;
    size_t objectness = place_of(l, anchor, cell) + 4 * map_of(l);
    box mine = box_at(picture, anchor, cell), truth;
    float most = 0;
    int best = 0;
    for (int t = 0; truth_at(picture, t, &truth); ++t) {
        float iou = box_iou(mine, truth);
        if (!(iou > most)) continue;
        most = iou;
        best = t;
    }
    if (!(most > l->ignore_thresh)) aim(picture, objectness, 1, 0);
    if (most > l->truth_thresh) learn(picture, anchor, cell, best);
}

/* The anchor of the mask whose shape is nearest to the object's; -1 where that is another head's. */
static int anchor_for(const picture *picture, box truth)
{
    const layer *l = picture->l;
    int best = 0, found = -1;
    float most = 0;
    truth.x = truth.y = 0;
    for (int n = 0; n < l->total; ++n) {
        box shape = { 0, 0, l->biases[2 * n] / (float)picture->net_w, l->biases[2 * n + 1] / (float)picture->net_h };
        float iou = box_iou(shape, truth);
        if (iou > most) best = n;
        most = iou > most ? iou : most;
    }
    for (int i = 0; i < l->n && found < 0; ++i)
        if (l->mask[i] == best) found = i;
    return found;
}

static int clipped(float place, int most)
{
    int at = (int)(place * (float)most);
    return at < most ? at : most - 1;
}

/* Every anchor first learns that it is nobody's, then those of the objects learn these. */
void fork_head_learn(const layer *l, const network *net)
{
    double cost = 0;
    size_t all = (size_t)l->batch * (size_t)l->outputs;
    float *error = mem_calloc(all, sizeof *error);
    for (int b = 0; b < l->batch; ++b) {
        size_t from = (size_t)b * (size_t)l->outputs;
        const float *labels = net->truth + (size_t)b * (size_t)l->truths;
        picture picture = { .l = l, .net_w = net->w, .net_h = net->h, .output = l->output + from, .truth = labels,
                            .delta = l->delta + from, .error = error + from };
        box truth;
        for (int i = 0; i < l->n * l->w * l->h; ++i) learn_nothing(&picture, i % l->n, i / l->n);
        for (int t = 0; truth_at(&picture, t, &truth); ++t) {
            int anchor = anchor_for(&picture, truth);
            if (anchor >= 0) learn(&picture, anchor, clipped(truth.y, l->h) * l->w + clipped(truth.x, l->w), t);
        }
    }
    for (size_t i = 0; i < all; ++i) cost += (double)error[i] * (double)error[i];
    *l->cost = (float)cost;
    free(error);
}
