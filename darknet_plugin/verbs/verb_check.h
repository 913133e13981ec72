/* What `check` does, for verbs that write a cfg. */
#ifndef DISTILL_VERB_CHECK_H
#define DISTILL_VERB_CHECK_H
#include "darknet_plugin/base/diag.h"

/* Everything that is checked of a cfg goes to `d`; where `out` is not NULL and nothing is wrong, its sizes are printed
 * there. 0, or not if there were errors. */
int check_whole_cfg(const char *path, FILE *out, diag *d);

#endif
