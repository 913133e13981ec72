/* What losses count from step to step: fade=.
 *
 * With fade=F a loss of scale s counts s * max(0, 1 - u / (F U)) after u of U = max_batches updates. A loss of maps is
 * a quick teacher at first; what it still asks for at the end is not what the answers need. Between steps the scale is
 * s, so that states and measurements know nothing of it. */
#include "model_internal.h"

#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>

double *model_scales(const model *model)
{
    const lowered *low = model->low;
    double *scale = mem_calloc((size_t)low->losses + 1, sizeof *scale);   /* a plain net has none */
    for (int i = 0; i < low->losses; ++i) scale[i] = *model_scale_of(model, &low->loss[i]);
    return scale;
}

void model_put_scales(const model *model, double *scale)
{
    for (int i = 0; i < model->low->losses; ++i) *model_scale_of(model, &model->low->loss[i]) = scale[i];
    free(scale);
}

double *model_fade_losses(const model *model)
{
    const network *net = model->net;
    uint64_t updates = *net->seen / ((uint64_t)net->batch * (uint64_t)net->subdivisions);
    double *full = model_scales(model);
    for (int i = 0; i < model->low->losses; ++i) {
        const taught_loss *loss = &model->low->loss[i];
        if (loss->fade > 0)
            *model_scale_of(model, loss) *= fmax(0, 1 - (double)updates / (loss->fade * (double)net->max_batches));
    }
    return full;
}
