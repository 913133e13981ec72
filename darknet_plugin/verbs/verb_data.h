/* What `darknet distill data` finds in a split, shared by what looks, what prints and what is made of it.
 *
 *   verb_data.c          the verb                       verb_data_look.c      goes through the images once
 *   verb_data_text.c     the result as text             verb_data_json.c      and as JSON
 *   verb_data_anchors.c  anchors for a detector's cfg   verb_data_sheet.c     a picture of what training sees */
#ifndef DISTILL_VERB_DATA_H
#define DISTILL_VERB_DATA_H
#include "darknet_plugin/base/json.h"
#include "darknet_plugin/base/options.h"
#include "darknet_plugin/data/augment_spec.h"
#include "darknet_plugin/data/boxes_anchors.h"
#include "darknet_plugin/data/dataset.h"

enum { DATA_REASONS = 4 };

typedef struct dims {
    int w, h;
    size_t images;               /* that have this size, once they are counted */
} dims;

typedef struct reason {
    const char *why;             /* borrowed */
    size_t images;
    char *names;                 /* of the first of them, owned */
    int named;
} reason;

/* One split. */
typedef struct contents {
    const char *split;           /* "train", "valid" or "unlabelled" */
    int unlabelled_split;        /* its images have no labels at all */
    dataset *set;                /* owned; NULL: it could not be opened */
    int detector;
    size_t used;                 /* images that are not left out */
    size_t unlabelled, ambiguous, unreadable;
    size_t mute;                 /* left out for want of labels */
    size_t boxes, fewest, most;  /* all of them; an image's */
    size_t *of_class;            /* images, or boxes, of each class, owned */
    dims *size;                  /* of each image, owned; then sorted and counted: `sizes` different ones */
    size_t sizes;
    char *bad_names;             /* of unreadable images, owned; NULL: none */
    size_t twins;                /* of valid=: images that are in train=, too */
    char *twin_names;            /* owned; NULL: none */
    reason left_out[DATA_REASONS];
} contents;

/* Opens a split and goes through it. `detector`: images of unlabelled= are a detector's where those of train= are.
 * 0, or -1 with messages; the caller frees with verb_data_free either way. */
int verb_data_look(const data_file *file, data_split which, int detector, contents *split, diag *d);
/* Looks for images of valid= in train=. */
void verb_data_twins(contents *valid, const contents *train);
/* Says what training would refuse, and what is odd. */
void verb_data_report(const data_file *file, const contents *split, diag *d);
void verb_data_free(contents *split);

/* The network that the images are for. */
typedef struct data_input {
    const char *cfg;             /* borrowed; NULL: none was named */
    int c, w, h;
    augment_spec augment;
    int anchors;                 /* how many are wanted; 0: none */
    box_size *old;               /* those of the cfg, old_anchors of them, owned */
    int old_anchors;
    uint64_t seed;
} data_input;

/* Anchors for the boxes of train=, into `object` unless it is NULL, else to `out`. 0, or -1 with messages. */
int verb_data_anchors(const contents *train, const data_input *input, cJSON *object, FILE *out, diag *d);
/* Writes the picture. 0, or -1 with messages. */
int verb_data_sheet(const data_file *file, const contents *train, const data_input *input, const char *path, diag *d);

const dims *verb_data_common_size(const contents *split);      /* borrowed */
const char *verb_data_counted(const contents *split);           /* "boxes" or "images" */
void verb_data_print(const data_file *file, const contents *split, FILE *out);
cJSON *verb_data_json(const data_file *file, const contents *split);    /* the caller's */

#endif
