/* Proof that a deployed cfg + weights answer as the training network does, in every reader at hand. */
#ifndef DISTILL_VERIFY_H
#define DISTILL_VERIFY_H
#include "diag.h"

#include <stddef.h>
#include <stdint.h>

/* What is compared: n images at the network's size, and the training network's answers to them. */
typedef struct verify_job {
    const char *cfg, *weights;    /* the deployed files */
    int n, c, h, w, classes;
    const uint8_t *pixels;        /* (n, h, w, c) 8-bit; the network's input is byte / 255 */
    const float *answer;          /* (n, classes) of the training network */
} verify_job;

typedef struct verify_result {
    const char *reader;           /* "libdarknet", "OpenCV 4.6.0", "/usr/bin/darknet" */
    int ran;                      /* 0: not available here, `why` says why */
    double difference, bound;     /* largest absolute difference of any output, and what is allowed */
    int agree;                    /* images with the same first class */
    char why[256];
} verify_result;

enum { VERIFY_READERS = 3 };

/* Runs all readers. -1 with messages if one failed to run or went beyond its bound; results are filled anyway. */
int verify_deployed(const verify_job *job, verify_result result[VERIFY_READERS], diag *d);
/* (h, w, c) bytes to (c, h, w) floats in 0..1, as stock Darknet decodes an image. */
void verify_planar(const uint8_t *pixels, int c, int h, int w, float *x);

#endif
