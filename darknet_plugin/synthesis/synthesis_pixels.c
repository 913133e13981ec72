/* Way 2, the readable reference: the pixels themselves go down the judge's gradient by Adam, from noise about the
 * teacher's mean, and stay within 0..1. A hundred times slower than the generator for as many images, since each batch
 * begins from nothing. Before a step all images of the batch are shifted by up to an eighth of their size, what leaves
 * on one side coming in on the other: what only holds at one place of the convolutions' grid does not last.
 *
 * Yin et al., "Dreaming to distill", CVPR 2020. Left out: their loss against a student, and its competition. */
#include "synthesis_internal.h"

#include "darknet_plugin/base/mem.h"
#include "darknet_plugin/base/rng.h"

#include <stdlib.h>

typedef struct pixels {
    float *x;                /* (batch, c, h, w) in 0..1, owned */
    float *shifted, *delta;  /* alike, owned */
    float *back;             /* delta, shifted back; owned */
    adam adam;
} pixels;

/* Room for a batch. */
static void *open_pixels(making *making, diag *d)
{
    (void)d;
    size_t n = judge_floats(making->judge);
    pixels *own = mem_calloc(1, sizeof *own);
    own->x = mem_calloc(n, sizeof *own->x);
    own->shifted = mem_calloc(n, sizeof *own->shifted);
    own->delta = mem_calloc(n, sizeof *own->delta);
    own->back = mem_calloc(n, sizeof *own->back);
    own->adam = adam_new(n, making->job->rate, .5, .9);
    return own;
}

static void close_pixels(void *state)
{
    pixels *own = state;
    adam_free(&own->adam);
    free(own->x);
    free(own->shifted);
    free(own->delta);
    free(own->back);
    free(own);
}

static float within(float x)
{
    x = x > 0 ? x : 0;
    return x < 1 ? x : 1;
}

/* Normal numbers about the mean, grey where none is given. */
static void draw(pixels *own, const judge *judge, rng *rng)
{
    size_t map = (size_t)judge->h * (size_t)judge->w, c = (size_t)judge->c;
    for (size_t i = 0; i < own->adam.n; ++i) {
        size_t channel = i / map % c % 3;
        double mean = judge->spec->normalise ? judge->spec->mean[channel] : .5,
               deviation = judge->spec->normalise ? judge->spec->std[channel] : .25;
        own->x[i] = within((float)(mean + deviation * rng_normal(rng)));
    }
}

/* Rows down by `down`, columns to the right by `right`, both from 0 and below the size; all maps alike. */
static void shift(const judge *judge, const float *from, float *to, int down, int right)
{
    size_t h = (size_t)judge->h, w = (size_t)judge->w, n = judge_floats(judge);
    for (size_t i = 0; i < n; ++i) {
        size_t row = (i / w % h + (size_t)down) % h, column = (i % w + (size_t)right) % w;
        to[i / (h * w) * (h * w) + row * w + column] = from[i];
    }
}

static int shift_by(rng *rng, int side)
{
    int most = side / 8;
    return (int)(rng_below(rng, 2 * (uint64_t)most + 1) + (uint64_t)side - (uint64_t)most) % side;
}

/* A candidate, what the judge says of it shifted, and a step. -1: no number any more. */
static int step(pixels *own, making *making, const int *class, rng *rng)
{
    const judge *judge = making->judge;
    int down = shift_by(rng, judge->h), right = shift_by(rng, judge->w);
    shift(judge, own->x, own->shifted, down, right);
    if (making_look(making, own->shifted, class, own->delta)) return -1;
    shift(judge, own->delta, own->back, (judge->h - down) % judge->h, (judge->w - right) % judge->w);
    adam_step(&own->adam, own->x, own->back);
    for (size_t i = 0; i < own->adam.n; ++i) own->x[i] = within(own->x[i]);
    return 0;
}

static int make(void *state, making *making, uint64_t at, const int *class, diag *d)
{
    pixels *own = state;
    rng rng = rng_make(making->job->seed, at, 0, RNG_SYNTHESIS);
    draw(own, making->judge, &rng);
    adam_restart(&own->adam);
    making_restart(making);
    for (int i = 0; i < making->job->steps; ++i)
        if (step(own, making, class, &rng)) return making_lost(making, d);
    return 0;
}

const synthesis_way synthesis_pixels = {
    .name = "pixels", .steps = 200, .rate = .05, .bn = 10, .ce = 1, .tv = 1, .open = open_pixels,
    .close = close_pixels, .make = make,
};
