/* From the outputs of [yolo], [Gaussian_yolo] and [region] layers to boxes: decoded, moved back from the net's input to
 * the image, and thinned by class. What comes out equals what stock Darknet's get_network_boxes and do_nms_sort give
 * (tests compare), but for what only AlexeyAB's has: scale_x_y, new_coords, [Gaussian_yolo], nms_kind. */
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
    int classes;              /* as its section says: l->classes of a [Gaussian_yolo] is another number */
} detect_head;

/* Which boxes a likelier one of the same class takes away, those whose overlap with it exceeds a threshold t. With the
 * square of the distance of both centres, d, and that of the diagonal of the box around both, c, the overlap is
 *   NMS_IOU   IoU                                  Darknet's do_nms_sort
 *   NMS_DIOU  IoU - (d / c)^beta                   AlexeyAB's nms_kind=diounms; greedynms: beta is .6 */
typedef enum { NMS_IOU, NMS_DIOU } detect_nms;

typedef struct detect_heads {
    const network *net;       /* borrowed */
    detect_head *head;        /* n, owned, in the network's order */
    int n, classes;
    detect_nms nms;           /* the last head's, as AlexeyAB's Darknet has it */
    float beta;
} detect_heads;

typedef struct detect_options {
    /* objectness and probability must exceed it; Darknet: .5 to look at, .001 or .005 to measure */
    float threshold;
    /* a box goes if its overlap with a likelier one of its class exceeds this; >= 1: none does. Darknet: .45 */
    float nms;
    int letterbox;            /* 1: the image was letterboxed to the net's input, 0: stretched to it */
    int most;                 /* boxes of one class in one image, the likeliest ones; 0 = any number */
} detect_options;

/* Finds every [yolo], [Gaussian_yolo] and [region] of `net`, in whose order `cfg` (stock sections, one a layer) holds
 * them. 0; -1 with a message in `d` if there is none, their classes differ or one is of a kind that is not supported.
 * End it with detect_heads_free in either case. */
int detect_heads_of(const network *net, const cfg_file *cfg, detect_heads *heads, diag *d);
void detect_heads_free(detect_heads *heads);

/* Appends to `out` the boxes of entry b of the batch that `net` ran last in inference: heads hold
 * (batch, anchors * (coords + 1 + classes), h, w). image_w, image_h: its own size in pixels, `image`: its number in
 * the result. Order: likeliest first; among equals lower class first, then head, cell and anchor as Darknet counts
 * them. Boxes that are not finite are left out. */
void detect_image(const detect_heads *heads, int b, int image_w, int image_h, const detect_options *options, int image,
                  detect_list *out);

void detect_list_add(detect_list *list, const detect_box *box);
void detect_list_free(detect_list *list);
/* Intersection over union of two boxes, 0 where they do not meet. */
float detect_iou(const detect_box *box, const detect_box *place);
/* IoU less the distance of their centres: NMS_DIOU's overlap. */
float detect_diou(const detect_box *box, const detect_box *place, float beta);

#endif
