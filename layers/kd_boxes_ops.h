/* The mathematics of [kd] behind a detector's head for one anchor at one place: the CPU's loops (kd_boxes.c) and the
 * kernels (kd_boxes.cu) call the same functions. s and t are raw numbers of student and teacher (box_head_ops.h):
 *
 *   p = logistic(z), H(z_s, z_t) = p_t (log p_t - log p_s) + (1 - p_t) (log(1 - p_t) - log(1 - p_s))
 *   loss    H(s_o, t_o)                                    o: objectness
 *           + p_to * (H(s_x, t_x) + H(s_y, t_y)            p_to: the teacher's
 *                     + (s_w - t_w)^2 / 2 + (s_h - t_h)^2 / 2
 *                     + sum of H over classes, or of p_t (log p_t - log p_s), p the softmax, where they compete)
 *   delta   p_t - p_s, or t - s of w and h, times p_to of all but the objectness: minus the gradient
 *
 * H is binary cross-entropy less what the teacher's own answer costs: 0 where both agree, with the same gradient. With
 * focal = B > 0 the objectness has the quality focal loss of B, d = p_so - p_to, instead:
 *
 *   loss    |d|^B * (H(s_o, t_o) + H(t_o)),  H(t) = - p_t log p_t - (1 - p_t) log(1 - p_t)
 *   delta   - |d|^B d - B |d|^(B-1) sign(d) p_so (1 - p_so) (H(s_o, t_o) + H(t_o))
 *
 * With iou_loss= the boxes that a [yolo] or [region] makes of x, y, w, h are compared, of student and teacher at the
 * same place and anchor, in place of the four numbers (iou_ops.h), b in cells, a the anchor's size in cells:
 *
 *   b = (g p_x, g p_y, a_w e^w, a_h e^h)                   g: scale_x_y; where the cell is does not matter
 *   loss    p_to * iou_normalizer * (1 - iou(b_s, b_t))
 *   delta   p_to * iou_normalizer * (diou/dx g p_sx (1 - p_sx), ..., diou/dw b_sw, ...)
 *
 * iou_normalizer counts with the four numbers, too. Where the teacher sees hardly anything, p_to < 1/1000, only the
 * objectness counts.
 * Wang et al., "CrossKD", CVPR 2024 (B = 1); Li et al., "Generalized Focal Loss", NeurIPS 2020, equation 1. */
#ifndef DISTILL_KD_BOXES_OPS_H
#define DISTILL_KD_BOXES_OPS_H
#include "box_head_ops.h"
#include "iou_ops.h"

#define KD_BOXES_LEAST .001

/* log(1 + exp z) */
FEATURE_FN double kd_boxes_softplus(double z) { return (z > 0 ? z : 0) + log1p(exp(-fabs(z))); }

/* H(s, t) */
FEATURE_FN double kd_boxes_binary(double s, double t)
{
    return box_logistic(t) * (kd_boxes_softplus(-s) - kd_boxes_softplus(-t)) +
           box_logistic(-t) * (kd_boxes_softplus(s) - kd_boxes_softplus(t));
}
/* H(s, t) + H(t) */
FEATURE_FN double kd_boxes_cross(double s, double t)
{
    return box_logistic(t) * kd_boxes_softplus(-s) + box_logistic(-t) * kd_boxes_softplus(s);
}

FEATURE_FN double kd_boxes_object_loss(double s, double t, double focal)
{
    if (focal == 0) return kd_boxes_binary(s, t);
    return pow(fabs(box_logistic(s) - box_logistic(t)), focal) * kd_boxes_cross(s, t);
}
FEATURE_FN double kd_boxes_object_delta(double s, double t, double focal)
{
    double p = box_logistic(s), d = p - box_logistic(t);
    if (focal == 0 || d == 0) return -d;
    double slope = focal * pow(fabs(d), focal - 1) * (d > 0 ? 1 : -1);
    return -pow(fabs(d), focal) * d - slope * p * box_logistic(-s) * kd_boxes_cross(s, t);
}

