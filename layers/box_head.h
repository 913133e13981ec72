/* A detector's head, as losses behind and before it know it: the teacher's last 1x1 convolution, and what the numbers
 * that it makes mean (box_head_ops.h). The teacher's answer at a tap is computed from the map there, live or out of a
 * cache, by the same sums: it is the same to the bit, nothing but the map has to be stored, and the teacher need not
 * run on. */
#ifndef DISTILL_BOX_HEAD_H
#define DISTILL_BOX_HEAD_H
#include "box_head_ops.h"
#include "sections.h"

typedef struct box_head {
    box_form form;
    int layer, boxes;           /* the teacher's: a 1x1 [convolutional], its [yolo] or [region] */
    size_t rows, width;
    float *weights, *biases;    /* (rows, width), (rows), batch norm folded in; owned; NULL: not seen yet */
} box_head;

/* A 1x1 [convolutional] that is a matrix of its channels, place by place? */
int box_head_is_1x1(const cfg_section *layer);
/* The head behind a triple's tap, without weights: the tail must be one linear 1x1 and a [yolo] or [region] of stock
 * Darknet. 0, or -1 after reporting, in the name of `key` of `section` or, where that is NULL, of the section. */
int box_head_find(const cfg_section *section, const char *key, const loss_place *place, box_head *head, diag *d);
/* Takes its weights from the teacher. */
void box_head_see(box_head *head, const network *teacher);
void box_head_free(box_head *head);

/* What it answers to map (width, places): raw, (rows, places). As box_head_raw, all at once. */
void box_head_answer(const box_head *head, const float *map, size_t places, float *raw);

#endif
