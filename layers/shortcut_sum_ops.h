/* The weights of a [shortcut] of several layers, as AlexeyAB's Darknet normalises them, for one channel c of `groups`:
 *
 *   none       v_k = w_k
 *   relu       v_k = r_k / (e + sum of r),  r = max(w, 0)               avg_relu is the same there
 *   softmax    v_k = exp(w_k - m) / (e + sum of exp(w - m)),  m = max of w                 e = 0.0001
 *
 * and their gradient from g_k, that of v_k, exactly: m is part of it, which matters as e is not 0.
 *
 *   relu       dw_k += (g_k - sum of g v) / (e + sum of r)  where w_k > 0
 *   softmax    dw_k += v_k g_k - (sum of g v) (v_k + e / (e + sum)  where w_k is the largest) */
#ifndef DISTILL_SHORTCUT_SUM_OPS_H
#define DISTILL_SHORTCUT_SUM_OPS_H
#include "feature_type.h"
#include "fork_layers.h"

#include <math.h>

#define SHORTCUT_SUM_E 1e-4

/* The number of the largest of n weights, the first of equals. */
FEATURE_FN int shortcut_sum_largest(const float *w, int n, int groups, int c)
{
    int best = 0;
    for (int k = 1; k < n; ++k)
        if (w[k * groups + c] > w[best * groups + c]) best = k;
    return best;
}

/* What weight k contributes to the sum. */
FEATURE_FN double shortcut_sum_part(const float *w, int groups, int c, int k, int kind, double largest)
{
    double own = (double)w[k * groups + c];
    if (kind == FORK_SUM_SOFTMAX) return exp(own - largest);
    if (kind == FORK_SUM_RELU) return own > 0 ? own : 0;
    return own;
}

/* The largest weight, and e + the sum of all parts. */
FEATURE_FN double shortcut_sum_total(const float *w, int n, int groups, int c, int kind, double *largest)
{
    double sum = SHORTCUT_SUM_E;
    *largest = (double)w[shortcut_sum_largest(w, n, groups, c) * groups + c];
    for (int k = 0; k < n; ++k) sum += shortcut_sum_part(w, groups, c, k, kind, *largest);
    return kind == FORK_SUM_PLAIN ? 1 : sum;
}

/* v, (n, groups), of channel c; w NULL: ones. */
FEATURE_FN void shortcut_sum_normalise(const float *w, int n, int groups, int c, int kind, float *v)
{
    double largest = 0, sum = w ? shortcut_sum_total(w, n, groups, c, kind, &largest) : 1;
    for (int k = 0; k < n; ++k)
        v[k * groups + c] = w ? (float)(shortcut_sum_part(w, groups, c, k, kind, largest) / sum) : 1;
}

/* Adds the gradient of channel c's weights to dw, (n, groups) as g is. */
FEATURE_FN void shortcut_sum_gradient(const float *w, int n, int groups, int c, int kind, const double *g, float *dw)
{
    double largest, sum = shortcut_sum_total(w, n, groups, c, kind, &largest), mean = 0;
    int best = shortcut_sum_largest(w, n, groups, c);
    for (int k = 0; k < n; ++k)
        mean += g[k * groups + c] * shortcut_sum_part(w, groups, c, k, kind, largest) / sum;
    for (int k = 0; k < n; ++k) {
        int i = k * groups + c;
        double v = shortcut_sum_part(w, groups, c, k, kind, largest) / sum, own = g[i];
        if (kind == FORK_SUM_RELU) own = w[i] > 0 ? (g[i] - mean) / sum : 0;
        else if (kind == FORK_SUM_SOFTMAX) own = v * g[i] - mean * (v + (k == best ? SHORTCUT_SUM_E / sum : 0));
        dw[i] += (float)own;
    }
}

#endif
