/* What the dataset formats share. To add a format, write its row (probe, open, read) in a file dataset_NAME.c, declare
 * it here and list it in dataset.c; there is nothing else to do. */
#ifndef DISTILL_DATASET_INTERNAL_H
#define DISTILL_DATASET_INTERNAL_H
#include "dataset.h"

/* One split of a .data file, its files looked up. */
typedef struct data_request {
    const data_file *f;       /* borrowed */
    const char *key;          /* "train" or "valid" */
    const char *labels;       /* value of train_labels / valid_labels, borrowed, or NULL */
    char **file;              /* files resolved paths, owned */
    int files;
    int need;                 /* DATA_CLASSES, DATA_DETECTOR, DATA_BOXES */
} data_request;

typedef struct data_format {
    const char *name;
    int (*probe)(const char *path, int classes);                     /* does the file look like one of these? */
    int (*open)(dataset *set, const data_request *request, diag *d);         /* fills s; 0, or -1 after reporting */
    int (*read)(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                size_t why_len);
} data_format;

enum { DATA_NO_CLASS = -1, DATA_SEVERAL_CLASSES = -2 };   /* what stands for a label where there is none */
typedef enum { DATA_USED, DATA_NO_IMAGE, DATA_NO_LABELS } data_left_out;

/* The images of one file: first .. first of the next part - 1. */
typedef struct data_part {
    char *file;               /* owned */
    size_t first;
} data_part;

struct dataset {
    const data_format *format;
    int classes;
    size_t count;
    int *label;               /* count, owned */
    uint8_t *pixels;          /* (count, h, w, c), owned; formats kept in memory */
    int w, h, c;
    data_part *part;          /* parts, owned; formats kept in memory */
    int parts;
    char **path;              /* listed, owned; lists */
    uint8_t *left_out;        /* listed, owned; lists: a data_left_out each */
    size_t listed, room;      /* images in the files, of which the first `count` are used; allocated entries of path */
    data_box *box;            /* owned; those of image i are box_at[i] .. box_at[i + 1] - 1 */
    size_t *box_at;           /* (count + 1), owned; NULL where label files were not read */
};

extern const data_format data_idx, data_cifar10, data_cifar100, data_list;

/* Behind the last line that came: -1 after reporting where that was not the file's end. */
int data_read_whole(FILE *in, const char *path, diag *d);
/* "a, b" -> trimmed items, each owned, as is the array; *n how many. */
char **data_split_commas(const char *text, int *n);
void data_free_strings(char **text, size_t n);

/* Registers that the images from set->count on come from `file`. */
void data_add_part(dataset *set, const char *file);
/* The reader of formats kept in memory: converts pixels of image i to `channels`. */
int data_read_memory(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                     size_t why_len);
/* Reads the label files of a detector's images; 0, or -1 after reporting. */
int data_read_boxes(dataset *set, const data_request *request, diag *d);
/* Reports images that are left out and their number; -1 where they are more than 1 %. */
int data_report_left_out(const dataset *set, const data_request *request, diag *d);
/* Where the label file of an image is: that which is there, or else where Darknet looks for it. The caller frees. */
char *data_label_path(const char *image);

/* Reports labels first..first+n-1 that are outside 0..classes-1 (the first and how many). 0 or -1. */
int data_check_labels(const dataset *set, size_t first, size_t n, const char *file, diag *d);

#endif
