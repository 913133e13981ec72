/* The arithmetic of [yolo] from labels (see yolo_loss.h for the formulae), for one anchor at one cell of one image: the
 * CPU's loop (yolo_loss.c) and the kernel (gpu/yolo.cu) call the same functions. Nothing is shared between places, so
 * that any number of threads gives the same numbers: whose an anchor is follows from the image's objects each time. */
#ifndef DISTILL_YOLO_LOSS_OPS_H
#define DISTILL_YOLO_LOSS_OPS_H
#include "iou_ops.h"

#include <stddef.h>

/* How strongly an object wants an anchor: not at all, as one of several (iou_thresh), as the one of its shape. */
enum { YOLO_NOT, YOLO_ALSO, YOLO_BEST };
/* Entries of an anchor before its classes; numbers of an object in a truth. */
enum { YOLO_OBJECTNESS = 4, YOLO_CLASSES = 5, YOLO_TRUTH = 5 };

typedef struct yolo_loss_how {
    int w, h, net_w, net_h;          /* the map's cells; the input's pixels */
    int anchors, total, classes;     /* of this head; of all heads */
    int most;                        /* objects of an image */
    int new_coords;
    int kind;                        /* of the box's loss: an IOU_...; YOLO_SQUARES */
    int thresh_kind;                 /* an IOU_... */
    int soft, focal;                 /* objectness_smooth, focal_loss */
    float scale;                     /* scale_x_y */
    float ignore_thresh, truth_thresh, iou_thresh;
    float box_weight, object_weight, class_weight, label_smooth;
    float max_delta;                 /* 0: none */
    const float *size;               /* (total, 2), anchors in pixels of the input; borrowed, as the next two */
    const int *mask;                 /* anchors */
    const int *map;                  /* from an object's class to this network's; NULL: the same */
} yolo_loss_how;

enum { YOLO_SQUARES = -1 };

/* One anchor at one cell of one image. */
typedef struct yolo_place {
    const yolo_loss_how *how;
    const float *truth;      /* (most, YOLO_TRUTH) of the image, ends where x is 0 */
    const float *v;          /* entry 0; entries are `map` floats apart */
    float *delta;            /* the same of what is learnt */
    size_t map;
    int anchor, column, row;
    double cost;             /* so far */
} yolo_place;

/* An entry of the output: the host's logistic, in doubles as there, but of width and height; -1: `x` has it already. */
IOU_FN float yolo_value(float x, int entry)
{
    return entry < 0 || entry == 2 || entry == 3 ? x : (float)(1 / (1 + exp(-(double)x)));
}

/* An anchor's width and height, in pixels of the input. */
IOU_FN const float *yolo_size(const yolo_place *place)
{
    return place->how->size + 2 * (size_t)place->how->mask[place->anchor];
}

/* Its box, in parts of the input, in the host's own arithmetic. */
IOU_FN iou_box yolo_box(const yolo_place *place)
{
    const yolo_loss_how *how = place->how;
    const float *v = place->v, *size = yolo_size(place);
    float back = (how->scale - 1) / 2, wide = v[2 * place->map], high = v[3 * place->map];
    iou_box box;
    box.x = ((float)place->column + how->scale * v[0] - back) / (float)how->w;
    box.y = ((float)place->row + how->scale * v[place->map] - back) / (float)how->h;
    if (how->new_coords) {
        box.w = 4 * wide * wide * size[0] / (float)how->net_w;
        box.h = 4 * high * high * size[1] / (float)how->net_h;
    } else {
        box.w = (float)(exp((double)wide) * (double)size[0] / how->net_w);
        box.h = (float)(exp((double)high) * (double)size[1] / how->net_h);
    }
    return box;
}

/* The slopes of x, y, w, h of that by entries 0 to 3: of what the layer is given, where it has the logistic itself. */
IOU_FN void yolo_box_slopes(const yolo_place *place, const iou_box *box, double *slope)
{
    const yolo_loss_how *how = place->how;
    const float *v = place->v, *size = yolo_size(place);
    double x = v[0], y = v[place->map], scale = how->scale;
    slope[0] = scale / how->w * (how->new_coords ? 1 : x * (1 - x));
    slope[1] = scale / how->h * (how->new_coords ? 1 : y * (1 - y));
    slope[2] = how->new_coords ? 8. * v[2 * place->map] * size[0] / how->net_w : box->w;
    slope[3] = how->new_coords ? 8. * v[3 * place->map] * size[1] / how->net_h : box->h;
}

IOU_FN float yolo_overlap(float x, float w, float other, float other_w)
{
    float low = x - w / 2, high = x + w / 2, other_low = other - other_w / 2, other_high = other + other_w / 2;
    return (high < other_high ? high : other_high) - (low > other_low ? low : other_low);
}

/* The host's, float by float. */
IOU_FN float yolo_iou(const iou_box *box, const iou_box *other)
{
    float w = yolo_overlap(box->x, box->w, other->x, other->w), h = yolo_overlap(box->y, box->h, other->y, other->h);
    float both = w < 0 || h < 0 ? 0 : w * h;
    return both / (box->w * box->h + other->w * other->h - both);
}

