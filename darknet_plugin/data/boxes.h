/* Boxes of objects, and where an image lies in a network's input.
 *
 * A box is Darknet's: centre and size, relative to what it lies in (0..1). The image fills a rectangle of the input, or
 * reaches beyond it, and may be mirrored:
 *   x_input = x + w x_image, mirrored: 1 - (x + w x_image); sizes are scaled by w (and so for y, h)
 * with all of them relative: so a box of the image becomes one of the input by boxes_to_input. What a network finds
 * goes the other way in detect.h. */
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

/* An image's truth is x y w h class of box after box, ended by zeros. Where nobody has looked for objects its first x
 * is this: an image without labels, which is not one without objects. */
#define BOXES_UNLABELLED (-1.f)
static inline int boxes_unlabelled(const float *truth) { return truth[0] < 0; }

static inline data_box boxes_to_input(const image_place *place, data_box box)
{
    box.x = place->x + place->w * box.x;
    box.y = place->y + place->h * box.y;
    box.w *= place->w;
    box.h *= place->h;
    if (place->mirrored) box.x = 1 - box.x;
    return box;
}

#endif
