/* k-means of box sizes (see boxes_anchors.h): begun several times from sizes that are drawn far apart (k-means++,
 * Arthur and Vassilvitskii, 2007: the next with a probability that grows with the squared distance from those there
 * are), each moved to the mean of its sizes until none moves. The mean is not the best place by 1 - IoU, so the best
 * that was passed through is kept. */
#include "boxes_anchors.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { STARTS = 8, FEWER = 50000, MOST_STEPS = 300 };

static double iou(box_size one, box_size other)
{
    double both = (double)fminf(one.w, other.w) * (double)fminf(one.h, other.h);
    return both / ((double)one.w * (double)one.h + (double)other.w * (double)other.h - both);
}

/* The anchor that fits a size best, and how well. */
static int nearest(box_size size, const box_size *anchor, int k, double *fit)
{
    int best = 0;
    *fit = -1;
    for (int i = 0; i < k; ++i) {
        double now = iou(size, anchor[i]);
        if (now > *fit) {
            *fit = now;
            best = i;
        }
    }
    return best;
}

double boxes_mean_iou(const box_size *size, size_t n, const box_size *anchor, int k)
{
    double sum = 0, fit;
    for (size_t i = 0; i < n; ++i) {
        (void)nearest(size[i], anchor, k, &fit);
        sum += fit;
    }
    return sum / (double)n;
}

/* The first k, far apart; gap: room for n numbers. */
static void begin(const box_size *size, size_t n, int k, rng *rng, box_size *anchor, double *gap)
{
    anchor[0] = size[rng_below(rng, n)];
    for (int c = 1; c < k; ++c) {
        double sum = 0, fit;
        for (size_t i = 0; i < n; ++i) {
            (void)nearest(size[i], anchor, c, &fit);
            gap[i] = (1 - fit) * (1 - fit);
            sum += gap[i];
        }
        double at = rng_uniform(rng, 0, sum);
        size_t pick = 0;
        while (pick + 1 < n && (at -= gap[pick]) >= 0) ++pick;
        anchor[c] = size[pick];
    }
}

/* Moves each anchor to the mean of its sizes; one that has none stays. total: room for 3 k numbers. Returns the mean
 * IoU before. */
static double step(const box_size *size, size_t n, int k, box_size *anchor, double *total)
{
    double sum = 0, fit;
    memset(total, 0, 3 * (size_t)k * sizeof *total);
    for (size_t i = 0; i < n; ++i) {
        double *its = total + 3 * nearest(size[i], anchor, k, &fit);
        its[0] += (double)size[i].w;
        its[1] += (double)size[i].h;
        its[2] += 1;
        sum += fit;
    }
    for (int i = 0; i < k; ++i) {
        const double *its = total + 3 * i;
        if (its[2] > 0) anchor[i] = (box_size){ (float)(its[0] / its[2]), (float)(its[1] / its[2]) };
    }
    return sum / (double)n;
}

static int by_area(const void *left, const void *right)
{
    const box_size *a = left, *b = right;
    double more = (double)a->w * (double)a->h - (double)b->w * (double)b->h;
    if (more == 0) return (a->w > b->w) - (a->w < b->w);
    return more < 0 ? -1 : 1;
}

/* From one start on; what is better than *most replaces it, and `best`. */
static void search(const box_size *size, size_t n, int k, box_size *now, double *total, box_size *best, double *most)
{
    size_t bytes = (size_t)k * sizeof *now;
    box_size *before = mem_calloc((size_t)k, sizeof *before);
    int moved = 1;
    for (int i = 0; moved && i < MOST_STEPS; ++i) {
        memcpy(before, now, bytes);
        double mean = step(size, n, k, now, total);
        if (mean > *most) {
            *most = mean;
            memcpy(best, before, bytes);
        }
        moved = memcmp(before, now, bytes) != 0;
    }
    free(before);
}

double boxes_anchors(const box_size *size, size_t n, int k, uint64_t seed, box_size *anchor)
{
    double most = -1, *gap = mem_calloc(n, sizeof *gap), *total = mem_calloc((size_t)k, 3 * sizeof *total);
    box_size *now = mem_calloc((size_t)k, sizeof *now);
    int starts = n > FEWER ? 2 : STARTS;
    for (int i = 0; i < starts; ++i) {
        rng rng = rng_make(seed, (uint64_t)i, 0, RNG_ANCHORS);
        begin(size, n, k, &rng, now, gap);
        search(size, n, k, now, total, anchor, &most);
    }
    qsort(anchor, (size_t)k, sizeof *anchor, by_area);
    free(gap);
    free(total);
    free(now);
    return most;
}
