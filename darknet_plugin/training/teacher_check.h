/* Teachers nobody should learn from: broken weights, wrong normalisation, classes in another order. Some of it needs no
 * labels. */
#ifndef DISTILL_TEACHER_CHECK_H
#define DISTILL_TEACHER_CHECK_H
#include "darknet_plugin/data/dataset.h"
#include "darknet_plugin/model/model.h"

/* Shows every teacher of `model` some images of `data` as training will, and looks at the maps it teaches with and at
 * its answers: NaN, infinity, all zeros, or the same for every image is an error, with `force` a warning. 0 or -1. */
int teacher_check(model *model, const dataset *data, int threads, uint64_t view_seed, int force, diag *d);

/* Reports teacher `spec`, "this teacher WHY". 0 where it may teach: `why` is NULL, or `force` makes it a warning; else
 * -1. */
int teacher_refuse(const teacher_spec *spec, const char *why, int force, diag *d);

#endif
