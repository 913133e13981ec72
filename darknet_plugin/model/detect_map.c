/* Average precision (see detect_map.h).
 *
 * For each class and IoU threshold t: boxes, likeliest first, are matched within their image; a match is a true
 * positive, anything else a false one; after the k likeliest boxes precision is tp/k and recall tp/truths. With the
 * precision made to fall (at each recall the best precision at that recall or beyond), AP is its mean at `points`
 * recalls or its area. Sources: Everingham et al., "The PASCAL Visual Object Classes Challenge" (2010), section 4.2;
 * Lin et al., "Microsoft COCO" (2014) and its COCOeval, whose order of sums and ties is kept, so that results agree to
 * rounding. Left out: COCO's small, medium and large areas, since boxes here know no pixels. */
#include "detect_map.h"

#include "darknet_plugin/base/bug.h"
#include "darknet_plugin/base/mem.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

enum { THRESHOLDS = 10 };

const map_rules map_coco = { .points = 101, .most = 100 }, map_darknet = { .darknet = 1 };

typedef struct corners {
    double left, top, right, bottom, area;
} corners;

/* Bit t of these says something about IoU threshold t. */
typedef struct found {
    const detect_box *box;
    size_t order;
    unsigned hit, ignored;
} found;

typedef struct wanted {
    const map_truth *truth;
    size_t order;
    corners at;
    unsigned taken;
} wanted;

typedef struct measure {
    const map_rules *r;
    double threshold;
    double iou[THRESHOLDS];
    found *box;               /* n, owned */
    wanted *truth;            /* m, owned */
    size_t n, m;
    double *overlap;          /* (m) of one box, owned */
    double *precision, *recall;   /* (n) of one class, owned */
} measure;

static corners corners_of(double x, double y, double w, double h)
{
    corners c = { .left = x - w / 2, .top = y - h / 2, .area = w * h };
    c.right = c.left + w;
    c.bottom = c.top + h;
    return c;
}

/* Unlike fmin and fmax these give b where it is not a number. */
static inline double smaller(double a, double b) { return a < b ? a : b; }
static inline double larger(double a, double b) { return a > b ? a : b; }

/* Of a box and a truth; the part of the box that is covered where the truth is a crowd. */
static double overlap_of(const corners *box, const wanted *truth)
{
    const corners *t = &truth->at;
    double w = smaller(t->right, box->right) - larger(t->left, box->left), h = smaller(t->bottom, box->bottom) -
        larger(t->top, box->top);
    if (!(w > 0 && h > 0)) return 0;
    double both = w * h;
    return both / (truth->truth->crowd ? box->area : box->area + t->area - both);
}

/* The best truth that is still free; the last of equals. Crowds stand last, are never taken up and come second. */
static size_t pick_free(const wanted *wanted, size_t n, const double *overlap, double least, unsigned bit)
{
    double best = fmin(least, 1 - 1e-10);
    size_t found = n;
    for (size_t j = 0; j < n; ++j) {
        if ((wanted[j].taken & bit) && !wanted[j].truth->crowd) continue;
        if (found < n && !wanted[found].truth->crowd && wanted[j].truth->crowd) break;
        if (!(overlap[j] >= best)) continue;
        best = overlap[j];
        found = j;
    }
    return found;
}

/* The best truth of all, the first of equals. */
static size_t pick_any(const wanted *wanted, size_t n, const double *overlap, double least, unsigned bit)
{
    size_t found = n;
    (void)wanted, (void)bit;
    for (size_t j = 0; j < n; ++j) {
        if (!(overlap[j] > least)) continue;
        least = overlap[j];
        found = j;
    }
    return found;
}

/* What one box hits or wastes at each threshold, among the n objects of its class and image. */
static void match(const measure *measure, found *found, wanted *wanted, size_t n)
{
    corners at = corners_of(found->box->x, found->box->y, found->box->w, found->box->h);
    for (size_t j = 0; j < n; ++j) measure->overlap[j] = overlap_of(&at, &wanted[j]);
    for (unsigned i = 0; i < THRESHOLDS; ++i) {
        unsigned bit = 1u << i;
        size_t k = (measure->r->darknet ? pick_any : pick_free)(wanted, n, measure->overlap, measure->iou[i], bit);
        if (k == n) continue;
        if (wanted[k].truth->crowd) found->ignored |= bit;
        else if (!(wanted[k].taken & bit)) found->hit |= bit;
        wanted[k].taken |= bit;
    }
}

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

