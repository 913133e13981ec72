/* Boxes that learn from labels while something else is learnt, too: the [yolo] or [region] behind a frozen tail with
 * labels=W, one of the student's own that vanishes when deploying, the student's own output. Whatever computes such a
 * layer's loss, its delta and cost are weighed behind its forward. They are not trained on images without labels, which
 * are no images without objects; as for class labels, the mean is over the images that have some. */
#include "darknet_plugin/data/boxes.h"
#include "layers/gpu/gpu.h"
#include "layers/network.h"
#include "model_internal.h"

#include <string.h>

/* What layer i's loss by boxes weighs; 0: it has none. */
static double weight_of(const lowered *low, int i)
{
    if (!cfg_is_boxes(cfg_layer(low->cfg, i)) || low->role[i] == ROLE_OUTPUT) return 0;
    for (int k = 0; k < low->heads; ++k) {
        const lower_head *head = &low->head[k];
        if (i >= head->tail && i < head->tail + head->tails) return head->labels;
    }
    return 1;
}

static int has_labels(const network *net, const float *boxes, int b)
{
    return !boxes || !boxes_unlabelled(boxes + (size_t)b * (size_t)net->truths);
}

static int labelled(const network *net, const float *boxes)
{
    int n = 0;
    for (int b = 0; b < net->batch; ++b) n += has_labels(net, boxes, b);
    return n;
}

void model_take_boxes(model *model, const float *boxes)
{
    network *net = model->net;
    size_t n = (size_t)net->truths;
    memcpy(net->truth, boxes, n * (size_t)net->batch * sizeof *boxes);
    for (int b = 0; b < net->batch; ++b)
        if (!has_labels(net, boxes, b)) memset(net->truth + (size_t)b * n, 0, n * sizeof *boxes);
}

/* The part of layer i's squared delta that is of images with labels: of its cost, too. */
static double share_of_labelled(const network *net, const float *boxes, int i)
{
    const layer *l = &net->layers[i];
    double all = 0, kept = 0;
    gpu_pull_delta(net, i);
    for (int b = 0; b < l->batch; ++b) {
        const float *delta = l->delta + (size_t)b * (size_t)l->outputs;
        double sum = 0;
        for (int k = 0; k < l->outputs; ++k) sum += (double)delta[k] * delta[k];
        all += sum;
        if (has_labels(net, boxes, b)) kept += sum;
    }
    return all > 0 ? kept / all : 0;
}

static void weigh_layer(network *net, const float *boxes, int n, int i, double weight)
{
    layer *l = &net->layers[i];
    float factor = n ? (float)(weight * net->batch / n) : 0;
    if (factor == 1) return;
    if (n < net->batch) *l->cost *= (float)share_of_labelled(net, boxes, i);
    *l->cost = factor == 0 ? 0 : factor * *l->cost;
    for (int b = 0; b < net->batch; ++b) network_weigh_delta(net, i, b, has_labels(net, boxes, b) ? factor : 0);
}

void model_weigh_boxes(model *model, const float *boxes, float share)
{
    const lowered *low = model->low;
    int n = low->outs ? labelled(model->net, boxes) : 0;
    for (int i = 0; low->outs && i < low->trained; ++i) {
        double weight = weight_of(low, i);
        if (weight > 0) weigh_layer(model->net, boxes, n, i, weight * share);
    }
}
