/* From 8-bit pixels to a network's input, the way stock Darknet prepares images (RGB, 0..1, planar), with every random
 * choice drawn from a counter-based generator. */
#ifndef DISTILL_AUGMENT_H
#define DISTILL_AUGMENT_H
#include "lower.h"
#include "rng.h"

#include <stdint.h>

/* Training: Darknet's random resize-crop-rotate, [augment] pad crop, flip, colour distortion, in that order.
 * in: (h, w, c) 8-bit; out: (c, out_h, out_w) floats. */
void augment_image(const uint8_t *in, int w, int h, int c, const augment_spec *a, rng *r, float *out, int out_w, int out_h);
/* Validation, as `darknet classifier valid`: the square in the middle, resized to the net's input. */
void augment_centre(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h);
/* Prediction, as `darknet classifier predict`: letterbox with 0.5 grey. */
void augment_letterbox(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h);
/* Darknet's bilinear resize of planar floats (aligned corners). */
void augment_resize(const float *in, int c, int h, int w, float *out, int out_h, int out_w);

#endif
