/* What all boxes of a set look like together: mistakes of whoever wrote the label files that no single box shows.
 *
 * Classes that begin at 1: none is 0, and some are one beyond the last.
 * Corners, x1 y1 x2 y2 in place of x y w h: read as corners every box is right (x1 < x2 <= 1, y1 < y2 <= 1), read as
 * centre and size many reach out of the image. The same with the top left corner and the size (x + w <= 1, y + h <= 1).
 * Boxes as they should be are small or reach out seldom; nothing is said of a few boxes. */
#ifndef DISTILL_BOXES_STATISTICS_H
#define DISTILL_BOXES_STATISTICS_H
#include "boxes.h"
#include "darknet_plugin/base/diag.h"

#include <stddef.h>

typedef struct box_statistics {
    size_t boxes;            /* lines of five numbers */
    size_t of_first;         /* of class 0 */
    size_t beyond_last;      /* of the class behind the last */
    size_t of_other;         /* of another that there is not */
    size_t inside;           /* as centre and size, within the image, give or take 1 % */
    size_t corners;          /* right as corners */
    size_t corner_sizes;     /* right as top left corner and size */
} box_statistics;

/* Counts a box of that class, used or not. */
void box_statistics_add(box_statistics *all, long class, int classes, const data_box *box);
/* -1 with an error on `list`, where the boxes must be meant otherwise; 0, perhaps with a warning. */
int box_statistics_judge(const box_statistics *all, const char *list, int classes, diag *d);

#endif
