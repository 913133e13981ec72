/* [attention_transfer] on the CPU (see attention_transfer.h for the formulae, attention_transfer_ops.h for one pixel).
 *
 * Left out: other powers than 2, and a student's map larger than the teacher's. */
#include "attention_transfer.h"

#include "attention_transfer_ops.h"
#include "layers/cpu/parallel.h"

/* parts, own, taught */
static size_t doubles(const layer *l)
{
    return (size_t)l->batch * (1 + 2 * (size_t)l->out_h * (size_t)l->out_w);
}

void attention_transfer_job(const layer *l, struct attention_job *job)
{
    const map_loss *state = map_loss_of(l);
    size_t batch = (size_t)l->batch, h = (size_t)l->out_h, w = (size_t)l->out_w;
    *job = (attention_job){ .teacher = state->target, .part = state->work, .own = state->work + batch,
                            .taught = state->work + batch + batch * h * w, .batch = batch, .c = (size_t)l->out_c,
                            .teacher_c = (size_t)state->place.teacher_c, .h = h, .w = w,
                            .k = (size_t)map_loss_pool(&state->place), .factor = state->scale / (double)(h * w) };
}

static void find_pixels(void *context, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; ++i) attention_pixel(context, i);
}

static void lose_images(void *context, size_t begin, size_t end)
{
    for (size_t b = begin; b < end; ++b) attention_image(context, b);
}

/* Passes the input on; while training takes the loss. */
void forward_attention_transfer_layer(layer l, host_state net)
{
    attention_job job;
    if (!map_loss_pass(&l, &net)) return;
    attention_transfer_job(&l, &job);
    job.student = l.output;
    size_t pixels = job.h * job.w;
    parallel_for_work(job.batch * pixels, job.c + job.teacher_c * job.k * job.k, find_pixels, &job);
    parallel_for_work(job.batch, pixels, lose_images, &job);
    *l.cost = (float)(job.factor * map_loss_sum(&l, job.batch));
}

typedef struct attention_delta_job {
    attention_job job;
    const float *above;
    float *below;
} attention_delta_job;

static void pass_elements(void *context, size_t begin, size_t end)
{
    const attention_delta_job *pass = context;
    for (size_t i = begin; i < end; ++i) pass->below[i] += attention_delta(&pass->job, i) + pass->above[i];
}

static void backward_attention_transfer_layer(layer l, host_state net)
{
    attention_delta_job pass = { .above = l.delta, .below = net.delta };
    if (!net.delta) return;
    attention_transfer_job(&l, &pass.job);
    pass.job.student = l.output;
    parallel_for_work((size_t)l.outputs * (size_t)l.batch, 1, pass_elements, &pass);
}

int make_attention_transfer_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    static const map_loss_kind kind = { "attention_transfer", doubles, forward_attention_transfer_layer,
                                        backward_attention_transfer_layer };
    return map_loss_make(l, &kind, section, place, 1000, d);
}
