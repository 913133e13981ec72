/* A cfg brought to life: Darknet network, bound layers, teacher. What the verbs work with. */
#ifndef DISTILL_MODEL_H
#define DISTILL_MODEL_H
#include "features.h"
#include "model_truth.h"
#include "teacher.h"
#include "weights_tools/file/weights_file.h"
#include "darknet_plugin/base/ranks.h"
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/data/loader.h"
#include "darknet_plugin/lowering/lower.h"

#include <stdio.h>

struct run_state;

typedef struct model_options {
    cpu_backend backend;
    cpu_precision precision;     /* of student and teachers */
    const char *plan;            /* of precision_choose, borrowed, instead of it; NULL: none */
    char products;               /* in bf16 who multiplies, a letter of cpu_options.products; 0: as it is there */
    int threads;                 /* 0: one a core */
    int batch;                   /* 0: as the cfg says */
    uint64_t seed;
    /* LOWER_DEPLOY: the deployed network, no teacher is opened, batch is 1; LOWER_LABELS: no teacher, either */
    lower_mode mode;
    ranks *ranks;                /* who works on it together, borrowed as long as it lives; NULL: alone */
    int shared;                  /* they train: each takes its share of [net] batch */
} model_options;

typedef struct model {
    lowered *low;                /* owned */
    network *net;                /* owned */
    teacher **teacher;           /* low->teachers, owned; NULL for a plain cfg and unless distilling */
    features **features;         /* low->teachers, owned; an entry is NULL where that teacher is live at each step */
    float *host_input, *host_truth;   /* as the host allocated them */
    float *confidence;           /* (low->teachers, batch) what each image's losses count by whom; owned, NULL: alike */
    int classes;                 /* outputs of the whole network */
    ranks *ranks;                /* borrowed; NULL: alone */
    double teaching;             /* seconds that live teachers have taken in training steps so far; on a device an
                                    estimate, from every 16th sub-batch */
} model;

/* Reads, lowers, parses and binds `cfg`, opens its teacher, initialises every trained weight by seed and copies the
 * teacher's classifier into the tail. NULL with messages in `d`; the caller closes it. */
model *model_open(const char *cfg, const model_options *options, diag *d);
void model_close(model *model);

/* What the names of weights end on that train -from-labels writes, before _last, _best and _final. */
#define MODEL_FROM_LABELS "-labels"

/* Loads a whole network or as many whole layers as the file holds. A whole file's reused classifier must equal the
 * teacher's. *info may be NULL. */
int model_load(model *model, const char *weights, weights_info *info, diag *d);
/* The same, but anything less than a whole network is an error. */
int model_load_whole(model *model, const char *weights, diag *d);

/* Starts the student from a plain network, `cfg` and its weights file, whose layers without its answers are the
 * student's: *layers of them are loaded, as many as the file holds. 0, or -1 with a message where they are others. */
int model_start_from(model *model, const char *cfg, const char *weights, int *layers, diag *d);

/* What the user asked of the caches: 0 or NULL where a flag was not given, then each [teacher]'s keys count. */
typedef struct model_cache {
    const char *path, *type;       /* several teachers have path.NAME each */
    int views;
    uint64_t seed;                 /* of the views */
    uint64_t images;               /* how many images */
    const dataset *data;           /* they, borrowed as long as the model lives; NULL: any will do */
    int force;                     /* read one that was computed in another precision, too */
} model_cache;
/* Is one open? */
int model_cached(const model *model);
/* Opens the caches that are asked for. The views that training shall cycle through are *views: 0 = a new one each
 * epoch. */
int model_open_cache(model *model, const model_cache *cache, uint64_t *views, diag *d);
/* Before model_train_step, where there are caches: the targets of view[b] of image[b]. 0, or -1 with a message. */
int model_teach(model *model, const float *x, const uint64_t *image, const uint64_t *view, diag *d);
/* They are not needed any more. */
void model_taught(model *model);
/* When no more is taught: *counts is how many targets came from where, of all ranks, whose shards become one cache. 0,
 * or -1 with a message. */
