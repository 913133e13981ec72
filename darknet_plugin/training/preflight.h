/* What `train` will need hours later, looked at before its first step, in seconds: folders that can be written to, room
 * on the disk, images that can be read, labels that say something, a network that exports. What is wrong is reported
 * all at once.
 *
 *   preflight.c        the run and the disk: lock, room, export     preflight_files.c  whose files it would overwrite
 *   preflight_data.c   images and labels        teacher_check.c   what the teacher answers */
#ifndef DISTILL_PREFLIGHT_H
#define DISTILL_PREFLIGHT_H
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/base/run_lock.h"

typedef struct preflight_job {
    model *model;                 /* weights loaded, cache opened; borrowed, as all below */
    const dataset *train, *valid; /* valid may be NULL */
    const char *cfg;              /* the path it was read from */
    const char *folder, *name;    /* of the checkpoints */
    int threads, force;
    int one_list;                 /* train and valid are the same images: what is wrong is said once */
    uint64_t view_seed;
    int held_out;                 /* `valid` are training images that are held out */
} preflight_job;

/* Names the run's files its own (out_file.h), once all is open but what it starts from: `start`, or NULL. A whole
 * network may be a checkpoint of its own that it goes on to overwrite; an encoder is somebody's work. -1 with a message
 * where a file that it reads is among them, or they are a teacher's run. */
int preflight_files(const preflight_job *job, const char *start, diag *d);

/* 0, with `lock` taken: the caller releases it at the end of the run. -1 with messages, then nothing is locked.
 * Warnings are only added to `d`; the caller prints them. */
int preflight(const preflight_job *job, run_lock *lock, diag *d);

/* Some images of either set are decoded, first and last among them; labels are counted. -1 with messages, or
 * warnings. */
int preflight_data(const preflight_job *job, diag *d);

#endif
