/* [variational] on the CPU (see variational.h for the formulae, variational_ops.h for one channel or element). */
#include "variational.h"

#include "layers/cpu/parallel.h"
#include "variational_ops.h"

/* parts, slopes */
static size_t doubles(const layer *l) { return 2 * (size_t)l->batch * (size_t)l->out_c; }

void variational_job_of(const layer *l, struct variational_job *job)
{
    const map_loss *state = map_loss_of(l);
    size_t batch = (size_t)l->batch, c = (size_t)l->out_c;
    *job = (variational_job){ .teacher = state->target, .part = state->work, .slope = state->work + batch * c,
                              .batch = batch, .c = c, .h = (size_t)l->out_h, .w = (size_t)l->out_w,
                              .k = (size_t)map_loss_pool(&state->place),
                              .factor = state->scale / (double)l->outputs };
}

static void lose_channels(void *context, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; ++i) variational_channel(context, i);
}

/* Passes the input on; while training takes the loss. */
void forward_variational_layer(layer l, host_state net)
{
    variational_job job;
    if (!map_loss_pass(&l, &net)) return;
    variational_job_of(&l, &job);
    job.student = l.output;
    job.offset = l.biases;
    parallel_for_work(job.batch * job.c, job.h * job.w * job.k * job.k, lose_channels, &job);
    *l.cost = (float)(job.factor * map_loss_sum(&l, job.batch * job.c));
}

typedef struct variational_pass {
    variational_job job;
    const float *above;
    float *below;
} variational_pass;

static void pass_elements(void *context, size_t begin, size_t end)
{
    const variational_pass *pass = context;
    for (size_t i = begin; i < end; ++i) pass->below[i] += variational_delta(&pass->job, i) + pass->above[i];
}

static void backward_variational_layer(layer l, host_state net)
{
    variational_pass pass = { .above = l.delta, .below = net.delta };
    variational_job_of(&l, &pass.job);
    pass.job.student = l.output;
    pass.job.offset = l.biases;
    for (size_t c = 0; c < pass.job.c; ++c) l.bias_updates[c] += variational_offset_delta(&pass.job, c);
    if (net.delta) parallel_for_work((size_t)l.outputs * (size_t)l.batch, 1, pass_elements, &pass);
}

void append_variational_section(cfg_file *out, const cfg_section *section, int channels)
{
    cfg_section *stand_in = cfg_append(out, "convolutional", section->file, section->line);
    cfg_set(stand_in, "filters", "%d", channels);
    cfg_set(stand_in, "groups", "%d", channels);
    cfg_set(stand_in, "size", "1");
    cfg_set(stand_in, "stride", "1");
    cfg_set(stand_in, "pad", "0");
    cfg_set(stand_in, "activation", "linear");
}

int make_variational_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    static const map_loss_kind kind = { "variational", doubles, forward_variational_layer,
                                        backward_variational_layer };
    return map_loss_make(l, &kind, section, place, 1, d);
}
