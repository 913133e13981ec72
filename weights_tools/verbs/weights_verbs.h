/* `darknet distill weights SUB ...`: one row a sub-verb in verb_weights.c, one file weights_SUB.c each.
 * All return 0, or non-zero after adding to `d` what went wrong. o->arg[0] is SUB itself. */
#ifndef DISTILL_WEIGHTS_VERBS_H
#define DISTILL_WEIGHTS_VERBS_H
#include "darknet_plugin/base/options.h"

int weights_import(options *o, diag *d);     /* CFG MODEL OUT.weights */
int weights_show(options *o, diag *d);       /* CFG WEIGHTS */
int weights_compare(options *o, diag *d);    /* CFG A B */
int weights_extract(options *o, diag *d);    /* CFG WEIGHTS OUT */
int weights_fold(options *o, diag *d);       /* CFG WEIGHTS OUT */
int weights_strip(options *o, diag *d);      /* CFG WEIGHTS OUT */

#endif
