/* Images and labels behind one face, whatever format they are in.
 *
 * A .data file (Darknet's "key = value" lines) names them:
 *   classes, names or labels, train, valid (or test), backup, top      as in stock Darknet
 *   train_labels, valid_labels    IDX label files; default: the image file's name with images-idx3 -> labels-idx1
 *   format                        a format's name (its row in dataset.c names its file); default: auto, by content
 * train/valid may name several files, separated by commas. Files are looked up as they stand, then relative to the
 * .data file's folder. In a list a line is `path` or `path class` (a number or a label's name); without a class
 * Darknet's rule holds (a label that is a substring of the path), but none or several matches are an error.
 *
 * A detector's list looks the same, so the caller says that it is one: a line is a path and nothing else, and the boxes
 * stand in a text file an image (see dataset_boxes.c). There an image without its file, or, where boxes are wanted,
 * without its label file, is left out; more than 1 % of them is an error. */
#ifndef DISTILL_DATASET_H
#define DISTILL_DATASET_H
#include "boxes.h"
#include "darknet_plugin/base/diag.h"

#include <stddef.h>
#include <stdint.h>

typedef struct data_file {
    char *path;                 /* all owned */
    int classes, top;           /* top defaults to min(5, classes) */
    char **name;                /* classes names, or NULL if the file names none */
    char *names_path;           /* resolved names/labels file; NULL if none */
    char **tag;                 /* what lists match paths with: classes lines of labels=, or NULL where it is `name` */
    /* NULL where absent; backup defaults to "backup" */
    char *train, *valid, *train_labels, *valid_labels, *format, *backup;
    /* for the caller to set before it opens a split: the last so many training images are the validation's, whatever
     * valid= names; 0: none */
    size_t held_out;
} data_file;

data_file *data_file_read(const char *path, diag *d);   /* NULL after reporting; the caller frees with data_file_free */
void data_file_free(data_file *file);
/* The name of class i, or its number, written to buf, where it has none; borrowed. */
const char *data_file_class(const data_file *file, int i, char *buf, size_t len);

typedef enum { DATA_TRAIN, DATA_VALID } data_split;

typedef struct dataset dataset;

/* What a split is opened for, or'ed: DATA_CLASSES refuses a list without classes (else label -1); DATA_DETECTOR reads a
 * detector's list; DATA_BOXES (implies DATA_DETECTOR) its label files too; DATA_LOOK takes a detector's images however
 * many of them are left out: to tell what is there, not to use it. */
enum { DATA_IMAGES = 0, DATA_CLASSES = 1, DATA_DETECTOR = 2, DATA_BOXES = 4, DATA_LOOK = 8 };

/* Opens one split and checks all of it that can be checked without decoding images. `limit` > 0 keeps the first
 * `limit` images, of those that file->held_out leaves to the split. The caller frees with dataset_free; NULL after
 * reporting. */
dataset *dataset_open(const data_file *file, data_split split, size_t limit, int need, diag *d);
void dataset_free(dataset *set);
size_t dataset_count(const dataset *set);
int dataset_classes(const dataset *set);
const char *dataset_format(const dataset *set);                  /* its name, as format= has it; borrowed */
int dataset_channels(const dataset *set);                        /* of all of its images; 0: each file has its own */
/* The size of image i, w x h; of a file its header alone is read. 0, or -1: left out, or no header that is
 * understood. */
int dataset_size(const dataset *set, size_t i, int *w, int *h);
/* Hash of the images: of their pixels where they are kept in memory, else of the files' paths and sizes. Labels do not
 * count. */
uint64_t dataset_identity(const dataset *set);
int dataset_label(const dataset *set, size_t i);                 /* 0..classes-1, or -1 */
int dataset_ambiguous(const dataset *set, size_t i);             /* its label is -1 because several are in its path */
int dataset_has_boxes(const dataset *set);                       /* opened with DATA_BOXES */
/* The *n boxes of image i, relative to it, as its label file has them (they may reach beyond the image); borrowed, NULL
 * where there are none. */
const data_box *dataset_boxes(const dataset *set, size_t i, int *n);
/* Why a detector's image i is left out, borrowed; NULL where it is used. dataset_read refuses it with that reason. */
const char *dataset_left_out(const dataset *set, size_t i);
/* The rule of how many images may be left out: 1 %. */
int dataset_too_many_left_out(const dataset *set, size_t left_out);
/* "t10k-images-idx3-ubyte.gz#17" or the image's path; written to buf. */
const char *dataset_name(const dataset *set, size_t i, char *buf, size_t len);
/* 8-bit interleaved pixels (h, w, channels) of image i, converted to `channels` (1 or 3; grey is replicated).
 * *pixels is the caller's to free(). Safe to call from several threads. 0, or -1 with a reason in `why`. */
int dataset_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                 size_t why_len);

#endif
