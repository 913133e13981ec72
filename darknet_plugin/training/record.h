/* What a training tells while it runs: its progress (progress.h), its record NAME.jsonl (run_log.h) and its chart,
 * chart_NAME.png (chart.h). The trainer says what happens; this adds it up. Nothing here decides anything in training:
 * losses are read, clocks are looked at.
 *
 * Of several ranks each reads the parts of its own losses, and the first tells. */
#ifndef DISTILL_RECORD_H
#define DISTILL_RECORD_H
#include "measure.h"
#include "trainer.h"
#include "darknet_plugin/model/run_state.h"

typedef struct record record;

typedef struct record_plan {
    uint64_t images, per_step, end, from;   /* images in the set, of a step, seen at the end and now */
    int resumed;
    const run_progress *progress;           /* borrowed as long as the record lives */
    const run_sums *sums;                   /* of the state that was resumed */
} record_plan;

/* Creates the record, or goes on with it. NULL with a message. */
record *record_open(const trainer_options *options, const record_plan *plan, diag *d);
void record_close(record *record);
/* What a checkpoint keeps of it; all lines are brought to the disk. */
run_sums record_sums(record *record);

/* What time is spent on. */
typedef enum { WORK_DATA, WORK_TEACHER, WORK_STUDENT, WORK_RANKS, WORKS } record_work;
/* A step begins; all time since then, or since the last call, was spent on this. Of a student's time that which live
 * teachers took in it is theirs. */
void record_begin(record *record);
void record_spent(record *record, record_work work);

/* How many numbers a sub-batch has: its loss, then the parts of that. */
size_t record_width(const record *record);
/* Those of the sub-batch just trained, but for the first; on a terminal progress is shown. */
void record_sub_batch(record *record, double *numbers);
/* A step has ended: `rows` of record_width numbers, its sub-batches'; those whose loss is not finite do not count. */
void record_step(record *record, const double *numbers, int rows, double rate, diag *d);
/* So does an epoch, before what it adds up begins anew. */
void record_epoch(record *record, uint64_t epoch, const measured *found, int best, diag *d);
/* Or the run, `weights` are what it leaves. */
void record_end(record *record, const char *weights, int stopped, diag *d);

/* What takes its time now, on a terminal. */
void record_say(record *record, const char *text);
/* Before anything else is printed. */
void record_hush(record *record);
/* Is a line on a terminal drawn over itself? */
int record_is_live(const record *record);
/* The paths of both files, the caller's to free. */
char *record_path(const char *folder, const char *name);
char *record_chart_path(const char *folder, const char *name);

#endif
