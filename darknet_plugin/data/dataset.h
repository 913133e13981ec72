/* Images and labels behind one face, whatever format they are in.
 *
 * A .data file (Darknet's "key = value" lines) names them:
 *   classes, names or labels, train, valid (or test), backup, top      as in stock Darknet
 *   unlabelled                    images that only a teacher teaches on, behind those of train; of the same kind
 *   train_labels, valid_labels    IDX label files; default: the image file's name with images-idx3 -> labels-idx1;
 *                                 a detector's: COCO's JSON, or folders of label files
 *   image_cache                   a file that keeps decoded images (image_cache.h); where it is not there it is made
 *   image_cache_side              training images are first shrunk to that many pixels on their shorter side
 *   format                        a format's name (its row in dataset.c names its file); default: auto, by content
 * train/valid may name several files, separated by commas. Files are looked up as they stand, then relative to the
 * .data file's folder. In a list a line is `path` or `path class` (a number or a label's name); without a class
 * Darknet's rule holds (a label that is a substring of the path), but none or several matches are an error.
 *
 * A detector's list looks the same, so the caller says that it is one: a line is a path and nothing else, and the
 * boxes stand in a file an image, or in one for all (see dataset_boxes.c). There an image without its file, or,
 * where boxes are wanted, without its label file, is left out; too many of them are an error
 * (dataset_too_many_left_out). */
#ifndef DISTILL_DATASET_H
#define DISTILL_DATASET_H
#include "boxes.h"
#include "dataset_prints.h"
#include "image_cache.h"
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
    char *train, *valid, *unlabelled, *train_labels, *valid_labels, *format, *backup, *image_cache;
    int image_cache_side;       /* 0: images stay as large as they are */
    /* for the caller to set before it opens a split: the last so many training images are the validation's, whatever
     * valid= names; 0: none */
    size_t held_out;
    /* likewise: of a detector's training images the first `labelled` alone have labels, no other label file is read */
    int few_labels;
    size_t labelled;
} data_file;

data_file *data_file_read(const char *path, diag *d);   /* NULL after reporting; the caller frees with data_file_free */
void data_file_free(data_file *file);
/* The lines of a file of names, which `from` says are so many; NULL after reporting, else to be freed by the other. */
char **data_names_read(const char *path, const char *from, int classes, diag *d);
void data_names_free(char **name, int classes);
/* Do train= and valid= name the same? */
int data_file_one_list(const data_file *file);
/* The name of class i, or its number, written to buf, where it has none; borrowed. */
const char *data_file_class(const data_file *file, int i, char *buf, size_t len);

/* Images of DATA_UNLABELLED have no labels and no boxes, whatever stands beside them; nothing of them is held out. */
typedef enum { DATA_TRAIN, DATA_VALID, DATA_UNLABELLED } data_split;

typedef struct dataset dataset;

/* What a split is opened for, or'ed: DATA_CLASSES refuses a list without classes (else label -1), DATA_UNAMBIGUOUS one
 * whose images have several; DATA_DETECTOR reads a
 * detector's list; DATA_BOXES (implies DATA_DETECTOR) its label files too; DATA_LOOK takes a detector's images however
 * many of them are left out, and keeps no pixels in memory: to tell what is there, not to use it. */
enum { DATA_IMAGES = 0, DATA_CLASSES = 1, DATA_DETECTOR = 2, DATA_BOXES = 4, DATA_LOOK = 8,
       DATA_UNAMBIGUOUS = 16 };

/* Opens one split and checks all of it that can be checked without decoding images. `limit` > 0 keeps the first
 * `limit` images, of those that file->held_out leaves to the split. The caller frees with dataset_free; NULL after
 * reporting. */
dataset *dataset_open(const data_file *file, data_split split, size_t limit, int need, diag *d);
void dataset_free(dataset *set);
/* Opens file->unlabelled, as whose images `set` has them, and puts its images behind those of `set`, a training split
 * of which nothing was read so far. 0, also where it is NULL, or -1 with messages, the set as it was. */
int dataset_join_unlabelled(dataset *set, const data_file *file, int need, diag *d);
/* From now on images come from the cache (NULL: from none) where they are in it, and go there where they are not,
 * their shorter side at most `side` pixels (0: any number). It is borrowed for the set's life. Images that lie in
 * memory stay there. */
