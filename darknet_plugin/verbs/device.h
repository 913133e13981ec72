/* Who computes, by a verb's flags: -backend, -gpus, -nogpu. */
#ifndef DISTILL_DEVICE_H
#define DISTILL_DEVICE_H
#include "layers/cpu/cpu.h"
#include "darknet_plugin/base/options.h"

/* The backend of train, valid, features, predict. As Darknet has it, a program built with GPU=1 computes on device 0
 * unless it is told otherwise. Networks parsed afterwards are where it says. 0, or -1 with a message: unknown name,
 * flags that contradict each other, no device. */
int device_named(const options *options, cpu_backend *backend, diag *d);   /* the backend alone: what it would be */
int device_backend(const options *options, cpu_backend *backend, diag *d);
/* What -precision names; of auto, which device_plans tells, fp32. -1 with a message where it is unknown, or the
 * backend, which device_named would choose, has none but fp32; else 0. */
int device_precision(const options *options, cpu_precision *precision, diag *d);
int device_plans(const options *options);
/* Tells who watches what another precision than fp32 costs. */
void device_say_precision(const options *options, cpu_precision precision);
/* Does -gpus name several devices? -1 with a message, which says how `verb` takes them, if it can; else 0. */
int device_several(const options *options, const char *verb, int by_ranks, diag *d);

#endif
