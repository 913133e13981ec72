/* Images and labels before training (see preflight.h). That files are there is dataset_open's to find out, for all of
 * them; here a few are decoded, and what cannot be measured later, or would measure something else, is said. */
#include "preflight.h"

#include "darknet_plugin/base/clock.h"
#include "darknet_plugin/base/mem.h"

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

/* First, last, and some between. One that fails ends a classifier's training when it is met; a detector leaves it
 * out. */
static int try_images(const preflight_job *job, const dataset *set, diag *d)
{
    size_t n = dataset_count(set), tried = 0, bad = 0, parts = n < SAMPLE ? n : SAMPLE;
    int detector = model_is_detector(job->m);
    double end = clock_now() + PATIENCE;
    for (size_t k = 0; k < parts && (k < 2 || clock_now() < end); ++k) {
        size_t i = k == 1 ? n - 1 : k ? (k - 1) * (n - 1) / (parts - 1) : 0;   /* the last one second */
        char name[512], why[256];
        if (dataset_left_out(set, i)) continue;
        ++tried;
        if (decodes(set, i, job->m->low->shape->c, why, sizeof why)) continue;
        ++bad;
        (detector ? diag_warn : diag_error)(d, dataset_name(set, i, name, sizeof name), 0, NULL,
                                            "cannot read this image: %s", why);
    }
    if (bad && !detector) diag_hint(d, "%zu of %zu images tried cannot be read; there are %zu", bad, tried, n);
    if (!bad || !detector || 2 * bad <= tried) return bad && !detector ? -1 : 0;
    diag_error(d, NULL, 0, NULL, "%zu of %zu images tried cannot be read", bad, tried);
    return -1;
}

/* ---- a classifier's labels ---- */

typedef struct label_count {
    size_t labelled, several, none;
    int first, differ;           /* the first label; others are there */
} label_count;

static label_count count_labels(const dataset *set)
{
    label_count c = { .first = -1 };
    for (size_t i = 0; i < dataset_count(set); ++i) {
        int label = dataset_label(set, i);
        if (label < 0) ++*(dataset_ambiguous(set, i) ? &c.several : &c.none);
        else {
            if (c.labelled++ && label != c.first) c.differ = 1;
            if (c.first < 0) c.first = label;
        }
    }
    return c;
}

/* ": a.png, b.png, ..." of the images that have no label, or several; the caller frees. */
static char *unlabelled_names(const dataset *set, int ambiguous)
{
    char *text = mem_strdup(""), name[512];
    int shown = 0;
    for (size_t i = 0; i < dataset_count(set) && shown <= SHOWN; ++i) {
        if (dataset_label(set, i) >= 0 || dataset_ambiguous(set, i) != ambiguous) continue;
        char *more = mem_printf("%s%s%s", text, shown ? ", " : ": ", shown < SHOWN ? dataset_name(set, i, name,
            sizeof name) : "...");
        free(text);
        text = more;
        ++shown;
    }
    return text;
}

static void warn_unlabelled(const dataset *set, const char *which, size_t n, int ambiguous, diag *d)
{
    if (!n) return;
    char *names = unlabelled_names(set, ambiguous);
    diag_warn(d, NULL, 0, NULL, "%zu of %zu %s images have %s and do not count in any accuracy%s", n,
              dataset_count(set), which, ambiguous ? "several labels in their paths" : "no label", names);
    diag_hint(d, "write the class behind the path");
    free(names);
}

static void judge_labels(const dataset *set, const char *which, diag *d)
{
    label_count c = count_labels(set);
    if (!c.labelled && !c.several) diag_warn(d, NULL, 0, NULL,
                                             "none of the %zu %s images has a label: no accuracy can be measured",
                                                 c.none, which);
    else warn_unlabelled(set, which, c.none, 0, d);
    warn_unlabelled(set, which, c.several, 1, d);
    if (c.labelled > 1 && !c.differ && dataset_classes(set) > 1)
        diag_warn(d, NULL, 0, NULL, "all %zu labelled %s images are of class %d: an accuracy on them says little",
                  c.labelled, which, c.first);
}

/* ---- a detector's boxes ---- */

static void judge_boxes(const dataset *set, const char *which, diag *d)
{
    size_t boxes = 0;
    int first = -1, differ = 0, n;
    for (size_t i = 0; i < dataset_count(set); ++i) {
        const data_box *b = dataset_boxes(set, i, &n);
        boxes += (size_t)n;
        for (int k = 0; k < n; ++k) {
            if (first < 0) first = b[k].class;
            differ |= b[k].class != first;
        }
    }
    if (!boxes) diag_warn(d, NULL, 0, NULL, "no object is marked in any of the %zu %s images", dataset_count(set),
                          which);
    else if (boxes > 1 && !differ && dataset_classes(set) > 1)
        diag_warn(d, NULL, 0, NULL, "all %zu objects in the %s images are of class %d", boxes, which, first);
}

/* Of the training set not every cfg reads labels. */
static void judge(const preflight_job *job, const dataset *set, const char *which, diag *d)
{
    if (dataset_has_boxes(set)) judge_boxes(set, which, d);
    else if (!model_is_detector(job->m) && (set == job->valid || job->m->low->labels)) judge_labels(set, which, d);
}

int preflight_data(const preflight_job *job, diag *d)
{
    int bad = try_images(job, job->train, d);
    judge(job, job->train, "training", d);
    if (!job->valid) return bad;
    bad |= try_images(job, job->valid, d);
    judge(job, job->valid, "validation", d);
    return bad;
}
