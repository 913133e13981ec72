/* From 8-bit pixels to a network's input (see augment.h).
 *
 * An image is (h, w, c) bytes or (c, h, w) floats; k is one of its c channels, (x, y, k) a value.
 * The formulas are Darknet's, so that a net trained here meets what stock Darknet shows it later:
 *   resize         x' = x (W-1)/(w-1), bilinear, first along rows, then along columns
 *   random crop    r in [min_crop, max_crop], scale = r / min(H, W aspect), angle and shift uniform; output
 *                  (x, y) reads R(angle) ((x - w/2 + dx) aspect/scale, (y - h/2 + dy)/scale) + centre, bilinear,
 *                  zero outside
 *   colour         RGB -> HSV, h + dhue (mod 1), s dsat, v dexp -> RGB, clamped
 * Differences, all on purpose: the shift along y uses the height (Darknet uses the width for both, the same on square
 * nets); the last row of a resize is the source's last row (Darknet's comes out black where (h-1)(H-1)/(h-1) rounds
 * down); colours are left alone where nothing is to be distorted; a hue of exactly 1 is red, not magenta.
 * Pad-and-crop is not Darknet's but every CIFAR recipe's. */
#include "augment.h"

#include "augment_internal.h"
#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>

static pixel_view whole(const uint8_t *in, int w, int h, int c)
{
    return (pixel_view){ .u8 = in, .full_w = w, .full_h = h, .c = c, .w = w, .h = h };
}

/* s or 1/s, s uniform in [1, most]. */
static double draw_scale(rng *rng, double most)
{
    double s = rng_uniform(rng, 1, most);
    return rng_below(rng, 2) ? s : 1 / s;
}

/* A size for the shorter side, an aspect ratio, an angle, and a place for (h, w) pixels of it, in this order. */
static crop_geometry draw_geometry(const augment_spec *augment, rng *rng, int in_w, int in_h, int w, int h)
{
    int lo = augment->min_crop < augment->max_crop ? augment->min_crop : augment->max_crop;
    int hi = augment->min_crop < augment->max_crop ? augment->max_crop : augment->min_crop;
    crop_geometry g = { .aspect = draw_scale(rng, augment->aspect) };
    double size = lo + (double)rng_below(rng, (uint64_t)(hi - lo) + 1);
    int shorter = in_h < in_w * g.aspect ? in_h : (int)(in_w * g.aspect);
    g.scale = size / (shorter > 0 ? shorter : 1);
    g.rad = rng_uniform(rng, -augment->angle, augment->angle) * (3.14159265358979323846 / 180);
    double room_x = (in_w * g.scale / g.aspect - w) / 2, room_y = (in_h * g.scale - h) / 2;
    g.dx = rng_uniform(rng, -room_x, room_x);
    g.dy = rng_uniform(rng, -room_y, room_y);
    return g;
}

/* The image as it is, moved by (dx, dy), zero where nothing came, mirrored or not: from bytes to floats in one go. */
static void place_bytes(const uint8_t *in, int w, int h, int c, int dx, int dy, int mirror, float *out)
{
    size_t plane = (size_t)w * (size_t)h;
    for (int y = 0; y < h; ++y)
        for (int x = 0; x < w; ++x, ++out) {
            int sx = (mirror ? w - 1 - x : x) + dx, sy = y + dy;
            int inside = sx >= 0 && sx < w && sy >= 0 && sy < h;
            const uint8_t *p = in + (inside ? ((size_t)sy * (size_t)w + (size_t)sx) * (size_t)c : 0);
            for (size_t k = 0; k < (size_t)c; ++k) out[k * plane] = inside ? augment_unit(p[k]) : 0;
        }
}

/* The crop, (c, h, w), moved by (dx, dy). */
static void resize_crop_shift(const pixel_view *view, const crop_geometry *geometry, int dx, int dy, float *out,
                              int w, int h)
{
    if (!dx && !dy) {
        augment_rotate_crop(view, geometry, out, w, h);
        return;
    }
    float *cropped = mem_calloc((size_t)view->c * (size_t)w * (size_t)h, sizeof *cropped);
    augment_rotate_crop(view, geometry, cropped, w, h);
    augment_shift(cropped, out, view->c, h, w, dx, dy);
    free(cropped);
}

