/* The pieces of augmentation in which nothing is drawn (augment_pixels.c), apart so that tests can hold them against
 * Darknet's own functions; and what augment.c and augment_detect.c share.
 *
 * A `pixel_view` is a window of an image whose values are read as 0..1 floats, from 8-bit interleaved or planar float
 * data, so that no file needs a float copy of a whole photograph. */
#ifndef DISTILL_AUGMENT_INTERNAL_H
#define DISTILL_AUGMENT_INTERNAL_H
#include "augment_spec.h"
#include "darknet_plugin/base/rng.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pixel_view {
    const uint8_t *u8;      /* (full_h, full_w, c), or NULL */
    const float *f;         /* (c, full_h, full_w), used if u8 is NULL; both borrowed */
    int full_w, full_h, c;
    int x0, y0, w, h;       /* the window */
} pixel_view;

/* Darknet's augment_args: output pixel (x, y) reads the source at the rotated, scaled point around its centre. */
typedef struct crop_geometry {
    double rad, scale, dx, dy, aspect;
} crop_geometry;

/* Correctly rounded: the same float as Darknet's division in double. */
static inline float augment_unit(uint8_t byte) { return (float)byte / 255.f; }

/* Where an image lies on a canvas, in pixels; it may reach beyond. */
typedef struct pixel_rect {
    int x, y, w, h;
} pixel_rect;

/* The rectangle of a (w, h) image letterboxed into (out_w, out_h). */
pixel_rect augment_letterbox_rect(int w, int h, int out_w, int out_h);
/* Darknet's place_image on a canvas of 0.5 grey: pixel (x, y) of the rectangle reads the image at (x W/w, y H/h),
 * bilinear, zero beyond the last pixel. out: (c, out_h, out_w). (augment_place.c) */
void augment_place(const pixel_view *view, pixel_rect at, float *out, int out_w, int out_h);
/* Draws hue, saturation and exposure and distorts n pixels x of c channels; does and draws nothing where nothing is to
 * be distorted, or where they are not RGB. */
void augment_colours(float *x, size_t n, int c, const augment_spec *augment, rng *rng);
/* Darknet's resize (aligned corners) of the window into a (c, h, w) block of `out`, whose rows are `stride` floats and
 * planes `plane` floats apart. */
void augment_resample(const pixel_view *view, float *out, int w, int h, size_t stride, size_t plane);
/* Darknet's rotate_crop_image: bilinear, zero outside. out: (c, h, w). */
void augment_rotate_crop(const pixel_view *view, const crop_geometry *geometry, float *out, int w, int h);
/* Darknet's distort_image on x, an RGB image of n pixels: hue turned, saturation and value scaled, clamped to 0..1. */
void augment_distort(float *x, size_t n, float hue, float saturation, float exposure);
/* Mirrors x, (c, h, w). */
void augment_flip(float *x, int c, int h, int w);
/* A square of `size` pixels of x, (c, h, w), becomes 0, its centre drawn: so much of it as lies within. 0: draws
 * nothing. (augment_mix.c) */
void augment_cutout(float *x, int c, int h, int w, int size, rng *rng);
/* out[y][x] = in[y + dy][x + dx], zero outside; in and out are (c, h, w) and differ. */
void augment_shift(const float *in, float *out, int c, int h, int w, int dx, int dy);

#endif
