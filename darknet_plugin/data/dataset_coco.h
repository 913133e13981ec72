/* A COCO file as tables: its images, its boxes in pixels and its categories, each found by its id. Read by
 * dataset_coco_read.c, joined with a data set's images by dataset_coco.c. */
#ifndef DISTILL_DATASET_COCO_H
#define DISTILL_DATASET_COCO_H
#include "dataset_boxes.h"

typedef struct coco_image {
    char *name;                  /* file_name, owned */
    double id, w, h;             /* 0 where the file has none */
    size_t first, n;             /* of box */
} coco_image;

typedef struct coco_box {
    double image, category;      /* ids, then numbers in the tables */
    double x, y, w, h;           /* left, top, size, in pixels */
    size_t at;                   /* annotations[at] */
} coco_box;

typedef struct coco_category {
    char *name;                  /* owned */
    double id;
} coco_category;

typedef struct coco_file {
    const char *path;            /* borrowed */
    coco_image *image;           /* images, owned, by id; then by name */
    coco_box *box;               /* boxes, owned */
    coco_category *category;     /* categories, owned, by id */
    size_t images, boxes, categories, image_room, box_room, category_room;
    size_t crowds;               /* annotations that are left out for iscrowd=1 */
} coco_file;

/* Reads the file; boxes that are none are dropped by `reader`. 0, or -1 after reporting; the caller frees with
 * coco_file_free either way. */
int coco_file_read(coco_file *file, box_reader *reader);
void coco_file_free(coco_file *file);

#endif
