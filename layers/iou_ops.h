/* How well two boxes agree, and the slopes of that by one of them: iou, giou, diou and ciou, for the CPU's loops and
 * for kernels. Boxes are centre and size; I is the area of both, U of either, the hull the least box around the two, of
 * width and height c_w, c_h; d the distance of the centres, w'/h' the shape of the other box:
 *
 *   iou    I / U
 *   giou   iou - 1 + U / (c_w c_h)                 Rezatofighi et al., "Generalized Intersection over Union", CVPR 2019
 *   diou   iou - d^2 / (c_w^2 + c_h^2)             Zheng et al., "Distance-IoU Loss", AAAI 2020
 *   ciou   diou - v^2 / (1 - iou + v),  v = 4/pi^2 (atan w'/h' - atan w/h)^2             the same, section 3.3
 *
 * Slopes are exact, of all that stands there: where the papers hold a factor fixed, v / (1 - iou + v) of ciou, or drop
 * one, 1 / (w^2 + h^2) of the slope of v, it is not done here. Where nothing is covered by both, iou is 0 and flat. */
#ifndef DISTILL_IOU_OPS_H
#define DISTILL_IOU_OPS_H
#include <math.h>

#ifdef __CUDACC__
#define IOU_FN static inline __host__ __device__
#else
#define IOU_FN static inline
#endif

enum { IOU_PLAIN, IOU_GENERALISED, IOU_DISTANCE, IOU_COMPLETE };

typedef struct iou_box {
    float x, y, w, h;     /* centre, size */
} iou_box;

/* One direction: the length of both, and of the hull; their slopes by the first box's centre and size. */
typedef struct iou_side {
    double both, hull;
    double both_centre, both_size, hull_centre, hull_size;
} iou_side;

/* What all four are made of; slopes by x, y, w, h of the first box. */
typedef struct iou_parts {
    iou_side x, y;
    double either, iou;
    double either_slope[4], iou_slope[4];
} iou_parts;

/* Whose edge bounds what: the first box's lower one where it lies above the other's, its upper one where below. */
IOU_FN iou_side iou_side_of(double centre, double size, double other, double other_size)
{
    double low = centre - size / 2, high = centre + size / 2;
    double other_low = other - other_size / 2, other_high = other + other_size / 2;
    int lower = low > other_low, upper = high < other_high;
    iou_side side;
    side.both = (upper ? high : other_high) - (lower ? low : other_low);
    side.hull = (upper ? other_high : high) - (lower ? other_low : low);
    side.both_centre = upper - lower;
    side.both_size = (upper + lower) / 2.;
    side.hull_centre = lower - upper;
    side.hull_size = (2 - upper - lower) / 2.;
    return side;
}

/* The area of both is the product of its sides, and flat where there is none. */
IOU_FN iou_parts iou_parts_of(const iou_box *box, const iou_box *other)
{
    iou_parts parts;
    parts.x = iou_side_of(box->x, box->w, other->x, other->w);
    parts.y = iou_side_of(box->y, box->h, other->y, other->h);
    int meet = parts.x.both > 0 && parts.y.both > 0;
    double both = meet ? parts.x.both * parts.y.both : 0;
    double slope[4] = { meet ? parts.x.both_centre * parts.y.both : 0, meet ? parts.y.both_centre * parts.x.both : 0,
                        meet ? parts.x.both_size * parts.y.both : 0, meet ? parts.y.both_size * parts.x.both : 0 };
    double area[4] = { 0, 0, box->h, box->w };
    parts.either = (double)box->w * box->h + (double)other->w * other->h - both;
    parts.iou = parts.either > 0 ? both / parts.either : 0;
    for (int i = 0; i < 4; ++i) {
        parts.either_slope[i] = area[i] - slope[i];
        parts.iou_slope[i] = parts.either > 0 ? (slope[i] - parts.iou * parts.either_slope[i]) / parts.either : 0;
    }
    return parts;
}

/* Adds U / hull - 1. */
IOU_FN double iou_add_hull(const iou_parts *parts, double *slope)
{
    double hull = parts->x.hull * parts->y.hull;
    double hull_slope[4] = { parts->x.hull_centre * parts->y.hull, parts->y.hull_centre * parts->x.hull,
                             parts->x.hull_size * parts->y.hull, parts->y.hull_size * parts->x.hull };
    if (!(hull > 0)) return 0;
    double share = parts->either / hull;
    for (int i = 0; i < 4; ++i) slope[i] += (parts->either_slope[i] - share * hull_slope[i]) / hull;
    return share - 1;
}

/* Takes d^2 by the square of the hull's diagonal off. */
IOU_FN double iou_add_distance(const iou_parts *parts, double x, double y, double *slope)
{
    const iou_side *across = &parts->x, *down = &parts->y;
    double diagonal = across->hull * across->hull + down->hull * down->hull;
    if (!(diagonal > 0)) return 0;
    double share = (x * x + y * y) / diagonal;
    double distance_slope[4] = { 2 * x, 2 * y, 0, 0 };
    double diagonal_slope[4] = { 2 * across->hull * across->hull_centre, 2 * down->hull * down->hull_centre,
                                 2 * across->hull * across->hull_size, 2 * down->hull * down->hull_size };
    for (int i = 0; i < 4; ++i) slope[i] -= (distance_slope[i] - share * diagonal_slope[i]) / diagonal;
    return -share;
}

/* Takes the difference of the shapes off. */
IOU_FN double iou_add_shape(const iou_parts *parts, const iou_box *box, const iou_box *other, double *slope)
{
    const double factor = 4 / (3.14159265358979323846 * 3.14159265358979323846);
    double w = box->w, h = box->h, apart = atan2((double)other->w, (double)other->h) - atan2(w, h);
    double v = factor * apart * apart, rest = 1 - parts->iou + v, size = w * w + h * h;
    if (!(rest > 0 && size > 0)) return 0;
    double share = v / rest, by_v = share * (2 - share), turn = 2 * factor * apart / size;
    for (int i = 0; i < 4; ++i) slope[i] -= share * share * parts->iou_slope[i];
    slope[2] -= by_v * turn * -h;
    slope[3] -= by_v * turn * w;
    return -v * share;
}

/* How well `box` agrees with the other, 1 where they are the same; slope: by x, y, w, h of `box`. */
IOU_FN double iou_of(int kind, const iou_box *box, const iou_box *other, double *slope)
{
    iou_parts parts = iou_parts_of(box, other);
    double value = parts.iou, x = (double)box->x - other->x, y = (double)box->y - other->y;
    for (int i = 0; i < 4; ++i) slope[i] = parts.iou_slope[i];
    if (kind == IOU_GENERALISED) value += iou_add_hull(&parts, slope);
    if (kind == IOU_DISTANCE || kind == IOU_COMPLETE) value += iou_add_distance(&parts, x, y, slope);
    if (kind == IOU_COMPLETE) value += iou_add_shape(&parts, box, other, slope);
    return value;
}

#endif
