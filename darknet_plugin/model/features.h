/* Where a training step's targets come from when they are cached: read where they are stored, computed by the live
 * teacher and stored where they are not. Without a cache, model.c asks the teacher directly. */
#ifndef DISTILL_FEATURES_H
#define DISTILL_FEATURES_H
#include "feature_cache.h"
#include "darknet_plugin/data/dataset.h"
#include "teacher.h"

typedef struct features features;

typedef struct features_options {
    const char *path;              /* of the cache */
    feature_type type;
    uint64_t views, seed;
    uint64_t images;
    const dataset *data;           /* they, borrowed until features_close; NULL: any will do */
    const augment_spec *augment;
} features_options;

/* Opens or makes the cache for this teacher; one of other images is refused. NULL with messages. `teacher` is
 * borrowed. */
features *features_open(teacher *teacher, const features_options *options, diag *d);
void features_close(features *features);

/* Targets of a batch x = (batch, c, h, w) whose images are view[b] of image[b]. 0, or -1 with a message if the
 * teacher's map of one is not finite. They are borrowed until features_done. A cache that cannot be written any longer
 * is a warning. */
int features_of_batch(features *features, const float *x, const uint64_t *image, const uint64_t *view, diag *d);
teaching features_teaching(const features *features, int tap);   /* batch maps; `tap` counts
    spec->tap, then the class scores */
void features_done(features *features);

typedef struct features_count {
    uint64_t read, computed, damaged;
} features_count;
features_count features_counts(const features *features);
feature_cache *features_cache(const features *features);   /* borrowed */
const char *features_type(const features *features); /* how they are stored: "f16", ... */

#endif
