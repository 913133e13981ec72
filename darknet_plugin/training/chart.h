/* A training as a picture, as Darknet's users know it: the loss and its parts over the steps, on the left axis; on the
 * right one top-1 or mAP@0.5 after each epoch, with the teacher's and that of the same network trained from labels. */
#ifndef DISTILL_CHART_H
#define DISTILL_CHART_H
#include "curve.h"
#include "darknet_plugin/base/diag.h"

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { CHART_W = 1000, CHART_H = 700 };

/* Its pixels, (CHART_H, CHART_W, 3), RGB, the caller's to free; NULL with a message. from_labels: the other network's
 * run, or NULL. */
uint8_t *chart_draw(const curve *run, const curve *from_labels, diag *d);

#ifdef __cplusplus
}
#endif
#endif
