/* Boxes that learn from labels while something else is learnt, too: the [yolo] or [region] behind a frozen tail with
 * labels=W, one of the student's own that vanishes when deploying, the student's own output. Whatever computes such a
 * layer's loss, its delta and cost are weighed behind its forward. An image without labels is no image without objects:
 * [yolo] learns nothing from it (layers/yolo_loss.h); as for class labels, the mean is over the images that have some.
 * [region] knows no such image, and is refused where there are some (verb_train.c). */
#include "darknet_plugin/data/boxes.h"
#include "layers/network.h"
#include "model_internal.h"

/* What layer i's loss by boxes weighs; 0: it has none. */
static double weight_of(const lowered *low, int i)
{
    if (!cfg_is_boxes(cfg_layer(low->cfg, i)) || low->role[i] == ROLE_OUTPUT) return 0;
    const lower_head *head = lower_head_of(low, i);
    return head ? head->labels : 1;
}

/* How many images have labels. */
static int labelled(const network *net, const float *boxes)
{
    int n = 0;
    for (int b = 0; b < net->batch; ++b)
        n += !boxes || !boxes_unlabelled(boxes + (size_t)b * (size_t)net->truths);
    return n;
}

static void weigh_layer(network *net, int i, float factor)
{
    if (factor == 1) return;
    float *cost = net->layers[i].cost;
    *cost = factor == 0 ? 0 : factor * *cost;
    network_weigh_delta(net, i, factor);
}

void model_weigh_boxes(model *model, const float *boxes, float share)
{
    const lowered *low = model->low;
    int n = low->outs ? labelled(model->net, boxes) : 0;
    for (int i = 0; n && i < low->trained; ++i) {
        double weight = weight_of(low, i);
        if (weight > 0) weigh_layer(model->net, i, (float)(weight * share * model->net->batch / n));
    }
}
