/* What a loader's options ask for, before it starts. */
#ifndef DISTILL_LOADER_OPTIONS_H
#define DISTILL_LOADER_OPTIONS_H
#include "loader.h"

/* 0, or non-zero with messages: no loader can be had with these. */
int loader_check_options(const loader_options *options, diag *d);
/* Batches prepared ahead, of images of w x h: two a thread and two more, fewer where that would be more than a quarter
 * of a gigabyte. */
uint64_t loader_count_slots(const loader_options *options, int w, int h);

#endif
