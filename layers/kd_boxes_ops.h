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
 * Where the teacher sees hardly anything, p_to < 1/1000, only the objectness counts.
 * Wang et al., "CrossKD", CVPR 2024 (B = 1); Li et al., "Generalized Focal Loss", NeurIPS 2020, equation 1. */
#ifndef DISTILL_KD_BOXES_OPS_H
#define DISTILL_KD_BOXES_OPS_H
#include "box_head_ops.h"

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

/* ---- one anchor at one place, or a device's thread: element i ---- */

typedef struct kd_boxes_job {
    const float *student, *teacher, *above;   /* raw, (batch, anchors, entries, places); above: the layer's delta */
    box_form form;
    size_t batch, places;
    double focal, scale;
    double *part;                             /* (batch, anchors, places) */
    float *below;                             /* to which delta is added */
} kd_boxes_job;

FEATURE_FN size_t kd_boxes_elements(const kd_boxes_job *job) { return job->batch * job->form.anchors * job->places; }

/* Where element i's first number is. */
FEATURE_FN size_t kd_boxes_at(const kd_boxes_job *job, size_t i)
{
    return i / job->places * box_entries(&job->form) * job->places + i % job->places;
}

/* Its loss, into `part`. */
FEATURE_FN void kd_boxes_lose(const kd_boxes_job *job, size_t i)
{
    size_t step = job->places;
    const float *s = job->student + kd_boxes_at(job, i), *t = job->teacher + kd_boxes_at(job, i);
    double there = box_logistic(t[BOX_OBJECT * step]);
    double sum = 0, loss = kd_boxes_object_loss(s[BOX_OBJECT * step], t[BOX_OBJECT * step], job->focal);
    if (there >= KD_BOXES_LEAST) {
        for (size_t k = BOX_X; k <= BOX_Y; ++k) sum += kd_boxes_binary(s[k * step], t[k * step]);
        for (size_t k = BOX_W; k <= BOX_H; ++k) {
            double e = (double)s[k * step] - (double)t[k * step];
            sum += e * e / 2;
        }
        sum += kd_boxes_class_loss(&job->form, s + BOX_CLASS * step, t + BOX_CLASS * step, step);
    }
    job->part[i] = loss + there * sum;
}

/* Adds its delta, and what came from above, to what lies below. */
FEATURE_FN void kd_boxes_pass(const kd_boxes_job *job, size_t i)
{
    size_t step = job->places, at = kd_boxes_at(job, i);
    const float *s = job->student + at, *t = job->teacher + at, *above = job->above + at;
    const float *class_s = s + BOX_CLASS * step, *class_t = t + BOX_CLASS * step;
    float *below = job->below + at;
    double there = box_logistic(t[BOX_OBJECT * step]), log_s = 0, log_t = 0;
    int whole = there >= KD_BOXES_LEAST;
    if (whole && job->form.softmax) {
        log_s = kd_boxes_log_sum(class_s, job->form.classes, step);
        log_t = kd_boxes_log_sum(class_t, job->form.classes, step);
    }
    for (size_t k = 0; k < box_entries(&job->form); ++k) {
        double z = s[k * step], y = t[k * step], delta = 0;
        if (k == BOX_OBJECT) delta = kd_boxes_object_delta(z, y, job->focal);
        else if (whole && (k == BOX_W || k == BOX_H)) delta = there * (y - z);
        else if (whole && k > BOX_OBJECT && job->form.softmax) delta = there * (exp(y - log_t) - exp(z - log_s));
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
