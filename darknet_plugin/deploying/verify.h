/* Proof that deployed files answer as the training network does, in every reader at hand. */
#ifndef DISTILL_VERIFY_H
#define DISTILL_VERIFY_H
#include "darknet_plugin/base/diag.h"
#include "darknet_plugin/lowering/lower.h"

#include <stddef.h>
#include <stdint.h>

/* Where the training network is, should its layers have to be compared one by one. */
typedef struct verify_source {
    const char *cfg, *weights;
    lower_mode mode;              /* how it was lowered */
    const int *from;              /* deployed layer -> its layer with the same output, -1 = none; borrowed */
} verify_source;

/* What is compared: n images at the network's size, and the training network's answers to them. All borrowed. */
typedef struct verify_job {
    const char *cfg, *weights;    /* the deployed files */
    const char *onnx;             /* NULL: not asked for */
    int halves;                   /* its weights are rounded to half precision: VERIFY_HALVES is its bound */
    /* What keeps a reader from reading cfg and weights as they are meant: it is not asked. NULL: nothing does */
    const char *not_darknet, *not_opencv, *not_darknet_boxes;
    int n, c, h, w;
    int outputs;                  /* how many layers' outputs are compared */
    const int *output;            /* these layers of the deployed network */
    int values;                   /* floats of them all, an image */
    int raw;                      /* 1: not probabilities. The bound then grows with the largest value */
    const uint8_t *pixels;        /* (n, h, w, c) 8-bit; the network's input is byte / 255 */
    const float *answer;          /* (n, values) of the training network */
    verify_source source;         /* cfg NULL: a difference is not followed back to a layer */
} verify_job;

/* Is a reader there? Both others have `why`. */
typedef enum { VERIFY_NOT_ASKED = -1, VERIFY_MISSING, VERIFY_RAN } verify_ran;

typedef struct verify_result {
    /* "libdarknet", "darknet distill", "OpenCV 4.6.0", "OpenCV 4.6.0 ONNX", "/usr/bin/darknet" */
    const char *reader;
    verify_ran ran;
    double difference, bound;     /* largest absolute difference of any output, and what is allowed */
    int worst;                    /* the image that has it */
    int agree;                    /* images with the same first class; meaningless where `raw` */
    char why[256];
} verify_result;

/* VERIFY_OWN, this program, is asked where libdarknet cannot be. */
enum { VERIFY_HOST, VERIFY_OWN, VERIFY_OPENCV, VERIFY_ONNX, VERIFY_STOCK, VERIFY_READERS };

/* A weight's rounding is at most 2^-11 of it; layers add up, and probabilities are 1 at most. */
#define VERIFY_HALVES 1e-2

/* Runs all readers. -1 with messages if one failed to run or went beyond its bound, naming the first layer that differs
 * where its reader lets us look inside; results are filled anyway. */
int verify_deployed(const verify_job *job, verify_result result[VERIFY_READERS], diag *d);
/* (h, w, c) bytes to (c, h, w) floats in 0..1, as stock Darknet decodes an image. */
void verify_planar(const uint8_t *pixels, int c, int h, int w, float *planes);

#endif
