/* Running single layers of a bound network, and a convolution with batch norm in plain doubles to compare with. */
#ifndef DISTILL_TESTS_CHECK_LAYERS_H
#define DISTILL_TESTS_CHECK_LAYERS_H
#include "check.h"

#include "layers/cpu/cpu.h"

/* A parsed and bound network; modes may be NULL. Fails the test on any error. */
network *check_bound(const char *cfg, cpu_backend backend, const cpu_mode *mode);
network *check_bound_as(const char *cfg, const cpu_options *o);
void check_release(network *net);
/* Layer i alone, its input being layer i-1's output (or net->input). Backward adds to layer i-1's delta. */
void check_forward(network *net, int i, int train);
void check_backward(network *net, int i, int train);
size_t check_size(const network *net, int i);   /* floats in layer i's output */

/* In doubles, straight from the definitions: relu, leaky, logistic, tanh and those of layers/fork_layers.h; else
 * linear. The slope (of the latter only) by their derivatives, written out. */
double check_activation(double x, int activation);
double check_activation_slope(double x, int activation);

typedef struct conv_case {
    const char *name;
    int batch, c, h, w, n, size, stride, pad, groups, bn;   /* size 0: a connected layer */
    const char *activation;                                 /* one that check_activation knows */
    int layouts;                                            /* blocked maps (BACKEND_DNNL) */
} conv_case;

/* [activation] linear, then the layer. The caller releases. Parameters are random, BN's running values too. */
network *conv_case_net(const conv_case *k, cpu_backend backend, cpu_mode mode);
/* Backend, precision and products as `options` say. */
network *conv_case_net_as(const conv_case *k, cpu_mode mode, const cpu_options *options);
/* Forward against the double-precision reference, every gradient against its central differences; gradients must
 * add to what was there. train: batch statistics. */
void conv_case_check(const conv_case *k, cpu_backend backend, cpu_mode mode, int train);

#endif
