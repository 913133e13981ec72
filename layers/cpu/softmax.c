/* [softmax]: the host's, its loss mended (see softmax.h). */
#include "softmax.h"

#include "layers/cross_entropy_ops.h"
#include "state.h"

int count_softmax_unlabelled(const layer *l, const float *truth)
{
    return l->batch - cross_entropy_labelled(truth, l->batch, (size_t)l->inputs);
}

/* What makes a sum over the batch one over the labelled images. */
static float raise_by(const layer *l, const float *truth)
{
    int labelled = cross_entropy_labelled(truth, l->batch, (size_t)l->inputs);
    return labelled ? (float)l->batch / (float)labelled : 0;
}

/* Added up as the host does, so that one-hot targets give its very sum. */
void mend_softmax_cost(const layer *l, const float *truth)
{
    float sum = 0;
    size_t n = (size_t)l->batch * (size_t)l->inputs;
    for (size_t i = 0; i < n; ++i) sum += truth[i] != 0 ? truth[i] * l->loss[i] : 0;
    *l->cost = sum * raise_by(l, truth);
}

void mend_softmax_delta(const layer *l, const float *truth)
{
    size_t n = (size_t)l->inputs;
    float scale = raise_by(l, truth);
    for (size_t b = 0; b < (size_t)l->batch; ++b) {
        float by = cross_entropy_has_label(truth + b * n, n) ? scale : 0;
        for (size_t i = b * n; i < (b + 1) * n && by != 1; ++i) l->delta[i] *= by;
    }
}

void forward_cpu_softmax(const layer *l, cpu_state *state, const layer_call *call)
{
    const float *truth = call->net->truth;
    state->host_forward(*l, *call->net);
    if (!truth || l->noloss) return;
    mend_softmax_cost(l, truth);
    mend_softmax_delta(l, truth);
}
