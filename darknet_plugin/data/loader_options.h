/* What a loader's options ask for, before it starts. */
#ifndef DISTILL_LOADER_OPTIONS_H
#define DISTILL_LOADER_OPTIONS_H
#include "loader.h"

/* 0, or non-zero with messages: no loader can be had with these. */
int loader_check_options(const loader_options *options, diag *d);
/* Batches prepared ahead, of images of w x h: two a thread and two more, fewer where that would be more than a quarter
 * of a gigabyte. */
uint64_t loader_count_slots(const loader_options *options, int w, int h);
/* How many images of all shares come before training batch number `seq` of this one. */
uint64_t loader_images_before(const loader_options *options, uint64_t seq);
/* Views and validation: the number of the image behind the last; a validation sees each once. */
uint64_t loader_images_end(const loader_options *options, uint64_t count);

#endif
