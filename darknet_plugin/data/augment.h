/* From 8-bit pixels to a network's input, the way stock Darknet prepares images (RGB, 0..1, planar), with every random
 * choice drawn from a counter-based generator. Unless another shape is given,
 *   in   (h, w, c) 8-bit          out   (c, out_h, out_w) floats */
#ifndef DISTILL_AUGMENT_H
#define DISTILL_AUGMENT_H
#include "boxes.h"
#include "augment_spec.h"
#include "darknet_plugin/base/rng.h"

#include <stddef.h>
#include <stdint.h>

/* Training: Darknet's random resize-crop-rotate, [augment] pad crop, flip, colour distortion, cutout, in that order. */
void augment_image(const uint8_t *in, int w, int h, int c, const augment_spec *augment, rng *rng, float *out, int out_w,
                   int out_h);
/* Mixup (augment_mix.c): what an image is mixed with. */
typedef struct image_mix {
    uint64_t partner;    /* number in the data set, maybe the image's own */
    float factor;        /* of the image itself, 0..1; the partner's is 1 - factor */
} image_mix;
int augment_mixes(const augment_spec *augment);   /* is mixup on? */
/* Draws it, out of `count` images. */
image_mix augment_draw_mix(const augment_spec *augment, rng *rng, uint64_t count);
/* n times x = factor * x + (1 - factor) * partner */
void augment_mix(float *x, const float *partner, size_t n, float factor);
/* Validation, as `darknet classifier valid`: the square in the middle, resized to the net's input. */
void augment_centre(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h);
/* Prediction, as `darknet classifier predict`: letterbox with 0.5 grey. */
void augment_letterbox(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h);

/* One of the two above, or the whole image stretched over the input. */
void augment_still(const uint8_t *in, int w, int h, int c, image_fit fit, float *out, int out_w, int out_h);
/* The same as bytes, (out_h, out_w, c), for the caller to free. */
uint8_t *augment_still_bytes(const uint8_t *in, int w, int h, int c, image_fit fit, int out_w, int out_h);
/* "-fit" or "fit=" text; -1 if it is none. The other way round. And what it does: "cropped to the square in the
 * middle". */
int augment_fit_named(const char *text);
const char *augment_fit_name(image_fit fit);
const char *augment_fit_text(image_fit fit);

/* Detectors (augment_detect.c); *place says where in the input the image came to lie. */
/* Training: placed with jitter, [augment] pad, flip, colour distortion, in that order. */
void augment_detect(const uint8_t *in, int w, int h, int c, const augment_spec *augment, rng *rng, float *out,
                    int out_w, int out_h, image_place *place);
/* Validation and prediction: stretched over the input, or letterboxed. */
void augment_fit(const uint8_t *in, int w, int h, int c, int stretch, float *out, int out_w, int out_h,
                 image_place *place);
/* The n boxes of an image as Darknet's truth: up to `max` times x y w h class, relative to the input, clipped to it,
 * those under a thousandth of it dropped; the rest is zeros. In random order if `rng`, else as they come. truth:
 * (max, 5). Returns how many. */
int augment_truth(const data_box *box, int n, const image_place *place, rng *rng, float *truth, int max);
/* Mosaic and mixup of detectors (augment_collage.c): which images make up a view of one, and where. */
enum { COLLAGE_PARTS = 4 };
typedef struct image_collage {
    int parts;                       /* 1: the image alone; 2: the mean of two; COLLAGE_PARTS: a mosaic */
    uint64_t image[COLLAGE_PARTS];   /* numbers in the data set, the image itself first */
    int turn;                        /* mosaic: part i lies top left, top right, bottom left, ... at (i + turn) % 4 */
    double x, y;                     /* mosaic: where they meet, in parts of the input */
} image_collage;
int augment_joins(const augment_spec *augment);   /* is one of the two on? */
/* Draws it for `image`, out of `count`. */
image_collage augment_draw_collage(const augment_spec *augment, rng *rng, uint64_t image, uint64_t count);
/* Empties x, n floats, and `truth`, (max, 5) or NULL. */
void augment_begin_collage(const image_collage *collage, float *x, size_t n, float *truth, int max);
/* Adds a part, prepared alone in `from`, (c, h, w) as x; and its boxes, (max, 5) as those of the whole, both as
 * augment_truth makes them. */
void augment_add_pixels(const image_collage *collage, int part, const float *from, float *x, int c, int h, int w);
void augment_add_truth(const image_collage *collage, int part, const float *from, float *truth, int max, int h, int w);
/* Multi-scale: the input's size, w x h, for step `step` of a run, new every ten steps; the base size where random is
 * 0. */
void augment_size(uint64_t seed, uint64_t step, float random, int base_w, int base_h, int *w, int *h);
/* The largest w x h that can come of it. */
void augment_largest_size(float random, int base_w, int base_h, int *w, int *h);

/* Darknet's bilinear resize of (c, h, w) floats (aligned corners). */
void augment_resize(const float *in, int c, int h, int w, float *out, int out_h, int out_w);

#endif
