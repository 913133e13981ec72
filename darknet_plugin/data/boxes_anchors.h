/* Anchors of a detector: the sizes that its boxes are guessed from.
 *
 * k-means of the boxes' sizes, the distance 1 - IoU of two boxes with one centre (Redmon and Farhadi, "YOLO9000",
 * 2016), so that large boxes weigh no more than small ones. */
#ifndef DISTILL_BOXES_ANCHORS_H
#define DISTILL_BOXES_ANCHORS_H
#include <stddef.h>
#include <stdint.h>

typedef struct box_size {
    float w, h;
} box_size;

/* k anchors of n > 0 sizes, all above 0, to anchor[k], the smallest first. The same for the same seed. Returns the
 * mean of the IoU of each size with the anchor that fits it best. */
double boxes_anchors(const box_size *size, size_t n, int k, uint64_t seed, box_size *anchor);
/* That mean, of any k anchors. */
double boxes_mean_iou(const box_size *size, size_t n, const box_size *anchor, int k);

#endif
