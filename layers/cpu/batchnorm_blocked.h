/* Batch norm on blocked maps x, y (batch, c blocks, h, w, LANES); the mathematics is in batchnorm.c. Sums come in
 * parts, (parts, 2, c up to whole LANES) floats, so that whoever computes x can add them up while it is at it. */
#ifndef DISTILL_CPU_BATCHNORM_BLOCKED_H
#define DISTILL_CPU_BATCHNORM_BLOCKED_H
#include "state.h"
#include "vec.h"

/* Floats that SLOT_SUMS must have for so many parts of c channels; backward has a part an image. */
size_t batchnorm_sums_floats(size_t parts, int c);
/* About what x is summed: the last batch's mean, which this batch's is near. In SLOT_SUMS until the next call. */
const float *batchnorm_shift(const layer *l, cpu_shared *shared);
/* Where the parts go. */
float *batchnorm_sums(const layer *l, cpu_shared *shared);
/* sum (x - shift) and sum (x - shift)^2, a part an image. */
void batchnorm_measure(const layer *l, const map_value *x, cpu_shared *shared);
/* l.mean, l.variance and, by `rate`, the running ones from the parts of x. A channel that `shift` was too far from to
 * tell its variance is measured again, exactly. */
void batchnorm_finish(const layer *l, const map_value *x, size_t parts, float rate, cpu_shared *shared);
/* Between that and batchnorm_apply: by the running statistics. */
void batchnorm_take_running(const layer *l, cpu_shared *shared);

/* y = act(BN(x) + add) with the batch's statistics; add may be NULL. */
void batchnorm_apply(const layer *l, const map_value *x, const map_value *add, ACTIVATION act, map_value *y,
                     cpu_shared *shared);
/* y = act(y + add) */
void blocked_add_activate(const layer *l, const map_value *add, ACTIVATION act, map_value *y);
/* y = act(x) */
void blocked_activate(const layer *l, const map_value *x, ACTIVATION act, map_value *y);

typedef struct batchnorm_gradient {
    const map_value *x;     /* what was normalised; NULL: there is no batch norm, or its gradients are not wanted */
    const map_value *y;     /* output of the activation or, where that does not tell its slope (act_needs_input), its
                               input; NULL: they are known from x */
    const map_value *add;   /* what was added to BN(x) before such an activation, with `y` NULL; NULL: nothing */
    ACTIVATION activation;
    int train, updates;
    float pull;             /* not 0, without `train`: adds that much of the loss of statistics (batchnorm.h) */
    map_value *d;           /* delta of y; afterwards that of what the activation was given, unless `y` and `add` are
                               NULL */
    map_value *also;        /* this delta is added here, too; NULL = nowhere */
    map_value *dx;          /* delta of x (or of the convolution, where there is no batch norm); may be d */
} batchnorm_gradient;
/* Fills dx; l.scale_updates and l.bias_updates grow where `updates`. */
void batchnorm_backward_blocked(const layer *l, const batchnorm_gradient *gradient, cpu_shared *shared);

#endif
