/* What readers of label files share: boxes that go to a dataset image by image, and what is dropped on the way, told
 * once for all of them. A file says its classes by number (Darknet's texts) or by name (VOC, COCO).
 *
 * To add a kind of label files: a function that calls the ones below for each box of an image, and a line in
 * read_image of dataset_boxes.c. */
#ifndef DISTILL_DATASET_BOXES_H
#define DISTILL_DATASET_BOXES_H
#include "boxes_statistics.h"
#include "dataset_internal.h"

enum { BOX_KINDS = 8 };

/* Boxes that are dropped for one reason. */
typedef struct dropped_kind {
    const char *wrong;           /* borrowed; NULL: none so far */
    size_t n;
} dropped_kind;

/* Boxes of a class that names= does not have. */
typedef struct unknown_class {
    char *name;                  /* owned */
    size_t n;
} unknown_class;

typedef struct box_reader {
    dataset *set;
    const data_request *request;
    diag *d;
    char **labels;               /* what train_labels= or valid_labels= names, looked up; owned */
    int n_labels;
    data_names known;            /* of classes, for files that name them */
    struct coco_labels *coco;    /* owned; NULL where labels are files of an image each */
    size_t boxes, room, dropped;
    size_t first_of_image;       /* boxes before those of the image being read */
    dropped_kind kind[BOX_KINDS];
    diag *first;                 /* messages of the first ten, owned: they come behind what is said of all */
    unknown_class *unknown;      /* unknowns, owned */
    size_t unknowns, of_unknown; /* boxes of them all */
    data_flood unread, shapes;   /* label files that cannot be read; images of another shape than those say */
    box_statistics statistics;
} box_reader;

extern const char *const BOX_NO_CLASS;    /* "the class is out of range" */

/* What is wrong with a box, borrowed, or NULL. */
const char *box_check(const data_box *box);
/* The image's next box; NULL, or why there is no room. */
const char *box_add(box_reader *reader, const data_box *box);
/* Counts what is no box of use, and keeps the message of the first: `text` is what stands there, up to its line's
 * end. */
void box_drop(box_reader *reader, const char *path, int line, const char *text, const char *wrong);
/* The next box of a class by name, in pixels of an image of w x h: adds or drops it. */
void box_add_named(box_reader *reader, const char *path, int line, const char *text, const char *name,
                   const double corner[4], double w, double h);
/* Are classes named? -1 after reporting that files on `path` cannot be read without. */
int box_needs_names(const box_reader *reader, const char *path);
/* Holds w x h, by the labels, against what image i's header says, where that is asked for (all that are looked at, else
 * about a thousand of a set). Where the labels have none, it is what the header says. 0, or -1: nobody knows. */
int box_image_size(box_reader *reader, size_t image, const char *labels, double *w, double *h);

/* ---- kinds of label files ---- */

/* The boxes of an XML file as VOC has them (dataset_voc.c). -1: it is none, which is noted in `unread`. */
int voc_read(box_reader *reader, size_t image, const char *path, FILE *in);

/* One or several JSON files as COCO has them (dataset_coco.c). NULL after reporting; the caller frees. */
typedef struct coco_labels coco_labels;
coco_labels *coco_open(box_reader *reader);
void coco_free(coco_labels *coco);
/* Adds the boxes of image i. -1: it is in none of the files. */
int coco_read(box_reader *reader, size_t image);
/* What was noticed of all images together. -1 after reporting. */
int coco_end(box_reader *reader);

#endif
