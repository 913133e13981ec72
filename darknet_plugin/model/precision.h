/* -precision auto: each of a model's networks in fp32 or bf16, and in bf16 each convolution by Winograd or oneDNN, as
 * it is faster here, by a timing before the run. */
#ifndef DISTILL_PRECISION_H
#define DISTILL_PRECISION_H
#include "darknet_plugin/base/diag.h"
#include "layers/cpu/cpu.h"

#include <stdio.h>

struct model_options;

/* Opens `cfg` four times as `options` say but for the precision, takes some training steps of random images each time,
 * and returns the plan, which model_options.plan takes: an entry a network, the student's, then each teacher's, with
 * commas between: "fp32" or "bf16 " and a letter a layer (cpu_options.products). Says to `out` what it found; NULL:
 * nothing. NULL with a message in `d`. The caller frees. */
char *precision_choose(const char *cfg, const struct model_options *options, FILE *out, diag *d);

#endif
