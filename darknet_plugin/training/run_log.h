/* The record of a run, NAME.jsonl: one JSON object a line, in the order in which things happened (docs/reference.md has
 * the keys). A line is written in one go behind the others, so that a program that is killed leaves one torn line at
 * most, the last. What cannot be written, because a disk is full, is kept and written with a later line: a training
 * does not end for its record's sake.
 *
 * A run that goes on begins with the lines that an uninterrupted one would have by then: later ones are dropped. */
#ifndef DISTILL_RUN_LOG_H
#define DISTILL_RUN_LOG_H
#include "darknet_plugin/base/json.h"

#include <stdint.h>

typedef struct run_log run_log;

/* Where a run goes on. */
typedef struct run_log_place {
    uint64_t step;           /* all lines up to this step stay; */
    int epoch_due;           /* but not that of an epoch that ends there: it comes again */
    double seconds;          /* set: what the run has taken so far, as far as its lines say */
} run_log_place;

/* Creates the record with its first line, `start`, in the place of an old one; or goes on with that one where `place`
 * says, its start's time and teachers are kept. Takes `start`. NULL with a message: it cannot be written, or what is
 * there is no record. Close with run_log_close. */
run_log *run_log_open(const char *path, cJSON *start, run_log_place *place, diag *d);
void run_log_close(run_log *log);
/* Adds a line, which it takes. Where it cannot be written the first time that is a warning. */
void run_log_add(run_log *log, cJSON *line, diag *d);
/* Brings all lines to the disk: before a checkpoint that counts on them. */
void run_log_sync(run_log *log);

/* May the file there be replaced: is there none, an empty one or a record? 0, or -1 with a message. */
int run_log_check(const char *path, diag *d);
/* Calls visit(ctx, text, line) for each line of the record at `path` that is whole, text without its end. 0; -1: it
 * cannot be read or is no record, with a message. A file that is not there has no lines. */
typedef void (*run_log_visit)(void *ctx, const char *text, const cJSON *line);
int run_log_read(const char *path, run_log_visit visit, void *ctx, diag *d);

/* Does this step have a line? All do up to 200; of later ones those divided by the largest of 1, 2, 5, 10, 20, 50, ...
 * that is at most a hundredth of the step: 350 lines for each tenfold, 1,850 in ten million steps. */
int run_log_wants(uint64_t step);

#endif
