/* From the outputs of [yolo] and [region] layers to boxes: decoded, moved back from the net's input to the image, and
 * thinned by class. What comes out equals what stock Darknet's get_network_boxes and do_nms_sort give (tests
 * compare). */
#ifndef DISTILL_DETECT_H
#define DISTILL_DETECT_H
#include "darknet_plugin/sections/cfg.h"
#include "darknet_plugin/host/host.h"

typedef struct detect_box {
    int image, label;         /* numbers of the image and the class */
    float probability;        /* objectness * probability of the class */
    float x, y, w, h;         /* centre and size as parts of the image's width and height; may stick out of 0..1 */
} detect_box;

typedef struct detect_list {
    detect_box *box;          /* n, owned; NULL while room is 0 */
    size_t n, room;
} detect_list;

/* One layer that ends a detector. */
typedef struct detect_head {
    const layer *l;           /* borrowed from the network, which may be resized in between */
    const float *output;      /* (batch, l->outputs) of the last run, borrowed; NULL (the default) = l->output */
    float scale_x_y;          /* AlexeyAB's key; 1 = as stock Darknet */
} detect_head;

typedef struct detect_heads {
    const network *net;       /* borrowed */
    detect_head *head;        /* n, owned, in the network's order */
    int n, classes;
} detect_heads;

typedef struct detect_options {
    /* objectness and probability must exceed it; Darknet: .5 to look at, .001 or .005 to measure */
    float threshold;
    /* a box goes if its IoU with a likelier one of its class exceeds this; >= 1: none does. Darknet: .45 */
    float nms;
    int letterbox;            /* 1: the image was letterboxed to the net's input, 0: stretched to it */
    int most;                 /* boxes of one class in one image, the likeliest ones; 0 = any number */
} detect_options;

/* Finds every [yolo] and [region] of `net`, in whose order `cfg` (stock sections, one a layer) holds them. 0; -1 with a
 * message in `d` if there is none, their classes differ or one is of a kind that is not supported. End it with
 * detect_heads_free in either case. */
int detect_heads_of(const network *net, const cfg_file *cfg, detect_heads *heads, diag *d);
void detect_heads_free(detect_heads *heads);

/* Appends to `out` the boxes of entry b of the batch that `net` ran last in inference: heads hold
 * (batch, anchors * (coords + 1 + classes), heads, w). image_w, image_h: its own size in pixels, `image`: its number in
 * the result. Order: likeliest first; among equals lower class first, then head, cell and anchor as Darknet counts
 * them. Boxes that are not finite are left out. */
void detect_image(const detect_heads *heads, int b, int image_w, int image_h, const detect_options *options, int image,
                  detect_list *out);

void detect_list_add(detect_list *list, const detect_box *box);
void detect_list_free(detect_list *list);
/* Intersection over union of two boxes, 0 where they do not meet. */
float detect_iou(const detect_box *box, const detect_box *place);

#endif
