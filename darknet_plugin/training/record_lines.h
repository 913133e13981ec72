/* The lines of a run's record as JSON objects; docs/reference.md has their keys. Each is the caller's. */
#ifndef DISTILL_RECORD_LINES_H
#define DISTILL_RECORD_LINES_H
#include "measure.h"
#include "trainer.h"
#include "darknet_plugin/base/json.h"

/* The parts of a loss, or of a sum of `count` losses. */
typedef struct record_loss {
    double loss;
    int parts;
    const char *const *name;      /* borrowed, as part */
    const double *part;
    double count;
} record_loss;

/* Shares of the time that steps took. */
typedef struct record_shares {
    double data, teacher, student, ranks;   /* NAN: there is no teacher, there are no ranks; data NAN: no steps */
} record_shares;

typedef struct record_start {
    const trainer_options *options;
    uint64_t images, per_step, end, from;   /* images in the set, of a step, seen at the end and at the start */
} record_start;
cJSON *record_line_start(const record_start *start);

/* Numbers that a step or an epoch has. */
typedef struct record_numbers {
    uint64_t step, epoch;
    record_loss loss;
    double rate, images_per_s;    /* NAN: no step was made */
    double seconds;               /* that the run has taken so far; an epoch's only */
} record_numbers;
cJSON *record_line_step(const record_numbers *numbers);
/* found: its measures, of a detector or a classifier. */
cJSON *record_line_epoch(const record_numbers *numbers, const measured *found, int best, const record_shares *shares);

cJSON *record_line_end(uint64_t step, double epoch, double seconds, const char *weights, int stopped);

#endif