/* log sum exp of n class numbers, `step` apart. */
FEATURE_FN double kd_boxes_log_sum(const float *z, size_t n, size_t step)
{
    double most = z[0], sum = 0;
    for (size_t k = 1; k < n; ++k)
        if (z[k * step] > most) most = z[k * step];
    for (size_t k = 0; k < n; ++k) sum += exp(z[k * step] - most);
    return most + log(sum);
}

/* The classes' part, without p_to; `s` and `t` are the first class's. */
FEATURE_FN double kd_boxes_class_loss(const box_form *form, const float *s, const float *t, size_t step)
{
    double sum = 0;
    if (!form->softmax) {
        for (size_t k = 0; k < form->classes; ++k) sum += kd_boxes_binary(s[k * step], t[k * step]);
        return sum;
    }
    double log_s = kd_boxes_log_sum(s, form->classes, step), log_t = kd_boxes_log_sum(t, form->classes, step);
    for (size_t k = 0; k < form->classes; ++k)
        sum += exp(t[k * step] - log_t) * ((t[k * step] - log_t) - (s[k * step] - log_s));
    return sum;
}

enum { KD_BOXES_SQUARES = -1 };

/* ---- one anchor at one place, or a device's thread: element i ---- */

typedef struct kd_boxes_job {
    const float *student, *teacher, *above;   /* raw, (batch, anchors, entries, places); above: the layer's delta */
    box_form form;
    size_t batch, places;
    double focal, scale, box_weight;
    int kind;                                 /* of the boxes' loss: an IOU_..., KD_BOXES_SQUARES */
    const float *anchor;                      /* (anchors, 2), their sizes; with an IOU_... */
    double cells_x, cells_y, grid;            /* cells that a unit of these is; scale_x_y */
    double *part;                             /* (batch, anchors, places) */
    float *below;                             /* to which delta is added */
} kd_boxes_job;

FEATURE_FN size_t kd_boxes_elements(const kd_boxes_job *job) { return job->batch * job->form.anchors * job->places; }

/* Where element i's first number is. */
FEATURE_FN size_t kd_boxes_at(const kd_boxes_job *job, size_t i)
{
    return i / job->places * box_entries(&job->form) * job->places + i % job->places;
}

/* The box of element i, of which `raw` is the first number, in cells from the cell's corner. */
FEATURE_FN iou_box kd_boxes_box(const kd_boxes_job *job, size_t i, const float *raw)
{
    const float *size = job->anchor + 2 * (i / job->places % job->form.anchors);
    iou_box box;
    box.x = (float)(job->grid * box_logistic(raw[BOX_X * job->places]));
    box.y = (float)(job->grid * box_logistic(raw[BOX_Y * job->places]));
    box.w = (float)(exp((double)raw[BOX_W * job->places]) * size[0] * job->cells_x);
    box.h = (float)(exp((double)raw[BOX_H * job->places]) * size[1] * job->cells_y);
    return box;
}

/* The boxes' part of the loss, without p_to. */
FEATURE_FN double kd_boxes_box_loss(const kd_boxes_job *job, size_t i, const float *s, const float *t)
{
    size_t step = job->places;
    double sum = 0, unused[4];
    if (job->kind != KD_BOXES_SQUARES) {
        iou_box ours = kd_boxes_box(job, i, s), own = kd_boxes_box(job, i, t);
        return job->box_weight * (1 - iou_of(job->kind, &ours, &own, unused));
    }
    for (size_t k = BOX_X; k <= BOX_Y; ++k) sum += kd_boxes_binary(s[k * step], t[k * step]);
    for (size_t k = BOX_W; k <= BOX_H; ++k) {
        double e = (double)s[k * step] - (double)t[k * step];
        sum += e * e / 2;
    }
    return job->box_weight * sum;
}

