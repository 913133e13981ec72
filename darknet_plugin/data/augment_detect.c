/* Images and boxes for detectors (see augment.h). An image is (h, w, c) bytes, the input (c, out_h, out_w) floats.
 *
 * Training as stock Darknet's load_data_detection: the image is given a new aspect ratio, each side times 1 +- jitter,
 * fills the input in one direction and lies at a random place in the other, on 0.5 grey; then flip and colours.
 * Where images are stretched, as AlexeyAB's Darknet does, each edge of the image is moved by +- jitter of its side and
 * what is between the edges fills the input. Boxes go where their pixels go, are clipped to the input, and those under
 * a thousandth of it in width or height are dropped (fill_truth_detection).
 *
 * Multi-scale as AlexeyAB's: every ten steps a size between base / k and base k, k = 1.4 or what random= says, in
 * multiples of 32; at 416 that is 288 to 576 (stock: 320 to 608 whatever the base).
 * Differences, all on purpose: jitter=0 places as validation does, not at random; where an image fits is judged by the
 * input's own aspect ratio (stock takes it for a square); boxes follow the whole pixels at which the image was placed;
 * no end phase at the largest size; boxes that lie around the whole input at (0, 0) are kept. */
#include "augment.h"

#include "augment_internal.h"
#include "darknet_plugin/base/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIZE_STEP = 32, MOST_STEPS = 1 << 20, STEPS_A_SIZE = 10 };

static pixel_view view_of(const uint8_t *in, int w, int h, int c)
{
    return (pixel_view){ .u8 = in, .full_w = w, .full_h = h, .c = c, .w = w, .h = h };
}

/* 1 + uniform in [-jitter, jitter), far enough from zero whatever the jitter. */
static double jittered(rng *rng, double jitter)
{
    double v = 1 + rng_uniform(rng, -jitter, jitter);
    return v > .1 ? v : .1;
}

static int at_least_one(double side) { return side < 1 ? 1 : (int)side; }

static pixel_rect draw_letterboxed(rng *rng, double jitter, int w, int h, int out_w, int out_h)
{
    double wide = w * jittered(rng, jitter), aspect = wide / (h * jittered(rng, jitter));
    pixel_rect at = { .w = out_w, .h = out_h };
    if (aspect * out_h < out_w) at.w = at_least_one(aspect * out_h);
    else at.h = at_least_one(out_w / aspect);
    at.x = (int)rng_uniform(rng, 0, out_w - at.w);
    at.y = (int)rng_uniform(rng, 0, out_h - at.h);
    return at;
}

/* One direction: the edges are drawn, what is between them fills `out` pixels. */
static void draw_side(rng *rng, double jitter, int out, int *at, int *length)
{
    double low = rng_uniform(rng, -jitter, jitter), high = rng_uniform(rng, -jitter, jitter), between = 1 - low - high;
    if (between < .1) between = .1;
    *length = at_least_one(round(out / between));
    *at = (int)round(-low * out / between);
}

static pixel_rect draw_stretched(rng *rng, double jitter, int out_w, int out_h)
{
    pixel_rect at;
    draw_side(rng, jitter, out_w, &at.x, &at.w);
    draw_side(rng, jitter, out_h, &at.y, &at.h);
    return at;
}

static pixel_rect still_rect(int w, int h, int stretch, int out_w, int out_h)
{
    return stretch ? (pixel_rect){ 0, 0, out_w, out_h } : augment_letterbox_rect(w, h, out_w, out_h);
}

static image_place place_of(pixel_rect at, int w, int h, int out_w, int out_h)
{
    return (image_place){ .x = (float)at.x / (float)out_w, .y = (float)at.y / (float)out_h,
                          .w = (float)at.w / (float)out_w, .h = (float)at.h / (float)out_h,
                          .image_w = w, .image_h = h };
}

void augment_fit(const uint8_t *in, int w, int h, int c, int stretch, float *out, int out_w, int out_h,
                 image_place *place)
{
    pixel_view v = view_of(in, w, h, c);
    if (stretch) augment_resample(&v, out, out_w, out_h, (size_t)out_w, (size_t)out_w * (size_t)out_h);
    else augment_letterbox(in, w, h, c, out, out_w, out_h);
    *place = place_of(still_rect(w, h, stretch, out_w, out_h), w, h, out_w, out_h);
}

static int draw_shift(rng *rng, int pad, int most)
{
    int limit = pad < most ? pad : most;
    return (int)rng_below(rng, 2 * (uint64_t)limit + 1) - limit;
}

