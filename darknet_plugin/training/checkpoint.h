/* NAME_last.weights and its sidecar NAME_last.state: always a pair, at whatever instant a run ends.
 *
 *   1  the weights are written beside, as NAME_last.weights.new
 *   2  the state is written: from its rename on, the new pair counts (it has the hash of its weights)
 *   3  NAME_last.weights.new becomes NAME_last.weights
 *
 * Every step is written, fsynced and renamed. A run that ends between 2 and 3 left the new weights under their first
 * name: resuming finds them by their hash and takes step 3. */
#ifndef DISTILL_CHECKPOINT_H
#define DISTILL_CHECKPOINT_H
#include "darknet_plugin/model/model.h"
#include "darknet_plugin/model/run_state.h"

typedef struct checkpoint {
    const char *folder, *name;   /* borrowed */
    char *key;                   /* what this run was started with, owned */
    const dataset *set[RUN_SETS];   /* training, validation, borrowed; NULL: none */
} checkpoint;

/* What decides a run's weights besides the cfg's own text. */
typedef struct checkpoint_run {
    const model *model;
    const dataset *train, *valid;   /* valid may be NULL */
    const char *backend;            /* as the user names it */
    cpu_precision precision;
    const char *plan;               /* of -precision auto, borrowed; NULL: none */
    int threads;
    uint64_t seed, view_seed, views;
    double rate;                    /* by -rate, 0: the cfg's */
} checkpoint_run;

/* What a run is, as "name=value" lines, without what its machine and its first weights are: ranks that train together
 * have the same. The caller frees. */
char *checkpoint_key(const checkpoint_run *run);
/* Called before training, with the weights it starts from. NULL is never returned; free with checkpoint_free. `folder`,
 * `name` and the sets are borrowed. */
checkpoint *checkpoint_open(const char *folder, const char *name, const checkpoint_run *run);
void checkpoint_free(checkpoint *checkpoint);

/* Is there a state to resume? */
int checkpoint_exists(const char *folder, const char *name);
/* Is what is there the run of this cfg? */
int checkpoint_is_of(const char *folder, const char *name, const cfg_file *cfg);
/* How -fit had images fill the input in the run of this cfg that left these weights, by the state beside them: "crop",
 * "letterbox" or "stretch"; NULL: as the cfg says, or nobody knows. */
const char *checkpoint_fit(const char *weights, const char *cfg);
/* The plan of -precision auto that the run in that folder began with, owned; NULL: there is none. */
char *checkpoint_plan(const char *folder, const char *name);
/* How many images a run of the same start had seen whose state is there, 0 = there is none. */
uint64_t checkpoint_seen(const checkpoint *checkpoint);
/* Saves the pair. 0, or -1 with a message: the previous pair is intact. */
int checkpoint_save(const checkpoint *checkpoint, const model *model, const run_progress *progress,
                    const run_sums *sums, diag *d);
/* Loads the pair into `model`, *progress and *sums: 1. 0: there is none, and no weights either. -1 with messages:
 * damaged, not a pair, or from a run that was started with something else, unless `force`, which makes that a
 * warning. */
int checkpoint_resume(const checkpoint *checkpoint, model *model, run_progress *progress, run_sums *sums, int force,
                      diag *d);

#endif
