/* The arithmetic of a convolution behind one small face, so that oneDNN and the plain loops can take each other's place.
 * x is (batch, c, h, w), y (batch, n, out_h, out_w), weights (n, c/groups, size, size), all plain. A connected layer is
 * a 1x1 convolution on 1x1 maps. */
#ifndef DISTILL_CPU_CONV_H
#define DISTILL_CPU_CONV_H
#include "state.h"

typedef struct conv_shape {
    int batch, c, h, w;
    int n, out_h, out_w;
    int size, stride, pad, groups;
} conv_shape;

/* What a plan must be able to do. */
typedef struct conv_needs {
    int raw;                 /* forward without bias: a batch norm in training follows */
    int batchnorm;           /* it has one: folded into the weights in inference */
    int weights, data;       /* which gradients */
    ACTIVATION activation;
} conv_needs;

typedef struct conv_math {
    const char *name;
    int fuses;               /* forward may be given a bias and then also applies the activation */
    /* NULL if it cannot do this shape. The caller frees the plan. */
    void *(*make)(const conv_shape *s, const conv_needs *needs, cpu_shared *shared);
    void (*free)(void *plan);
    void (*forward)(void *plan, const float *x, const float *w, const float *bias, float *y);
    void (*backward_weights)(void *plan, const float *x, const float *dy, float *dw);   /* dw += */
    void (*backward_data)(void *plan, const float *w, const float *dy, float *dx);      /* dx += */
} conv_math;

extern const conv_math conv_reference;
const conv_math *conv_dnnl(void);   /* NULL in a build without oneDNN */

#endif
