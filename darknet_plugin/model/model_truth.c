/* Rows of target probabilities (see model_truth.h). */
#include "model_truth.h"

#include <string.h>

static int is_label(const network *net, int label) { return label >= 0 && label < net->truths; }

/* Takes a share from what is in the row and spreads it over all of its n numbers. */
static void smooth_row(float *row, int n, float share)
{
    for (int i = 0; i < n; ++i) row[i] = (1 - share) * row[i] + share / (float)n;
}

void model_fill_truth(network *net, const mixed_labels *labels, float smoothing)
{
    size_t n = (size_t)net->truths;
    memset(net->truth, 0, n * (size_t)net->batch * sizeof *net->truth);
    for (int b = 0; b < net->batch; ++b) {
        float *row = net->truth + (size_t)b * n;
        int first = labels->first[b], second = labels->second ? labels->second[b] : first;
        if (!is_label(net, first) || !is_label(net, second)) continue;
        row[first] = first == second ? 1 : labels->factor[b];
        if (first != second) row[second] = 1 - labels->factor[b];
        if (smoothing > 0) smooth_row(row, net->truths, smoothing);
    }
}
