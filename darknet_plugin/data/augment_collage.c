/* Mosaic and mixup of detectors (see augment.h): a view of one image with parts of others, their boxes with them.
 *
 * Half of the images become mosaics: four images meet at a point that is drawn in the middle 60 % of each direction.
 * Each is first prepared alone, over the whole input, as in a view of its own; then its corner that faces the point is
 * put there, so that objects keep their size:
 *   part 0, top left, at (px, py): x' = x - (1 - px), y' = y - (1 - py), within 0..px, 0..py; the others alike
 * A box goes along, is clipped to its part, and is dropped where less than a tenth of its area is left or it is under a
 * thousandth of the input in width or height. Of the other half, half are mixed: the mean of two images, the boxes of
 * both. With one of the keys alone the other half stays as it is. What cannot be read leaves its part grey, or its
 * image unmixed. Where nobody has looked for objects in one of the parts, the whole has no labels.
 * Bochkovskiy, Wang, Liao, "YOLOv4", 2020, section 3.3; Zhang et al., "Bag of Freebies for Training Object Detection
 * Neural Networks", 2019, section 3.1. */
#include "augment.h"

#include <math.h>
#include <string.h>

enum { TRUTH = 5 };
static const float LEAST_SIDE = .001f, LEAST_SHARE = .1f;

/* Half of the time. */
static int drawn(int wanted, rng *rng) { return wanted && rng_below(rng, 2); }

int augment_joins(const augment_spec *augment)
{
    return augment->detector && (augment->mosaic || augment->mixup > 0);
}

image_collage augment_draw_collage(const augment_spec *augment, rng *rng, uint64_t image, uint64_t count)
{
    image_collage collage = { .parts = 1, .image = { image } };
    if (drawn(augment->mosaic, rng)) collage.parts = COLLAGE_PARTS;
    else if (drawn(augment->mixup > 0, rng)) collage.parts = 2;
    for (int i = 1; i < collage.parts; ++i) collage.image[i] = rng_below(rng, count);
    if (collage.parts < COLLAGE_PARTS) return collage;
    collage.turn = (int)rng_below(rng, COLLAGE_PARTS);
    collage.x = rng_uniform(rng, .2, .8);
    collage.y = rng_uniform(rng, .2, .8);
    return collage;
}

/* Where a part lies, in pixels: from, to; and how far to the left or up of where it was prepared. */
typedef struct part_side {
    int from, to, back;
} part_side;

static part_side side_of(double point, int second, int pixels)
{
    int cut = (int)round(point * pixels);
    if (cut < 1) cut = 1;
    if (cut > pixels - 1) cut = pixels - 1;
    return second ? (part_side){ cut, pixels, -cut } : (part_side){ 0, cut, pixels - cut };
}

/* The corner is the same pixels as in the image alone; an input of one pixel has no parts. */
static void copy_part(part_side across, part_side down, const float *from, float *x, int c, int h, int w)
{
    for (int k = 0; k < c; ++k)
        for (int y = down.from; y < down.to; ++y) {
            size_t row = (size_t)k * (size_t)h + (size_t)y, source = row + (size_t)(long)down.back;
            memcpy(x + row * (size_t)w + across.from, from + source * (size_t)w + (across.from + across.back),
                   (size_t)(across.to - across.from) * sizeof *x);
        }
}

/* One direction of a box, moved and clipped to the part. */
static void clip_side(part_side part, int pixels, float *centre, float *size)
{
    float at = *centre - (float)part.back / (float)pixels;
    float low = fmaxf(at - *size / 2, (float)part.from / (float)pixels);
    float high = fminf(at + *size / 2, (float)part.to / (float)pixels);
    *centre = (low + high) / 2;
    *size = high - low;
}

/* One row of truth, where enough of its box is left; how many that are. */
static int put_part(part_side across, part_side down, int h, int w, const float *row, float *out)
{
    float box[TRUTH], area = row[2] * row[3];
    memcpy(box, row, sizeof box);
    clip_side(across, w, &box[0], &box[2]);
    clip_side(down, h, &box[1], &box[3]);
    if (!(box[2] >= LEAST_SIDE && box[3] >= LEAST_SIDE && box[2] * box[3] >= LEAST_SHARE * area)) return 0;
    memcpy(out, box, sizeof box);
    return 1;
}

static int rows_of(const float *truth, int max)
{
    int n = 0;
    while (n < max && truth[TRUTH * n] != 0) ++n;
    return n;
}

void augment_begin_collage(const image_collage *collage, float *x, size_t n, float *truth, int max)
{
    for (size_t i = 0; collage->parts == COLLAGE_PARTS && i < n; ++i) x[i] = .5f;
    if (truth) memset(truth, 0, TRUTH * (size_t)max * sizeof *truth);
}

void augment_add_pixels(const image_collage *collage, int part, const float *from, float *x, int c, int h, int w)
{
    size_t n = (size_t)c * (size_t)h * (size_t)w;
    int place = (part + collage->turn) % COLLAGE_PARTS;
    if (collage->parts == COLLAGE_PARTS)
        copy_part(side_of(collage->x, place % 2, w), side_of(collage->y, place / 2, h), from, x, c, h, w);
    else if (part)
        augment_mix(x, from, n, .5f);
    else
        memcpy(x, from, n * sizeof *x);
}

/* Rows behind those that are there, as far as there is room; none where one of the two is without labels. */
void augment_add_truth(const image_collage *collage, int part, const float *from, float *truth, int max, int h, int w)
{
    int place = (part + collage->turn) % COLLAGE_PARTS, n = rows_of(truth, max);
    part_side across = side_of(collage->x, place % 2, w), down = side_of(collage->y, place / 2, h);
    if (truth[0] < 0) return;
    if (from[0] < 0) {
        memcpy(truth, from, TRUTH * (size_t)max * sizeof *truth);
        return;
    }
    for (int i = 0; i < max && from[TRUTH * i] != 0 && n < max; ++i) {
        const float *row = from + TRUTH * i;
        if (collage->parts == COLLAGE_PARTS) n += put_part(across, down, h, w, row, truth + TRUTH * n);
        else memcpy(truth + TRUTH * n++, row, TRUTH * sizeof *row);
    }
}
