/* Images for a teacher whose data is not there: made so that the teacher's batch norms see the statistics they were
 * trained on and that it answers a class drawn evenly. They are written as PNG files with a list and a .data file, so
 * that `train` takes them as any others.
 *
 * What is minimised, over a batch of images x with classes k (pixels 0..1, the teacher's mean= and std= applied):
 *
 *   L = bn * sum over batch norms of (||m - M|| + ||v - V||)      m, v of its input in this batch; M, V running
 *     + ce * mean over images of -log softmax(scores)_k
 *     + tv * mean over pixels of the squared differences to the right and below
 *
 * Two ways, a row each (synthesis_generator.c, synthesis_pixels.c). Yin et al., "Dreaming to distill: data-free
 * knowledge transfer via DeepInversion", CVPR 2020; Fang et al., "Up to 100x faster data-free knowledge distillation",
 * AAAI 2022, without its meta-learning.
 *
 * Left out: a device (the CPU computes), the loss against a student while it learns, detectors. */
#ifndef DISTILL_SYNTHESIS_H
#define DISTILL_SYNTHESIS_H
#include "layers/cpu/cpu.h"

#include <stdint.h>
#include <stdio.h>

/* How images are made: a row of its defaults and functions. */
typedef struct synthesis_way synthesis_way;
/* The row of that name, NULL: the first, which is the default; NULL with a message: there is none. */
const synthesis_way *synthesis_way_named(const char *name, diag *d);

typedef struct synthesis_job {
    /* borrowed; weights NULL: cfg is a distillation's, which names its teacher */
    const char *cfg, *weights, *out;
    const synthesis_way *way;
    int n, batch;                          /* images; of them at a time */
    int steps;                             /* 0: the way's own, as of the numbers that follow where they are below 0 */
    double rate, bn, ce, tv;
    uint64_t seed;
    cpu_backend backend;
    int force;                             /* begin anew in a folder of an older set */
    FILE *print;                           /* a line a batch, and the end; borrowed */
    int quiet;                             /* the end only */
} synthesis_job;

/* Makes them, in folder job->out, which is new, empty, or that of the same command, which goes on where that stopped.
 * 0, or -1 with messages. */
int synthesize(const synthesis_job *job, diag *d);

#endif
