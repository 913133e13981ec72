/* Batches, prepared by threads ahead of time and in a fixed order: batch b of a run holds the same images with the same
 * pixels whatever the number of threads. Training runs through epoch after epoch, each shuffled by (seed, epoch);
 * batches go on across the border. Image i of epoch e is augmented by rng_make(view_seed, view, i, RNG_AUGMENT) with
 * view = e, or e mod views: which pixels a view has does not depend on `seed`, so that a cache serves many of them.
 *
 * Mixup (augment.mixup): image i is mixed with image p as that is in the same view; p and the factor are drawn from
 * rng_make(view_seed, view, i, RNG_MIX), so that view v of image i has the same pixels in any batch. A p that cannot be
 * read is a failure as an i is.
 *
 * A detector's image is drawn to be a mosaic or mixed from the same numbers; its parts are the same views of the
 * others, `place` is where it lies alone.
 *
 * Detectors (augment.detector): images are placed as augment.h says, and one that cannot be read, or is left out by the
 * data set, does not end the run. Training and views take another image instead, drawn by (view_seed, view, image),
 * whatever the number of threads, and the batch says which; validation goes on without it. Too many of them
 * (dataset_too_many_left_out) are an error that names them. */
#ifndef DISTILL_LOADER_H
#define DISTILL_LOADER_H
#include "augment.h"
#include "dataset.h"

/* augment, shuffled / as augment.fit says, in order / augment, view 0 of all images in order, then view 1, ... */
typedef enum { LOAD_TRAIN, LOAD_VALID, LOAD_VIEWS } load_how;

typedef struct loader_options {
    const dataset *data;         /* borrowed for the loader's life */
    load_how how;
    int batch, c, h, w;          /* of the net's input */
    augment_spec augment;
    uint64_t seed;               /* of the order of training images */
    uint64_t view_seed;          /* of everything else that is random */
    int views;                   /* 0: a new view each epoch */
    uint64_t start;              /* number of images already consumed */
    uint64_t end;                /* views and validation: number of the image to end before; 0: the last, too */
    /* training: this is the loader of share number `share` of every step's images, of `shares` (0: 1) that are equal
     * and follow each other */
    int share, shares;
    int threads;                 /* >= 1 */
    int max_boxes;               /* detectors: truths an image (the net's truths / 5); 0: none are wanted */
    /* training: images a step, of all shares, between which augment.random changes the size; 0: batch */
    int step_images;
} loader_options;

typedef struct batch {
    /* images that count (the last batch of a validation may be partial; the rest repeats) */
    int n;
    int h, w;                    /* of x: as in the options, or drawn by multi-scale (augment_size) */
    float *x;                    /* (batch, c, h, w) */
    int *label;                  /* batch, -1 = unlabelled */
    int *label2;                 /* batch, of the images mixed in, -1 = unlabelled; NULL without mixup */
    float *mix;                  /* batch, how much of x is the first image, 0..1; NULL without mixup */
    /* (batch, max_boxes, 5), Darknet's: x y w h class, zeros behind the last; NULL without boxes */
    float *truth;
    image_place *place;          /* batch, where each image lies in x; detectors, else NULL */
    uint64_t *index;             /* batch, numbers in the dataset */
    uint64_t *view;              /* batch, which random view of each */
    uint64_t epoch;              /* of its first image */
} batch;

typedef struct loader loader;

loader *loader_start(const loader_options *options, diag *d);   /* the caller ends it with loader_stop */
/* The next batch, borrowed until the next call; NULL at the end of a validation, or after a failure, which is in
 * `d`. */
const batch *loader_next(loader *loader, diag *d);
/* How many images of a detector could not be read so far; a warning names those that the data set did not leave out. */
size_t loader_left_out(const loader *loader, diag *d);
void loader_stop(loader *loader);

#endif
