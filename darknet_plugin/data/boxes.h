/* Boxes of objects, and where an image lies in a network's input.
 *
 * A box is Darknet's: centre and size, relative to what it lies in (0..1). The image fills a rectangle of the input, or
 * reaches beyond it, and may be mirrored:
 *   x_input = x + w x_image, mirrored: 1 - (x + w x_image); sizes are scaled by w (and so for y, h)
 * with all of them relative. So a box of the image becomes one of the input by boxes_to_input, and what a network finds
 * becomes one of the image by boxes_to_image. */
#ifndef DISTILL_BOXES_H
#define DISTILL_BOXES_H

typedef struct data_box {
    float x, y, w, h;        /* centre, size */
    int class;
} data_box;

typedef struct image_place {
    float x, y, w, h;        /* the image's left, top, width and height relative to the input */
    int mirrored;            /* the input is a mirror image */
    int image_w, image_h;    /* of the image, in pixels */
} image_place;

static inline data_box boxes_to_input(const image_place *p, data_box b)
{
    b.x = p->x + p->w * b.x;
    b.y = p->y + p->h * b.y;
    b.w *= p->w;
    b.h *= p->h;
    if (p->mirrored) b.x = 1 - b.x;
    return b;
}

static inline data_box boxes_to_image(const image_place *p, data_box b)
{
    if (p->mirrored) b.x = 1 - b.x;
    b.x = (b.x - p->x) / p->w;
    b.y = (b.y - p->y) / p->h;
    b.w /= p->w;
    b.h /= p->h;
    return b;
}

#endif
