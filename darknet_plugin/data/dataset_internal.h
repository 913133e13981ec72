/* What the dataset formats share (dataset_kit.c has the helpers). To add a format, write its row and what it names in a
 * file dataset_NAME.c and list it in dataset.c; there is nothing else to do. */
#ifndef DISTILL_DATASET_INTERNAL_H
#define DISTILL_DATASET_INTERNAL_H
#include "dataset.h"

#include <pthread.h>

/* One split of a .data file. */
typedef struct data_request {
    const data_file *data;    /* borrowed */
    const char *key;          /* "train", "valid" or "unlabelled" */
    /* value of train_labels / valid_labels, borrowed, or NULL: IDX files; of a detector's images a COCO file or
     * folders of label files */
    const char *labels;
    char **path;              /* paths of them, owned: what the key names, looked up once the format is known */
    int paths;
    int need;                 /* DATA_CLASSES, DATA_DETECTOR, DATA_BOXES, DATA_LOOK */
    size_t limit;             /* images that are wanted; 0: all */
    int held_out;             /* wanted are those that are held out of `key` */
} data_request;

/* All that is asked of a format, from its name to the end of a dataset of it. */
typedef struct data_format {
    const char *name;         /* of format= */
    const char *what;         /* "an IDX file" */
    int boxes;                /* a detector's images may stand in it: it keeps paths, which lead to label files */
    int by_class;             /* its files are sorted by class, so it is none for images without labels */
    /* why `path` cannot be opened as one, borrowed; NULL if it can */
    const char *(*problem)(const char *path);
    int (*probe)(const char *path, int classes);                        /* is it one of these? NULL: anything is */
    int (*open)(dataset *set, const data_request *request, diag *d);    /* fills set; 0, or -1 after reporting */
    /* image i as (h, w, channels) bytes, the caller's to free; 0, or less with a reason, as dataset_read */
    int (*read)(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                size_t why_len);
    int (*size)(const dataset *set, size_t i, int *w, int *h);          /* w x h without decoding; 0, or -1 */
    uint64_t (*identity)(const dataset *set);   /* of the pixels; NULL: images are files, which have prints */
    void (*name_of)(const dataset *set, size_t i, char *buf, size_t len);
    void (*free)(dataset *set);                                         /* all that open filled in, but the labels */
} data_format;

/* The last of a format that keeps pixels in memory, and of one that keeps paths and decodes when asked. */
#define DATA_IN_MEMORY \
    .read = data_memory_read, .size = data_memory_size, .identity = data_memory_identity, .name_of = data_memory_name, \
    .free = data_memory_free
#define DATA_IN_FILES \
    .read = data_files_read, .size = data_files_size, .name_of = data_files_name, .free = data_files_free

enum { DATA_NO_CLASS = -1, DATA_SEVERAL_CLASSES = -2 };   /* what stands for a label where there is none */
typedef enum { DATA_USED, DATA_NO_IMAGE, DATA_NO_LABELS, DATA_NO_ENTRY, DATA_BAD_LABELS, DATA_LEFT_OUT } data_left_out;

/* The images of one file: first .. first of the next part - 1. */
typedef struct data_part {
    char *file;               /* owned */
    size_t first;
} data_part;

/* What files held when they were first read. */
typedef struct data_prints {
    pthread_mutex_t lock;     /* guards the prints */
    data_print *print;        /* n, owned */
    size_t n;
} data_prints;

struct dataset {
    const data_format *format;
    int classes;
    size_t count;
    size_t labelled;          /* the first so many may have labels, the others' were forgotten */
    int *label;               /* count, owned */
    uint8_t *pixels;          /* (count, h, w, c), owned; formats kept in memory; NULL: only looked at */
    int w, h, c;              /* 0 in formats kept in files */
    data_part *part;          /* parts, owned; formats kept in memory */
    int parts;
    size_t skipped;           /* images of the first parts that are not kept; formats kept in memory */
    char **path;              /* listed, owned; formats kept in files */
    uint8_t *left_out;        /* listed, owned; formats kept in files: a data_left_out each */
    size_t listed, room;      /* images in the files, of which the first `count` are used; allocated entries of path */
    data_prints *prints;      /* owned; formats kept in files, once opened */
    image_cache *cache;       /* borrowed; formats kept in files; NULL: none */
    int side;                 /* of images in files, the most pixels of the shorter side; 0: any number */
    data_box *box;            /* owned; those of image i are box_at[i] .. box_at[i + 1] - 1 */
    size_t *box_at;           /* (count + 1), owned; NULL where label files were not read */
    size_t passed_over;       /* objects that label files call difficult or crowds */
};

/* ---- texts ---- */

/* As getline, but a line ends at a NUL byte, too, which it then holds; one of more than a megabyte comes as if it did:
 * neither is in a text, and nobody reads on. */
ssize_t data_getline(char **text, size_t *room, FILE *in);
/* Behind the last line that came: -1 after reporting where that was not the file's end. */
int data_read_whole(FILE *in, const char *path, diag *d);
/* "a, b" -> trimmed items, each owned, as is the array; *n how many. */
char **data_split_commas(const char *text, int *n);
void data_free_strings(char **text, size_t count);

/* ---- mistakes that come in floods (dataset_flood.c) ---- */

enum { FLOOD_SHOWN = 3 };
typedef struct data_mistake {
    char *file;               /* owned */
    int line;
    char *detail, *text;      /* owned; detail: of this one, in few words; NULL: none */
} data_mistake;

