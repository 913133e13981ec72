/* The loss of [yolo] on the CPU, image by image (see yolo_loss.h, and yolo_loss_ops.h for one place of it). Keys stand
 * in fields of the layer that the host uses in a [region] and leaves alone in a [yolo]: it passes layers by value. */
#include "yolo_loss.h"

#include "fork_heads.h"
#include "layers/cpu/parallel.h"

#include <string.h>

static int kind_of(const cfg_section *section, const char *key, const char *value)
{
    static const struct { const char *name; int kind; } kinds[] = {
        { "mse", YOLO_SQUARES }, { "iou", IOU_PLAIN }, { "giou", IOU_GENERALISED }, { "diou", IOU_DISTANCE },
        { "ciou", IOU_COMPLETE },
    };
    value = cfg_str(section, key, value);
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; ++i)
        if (!strcmp(value, kinds[i].name)) return kinds[i].kind;
    return YOLO_SQUARES;
}

static float number(const cfg_section *section, const char *key, double standard)
{
    return (float)cfg_float(section, key, standard);
}

/* iou_normalizer has AlexeyAB's default where the loss is his. */
void yolo_loss_take(layer *l, const cfg_section *section)
{
    float all = number(section, "delta_normalizer", 1);
    l->classfix = kind_of(section, "iou_loss", "mse");
    l->bias_match = kind_of(section, "iou_thresh_kind", "iou");
    l->scale = number(section, "scale_x_y", 1);
    l->thresh = number(section, "iou_thresh", 1);
    l->coord_scale = all * number(section, "iou_normalizer", l->classfix == YOLO_SQUARES ? 1 : .75);
    l->object_scale = all * number(section, "obj_normalizer", 1);
    l->class_scale = all * number(section, "cls_normalizer", 1);
    l->mask_scale = number(section, "max_delta", 0);
    l->noobject_scale = number(section, "label_smooth_eps", 0);
    l->rescore = cfg_int(section, "objectness_smooth", 0);
    l->log = cfg_int(section, "focal_loss", 0);
}

/* An image's, as far as its truth has room for what max= says. */
static int objects_of(const layer *l)
{
    return l->max_boxes < l->truths / YOLO_TRUTH ? l->max_boxes : l->truths / YOLO_TRUTH;
}

yolo_loss_how yolo_loss_how_of(const layer *l, int net_w, int net_h)
{
    return (yolo_loss_how){
        .w = l->w, .h = l->h, .net_w = net_w, .net_h = net_h, .anchors = l->n, .total = l->total,
        .classes = l->classes, .most = objects_of(l), .new_coords = l->coords == HEAD_NEW_COORDS, .kind = l->classfix,
        .thresh_kind = l->bias_match, .soft = l->rescore, .focal = l->log, .scale = l->scale,
        .ignore_thresh = l->ignore_thresh, .truth_thresh = l->truth_thresh, .iou_thresh = l->thresh,
        .box_weight = l->coord_scale, .object_weight = l->object_scale, .class_weight = l->class_scale,
        .label_smooth = l->noobject_scale, .max_delta = l->mask_scale, .size = l->biases, .mask = l->mask,
        .map = l->map,
    };
}

/* ---- forward ---- */

typedef struct activation_job {
    const layer *l;
    const float *input;
} activation_job;

/* Entries begin..end-1 of the batch, each a map. */
static void activate_maps(void *ctx, size_t begin, size_t end)
{
    const activation_job *job = ctx;
    size_t map = (size_t)job->l->w * (size_t)job->l->h, entries = YOLO_CLASSES + (size_t)job->l->classes;
    for (size_t i = begin * map; i < end * map; ++i)
        job->l->output[i] = yolo_value(job->input[i], (int)(i / map % entries));
}

void yolo_activate(const layer *l, const float *input)
{
    activation_job job = { .l = l, .input = input };
    size_t all = (size_t)l->batch * (size_t)l->outputs, map = (size_t)l->w * (size_t)l->h;
    if (l->coords == HEAD_NEW_COORDS) memcpy(l->output, input, all * sizeof *input);
    else parallel_for_work(all / map, 20 * map, activate_maps, &job);
}

/* ---- labels ---- */

typedef struct loss_job {
    const layer *l;
    const float *truth;      /* (batch, truths) */
    yolo_loss_how how;
    double *part;            /* batch */
} loss_job;

/* Images begin..end-1 of the batch, place by place. */
static void learn_images(void *ctx, size_t begin, size_t end)
{
    const loss_job *job = ctx;
    const layer *l = job->l;
    int cells = l->w * l->h;
    for (size_t b = begin; b < end; ++b) {
        size_t from = b * (size_t)l->outputs;
        const float *truth = job->truth + b * (size_t)l->truths;
        double cost = 0;
        for (int i = 0; i < l->n * cells; ++i) {
            yolo_place place = yolo_place_at(&job->how, i / cells, i % cells, l->output + from, l->delta + from, truth);
            cost += yolo_loss_at(&place);
        }
        job->part[b] = cost;
    }
}

void yolo_learn_batch(const layer *l, const network *net, double *part)
{
    loss_job job = { .l = l, .truth = net->truth, .how = yolo_loss_how_of(l, net->w, net->h), .part = part };
    double cost = 0;
    parallel_for_work((size_t)l->batch, 20 * (size_t)l->outputs, learn_images, &job);
    for (int b = 0; b < l->batch; ++b) cost += part[b];
    *l->cost = (float)cost;
}