static int compare_places(const detect_box *box, const detect_box *place)
{
    int label = COMPARE(box->label, place->label);
    return label ? label : COMPARE(box->image, place->image);
}

/* By class, image, probability downwards, order given. */
static int by_image(const void *one, const void *other)
{
    const found *a = one, *b = other;
    int place = compare_places(a->box, b->box), p = COMPARE(b->box->probability, a->box->probability);
    if (place) return place;
    return p ? p : COMPARE(a->order, b->order);
}

/* By class, probability downwards, image, order given. */
static int by_probability(const void *one, const void *other)
{
    const found *a = one, *b = other;
    int label = COMPARE(a->box->label, b->box->label), p = COMPARE(b->box->probability, a->box->probability);
    if (label) return label;
    return p ? p : by_image(one, other);
}

/* By class, image, crowds last, order given. */
static int by_place(const void *one, const void *other)
{
    const wanted *a = one, *b = other;
    int label = COMPARE(a->truth->label, b->truth->label), image = COMPARE(a->truth->image, b->truth->image);
    int crowd = COMPARE(!!a->truth->crowd, !!b->truth->crowd);
    if (label) return label;
    if (image) return image;
    return crowd ? crowd : COMPARE(a->order, b->order);
}

static int compare_to_truth(const detect_box *box, const map_truth *truth)
{
    int label = COMPARE(box->label, truth->label);
    return label ? label : COMPARE(box->image, truth->image);
}

/* Matches image by image and drops boxes beyond the most that count. */
static void match_all(measure *measure)
{
    size_t kept = 0, in_image = 0, begin = 0, end = 0;
    qsort(measure->box, measure->n, sizeof *measure->box, by_image);
    for (size_t i = 0; i < measure->n; ++i) {
        found *f = &measure->box[i];
        in_image = kept && !compare_places(measure->box[kept - 1].box, f->box) ? in_image + 1 : 1;
        if (measure->r->most && in_image > (size_t)measure->r->most) {
            --in_image;
            continue;
        }
        while (begin < measure->m && compare_to_truth(f->box, measure->truth[begin].truth) > 0) ++begin;
        for (end = begin; end < measure->m && !compare_to_truth(f->box, measure->truth[end].truth); ++end) {}
        match(measure, f, measure->truth + begin, end - begin);
        measure->box[kept++] = *f;
    }
    measure->n = kept;
    qsort(measure->box, measure->n, sizeof *measure->box, by_probability);
}

/* Mean of the falling precision at `points` recalls; a recall that is never reached has none. */
static double mean_at_points(const measure *measure, size_t n, int points)
{
    double sum = 0, step = 1. / (points - 1);
    size_t at = 0;
    for (int i = 0; i < points; ++i) {
        double want = i == points - 1 ? 1 : i * step;
        while (at < n && measure->recall[at] < want) ++at;
        if (at < n) sum += measure->precision[at];
    }
    return sum / points;
}

static double area(const measure *measure, size_t n)
{
    double sum = 0, before = 0;
    for (size_t i = 0; i < n; ++i) {
        sum += (measure->recall[i] - before) * measure->precision[i];
        before = measure->recall[i];
    }
    return sum;
}

/* Of the n boxes found of one class, at the threshold of `bit`. COCOeval keeps the denominator from 0 by an epsilon. */
static double average_precision(const measure *measure, const found *found, size_t n, size_t truths, unsigned bit)
{
    size_t tp = 0, fp = 0;
    for (size_t i = 0; i < n; ++i) {
        tp += (found[i].hit & bit) != 0;
        fp += !((found[i].hit | found[i].ignored) & bit);
        measure->precision[i] = (double)tp / ((double)(fp + tp) + DBL_EPSILON);
        measure->recall[i] = (double)tp / (double)truths;
    }
    for (size_t i = n; i-- > 1;)
        if (measure->precision[i] > measure->precision[i - 1]) measure->precision[i - 1] = measure->precision[i];
    return 100 * (measure->r->points ? mean_at_points(measure, n, measure->r->points) : area(measure, n));
}

static double percent(size_t part, size_t rest)
{
    return part + rest ? 100. * (double)part / (double)(part + rest) : 0;
}

