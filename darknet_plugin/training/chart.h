/* A training as a picture, as Darknet's users know it: the loss and its parts over the steps, on the left axis; on the
 * right one top-1 or mAP@0.5 after each epoch, with the teacher's and that of the same network trained from labels. */
#ifndef DISTILL_CHART_H
#define DISTILL_CHART_H
#include "curve.h"
#include "darknet_plugin/base/diag.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CHART_W = 1000, CHART_H = 700 };

/* Draws it and writes it to `path`, a PNG, whole or not at all. from_labels: the other network's run, or NULL. 0, or -1
 * with a message. */
int chart_write(const curve *run, const curve *from_labels, const char *path, diag *d);

#ifdef __cplusplus
}
#endif
#endif
