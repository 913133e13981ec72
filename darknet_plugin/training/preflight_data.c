/* Images and labels before training (see preflight.h). That files are there is dataset_open's to find out, for all of
 * them; here a few are decoded, and what cannot be measured later, or would measure something else, is said. */
#include "preflight.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/words.h"

#include <stdlib.h>

enum { SAMPLE = 16, SHOWN = 10 };
static const double PATIENCE = 3;   /* seconds a set */

/* ---- decoding ---- */

static int decodes(const dataset *set, size_t i, int channels, char *why, size_t len)
{
    uint8_t *pixels = NULL;
    int w, h, failed = dataset_read(set, i, channels, &pixels, &w, &h, why, len);
    free(pixels);
    return !failed;
}

/* Of n images, the number of the k-th of `parts` to be tried: the first, the last, then evenly between them. */
static size_t sample_at(size_t k, size_t parts, size_t n)
{
    if (k == 0) return 0;
    if (k == 1) return n - 1;
    return (k - 1) * (n - 1) / (parts - 1);
}

typedef struct trial {
    size_t tried, bad;
} trial;

/* Decodes a few, as long as there is time; those that cannot be read are said: warnings for a detector. */
static trial try_sample(const preflight_job *job, const dataset *set, diag *d)
{
    size_t n = dataset_count(set), parts = n < SAMPLE ? n : SAMPLE;
    int detector = model_is_detector(job->model);
    double end = clock_now() + PATIENCE;
    trial t = { 0 };
    for (size_t k = 0; k < parts && (k < 2 || clock_now() < end); ++k) {
        size_t i = sample_at(k, parts, n);
        char name[512], why[256];
        if (dataset_left_out(set, i)) continue;
        ++t.tried;
        if (decodes(set, i, job->model->low->shape->c, why, sizeof why)) continue;
        ++t.bad;
        (detector ? diag_warn : diag_error)(d, dataset_name(set, i, name, sizeof name), 0, NULL,
                                            "cannot read this image: %s", why);
    }
    return t;
}

/* An image that cannot be read ends a classifier's training when it is met; a detector leaves it out, but most of them
 * would be missing if half of a sample is. */
static int try_images(const preflight_job *job, const dataset *set, diag *d)
{
    trial t = try_sample(job, set, d);
    if (!t.bad) return 0;
    if (!model_is_detector(job->model)) {
        diag_hint(d, "%zu of %zu images tried cannot be read; there are %zu", t.bad, t.tried, dataset_count(set));
        return -1;
    }
    if (2 * t.bad <= t.tried) return 0;
    diag_error(d, NULL, 0, NULL, "%zu of %zu images tried cannot be read", t.bad, t.tried);
    return -1;
}

/* ---- labels ---- */

typedef struct label_count {
    size_t labelled, several, none;
    int first, differ;           /* the first label; others are there */
} label_count;

/* One image's label, negative: it has none, or several if `ambiguous`. */
static void count_label(label_count *count, int label, int ambiguous)
{
    if (label < 0) {
        ++*(ambiguous ? &count->several : &count->none);
        return;
    }
    if (!count->labelled++) count->first = label;
    count->differ |= label != count->first;
}

/* Of the first n images. */
static label_count count_labels(const dataset *set, size_t n)
{
    label_count c = { .first = -1 };
    for (size_t i = 0; i < n; ++i) count_label(&c, dataset_label(set, i), dataset_ambiguous(set, i));
    return c;
}

/* "a.png, b.png, ..." of the first `images` those that have no label, or several, SHOWN at most; the caller frees. */
static char *unlabelled_names(const dataset *set, size_t images, int ambiguous)
{
    char *list = NULL, name[512];
    int names = 0;
    for (size_t i = 0; i < images && names <= SHOWN; ++i)
        if (dataset_label(set, i) < 0 && dataset_ambiguous(set, i) == ambiguous)
            words_list(&list, &names, SHOWN, dataset_name(set, i, name, sizeof name));
    return list;
}

/* n of the set's first `images` have no label, or several. */
static void warn_unlabelled(const dataset *set, size_t images, const char *which, size_t n, int ambiguous, diag *d)
{
    if (!n) return;
    char *names = unlabelled_names(set, images, ambiguous);
    diag_warn(d, NULL, 0, NULL, "%zu of %zu %s images have %s and do not count in any accuracy: %s", n,
              images, which, ambiguous ? "several labels in their paths" : "no label", names);
    diag_hint(d, "write the class behind the path");
    free(names);
}

