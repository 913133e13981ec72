/* What the files of the room share: the teacher that judges images, the ways to make them, the folder they go to. */
#ifndef DISTILL_SYNTHESIS_INTERNAL_H
#define DISTILL_SYNTHESIS_INTERNAL_H
#include "synthesis.h"
#include "darknet_plugin/base/run_lock.h"
#include "darknet_plugin/lowering/lower.h"

/* ---- the teacher, frozen (synthesis_judge.c) ---- */

typedef struct judge {
    cfg_file *source;        /* what names it, owned */
    teacher_spec *spec;      /* owned, specs of them: the first is it */
    int specs;
    network *net;            /* owned; all layers let gradients through, none learns */
    float *host_input;       /* net->input as the host allocated it */
    int batch, c, h, w;      /* of its input */
    int answer, classes;     /* the layer whose output its softmax reads, and how many numbers that has */
    double bn, ce, tv;       /* weights of the losses */
    float *x;                /* (batch, c, h, w): images as the teacher wants them; owned */
} judge;

/* What it says of a batch: each loss by itself, and their weighted sum. */
typedef struct judgement {
    double bn, ce, tv, all;
} judgement;

/* Opens the teacher of a job with its losses' weights. NULL with messages; close with judge_close. */
judge *judge_open(const synthesis_job *job, diag *d);
void judge_close(judge *judge);
/* Floats of an image, and of a batch of them. */
size_t judge_image(const judge *judge);
size_t judge_floats(const judge *judge);
/* Of images (batch, c, h, w) in 0..1 that are to be of `class` (batch): delta, alike, becomes minus the gradient of
 * `all`. Bits depend on nothing but the arguments. */
judgement judge_look(judge *judge, const float *images, const int *class, float *delta);
/* What the teacher answers, and how sure it is: (batch) of both. */
void judge_answer(judge *judge, const float *images, int *label, float *sure);
/* Tells one teacher from another. */
uint64_t judge_identity(const judge *judge);

/* ---- Adam on an array that no layer has (synthesis_adam.c) ---- */

typedef struct adam {
    float *m, *v;            /* n each, owned */
    size_t n;
    int t;
    float rate, b1, b2;
} adam;

adam adam_new(size_t n, double rate, double b1, double b2);
void adam_free(adam *adam);
void adam_restart(adam *adam);
/* Moves x, n numbers, by minus its gradient, which becomes 0. */
void adam_step(adam *adam, float *x, float *delta);

/* ---- ways ---- */

/* A batch of images under way. */
typedef struct making {
    judge *judge;            /* borrowed */
    const synthesis_job *job;   /* borrowed; all of its numbers are set */
    float *best;             /* (batch, c, h, w) in 0..1, those of the smallest loss so far; owned */
    judgement of_best;
} making;
/* Another candidate: kept if it is better. `class` as judge_look's, as is delta. -1 where the loss is not finite. */
int making_look(making *making, const float *images, const int *class, float *delta);
/* No candidate yet. */
void making_restart(making *making);

struct synthesis_way {
    const char *name;
    int steps;
    double rate, bn, ce, tv;                       /* defaults */
    void *(*open)(making *making, diag *d);        /* NULL with a message */
    void (*close)(void *state);
    /* What comes before batch 0, where nothing is loaded; NULL: nothing. -1 after reporting. */
    int (*begin)(void *state, making *making, diag *d);
    /* Fills making->best of batch number `at`: a function of seed, `at` and what the network below has become. -1 after
     * reporting. */
    int (*make)(void *state, making *making, uint64_t at, const int *class, diag *d);
    network *(*network)(void *state);              /* what goes from batch to batch; NULL: nothing does */
    const net_shape *(*shape)(void *state);        /* of that */
};
extern const synthesis_way synthesis_generator, synthesis_pixels;
/* Where a loss is no number any more: says so. */
int making_lost(const making *making, diag *d);

/* ---- the folder (synthesis_folder.c) ---- */

typedef struct synthesis_folder {
    char *out, *list, *data, *sheet, *state;       /* files' paths, owned */
    char *identity;                                /* lines that say whose images these are, owned */
    int done;                                      /* whole batches that are there */
    int images;                                    /* how many the state speaks of */
    int *label;                                    /* of all images, job->n or more, owned */
    run_lock lock;                                 /* one command at a time writes there */
} synthesis_folder;

/* Looks at the folder, or makes it, and locks it; reads how far it is. *folder stays where it is until it is closed.
 * -1 with messages. */
int folder_open(synthesis_folder *folder, const synthesis_job *job, uint64_t teacher, int classes, diag *d);
void folder_close(synthesis_folder *folder);
/* The network that goes from batch to batch, as it was after `done` batches. */
int folder_load(const synthesis_folder *folder, network *net, const net_shape *shape, diag *d);
/* Writes images first.. of a batch, `n` of (h, w, c) bytes, whose labels are set. */
int folder_put(const synthesis_folder *folder, const uint8_t *bytes, int first, int n, const judge *judge, diag *d);
/* Behind a batch: the list, the network if there is one, and the state: `images` are there, `whole` batches. */
int folder_note(synthesis_folder *folder, int images, int whole, network *net, diag *d);
/* Image i's path; the caller frees. */
char *folder_image(const synthesis_folder *folder, int i);
/* sheet.png of the first of n images (synthesis_sheet.c). */
int folder_sheet(const synthesis_folder *folder, int n, const judge *judge, diag *d);
/* The .data file. Images behind the first n, of a larger older set, go. */
int folder_finish(const synthesis_folder *folder, int n, int classes, diag *d);

#endif
