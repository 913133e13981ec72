/* An image placed on a canvas (see augment_internal.h), the way a detector's is.
 *
 *   value = (1 - dy) (1 - dx) a + dy (1 - dx) b + (1 - dy) dx c + dy dx d
 * of the pixels a c / b d around a point, those beyond the last row or column being 0. Which columns are read is the
 * same in every row, and neighbouring rows read the same rows of the image: columns are worked out once, and a row of
 * the image is taken apart once, into all left and all right neighbours, so that what remains is a sum of four products
 * which the compiler makes vectors of. The order of operations is that of the formula. */
#include "augment_internal.h"

#include "darknet_plugin/base/mem.h"

#include <stdlib.h>

enum { BYTES = 256 };

/* A row of the image, taken apart. */
typedef struct source_row {
    int y;                     /* which one; -1: none yet */
    float *value;              /* (channels, 2, n), owned: left neighbours, right neighbours */
} source_row;

/* Columns of the canvas that the image covers, n of them. */
typedef struct placing {
    const pixel_view *view;
    int n, inner;              /* the first `inner` have a right neighbour, too */
    int *left;                 /* n, owned: the column of the image left of each */
    float *dx;                 /* n, owned: how far right of that */
    source_row above, below;   /* the two around the last row of the canvas */
    float unit[BYTES];
} placing;

/* From column `first` of the canvas on. */
static placing placing_begin(const pixel_view *view, pixel_rect at, int first, int n)
{
    placing p = { .view = view, .n = n, .above.y = -1, .below.y = -1 };
    size_t columns = (size_t)n + 1, values = 2 * (size_t)view->c * columns;
    p.left = mem_calloc(columns, sizeof *p.left);
    p.dx = mem_calloc(columns, sizeof *p.dx);
    p.above.value = mem_calloc(values, sizeof *p.above.value);
    p.below.value = mem_calloc(values, sizeof *p.below.value);
    for (int i = 0; i < BYTES; ++i) p.unit[i] = augment_unit((uint8_t)i);
    for (int i = 0; i < n; ++i) {
        float x = (float)(first + i - at.x) / (float)at.w * (float)view->w;
        int left = (int)x;
        p.dx[i] = x - (float)left;
        p.left[i] = left < view->w ? left : view->w - 1;
        if (p.left[i] + 1 < view->w) p.inner = i + 1;
    }
    return p;
}

static void placing_end(placing *placing)
{
    free(placing->left);
    free(placing->dx);
    free(placing->above.value);
    free(placing->below.value);
}

/* Channel k of a row of bytes; `stride` bytes a pixel. */
static void take_bytes(const placing *placing, const uint8_t *row, int stride, float *left, float *right)
{
    for (int i = 0; i < placing->inner; ++i) {
        const uint8_t *pixel = row + (size_t)placing->left[i] * (size_t)stride;
        left[i] = placing->unit[pixel[0]];
        right[i] = placing->unit[pixel[stride]];
    }
    for (int i = placing->inner; i < placing->n; ++i)
        left[i] = placing->unit[row[(size_t)placing->left[i] * (size_t)stride]];
}

static void take_floats(const placing *placing, const float *row, float *left, float *right)
{
    for (int i = 0; i < placing->n; ++i) left[i] = row[placing->left[i]];
    for (int i = 0; i < placing->inner; ++i) right[i] = row[placing->left[i] + 1];
}

/* Row y of the image, all channels; zeros below the last one. What has no right neighbour keeps the zeros there. */
static void take_row(const placing *placing, source_row *row, int y)
{
    const pixel_view *view = placing->view;
    size_t n = (size_t)placing->n, plane = (size_t)view->full_w * (size_t)view->full_h;
    size_t first = (size_t)(view->y0 + y) * (size_t)view->full_w + (size_t)view->x0;
    row->y = y;
    for (size_t i = 0; y >= view->h && i < 2 * (size_t)view->c * n; ++i) row->value[i] = 0;
    for (size_t k = 0; y < view->h && k < (size_t)view->c; ++k) {
        float *left = row->value + 2 * k * n;
        if (view->u8) take_bytes(placing, view->u8 + first * (size_t)view->c + k, view->c, left, left + n);
        else take_floats(placing, view->f + k * plane + first, left, left + n);
    }
}

/* Rows y and y + 1 of the image become `above` and `below`. */
static void take_rows(placing *placing, int y)
{
    if (placing->below.y == y && placing->above.y != y) {
        source_row row = placing->above;
        placing->above = placing->below;
        placing->below = row;
    }
    if (placing->above.y != y) take_row(placing, &placing->above, y);
    if (placing->below.y != y + 1) take_row(placing, &placing->below, y + 1);
}

/* Channel k of a row of the canvas, dy below row `above`. */
static void sum_row(const placing *placing, size_t k, float dy, float *restrict out)
{
    const size_t n = (size_t)placing->n;
    const float *a = placing->above.value + 2 * k * n, *c = a + n;
    const float *b = placing->below.value + 2 * k * n, *d = b + n;
    for (size_t i = 0; i < n; ++i) {
        float dx = placing->dx[i];
        out[i] = (1 - dy) * (1 - dx) * a[i] + dy * (1 - dx) * b[i] + (1 - dy) * dx * c[i] + dy * dx * d[i];
    }
}

void augment_place(const pixel_view *view, pixel_rect at, float *out, int out_w, int out_h)
{
    size_t plane = (size_t)out_w * (size_t)out_h;
    for (size_t i = 0; i < plane * (size_t)view->c; ++i) out[i] = .5f;
    int x0 = at.x > 0 ? at.x : 0, y0 = at.y > 0 ? at.y : 0;
    int x1 = at.x < out_w - at.w ? at.x + at.w : out_w, y1 = at.y < out_h - at.h ? at.y + at.h : out_h;
    if (x1 <= x0) return;
    placing p = placing_begin(view, at, x0, x1 - x0);
    for (int y = y0; y < y1; ++y) {
        float ry = (float)(y - at.y) / (float)at.h * (float)view->h;
        int row = (int)ry;
        take_rows(&p, row);
        for (size_t k = 0; k < (size_t)view->c; ++k)
            sum_row(&p, k, ry - (float)row, out + k * plane + (size_t)y * (size_t)out_w + (size_t)x0);
    }
    placing_end(&p);
}
