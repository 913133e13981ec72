/* What `darknet distill VERB` can do. To add a verb: write its file, declare its function here, add its row to the
 * table in main.c and its bit in options.h. */
#ifndef DISTILL_VERBS_H
#define DISTILL_VERBS_H
#include "darknet_plugin/base/options.h"

/* Each returns 0, or non-zero after adding to `d` what went wrong. */
int verb_train(options *o, diag *d);
int verb_valid(options *o, diag *d);
int verb_export(options *o, diag *d);
int verb_check(options *o, diag *d);
int verb_summary(options *o, diag *d);
int verb_features(options *o, diag *d);
int verb_predict(options *o, diag *d);
int verb_weights(options *o, diag *d);
void verb_weights_help(FILE *out);      /* its sub-verbs, one a line */
int verb_bench(options *o, diag *d);

/* Anything but `distill`: hands argv to the stock program, distillation cfgs lowered on the way. Exit status. */
int passthrough(int argc, char **argv, diag *d);

#endif