void augment_colours(float *x, size_t n, int c, const augment_spec *augment, rng *rng)
{
    if (c != 3 || (augment->hue == 0 && augment->saturation == 1 && augment->exposure == 1)) return;
    float hue = (float)rng_uniform(rng, -augment->hue, augment->hue);
    float saturation = (float)draw_scale(rng, augment->saturation);
    float exposure = (float)draw_scale(rng, augment->exposure);
    augment_distort(x, n, hue, saturation, exposure);
}

void augment_image(const uint8_t *in, int w, int h, int c, const augment_spec *augment, rng *rng, float *out, int out_w,
                   int out_h)
{
    int crop = augment->min_crop != out_w || augment->max_crop != out_w || augment->angle != 0 ||
        augment->aspect != 1 || w != out_w || h != out_h;
    crop_geometry g = { 0 };
    if (crop) g = draw_geometry(augment, rng, w, h, out_w, out_h);
    int dx = 0, dy = 0, mirror = 0;
    if (augment->pad > 0) {
        dx = (int)rng_below(rng, 2 * (uint64_t)augment->pad + 1) - augment->pad;
        dy = (int)rng_below(rng, 2 * (uint64_t)augment->pad + 1) - augment->pad;
    }
    if (augment->flip) mirror = (int)rng_below(rng, 2);
    if (crop) {
        pixel_view v = whole(in, w, h, c);
        resize_crop_shift(&v, &g, dx, dy, out, out_w, out_h);
        if (mirror) augment_flip(out, c, out_h, out_w);
    } else {
        place_bytes(in, w, h, c, dx, dy, mirror, out);
    }
    augment_colours(out, (size_t)out_w * (size_t)out_h, c, augment, rng);
    augment_cutout(out, c, out_h, out_w, augment->cutout, rng);
}

void augment_centre(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h)
{
    pixel_view v = whole(in, w, h, c);
    v.w = v.h = w < h ? w : h;
    v.x0 = (w - v.w) / 2;
    v.y0 = (h - v.h) / 2;
    augment_resample(&v, out, out_w, out_h, (size_t)out_w, (size_t)out_w * (size_t)out_h);
}

void augment_letterbox(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h)
{
    pixel_view v = whole(in, w, h, c);
    pixel_rect at = augment_letterbox_rect(w, h, out_w, out_h);
    size_t plane = (size_t)out_w * (size_t)out_h;
    for (size_t i = 0; i < plane * (size_t)c; ++i) out[i] = .5f;
    augment_resample(&v, out + (size_t)at.y * (size_t)out_w + (size_t)at.x, at.w, at.h, (size_t)out_w, plane);
}

void augment_still(const uint8_t *in, int w, int h, int c, image_fit fit, float *out, int out_w, int out_h)
{
    pixel_view all = whole(in, w, h, c);
    if (fit == FIT_CROP) augment_centre(in, w, h, c, out, out_w, out_h);
    else if (fit == FIT_LETTERBOX) augment_letterbox(in, w, h, c, out, out_w, out_h);
    else augment_resample(&all, out, out_w, out_h, (size_t)out_w, (size_t)out_w * (size_t)out_h);
}

uint8_t *augment_still_bytes(const uint8_t *in, int w, int h, int c, image_fit fit, int out_w, int out_h)
{
    size_t plane = (size_t)out_h * (size_t)out_w, channels = (size_t)c;
    float *x = mem_calloc(plane * channels, sizeof *x);
    uint8_t *bytes = mem_calloc(plane, channels);
    augment_still(in, w, h, c, fit, x, out_w, out_h);
    for (size_t k = 0; k < plane * channels; ++k)
        bytes[k % plane * channels + k / plane] = (uint8_t)lrintf(fminf(fmaxf(x[k], 0), 1) * 255);
    free(x);
    return bytes;
}

void augment_resize(const float *in, int c, int h, int w, float *out, int out_h, int out_w)
{
    pixel_view v = { .f = in, .full_w = w, .full_h = h, .c = c, .w = w, .h = h };
    augment_resample(&v, out, out_w, out_h, (size_t)out_w, (size_t)out_w * (size_t)out_h);
}
