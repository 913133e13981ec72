/* [similarity] on the CPU (see similarity.h for the formulae, similarity_ops.h for one pair, row or element).
 *
 * Left out: subdivisions as one batch. Each is a batch of its own, as in the host's batch norm. */
#include "similarity.h"

#include "layers/cpu/parallel.h"
#include "similarity_ops.h"

/* parts, own, taught */
static size_t doubles(const layer *l) { return (size_t)l->batch * (1 + 2 * (size_t)l->batch); }

void similarity_job_of(const layer *l, struct similarity_job *job)
{
    const map_loss *state = map_loss_of(l);
    size_t batch = (size_t)l->batch;
    *job = (similarity_job){ .teacher = state->target, .part = state->work, .own = state->work + batch,
                             .taught = state->work + batch + batch * batch, .batch = batch, .n = (size_t)l->outputs,
                             .teacher_n = map_loss_target_size(l), .factor = state->scale / (double)batch };
}

static void compare_pairs(void *context, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; ++i) similarity_pair(context, i);
}

static void lose_rows(void *context, size_t begin, size_t end)
{
    for (size_t i = begin; i < end; ++i) similarity_row(context, i);
}

/* Passes the input on; while training takes the loss. */
void forward_similarity_layer(layer l, host_state net)
{
    similarity_job job;
    if (!map_loss_pass(&l, &net)) return;
    similarity_job_of(&l, &job);
    job.student = l.output;
    parallel_for_work(job.batch * job.batch, job.n + job.teacher_n, compare_pairs, &job);
    parallel_for_work(job.batch, job.batch, lose_rows, &job);
    *l.cost = (float)(job.factor * map_loss_sum(&l, job.batch));
}

typedef struct similarity_pass {
    similarity_job job;
    const float *above;
    float *below;
} similarity_pass;

/* Row by row, so that it vectorises. */
static void pass_images(void *context, size_t begin, size_t end)
{
    const similarity_pass *pass = context;
    size_t n = pass->job.n;
    for (size_t b = begin; b < end; ++b) {
        float *below = pass->below + b * n;
        const float *above = pass->above + b * n;
        for (size_t i = 0; i < n; ++i) below[i] += above[i];
        for (size_t j = 0; j < pass->job.batch; ++j) {
            float weight = similarity_weight(&pass->job, b, j);
            const float *value = pass->job.student + j * n;
            for (size_t i = 0; i < n; ++i) below[i] = similarity_add(below[i], weight, value[i]);
        }
    }
}

static void backward_similarity_layer(layer l, host_state net)
{
    similarity_pass pass = { .above = l.delta, .below = net.delta };
    if (!net.delta) return;
    similarity_job_of(&l, &pass.job);
    pass.job.student = l.output;
    parallel_for_work(pass.job.batch, pass.job.batch * pass.job.n, pass_images, &pass);
}

int make_similarity_section(layer *l, const cfg_section *section, const loss_place *place, diag *d)
{
    static const map_loss_kind kind = { "similarity", doubles, forward_similarity_layer, backward_similarity_layer };
    return map_loss_make(l, &kind, section, place, 3000, d);
}
