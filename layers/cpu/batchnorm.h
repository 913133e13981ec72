/* Batch norm and biases, each together with the activation that follows. Maps are (batch, c, map). */
#ifndef DISTILL_CPU_BATCHNORM_H
#define DISTILL_CPU_BATCHNORM_H
#include <darknet.h>

/* y = act(BN(x)) with the batch's statistics, which go to l.mean, l.variance and by `rate` into the running ones. */
void batchnorm_forward_train(const layer *l, const float *x, float *y, float rate);
/* y = act(BN(x)) with the running statistics; x may be y. */
void batchnorm_forward_inference(const layer *l, const float *x, float *y);
/* l.delta becomes the delta of BN's input l.x; l.scale_updates and l.bias_updates grow where `updates`.
 * train: differentiates through the batch's statistics. Without `updates` and `train`, l.x is not read; `before` is
 * then what the activation was given, where its slope is known from nothing else (act_needs_input). */
void batchnorm_backward(const layer *l, const float *before, int train, int updates);
/* y as above; the batch's statistics go to l.mean and l.variance and move nothing. */
void batchnorm_forward_measured(const layer *l, const float *x, float *y);
/* How far this batch's statistics are from the running ones: ||m - M||, ||v - V||; channels of scale 0 left out. */
typedef struct batchnorm_distance {
    double mean, variance;
} batchnorm_distance;
batchnorm_distance batchnorm_far(const layer *l);
/* What `weight` times their sum adds to channel c's delta of batch norm's input x:
 * level + slope * (x - M). N: how many x there are of a channel. */
typedef struct batchnorm_line {
    double level, slope;
} batchnorm_line;
batchnorm_line batchnorm_pull_of(const layer *l, size_t c, batchnorm_distance far, double weight);
/* Adds that to l.delta, which is already the delta of l.x. */
void batchnorm_pull(const layer *l, float weight);
/* Channel c's statistics of this batch (variance over N) into l.mean, l.variance and, by `rate`, the running ones. */
void batchnorm_keep_statistics(const layer *l, size_t c, double mean, double variance, double rate);
/* Factor of channel i in inference: scale / (sqrt(running variance) + epsilon). */
float batchnorm_factor(const layer *l, int i);

/* y = act(y + bias); bias may be NULL. */
void bias_forward(const layer *l, const float *bias, float *y);
/* l.delta times the activation's slope; l.bias_updates grow where `updates`; `before` as above. */
void bias_backward(const layer *l, const float *before, int updates);
/* l.output = act(x) */
void activate_forward(const layer *l, const float *x);

#endif
