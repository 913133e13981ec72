/* A cfg brought to life: Darknet network, bound layers, teacher. What the verbs work with. */
#ifndef DISTILL_MODEL_H
#define DISTILL_MODEL_H
#include "../layers/features.h"
#include "../layers/teacher.h"
#include "../weights_tools/weights_file.h"
#include "lower.h"

typedef struct model_options {
    cpu_backend backend;
    int threads;                 /* 0: one a core */
    uint64_t seed;
    lower_mode mode;             /* LOWER_DEPLOY: the deployed network, no teacher is opened; batch is 1 */
} model_options;

typedef struct model {
    lowered *low;                /* owned */
    network *net;                /* owned */
    teacher *teacher;            /* owned; NULL for a plain cfg */
    features *features;          /* owned; NULL: the teacher is live at each step */
    float *host_input, *host_truth;   /* as the host allocated them */
    int classes;                 /* outputs of the whole network */
} model;

/* Reads, lowers, parses and binds `cfg`, opens its teacher, initialises every trained weight by seed and copies the
 * teacher's classifier into the tail. NULL with messages in `d`; the caller closes it. */
model *model_open(const char *cfg, const model_options *o, diag *d);
void model_close(model *m);

/* Loads a whole network or as many whole layers as the file holds. A whole file's reused classifier must equal the
 * teacher's. *info may be NULL. */
int model_load(model *m, const char *weights, weights_info *info, diag *d);
/* The same, but anything less than a whole network is an error. */
int model_load_whole(model *m, const char *weights, diag *d);

/* What the user asked of the cache: 0 or NULL where a flag was not given, then the cfg's [teacher] keys count. */
typedef struct model_cache {
    const char *path, *type;
    int views;
    uint64_t seed, images, data;   /* of the training set */
} model_cache;
/* Opens the cache if one is asked for. The views that training shall cycle through are *views: 0 = a new one each epoch. */
int model_open_cache(model *m, const model_cache *c, uint64_t *views, diag *d);
/* With a cache, before model_train_step: the targets of view[b] of image[b]. 0, or -1 with a message. */
int model_teach(model *m, const float *x, const uint64_t *image, const uint64_t *view, diag *d);

/* One forward and backward over a sub-batch: x = (batch, c, h, w), labels NULL or batch of them (-1: none).
 * Raises *net->seen; the caller updates. Returns the loss, mean over the batch. */
double model_train_step(model *m, const float *x, const int *labels);
/* Inference of the whole network; the result is (batch, classes), borrowed until the next run. */
const float *model_predict(model *m, const float *x);
/* Mean squared error of the features of the first n images of the last model_predict and teacher_forward (same x). */
double model_feature_mse(const model *m, int n);

/* "-backend" text to value; -1 with a message. */
int model_backend(const char *text, cpu_backend *backend, diag *d);

#endif