static void finish_counts(map_class *result)
{
    result->fn = result->truths - result->tp;
    result->precision = percent(result->tp, result->fp);
    result->recall = percent(result->tp, result->fn);
}

/* Counts and average precision of one class, whose n boxes are sorted. */
static void measure_class(const measure *measure, const found *found, size_t n, map_class *result)
{
    for (size_t i = 0; i < n; ++i) {
        if (!(found[i].box->probability > measure->threshold)) continue;
        result->tp += found[i].hit & 1;
        result->fp += !((found[i].hit | found[i].ignored) & 1);
    }
    finish_counts(result);
    if (!result->truths) return;
    for (unsigned i = 0; i < THRESHOLDS; ++i) {
        double ap = average_precision(measure, found, n, result->truths, 1u << i);
        if (i == 0) result->ap50 = ap;
        result->ap += ap;
    }
    result->ap /= THRESHOLDS;
}

/* The mean over the classes that occur. */
static void add_up(const map_rules *rules, map_result *out)
{
    map_class *all = &out->all;
    for (int k = 0; k < out->classes; ++k) {
        const map_class *c = &out->of[k];
        all->truths += c->truths;
        all->tp += c->tp;
        all->fp += c->fp;
        all->ap50 += c->ap50;
        all->ap += c->ap;
        out->present += c->truths > 0;
    }
    finish_counts(all);
    int over = rules->darknet ? out->classes : out->present;
    if (!over) return;
    all->ap50 /= over;
    all->ap /= over;
}

/* .5, .55, ... .95 to the last bit as numpy's linspace gives them. */
static void fill_thresholds(double *iou)
{
    double step = (.95 - .5) / (THRESHOLDS - 1);
    for (int i = 0; i < THRESHOLDS; ++i) {
        double above = i * step;
        iou[i] = above + .5;
    }
    iou[THRESHOLDS - 1] = .95;
}

/* Room for n boxes and m objects, both sorted. */
static measure make_measure(const map_rules *rules, const detect_box *box, size_t n, const map_truth *truth, size_t m,
                            double threshold)
{
    measure x = { .r = rules, .threshold = threshold, .n = n, .m = m };
    fill_thresholds(x.iou);
    x.box = mem_calloc(n + 1, sizeof *x.box);
    x.truth = mem_calloc(m + 1, sizeof *x.truth);
    x.overlap = mem_calloc(m + 1, sizeof *x.overlap);
    x.precision = mem_calloc(n + 1, sizeof *x.precision);
    x.recall = mem_calloc(n + 1, sizeof *x.recall);
    for (size_t i = 0; i < n; ++i) x.box[i] = (found){ .box = &box[i], .order = i };
    for (size_t i = 0; i < m; ++i)
        x.truth[i] = (wanted){ .truth = &truth[i], .order = i, .at = corners_of(truth[i].x, truth[i].y, truth[i].w,
                                                                                truth[i].h) };
    qsort(x.truth, m, sizeof *x.truth, by_place);
    return x;
}

static void free_measure(measure *measure)
{
    free(measure->box);
    free(measure->truth);
    free(measure->overlap);
    free(measure->precision);
    free(measure->recall);
}

map_result map_measure(const map_rules *rules, int classes, const detect_box *box, size_t n, const map_truth *truth,
                       size_t m, double threshold)
{
    map_result out = { .of = mem_calloc((size_t)classes + 1, sizeof *out.of), .classes = classes };
    for (size_t i = 0; i < n; ++i) BUG_UNLESS(box[i].label >= 0 && box[i].label < classes, "a box of no class");
    for (size_t i = 0; i < m; ++i) {
        BUG_UNLESS(truth[i].label >= 0 && truth[i].label < classes, "a truth of no class");
        out.of[truth[i].label].truths += !truth[i].crowd;
    }
    measure x = make_measure(rules, box, n, truth, m, threshold);
    match_all(&x);
    for (size_t k = 0, i = 0; k < (size_t)classes; ++k) {
        size_t from = i;
        while (i < x.n && x.box[i].box->label == (int)k) ++i;
        measure_class(&x, x.box + from, i - from, &out.of[k]);
    }
    add_up(rules, &out);
    free_measure(&x);
    return out;
}

void map_free(map_result *result)
{
    free(result->of);
    *result = (map_result){ 0 };
}
