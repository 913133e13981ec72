/* Anything but `darknet distill`. */
#ifndef DISTILL_PASSTHROUGH_H
#define DISTILL_PASSTHROUGH_H
#include "darknet_plugin/base/diag.h"

/* Hands argv to the stock program, distillation cfgs lowered on the way. Exit status. */
int passthrough(int argc, char **argv, diag *d);

#endif