/* All mistakes of one kind. Begins empty, { 0 }. */
typedef struct data_flood {
    size_t n;
    data_mistake first[FLOOD_SHOWN];
} data_flood;

/* Notes a mistake; takes `text`, its message. */
void data_flood_add(data_flood *flood, const char *file, int line, const char *detail, char *text);
/* Tells: up to FLOOD_SHOWN by their texts, more in one line on `file`, how many, `many` (what is wrong with them), and
 * the places of the first. `hint` may be NULL. Then it is empty. */
void data_flood_end(data_flood *flood, diag_level level, const char *file, const char *many, const char *hint, diag *d);

/* ---- classes ---- */

typedef struct named_class {
    const char *name;         /* borrowed from the data_file */
    int class;
} named_class;

/* Names of classes, sorted, so that one is found fast. Begins empty, { 0 }. */
typedef struct data_names {
    named_class *entry;       /* n, owned: the user frees it */
    size_t n;
} data_names;

/* Adds the name of each class; nothing where `name` is NULL. */
void data_names_add(data_names *names, char *const *name, int classes);
/* The class of that name, DATA_NO_CLASS, or DATA_SEVERAL_CLASSES where it stands twice. */
int data_class_named(const data_names *names, const char *name);
/* The same, where a class may also be written as its number, 0..classes-1. */
int data_class_written(const data_names *names, const char *text, int classes);
/* Reports labels first .. first + n - 1 that are outside 0..classes-1 (the first and how many). 0 or -1. */
int data_check_labels(const dataset *set, size_t first, size_t n, const char *file, diag *d);

/* ---- all formats ---- */

/* Drops all but the last n of the images that a format's open has brought. */
void data_keep_last(dataset *set, size_t n);

/* ---- formats kept in memory ---- */

/* Registers that the images from set->count on come from `file`. */
void data_add_part(dataset *set, const char *file);
/* How many of `there` more images are wanted. */
size_t data_wanted(const dataset *set, const data_request *request, size_t there);
/* Image i as (h, w, channels) bytes. */
int data_memory_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                     size_t why_len);
/* Its w x h. */
int data_memory_size(const dataset *set, size_t i, int *w, int *h);
uint64_t data_memory_identity(const dataset *set);
void data_memory_name(const dataset *set, size_t i, char *buf, size_t len);
void data_memory_free(dataset *set);

/* ---- formats kept in files ---- */

/* Adds an image; takes `path`. */
void data_add_image(dataset *set, char *path, int label);
/* Image i as (h, w, channels) bytes. */
int data_files_read(const dataset *set, size_t i, int channels, uint8_t **pixels, int *w, int *h, char *why,
                    size_t why_len);
/* Its w x h, as the file's header has it. */
int data_files_size(const dataset *set, size_t i, int *w, int *h);
void data_files_name(const dataset *set, size_t i, char *buf, size_t len);
void data_files_free(dataset *set);

/* The format= of the CIFAR whose records a file would be, by its size alone: NULL, none, or its classes, *classes. */
const char *data_cifar_format(const char *path, size_t *records, int *classes);

/* ---- folders (dataset_walk.c) ---- */

/* How many there are of something, and the names of the first ten for a message. Begins empty, { 0 }. */
typedef struct data_noted {
    size_t n;
    char *names;              /* owned: the user frees it; NULL where there are none */
    int words;
} data_noted;
void data_note(data_noted *noted, const char *name);

/* Why `path` is no folder that can be read, borrowed; NULL if it is one. */
const char *data_folder_problem(const char *path);
int data_is_folder(const char *path);
int data_has_folders(const char *path);     /* is a folder in it that is not hidden? */
int data_is_image(const char *name);        /* by how it ends */
/* Paths of all that is in a folder and not hidden, in the order of their bytes, each owned, as is the array. NULL after
 * reporting, or where there is nothing. */
char **data_paths_in(const char *folder, int *count, diag *d);
/* "cat, dog, ..." as the .data file names classes, NULL without names; the caller frees. */
char *data_expected_names(const data_file *data);
/* Reports a folder that has no folder a class. */
void data_report_no_classes(const data_request *request, const char *folder, diag *d);

/* ---- what files hold (dataset_prints.c) ---- */

/* The caller frees with data_prints_free. */
data_prints *data_prints_new(size_t n);
void data_prints_free(data_prints *prints);
/* Image i has been read, with this print. -1 where it held something else before. */
int data_prints_met(data_prints *prints, size_t i, const data_print *print);
/* Is the hash of image i known, of a file that agrees with this print? Completes it with the hash, then. */
int data_prints_know(data_prints *prints, size_t i, data_print *print);
/* The print of a file, hash and all, read piece by piece. -1: it cannot be read. */
int data_print_read(const char *path, data_print *print);

/* ---- detectors (dataset_boxes.c) ---- */

/* Reads the label files of a detector's images; 0, or -1 after reporting. */
int data_read_boxes(dataset *set, const data_request *request, diag *d);
/* Reports images that are left out and their number; -1 where they are more than 1 %. */
int data_report_left_out(const dataset *set, const data_request *request, diag *d);
/* Where the label file of an image is (dataset_label_path.c), .txt or .xml: in these folders, or where there are
 * none (folders 0) where Darknet or VOC has it; else where Darknet, or in which folder one, looks for it. The caller
 * frees. */
char *data_label_path(const char *image, char *const *folder, int folders);

#endif
