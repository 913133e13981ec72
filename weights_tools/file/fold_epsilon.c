/* Batch norm's epsilon of networks from elsewhere (see fold_epsilon.h). */
#include "fold_epsilon.h"

#include "darknet_plugin/host/host_facts.h"
#include "weights_file.h"

#include <math.h>

static const double ELSEWHERE = 1e-5, TOLERATED = .01;

float fold_variance(double variance, double epsilon)
{
    double root = sqrt(variance + epsilon) - HOST_EPSILON;
    return root > 0 ? (float)(root * root) : 0;
}

void fold_epsilon(network *net, double epsilon)
{
    weights_tensor tensor[WEIGHTS_MAX_TENSORS];
    for (int i = 0; i < net->n; ++i)
        for (int j = 0, n = weights_tensors(&net->layers[i], tensor); j < n; ++j)
            for (size_t k = 0; weights_is_variance(tensor[j].name) && k < tensor[j].n; ++k)
                tensor[j].data[k] = fold_variance((double)tensor[j].data[k], epsilon);
}

/* Variances seen, and those for which the formulae differ. */
typedef struct smallness {
    size_t seen, small;
    double least;
    int layer;               /* of the least */
} smallness;

static void count_variance(smallness *counts, double variance, int layer)
{
    double here = sqrt(variance) + HOST_EPSILON, there = sqrt(variance + ELSEWHERE);
    ++counts->seen;
    if (fabs(there - here) <= TOLERATED * there) return;
    if (!counts->small++ || variance < counts->least) {
        counts->least = variance;
        counts->layer = layer;
    }
}

void fold_notice_epsilon(const network *net, const char *weights, const char *remedy, diag *d)
{
    weights_tensor tensor[WEIGHTS_MAX_TENSORS];
    smallness counts = { 0 };
    for (int i = 0; i < net->n; ++i)
        for (int j = 0, n = weights_tensors(&net->layers[i], tensor); j < n; ++j)
            for (size_t k = 0; weights_is_variance(tensor[j].name) && k < tensor[j].n; ++k)
                count_variance(&counts, (double)tensor[j].data[k], i);
    if (!counts.small) return;
    diag_warn(d, weights, 0, NULL,
              "%zu of %zu variances are so small (least %.3g, layer %d) that AlexeyAB's Darknet and Darknet on a GPU, "
              "which divide by sqrt(v + 1e-5), are over 1 %% off sqrt(v) + 1e-6, which divides here", counts.small,
              counts.seen, counts.least, counts.layer);
    diag_hint(d, "%s", remedy);
}
