/* A group's values into its layer.
 *
 * Batch norm: the source divides by sqrt(v + e), this Darknet by sqrt(v') + 1e-6, so v' = (sqrt(v + e) - 1e-6)^2 is
 * stored, which makes both divide by the same number. Where sqrt(v + e) is below 1e-6, nothing stored could do that: v'
 * = 0 comes nearest. A convolution's own bias b before its batch norm goes into the mean, (x + b) - m = x - (m - b).
 * Without affine parameters scale is 1 and shift 0. A layer without bias gets 0. A layer with batch norm whose source
 * has none, being folded, gets one that changes nothing: v' such that the host's sqrt(v') + 1e-6 is 1. */
#include "import.h"

#include "weights_tools/file/fold_epsilon.h"

#include <math.h>

static int check_values(const import_job *job, const named_tensor *tensor, tensor_part part, diag *d)
{
    for (size_t i = 0; i < tensor->n; ++i) {
        if (isfinite(tensor->data[i]) && !(part == PART_VARIANCE && tensor->data[i] < 0)) continue;
        diag_error(d, job->model, 0, NULL, "'%s': value %zu is %g", tensor->name, i, (double)tensor->data[i]);
        return -1;
    }
    return 0;
}

/* The tensor's values, or the same number everywhere. */
static void copy_or(float *to, const named_tensor *from, size_t filters, float otherwise)
{
    for (size_t i = 0; i < filters; ++i) to[i] = from ? from->data[i] : otherwise;
}

/* The group's batch norm, or one that changes nothing, and its convolution's own bias. */
static void fill_norm(const import_job *job, const tensor_group *group, const layer *l, size_t filters)
{
    const named_tensor *variance = group->part[PART_VARIANCE], *bias = group->part[PART_BIAS];
    double epsilon = variance && variance->epsilon >= 0 ? variance->epsilon : job->epsilon;
    copy_or(l->scales, group->part[PART_SCALE], filters, 1);
    copy_or(l->biases, group->part[PART_SHIFT], filters, 0);
    copy_or(l->rolling_mean, group->part[PART_MEAN], filters, 0);
    for (size_t i = 0; i < filters; ++i) {
        l->rolling_variance[i] = variance ? fold_variance(variance->data[i], epsilon) : fold_variance(1, 0);
        if (bias) l->rolling_mean[i] -= bias->data[i];
    }
}

int import_fill(const import_job *job, int number, diag *d)
{
    const tensor_group *group = &job->groups.group[number];
    const layer *l = &job->net->layers[job->layer[number]];
    const named_tensor *weight = group->part[PART_WEIGHT];
    for (int i = 0; i < PARTS; ++i)
        if (group->part[i] && check_values(job, group->part[i], (tensor_part)i, d)) return -1;
    memcpy(l->weights, weight->data, weight->n * sizeof *weight->data);
    if (l->batch_normalize) fill_norm(job, group, l, weight->dim[0]);
    else copy_or(l->biases, group->part[PART_BIAS], weight->dim[0], 0);
    return 0;
}
