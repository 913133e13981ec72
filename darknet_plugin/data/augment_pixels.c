/* What is done to pixels where nothing is drawn any more: resizing, turning, colours (see augment_internal.h). The
 * formulas are Darknet's, and stand in augment.c.
 *
 * Images are (h, w, c) bytes or (c, h, w) floats; k is one of the c channels, (x, y, k) a value. */
#include "augment_internal.h"

#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static inline float pixel_at(const pixel_view *view, int k, int y, int x)
{
    size_t i = (size_t)(view->y0 + y) * (size_t)view->full_w + (size_t)(view->x0 + x);
    if (view->u8) return augment_unit(view->u8[i * (size_t)view->c + (size_t)k]);
    return view->f[(size_t)k * (size_t)view->full_w * (size_t)view->full_h + i];
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

enum { BYTES = 256 };

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

/* The same of all channels of bytes, `plane` floats apart in `out`, where all four pixels are inside; unit: their
 * values. */
static inline void bilinear_inside(const pixel_view *view, const float *unit, float x, float y, float *out,
                                   size_t plane)
{
    int ix = (int)x, iy = (int)y;
    float dx = x - (float)ix, dy = y - (float)iy;
    float wa = (1 - dy) * (1 - dx), wb = dy * (1 - dx), wc = (1 - dy) * dx, wd = dy * dx;
    size_t c = (size_t)view->c, line = (size_t)view->full_w * c;
    const uint8_t *p = view->u8 + (size_t)(view->y0 + iy) * line + (size_t)(view->x0 + ix) * c;
    for (size_t k = 0; k < c; ++k, ++p, out += plane)
        *out = wa * unit[p[0]] + wb * unit[p[line]] + wc * unit[p[c]] + wd * unit[p[line + c]];
}

void augment_rotate_crop(const pixel_view *view, const crop_geometry *geometry, float *out, int w, int h)
{
    double cosine = cos(geometry->rad), sine = sin(geometry->rad), cx = view->w / 2., cy = view->h / 2.;
    float last_x = (float)(view->w - 1), last_y = (float)(view->h - 1), unit[BYTES];
    size_t plane = (size_t)w * (size_t)h;
    for (int i = 0; i < BYTES; ++i) unit[i] = augment_unit((uint8_t)i);
    for (int y = 0; y < h; ++y) {
        double t = (y - h / 2. + geometry->dy) / geometry->scale;
        for (int x = 0; x < w; ++x, ++out) {
            double s = (x - w / 2. + geometry->dx) / geometry->scale * geometry->aspect;
            float rx = (float)(cosine * s - sine * t + cx), ry = (float)(sine * s + cosine * t + cy);
            if (view->u8 && rx >= 0 && ry >= 0 && rx < last_x && ry < last_y)
                bilinear_inside(view, unit, rx, ry, out, plane);
            else for (int k = 0; k < view->c; ++k) out[(size_t)k * plane] = bilinear(view, k, rx, ry);
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