/* Object t; 0 where there is none. */
IOU_FN int yolo_object(const yolo_place *place, int t, iou_box *object)
{
    const float *truth = place->truth + (size_t)YOLO_TRUTH * (size_t)t;
    if (t >= place->how->most || truth[0] == 0) return 0;
    object->x = truth[0];
    object->y = truth[1];
    object->w = truth[2];
    object->h = truth[3];
    return 1;
}

IOU_FN int yolo_class(const yolo_place *place, int t)
{
    int label = (int)place->truth[(size_t)YOLO_TRUTH * (size_t)t + 4];
    return place->how->map ? place->how->map[label] : label;
}

/* Of `most` cells, the one at `at` of 0..1. */
IOU_FN int yolo_cell(float at, int most)
{
    int cell = (int)(at * (float)most);
    return cell < most ? cell : most - 1;
}

/* An anchor's shape, around (0, 0). */
IOU_FN iou_box yolo_shape(const yolo_loss_how *how, int number)
{
    iou_box shape = { 0, 0, how->size[2 * number] / (float)how->net_w, how->size[2 * number + 1] / (float)how->net_h };
    return shape;
}

/* Of the anchors of all heads the one whose shape is nearest. */
IOU_FN int yolo_nearest(const yolo_loss_how *how, const iou_box *shape)
{
    float most = 0;
    int nearest = 0;
    for (int n = 0; n < how->total; ++n) {
        iou_box other = yolo_shape(how, n);
        float iou = yolo_iou(&other, shape);
        if (!(iou > most)) continue;
        most = iou;
        nearest = n;
    }
    return nearest;
}

/* How much this object, at another cell or this, wants this anchor here: YOLO_NOT, ... */
IOU_FN int yolo_wants(const yolo_place *place, const iou_box *object)
{
    const yolo_loss_how *how = place->how;
    int number = how->mask[place->anchor];
    double unused[4];
    if (yolo_cell(object->x, how->w) != place->column || yolo_cell(object->y, how->h) != place->row) return YOLO_NOT;
    iou_box shape = { 0, 0, object->w, object->h }, own = yolo_shape(how, number);
    if (yolo_nearest(how, &shape) == number) return YOLO_BEST;
    return how->iou_thresh < 1 && iou_of(how->thresh_kind, &own, &shape, unused) > (double)how->iou_thresh ? YOLO_ALSO
                                                                                                           : YOLO_NOT;
}

/* Entry i, a probability, gets `error`, minus the slope by what its logistic is given. */
IOU_FN void yolo_learn(yolo_place *place, int entry, float error)
{
    const float least = 1e-7f;      /* where v is 0 or 1 to the last bit, the logistic's slope is 0 */
    float v = place->v[(size_t)entry * place->map], slope = v * (1 - v);
    if (place->how->new_coords) error /= slope > least ? slope : least;
    place->delta[(size_t)entry * place->map] = error;
}

/* The same, with its square added to the cost. */
IOU_FN void yolo_aim(yolo_place *place, int entry, float weight, float target)
{
    float error = weight * (target - place->v[(size_t)entry * place->map]);
    yolo_learn(place, entry, error);
    place->cost += (double)error * (double)error;
}

/* Of focal loss with gamma = 2 and weight 1/2: minus the slope of t (1 - p)^2 log 1/p + (1 - t) p^2 log 1/(1 - p). */
IOU_FN double yolo_focal(double target, double p)
{
    const double least = 1e-12;
    double on = (1 - p) * (1 - p) * (1 - p - 2 * p * log(p > least ? p : least));
    double off = p * p * (p - 2 * (1 - p) * log(1 - p > least ? 1 - p : least));
    return (target * on - (1 - target) * off) / 2;
}

/* Class k, which is one that is to be found here or not. */
IOU_FN void yolo_aim_class(yolo_place *place, int k, int is)
{
    const yolo_loss_how *how = place->how;
    float target = is ? 1 - how->label_smooth / 2 : how->label_smooth / 2;
    if (!how->focal) {
        yolo_aim(place, YOLO_CLASSES + k, how->class_weight, target);
        return;
    }
    double p = place->v[(size_t)(YOLO_CLASSES + k) * place->map];
    float error = how->class_weight * (float)yolo_focal(target, p);
    yolo_learn(place, YOLO_CLASSES + k, error);
    place->cost += (double)error * (double)error;
}

IOU_FN float yolo_unit(float x)
{
    if (x < 0) return 0;
    return x > 1 ? 1 : x;
}

/* Squared error, as Darknet's: large boxes count half of small ones. */
IOU_FN void yolo_box_squares(yolo_place *place, const iou_box *object)
{
    const yolo_loss_how *how = place->how;
    const float *size = yolo_size(place);
    float weight = (2 - object->w * object->h) * how->box_weight, back = (how->scale - 1) / 2;
    float x = (object->x * (float)how->w - (float)place->column + back) / how->scale;
    float y = (object->y * (float)how->h - (float)place->row + back) / how->scale;
    float w = object->w * (float)how->net_w / size[0], h = object->h * (float)how->net_h / size[1];
    if (how->new_coords) {
        yolo_aim(place, 0, weight, yolo_unit(x));
        yolo_aim(place, 1, weight, yolo_unit(y));
        yolo_aim(place, 2, weight, yolo_unit(sqrtf(w / 4)));
        yolo_aim(place, 3, weight, yolo_unit(sqrtf(h / 4)));
        return;
    }
    yolo_aim(place, 0, weight, x);
    yolo_aim(place, 1, weight, y);
    yolo_aim(place, 2, weight, (float)log((double)w));
    yolo_aim(place, 3, weight, (float)log((double)h));
}

