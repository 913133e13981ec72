/* Where a training step's targets come from when they are cached: read where they are stored, computed by the live
 * teacher and stored where they are not. Without a cache, model.c asks the teacher directly. */
#ifndef DISTILL_FEATURES_H
#define DISTILL_FEATURES_H
#include "feature_cache.h"
#include "darknet_plugin/base/ranks.h"
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
    const ranks *ranks;            /* NULL: alone */
    int force;                     /* read one that was computed in another precision, too; only alone */
} features_options;

/* Several ranks: the first writes to the cache, each other one to a shard of its own, PATH.rankN, and reads what the
 * cache has besides. The first takes shards that it finds as it opens the cache, a killed run's, too, and those of this
 * run in features_take_shards, when the others have let go of theirs. */

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
feature_cache *features_cache(const features *features);   /* what is written to, borrowed; NULL: let go */
int features_have(const features *features, uint64_t view, uint64_t image);   /* is a record there? */
void features_let_go(features *features);      /* of its shard, if it has one */
void features_take_shards(features *features, diag *d);
const char *features_type(const features *features); /* how they are stored: "f16", ... */

#endif