/* Labels that say nothing, or little, of the first n images. */
static void judge_labels(const dataset *set, size_t n, const char *which, diag *d)
{
    label_count c = count_labels(set, n);
    if (c.labelled || c.several) warn_unlabelled(set, n, which, c.none, 0, d);
    else diag_warn(d, NULL, 0, NULL, "none of the %zu %s images has a label: no accuracy can be measured", c.none,
                   which);
    warn_unlabelled(set, n, which, c.several, 1, d);
    if (c.labelled > 1 && !c.differ && dataset_classes(set) > 1)
        diag_warn(d, NULL, 0, NULL, "all %zu labelled %s images are of class %d: an accuracy on them says little",
                  c.labelled, which, c.first);
}

/* No objects, or all of one class. */
static void judge_boxes(const dataset *set, const char *which, diag *d)
{
    label_count c = { .first = -1 };
    for (size_t i = 0; i < dataset_count(set); ++i) {
        int n;
        const data_box *box = dataset_boxes(set, i, &n);
        for (int k = 0; k < n; ++k) count_label(&c, box[k].class, 0);
    }
    size_t looked = dataset_labelled(set);
    if (!looked) return;
    if (!c.labelled) diag_warn(d, NULL, 0, NULL, "no object is marked in any of the %zu %s images", looked, which);
    else if (c.labelled > 1 && !c.differ && dataset_classes(set) > 1)
        diag_warn(d, NULL, 0, NULL, "all %zu objects in the %s images are of class %d", c.labelled, which, c.first);
}

/* Held out are the last training images: where these stand class by class, the last classes. */
static void judge_holdout(const preflight_job *job, diag *d)
{
    int classes = dataset_classes(job->valid), missing = 0;
    size_t *trained = mem_calloc((size_t)classes, sizeof *trained), *held = mem_calloc((size_t)classes, sizeof *held);
    for (size_t i = 0; i < dataset_count(job->train); ++i)
        if (dataset_label(job->train, i) >= 0) ++trained[dataset_label(job->train, i)];
    for (size_t i = 0; i < dataset_count(job->valid); ++i)
        if (dataset_label(job->valid, i) >= 0) ++held[dataset_label(job->valid, i)];
    for (int k = 0; k < classes; ++k) missing += held[k] && !trained[k];
    free(trained);
    free(held);
    if (!missing) return;
    diag_warn(d, NULL, 0, NULL, "%d of %d classes are among the %zu images held out and not among those trained on",
              missing, classes, dataset_count(job->valid));
    diag_hint(d, "the last images are held out, and these stand class by class: write a shuffled list");
}

/* Of the training set not every cfg reads labels. */
static void judge(const preflight_job *job, const dataset *set, const char *which, diag *d)
{
    size_t n = dataset_labelled(set);
    if (dataset_has_boxes(set)) judge_boxes(set, which, d);
    else if (n && !model_is_detector(job->model) && (set == job->valid || job->model->low->labels))
        judge_labels(set, n, which, d);
}

/* What the images are called that are measured. */
static const char *valid_name(const preflight_job *job)
{
    if (job->one_list) return "training and validation";
    return job->held_out ? "held-out" : "validation";
}

/* Images that are measured and trained on: looked for where that takes no second. */
static void judge_twins(const preflight_job *job, diag *d)
{
    static const uint64_t most = (uint64_t)1 << 26;
    char *names;
    size_t n = dataset_twins(job->valid, job->train, most, &names);
    if (n) {
        diag_warn(d, NULL, 0, NULL, "%zu of %zu %s images are among the training images, too: %s", n,
                  dataset_count(job->valid), valid_name(job), names);
        diag_hint(d, "what is measured on them says how well they are remembered");
    }
    free(names);
}

int preflight_data(const preflight_job *job, diag *d)
{
    int bad = try_images(job, job->train, d), one = job->valid && job->one_list;
    if (!one) judge(job, job->train, "training", d);
    if (!job->valid) return bad;
    if (!one) bad |= try_images(job, job->valid, d);
    judge(job, job->valid, valid_name(job), d);
    if (!one) judge_twins(job, d);
    if (job->held_out && count_labels(job->train, dataset_count(job->train)).labelled) judge_holdout(job, d);
    return bad;
}