int model_merge_caches(model *model, features_count *counts, diag *d);
/* How many targets came from where, over all caches. */
features_count model_features_counts(const model *model);

/* Before step 1, and before a run goes on that is `resumed` out of a state: what losses have to know first (loss_facts)
 * and do not is measured on training images, those that the loader would give with `images`; then scales that are auto,
 * unless the state had them. Said in a line each on `out`; nothing else changes. 0, or -1 with messages. */
int model_prepare(model *model, const loader_options *images, int resumed, FILE *out, diag *d);

/* One forward and backward over a sub-batch: x = (batch, c, h, w), labels of images that may be mixed, boxes of a
 * detector NULL or (batch, net->truths), as its [yolo] wants them. Used where low->labels is set.
 * Raises *net->seen; the caller updates. Returns the loss, mean over the batch; where it is not finite nothing runs
 * backward. */
double model_train_mixed(model *model, const float *x, const mixed_labels *labels, const float *boxes);
/* The same of images as they are: labels NULL or batch of them (-1: none). */
static inline double model_train_step(model *model, const float *x, const int *labels, const float *boxes)
{
    mixed_labels unmixed = { .first = labels };
    return model_train_mixed(model, x, &unmixed, boxes);
}
/* All networks, teachers too, for inputs of w x h; no cache may be open. 0, or -1 with a message where one cannot. */
int model_resize(model *model, int w, int h, diag *d);
/* Runs all teachers on x, up to their taps or whole. */
void model_run_teachers(model *model, const float *x, int whole);
/* What the network answered last; of several classifiers the one that [teachers] combine= has chosen. */
const float *model_answer(const model *model);
/* Inference of the whole network; the result is (batch, classes), borrowed until the next run. */
const float *model_predict(model *model, const float *x);
/* Does it answer by a classifier that is made of several teachers'? Then model_predict gives its answer, too. */
int model_combines(const model *model);
/* After model_run_teachers: the teachers' own class scores, combined as that classifier combines the student's, to
 * out[0 .. batch x classes). */
void model_teachers_scores(const model *model, float *out);
/* After it: the student's answer through the classifier of teacher `t`, or its own where it reuses none of that
 * teacher's, (batch, *outputs), borrowed as long. */
const float *model_answer_as(const model *model, int t, int *outputs);
/* Does it learn teacher t's feature maps? */
int model_learns_features(const model *model, int t);
/* Mean squared error of teacher t's features of the first n images of the last model_predict and model_run_teachers
 * (same x). */
double model_feature_mse(const model *model, int t, int n);
/* The same of each triple that learns one of its maps, in the cfg's order, to of[0], of[1], ..., `most` at most;
 * returns how many. */
enum { MAX_LEARNT_MAPS = 32 };
int model_features_mse(const model *model, int t, int n, double *of, int most);

/* Rewrites the loaded network's variances so that batch norm divides by sqrt(v + epsilon). */
void model_set_epsilon(model *model, double epsilon);
/* Warns of variances, of teachers or of a network of its own (`weights` its file, or NULL), at which epsilon
 * matters. */
void model_notice_epsilon(const model *model, const char *weights, diag *d);

/* run_state_apply to the layers that training runs; but of the losses' scales the state's count only where they were
 * measured, scale=auto: a number is what the cfg says it is. */
int model_apply_state(model *model, struct run_state *state, const char *path, diag *d);

/* Does it end on [yolo] or [region]? */
int model_is_detector(const model *model);
/* "-fit" text, NULL = as the cfg says: how images of any size fill the input. 0, or -1 with a message. */
int model_fit(model *model, const char *text, diag *d);
/* What is done to images, "letterboxed, as ..."; of a classifier with what the stock program does. */
const char *model_fit_text(const model *model);
/* As many classes as the .data file? 0, or -1 with a message. */
int model_fits_classes(const model *model, const data_file *file, diag *d);

/* "-backend" text to a backend of the CPU; -1 with a message. */
int model_backend(const char *text, cpu_backend *backend, diag *d);

#endif
