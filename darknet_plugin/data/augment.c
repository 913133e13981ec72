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
#include <string.h>

/* Correctly rounded: the same float as Darknet's division in double. */
static inline float unit(uint8_t byte) { return (float)byte / 255.f; }

static inline float pixel_at(const pixel_view *view, int k, int y, int x)
{
    size_t i = (size_t)(view->y0 + y) * (size_t)view->full_w + (size_t)(view->x0 + x);
    if (view->u8) return unit(view->u8[i * (size_t)view->c + (size_t)k]);
    return view->f[(size_t)k * (size_t)view->full_w * (size_t)view->full_h + i];
}

static pixel_view whole(const uint8_t *in, int w, int h, int c)
{
    return (pixel_view){ .u8 = in, .full_w = w, .full_h = h, .c = c, .w = w, .h = h };
}

/* Row y of channel k, resized to w columns. */
static void resample_row(const pixel_view *view, int k, int y, float *row, int w)
{
    float step = w > 1 ? (float)(view->w - 1) / (float)(w - 1) : 0;
    for (int x = 0; x < w; ++x) {
        float sx = (float)x * step;
        int ix = (int)sx;
        if (x == w - 1 || view->w == 1 || ix >= view->w - 1) {
            row[x] = pixel_at(view, k, y, view->w - 1);
            continue;
        }
        float d = sx - (float)ix;
        row[x] = (1 - d) * pixel_at(view, k, y, ix) + d * pixel_at(view, k, y, ix + 1);
    }
}

/* Two source rows are kept: the one above (number `have`) and the one below the current output row. */
static void resample_plane(const pixel_view *view, int k, float *out, int w, int h, size_t stride, float *rows)
{
    float step = h > 1 ? (float)(view->h - 1) / (float)(h - 1) : 0;
    float *above = rows, *below = rows + w;
    int have = -1;
    for (int y = 0; y < h; ++y, out += stride) {
        float sy = (float)y * step;
        int iy = (int)sy, last = y == h - 1 || view->h == 1 || iy >= view->h - 1;
        if (last) {
            resample_row(view, k, view->h - 1, out, w);
            continue;
        }
        if (have != iy) {
            resample_row(view, k, iy, above, w);
            resample_row(view, k, iy + 1, below, w);
            have = iy;
        }
        float d = sy - (float)iy;
        for (int x = 0; x < w; ++x) out[x] = (1 - d) * above[x] + d * below[x];
    }
}

void augment_resample(const pixel_view *view, float *out, int w, int h, size_t stride, size_t plane)
{
    float *rows = mem_calloc(2 * (size_t)w, sizeof *rows);
    for (int k = 0; k < view->c; ++k) resample_plane(view, k, out + (size_t)k * plane, w, h, stride, rows);
    free(rows);
}

/* The value of channel k between four pixels, those outside the view being 0. */
static inline float bilinear(const pixel_view *view, int k, float x, float y)
{
    float fx = floorf(x), fy = floorf(y);
    if (!(fx >= -1 && fy >= -1 && fx < (float)view->w && fy < (float)view->h)) return 0;
    int ix = (int)fx, iy = (int)fy;
    float dx = x - fx, dy = y - fy;
    int left = ix >= 0, right = ix + 1 < view->w, top = iy >= 0, bottom = iy + 1 < view->h;
    float a = left && top ? pixel_at(view, k, iy, ix) : 0, b = left && bottom ? pixel_at(view, k, iy + 1, ix) : 0;
    float c = right && top ? pixel_at(view, k, iy, ix + 1) : 0;
    float d = right && bottom ? pixel_at(view, k, iy + 1, ix + 1) : 0;
    return (1 - dy) * (1 - dx) * a + dy * (1 - dx) * b + (1 - dy) * dx * c + dy * dx * d;
}

void augment_place(const pixel_view *view, pixel_rect at, float *out, int out_w, int out_h)
{
    size_t plane = (size_t)out_w * (size_t)out_h;
    for (size_t i = 0; i < plane * (size_t)view->c; ++i) out[i] = .5f;
    int x0 = at.x > 0 ? at.x : 0, y0 = at.y > 0 ? at.y : 0;
    int x1 = at.x < out_w - at.w ? at.x + at.w : out_w, y1 = at.y < out_h - at.h ? at.y + at.h : out_h;
    for (int y = y0; y < y1; ++y) {
        float ry = (float)(y - at.y) / (float)at.h * (float)view->h;
        for (int x = x0; x < x1; ++x) {
            float rx = (float)(x - at.x) / (float)at.w * (float)view->w;
            float *p = out + (size_t)y * (size_t)out_w + (size_t)x;
            for (int k = 0; k < view->c; ++k) p[(size_t)k * plane] = bilinear(view, k, rx, ry);
        }
    }
}

