/* The loss of [yolo] from labels: Darknet's squared error, or one by IoU with what AlexeyAB's Darknet has besides, each
 * with its exact gradient, on threads and devices, without a word (the host prints a line a head and step).
 *
 * v are an anchor's entries as the layer's output has them, z what its logistic was given, H(t, v) = -t log v -
 * (1 - t) log(1 - v), o = objectness. An object is learnt by one anchor of all heads, that whose shape is nearest, at
 * the cell of its centre, and, with iou_thresh below 1, by every anchor whose shape meets it by more (iou_thresh_kind=
 * says of which IoU). With s = scale_x_y, column and row c, r of a cell, object x y w h, its class k:
 *
 *   box      iou_loss=mse: g sum H(t_i, v_i), g = (2 - w h) iou_normalizer; t0 = (x columns - c + (s - 1)/2) / s, t1 so
 *            of y; of w and h g (t - z)^2 / 2, t2 = log(w / anchor_w), t3; with new_coords=1 H and t2 =
 *            sqrt(w / (4 anchor_w)), targets cut to 0..1
 *            iou, giou, diou, ciou (iou_ops.h): g (1 - IoU of the decoded box), g = iou_normalizer 2 / side, side =
 *            sqrt(anchor_w anchor_h) in parts of the input. max_delta: its delta is cut there
 *   o        obj_normalizer H(1, o); of any other anchor H(0, o), unless its box meets an object by more than
 *            ignore_thresh: nothing, or H(that IoU, o) with objectness_smooth=1
 *   classes  cls_normalizer H(t, v), t = 1 - e/2 for k, e/2 for others, e = label_smooth_eps; with focal_loss=1
 *            (t (1 - v)^2 log 1/v + (1 - t) v^2 log 1/(1 - v)) / 2: Lin et al., "Focal Loss", ICCV 2017
 *
 * An anchor that several objects want learns the box of the last of them, one whose own shape it is first, and the
 * classes of all. One whose box meets an object by more than truth_thresh learns that. delta_normalizer multiplies all.
 * An image whose first object has x below 0 (or NaN) has no labels, and no loss. delta is minus the gradient by z (by v
 * with new_coords, where the logistic is the layer before's). Cost, as Darknet's: the sum of the squares of the deltas
 * by z, where iou_loss says so that loss in place of the box's.
 *
 * AlexeyAB's own differ: his gradient of an IoU lacks the slopes of the logistic, of the anchor's size and of half a
 * width, so that his iou_normalizer=.07 would be next to nothing here without 2 / side, which makes w and h count as
 * much as his; boxes that several objects want are sums; ignore_thresh wants a class above 1/4, too; objectness_smooth
 * leaves objects' own anchors at 0 below ignore_thresh; his focal factor is that of class k for all; cls_normalizer
 * counts only beside counters_per_class; and with new_coords the loss of o and classes is (t - v)^2. Redmon, Farhadi,
 * "YOLOv3" (2018), section 2; Bochkovskiy et al., "YOLOv4" (2020). */
#ifndef DISTILL_YOLO_LOSS_H
#define DISTILL_YOLO_LOSS_H
#include "darknet_plugin/host/host.h"
#include "yolo_loss_ops.h"

/* A parsed [yolo] learns as its section says. */
void yolo_loss_take(layer *l, const cfg_section *section);
/* What that was, with the layer's anchors, and an input of that size. */
yolo_loss_how yolo_loss_how_of(const layer *l, int net_w, int net_h);
/* l->output of net->input: x, y, objectness and classes through the logistic, as the host does it. */
void yolo_activate(const layer *l, const float *input);
/* All of l->delta and *l->cost by net->truth. `part`: room for a number an image. */
void yolo_learn_batch(const layer *l, const network *net, double *part);

#endif
