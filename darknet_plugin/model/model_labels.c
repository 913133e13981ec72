/* Outputs that learn from labels, and images that have none.
 *
 * The host takes an all-zero row of truth for an image of no class at all and pushes every score down. Here its row of
 * the gradient is zeroed after the forward pass, and the others' are raised by batch / labelled: the loss is the mean
 * over the images that have a label. */
#include "model.h"

#include "layers/gpu/gpu.h"

#include <string.h>

static int compares_classes(const layer *l)
{
    return (l->type == SOFTMAX || l->type == LOGXENT || l->type == COST) && !l->noloss && l->cost;
}

int model_output_learns_classes(const model *model)
{
    for (int i = 0; i < model->low->trained; ++i)
        if (compares_classes(&model->net->layers[i])) return 1;
    return 0;
}

/* One output's rows: those of labelled images times `scale`, the others 0. */
static void weigh_rows(layer *l, const int *labels, float scale)
{
    float *loss = l->type == COST ? l->output : l->loss;
    size_t n = (size_t)l->inputs;
    double sum = 0;
    for (int b = 0; b < l->batch; ++b)
        for (size_t i = (size_t)b * n; i < ((size_t)b + 1) * n; ++i) {
            l->delta[i] *= labels[b] >= 0 ? scale : 0;
            sum += labels[b] >= 0 ? (double)loss[i] : 0;
        }
    *l->cost = (float)(sum * (double)scale);
}

void model_skip_unlabelled(model *model, const int *labels)
{
    network *net = model->net;
    int labelled = 0;
    for (int b = 0; b < net->batch; ++b) labelled += labels[b] >= 0;
    if (labelled == net->batch || gpu_has(net)) return;
    float scale = labelled ? (float)net->batch / (float)labelled : 0;
    for (int i = 0; i < model->low->trained; ++i)
        if (compares_classes(&net->layers[i])) weigh_rows(&net->layers[i], labels, scale);
}
