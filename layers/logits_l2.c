/* [logits_l2] on the CPU, an image at a time (see logits_l2.h for the formulae). */
#include "logits_l2.h"

#include "layers/cpu/parallel.h"
#include "logits_l2_ops.h"

static size_t doubles(const layer *l) { return (size_t)l->batch; }

static double factor_of(const layer *l) { return map_loss_of(l)->scale / (double)l->outputs; }

typedef struct logits_job {
    const layer *l;
    float *below;
} logits_job;

static void lose_images(void *context, size_t begin, size_t end)
{
    const layer *l = ((const logits_job *)context)->l;
    const map_loss *state = map_loss_of(l);
    size_t n = (size_t)l->outputs;
    for (size_t b = begin; b < end; ++b) state->work[b] = logits_l2_loss(l->output + b * n, state->target + b * n, n);
}

/* Passes the input on; while training takes the loss. */
void forward_logits_l2_layer(layer l, host_state net)
{
    logits_job job = { .l = &l };
    if (!map_loss_pass(&l, &net)) return;
    parallel_for_work((size_t)l.batch, (size_t)l.outputs, lose_images, &job);
    *l.cost = (float)(factor_of(&l) * map_loss_sum(&l, (size_t)l.batch));
}

static void pass_scores(void *context, size_t begin, size_t end)
{
    const logits_job *job = context;
    const layer *l = job->l;
    for (size_t i = begin; i < end; ++i)
        job->below[i] += logits_l2_delta(l->output[i], map_loss_of(l)->target[i], factor_of(l)) + l->delta[i];
}

static void backward_logits_l2_layer(layer l, host_state net)
{
    logits_job job = { .l = &l, .below = net.delta };
    if (net.delta) parallel_for_work((size_t)l.batch * (size_t)l.outputs, 1, pass_scores, &job);
}

int make_logits_l2_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    static const map_loss_kind kind = { "logits_l2", doubles, forward_logits_l2_layer, backward_logits_l2_layer };
    return map_loss_make(l, &kind, section, place, 1, d);
}
