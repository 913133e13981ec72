/* [reused_classifier]: the teacher's own layers after the tap, frozen. They are stock layers; this file copies
 * the teacher's weights into them and checks that nothing has moved since. */
#ifndef DISTILL_REUSED_CLASSIFIER_H
#define DISTILL_REUSED_CLASSIFIER_H
#include "darknet_plugin/host/host.h"

/* Copies weights of teacher layers of[0..n-1] into student layers first..first+n-1, bit for bit, BN statistics
 * included; a layer whose entry is -1 has none there. Shapes must be equal (-1 and a message otherwise). */
int copy_reused_classifier(network *student, int first, int n, const network *teacher, const int *of, diag *d);
/* 0 if every weight of these layers equals the teacher's bit for bit, else the number of the first (student)
 * layer that differs + 1. */
int compare_reused_classifier(const network *student, int first, int n, const network *teacher, const int *of);

#endif