void augment_rotate_crop(const pixel_view *view, const crop_geometry *geometry, float *out, int w, int h)
{
    double cosine = cos(geometry->rad), sine = sin(geometry->rad), cx = view->w / 2., cy = view->h / 2.;
    size_t plane = (size_t)w * (size_t)h;
    for (int y = 0; y < h; ++y) {
        double t = (y - h / 2. + geometry->dy) / geometry->scale;
        for (int x = 0; x < w; ++x, ++out) {
            double s = (x - w / 2. + geometry->dx) / geometry->scale * geometry->aspect;
            float rx = (float)(cosine * s - sine * t + cx), ry = (float)(sine * s + cosine * t + cy);
            for (int k = 0; k < view->c; ++k) out[(size_t)k * plane] = bilinear(view, k, rx, ry);
        }
    }
}

static inline float larger(float one, float other) { return one > other ? one : other; }
static inline float smaller(float one, float other) { return one < other ? one : other; }

/* Where a channel is on the circle of hues: v at its own third, v - chroma at the opposite one, linear in between.
 * `sixth` in [0, 12) is the hue from the place where the channel begins to fall. */
static inline float channel(float sixth, float v, float chroma)
{
    float k = sixth >= 6 ? sixth - 6 : sixth, out = v - chroma * larger(smaller(smaller(k, 4 - k), 1), 0);
    return larger(smaller(out, 1), 0);
}

/* To HSV and back (Smith, "Color gamut transform pairs", 1978) without branches, so that the compiler makes vectors of
 * it. */
void augment_distort(float *x, size_t n, float hue, float saturation, float exposure)
{
    float *red = x, *green = x + n, *blue = x + 2 * n, turn = 6 * hue;
    for (size_t i = 0; i < n; ++i) {
        float r = red[i], g = green[i], b = blue[i];
        float max = larger(r, larger(g, b)), min = smaller(r, smaller(g, b)), d = max - min, safe = d > 0 ? d : 1;
        float not_red = g == max ? 2 + (b - r) / safe : 4 + (r - g) / safe;
        float h = (r == max ? (g - b) / safe : not_red) + turn;
        h -= 6 * floorf(h / 6);
        float v = max * exposure, chroma = v * (d / (max > 0 ? max : 1) * saturation);
        red[i] = channel(h + 5, v, chroma);
        green[i] = channel(h + 3, v, chroma);
        blue[i] = channel(h + 1, v, chroma);
    }
}

void augment_flip(float *x, int c, int h, int w)
{
    for (size_t r = 0; r < (size_t)c * (size_t)h; ++r, x += w)
        for (int i = 0, j = w - 1; i < j; ++i, --j) {
            float t = x[i];
            x[i] = x[j];
            x[j] = t;
        }
}

void augment_shift(const float *in, float *out, int c, int h, int w, int dx, int dy)
{
    size_t plane = (size_t)h * (size_t)w;
    memset(out, 0, (size_t)c * plane * sizeof *out);
    int x0 = dx < 0 ? -dx : 0, x1 = dx > 0 ? w - dx : w;
    for (int y = 0; y < h; ++y) {
        int sy = y + dy;
        if (sy < 0 || sy >= h || x0 >= x1) continue;
        for (size_t k = 0; k < (size_t)c; ++k)
            memcpy(out + k * plane + (size_t)y * (size_t)w + x0, in + k * plane + (size_t)sy * (size_t)w + x0 + dx,
                   (size_t)(x1 - x0) * sizeof *out);
    }
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
            for (size_t k = 0; k < (size_t)c; ++k) out[k * plane] = inside ? unit(p[k]) : 0;
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
}

void augment_centre(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h)
{
    pixel_view v = whole(in, w, h, c);
    v.w = v.h = w < h ? w : h;
    v.x0 = (w - v.w) / 2;
    v.y0 = (h - v.h) / 2;
    augment_resample(&v, out, out_w, out_h, (size_t)out_w, (size_t)out_w * (size_t)out_h);
}

static int within(int side, int most)
{
    if (side < 1) return 1;
    return side > most ? most : side;
}

pixel_rect augment_letterbox_rect(int w, int h, int out_w, int out_h)
{
    int fit_w = out_w, fit_h = out_h;
    if ((float)out_w / (float)w < (float)out_h / (float)h) fit_h = (int)((int64_t)h * out_w / w);
    else fit_w = (int)((int64_t)w * out_h / h);
    fit_w = within(fit_w, out_w);
    fit_h = within(fit_h, out_h);
    return (pixel_rect){ (out_w - fit_w) / 2, (out_h - fit_h) / 2, fit_w, fit_h };
}

void augment_letterbox(const uint8_t *in, int w, int h, int c, float *out, int out_w, int out_h)
{
    pixel_view v = whole(in, w, h, c);
    pixel_rect at = augment_letterbox_rect(w, h, out_w, out_h);
    size_t plane = (size_t)out_w * (size_t)out_h;
    for (size_t i = 0; i < plane * (size_t)c; ++i) out[i] = .5f;
    augment_resample(&v, out + (size_t)at.y * (size_t)out_w + (size_t)at.x, at.w, at.h, (size_t)out_w, plane);
}

void augment_resize(const float *in, int c, int h, int w, float *out, int out_h, int out_w)
{
    pixel_view v = { .f = in, .full_w = w, .full_h = h, .c = c, .w = w, .h = h };
    augment_resample(&v, out, out_w, out_h, (size_t)out_w, (size_t)out_w * (size_t)out_h);
}
