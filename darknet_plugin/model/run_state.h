/* The sidecar of a checkpoint: everything a training run needs to go on bit for bit that its weights file does not
 * hold.
 *
 *   magic       "distill state 3\n"
 *   weights     hash of the weights it belongs to (weights_hash)
 *   progress    run_progress
 *   key         length, text: what the run was started with, a "name=value" line each
 *   images      of the training and of the validation set: how many prints (dataset_prints.h), then these: what the
 *               images held that were read so far; none of images that are not in files
 *   layers      how many; then for each trained layer its number, how many batches its BN statistics average, and what
 *               a step changes besides weights: momentum, Adam's m and v, BN's last mean, each with its length
 *   losses      how many; then the scale of each
 *   facts       how many losses measured something before step 1 (loss_facts); then for each its layer's number, a
 *               length and float64 numbers; nothing at all where none did and no sums follow
 *   sums        how many; then each, float64: run_sums; nothing at all where there are none
 *   checksum    of all before (64-bit FNV-1a)
 *
 * Numbers are 64-bit, arrays float32, all as the processor has them: a state is of no use on another one anyway. */
#ifndef DISTILL_RUN_STATE_H
#define DISTILL_RUN_STATE_H
#include "darknet_plugin/data/dataset_prints.h"
#include "darknet_plugin/host/host.h"

#include <stdint.h>
#include <stdio.h>

/* Where a run is. */
typedef struct run_progress {
    uint64_t seen;           /* images trained on */
    uint64_t updates;        /* Adam's t */
    double average;          /* Darknet's running loss: .9 old + .1 new; -1 = none yet */
    double epoch_sum;        /* of losses since the last epoch's end */
    uint64_t epoch_steps;
    uint64_t epoch_due;      /* an epoch has ended and has not been measured yet */
    double epoch_rate;       /* learning rate at its end */
    uint64_t measured_at;    /* `seen` when the student was last measured */
    double best;             /* top-1 or mAP@0.5, -1 = none yet */
    uint64_t best_epoch;
    uint64_t left_out;       /* steps that were not finite (-skip-nan) */
} run_progress;

/* What the record of a run (training/record.h) has added up and not written yet. It decides nothing. */
enum { RUN_MOST_SUMS = 64 };
typedef struct run_sums {
    double value[RUN_MOST_SUMS];
    uint64_t n;
} run_sums;

/* What the images of a set held, of those that have been read. */
typedef struct run_images {
    data_print *print;       /* n, owned by who made it */
    uint64_t n;
} run_images;

/* The training and the validation set. */
enum { RUN_SETS = 2 };

typedef struct run_state {
    uint64_t weights;
    run_progress progress;
    run_sums sums;           /* after run_state_apply */
    char *key;               /* owned */
    run_images images[RUN_SETS];   /* owned */
    const char *layers;      /* in `file` */
    size_t layers_bytes;
    char *file;              /* the whole file, owned */
} run_state;

/* Calls visit(ctx, x, n) for each array that a step of layers begin..end-1 changes besides the weights themselves. */
typedef void (*run_state_visit)(void *ctx, float *x, size_t n);
void run_state_arrays(const network *net, int begin, int end, run_state_visit visit, void *ctx);
/* The first of layers 0..end-1 that keeps more than can be written, -1 = none: its training cannot be resumed
 * exactly. */
int run_state_unsupported(const network *net, int end);

/* Writes the state of layers 0..end-1 to `file`; sums may be NULL. 0, or -1 and errno. */
int run_state_write(FILE *file, const network *net, int end, uint64_t weights, const run_progress *progress,
                    const run_sums *sums, const char *key, const run_images images[RUN_SETS]);
/* Reads `path` and checks it against its checksum. NULL with a message; free with run_state_free. */
run_state *run_state_read(const char *path, diag *d);
/* What the run of the state at `path` was started with, its key alone: only the file's head is read, so its checksum is
 * not looked at. NULL: there is none; the caller frees. */
char *run_state_key(const char *path);
/* Gives layers 0..end-1 their arrays and counts, and the network its own. Nothing is changed if they do not fit: -1
 * with a message. */
int run_state_apply(run_state *state, network *net, int end, const char *path, diag *d);
/* The same of a state that is in memory, as run_state_write wrote it, with its progress; another rank's. */
int run_state_take(const char *text, size_t bytes, network *net, int end, run_progress *progress, diag *d);
void run_state_free(run_state *state);

#endif