static pixel_rect draw_rect(const augment_spec *augment, rng *rng, int w, int h, int out_w, int out_h)
{
    double jitter = fmin(augment->jitter, .9);
    pixel_rect at = still_rect(w, h, augment->fit == FIT_STRETCH, out_w, out_h);
    if (jitter > 0 && augment->fit == FIT_STRETCH) at = draw_stretched(rng, jitter, out_w, out_h);
    else if (jitter > 0) at = draw_letterboxed(rng, jitter, w, h, out_w, out_h);
    if (augment->pad > 0) at.x += draw_shift(rng, augment->pad, out_w);
    if (augment->pad > 0) at.y += draw_shift(rng, augment->pad, out_h);
    return at;
}

void augment_detect(const uint8_t *in, int w, int h, int c, const augment_spec *augment, rng *rng, float *out,
                    int out_w, int out_h, image_place *place)
{
    if (augment->jitter > 0 || augment->pad > 0) {
        pixel_view v = view_of(in, w, h, c);
        pixel_rect at = draw_rect(augment, rng, w, h, out_w, out_h);
        augment_place(&v, at, out, out_w, out_h);
        *place = place_of(at, w, h, out_w, out_h);
    } else {
        augment_fit(in, w, h, c, augment->fit == FIT_STRETCH, out, out_w, out_h, place);
    }
    if (augment->flip && rng_below(rng, 2)) {
        augment_flip(out, c, out_h, out_w);
        place->mirrored = 1;
    }
    augment_colours(out, (size_t)out_w * (size_t)out_h, c, augment, rng);
}

/* ---- boxes ---- */

/* One direction of a box, clipped to 0..1. */
static void clip(float *centre, float *size)
{
    float low = fminf(fmaxf(*centre - *size / 2, 0), 1), high = fminf(fmaxf(*centre + *size / 2, 0), 1);
    *centre = (low + high) / 2;
    *size = high - low;
}

/* One row of truth; 0 where the box is dropped. */
static int put_truth(const image_place *place, data_box box, float *row)
{
    box = boxes_to_input(place, box);
    clip(&box.x, &box.w);
    clip(&box.y, &box.h);
    if (!(box.w >= .001f && box.h >= .001f)) return 0;
    memcpy(row, (float[5]){ box.x, box.y, box.w, box.h, (float)box.class }, 5 * sizeof *row);
    return 1;
}

/* What losses on boxes leave out: a first object at x = -1. */
static int mark_unlabelled(float *truth, int max)
{
    memset(truth, 0, 5 * (size_t)max * sizeof *truth);
    if (max) truth[0] = -1;
    return 0;
}

int augment_truth(const data_box *box, int n, const image_place *place, rng *rng, float *truth, int max)
{
    if (n < 0) return mark_unlabelled(truth, max);
    int *order = mem_calloc((size_t)n + 1, sizeof *order), found = 0;
    for (int i = 0; i < n; ++i) order[i] = i;
    for (int i = n; rng && i > 1; --i) {
        int j = (int)rng_below(rng, (uint64_t)i), t = order[i - 1];
        order[i - 1] = order[j];
        order[j] = t;
    }
    memset(truth, 0, 5 * (size_t)max * sizeof *truth);
    for (int i = 0; i < n && found < max; ++i) found += put_truth(place, box[order[i]], truth + 5 * found);
    free(order);
    return found;
}

/* ---- multi-scale ---- */

static double largest_factor(float random)
{
    if (random <= 1) return 1.4;
    return random < 4 ? random : 4;
}

static int round_to_step(double side)
{
    double steps = fmin(fmax(round(side / SIZE_STEP), 1), MOST_STEPS);
    return SIZE_STEP * (int)steps;
}

static void size_from_width(int base_w, int base_h, int *w, int *h)
{
    *h = round_to_step((double)base_h * *w / base_w);
}

void augment_size(uint64_t seed, uint64_t step, float random, int base_w, int base_h, int *w, int *h)
{
    *w = base_w;
    *h = base_h;
    if (!(random > 0)) return;
    double k = largest_factor(random);
    int low = round_to_step(base_w / k) / SIZE_STEP, high = round_to_step(base_w * k) / SIZE_STEP;
    rng r = rng_make(seed, step / STEPS_A_SIZE, 0, RNG_SIZE);
    *w = SIZE_STEP * (low + (int)rng_below(&r, (uint64_t)(high - low) + 1));
    size_from_width(base_w, base_h, w, h);
}

void augment_largest_size(float random, int base_w, int base_h, int *w, int *h)
{
    *w = base_w;
    *h = base_h;
    if (!(random > 0)) return;
    *w = round_to_step(base_w * largest_factor(random));
    size_from_width(base_w, base_h, w, h);
}