/* 1 - IoU, times 2 by the side of the anchor in parts of the input. */
IOU_FN void yolo_box_iou(yolo_place *place, const iou_box *object)
{
    const yolo_loss_how *how = place->how;
    const float *size = yolo_size(place);
    iou_box box = yolo_box(place);
    double by_box[4], by_entry[4], limit = how->max_delta;
    double side = sqrt((double)size[0] / how->net_w * ((double)size[1] / how->net_h)), weight = how->box_weight;
    if (side > 0) weight *= 2 / side;
    place->cost += weight * (1 - iou_of(how->kind, &box, object, by_box));
    yolo_box_slopes(place, &box, by_entry);
    for (int i = 0; i < 4; ++i) {
        double delta = weight * by_box[i] * by_entry[i];
        if (limit > 0) delta = fmin(fmax(delta, -limit), limit);
        place->delta[(size_t)i * place->map] = (float)delta;
    }
}

/* Whose this anchor is, and what else of the image matters to it. */
typedef struct yolo_owner {
    int object, wants;       /* -1: nobody's; YOLO_... */
    int met;                 /* the object that its box meets most */
    float iou;               /* by how much */
} yolo_owner;

/* The last of those that want it most. */
IOU_FN yolo_owner yolo_owner_of(const yolo_place *place)
{
    yolo_owner owner = { -1, YOLO_NOT, 0, 0 };
    iou_box box = yolo_box(place), object;
    for (int t = 0; yolo_object(place, t, &object); ++t) {
        float iou = yolo_iou(&box, &object);
        int wants = yolo_wants(place, &object);
        if (iou > owner.iou) {
            owner.iou = iou;
            owner.met = t;
        }
        if (!wants || wants < owner.wants) continue;
        owner.object = t;
        owner.wants = wants;
    }
    return owner;
}

/* Does one of the objects that this anchor learns have class k? */
IOU_FN int yolo_has_class(const yolo_place *place, const yolo_owner *owner, int k)
{
    iou_box object;
    if (owner->iou > place->how->truth_thresh && yolo_class(place, owner->met) == k) return 1;
    for (int t = 0; yolo_object(place, t, &object); ++t)
        if (yolo_class(place, t) == k && yolo_wants(place, &object)) return 1;
    return 0;
}

/* All of an object: its box, that there is one, the classes of all that want this anchor. */
IOU_FN void yolo_learn_object(yolo_place *place, const yolo_owner *owner, int t)
{
    const yolo_loss_how *how = place->how;
    iou_box object = { 0, 0, 0, 0 };
    (void)yolo_object(place, t, &object);
    if (how->kind == YOLO_SQUARES) yolo_box_squares(place, &object);
    else yolo_box_iou(place, &object);
    yolo_aim(place, YOLO_OBJECTNESS, how->object_weight, 1);
    for (int k = 0; k < how->classes; ++k) yolo_aim_class(place, k, yolo_has_class(place, owner, k));
}

/* The delta of one anchor at one cell, all of its entries; returns its cost. */
IOU_FN double yolo_loss_at(yolo_place *place)
{
    const yolo_loss_how *how = place->how;
    for (int i = 0; i < YOLO_CLASSES + how->classes; ++i) place->delta[(size_t)i * place->map] = 0;
    place->cost = 0;
    if (!(place->truth[0] >= 0)) return 0;         /* the image has no labels */
    yolo_owner owner = yolo_owner_of(place);
    int object = owner.object >= 0 || !(owner.iou > how->truth_thresh) ? owner.object : owner.met;
    int ignored = owner.iou > how->ignore_thresh;
    if (object >= 0) yolo_learn_object(place, &owner, object);
    else if (!ignored || how->soft)
        yolo_aim(place, YOLO_OBJECTNESS, how->object_weight, ignored ? owner.iou : 0);
    return place->cost;
}

/* Anchor `anchor` at cell `cell` of an image whose output, delta and objects these are. */
IOU_FN yolo_place yolo_place_at(const yolo_loss_how *how, int anchor, int cell, const float *output, float *delta,
                                const float *truth)
{
    yolo_place place;
    place.how = how;
    place.map = (size_t)how->w * (size_t)how->h;
    size_t at = (size_t)anchor * (size_t)(YOLO_CLASSES + how->classes) * place.map + (size_t)cell;
    place.truth = truth;
    place.v = output + at;
    place.delta = delta + at;
    place.anchor = anchor;
    place.column = cell % how->w;
    place.row = cell / how->w;
    place.cost = 0;
    return place;
}

#endif