void dataset_use_cache(dataset *set, image_cache *cache, int side);
/* Says, once, that the cache takes no more. */
void dataset_cache_trouble(const dataset *set, diag *d);
size_t dataset_count(const dataset *set);
int dataset_classes(const dataset *set);
const char *dataset_format(const dataset *set);                  /* its name, as format= has it; borrowed */
int dataset_channels(const dataset *set);                        /* of all of its images; 0: each file has its own */
/* The size of image i, w x h; of a file its header alone is read. 0, or -1: left out, or no header that is
 * understood. */
int dataset_size(const dataset *set, size_t i, int *w, int *h);
/* Hash of the pixels where they are kept in memory; of images in files, which have prints, a number that says no more
 * than that. Labels do not count. */
uint64_t dataset_identity(const dataset *set);
/* Images in files are hashed when they are first read; from then on a file that holds something else is an error. These
 * are safe to call from several threads, like dataset_read.
 * How many prints there are: dataset_count, or 0 where images are kept in memory. */
size_t dataset_prints(const dataset *set);
/* What is known of image i now. */
data_print dataset_print(const dataset *set, size_t i);
/* Takes n prints that were kept: those without a hash are passed over, those that agree with a file's inode, size and
 * times are believed, other files are read. NULL, or, where files hold something else, how many and which, for a
 * message; the caller frees. From then on what was found counts. */
char *dataset_trust(const dataset *set, const data_print *kept, size_t n);
/* Would dataset_trust believe all of them, without reading a file? */
int dataset_untouched(const dataset *set, const data_print *kept, size_t n);
/* How many images of `set` are in `other`, too: files of the same bytes, or the same pixels in memory. Files are read
 * where sizes agree, unless those are more than `most` bytes: then 0. *names: "a.png = b.png, ..." of the first, the
 * caller's to free; NULL where there are none. */
size_t dataset_twins(const dataset *set, const dataset *other, uint64_t most, char **names);
int dataset_label(const dataset *set, size_t i);                 /* 0..classes-1, or -1 */
/* From now on images `from`, from + 1, ... have no label. */
void dataset_forget_labels(dataset *set, size_t from);
/* The first so many are those that may have one: all, but for what was forgotten and those of unlabelled=. */
size_t dataset_labelled(const dataset *set);
int dataset_ambiguous(const dataset *set, size_t i);             /* its label is -1 because several are in its path */
int dataset_has_boxes(const dataset *set);                       /* opened with DATA_BOXES */
/* The *n boxes of image i, relative to it, as its label file has them (they may reach beyond the image); borrowed, NULL
 * where there are none. *n = -1: of images that dataset_labelled does not count nobody knows. */
const data_box *dataset_boxes(const dataset *set, size_t i, int *n);
/* Why a detector's image i is left out, borrowed; NULL where it is used. dataset_read refuses it with that reason. */
const char *dataset_left_out(const dataset *set, size_t i);
/* Does the split's key name labels as detectors have them, a COCO file or folders? */
int dataset_names_boxes(const data_file *file, data_split split);
int dataset_lacks_labels(const dataset *set, size_t i);          /* it is left out for want of labels */
size_t dataset_passed_over(const dataset *set);                  /* objects that labels call difficult or crowds */
/* The rule of how many images may be left out: up to 1 %, not counting less than five that only lack a label file, and
 * never all. */
int dataset_too_many_left_out(const dataset *set, size_t images, size_t unlabelled);
/* "t10k-images-idx3-ubyte.gz#17" or the image's path; written to buf. */
const char *dataset_name(const dataset *set, size_t i, char *buf, size_t len);
/* 8-bit interleaved pixels (h, w, channels) of image i, converted to `channels` (1 or 3; grey is replicated).
 * *pixels is the caller's to free(). Safe to call from several threads. 0, or less with a reason in `why`: DATA_CHANGED
 * where the file holds something else than when it was first read. */
enum { DATA_UNREADABLE = -1, DATA_CHANGED = -2 };
int dataset_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                 size_t why_len);

#endif
