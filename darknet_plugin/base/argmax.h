/* The place of the largest of n >= 1 numbers, the first of equal ones. */
#ifndef DISTILL_ARGMAX_H
#define DISTILL_ARGMAX_H

static inline int argmax(const float *x, int n)
{
    int best = 0;
    for (int i = 1; i < n; ++i)
        if (x[i] > x[best]) best = i;
    return best;
}

#endif
