/* Batches, prepared by threads ahead of time and in a fixed order: batch b of a run holds the same images with the same
 * pixels whatever the number of threads. Training runs through epoch after epoch, each shuffled by (seed, epoch);
 * batches go on across the border. Image i of epoch e is augmented by rng_make(seed, view, i, RNG_AUGMENT) with
 * view = e, or e mod views. */
#ifndef DISTILL_LOADER_H
#define DISTILL_LOADER_H
#include "augment.h"
#include "dataset.h"

/* augment, shuffled / centre crop / letterbox / augment, view 0 of all images in order, then view 1, ... */
typedef enum { LOAD_TRAIN, LOAD_VALID, LOAD_PREDICT, LOAD_VIEWS } load_how;

typedef struct loader_options {
    const dataset *data;         /* borrowed for the loader's life */
    load_how how;
    int batch, c, h, w;          /* of the net's input */
    augment_spec augment;
    uint64_t seed;
    int views;                   /* 0: a new view each epoch */
    uint64_t start;              /* training and views: number of images already consumed */
    int threads;                 /* >= 1 */
} loader_options;

typedef struct batch {
    int n;                       /* images that count (the last batch of a validation may be partial; the rest repeats) */
    float *x;                    /* (batch, c, h, w) */
    int *label;                  /* batch, -1 = unlabelled */
    uint64_t *index;             /* batch, numbers in the dataset */
    uint64_t *view;              /* batch, which random view of each */
    uint64_t epoch;              /* of its first image */
} batch;

typedef struct loader loader;

loader *loader_start(const loader_options *o, diag *d);   /* the caller ends it with loader_stop */
/* The next batch, borrowed until the next call; NULL at the end of a validation, or after a failure, which is in `d`. */
const batch *loader_next(loader *l, diag *d);
void loader_stop(loader *l);

#endif