/* Its delta, of x, y, w, h. */
FEATURE_FN void kd_boxes_box_delta(const kd_boxes_job *job, size_t i, const float *s, const float *t, double *delta)
{
    size_t step = job->places;
    if (job->kind != KD_BOXES_SQUARES) {
        iou_box ours = kd_boxes_box(job, i, s), own = kd_boxes_box(job, i, t);
        iou_of(job->kind, &ours, &own, delta);
        for (size_t k = BOX_X; k <= BOX_Y; ++k)
            delta[k] *= job->grid * box_logistic(s[k * step]) * box_logistic(-(double)s[k * step]);
        delta[BOX_W] *= (double)ours.w;
        delta[BOX_H] *= (double)ours.h;
    } else {
        for (size_t k = BOX_X; k <= BOX_Y; ++k) delta[k] = box_logistic(t[k * step]) - box_logistic(s[k * step]);
        for (size_t k = BOX_W; k <= BOX_H; ++k) delta[k] = (double)t[k * step] - (double)s[k * step];
    }
    for (size_t k = BOX_X; k <= BOX_H; ++k) delta[k] *= job->box_weight;
}

/* Its loss, into `part`. */
FEATURE_FN void kd_boxes_lose(const kd_boxes_job *job, size_t i)
{
    size_t step = job->places;
    const float *s = job->student + kd_boxes_at(job, i), *t = job->teacher + kd_boxes_at(job, i);
    double there = box_logistic(t[BOX_OBJECT * step]);
    double sum = 0, loss = kd_boxes_object_loss(s[BOX_OBJECT * step], t[BOX_OBJECT * step], job->focal);
    if (there >= KD_BOXES_LEAST)
        sum = kd_boxes_box_loss(job, i, s, t) +
              kd_boxes_class_loss(&job->form, s + BOX_CLASS * step, t + BOX_CLASS * step, step);
    job->part[i] = loss + there * sum;
}

/* Adds its delta, and what came from above, to what lies below. */
FEATURE_FN void kd_boxes_pass(const kd_boxes_job *job, size_t i)
{
    size_t step = job->places, at = kd_boxes_at(job, i);
    const float *s = job->student + at, *t = job->teacher + at, *above = job->above + at;
    const float *class_s = s + BOX_CLASS * step, *class_t = t + BOX_CLASS * step;
    float *below = job->below + at;
    double there = box_logistic(t[BOX_OBJECT * step]), log_s = 0, log_t = 0, box[4] = { 0, 0, 0, 0 };
    int whole = there >= KD_BOXES_LEAST;
    if (whole) kd_boxes_box_delta(job, i, s, t, box);
    if (whole && job->form.softmax) {
        log_s = kd_boxes_log_sum(class_s, job->form.classes, step);
        log_t = kd_boxes_log_sum(class_t, job->form.classes, step);
    }
    for (size_t k = 0; k < box_entries(&job->form); ++k) {
        double z = s[k * step], y = t[k * step], delta = 0;
        if (k == BOX_OBJECT) delta = kd_boxes_object_delta(z, y, job->focal);
        else if (whole && k <= BOX_H) delta = there * box[k];
        else if (whole && job->form.softmax) delta = there * (exp(y - log_t) - exp(z - log_s));
        else if (whole) delta = there * (box_logistic(y) - box_logistic(z));
        below[k * step] += (float)(job->scale * delta) + above[k * step];
    }
}

/* A raw number of the teacher's: its head's row at a place of its map. */
typedef struct kd_boxes_answer {
    const float *weights, *biases, *map;      /* (rows, width), (rows), (batch, width, places) */
    float *raw;                               /* (batch, rows, places) */
    size_t batch, rows, width, places;
} kd_boxes_answer;

FEATURE_FN void kd_boxes_answer_at(const kd_boxes_answer *job, size_t i)
{
    size_t row = i / job->places % job->rows, b = i / (job->places * job->rows);
    job->raw[i] = box_head_raw(job->weights + row * job->width, job->biases[row], job->width,
                               job->map + b * job->width * job->places, NULL, FEATURE_F32, job->places,
                               i % job->places);
}

#endif
