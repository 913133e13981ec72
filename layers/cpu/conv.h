/* The arithmetic of a convolution behind one small face, so that Winograd, oneDNN and the plain loops can take each
 * other's place. What comes in is (batch, c, h, w), what goes out (batch, n, out_h, out_w), each floats, plain, or
 * map_values, blocked (vec.h), as the shape says; weights are floats (n, c/groups, size, size), plain. A connected
 * layer is a 1x1 convolution on 1x1 maps. */
#ifndef DISTILL_CPU_CONV_H
#define DISTILL_CPU_CONV_H
#include "state.h"

typedef struct conv_shape {
    int batch, c, h, w;
    int n, out_h, out_w;
    int size, stride, pad, groups;
    int across;              /* the stride along rows; 0: as `stride`, which is that along columns */
    int dilation;            /* pixels from one tap to the next; 0: 1 */
    int x_blocked, y_blocked;
} conv_shape;

static inline int conv_across(const conv_shape *shape) { return shape->across ? shape->across : shape->stride; }
static inline int conv_dilation(const conv_shape *shape) { return shape->dilation ? shape->dilation : 1; }
/* One stride, no dilation. */
static inline int conv_is_plain(const conv_shape *shape)
{
    return conv_across(shape) == shape->stride && conv_dilation(shape) == 1;
}

/* The window as oneDNN has it: along columns, then along rows; dilate 0 is none. It asks for arrays of this length. */
enum { CONV_AXES = 12 };
typedef struct conv_window {
    int64_t stride[CONV_AXES], dilate[CONV_AXES], pad[CONV_AXES];
} conv_window;
static inline conv_window conv_window_of(const conv_shape *shape)
{
    int gap = conv_dilation(shape) - 1;
    return (conv_window){ { shape->stride, conv_across(shape) }, { gap, gap }, { shape->pad, shape->pad } };
}

/* Weights of one filter. */
static inline size_t conv_filter_size(const conv_shape *shape)
{
    return (size_t)(shape->c / shape->groups) * (size_t)shape->size * (size_t)shape->size;
}

/* What a plan must be able to do. */
typedef struct conv_needs {
    int raw;                 /* forward without bias: a batch norm in training follows */
    int batchnorm;           /* it has one: folded into the weights in inference */
    int weights, data;       /* which gradients */
    int constant;            /* the weights stay: forward may be told that they are the last call's */
    ACTIVATION activation;   /* what follows the bias; LINEAR where another pass does it */
} conv_needs;

/* What follows the sum of products, blocked maps only but for bias. All borrowed; NULL = not wanted. */
typedef struct conv_after {
    const float *bias;       /* n, and readable up to whole LANES */
    const void *add;         /* a map like y, added before the activation */
    ACTIVATION activation;   /* applied where bias is given */
    float *sums;             /* (parts, 2, n up to whole LANES): sums of (y - shift) and of its square */
    const float *shift;      /* n up to whole LANES */
} conv_after;

typedef struct conv_math {
    const char *name;
    /* What forward does beyond out = conv(in, w). */
    int biases;              /* bias and activation */
    int adds;                /* also `add` */
    int blocked;             /* takes blocked maps */
    /* Of a shape that oneDNN can do, too: is this faster? NULL: yes. */
    int (*pays)(const conv_shape *shape);
    /* NULL if it cannot do this shape. The caller frees the plan. */
    void *(*make)(const conv_shape *shape, const conv_needs *needs, cpu_shared *shared);
    void (*free)(void *impl);
    /* w NULL: the weights of the last call (needs.constant). after NULL: nothing follows. */
    void (*forward)(void *impl, const void *in, const float *w, const conv_after *after, void *out);
    void (*backward_weights)(void *impl, const void *in, const void *dy, float *dw);   /* dw += */
    void (*backward_data)(void *impl, const float *w, const void *dy, void *dx, int add);   /* dx = or dx += */
    /* In bf16 it wants all maps and weights as floats, rounded beforehand; NULL: it rounds by itself. */
    int (*rounds)(void *impl);
    size_t (*parts)(void *impl);   /* how many rows of `sums` forward writes; NULL: it leaves them alone */
} conv_math;

extern const conv_math conv_reference;
#if defined NARROW || defined LAST   /* its tiles are of wide blocks */
static inline const conv_math *conv_winograd(void) { return NULL; }
#else
const conv_math *conv_winograd(void);   /* NULL in a build without it */
#endif
/* 3x3 with stride 1, or 2 where it is padded by 1. */
static inline int conv_winograd_knows(int size, int stride, int pad)
{
    return size == 3 && ((stride == 1 && pad <= 2) || (stride == 2 && pad == 1));
}
const conv_math *conv_dnnl(void);       /* NULL in a build without oneDNN */
const conv_math *conv_shares(void);     /* the same, each thread for some of the images (conv_shares.c) */

/* dw += of a depthwise convolution (groups = c = n) on blocked maps (depthwise.c). */
void depthwise_weight_gradient(const conv_shape *shape, const void *in, const void *dy, float *dw);

/* A convolutional or connected layer's plan; hangs on its state. */
typedef struct conv_plan {
    conv_shape shape;
    conv_needs needs;
    int threads;
    const conv_math *math;
    void *impl;
    int splits;              /* the slope is known from nothing but the activation's input, kept in `before` */
    int folded;              /* needs.constant: impl has seen the weights */
    float *bias;             /* n up to whole LANES: biases with batch norm folded in; owned */
    void *before;            /* a map like y, taken from cpu_shared: `splits`: what the activation was given, else for
                                blocked y what batch norm normalised in training */
    size_t before_bytes;
} conv_plan;

/* Runs the plan's arithmetic on operands of its network's precision (conv_call.c); arguments as conv_math's. */
void conv_forward(const conv_plan *plan, cpu_shared *shared, const void *in, const float *w, const conv_after *after,
                  void *out);
void conv_backward_weights(const conv_plan *plan, cpu_shared *shared, const void *in, const void *dy, float *dw);
void conv_backward_data(const conv_plan *plan, cpu_shared *shared, const float *w, const void *dy, void *dx, int add);
void conv_reserve_operands(const conv_plan *plan, cpu_shared *shared);   /* their scratch, while planning */

/* Room for plan->before. */
void *conv_room_before(conv_plan *plan, cpu_state *state, size_t bytes);
/* Weights to give to forward in inference, batch norm folded in and the biases in p->bias; NULL: the last call's. */
const float *conv_folded(const layer *l, conv_plan *plan, cpu_state *state);

/* Forward and backward of a layer whose output is blocked (conv_blocked.c). */
void forward_conv_blocked(const layer *l, conv_plan *plan, cpu_state *state, const layer_call *call);
void backward_conv_blocked(const layer *l, conv_plan *plan, cpu_state *state, const layer_call *call);

#endif
