/* Mixup and cutout of classifiers (see augment.h).
 *
 *   mixup    x = f x1 + (1 - f) x2, f ~ Beta(alpha, alpha)     Zhang et al., "mixup: Beyond Empirical Risk
 *            Minimization", ICLR 2018. Everywhere in the data set for the second image, not in the batch, so that it
 *            follows from the first.
 *   cutout   a square of zeros whose centre is any pixel, so that it may stick out      DeVries and Taylor, "Improved
 *            Regularization of Convolutional Neural Networks with Cutout", 2017. There zero is the mean colour, since
 *            images are normalised first; here an input is 0 to 1, and zero is black, as behind the edges that pad=
 *            adds. Their squares of odd size are a pixel smaller than said; ours are not.
 * Where both are on, each of the two images has a square of its own before they are mixed. */
#include "augment.h"

#include "augment_internal.h"

#include <string.h>

int augment_mixes(const augment_spec *augment) { return augment->mixup > 0 && !augment->detector; }

image_mix augment_draw_mix(const augment_spec *augment, rng *rng, uint64_t count)
{
    image_mix mix = { .partner = rng_below(rng, count) };
    mix.factor = (float)rng_beta(rng, (double)augment->mixup);
    return mix;
}

void augment_mix(float *x, const float *partner, size_t n, float factor)
{
    for (size_t i = 0; i < n; ++i) x[i] = factor * x[i] + (1 - factor) * partner[i];
}

/* Where a window of `size` from `begin` on lies in 0..most. */
static void clip_window(int64_t begin, int size, int most, int *from, int *to)
{
    int64_t end = begin + size;
    *from = begin < 0 ? 0 : (int)begin;
    *to = end > most ? most : (int)end;
}

void augment_cutout(float *x, int c, int h, int w, int size, rng *rng)
{
    int x0, x1, y0, y1;
    if (size <= 0) return;
    clip_window((int64_t)rng_below(rng, (uint64_t)w) - size / 2, size, w, &x0, &x1);
    clip_window((int64_t)rng_below(rng, (uint64_t)h) - size / 2, size, h, &y0, &y1);
    if (x1 <= x0) return;
    for (int k = 0; k < c; ++k)
        for (int y = y0; y < y1; ++y)
            memset(x + ((size_t)k * (size_t)h + (size_t)y) * (size_t)w + (size_t)x0, 0, (size_t)(x1 - x0) * sizeof *x);
}
